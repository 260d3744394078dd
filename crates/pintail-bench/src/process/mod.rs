//! What the operating system says about processes: CPU time and memory.

mod meter;
mod proc_files;

pub use meter::{Counts, ProcessMeter, Watched};
pub use proc_files::{CpuTime, Vitals};

//! What the operating system says about processes: CPU time and memory.

mod meter;
mod proc_files;

pub use meter::{Counts, ProcessMeter, Watched};
use proc_files::Vitals;

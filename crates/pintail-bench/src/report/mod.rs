//! What was measured: the report, and what is made of it.

mod model;

pub use model::*;

//! Pintail's stress test: bots that play, the load that they make, and reports of what was measured.

pub mod condition;
pub mod live;
pub mod report;

//! Clusters of real processes on a real Redis: they find each other in any order, and go on when one of them is killed.

#[path = "../support/mod.rs"]
mod support;

mod failures;
mod faults;
mod hazards;
mod membership;
mod outages;
mod registry;
mod rooms;
mod secrets;
mod start;
mod takeover;

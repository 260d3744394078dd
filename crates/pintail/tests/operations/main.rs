//! What operators see of a cluster: metrics, dashboards and alerts, profiles, what servers do.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "../support/mod.rs"]
mod support;

mod debugging;
mod http;
mod monitoring;
mod scrape;
mod tracing;

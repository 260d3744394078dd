//! Every way to reach Redis, and every way in which it fails: real servers, sentinels and sockets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clear;
mod comeback;
mod confirmed;
mod half_open;
mod hazards;
mod lineage;
mod logins;
mod outages;
mod sentinels;
mod slow;
mod support;
mod tls;

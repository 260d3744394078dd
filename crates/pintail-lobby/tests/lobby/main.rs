//! Lobby servers on real TCP: what players and gateways see of them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod cluster;
mod faults;
mod games;
mod gateway;
mod recovery;
mod requests;
mod retries;

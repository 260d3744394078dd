//! Memberships on a store that really keeps time: the embedded one with time made up, and Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a test says what went wrong by panicking")]

mod one;
mod others;
mod outages;
mod real;
mod rig;

//! What both stores promise, and what only Redis can get wrong.
//!
//! Each case runs against the embedded store (with a paused clock, so waiting costs nothing) and against a
//! `redis-server` of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;
mod drain;
mod falls;
mod fixture;
mod foreign;
mod games;
mod handovers;
mod histories;
mod journaling;
mod journals;
mod lost_leases;
mod mail;
mod outages;
mod placement;
mod reaping;
mod registry;
mod rooms;
mod rubbish;
mod schema;
mod sessions;
mod spoiled;
mod suspicion;

/// Runs each of the cases against both stores.
macro_rules! on_both_stores {
    ($($case:ident),+ $(,)?) => {
        mod on_embedded {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(&crate::fixture::Fixture::embedded()).await;
            })+
        }

        mod on_redis {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::fixture::Fixture::redis()).await;
            })+
        }
    };
}
pub(crate) use on_both_stores;

//! The store's troubles, told once each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pintail_store::StoreError;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Since when the store can't be used, if it can't.
#[derive(Debug)]
pub(super) struct Outage {
    since: Mutex<Option<Instant>>,
    failures: Counter,
}

impl Outage {
    pub(super) fn new(failures: Counter) -> Self {
        Self { since: Mutex::new(None), failures }
    }

    /// A call has failed. The first failure is told, the others are counted.
    pub(super) fn failed(&self, what: &'static str, error: &StoreError) {
        self.failures.inc();
        let mut since = self.since();
        if since.is_none() {
            *since = Some(Instant::now());
            warn!(%error, "can't {what}; trying until it works");
        } else {
            debug!(%error, "can't {what}");
        }
    }

    /// A call has succeeded; how long none did, if the last one had failed.
    pub(super) fn over(&self) -> Option<Duration> {
        let lasted = self.since().take()?.elapsed();
        info!(lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX), "the store answers again");
        Some(lasted)
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

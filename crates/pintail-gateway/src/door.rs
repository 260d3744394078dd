//! How many clients may be connected at once, so that the process keeps file descriptors for its own work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use pintail_net::descriptors;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

/// How many may ask one thing over HTTP while there is no place to stay, such as whether the gateway is alive.
const VISITORS_MAX: usize = 16;

/// Lets clients in while there are places. Who is in stays; who is not waits in the kernel's queue.
#[derive(Debug)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    places_max: usize,
    visitors: Arc<Semaphore>,
    /// Whether the operator was told that it is shut.
    is_shut: AtomicBool,
    shut: Counter,
}

impl Door {
    /// A door to so many file descriptors; `None` for those of the process, which its gateways share. `shut` counts how
    /// often it was shut.
    pub(crate) fn new(descriptors: Option<u64>, shut: Counter) -> Self {
        let (places, places_max) = match descriptors {
            Some(descriptors) => places(descriptors),
            None => OF_THE_PROCESS.get_or_init(|| places(descriptors::raise_limit())).clone(),
        };
        let visitors = Arc::new(Semaphore::new(VISITORS_MAX));
        Self { places, places_max, visitors, is_shut: AtomicBool::new(false), shut }
    }

    /// How many clients there can be.
    pub(crate) fn places_max(&self) -> usize {
        self.places_max
    }

    /// A place for a connection over HTTP, which may want no more than an answer: without a place to stay, that is all it
    /// gets. Cancel-safe.
    pub(crate) async fn entry(&self) -> Entry {
        if let Some(place) = self.try_place() {
            return Entry::Stay(place);
        }
        Entry::Visit(self.visitors.clone().acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// A place for one more client, kept until it is dropped. Waits while there is none. Cancel-safe.
    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        if let Some(place) = self.try_place() {
            return place;
        }
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    fn try_place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            self.tell_open();
            return Some(place);
        }
        if !self.is_shut.swap(true, Ordering::Relaxed) {
            self.shut.inc();
            let clients = self.places_max;
            warn!(
                clients,
                "no more clients are let in, so that file descriptors are left: raise ulimit -n (LimitNOFILE)"
            );
        }
        None
    }

    /// One place that comes and goes is not worth telling: a tenth of them must be free.
    fn tell_open(&self) {
        if self.is_shut.load(Ordering::Relaxed) && self.places.available_permits() >= self.places_max / 10 {
            self.is_shut.store(false, Ordering::Relaxed);
            info!("clients are let in again");
        }
    }
}

/// How a connection came in. It keeps its place until it is dropped.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It may become a player.
    Stay(#[expect(dead_code, reason = "it is kept for its drop")] OwnedSemaphorePermit),
    /// It gets an answer, and goes.
    Visit(#[expect(dead_code, reason = "it is kept for its drop")] OwnedSemaphorePermit),
}

/// The limit is the process's, however many gateways it runs.
static OF_THE_PROCESS: OnceLock<(Arc<Semaphore>, usize)> = OnceLock::new();

fn places(descriptors: u64) -> (Arc<Semaphore>, usize) {
    let places_max = descriptors::clients_max(descriptors).min(Semaphore::MAX_PERMITS);
    (Arc::new(Semaphore::new(places_max)), places_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_only_asks_is_answered_also_while_nobody_can_stay() {
        let door = Door::new(Some(0), Counter::default());
        let mut entries = Vec::new();
        while door.places.available_permits() > 0 {
            entries.push(door.entry().await);
        }
        assert!(entries.iter().all(|entry| matches!(entry, Entry::Stay(_))));
        assert!(matches!(door.entry().await, Entry::Visit(_)));
        entries.pop();
        assert!(matches!(door.entry().await, Entry::Stay(_)));
    }

    #[tokio::test]
    async fn the_gateways_of_a_process_share_its_places() {
        let door = |descriptors| Door::new(descriptors, Counter::default());
        let (one, other, apart) = (door(None), door(None), door(Some(100)));
        let before = (other.places.available_permits(), apart.places.available_permits());
        let _place = one.place().await;
        assert_eq!((other.places.available_permits(), apart.places.available_permits()), (before.0 - 1, before.1));
    }
}

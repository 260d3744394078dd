//! How many clients may be connected at once, so that the process keeps file descriptors for its own work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pintail_net::descriptors;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

/// Lets clients in while there are places. Who is in stays; who is not waits in the kernel's queue.
#[derive(Debug)]
pub(crate) struct Door {
    places: Arc<Semaphore>,
    places_max: usize,
    /// Whether the operator was told that it is shut.
    is_shut: AtomicBool,
    shut: Counter,
}

impl Door {
    /// A door of a process that may have so many file descriptors open. `shut` counts how often it was shut.
    pub(crate) fn new(descriptors: u64, shut: Counter) -> Self {
        let places_max = descriptors::clients_max(descriptors).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places_max)), places_max, is_shut: AtomicBool::new(false), shut }
    }

    /// A place for one more client, kept until it is dropped. Waits while there is none. Cancel-safe.
    pub(crate) async fn place(&self) -> OwnedSemaphorePermit {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            self.tell_open();
            return place;
        }
        if !self.is_shut.swap(true, Ordering::Relaxed) {
            self.shut.inc();
            let clients = self.places_max;
            warn!(
                clients,
                "no more clients are let in, so that file descriptors are left: raise ulimit -n (LimitNOFILE)"
            );
        }
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// One place that comes and goes is not worth telling: a tenth of them must be free.
    fn tell_open(&self) {
        if self.is_shut.load(Ordering::Relaxed) && self.places.available_permits() >= self.places_max / 10 {
            self.is_shut.store(false, Ordering::Relaxed);
            info!("clients are let in again");
        }
    }
}

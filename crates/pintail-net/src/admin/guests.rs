//! Who is connected to the admin port. There is always room for one more: the one that came first goes.
//!
//! Connections are kept open by those who will ask again, and by those who want to keep others out. A request is answered
//! within milliseconds of its connection, so whoever goes first has had its turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many connections stay; the admin port is for a few programs.
pub(super) const GUESTS_MAX: usize = 64;

/// How many more there can be while those that have to go still do.
const LEAVING_MAX: usize = 64;

/// The connections.
#[derive(Debug)]
pub(super) struct Guests {
    places: Arc<Semaphore>,
    staying: Staying,
    next: u64,
}

/// Those that were not told to go, in the order in which they came.
type Staying = Arc<Mutex<BTreeMap<u64, CancellationToken>>>;

/// One connection. It keeps its place until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    leave: CancellationToken,
    staying: Staying,
    _place: OwnedSemaphorePermit,
}

impl Guests {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(GUESTS_MAX + LEAVING_MAX)), staying: Staying::default(), next: 0 }
    }

    /// Room for a connection, once those that were told to go have made some. Cancel-safe.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        self.places.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A connection has come. If there are too many, the first is told to go.
    pub(super) fn welcome(&mut self, place: OwnedSemaphorePermit) -> Guest {
        let (number, leave) = (self.next, CancellationToken::new());
        self.next += 1;
        let mut staying = lock(&self.staying);
        if staying.len() >= GUESTS_MAX
            && let Some((_, first)) = staying.pop_first()
        {
            first.cancel();
        }
        staying.insert(number, leave.clone());
        drop(staying);
        Guest { number, leave, staying: self.staying.clone(), _place: place }
    }
}

impl Guest {
    /// Resolves when it has to go. Cancel-safe.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.staying).remove(&self.number);
    }
}

fn lock(staying: &Staying) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
    staying.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_one_that_came_first_goes_and_makes_room() {
        let mut guests = Guests::new();
        let mut here = Vec::new();
        for _ in 0..GUESTS_MAX {
            let place = guests.place().await;
            here.push(guests.welcome(place));
        }
        assert!(here.iter().all(|guest| !guest.leave.is_cancelled()));
        here.remove(1);
        for count in 0..LEAVING_MAX {
            let place = guests.place().await;
            here.push(guests.welcome(place));
            let told = here.iter().filter(|guest| guest.leave.is_cancelled()).count();
            assert_eq!(told, count, "one went by itself, so the first newcomer has its place");
        }
        assert!(here[0].leave.is_cancelled() && !here[GUESTS_MAX].leave.is_cancelled());
        drop(here);
        assert!(lock(&guests.staying).is_empty());
        assert_eq!(guests.places.available_permits(), GUESTS_MAX + LEAVING_MAX);
    }
}

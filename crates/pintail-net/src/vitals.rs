//! What a role's loop says of itself to the tasks around it: the membership, the admin port.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pintail_core::Status;
use pintail_engine::load::Condition;

use crate::membership::Vitals;
use crate::pulse::Beat;

/// What is said of a server that takes no new work because it is about to stop.
const DRAINING: &str = "draining";

/// Whether the status is another one than before, so that it is worth a renewal of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusNews {
    /// It is: [`Renewer::renew_now`](crate::Renewer::renew_now).
    Changed,
    /// The next renewal is early enough.
    Same,
}

/// What a role's loop says of itself to the tasks around it.
#[derive(Debug)]
pub struct SharedVitals {
    beat: Beat,
    ready: Arc<AtomicBool>,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    condition: Condition,
    players: u32,
    draining: bool,
}

impl SharedVitals {
    /// Of a server that is not registered yet.
    #[must_use]
    pub fn new() -> Self {
        let condition = Condition { status: Status::Smooth, cause: String::new() };
        let said = Mutex::new(Said { condition, players: 0, draining: false });
        Self { beat: Beat::default(), ready: Arc::default(), said }
    }

    /// The loop's pulse.
    #[must_use]
    pub const fn beat(&self) -> &Beat {
        &self.beat
    }

    /// Whether the server is registered and takes new work: `/readyz`.
    #[must_use]
    pub fn ready(&self) -> Arc<AtomicBool> {
        self.ready.clone()
    }

    /// Takes what the loop has measured.
    pub fn report(&self, condition: Condition, players: usize) -> StatusNews {
        let mut said = self.said();
        let same = said.draining || said.condition.status == condition.status;
        said.players = u32::try_from(players).unwrap_or(u32::MAX);
        said.condition = condition;
        if same { StatusNews::Same } else { StatusNews::Changed }
    }

    /// The server is registered, and so ready unless it drains.
    pub fn joined(&self) {
        let said = self.said();
        self.ready.store(!said.draining, Ordering::Relaxed);
    }

    /// No new work from now on: `/readyz` says so first.
    pub fn drain(&self) {
        let mut said = self.said();
        self.ready.store(false, Ordering::Relaxed);
        said.draining = true;
    }

    /// Whether the server takes no new work because it is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.said().draining
    }

    /// What the registry is told.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        let pulse = self.beat.pulse();
        let said = self.said();
        let Condition { status, cause } = if said.draining {
            Condition { status: Status::Unused, cause: DRAINING.to_owned() }
        } else {
            said.condition.clone()
        };
        Vitals { status, cause, pulse, players: said.players }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SharedVitals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_server_says_so_whatever_its_load_and_is_never_ready_again() {
        let condition = |status, cause: &str| Condition { status, cause: cause.to_owned() };
        let shared = SharedVitals::new();
        assert_eq!(shared.report(condition(Status::Smooth, ""), 7), StatusNews::Same);
        assert_eq!(shared.report(condition(Status::Congested, "cpu 97 %"), 7), StatusNews::Changed);
        assert_eq!(shared.report(condition(Status::Congested, "cpu 98 %"), 7), StatusNews::Same);
        let vitals = shared.vitals();
        assert_eq!((vitals.status, &*vitals.cause, vitals.players), (Status::Congested, "cpu 98 %", 7));
        shared.joined();
        assert!(shared.ready.load(Ordering::Relaxed));
        shared.drain();
        assert!(!shared.ready.load(Ordering::Relaxed));
        let news = shared.report(condition(Status::Smooth, ""), 5);
        assert_eq!(news, StatusNews::Same, "what it says does not change by that");
        let vitals = shared.vitals();
        assert_eq!((vitals.status, &*vitals.cause, vitals.players), (Status::Unused, "draining", 5));
        shared.joined();
        assert!(!shared.ready.load(Ordering::Relaxed), "also if it registers again");
    }
}

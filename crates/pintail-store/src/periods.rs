//! How long things last in a store.

use std::time::Duration;

use pintail_core::limits;

/// How long things last in a store. Every server of a cluster must be given the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// A lease's life without renewal.
    pub lease_ttl: Duration,
    /// How long nobody must hold a slot before another server may take it.
    pub recycle_after: Duration,
    /// The shortest time between two looks for servers whose leases ran out, whoever takes them.
    pub reap_interval: Duration,
    /// How long an accusation stands that is not repeated.
    pub accusation_ttl: Duration,
    /// How long a server that died once waits for new games after it is back; it doubles with each time.
    pub probation_first: Duration,
    /// The longest wait of a server that keeps dying.
    pub probation_max: Duration,
    /// How long a server must have lived for its earlier deaths to be forgotten.
    pub falls_forgiven_after: Duration,
    /// The life of a room that nobody touches.
    pub room_idle_ttl: Duration,
    /// How long a session can be resumed after its last sign of life.
    pub session_ttl: Duration,
    /// How long the outcome of a game can be read after its end.
    pub game_record_ttl: Duration,
    /// How long a server must have run a game since it claimed it to prove that the game can be run.
    pub proven_after: Duration,
    /// How long a journaled game waits for a server that can run it; then it is over.
    pub orphan_ttl: Duration,
    /// How long a game that failed is kept, with its journal.
    pub failed_game_ttl: Duration,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            lease_ttl: limits::LEASE_TTL,
            recycle_after: limits::SLOT_RECYCLE,
            reap_interval: limits::REAP_INTERVAL,
            accusation_ttl: limits::ACCUSATION_TTL,
            probation_first: limits::PROBATION_FIRST,
            probation_max: limits::PROBATION_MAX,
            falls_forgiven_after: limits::FALLS_FORGIVEN_AFTER,
            room_idle_ttl: limits::ROOM_IDLE_TTL,
            session_ttl: limits::SESSION_TTL,
            game_record_ttl: limits::GAME_RECORD_TTL,
            proven_after: limits::PROVEN_AFTER,
            orphan_ttl: limits::ORPHAN_TTL,
            failed_game_ttl: limits::FAILED_GAME_TTL,
        }
    }
}

impl Periods {
    /// How long a server that is back gets no games after its n-th death.
    pub(crate) fn probation(&self, falls: u32) -> Duration {
        let doublings = falls.saturating_sub(1).min(31);
        self.probation_first.saturating_mul(1 << doublings).min(self.probation_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probation_doubles_up_to_its_maximum() {
        let seconds = |falls| Periods::default().probation(falls).as_secs();
        assert_eq!([1, 2, 3, 6, 7, 8, 1000, u32::MAX].map(seconds), [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}

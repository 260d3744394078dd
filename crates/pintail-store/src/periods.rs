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
    /// The life of a room that nobody touches.
    pub room_idle_ttl: Duration,
    /// How long a session can be resumed after its last sign of life.
    pub session_ttl: Duration,
    /// How long the outcome of a game can be read after its end.
    pub game_record_ttl: Duration,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            lease_ttl: limits::LEASE_TTL,
            recycle_after: limits::SLOT_RECYCLE,
            room_idle_ttl: limits::ROOM_IDLE_TTL,
            session_ttl: limits::SESSION_TTL,
            game_record_ttl: limits::GAME_RECORD_TTL,
        }
    }
}

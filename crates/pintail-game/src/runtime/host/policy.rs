//! How a host keeps its journaled games.

use std::time::Duration;

use crate::self_check::SelfCheck;

/// How a host keeps its journaled games.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPolicy {
    /// A snapshot is taken after so many entries,
    pub snapshot_entries: u64,
    /// or so many bytes of entries,
    pub snapshot_bytes: usize,
    /// or so many steps, whichever is first.
    pub snapshot_steps: u64,
    /// How far a game of fixed steps may be shown beyond its last committed entry. After a takeover its players wait for
    /// so long at most until their inputs count again; a game without inputs writes an entry about twice in it.
    pub horizon: Duration,
    /// How long output is held while the store can't be reached; then games go on without protection.
    pub hold_max: Duration,
    /// How long the players of a game that was taken over are waited for before it goes on.
    pub settle_max: Duration,
    /// When a game that was taken over is written anew, which proves that it can be run.
    pub proven_after: Duration,
    /// How many games a server claims at once.
    pub claim_batch: u32,
    /// How many games are handed over at once.
    pub hand_over_batch: usize,
    /// Whether they are checked to be deterministic while they are played.
    pub self_check: SelfCheck,
}

impl Default for JournalPolicy {
    fn default() -> Self {
        Self {
            snapshot_entries: 256,
            snapshot_bytes: 64 * 1024,
            snapshot_steps: 1024,
            horizon: Duration::from_millis(500),
            hold_max: Duration::from_secs(2),
            settle_max: Duration::from_millis(300),
            proven_after: pintail_core::limits::PROVEN_AFTER,
            claim_batch: 32,
            hand_over_batch: 32,
            self_check: SelfCheck::Off,
        }
    }
}

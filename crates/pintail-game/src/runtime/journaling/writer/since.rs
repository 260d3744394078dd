//! What has happened since the last snapshot.

use pintail_core::Step;

use crate::runtime::host::JournalPolicy;

/// What has happened since the last snapshot.
#[derive(Debug)]
pub(super) struct Since {
    step: Step,
    entries: u64,
    bytes: usize,
}

impl Since {
    pub(super) const fn new(step: Step) -> Self {
        Self { step, entries: 0, bytes: 0 }
    }

    pub(super) const fn count_entry(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes;
    }

    /// Whether it is so much that a snapshot is due. A game of which nothing was written has nothing to be tidied.
    pub(super) fn is_long(&self, policy: &JournalPolicy, step: Step) -> bool {
        let steps = step.0.saturating_sub(self.step.0);
        let long = self.entries >= policy.snapshot_entries
            || self.bytes >= policy.snapshot_bytes
            || steps >= policy.snapshot_steps;
        long && self.entries > 0
    }
}

//! Entries that are not known to be committed.

use std::collections::VecDeque;

use bytes::Bytes;
use pintail_core::limits::JOURNAL_ENTRY_BYTES_MAX;
use pintail_core::{EntryNumber, Step};

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It holds what its step consumed: nobody is shown the step before the entry is committed.
    Record,
    /// It says that the game has come so far, though nothing happened.
    Clock,
}

/// Entries that are not known to be committed, oldest first, with consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct PendingEntries {
    entries: VecDeque<Pending>,
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    number: EntryNumber,
    step: Step,
    purpose: Purpose,
    horizon: Step,
    payload: Bytes,
}

impl PendingEntries {
    pub(super) fn push(&mut self, number: EntryNumber, step: Step, purpose: Purpose, horizon: Step, payload: Bytes) {
        self.bytes += payload.len();
        self.entries.push_back(Pending { number, step, purpose, horizon, payload });
    }

    /// Forgets those up to this number, which are committed. Returns how far they let the game be shown.
    pub(super) fn commit(&mut self, number: EntryNumber) -> Option<Step> {
        let mut horizon = None;
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.number <= number) {
            self.bytes -= entry.payload.len();
            horizon = Some(entry.horizon);
        }
        horizon
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether there is room for another: what the store does not take must not grow without end.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < JOURNAL_ENTRY_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn first(&self) -> Option<EntryNumber> {
        self.entries.front().map(|entry| entry.number)
    }

    pub(super) fn last(&self) -> Option<EntryNumber> {
        self.entries.back().map(|entry| entry.number)
    }

    pub(super) fn payloads(&self) -> Vec<Bytes> {
        self.entries.iter().map(|entry| entry.payload.clone()).collect()
    }

    /// The first step that consumed something that is not committed.
    pub(super) fn first_record(&self) -> Option<Step> {
        self.entries.iter().find(|entry| entry.purpose == Purpose::Record).map(|entry| entry.step)
    }
}

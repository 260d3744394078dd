//! I4: at most one owner commits in an epoch, none after the next epoch began, and what is committed has no gap and no
//! fork.

use std::collections::BTreeMap;

use pintail_core::{EntryNumber, Epoch, Incarnation};
use pintail_game::runtime::Now;
use pintail_store::{JournalWrite, Owner, WriteContent, WriteOutcome};

use crate::trace;

/// The invariant's name in a failure.
pub const NAME: &str = "I4 commits";

/// Who owned a game when, and what was committed.
#[derive(Debug, Default)]
pub struct Commits {
    owners: Vec<(Now, Owner)>,
    last: EntryNumber,
    entries: BTreeMap<EntryNumber, u64>,
    is_forgetful: bool,
}

impl Commits {
    /// The store says who owns the game from now on. Returns whether that is news.
    ///
    /// # Errors
    /// If the epoch is not a new one.
    pub fn owned(&mut self, owner: Owner, now: Now) -> Result<bool, String> {
        if self
            .owners
            .last()
            .is_some_and(|(_, last)| (last.epoch, last.incarnation) == (owner.epoch, owner.incarnation))
        {
            return Ok(false);
        }
        let newest = self.newest();
        self.owners.push((now, owner));
        if !self.is_forgetful && newest.is_some_and(|newest| owner.epoch <= newest) {
            return Err(format!("{owner:?} becomes the owner after epoch {newest:?}"));
        }
        Ok(true)
    }

    /// The store has taken a snapshot with a hand-over or when a game was put back.
    pub fn kept(&mut self, snapshot: EntryNumber) {
        self.last = self.last.max(snapshot);
    }

    /// The store has lost something: numbers and epochs may come again.
    pub fn forget(&mut self, last: EntryNumber) {
        self.is_forgetful = true;
        self.last = last;
    }

    /// In which epoch this incarnation owned the game at this time, if it did.
    #[must_use]
    pub fn epoch_of(&self, incarnation: Incarnation, at: Now) -> Option<Epoch> {
        let owned = self.owners.iter().rev().find(|(since, owner)| *since <= at && owner.incarnation == incarnation);
        owned.map(|(_, owner)| owner.epoch)
    }

    /// The incarnation that owns the game.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        self.owners.last().map(|(_, owner)| *owner)
    }

    fn newest(&self) -> Option<Epoch> {
        self.owners.iter().map(|(_, owner)| owner.epoch).max()
    }

    /// The store has taken or refused a write.
    ///
    /// # Errors
    /// If the invariant is broken.
    pub fn wrote(&mut self, write: &JournalWrite, outcome: WriteOutcome, now: Now) -> Result<(), String> {
        match outcome {
            WriteOutcome::Committed => self.committed(write, now),
            WriteOutcome::Gap if !self.is_forgetful => {
                Err(format!("{:?} leaves a gap after {}", write.last(), self.last))
            }
            _ => Ok(()),
        }
    }

    fn committed(&mut self, write: &JournalWrite, now: Now) -> Result<(), String> {
        if self.is_forgetful {
            // A write of an owner whose claim was lost takes the game back.
            self.owned(write.owner, now)?;
        } else {
            let newest = self.newest();
            if newest.is_some_and(|newest| newest > write.owner.epoch) {
                return Err(format!(
                    "{:?} commits in epoch {}, after {newest:?} began",
                    write.owner, write.owner.epoch
                ));
            }
            let owner = self.owners.iter().find(|(_, owner)| owner.epoch == write.owner.epoch);
            if owner.is_some_and(|(_, owner)| owner.incarnation != write.owner.incarnation) {
                return Err(format!("{:?} commits in the epoch of {owner:?}", write.owner));
            }
        }
        if let WriteContent::Entries { first, entries } = &write.content {
            self.append(*first, entries)?;
        }
        self.last = self.last.max(write.last());
        Ok(())
    }

    fn append(&mut self, first: EntryNumber, entries: &[bytes::Bytes]) -> Result<(), String> {
        if first > self.last.next() {
            return Err(format!("entry {first} was committed after {}", self.last));
        }
        for (number, bytes) in (first.0..).map(EntryNumber).zip(entries) {
            let content = trace::digest(bytes);
            let before = self.entries.insert(number, content);
            if !self.is_forgetful && before.is_some_and(|before| before != content) {
                return Err(format!("entry {number} was committed twice, with different contents"));
            }
        }
        Ok(())
    }
}

//! A game as the store should have it.

use bytes::Bytes;
use pintail_core::{Epoch, Incarnation};
use pintail_store::{HandOverOutcome, JournalWrite, Owner, SavedSnapshot, WriteContent, WriteOutcome};

/// What the store tells owners apart by.
pub(super) type Token = (Epoch, Incarnation);

/// The token of an owner.
pub(super) fn token(owner: Owner) -> Token {
    (owner.epoch, owner.incarnation)
}

/// The entries that a snapshot contains; each has 8 bytes.
pub(super) fn contained(snapshot: &Bytes) -> Vec<Bytes> {
    snapshot.chunks(8).map(Bytes::copy_from_slice).collect()
}

/// How an owner's token stands to the game's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Own,
    /// The store has forgotten the claim.
    Ahead,
    Fenced,
}

/// A game as the store should have it.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) token: Token,
    pub(super) attempts: u32,
    /// Who handed it to its owner, or set it aside.
    handed_by: Option<Token>,
    pub(super) entries: Vec<Bytes>,
    pub(super) over: bool,
}

impl Model {
    pub(super) fn new(owner: Owner, entries: Vec<Bytes>) -> Self {
        Self { token: token(owner), attempts: 0, handed_by: None, entries, over: false }
    }

    pub(super) fn standing(&self, owner: Owner) -> Standing {
        if self.over || self.token.0 > owner.epoch {
            Standing::Fenced
        } else if self.token.0 < owner.epoch {
            Standing::Ahead
        } else if self.token == token(owner) {
            Standing::Own
        } else {
            Standing::Fenced
        }
    }

    pub(super) fn write(&mut self, write: &JournalWrite) -> WriteOutcome {
        let length = self.entries.len() as u64;
        match (self.standing(write.owner), &write.content) {
            (Standing::Fenced, _) => return WriteOutcome::Fenced,
            (Standing::Ahead, WriteContent::Entries { .. }) => return WriteOutcome::Gap,
            (_, WriteContent::Entries { first, .. }) if first.0 > length + 1 => return WriteOutcome::Gap,
            (_, WriteContent::Entries { first, entries }) => {
                let known = usize::try_from(length + 1 - first.0).unwrap();
                self.entries.extend(entries.iter().skip(known).cloned());
            }
            (Standing::Own, WriteContent::Snapshot(snapshot)) if snapshot.number.0 < length => {}
            (standing, WriteContent::Snapshot(snapshot)) => {
                self.entries = contained(&snapshot.bytes);
                if standing == Standing::Ahead {
                    self.move_to(write.owner);
                }
            }
        }
        self.attempts = 0;
        WriteOutcome::Committed
    }

    /// The game has another owner.
    pub(super) fn move_to(&mut self, owner: Owner) {
        (self.token, self.handed_by) = (token(owner), None);
    }

    /// Checks what a hand-over came to, and does it.
    pub(super) fn handed_over(&mut self, giver: Owner, snapshot: &SavedSnapshot, outcome: HandOverOutcome) {
        if self.handed_by == Some(token(giver)) && !self.over {
            match outcome {
                HandOverOutcome::To(owner) => assert_eq!(token(owner), self.token),
                other => assert_eq!(other, HandOverOutcome::SetAside),
            }
            return;
        }
        if self.standing(giver) == Standing::Fenced {
            assert_eq!(outcome, HandOverOutcome::Fenced);
            return;
        }
        let next = Owner { epoch: giver.epoch.next(), ..giver };
        match outcome {
            HandOverOutcome::NoServer => return,
            HandOverOutcome::SetAside => self.move_to(next),
            HandOverOutcome::To(owner) => {
                assert_eq!(owner.epoch, next.epoch);
                assert_ne!(owner.slot, giver.slot);
                self.move_to(owner);
            }
            other => panic!("{giver:?} owns the game, and hears {other:?}"),
        }
        (self.attempts, self.handed_by) = (0, Some(token(giver)));
        self.entries = contained(&snapshot.bytes);
    }
}

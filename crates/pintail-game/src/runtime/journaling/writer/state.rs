//! Where a writer stands.

use pintail_core::{EntryNumber, Step};
use pintail_store::{SavedSnapshot, WriteContent};

use crate::runtime::Now;

/// A call to the store that is not done.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) asks: Asks,
    pub(super) is_under_way: bool,
    /// Whether it was asked before the last doubt, so that its answer removes none.
    pub(super) is_old: bool,
}

/// What the store is asked.
#[derive(Debug, Clone)]
pub(super) enum Asks {
    /// To keep entries up to this one.
    Entries(EntryNumber),
    Snapshot(SavedSnapshot, Step),
    /// To put the game back into a store that does not know it.
    Restore(SavedSnapshot),
    /// Something that is of no more interest.
    Abandoned,
}

/// Why a snapshot is wanted. A later one includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Nothing,
    /// The journal has grown long.
    Tidying,
    /// The store may lack something that only a snapshot mends.
    Mending,
    /// The store does not know the game.
    Restoring,
}

/// Whether the store has what players are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// It has.
    On,
    /// The game may be another's by now: nothing is shown before a write that was asked since has been committed.
    InDoubt,
    /// It can't be reached, and nothing is written. From this time on it is tried again. → `Returning`
    Off(Now),
    /// The snapshot that brings protection back is under way. → `CatchingUp`
    Returning,
    /// The snapshot is there. Entries up to this one were shown before they were. → `On`
    CatchingUp(EntryNumber),
    /// The game is over and can't be written any more, and what the store has of it does not lead to its end. So the end itself
    /// has to be kept before it is shown. → `Never`
    LastWords(Claim),
    /// The game's value can't be written. The game goes on without protection.
    Never,
}

/// Whether a game that is over is known to be this server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// No other has it: the store said so.
    Sure,
    /// Another may have taken it over.
    Doubtful,
}

/// Something to ask the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outgo {
    Write(WriteContent),
    Restore(SavedSnapshot),
}

/// What an answer of the store means for the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// See what may be shown, and what comes next.
    GoOn,
    /// A write was committed.
    Committed,
    /// The game is another's, or over: drop it.
    Drop,
}

//! What is kept of a journaled game, as bytes: the entries of its journal, and its snapshots.
//!
//! The store keeps them without looking inside. What each byte means, and what a later build may change, stands in
//! `docs/journal.md`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `entry` | one step that consumed something, in a compact binary format |
//! | `snapshot` | everything that a game is, as a header line and JSON |
//! | `varint` | numbers that take as many bytes as they need |

mod entry;
mod snapshot;
mod varint;

use thiserror::Error;

pub(crate) use entry::Entry;
pub(crate) use snapshot::{SavedMessage, SavedSeat, SavedState, Snapshot, base64_text};

/// The version of entries and snapshots that this build writes. It reads this one and those before it.
pub(crate) const FORMAT: u32 = 1;

/// The build that writes snapshots here, for whoever can't read them.
pub(crate) const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Bytes that are no entry, or no snapshot, that this build can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadJournal {
    /// An entry of a later format.
    #[error(
        "the journal entry has format {found}, and this build reads formats up to {FORMAT}: run it with a newer build"
    )]
    NewerEntry {
        /// Its format.
        found: u32,
    },
    /// A snapshot of a later format.
    #[error(
        "the snapshot has format {found} and was written by build {build}; this build ({BUILD}) reads formats up to \
         {FORMAT}: run it with that build or a newer one"
    )]
    NewerSnapshot {
        /// Its format.
        found: u32,
        /// Who wrote it.
        build: String,
    },
    /// The bytes are not those that were written.
    #[error("the {what} is damaged: {problem}")]
    Damaged {
        /// What they should be.
        what: &'static str,
        /// What is wrong with them.
        problem: String,
    },
}

impl BadJournal {
    fn entry(problem: impl Into<String>) -> Self {
        Self::Damaged { what: "journal entry", problem: problem.into() }
    }

    fn snapshot(problem: impl Into<String>) -> Self {
        Self::Damaged { what: "snapshot", problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;

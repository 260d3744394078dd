//! What makes a game outlive its server, as machines that decide and do nothing.
//!
//! | module | for | what it decides |
//! | --- | --- | --- |
//! | `reach` | a game type | how far a game may be shown beyond its last committed entry |
//! | `writer` | a game | what is written to its journal, and how far what is committed lets it be shown |
//! | `voice` | a server | whether it may speak for its games: its lease, and what its gateways see of the store |
//! | `settling` | a game | whom a restored game waits for, and from which step on it takes events again |
//! | `departure` | a game | how it leaves for another server |
//! | `moves` | a server | which games leave when |
//! | `takeover` | a server | which games of others it claims, and when |
//! | `refresh` | a server | which games are written anew when, after the store may have lost something |

pub(super) mod departure;
pub(super) mod moves;
pub(super) mod reach;
pub(super) mod refresh;
pub(super) mod settling;
pub(super) mod takeover;
pub(super) mod voice;
pub(super) mod writer;

pub(crate) use departure::Departure;
pub(crate) use reach::Reach;
pub(crate) use settling::Settling;
pub(crate) use voice::Stance;
pub(crate) use writer::{Outgo, Purpose, Reaction, Writer};

use super::Now;

/// What a journaled game has beside an ephemeral one.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) writer: Writer,
    /// Until a restored game takes events again.
    pub(crate) settling: Option<Settling>,
    /// While the game is on its way to another server.
    pub(crate) departure: Option<Departure>,
    /// When a game that was taken over is written anew, which proves that it can be run.
    pub(crate) prove_at: Option<Now>,
    /// How many players wait until their attach is committed.
    pub(crate) parked: usize,
    /// When something of all this is due by itself, as of the game's last turn.
    pub(crate) due: Option<Now>,
}

impl Journal {
    pub(crate) const fn new(writer: Writer) -> Self {
        Self { writer, settling: None, departure: None, prove_at: None, parked: 0, due: None }
    }

    /// Whether the game may take a step.
    pub(crate) fn may_step(&self) -> bool {
        self.settling.is_none() && self.departure.is_none() && self.writer.has_room()
    }
}

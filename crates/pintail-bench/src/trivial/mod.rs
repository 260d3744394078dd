//! The trivial server: the least that this machine takes for a load, so that a report can say how many times that Pintail
//! takes.
//!
//! It is one process and one thread. To the players it is a gateway with a lobby and a game of echo behind it, but there is
//! nothing behind it: no other process, no store, no journal, nothing that could be taken over. While a load is measured it
//! does to each frame what can't be left out: read it, find who it is for, write it again with their numbers; with one
//! write for all that a wake-up brought a connection.

mod desk;
mod server;

use crate::scenario::Scenario;

pub use server::serve;

/// Whether it can take the place of a cluster in this scenario: it knows echo, and the relay to a room.
#[must_use]
pub fn can_take(scenario: &Scenario) -> bool {
    matches!(scenario, Scenario::Echo(_) | Scenario::Broadcast(_))
}

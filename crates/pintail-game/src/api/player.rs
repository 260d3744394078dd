//! A player as a game sees one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A player's seat in one game, counted from 0 in the order of the room. It stays the same for the whole game, so it
/// can stand in the game's state and in its messages.
///
/// A client may send any number as a `Player`. Every use of one that has no seat is harmless: a message to it goes
/// nowhere, and [`Context::is_connected`](crate::Context::is_connected) says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Player(u16);

impl Player {
    /// The player in this seat.
    #[must_use]
    pub const fn new(seat: u16) -> Self {
        Self(seat)
    }

    /// The seat as an index into a list that has one entry a seat.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The seats of the first `count` players.
    pub fn seats(count: usize) -> impl ExactSizeIterator<Item = Self> + Clone {
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        (0..count).map(Self)
    }
}

impl fmt::Display for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a game can know about a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayerInfo<'a> {
    /// The seat.
    pub player: Player,
    /// The name, which need not be unique.
    pub name: &'a str,
    /// Whether the player is attached to the game now.
    pub connected: bool,
}

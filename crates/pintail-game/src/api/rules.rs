//! What a game type asks of the server that runs its games.

use std::time::Duration;

use pintail_core::Durability;
use pintail_core::limits::ROOM_PLAYERS_MAX;

/// When a game takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As soon as something arrives, or a wake-up is due. For games of turns.
    EventDriven,
    /// This many times a second, whatever arrives; inputs wait for the next step. For games in real time.
    FixedSteps(u16),
}

impl Pace {
    /// The most steps a second.
    pub const STEPS_PER_SECOND_MAX: u16 = 120;
}

/// What a game type asks of the server. A constant, so rules that can't be do not compile:
///
/// ```
/// # use pintail_game::Rules;
/// const RULES: Rules = Rules::ephemeral().players(2, 16).fixed_steps(20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub(crate) players_min: u32,
    pub(crate) players_max: u32,
    pub(crate) pace: Pace,
    pub(crate) durability: Durability,
    pub(crate) grace: Duration,
}

impl Rules {
    /// The rules of games that live in memory only and end with their server: two players, event-driven, 30 seconds
    /// of grace.
    #[must_use]
    pub const fn ephemeral() -> Self {
        Self {
            players_min: 2,
            players_max: 2,
            pace: Pace::EventDriven,
            durability: Durability::Ephemeral,
            grace: Duration::from_secs(30),
        }
    }

    /// The rules of games that outlive their server: what happens to one is written to a journal in the store before
    /// anyone is shown what came of it, and another server goes on with it. Otherwise as [`ephemeral`](Self::ephemeral).
    #[must_use]
    pub const fn journaled() -> Self {
        Self { durability: Durability::Journaled, ..Self::ephemeral() }
    }

    /// How many players a game takes.
    ///
    /// # Panics
    /// If `min` is 0 or over `max`, or `max` is over 256, the most that a room takes.
    #[must_use]
    pub const fn players(mut self, min: u32, max: u32) -> Self {
        assert!(1 <= min && min <= max && max <= ROOM_PLAYERS_MAX, "a game takes 1 to 256 players, min before max");
        self.players_min = min;
        self.players_max = max;
        self
    }

    /// Steps this many times a second instead of when something happens.
    ///
    /// # Panics
    /// If it is 0 or over [`Pace::STEPS_PER_SECOND_MAX`].
    #[must_use]
    pub const fn fixed_steps(mut self, per_second: u16) -> Self {
        assert!(1 <= per_second && per_second <= Pace::STEPS_PER_SECOND_MAX, "a game steps 1 to 120 times a second");
        self.pace = Pace::FixedSteps(per_second);
        self
    }

    /// How long a player who lost the connection keeps the seat.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether this many players can play.
    #[must_use]
    pub fn takes(&self, players: usize) -> bool {
        (self.players_min as usize..=self.players_max as usize).contains(&players)
    }
}

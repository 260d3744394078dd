//! The games of one server, decided without IO: no clock, no socket, no store.
//!
//! ```text
//!  frames, letters, answers of the store        deliveries, calls to the store
//!        │                                                  ▲
//!        ▼                                                  │
//!  host ──▶ running game ──▶ turn (handlers of the game) ──▶ commit gate ──▶ effects
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `host` | all games of a server: finds the game that an event is for, and the time of the next one |
//! | `running` | one game: when it steps, what becomes of its messages, how it ends; and how it comes back |
//! | `journaling` | what makes a game outlive its server: writing, speaking, settling, claiming, leaving |
//! | `seat` | one player's end of the session stream, and what happens when the connection is lost |
//! | `schedule` | when a game steps next, and what time it is in the game |
//! | `ending` | what is left to do for a game that is over |
//! | `turn` | what a step consumes and produces |
//! | `gate` | where a step's messages wait until they may be shown |
//! | `contain` | what keeps a panic of game code inside its game |
//! | `current` | which game has its turn |
//! | `step_times` | how long steps take |
//! | `effects` | what the shell around the host has to do |

pub(crate) mod contain;
mod current;
pub mod effects;
pub(crate) mod ending;
pub(crate) mod gate;
pub mod host;
pub(crate) mod journaling;
pub(crate) mod running;
pub(crate) mod schedule;
pub(crate) mod seat;
mod step_times;
pub(crate) mod turn;

pub use current::CurrentGame;
pub use effects::{Command, Delivery, Effects, Stats};
pub use host::{GameHost, GameNow, HostEvent, JournalPolicy};
pub(crate) use step_times::GameTimes;
pub use step_times::{BUCKETS, StepTimes};
pub(crate) use turn::{Batch, Turn};
pub use turn::{Emission, Event, Recipients, Urgency};

use std::ops::Add;
use std::time::Duration;

/// A moment, as the time since the host began. The shell reads it off a monotonic clock; tests make it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Now(pub Duration);

impl Now {
    /// How long ago `earlier` was; nothing if it is yet to come.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// How long a turn may take. It is looked at between two games and between two steps: whatever runs then is not cut off.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    clock: &'a dyn Fn() -> Now,
    until: Now,
}

impl<'a> Budget<'a> {
    /// Until this time, by this clock.
    #[must_use]
    pub const fn new(clock: &'a dyn Fn() -> Now, until: Now) -> Self {
        Self { clock, until }
    }

    /// Whether it is spent.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.is_spent_at(self.now())
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Now {
        (self.clock)()
    }

    /// Whether it is spent at this time.
    pub(crate) fn is_spent_at(&self, now: Now) -> bool {
        now >= self.until
    }
}

impl std::fmt::Debug for Budget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("until", &self.until).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

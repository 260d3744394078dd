//! I7: when faults are over, every game that is not over goes on within a bounded time, and every player is attached.

use std::collections::BTreeMap;

use pintail_core::Step;
use pintail_wire::client::GameDetachReason;

use super::Player;

/// The invariant's name in a failure.
pub const NAME: &str = "I7 liveness";

/// How a player stands to a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The stream is open.
    Attached,
    /// It is not, and the client tries.
    Detached,
    /// It is closed for good.
    Closed(GameDetachReason),
    /// The player has seen the end.
    SawEnd,
}

/// How far a game is, as its players see it.
#[derive(Debug, Default)]
pub struct Liveness {
    standings: BTreeMap<u16, (u32, Standing)>,
    /// The last step that anyone was shown.
    step: Step,
    /// The same at an earlier look.
    before: Step,
}

impl Liveness {
    /// The player's standing has changed.
    pub fn stands(&mut self, player: Player, standing: Standing) {
        self.standings.insert(player.seat, (player.life, standing));
    }

    /// A client was started anew.
    pub fn restarted(&mut self, player: Player) {
        if !matches!(self.standings.get(&player.seat), Some((_, Standing::SawEnd))) {
            self.stands(player, Standing::Detached);
        }
    }

    /// A step was shown.
    pub fn shown(&mut self, step: Step) {
        self.step = self.step.max(step);
    }

    /// The game goes on from an earlier state: its steps may be lower than those shown before.
    pub fn went_back(&mut self) {
        (self.step, self.before) = (Step(0), Step(0));
    }

    /// How a seat stands.
    #[must_use]
    pub fn standing(&self, seat: u16) -> Standing {
        self.standings.get(&seat).map_or(Standing::Detached, |(_, standing)| *standing)
    }

    /// Looks at how far the game is.
    pub fn look(&mut self) {
        self.before = self.step;
    }

    /// Whether the players who still belong to the game are attached.
    ///
    /// # Errors
    /// If one is not.
    pub fn all_attached(&self, seats: impl Iterator<Item = u16>) -> Result<(), String> {
        for seat in seats {
            let standing = self.standing(seat);
            if standing != Standing::Attached {
                return Err(format!("long after the last fault, seat {seat} is {standing:?}"));
            }
        }
        Ok(())
    }

    /// Whether the game has gone on since the last look.
    ///
    /// # Errors
    /// If it has not.
    pub fn went_on(&self) -> Result<(), String> {
        if self.step > self.before {
            return Ok(());
        }
        Err(format!("long after the last fault, the game stands still at {}", self.step))
    }
}

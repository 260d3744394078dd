//! Finds game code that is not deterministic before it matters: beside a live game, a [`Shadow`] is played that gets the same
//! events a step later, and everything that comes of them is compared.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `shadow` | the game beside the game |
//! | `difference` | what differs, in words |

mod difference;
mod shadow;

use std::collections::BTreeSet;

use pintail_core::{GameId, GameType};
use tracing::error;

pub(crate) use difference::{Difference, Kind};
pub(crate) use shadow::Shadow;

/// Whether a server plays each game twice to find code that is not deterministic. It costs as much again as the games
/// themselves, so it is for development.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelfCheck {
    /// Games are played once.
    #[default]
    Off,
    /// Each game has a shadow, and what differs is logged as an error, once for each game type and kind of difference.
    On,
}

/// What was found so far on a server, so that nothing is told twice.
#[derive(Debug, Default)]
pub(crate) struct Findings(BTreeSet<(GameType, Kind)>);

impl Findings {
    /// Takes note of a difference, and logs it if it is the first of its kind in games of its type. Returns whether it was.
    pub(crate) fn note(&mut self, game: GameId, game_type: &GameType, difference: &Difference) -> bool {
        let is_new = self.0.insert((game_type.clone(), difference.kind()));
        if is_new {
            error!(
                %game,
                %game_type,
                step = %difference.step,
                "this game type is not deterministic, so its games won't survive their server: {difference}"
            );
        }
        is_new
    }
}

#[cfg(test)]
mod tests;

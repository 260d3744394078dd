//! What operators are told of the games.

use std::cmp::Reverse;

use serde::Serialize;

use super::GameHost;
use crate::runtime::Now;
use crate::runtime::running::RunningGame;

/// A game as operators see it. Times of steps are of this server alone: a game that was taken over begins anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GameNow {
    /// Its id.
    pub id: String,
    /// Its type.
    pub game_type: String,
    /// The last step that it took.
    pub step: u64,
    /// How many players it has, and how many of them are attached.
    pub players: usize,
    /// How many of them are attached.
    pub attached: usize,
    /// How long its last step took.
    pub step_seconds_last: f64,
    /// How long a step took on average.
    pub step_seconds_mean: f64,
    /// How long the slowest step took.
    pub step_seconds_max: f64,
    /// What protects it from the end of its server: `journal`; `none` if it is ephemeral; `lost` if the store can't be
    /// reached.
    pub protection: &'static str,
    /// How long the write to its journal that is under way has been so; none if none is.
    pub commit_lag_seconds: Option<f64>,
    /// Whether it is over, and only some do not know that yet.
    pub is_over: bool,
}

impl GameNow {
    fn new(now: Now, game: &RunningGame) -> Self {
        let order = game.order();
        let protection = match (game.is_journaled(), game.is_unprotected()) {
            (false, _) => "none",
            (true, true) => "lost",
            (true, false) => "journal",
        };
        Self {
            id: order.id.to_string(),
            game_type: order.game_type.to_string(),
            step: game.step_taken().0,
            players: order.players.len(),
            attached: game.attached_count(),
            step_seconds_last: game.times.last().as_secs_f64(),
            step_seconds_mean: game.times.mean().as_secs_f64(),
            step_seconds_max: game.times.max().as_secs_f64(),
            protection,
            commit_lag_seconds: game.commit_lag(now).map(|lag| lag.as_secs_f64()),
            is_over: !game.is_live(),
        }
    }
}

impl GameHost {
    /// How many games are here, those that are over and not yet forgotten included.
    #[must_use]
    pub fn games_count(&self) -> usize {
        self.games.len()
    }

    /// The games whose steps take longest on average, at most so many, the slowest first.
    #[must_use]
    pub fn slowest_games(&self, now: Now, limit: usize) -> Vec<GameNow> {
        let mut games: Vec<_> = self.games.values().map(|game| (Reverse(game.times.mean()), game.order().id)).collect();
        if games.len() > limit {
            // Only those that are told have to be in order.
            games.select_nth_unstable(limit);
            games.truncate(limit);
        }
        games.sort_unstable();
        games.iter().map(|(_, id)| GameNow::new(now, &self.games[id])).collect()
    }
}

//! How the author of a game makes bots for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A player of a game.
pub trait Bot {
    /// It is time for this bot's next move, see [`BotKind::every`].
    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        let _ = ctx;
    }
}

/// What a bot can see and do.
pub struct BotContext<'a> {
    nothing: std::marker::PhantomData<&'a ()>,
}

/// Bots of one kind, for one game.
#[derive(Clone)]
pub struct BotKind {
    /// What the scenario is called on the command line.
    pub name: String,
    /// The type of game that they play.
    pub game: String,
    /// The game's settings as JSON; empty for its defaults.
    pub settings: String,
    /// How many of them play in a room.
    pub room_players: u32,
    /// How much time is between two moves of a bot; `None` if it only ever answers.
    pub every: Option<Duration>,
    /// Makes a bot, from a seed of its own.
    pub make: Arc<dyn Fn(u64) -> Box<dyn Bot> + Send + Sync>,
}

impl fmt::Debug for BotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BotKind").field("name", &self.name).field("game", &self.game).finish_non_exhaustive()
    }
}

/// Bots by the name of their scenario.
#[derive(Debug, Clone, Default)]
pub struct Bots(BTreeMap<String, BotKind>);

//! The trait that a game implements.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Context, Payload, Player, Rules};

/// A game: a value with handlers. One value is one running game.
///
/// The handlers make a deterministic state machine: what they do follows from the value, the arguments and the
/// [`Context`] alone. So no clock, no randomness but [`Context::rng`], no threads, no files, and no iterating over
/// `HashMap`, whose order differs from run to run (`BTreeMap` keeps one).
/// [`testing::assert_deterministic`](crate::testing::assert_deterministic) finds most slips.
///
/// The value is what a snapshot of the game holds, as JSON: self-describing, so that a later version of the game,
/// whose new fields have `#[serde(default)]`, reads what an earlier one wrote. JSON maps have strings or integers as
/// keys; for others, keep a list of pairs.
///
/// A handler that panics ends its own game, as crashed, and no other.
pub trait Game: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The name of the game type: lower-case letters, digits, `-` and `_`, at most 32.
    const NAME: &'static str;

    /// What the game asks of its server.
    const RULES: Rules;

    /// What the owner of a room can choose, as JSON; no settings at all are the default. Put
    /// `#[serde(default, deny_unknown_fields)]` on it, so that a misspelt setting is refused and not ignored.
    type Settings: Serialize + DeserializeOwned + Default;

    /// What players send: [`Json`](crate::Json), [`Postcard`](crate::Postcard) or [`Bytes`](bytes::Bytes).
    ///
    /// Bytes that are no such message never reach the game, and take their sender out of it: no correct client sends them,
    /// and the client library does not come back to that game. What a correct client may send although the rules forbid it should be readable, and be answered in
    /// [`input`](Self::input).
    type Input: Payload;

    /// What the game sends.
    type Output: Payload;

    /// Checks settings. Lobbies ask when a room is made, and the server again before [`new`](Self::new).
    ///
    /// # Errors
    /// If no game can be played with them.
    fn check(settings: &Self::Settings) -> Result<(), Refusal> {
        let _ = settings;
        Ok(())
    }

    /// Starts a game. The players are known and not yet attached; what is sent to them waits for them.
    ///
    /// # Errors
    /// If the game can't be played by these players. It ends as refused.
    fn new(settings: Self::Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal>;

    /// A player attached for the first time.
    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        let _ = (ctx, player);
    }

    /// A player is gone for good. Called once for each player who goes, joined before or not.
    fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, reason: LeaveReason) {
        let _ = (ctx, player, reason);
    }

    /// A player lost the connection, and comes [`back`](Self::back) or [`leave`](Self::leave)s when the grace is over.
    fn away(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        let _ = (ctx, player);
    }

    /// A player who was away is attached again. Messages that were missed are sent again by themselves.
    fn back(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        let _ = (ctx, player);
    }

    /// A player sent something. Each input arrives exactly once, in the order in which the player sent them.
    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Self::Input);

    /// Time has come: at each fixed step, or when a wake-up set by [`Context::wake_in`] is due. What arrived for the
    /// same step was handled before.
    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        let _ = ctx;
    }

    /// A player was too far behind, and missed messages for good: send what is needed to go on. (Messages of the same
    /// step may reach the player before those that are sent here.)
    fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        let _ = (ctx, player);
    }
}

/// Why a player is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    /// The player left the room or was kicked from it.
    LeftRoom,
    /// The player was away for longer than the grace, or never came.
    TimedOut,
}

/// Why a game can't be played: a sentence for the players.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    /// A refusal for this reason.
    #[must_use]
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

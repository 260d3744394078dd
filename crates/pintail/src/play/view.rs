//! What a game looks like in the terminal.

use std::time::Instant;

use bytes::Bytes;

use super::arena::ArenaView;
use super::echo::EchoView;
use super::gomoku::GomokuView;
use super::json::JsonView;

/// One game, from its first message to its end. It decides what to show and what to send, and does neither itself.
pub(crate) trait GameView: Send {
    /// What to show when the game says something.
    fn message(&mut self, payload: &Bytes, now: Instant) -> Vec<String>;

    /// The game's newest state message. It is shown at the next [`refresh`](Self::refresh).
    fn state(&mut self, payload: &Bytes) {
        let _ = payload;
    }

    /// What to do with a line that the player typed.
    fn typed(&mut self, line: &str, now: Instant) -> Typed;

    /// What to show now and then, whether something arrived or not.
    fn refresh(&mut self, now: Instant) -> Vec<String> {
        let _ = now;
        Vec::new()
    }

    /// What can be typed.
    fn help(&self) -> &'static str;

    /// Whether any line can be meant for the game, so that commands need a slash before them.
    fn takes_any_text(&self) -> bool {
        false
    }

    /// Whether the view has told by itself how the game ended.
    fn has_told_end(&self) -> bool {
        false
    }
}

/// What a typed line means to a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// An input for the game.
    Send(Bytes),
    /// A word for the player.
    Say(String),
}

impl Typed {
    pub(crate) fn say(sentence: impl Into<String>) -> Self {
        Self::Say(sentence.into())
    }
}

/// The view of a type of game; those that are not known here speak JSON.
pub(crate) fn of_type(game_type: &str) -> Box<dyn GameView> {
    match game_type {
        "gomoku" => Box::new(GomokuView::default()),
        "arena" => Box::new(ArenaView::default()),
        "echo" | "echo-journaled" => Box::new(EchoView::default()),
        _ => Box::new(JsonView),
    }
}

//! What can go wrong for a player, in words short enough to be counted by.

use std::io::ErrorKind;

use pintail_wire::client::{Error, ErrorCode, GameDetachReason, GameEndReason, Goodbye, GoodbyeReason};
use thiserror::Error;

/// What went wrong. Its text names no player and no address: reports count by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Trouble {
    /// Nobody listens, or too late.
    #[error("no connection: {0}")]
    Unreachable(ErrorKind),
    /// No WebSocket can be had there.
    #[error("no WebSocket: the handshake failed")]
    Handshake,
    /// The connection ended without a word.
    #[error("connection lost: {0}")]
    Lost(ErrorKind),
    /// The gateway closed the connection: the player's fault.
    #[error("cut off: {}", .0.as_str_name())]
    CutOff(ErrorCode, Retry),
    /// The gateway closed the connection: its own affair.
    #[error("goodbye: {}", .0.as_str_name())]
    Goodbye(GoodbyeReason, Retry),
    /// Nothing came back for too long.
    #[error("no answer: {0}")]
    Silent(&'static str),
    /// A lobby server refused.
    #[error("{request} refused: {}", code.as_str_name())]
    Refused {
        /// What was asked for.
        request: &'static str,
        /// Why not.
        code: ErrorCode,
        /// Whether it can succeed later.
        retry: Retry,
    },
    /// The game pauses.
    #[error("game paused: {}", .0.as_str_name())]
    Paused(GameDetachReason),
    /// The game wants this player no more.
    #[error("out of the game: {}", .0.as_str_name())]
    Detached(GameDetachReason),
    /// The game ended for another reason than that it was over.
    #[error("game ended: {}", .0.as_str_name())]
    GameEnded(GameEndReason),
    /// The room is there no more for this player.
    #[error("no longer in the room")]
    RoomLost,
    /// What came can't be understood.
    #[error("malformed frame")]
    Malformed,
    /// The bot's own code failed.
    #[error("a bot panicked")]
    BotPanicked,
    /// The game has as many inputs unacknowledged as it may have.
    #[error("input not sent: too many are unacknowledged")]
    HeldBack,
}

/// Whether the same may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It may.
    Later,
    /// It won't.
    Never,
}

impl From<bool> for Retry {
    fn from(retry: bool) -> Self {
        if retry { Self::Later } else { Self::Never }
    }
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        Self::CutOff(error.code(), error.retry.into())
    }
}

impl From<&Goodbye> for Trouble {
    fn from(goodbye: &Goodbye) -> Self {
        Self::Goodbye(goodbye.reason(), goodbye.reconnect.into())
    }
}

impl Trouble {
    /// Whether the player can go on over another connection.
    pub(crate) fn is_curable(self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::Silent(_) | Self::Malformed => true,
            Self::CutOff(_, retry) | Self::Goodbye(_, retry) => retry == Retry::Later,
            _ => false,
        }
    }
}

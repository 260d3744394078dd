//! Why a request is not done.

use pintail_core::Retry;
use pintail_engine::room::{CorruptRoom, RoomError};
use pintail_store::StoreError;
use pintail_wire::client::{Error, ErrorCode};
use thiserror::Error;

/// Why a request is not done, as a sentence for the player.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The room says no.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The store is in trouble. What it says is for operators.
    #[error("the lobby can't reach its store at the moment; try again")]
    Store(#[from] StoreError),
    /// What the store holds is no room.
    #[error("the room is damaged and will be removed; the operator's log says more")]
    Corrupt(#[from] CorruptRoom),
    /// Others kept changing the room.
    #[error("too many players change this room at once; try again")]
    Contention,
    /// Not done within the lobby's own deadline.
    #[error("the lobby is too slow at the moment; try again")]
    TooSlow,
    /// Too many requests wait.
    #[error("too many requests at once; try again in a moment")]
    Overload,
    /// No server for the game.
    #[error("no game server is free at the moment; try again")]
    NoGameServer,
    /// The bytes are no request that this lobby knows.
    #[error("the request can't be read: {0}")]
    Malformed(String),
    /// The player's name can't be one.
    #[error("{0}")]
    BadPlayerName(String),
}

impl Refusal {
    /// The stable code of the wire.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Room(error) => room_code(error),
            Self::Store(_) | Self::Corrupt(_) | Self::Contention | Self::TooSlow => ErrorCode::Unavailable,
            Self::Overload => ErrorCode::TooManyRequests,
            Self::NoGameServer => ErrorCode::NoGameServer,
            Self::Malformed(_) => ErrorCode::BadRequest,
            Self::BadPlayerName(_) => ErrorCode::BadName,
        }
    }

    /// Whether the same request can succeed later.
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Room(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Contention | Self::TooSlow | Self::Overload | Self::NoGameServer => Retry::Later,
            Self::Corrupt(_) | Self::Malformed(_) | Self::BadPlayerName(_) => Retry::Never,
        }
    }

    /// The message of the wire.
    pub(crate) fn to_error(&self) -> Error {
        Error { code: self.code().into(), message: self.to_string(), retry: self.retry() == Retry::Later }
    }
}

fn room_code(error: &RoomError) -> ErrorCode {
    match error {
        RoomError::NotFound | RoomError::UnknownInvite => ErrorCode::RoomNotFound,
        RoomError::Full { .. } => ErrorCode::RoomFull,
        RoomError::NotOwner => ErrorCode::NotOwner,
        RoomError::NotReady(_) => ErrorCode::NotReady,
        RoomError::TooFewPlayers { .. } => ErrorCode::TooFewPlayers,
        RoomError::BadPlayerCount { .. } => ErrorCode::BadPlayerCount,
        RoomError::UnknownGame { .. } => ErrorCode::UnknownGame,
        RoomError::BadSettings(_) => ErrorCode::BadSettings,
        RoomError::BadName(_) | RoomError::BadChat(_) | RoomError::KickedOneself => ErrorCode::BadRequest,
        RoomError::AlreadyInRoom => ErrorCode::AlreadyInRoom,
        RoomError::NotInRoom => ErrorCode::NotInRoom,
        RoomError::GameRunning => ErrorCode::GameRunning,
        RoomError::UnknownPlayer => ErrorCode::UnknownPlayer,
    }
}

//! What the machine is told and what it wants done.

use std::time::Instant;

use bytes::Bytes;
use pintail_core::{GameId, RequestId, ResumeToken, SessionId};
use pintail_wire::Frame;
use pintail_wire::client::{LobbyRequest, Room, RoomPage};

use crate::{CallError, Disconnect, Ended, Event};

/// What the machine is told.
#[derive(Debug)]
pub enum Happening {
    /// The dial succeeded.
    Connected,
    /// The dial failed, or the connection is gone.
    Lost(Disconnect),
    /// A frame arrived.
    Frame(Frame),
    /// The application makes a lobby call, under an id from [`Machine::new_request_id`](super::Machine::new_request_id).
    Call { id: RequestId, request: LobbyRequest, deadline: Instant },
    /// The application wants into this game.
    Attach(GameId),
    /// The application sends to its game, and [`Machine::can_send`](super::Machine::can_send) said yes.
    Input(Bytes),
    /// The application ends the session.
    Logout,
    /// The application closes the client; the session can be resumed.
    Close,
    /// [`Machine::deadline`](super::Machine::deadline) may have passed.
    Timer,
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Open a connection to the address of this index, instead of any other.
    Dial(usize),
    /// Drop the connection, or the attempt to open one.
    Hangup,
    /// Send a frame of this kind with this body.
    Frame(u8, Bytes),
    /// This is who the session is.
    Identify(Identity),
    /// Tell the application.
    Emit(Event),
    /// Answer a call.
    Answer(RequestId, Result<Reply, CallError>),
    /// It is over. Nothing comes after it.
    End(Ended),
}

/// Who the gateway says the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub(crate) session: SessionId,
    pub(crate) name: String,
    pub(crate) resume_token: ResumeToken,
}

/// The answer to a lobby call.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Room(Option<Room>),
    Rooms(RoomPage),
}

/// Whether an input can be numbered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sendable {
    Now,
    /// The stream is full or not open yet.
    Later,
    NoGame,
}

//! Why a connection was lost, why a client ended, why a call failed.

use std::time::Duration;

use pintail_wire::client::{ErrorCode, GoodbyeReason};
use thiserror::Error;

/// Why a connection was lost or did not come about. The client connects again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Disconnect {
    /// No connection could be opened.
    #[error("can't connect to {address}: {cause}")]
    Unreachable {
        /// The gateway's address.
        address: String,
        /// What the operating system or the WebSocket handshake said.
        cause: String,
    },
    /// There is no TLS to be had with the gateway, or it is not trusted.
    #[error("no TLS with {address}: {cause}")]
    Tls {
        /// The gateway's address.
        address: String,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The gateway closed the connection without a word.
    #[error("the gateway closed the connection without a goodbye")]
    Closed,
    /// Opening the connection or logging in took too long.
    #[error("the gateway did not finish the login in {0:?}")]
    LoginTimeout(Duration),
    /// Nothing was heard from the gateway for two ping intervals.
    #[error("nothing was heard from the gateway for {0:?}")]
    Silent(Duration),
    /// What arrived is not Pintail's protocol.
    #[error("the gateway sent what the protocol does not allow: {0}")]
    Malformed(String),
    /// The gateway closed the connection in order, and asks to come back.
    #[error("the gateway said goodbye ({}): {message}", .reason.as_str_name())]
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// A sentence for people.
        message: String,
    },
    /// The gateway closed the connection with an error.
    #[error("the gateway closed the connection ({}): {message}", .code.as_str_name())]
    Refused {
        /// Which error.
        code: ErrorCode,
        /// A sentence for people.
        message: String,
    },
}

impl Disconnect {
    /// Whether the gateway said so itself, rather than nothing.
    pub(crate) const fn is_answer(&self) -> bool {
        matches!(self, Self::Goodbye { .. } | Self::Refused { .. })
    }
}

/// Why a client ended for good.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ended {
    /// This program closed it. The session can be resumed.
    #[error("the client was closed by its program")]
    Closed,
    /// The session was logged out.
    #[error("the session was logged out; connect again for a new one")]
    LoggedOut,
    /// The same session connected again elsewhere.
    #[error("the same session connected again elsewhere, and the newest connection wins")]
    Replaced,
    /// The gateway refused the login, and would again.
    #[error("the gateway refused the login ({}): {message}", .code.as_str_name())]
    LoginRefused {
        /// Which error.
        code: ErrorCode,
        /// A sentence for people.
        message: String,
    },
    /// The gateway closed the connection and does not want it back.
    #[error("the gateway said goodbye for good ({}): {message}", .reason.as_str_name())]
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// A sentence for people.
        message: String,
    },
    /// After a reconnect the gateway gave another session than before.
    #[error("the session could not be resumed: the gateway gave another one; connect again to play on as that")]
    SessionLost,
    /// No gateway let the client in for too long.
    #[error("no gateway could be reached for {after:?}; the last attempt: {last}")]
    GaveUp {
        /// How long it tried.
        after: Duration,
        /// What the last attempt met.
        last: Disconnect,
    },
    /// A gateway's address is for TLS, and there is nobody to trust.
    #[error(
        "this machine has no certificates of authorities to trust, so no gateway can be reached over TLS: install \
         ca-certificates, or name those to trust yourself"
    )]
    NobodyTrusted,
    /// The configuration names no gateway.
    #[error("the configuration has no gateway address; add at least one")]
    NoAddress,
}

/// Why a lobby call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallError {
    /// The lobby or the gateway said no.
    #[error("refused ({}): {message}", .code.as_str_name())]
    Refused {
        /// Which error.
        code: ErrorCode,
        /// A sentence for people.
        message: String,
        /// Whether the same call can succeed later.
        retry: bool,
    },
    /// No answer came in time, reconnects included. Whether the call took effect is unknown: ask with
    /// [`Client::room`](crate::Client::room).
    #[error("no answer came in time; whether the request took effect is unknown")]
    Timeout,
    /// The answer is one to another kind of request: a bug of the server.
    #[error("the answer does not fit the request, which is a bug of the server")]
    Unexpected,
    /// The client ended.
    #[error("the client has ended: {0}")]
    Ended(#[from] Ended),
}

/// Why an input was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The client is in no game, or its game just ended.
    #[error("there is no game to send to; wait for Event::GameAttached")]
    NoGame,
    /// The payload does not fit a frame.
    #[error("an input has at most {limit} bytes; this one has {bytes}")]
    TooLarge {
        /// The payload's size.
        bytes: usize,
        /// The most that fits.
        limit: usize,
    },
    /// The value could not be written as JSON.
    #[error("the input can't be written as JSON: {0}")]
    Json(String),
    /// The client ended.
    #[error("the client has ended: {0}")]
    Ended(#[from] Ended),
}

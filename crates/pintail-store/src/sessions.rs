//! Who is logged in, where, and which connection is the current one.

use async_trait::async_trait;
use pintail_core::{Generation, Incarnation, PlayerName, SessionId, Slot, TokenHash};

use crate::Result;

/// A login at a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The session.
    pub session: SessionId,
    /// The hash of its resume token.
    pub token: TokenHash,
    /// Creates the session, or resumes it.
    pub mode: LoginMode,
    /// The gateway.
    pub gateway: Slot,
    /// The gateway's incarnation.
    pub incarnation: Incarnation,
}

/// Whether a login makes a session or comes back to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginMode {
    /// A new guest of this name. If the session is there already (a repeated attempt), its token must be its own.
    New(PlayerName),
    /// The session must be there, and the token must be its own. A name replaces the old one.
    Resume(Option<PlayerName>),
}

/// How a login went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The connection is the session's current one.
    Accepted {
        /// Its number.
        generation: Generation,
        /// The session's name.
        name: PlayerName,
    },
    /// There is no such session, or it has expired.
    Unknown,
    /// The token is not the session's.
    WrongToken,
}

/// A connection that a gateway holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession {
    /// The session.
    pub session: SessionId,
    /// Which of its connections this is.
    pub generation: Generation,
    /// The session's name.
    pub name: PlayerName,
    /// The hash of its resume token.
    pub token: TokenHash,
}

/// The sessions of the gateways.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// Makes this connection the session's current one and starts the session's time anew. If another gateway holds
    /// an older connection, it is sent [`Letter::SessionMoved`](crate::Letter::SessionMoved).
    async fn login(&self, login: &Login) -> Result<LoginOutcome>;

    /// The session's connection of this generation is lost. No effect if a newer one is there.
    async fn session_away(&self, session: SessionId, generation: Generation) -> Result<()>;

    /// Ends the session, if this is its current generation. Returns whether it was. If it is in a room, it is listed
    /// by [`sessions_away`](Self::sessions_away) from now on, so that a lobby takes it out.
    async fn logout(&self, session: SessionId, generation: Generation) -> Result<bool>;

    /// Says which connections a gateway holds: starts their sessions' time anew, and puts back what the store lost (it
    /// came back empty or old, or it took the gateway for gone). Returns the sessions that have a newer connection.
    async fn hold_sessions(
        &self,
        gateway: Slot,
        incarnation: Incarnation,
        sessions: &[HeldSession],
    ) -> Result<Vec<SessionId>>;

    /// Sessions that have been away for at least `min_age_ms`, oldest first.
    async fn sessions_away(&self, min_age_ms: u64, limit: u32) -> Result<Vec<SessionId>>;

    /// The session's absence is dealt with: it leaves the list of [`sessions_away`](Self::sessions_away).
    async fn settle_away(&self, session: SessionId) -> Result<()>;
}

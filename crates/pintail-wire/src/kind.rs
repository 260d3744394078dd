//! The kinds of frames: one byte after the length.
//!
//! On a client connection, kinds below 128 come from the client and kinds from 128 on from the gateway.
//! On a link, kinds below 128 come from the gateway and kinds from 128 on from the server.

/// Frames between client and gateway.
pub mod client {
    /// Client: [`Login`](crate::client::Login), the first frame.
    pub const LOGIN: u8 = 1;
    /// Client: up to 64 bytes, sent back in a [`PONG`].
    pub const PING: u8 = 2;
    /// Client: empty; ends the session.
    pub const LOGOUT: u8 = 3;
    /// Client: request id (8 bytes, big-endian), then a [`LobbyRequest`](crate::client::LobbyRequest).
    pub const LOBBY_REQUEST: u8 = 16;
    /// Client: [`GameAttach`](crate::client::GameAttach).
    pub const GAME_ATTACH: u8 = 32;
    /// Client: an input, see [`game`](crate::game).
    pub const GAME_INPUT: u8 = 33;
    /// Client: an acknowledgement alone, see [`game`](crate::game).
    pub const GAME_ACK: u8 = 34;

    /// Gateway: [`Welcome`](crate::client::Welcome).
    pub const WELCOME: u8 = 129;
    /// Gateway: the bytes of the [`PING`].
    pub const PONG: u8 = 130;
    /// Gateway: [`Error`](crate::client::Error); the connection closes after it.
    pub const ERROR: u8 = 131;
    /// Gateway: [`Goodbye`](crate::client::Goodbye); the connection closes after it.
    pub const GOODBYE: u8 = 132;
    /// Gateway: request id (8 bytes, big-endian), then a [`LobbyReply`](crate::client::LobbyReply).
    pub const LOBBY_REPLY: u8 = 144;
    /// Gateway: [`LobbyEvent`](crate::client::LobbyEvent).
    pub const LOBBY_EVENT: u8 = 145;
    /// Gateway: [`GameAttached`](crate::client::GameAttached).
    pub const GAME_ATTACHED: u8 = 160;
    /// Gateway: a reliable message, see [`game`](crate::game).
    pub const GAME_MESSAGE: u8 = 161;
    /// Gateway: a state message, see [`game`](crate::game).
    pub const GAME_STATE: u8 = 162;
    /// Gateway: an acknowledgement alone, see [`game`](crate::game).
    pub const GAME_ACKED: u8 = 163;
    /// Gateway: [`GameDetached`](crate::client::GameDetached).
    pub const GAME_DETACHED: u8 = 164;
    /// Gateway: the last reliable message of a game, whose payload is a [`GameEnded`](crate::client::GameEnded).
    pub const GAME_ENDED: u8 = 165;
}

/// Frames between gateway and server.
pub mod link {
    /// Gateway: [`Hello`](crate::link::Hello), the first frame.
    pub const HELLO: u8 = 1;
    /// Gateway: [`Proof`](crate::link::Proof).
    pub const PROOF: u8 = 2;
    /// Gateway: see [`heartbeat`](crate::heartbeat); sent back in a [`HEARTBEAT_ANSWER`].
    pub const HEARTBEAT: u8 = 3;
    /// Gateway: empty; it closes the link in order.
    pub const GOODBYE: u8 = 4;
    /// Gateway to lobby: [`LobbyForward`](crate::link::LobbyForward).
    pub const LOBBY_FORWARD: u8 = 16;
    /// Gateway to lobby: [`SessionPresence`](crate::link::SessionPresence).
    pub const SESSION_PRESENCE: u8 = 17;
    /// Gateway to game server: [`Attach`](crate::link::Attach).
    pub const ATTACH: u8 = 32;
    /// Gateway to game server: session (8 bytes, big-endian), then the body of a client's `GAME_INPUT`.
    pub const INPUT: u8 = 33;
    /// Gateway to game server: session (8 bytes, big-endian), then the body of a client's `GAME_ACK`.
    pub const ACK: u8 = 34;
    /// Gateway to game server: [`Detach`](crate::link::Detach).
    pub const DETACH: u8 = 35;

    /// Server: [`Challenge`](crate::link::Challenge).
    pub const CHALLENGE: u8 = 129;
    /// Server: [`Accept`](crate::link::Accept).
    pub const ACCEPT: u8 = 130;
    /// Server: the bytes of the [`HEARTBEAT`].
    pub const HEARTBEAT_ANSWER: u8 = 131;
    /// Server: empty; it stops, and closes the link in order.
    pub const SERVER_GOODBYE: u8 = 132;
    /// Server: one client frame for many sessions, see [`deliver`](crate::deliver).
    pub const DELIVER: u8 = 144;
    /// Game server: games that it has taken over, see [`games_here`](crate::games_here).
    pub const GAMES_HERE: u8 = 145;
}

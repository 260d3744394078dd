//! What a client is told before it connects.

use std::time::Duration;

use pintail_core::limits::{ATTACH_WAIT, HANDSHAKE_TIMEOUT, SESSION_TTL};
use pintail_core::{GameId, ResumeToken};
use pintail_engine::backoff::BackoffPolicy;

use crate::{Address, Trust};

/// How a [`Client`](crate::Client) connects and behaves. [`ClientConfig::new`] fills in the defaults.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The gateways to try, over and over, in an order that each client draws for itself: the clients of a gateway that
    /// dies must not all turn to the same other one.
    pub addresses: Vec<Address>,
    /// Which of them to try first, by its place in the list. Default: the first of the order that was drawn.
    pub first_address: Option<usize>,
    /// Whose certificates are good, at addresses with TLS. Default: those that the system's authorities have signed, who are
    /// read anew for each client: a program with many gives all of them the same.
    pub trust: Option<Trust>,
    /// What the player wants to be called. May be empty when resuming.
    pub name: String,
    /// From an earlier [`Client::resume_token`](crate::Client::resume_token): be that session again.
    pub resume_token: Option<ResumeToken>,
    /// Whether the client attaches by itself to the game that its room plays. Without it, call
    /// [`Client::attach`](crate::Client::attach). Default: yes.
    pub auto_attach: bool,
    /// How long one connection may take to open, and then again to log in. Default: 5 s.
    pub handshake_timeout: Duration,
    /// How long [`Client::connect`](crate::Client::connect) tries before it fails. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a client that was connected tries to come back before it ends. Default: an hour, after which the
    /// cluster has forgotten the session anyway.
    pub reconnect_timeout: Duration,
    /// The wait before each new connection attempt but the first: random, up to a bound that doubles. The first attempt
    /// after a connection that held follows within 50 ms. Default: 200 ms up to 5 s.
    pub reconnect_backoff: BackoffPolicy,
    /// How long a lobby call may take, reconnects included. Default: 10 s.
    pub call_timeout: Duration,
    /// Send a PING at least this often, if the gateway asks for no shorter interval. A connection on which nothing
    /// was heard for two intervals counts as lost. Default: 10 s.
    pub ping_interval: Duration,
    /// The same while a game is played, so that a gateway that hangs costs a player seconds. Default: 2 s.
    pub playing_ping_interval: Duration,
}

impl ClientConfig {
    /// The defaults, for these gateways and this name.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = Address>, name: impl Into<String>) -> Self {
        Self {
            addresses: addresses.into_iter().collect(),
            first_address: None,
            trust: None,
            name: name.into(),
            resume_token: None,
            auto_attach: true,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            connect_timeout: Duration::from_secs(10),
            reconnect_timeout: SESSION_TTL,
            reconnect_backoff: BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(5) },
            call_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            playing_ping_interval: Duration::from_secs(2),
        }
    }

    /// The same, resuming an earlier session.
    #[must_use]
    pub fn resuming(mut self, token: ResumeToken) -> Self {
        self.resume_token = Some(token);
        self
    }
}

/// How soon a stream that could not be opened is tried again. The gateway waits for a game that is taken over, so whoever
/// is refused has waited already; the bound keeps players of a game that stays away from crowding their gateway.
pub(crate) const ATTACH_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(100), max: Duration::from_secs(2) };

/// How long a stream must have been open for its loss to be answered with an attach at once: the game's server was
/// replaced. One that is dropped again and again is opened with growing waits.
pub(crate) const ATTACH_STABLE_AFTER: Duration = Duration::from_secs(1);

/// How long an attach may be unanswered before it is sent again. The gateway answers after [`ATTACH_WAIT`] at the latest,
/// unless the game has the attach and is not ready to answer.
pub(crate) const ATTACH_TIMEOUT: Duration = ATTACH_WAIT.saturating_add(Duration::from_secs(2));

/// How often a client in a room asks for it when it hears nothing of it: room events can be lost with their lobby
/// server. While the stream of the room's game is open, it does not ask.
pub(crate) const ROOM_REFRESH: Duration = Duration::from_secs(15);

/// How long after a failed question for the room the next one follows, at most.
pub(crate) const ROOM_RETRY: Duration = Duration::from_secs(1);

/// How long a connection must have been logged in for its loss to be answered with an attempt at once. A gateway that
/// accepts and falls over at once is met with growing waits.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(5);

/// The most that an attempt at once waits. Thousands of clients lose the same gateway in the same moment; spread over
/// this time they come as fast as another gateway can log them in, and no player notices it.
pub(crate) const RECONNECT_JITTER: Duration = Duration::from_millis(50);

/// For how long a login that was given up may still be carried out: it waits at a gateway that hangs, and takes the
/// session's place from a later connection when the gateway goes on. Longer than a process or a machine is held up that
/// comes back.
pub(crate) const LATE_LOGIN_MAX: Duration = Duration::from_secs(60);

/// The shortest and longest ping interval that a gateway can ask for.
pub(crate) const PING_INTERVAL_BOUNDS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(60)];

/// How many events wait for the application. Past it, nothing more is read from the connection.
pub(crate) const EVENTS_MAX: usize = 256;

/// How many calls and inputs wait for the client's task before their callers do.
pub(crate) const OPERATIONS_MAX: usize = 32;

/// How long the last frames may take on an orderly close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most bytes of an input.
pub(crate) const INPUT_BYTES_MAX: usize = pintail_wire::game::PAYLOAD_BYTES_MAX;

/// The client library's name in the login.
pub(crate) const CLIENT_VERSION_NAME: &str = concat!("pintail-client/", env!("CARGO_PKG_VERSION"));

/// The game that a room's round is.
pub(crate) const fn game_id(room: u64, round: u32) -> GameId {
    GameId { room: pintail_core::RoomId(room), round: pintail_core::Round(round) }
}

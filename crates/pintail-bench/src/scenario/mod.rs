//! What the players of a stress test do.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::bot::BotKind;
use crate::report;

/// What the players do.
#[derive(Debug, Clone)]
pub enum Scenario {
    /// Each player is alone in a game of echo and has one message in flight.
    Echo(Echo),
    /// Rooms in which each player's messages go to all others, at a steady rate.
    Broadcast(Broadcast),
    /// The real game, with bots that move and shoot.
    Arena(Arena),
    /// Rooms that are created, joined and left as fast as they can be.
    Lobby(Lobby),
    /// Players that log in, and are then silent but for their pings.
    Connect(Connect),
    /// Players that come, play and chat a moment, and go.
    Churn(Churn),
    /// Rooms of a game at 10 steps a second that answers half of the messages to all, the other half to the sender.
    Match(Match),
    /// Bots of a game's author.
    Bots(BotKind),
}

/// The settings of [`Scenario::Echo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// How long a message is.
    pub payload_bytes: usize,
    /// Which of the two types of echo is played.
    pub game: EchoGame,
}

/// Which type of echo is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EchoGame {
    /// Games that end with their server.
    Ephemeral,
    /// Games that outlive their server.
    Journaled,
}

impl Default for Echo {
    fn default() -> Self {
        Self { payload_bytes: 64, game: EchoGame::Ephemeral }
    }
}

/// The settings of [`Scenario::Broadcast`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Broadcast {
    /// How many players a room has: 2 to 100.
    pub room_players: u32,
    /// How many messages each player sends in a second.
    pub per_second: f64,
    /// How long a message is: at least 16 bytes.
    pub payload_bytes: usize,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self { room_players: 10, per_second: 20.0, payload_bytes: 32 }
    }
}

/// The settings of [`Scenario::Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arena {
    /// How many players a room has: 2 to 16.
    pub room_players: u32,
}

impl Default for Arena {
    fn default() -> Self {
        Self { room_players: 8 }
    }
}

/// The settings of [`Scenario::Lobby`], whose load counts workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lobby {
    /// What a worker repeats.
    pub cycle: Cycle,
    /// What a worker does about the gateway's limit of requests.
    pub requests: RequestLimit,
}

impl Default for Lobby {
    fn default() -> Self {
        Self { cycle: Cycle::Rooms, requests: RequestLimit::Respected }
    }
}

/// What a lobby worker repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// One player creates a room, another joins it, both leave.
    Rooms,
    /// One player creates a room, starts a game of echo, attaches, and ends it.
    WholeGames,
}

/// What a lobby worker does about the gateway's limit of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestLimit {
    /// Goes on as new players when it has asked for as much as one may.
    Respected,
    /// Takes no notice of it: for gateways that have none.
    Ignored,
}

/// The settings of [`Scenario::Connect`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Connect {
    /// How many players log in each second; `None` is as many as can.
    pub per_second: Option<f64>,
}

/// The settings of [`Scenario::Churn`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Churn {
    /// How long a player stays, on average.
    pub stay: Duration,
}

impl Default for Churn {
    fn default() -> Self {
        Self { stay: Duration::from_secs(2) }
    }
}

/// The settings of [`Scenario::Match`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// How many players a room has: 1 to 100.
    pub room_players: u32,
    /// How many messages each player sends in a second.
    pub per_second: f64,
    /// How long a message is: at least 16 bytes.
    pub payload_bytes: usize,
}

impl Default for Match {
    fn default() -> Self {
        Self { room_players: 10, per_second: 2.0, payload_bytes: 32 }
    }
}

impl Scenario {
    /// The names of the scenarios that come with Pintail, as they stand on the command line.
    pub const NAMES: [&str; 7] = ["echo", "broadcast", "arena", "lobby", "connect", "churn", "match"];

    /// The scenario of this name with its default settings.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "echo" => Self::Echo(Echo::default()),
            "broadcast" => Self::Broadcast(Broadcast::default()),
            "arena" => Self::Arena(Arena::default()),
            "lobby" => Self::Lobby(Lobby::default()),
            "connect" => Self::Connect(Connect::default()),
            "churn" => Self::Churn(Churn::default()),
            "match" => Self::Match(Match::default()),
            _ => return None,
        })
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Echo(_) => "echo",
            Self::Broadcast(_) => "broadcast",
            Self::Arena(_) => "arena",
            Self::Lobby(_) => "lobby",
            Self::Connect(_) => "connect",
            Self::Churn(_) => "churn",
            Self::Match(_) => "match",
            Self::Bots(kind) => &kind.name,
        }
    }

    /// How many players a room has. A load is made of whole rooms: its players are rounded up to a multiple of this.
    #[must_use]
    pub fn room_players(&self) -> u32 {
        match self {
            Self::Broadcast(broadcast) => broadcast.room_players,
            Self::Arena(arena) => arena.room_players,
            Self::Match(settings) => settings.room_players,
            Self::Bots(kind) => kind.room_players,
            Self::Echo(_) | Self::Lobby(_) | Self::Connect(_) | Self::Churn(_) => 1,
        }
    }

    /// What its load is counted in, for people: `players`, or `workers`, each of which is one or two players.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        if matches!(self, Self::Lobby(_)) { "workers" } else { "players" }
    }

    /// Its name and settings for a report.
    #[must_use]
    pub fn describe(&self) -> report::Scenario {
        report::Scenario { name: self.name().to_owned(), settings: self.settings() }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

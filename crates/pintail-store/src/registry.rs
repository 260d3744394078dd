//! Which servers there are.

use async_trait::async_trait;
use pintail_core::{Charge, Endpoint, GameType, Incarnation, Kind, Slot, Status, Verdict};
use serde::Serialize;
use thiserror::Error;

use crate::Result;

/// What a server says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it does.
    pub kind: Kind,
    /// Where the other servers reach it. Identifies the slot.
    pub endpoint: Endpoint,
    /// This start of it.
    pub incarnation: Incarnation,
    /// How many games (game server), sessions (gateway) or rooms (lobby) it takes.
    pub capacity: u32,
    /// The types of games that it hosts; empty for other kinds.
    pub game_types: Vec<GameType>,
    /// Pintail's version.
    pub version: String,
    /// The admin port, if there is one.
    pub admin_port: Option<u16>,
    /// A gateway's HTTP port, if there is one.
    pub http_port: Option<u16>,
}

/// How a registration went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// The server's slot.
    pub slot: Slot,
    /// Where the slot came from.
    pub origin: SlotOrigin,
}

/// Where a registration found its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOrigin {
    /// A new slot at the end.
    New,
    /// The slot that this address and port had before.
    Restarted,
    /// A slot whose server has been gone for the recycle time.
    Recycled,
}

/// What a server says of itself with each renewal of its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Where it is reached: tells a newer incarnation of the same server from another server in the slot.
    pub endpoint: Endpoint,
    /// What it can take.
    pub status: Status,
    /// Why the status is not `smooth`, such as "cpu 97 %"; empty if it is. At most
    /// [`CAUSE_CHARACTERS_MAX`](pintail_core::limits::CAUSE_CHARACTERS_MAX) characters are kept.
    pub cause: String,
    /// How many players it has.
    pub players: u32,
}

/// What the store says to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatOutcome {
    /// The lease is renewed. `games` is how many games the store counts for this server.
    Renewed {
        /// What the registry's `games` field says now.
        games: u32,
        /// Whether an operator has asked this server to drain.
        drain: bool,
    },
    /// The slot is gone or another address has it: register again.
    Lost,
    /// A newer incarnation with the same address and port has the slot: stop serving.
    Superseded,
}

/// How a request to drain was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainRequest {
    /// The server will hear of it, with its next heartbeat at the latest.
    Asked(Incarnation),
    /// Nobody holds the slot.
    Unused,
    /// It is a foreign server, which knows no draining.
    Foreign,
}

/// A server as the registry shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerRecord {
    /// Its slot.
    pub slot: Slot,
    /// Where it is reached (the kind's default port if it did not say).
    #[serde(serialize_with = "crate::registry::endpoint_as_text")]
    pub endpoint: Endpoint,
    /// What it can take.
    pub status: Status,
    /// Why the status is what it is, as the server or whoever switched it off said; may be empty.
    pub cause: String,
    /// Who suspects it at the moment.
    pub accusers: Vec<Slot>,
    /// How often it has died lately: in its slot, at its address.
    pub falls: u32,
    /// How much longer it gets no new games because it died lately, in milliseconds.
    pub probation_ms: u64,
    /// Whether it was asked to drain.
    pub drain: bool,
    /// For how long nobody has held the slot, in milliseconds by the store's clock; `None` while somebody does.
    pub unused_ms: Option<u64>,
    /// How many games it has.
    pub games: u32,
    /// How many players it has.
    pub players: u32,
    /// How much it takes; 0 if it did not say.
    pub capacity: u32,
    /// This start of it; `None` for a foreign server, which wrote only `address`, `status` and `games`.
    pub incarnation: Option<Incarnation>,
    /// Whether its lease is there. A foreign server has none.
    pub lease: bool,
    /// The types of games that it hosts.
    pub game_types: Vec<GameType>,
    /// Pintail's version, empty if it did not say.
    pub version: String,
    /// How long ago it registered, in milliseconds by the store's clock; 0 if it did not say.
    pub age_ms: u64,
    /// The admin port.
    pub admin_port: Option<u16>,
    /// A gateway's HTTP port.
    pub http_port: Option<u16>,
}

impl ServerRecord {
    /// Whether it is a server that wrote only the three fields of the schema. A slot that nobody holds is not one.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.incarnation.is_none() && self.status != Status::Unused
    }

    /// Whether it is there as far as the registry knows, even if it takes no new games: a foreign server speaks for
    /// itself by its status alone.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.lease || self.is_foreign()
    }
}

/// The most of this text that stands in one line, at most `characters_max` of its characters: whatever a terminal would
/// not show as a character of its own is escaped.
pub(crate) fn one_line(text: &str, characters_max: usize) -> String {
    let mut line = String::new();
    for character in text.chars().take(characters_max) {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            other => line.extend(other.escape_debug()),
        }
    }
    line
}

fn endpoint_as_text<S: serde::Serializer>(endpoint: &Endpoint, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(endpoint)
}

/// A registry entry that can't be read. It is skipped; the others are not affected.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[error("the registry entry {slot} is broken: {problem}")]
pub struct BrokenEntry {
    /// Its slot.
    pub slot: Slot,
    /// What is wrong, such as "its port is 99999".
    pub problem: String,
}

/// One entry of a scan.
pub type ScanEntry = std::result::Result<ServerRecord, BrokenEntry>;

/// The registry of DESIGN.md section 3: a list per kind, a hash and a lease per slot.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Takes a slot and a lease and publishes `ServerOn`, in one atomic step: the slot whose hash has this address and
    /// port, else one that has been unused for the recycle time, else a new one. Counters and status start anew. What
    /// an earlier incarnation in the slot hosted becomes orphaned (see [`Games::sweep_orphans`](crate::Games::sweep_orphans)).
    /// The same incarnation registering again (after [`HeartbeatOutcome::Lost`]) keeps what it hosts if it gets the
    /// same slot.
    ///
    /// A server that died lately (was switched off without leaving, or restarts before anyone noticed) gets no games for
    /// a while after it is back: [`Periods::probation_first`](crate::Periods::probation_first), doubled with each death.
    async fn register(&self, announcement: &Announcement) -> Result<Registration>;

    /// Renews the lease and reports. Corrects `games` to the number of games that the store has for this incarnation.
    /// A server that was switched off while it was held up comes back to life by it, if nobody took its slot since.
    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome>;

    /// Sets the slot `unused` with the cause "stopped", drops the lease and publishes `ServerOff`, if the slot is still
    /// this incarnation's.
    /// What it hosted becomes orphaned.
    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()>;

    /// Every slot of a kind, live or not, by index, unused ones included; broken entries are told apart.
    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>>;

    /// Sets every slot `unused` whose server had a lease and lost it, publishes `ServerOff` for each, and orphans what
    /// it hosted. Returns the slots. Any server may call it at any time: calls that come too soon after another do
    /// nothing, so that the work does not grow with the cluster. Nor does one do anything while heartbeats have not
    /// come in without a gap for the life of a lease: then it was the store that was away, and not the servers. It fails
    /// only if no server was switched off by it; what kept it from the others, the next call meets again.
    async fn reap(&self) -> Result<Vec<Slot>>;

    /// Takes an observer's accusation of a server. While one stands, the server gets no new games; it stands for
    /// [`ACCUSATION_TTL`](pintail_core::limits::ACCUSATION_TTL) unless it is repeated or taken back. The server is
    /// switched off (see [`reap`](Self::reap)) if the charge is [`Charge::Refused`], or if it is [`Charge::Dead`] and
    /// another observer's accusation stands or the lease is gone.
    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict>;

    /// Takes an accusation back.
    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()>;

    /// Asks the server in this slot to drain: it hears of it by a letter, and with its next heartbeat if that is lost.
    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest>;
}

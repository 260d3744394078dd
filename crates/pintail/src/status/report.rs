//! The registry, read once, for people and for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pintail_core::{Kind, Slot, Status};
use pintail_store::{BrokenEntry, Hazard, Registry, ScanEntry, ServerRecord, Upkeep};
use serde::Serialize;

use super::table::{Cell, Fit};
use crate::output::printable;
use crate::terminal::Tone;

/// How long a server that died is shown to those who did not ask for everything.
const DEAD_SHOWN: Duration = Duration::from_secs(10 * 60);

/// Which slots are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Those of servers that are there or died lately.
    Current,
    /// Every one.
    All,
}

/// The registry, read once, with what is dangerous about its store.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// When, in milliseconds since 1970 by this machine's clock.
    at_ms: u64,
    servers: Vec<ServerLine>,
    broken: Vec<BrokenLine>,
    hazards: Vec<HazardLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ServerLine {
    #[serde(flatten)]
    record: ServerRecord,
    health: Health,
}

/// An entry that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BrokenLine {
    pub(super) slot: Slot,
    pub(super) problem: String,
}

/// Something dangerous about the store's setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct HazardLine {
    hazard: &'static str,
    /// What it is and what to do.
    pub(super) advice: String,
}

impl From<Hazard> for HazardLine {
    fn from(hazard: Hazard) -> Self {
        Self { hazard: hazard.name(), advice: hazard.to_string() }
    }
}

/// How a server is, as the registry knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    /// Its lease is there, and nobody has anything against it.
    Up,
    /// Someone suspects it.
    Suspect,
    /// It is back after it died, and gets no new games for a while.
    Probation,
    /// It died.
    Down,
    /// It has left in good order.
    Off,
    /// It keeps no lease, so nobody knows but the gateways that are linked to it.
    Foreign,
}

impl Health {
    fn of(record: &ServerRecord) -> Self {
        if record.is_foreign() {
            Self::Foreign
        } else if !record.is_live() {
            // Whoever leaves in good order takes the incarnation along.
            if record.incarnation.is_some() { Self::Down } else { Self::Off }
        } else if !record.accusers.is_empty() {
            Self::Suspect
        } else if record.probation_ms > 0 {
            Self::Probation
        } else {
            Self::Up
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Probation => "probation",
            Self::Down => "down",
            Self::Off => "off",
            Self::Foreign => "foreign",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Up | Self::Foreign => Tone::Plain,
            Self::Suspect | Self::Probation => Tone::Warning,
            Self::Down => Tone::Alarm,
            Self::Off => Tone::Faint,
        }
    }
}

impl Report {
    /// Reads the registry.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) async fn read(store: &(impl Registry + Upkeep), shown: Shown) -> pintail_store::Result<Self> {
        let mut report = Self::at(SystemTime::now());
        for kind in Kind::ALL {
            store.scan(kind).await?.into_iter().for_each(|entry| report.add(entry, shown));
        }
        report.hazards = store.hazards().await?.into_iter().map(HazardLine::from).collect();
        Ok(report)
    }

    fn at(now: SystemTime) -> Self {
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self { at_ms, servers: Vec::new(), broken: Vec::new(), hazards: Vec::new() }
    }

    fn add(&mut self, entry: ScanEntry, shown: Shown) {
        match entry {
            Ok(record) => {
                let line = ServerLine { health: Health::of(&record), record };
                if shown == Shown::All || line.is_current() {
                    self.servers.push(line);
                }
            }
            Err(BrokenEntry { slot, problem }) => {
                self.broken.push(BrokenLine { slot, problem: printable(&problem) });
            }
        }
    }

    /// The entries that can't be read.
    pub(super) fn broken(&self) -> &[BrokenLine] {
        &self.broken
    }

    /// What is dangerous about the store's setup.
    pub(super) fn hazards(&self) -> &[HazardLine] {
        &self.hazards
    }

    /// Whether a reader would see no difference but of time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let timeless = |report: &Self| report.servers.iter().map(ServerLine::timeless).collect::<Vec<_>>();
        self.broken == other.broken && self.hazards == other.hazards && timeless(self) == timeless(other)
    }

    /// The rows of the table, with its header; `None` if there is no server.
    pub(super) fn rows(&self) -> Option<Vec<[Cell; COLUMNS]>> {
        let header = HEADER.map(|name| Cell::new(name, Tone::Strong));
        let rows = std::iter::once(header).chain(self.servers.iter().map(ServerLine::cells)).collect();
        (!self.servers.is_empty()).then_some(rows)
    }

    /// How many servers there are, and how they are, in one line.
    pub(super) fn summary(&self) -> String {
        let count = |health| self.servers.iter().filter(|server| server.health == health).count();
        let every = [Health::Up, Health::Foreign, Health::Probation, Health::Suspect, Health::Down];
        let parts: Vec<_> = every
            .map(|health| (count(health), health.as_str()))
            .into_iter()
            .filter(|&(count, _)| count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let live = || self.servers.iter().map(|server| &server.record).filter(|record| record.is_live());
        let games: u64 =
            live().filter(|record| record.slot.kind == Kind::Game).map(|record| u64::from(record.games)).sum();
        let players: u64 =
            live().filter(|record| record.slot.kind == Kind::Gateway).map(|record| u64::from(record.players)).sum();
        let servers = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
        format!("servers: {servers}   games: {games}   players: {players}")
    }
}

const COLUMNS: usize = 9;

const HEADER: [&str; COLUMNS] =
    ["SLOT", "ADDRESS", "STATUS", "HEALTH", "GAMES", "PLAYERS", "UPTIME", "VERSION", "TYPES"];

/// How the table gives way to a narrow screen: what is rarely looked at goes first, then the causes.
pub(super) const fn fit(width: usize) -> Fit {
    Fit { width, kept: 6, cut: &[(3, 10), (2, 9)] }
}

impl ServerLine {
    fn is_current(&self) -> bool {
        let died = self.health == Health::Down;
        let lately = self.record.unused_ms.is_none_or(|since| Duration::from_millis(since) <= DEAD_SHOWN);
        self.record.is_live() || (died && lately)
    }

    /// The same without what changes by itself.
    fn timeless(&self) -> Self {
        let mut same = self.clone();
        same.record.age_ms = 0;
        same.record.unused_ms = None;
        same.record.probation_ms = 0;
        same
    }

    fn cells(&self) -> [Cell; COLUMNS] {
        let record = &self.record;
        let types: Vec<_> = record.game_types.iter().map(ToString::to_string).collect();
        let (games, players) = match record.slot.kind {
            Kind::Game => (of_capacity(record.games, record.capacity), record.players.to_string()),
            Kind::Gateway => (String::new(), of_capacity(record.players, record.capacity)),
            Kind::Lobby => (String::new(), String::new()),
        };
        let uptime = if record.is_live() && record.age_ms > 0 { length(record.age_ms) } else { String::new() };
        [
            Cell::plain(record.slot.to_string()),
            Cell::plain(record.endpoint.to_string()),
            Cell::new(self.status_text(), self.status_tone()),
            Cell::new(self.health_text(), self.health.tone()),
            Cell::plain(games),
            Cell::plain(players),
            Cell::plain(uptime),
            Cell::plain(printable(&record.version)),
            Cell::plain(types.join(",")),
        ]
    }

    fn status_text(&self) -> String {
        let record = &self.record;
        let cause = printable(&record.cause);
        match record.status {
            // What became of it is told with its health.
            status if !record.is_live() => status.to_string(),
            Status::Smooth | Status::Congested if record.drain => format!("{} (asked to drain)", record.status),
            status if cause.is_empty() => status.to_string(),
            status => format!("{status} ({cause})"),
        }
    }

    fn status_tone(&self) -> Tone {
        match self.record.status {
            Status::Congested => Tone::Warning,
            Status::Unused if self.record.is_live() => Tone::Warning,
            Status::Unused => Tone::Faint,
            Status::Smooth => Tone::Plain,
        }
    }

    fn health_text(&self) -> String {
        let record = &self.record;
        let word = self.health.as_str();
        match self.health {
            Health::Up | Health::Foreign => word.to_owned(),
            Health::Suspect => format!("{word} (seen by {})", self.accusers().join(", ")),
            Health::Probation => {
                let left = length(record.probation_ms.next_multiple_of(1_000));
                format!("{word} {left} ({})", deaths(record.falls))
            }
            Health::Off => format!("{word}{}", self.ago()),
            // Nobody has switched it off yet, so the cause is still the server's own.
            Health::Down if record.unused_ms.is_none() => format!("{word}: its lease has run out"),
            Health::Down if record.cause.is_empty() => format!("{word}{}", self.ago()),
            Health::Down => format!("{word}{}: {}", self.ago(), printable(&record.cause)),
        }
    }

    /// Since when nobody has the slot.
    fn ago(&self) -> String {
        self.record.unused_ms.map(|since| format!(" {} ago", length(since))).unwrap_or_default()
    }

    fn accusers(&self) -> Vec<String> {
        let name = |slot: &Slot| if *slot == self.record.slot { "itself".to_owned() } else { slot.to_string() };
        self.record.accusers.iter().map(name).collect()
    }
}

fn of_capacity(count: u32, capacity: u32) -> String {
    if capacity == 0 { count.to_string() } else { format!("{count}/{capacity}") }
}

fn deaths(falls: u32) -> String {
    if falls == 1 { "died once".to_owned() } else { format!("died {falls} times") }
}

/// A length of time in its two largest units.
pub(super) fn length(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
pub(super) mod tests;

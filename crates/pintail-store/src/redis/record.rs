//! Reading a registry hash, which anyone may have written.

use std::collections::HashMap;
use std::str::FromStr;

use pintail_core::limits::CAUSE_CHARACTERS_MAX;
use pintail_core::{Endpoint, GameType, Incarnation, Slot, Status};

use crate::registry::one_line;
use crate::{BrokenEntry, ScanEntry, ServerRecord};

/// How much of a value that can't be read is shown.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// What Redis has of a slot.
#[derive(Debug, Default)]
pub(super) struct RawServer {
    /// The registry hash.
    pub(super) fields: HashMap<Vec<u8>, Vec<u8>>,
    pub(super) lease: Option<Vec<u8>>,
    /// Who accuses it, and until when the accusation stands.
    pub(super) accusers: Vec<(Vec<u8>, f64)>,
    /// Redis's clock when it was read, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl RawServer {
    /// Whether there is no such hash.
    pub(super) fn is_missing(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether `reap` has something to do about it: a lease that is gone, a foreign server that came or went, or a note
    /// of when that can't be right.
    pub(super) fn needs_reaping(&self) -> bool {
        let is_noted = matches!(self.time("unused_since"), Ok(Some(since)) if since <= self.now_ms);
        match self.field("incarnation") {
            Some(_) => !is_noted && !self.has_lease(),
            None if self.field("status") == Some(b"0") => !is_noted,
            None => self.field("unused_since").is_some(),
        }
    }

    /// What the slot holds.
    pub(super) fn read(&self, slot: Slot) -> ScanEntry {
        self.record(slot).map_err(|problem| BrokenEntry { slot, problem })
    }

    fn record(&self, slot: Slot) -> Result<ServerRecord, String> {
        let status = self.required::<u8>("status")?;
        let status = Status::from_number(status).ok_or_else(|| format!("its status is {status}"))?;
        let address = self.required("address")?;
        let port = self.parsed("port")?.unwrap_or(slot.kind.default_port());
        if port == 0 {
            return Err("its port is 0".to_owned());
        }
        Ok(ServerRecord {
            slot,
            endpoint: Endpoint::new(address, port),
            status,
            cause: self.text("cause", CAUSE_CHARACTERS_MAX),
            accusers: self.standing_accusers(),
            falls: self.count("falls")?,
            probation_ms: self.time("probation_until")?.unwrap_or_default().saturating_sub(self.now_ms),
            drain: self.field("drain").is_some(),
            unused_ms: self.unused_ms(status)?,
            games: self.count("games")?,
            players: self.count("players")?,
            capacity: self.count("capacity")?,
            incarnation: self.parsed::<Incarnation>("incarnation")?,
            lease: self.has_lease(),
            game_types: self.game_types()?,
            version: self.text("version", SHOWN_CHARACTERS_MAX),
            age_ms: self.time("started_at")?.map_or(0, |at| self.now_ms.saturating_sub(at)),
            admin_port: self.parsed("admin")?,
            http_port: self.parsed("http")?,
        })
    }

    /// For how long nobody has held the slot. A foreign server that has set itself unused is stamped by the next `reap`.
    fn unused_ms(&self, status: Status) -> Result<Option<u64>, String> {
        let since = self.time("unused_since")?;
        let held = match self.field("incarnation") {
            Some(_) => since.is_none(),
            None => status != Status::Unused,
        };
        Ok((!held).then(|| since.map_or(0, |at| self.now_ms.saturating_sub(at))))
    }

    /// Whoever accuses it at the moment and can be read.
    fn standing_accusers(&self) -> Vec<Slot> {
        let standing = self.accusers.iter().filter(|(_, until)| *until > self.now_ms as f64);
        let mut slots: Vec<Slot> =
            standing.filter_map(|(name, _)| std::str::from_utf8(name).ok()?.parse().ok()).collect();
        slots.sort_unstable();
        slots
    }

    fn has_lease(&self) -> bool {
        self.lease.is_some() && self.lease.as_deref() == self.field("incarnation")
    }

    /// A field; an empty one counts as absent.
    fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name.as_bytes()).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let parsed = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        parsed.map(Some).ok_or_else(|| format!("its {name} is `{}`", shown(value)))
    }

    fn text(&self, name: &str, characters_max: usize) -> String {
        let value = self.field(name).unwrap_or_default();
        one_line(&String::from_utf8_lossy(value), characters_max)
    }

    /// A time in milliseconds since 1970.
    fn time(&self, name: &str) -> Result<Option<u64>, String> {
        self.parsed(name)
    }

    fn required<T: FromStr>(&self, name: &str) -> Result<T, String> {
        self.parsed(name)?.ok_or_else(|| format!("it has no {name}"))
    }

    /// A counter. Others count up and down without looking, so it may be below 0; that is 0.
    fn count(&self, name: &str) -> Result<u32, String> {
        let count = self.parsed::<i64>(name)?.unwrap_or_default().max(0);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn game_types(&self) -> Result<Vec<GameType>, String> {
        let types = self.parsed::<String>("types")?.unwrap_or_default();
        let names = types.split(',').filter(|name| !name.is_empty());
        names.map(|name| GameType::new(name).map_err(|error| format!("its types: {error}"))).collect()
    }
}

/// A value as it can stand in a log line.
fn shown(value: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(value), SHOWN_CHARACTERS_MAX)
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;

    use super::*;

    const SLOT: Slot = Slot::new(Kind::Game, 3);

    fn server(fields: &[(&str, &[u8])]) -> RawServer {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
        RawServer { fields, now_ms: 100_000, ..RawServer::default() }
    }

    #[test]
    fn three_fields_are_enough() {
        let raw = server(&[("address", b"10.0.0.7"), ("status", b"2"), ("games", b"-1")]);
        let record = raw.read(SLOT).unwrap();
        assert!(record.is_foreign() && record.is_live());
        assert_eq!(record.endpoint.to_string(), "10.0.0.7:5557");
        assert_eq!((record.status, record.games), (Status::Congested, 0));
        let unused = server(&[("address", b"10.0.0.7"), ("status", b"0")]).read(SLOT).unwrap();
        assert!(!unused.is_foreign() && !unused.is_live());
        assert_eq!((record.unused_ms, unused.unused_ms), (None, Some(0)));
    }

    #[test]
    fn what_can_not_be_read_is_told_apart_with_its_value() {
        let long = [b'x'; 5000];
        let cases: [(&str, &[u8], &str); 8] = [
            ("status", b"9", "its status is 9"),
            ("status", b"on", "its status is `on`"),
            ("status", b"", "it has no status"),
            ("address", b"10.0.0.7:80", "its address is `10.0.0.7:80`"),
            ("port", b"99999", "its port is `99999`"),
            ("port", b"0", "its port is 0"),
            ("incarnation", b"\xff\x1b[2J", "its incarnation is `\u{fffd}\\u{1b}[2J`"),
            ("games", &long, &format!("its games is `{}`", "x".repeat(64))),
        ];
        for (field, value, problem) in cases {
            let mut raw = server(&[("address", b"10.0.0.7"), ("status", b"1")]);
            raw.fields.insert(field.as_bytes().to_vec(), value.to_vec());
            assert_eq!(raw.read(SLOT).unwrap_err().problem, problem);
        }
    }

    #[test]
    fn times_are_told_by_the_clock_of_redis() {
        let incarnation = Incarnation(7).to_string();
        let times = |started: &'static [u8], unused: &'static [u8], probation: &'static [u8]| {
            let record = server(&[
                ("address", b"10.0.0.7"),
                ("status", b"0"),
                ("incarnation", incarnation.as_bytes()),
                ("started_at", started),
                ("unused_since", unused),
                ("probation_until", probation),
            ]);
            let record = record.read(SLOT).unwrap();
            (record.age_ms, record.unused_ms, record.probation_ms)
        };
        assert_eq!(times(b"40000", b"90000", b""), (60_000, Some(10_000), 0));
        assert_eq!(times(b"100000", b"", b"103000"), (0, None, 3000));
        assert_eq!(times(b"", b"", b"99999"), (0, None, 0), "what is over is over");
        assert_eq!(times(b"3700000", b"3700000", b""), (0, Some(0), 0), "the clock went back an hour");
    }

    #[test]
    fn only_accusers_whose_accusation_stands_are_shown() {
        let mut raw = server(&[("address", b"10.0.0.7"), ("status", b"1")]);
        let accusers =
            [("Server:Gateway:10", 1e5 + 1.0), ("Server:Gateway:2", 2e5), ("Server:Gateway:3", 1e5), ("x", 2e5)];
        raw.accusers = accusers.map(|(name, until)| (name.as_bytes().to_vec(), until)).to_vec();
        assert_eq!(raw.read(SLOT).unwrap().accusers, [2, 10].map(|index| Slot::new(Kind::Gateway, index)));
    }

    #[test]
    fn a_cause_is_one_short_line() {
        let cause = |text: &[u8]| {
            server(&[("address", b"10.0.0.7"), ("status", b"1"), ("cause", text)]).read(SLOT).unwrap().cause
        };
        assert_eq!(cause("cpu 97 % of “2 cores”".as_bytes()), "cpu 97 % of “2 cores”");
        assert_eq!(cause(b"a\nb\x1b[2J\xff"), "a\\nb\\u{1b}[2J\u{fffd}");
        assert_eq!(cause(&[b'x'; 500]).len(), CAUSE_CHARACTERS_MAX);
    }
}

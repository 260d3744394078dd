//! Reading a registry hash, which anyone may have written.

use std::collections::HashMap;
use std::str::FromStr;

use pintail_core::{Endpoint, GameType, Incarnation, Slot, Status};

use crate::{BrokenEntry, ScanEntry, ServerRecord};

/// How much of a value that can't be read is shown.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// A registry hash and its lease as Redis has them.
#[derive(Debug, Default)]
pub(super) struct RawServer {
    fields: HashMap<Vec<u8>, Vec<u8>>,
    lease: Option<Vec<u8>>,
}

impl RawServer {
    pub(super) fn new(fields: HashMap<Vec<u8>, Vec<u8>>, lease: Option<Vec<u8>>) -> Self {
        Self { fields, lease }
    }

    /// Whether there is no such hash.
    pub(super) fn is_missing(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether `reap` has something to do about it: a lease that is gone, or a foreign server that came or went.
    pub(super) fn needs_reaping(&self) -> bool {
        let stamped = self.field("unused_since").is_some();
        match self.field("incarnation") {
            Some(_) => !stamped && !self.has_lease(),
            None => stamped != (self.field("status") == Some(b"0")),
        }
    }

    /// The server; `None` if the slot is unused.
    pub(super) fn read(&self, slot: Slot) -> Option<ScanEntry> {
        match self.record(slot) {
            Ok(record) if record.status == Status::Unused => None,
            Ok(record) => Some(Ok(record)),
            Err(problem) => Some(Err(BrokenEntry { slot, problem })),
        }
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
            games: self.count("games")?,
            players: self.count("players")?,
            capacity: self.count("capacity")?,
            incarnation: self.parsed::<Incarnation>("incarnation")?,
            lease: self.has_lease(),
            game_types: self.game_types()?,
            version: self.field("version").map(shown).unwrap_or_default(),
            started_at: self.parsed("started_at")?.unwrap_or_default(),
            admin_port: self.parsed("admin")?,
            http_port: self.parsed("http")?,
        })
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
    String::from_utf8_lossy(value).chars().take(SHOWN_CHARACTERS_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;

    use super::*;

    const SLOT: Slot = Slot::new(Kind::Game, 3);

    fn server(fields: &[(&str, &[u8])]) -> RawServer {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
        RawServer::new(fields, None)
    }

    #[test]
    fn three_fields_are_enough() {
        let raw = server(&[("address", b"10.0.0.7"), ("status", b"2"), ("games", b"-1")]);
        let record = raw.read(SLOT).unwrap().unwrap();
        assert!(record.is_foreign() && record.is_live());
        assert_eq!(record.endpoint.to_string(), "10.0.0.7:5557");
        assert_eq!((record.status, record.games), (Status::Congested, 0));
        assert!(server(&[("address", b"10.0.0.7"), ("status", b"0")]).read(SLOT).is_none());
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
            assert_eq!(raw.read(SLOT).unwrap().unwrap_err().problem, problem);
        }
    }
}

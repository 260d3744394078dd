//! One entry of a game's journal: a step, and everything that it consumed.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EntryNumber, Step};

use super::{BadJournal, FORMAT, varint};
use crate::api::{LeaveReason, Player};
use crate::runtime::Event;

/// How many bytes the checksum at the end has.
const CHECKSUM_BYTES: usize = 4;

/// The fewest bytes of an event: its kind and its player.
const EVENT_BYTES_MIN: usize = 2;

/// The first byte of each kind of event. They are written for ever: a new kind takes a new number.
mod kind {
    pub(super) const ATTACHED: u8 = 1;
    pub(super) const DETACHED: u8 = 2;
    pub(super) const LEFT_ROOM: u8 = 3;
    pub(super) const TIMED_OUT: u8 = 4;
    pub(super) const BEHIND: u8 = 5;
    pub(super) const INPUT: u8 = 6;
}

/// A step that consumed something. The same entries on the same game give the same game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its place in the journal, from 1 on without gaps.
    pub(crate) number: EntryNumber,
    /// The step.
    pub(crate) step: Step,
    /// The game's own time at the step, to the nanosecond.
    pub(crate) time: Duration,
    /// The last step that may be shown to anyone before the next entry is safe; not before `step`.
    pub(crate) horizon: Step,
    /// What the step consumed, in order.
    pub(crate) events: Vec<Event>,
}

impl Entry {
    /// The entry as it stands in the journal.
    pub(crate) fn encode(&self) -> Bytes {
        let payloads: usize = self.events.iter().map(|event| payload(event).len() + 8).sum();
        let mut buffer = Vec::with_capacity(40 + payloads);
        buffer.push(FORMAT as u8);
        let time = u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX);
        let ahead = self.horizon.0.saturating_sub(self.step.0);
        for value in [self.number.0, self.step.0, time, ahead, self.events.len() as u64] {
            varint::put(&mut buffer, value);
        }
        for event in &self.events {
            put_event(&mut buffer, event);
        }
        let checksum = crc32fast::hash(&buffer);
        buffer.extend_from_slice(&checksum.to_be_bytes());
        buffer.into()
    }

    /// Reads an entry. Its payloads are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// If the bytes are not those of an entry, or those of a later format.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, BadJournal> {
        let body = checked(bytes)?;
        let mut reader = Reader { whole: bytes, rest: body };
        let (number, step) = (EntryNumber(reader.number("number")?), Step(reader.number("step")?));
        let time = Duration::from_nanos(reader.number("time")?);
        let ahead = reader.number("horizon")?;
        let horizon = step.0.checked_add(ahead).ok_or_else(|| BadJournal::entry("its horizon is out of range"))?;
        let events = reader.events()?;
        Ok(Self { number, step, time, horizon: Step(horizon), events })
    }
}

/// The part of an entry between its version and its checksum, once both are found right.
fn checked(bytes: &Bytes) -> Result<&[u8], BadJournal> {
    let Some(&version) = bytes.first() else { return Err(BadJournal::entry("it is empty")) };
    match u32::from(version) {
        FORMAT => {}
        0 => return Err(BadJournal::entry("it has no format")),
        found => return Err(BadJournal::NewerEntry { found }),
    }
    let Some((written, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(BadJournal::entry("it ends too early"));
    };
    if crc32fast::hash(written) != u32::from_be_bytes(*checksum) {
        return Err(BadJournal::entry("its checksum does not fit it"));
    }
    written.get(1..).ok_or_else(|| BadJournal::entry("it ends too early"))
}

fn payload(event: &Event) -> &[u8] {
    match event {
        Event::Input(_, payload) => payload,
        _ => &[],
    }
}

fn put_event(buffer: &mut Vec<u8>, event: &Event) {
    let (kind, player) = match event {
        Event::Attached(player) => (kind::ATTACHED, player),
        Event::Detached(player) => (kind::DETACHED, player),
        Event::Left(player, LeaveReason::LeftRoom) => (kind::LEFT_ROOM, player),
        Event::Left(player, LeaveReason::TimedOut) => (kind::TIMED_OUT, player),
        Event::Behind(player) => (kind::BEHIND, player),
        Event::Input(player, _) => (kind::INPUT, player),
    };
    buffer.push(kind);
    varint::put(buffer, player.index() as u64);
    if let Event::Input(_, payload) = event {
        varint::put(buffer, payload.len() as u64);
        buffer.extend_from_slice(payload);
    }
}

/// What is left of an entry that is read.
struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl Reader<'_> {
    fn number(&mut self, what: &str) -> Result<u64, BadJournal> {
        varint::take(&mut self.rest).ok_or_else(|| BadJournal::entry(format!("its {what} can't be read")))
    }

    fn events(&mut self) -> Result<Vec<Event>, BadJournal> {
        let count = self.number("count of events")?;
        let count = usize::try_from(count).ok().filter(|&count| count <= self.rest.len() / EVENT_BYTES_MIN);
        let count = count.ok_or_else(|| BadJournal::entry("it has fewer events than it says"))?;
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(self.event()?);
        }
        if self.rest.is_empty() { Ok(events) } else { Err(BadJournal::entry("bytes follow its last event")) }
    }

    fn event(&mut self) -> Result<Event, BadJournal> {
        let Some((&kind, rest)) = self.rest.split_first() else {
            return Err(BadJournal::entry("it has fewer events than it says"));
        };
        self.rest = rest;
        let seat = u16::try_from(self.number("event's player")?);
        let player = Player::new(seat.map_err(|_| BadJournal::entry("an event's player is out of range"))?);
        Ok(match kind {
            kind::ATTACHED => Event::Attached(player),
            kind::DETACHED => Event::Detached(player),
            kind::LEFT_ROOM => Event::Left(player, LeaveReason::LeftRoom),
            kind::TIMED_OUT => Event::Left(player, LeaveReason::TimedOut),
            kind::BEHIND => Event::Behind(player),
            kind::INPUT => Event::Input(player, self.payload()?),
            other => return Err(BadJournal::entry(format!("no event has the kind {other}"))),
        })
    }

    fn payload(&mut self) -> Result<Bytes, BadJournal> {
        let length = usize::try_from(self.number("input's length")?).ok();
        let parts = length.and_then(|length| self.rest.split_at_checked(length));
        let (payload, rest) = parts.ok_or_else(|| BadJournal::entry("an input is longer than what is left of it"))?;
        self.rest = rest;
        Ok(self.whole.slice_ref(payload))
    }
}

//! What was written can be read, what was not written can't, and nobody changes the formats unawares.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EntryNumber, Seq, Step};
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::api::{LeaveReason, Player};
use crate::runtime::Event;
use crate::runtime::turn::{Progress, SeatProgress};

const ANN: Player = Player::new(0);
const BOB: Player = Player::new(300);

/// An entry and a snapshot as builds of format 1 write them. A change here means that this build can't read what the last
/// one wrote: then `FORMAT` goes up, and the old ones are still read.
const GOLDEN_ENTRY: &str = include_str!("golden/entry-1.hex");
const GOLDEN_SNAPSHOT: &[u8] = include_bytes!("golden/snapshot-1");

fn entry() -> Entry {
    Entry {
        number: EntryNumber(7),
        step: Step(1000),
        time: Duration::from_millis(49_950),
        horizon: Step(1010),
        events: vec![
            Event::Attached(ANN),
            Event::Detached(BOB),
            Event::Left(ANN, LeaveReason::LeftRoom),
            Event::Left(BOB, LeaveReason::TimedOut),
            Event::Behind(ANN),
            Event::Input(BOB, Bytes::from("north")),
            Event::Input(ANN, Bytes::new()),
        ],
    }
}

fn snapshot() -> Snapshot {
    let seat = |name: &str, joined| SeatProgress { name: name.to_owned(), joined, connected: joined, left: false };
    Snapshot {
        game_type: "count-up".parse().unwrap(),
        build: "0.1.0".to_owned(),
        number: EntryNumber(7),
        horizon: Step(1010),
        progress: Progress {
            seed: u64::MAX,
            step: Step(1000),
            time: Duration::from_nanos(49_950_000_001),
            wake: Some(Duration::from_secs(50)),
            seats: vec![seat("Ann", true), seat("Bob", false)],
        },
        seats: vec![
            SavedSeat {
                received: Seq(12),
                sent: Seq(40),
                unacked: vec![SavedMessage { step: Step(999), client_kind: 0x21, payload: Bytes::from("hi") }],
                latest_state: Some(SavedState { step: Step(1000), payload: Bytes::from(&[0_u8, 255][..]) }),
            },
            SavedSeat::default(),
        ],
        state: RawValue::from_string(r#"{"count":3,"rate":0.1}"#.to_owned()).unwrap(),
    }
}

/// A snapshot has no equality of its own: its state is text.
fn parts(snapshot: &Snapshot) -> impl PartialEq + std::fmt::Debug + use<> {
    let Snapshot { game_type, build, number, horizon, progress, seats, state } = snapshot.clone();
    (game_type, build, number, horizon, progress, seats, state.get().to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n").collect()
}

fn sentence(result: Result<impl Sized, BadJournal>) -> String {
    result.err().expect("it can't be read").to_string()
}

/// An entry's bytes with something else before the checksum, which fits.
fn resealed(change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = entry().encode().to_vec();
    bytes.truncate(bytes.len() - 4);
    change(&mut bytes);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes.into()
}

#[test]
fn the_formats_are_those_of_the_golden_files() {
    assert_eq!(hex(&entry().encode()), GOLDEN_ENTRY, "the format of entries has changed");
    assert_eq!(
        String::from_utf8_lossy(&snapshot().encode()),
        String::from_utf8_lossy(GOLDEN_SNAPSHOT),
        "the format of snapshots has changed"
    );
    assert_eq!(parts(&Snapshot::decode(&Bytes::from_static(GOLDEN_SNAPSHOT)).unwrap()), parts(&snapshot()));
}

#[test]
fn the_payloads_of_an_entry_are_slices_of_its_bytes() {
    let bytes = entry().encode();
    let read = Entry::decode(&bytes).unwrap();
    assert_eq!(read, entry());
    let Event::Input(_, payload) = &read.events[5] else { panic!("{read:?}") };
    assert!(bytes.as_ptr_range().contains(&payload.as_ptr()), "it was copied");
}

#[test]
fn a_damaged_entry_is_told_apart_and_says_how() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    // version, number, step, time and horizon take 1, 1, 2, 6 and 1 bytes; the count of events comes next.
    const COUNT: usize = 11;
    for (bytes, problem) in [
        (Bytes::new(), "it is empty"),
        (Bytes::from_static(&[1, 2]), "it ends too early"),
        (Bytes::from_static(&[1, 0xa5, 0x05, 0xdf, 0x1b]), "its number can't be read"),
        (Bytes::from_static(&[0, 0, 0, 0, 0, 0]), "it has no format"),
        (entry().encode().slice(..20), "its checksum does not fit it"),
        (resealed(|bytes| bytes.truncate(1)), "its number can't be read"),
        (resealed(|bytes| bytes.truncate(COUNT)), "its count of events can't be read"),
        (resealed(|bytes| bytes[COUNT] = 6), "bytes follow its last event"),
        (resealed(|bytes| bytes[COUNT] = 8), "it has fewer events than it says"),
        (resealed(|bytes| drop(bytes.splice(COUNT..=COUNT, huge))), "it has fewer events than it says"),
        (resealed(|bytes| drop(bytes.splice(10..11, huge))), "its horizon is out of range"),
        (resealed(|bytes| bytes[COUNT + 1] = 99), "no event has the kind 99"),
        (resealed(|bytes| drop(bytes.splice(COUNT + 2..COUNT + 3, huge))), "an event's player is out of range"),
        (resealed(|bytes| bytes.truncate(bytes.len() - 1)), "its input's length can't be read"),
        (resealed(|bytes| *bytes.last_mut().unwrap() = 1), "an input is longer than what is left of it"),
    ] {
        let found = sentence(Entry::decode(&bytes));
        assert_eq!(found, format!("the journal entry is damaged: {problem}"), "{bytes:02x?}");
    }
}

#[test]
fn a_later_format_is_refused_in_words() {
    let newer = resealed(|bytes| bytes[0] = 2);
    assert!(sentence(Entry::decode(&newer)).contains("format 2, and this build reads formats up to 1"));
    let newer = Bytes::from_static(b"pintail-snapshot 2 whatever 9.0.0-rc.1\nnot even JSON");
    let found = sentence(Snapshot::decode(&newer));
    assert!(found.contains("format 2 and was written by build 9.0.0-rc.1"), "{found}");
}

#[test]
fn a_snapshot_of_a_build_with_more_fields_is_read() {
    let encoded = snapshot().encode();
    let text = std::str::from_utf8(&encoded).unwrap();
    let json = text.split_once('\n').unwrap().1.replacen('{', r#"{"weather":[1,{}],"#, 1);
    let newer = format!("pintail-snapshot 1 {:08x} 0.2.0\n{json}", crc32fast::hash(json.as_bytes()));
    let read = Snapshot::decode(&newer.into()).unwrap();
    assert_eq!(parts(&read), parts(&Snapshot { build: "0.2.0".to_owned(), ..snapshot() }));
}

#[test]
fn a_damaged_snapshot_is_told_apart_and_says_how() {
    let sealed = |json: &str| format!("pintail-snapshot 1 {:08x} 0.1.0\n{json}", crc32fast::hash(json.as_bytes()));
    let seats = |sent, seats: &str| {
        let progress = r#"{"seed":1,"step":1,"time":{"secs":0,"nanos":0},"wake":null,"seats":[
            {"name":"Ann","joined":false,"connected":false,"left":false}]}"#;
        let seat = format!(
            r#"{{"received":0,"sent":{sent},"unacked":[{{"step":1,"client_kind":1,"payload":"aGk="}}]}}{seats}"#
        );
        let head = r#""game_type":"x","number":0,"horizon":1,"state":null"#;
        sealed(&format!(r#"{{{head},"progress":{progress},"seats":[{seat}]}}"#))
    };
    assert!(Snapshot::decode(&seats(1, "").into()).is_ok());
    for (text, problem) in [
        (String::new(), "it has no header line"),
        (format!("pintail-snapshot 1 00000000 {}\n{{}}", "x".repeat(300)), "it has no header line"),
        ("pintail-snapshot 1 00000000\n{}".to_owned(), "its header line is none"),
        ("pintail-snapshot 0 00000000 0.1.0\n{}".to_owned(), "its header line is none"),
        ("pintail-game 1 00000000 0.1.0\n{}".to_owned(), "its header line is none"),
        ("pintail-snapshot 1 00000000 0.1.0\n{}".to_owned(), "its checksum does not fit it"),
        (sealed("{}"), "missing field `game_type`"),
        (seats(0, ""), "a stream keeps more messages than it sent"),
        (seats(1, r#",{"received":0,"sent":0}"#), "it has not as many streams as players"),
    ] {
        let found = sentence(Snapshot::decode(&Bytes::from(text.clone())));
        assert!(found.starts_with(&format!("the snapshot is damaged: {problem}")), "{text}: {found}");
    }
}

#[test]
fn a_build_that_is_no_single_line_does_not_spoil_the_header() {
    let strange = Snapshot { build: format!("1\n2 {}", "x".repeat(500)), ..snapshot() };
    let read = Snapshot::decode(&strange.encode()).unwrap();
    assert!(read.build.starts_with("12 xxx"), "{}", read.build);
}

fn any_event() -> impl Strategy<Value = Event> {
    let player = any::<u16>().prop_map(Player::new);
    (player, 0..6, proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|(player, kind, payload)| match kind {
        0 => Event::Attached(player),
        1 => Event::Detached(player),
        2 => Event::Left(player, LeaveReason::LeftRoom),
        3 => Event::Left(player, LeaveReason::TimedOut),
        4 => Event::Behind(player),
        _ => Event::Input(player, payload.into()),
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (numbers, proptest::collection::vec(any_event(), 0..20)).prop_map(|((number, step, time, ahead), events)| Entry {
        number: EntryNumber(number),
        step: Step(step),
        time: Duration::from_nanos(time),
        horizon: Step(step.saturating_add(ahead)),
        events,
    })
}

proptest! {
    #[test]
    fn any_entry_comes_back(entry in any_entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(&bytes.clone().into());
        // Behind a version and a checksum that fit, every byte is looked at.
        let mut sealed = [&[1], &bytes[..]].concat();
        sealed.extend_from_slice(&crc32fast::hash(&sealed).to_be_bytes());
        let _ = Entry::decode(&sealed.into());
    }

    #[test]
    fn a_flipped_bit_is_noticed(entry in any_entry(), place: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = entry.encode().to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        prop_assert!(Entry::decode(&bytes.into()).is_err());
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Snapshot::decode(&bytes.clone().into());
        let header = format!("pintail-snapshot 1 {:08x} 0.1.0\n", crc32fast::hash(&bytes));
        prop_assert!(Snapshot::decode(&[header.as_bytes(), &bytes].concat().into()).is_err());
    }
}

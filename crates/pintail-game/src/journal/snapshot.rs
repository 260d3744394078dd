//! Everything that a game is, up to an entry of its journal: a header line, and JSON that a later build can read.

use bytes::Bytes;
use pintail_core::{EntryNumber, GameType, Seq, Step};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{BadJournal, FORMAT};
use crate::runtime::turn::Progress;

/// What every snapshot begins with.
const MAGIC: &str = "pintail-snapshot";

/// The most bytes of a header line. What has no end by then is no snapshot.
const HEADER_BYTES_MAX: usize = 256;

/// A game as of an entry of its journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The type of the game.
    pub(crate) game_type: GameType,
    /// The build that wrote it. Stands in the header, which later formats have too.
    #[serde(skip)]
    pub(crate) build: String,
    /// The last entry that it contains; 0 if it was taken before there was one.
    pub(crate) number: EntryNumber,
    /// The last step that may be shown to anyone before the next entry is safe.
    pub(crate) horizon: Step,
    /// Where the game stands.
    pub(crate) progress: Progress,
    /// The streams of the players, by seat.
    pub(crate) seats: Vec<SavedSeat>,
    /// The game's own value, as JSON.
    pub(crate) state: Box<RawValue>,
}

/// A player's end of the session stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SavedSeat {
    /// The last input that a step consumed.
    pub(crate) received: Seq,
    /// The last reliable message.
    pub(crate) sent: Seq,
    /// The reliable messages that the player has not acknowledged: the last of them is number `sent`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unacked: Vec<SavedMessage>,
    /// The state message that was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest_state: Option<SavedState>,
}

/// A reliable message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedMessage {
    /// The step that sent it.
    pub(crate) step: Step,
    /// The kind of frame that carries it.
    pub(crate) client_kind: u8,
    /// What the game sent.
    #[serde(with = "base64_text")]
    pub(crate) payload: Bytes,
}

/// A state message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedState {
    /// The step that sent it.
    pub(crate) step: Step,
    /// What the game sent.
    #[serde(with = "base64_text")]
    pub(crate) payload: Bytes,
}

impl Snapshot {
    /// The snapshot as it is kept.
    pub(crate) fn encode(&self) -> Bytes {
        let json = serde_json::to_vec(self).expect("a snapshot has string keys, and its state is JSON already");
        let mut bytes = header(crc32fast::hash(&json), &self.build).into_bytes();
        bytes.extend_from_slice(&json);
        bytes.into()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// If the bytes are not those of a snapshot, or those of a later format.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, BadJournal> {
        let end = bytes.iter().take(HEADER_BYTES_MAX).position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| BadJournal::snapshot("it has no header line"))?;
        let (line, json) = (&bytes[..end], &bytes[end + 1..]);
        let (checksum, build) = parse_header(line)?;
        if crc32fast::hash(json) != checksum {
            return Err(BadJournal::snapshot("its checksum does not fit it"));
        }
        let read: Result<Self, _> = serde_json::from_slice(json);
        let snapshot = read.map_err(|error| BadJournal::snapshot(error.to_string()))?;
        if snapshot.seats.len() != snapshot.progress.seats.len() {
            return Err(BadJournal::snapshot("it has not as many streams as players"));
        }
        if snapshot.seats.iter().any(|seat| seat.unacked.len() as u64 > seat.sent.0) {
            return Err(BadJournal::snapshot("a stream keeps more messages than it sent"));
        }
        Ok(Self { build, ..snapshot })
    }
}

/// `pintail-snapshot FORMAT CHECKSUM BUILD`: what a build can read of the snapshots of any other.
fn header(checksum: u32, build: &str) -> String {
    /// What is longer helps nobody.
    const BUILD_CHARACTERS_MAX: usize = 48;
    let build: String = build.chars().filter(|character| !character.is_control()).take(BUILD_CHARACTERS_MAX).collect();
    format!("{MAGIC} {FORMAT} {checksum:08x} {build}\n")
}

/// Checksum and build of a snapshot of a format that can be read here.
fn parse_header(line: &[u8]) -> Result<(u32, String), BadJournal> {
    let wrong = || BadJournal::snapshot("its header line is none");
    let line = std::str::from_utf8(line).map_err(|_| wrong())?;
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().ok_or_else(wrong);
    let (magic, format, checksum, build) = (word()?, word()?, word()?, word()?);
    if magic != MAGIC {
        return Err(wrong());
    }
    match format.parse().map_err(|_| wrong())? {
        FORMAT => {}
        0 => return Err(wrong()),
        found => return Err(BadJournal::NewerSnapshot { found, build: build.to_owned() }),
    }
    Ok((u32::from_str_radix(checksum, 16).map_err(|_| wrong())?, build.to_owned()))
}

/// Bytes as text in JSON.
pub(crate) mod base64_text {
    use std::borrow::Cow;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(&*text).map(Bytes::from).map_err(D::Error::custom)
    }
}

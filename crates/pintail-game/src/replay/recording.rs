//! A game with all that is kept of it, as a file that needs no store.

use bytes::Bytes;
use pintail_core::EntryNumber;
use pintail_store::{EndOutcome, GameOrder, SavedJournal, SavedSnapshot};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::journal::base64_text;

/// The version of the file that this build writes, and the only one that it reads.
const VERSION: u32 = 1;

/// A game with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// What was ordered.
    pub order: GameOrder,
    /// Its last snapshot, and what happened since.
    pub journal: SavedJournal,
    /// How it ended; `None` while it runs.
    pub outcome: Option<EndOutcome>,
}

/// The text is no recording.
#[derive(Debug, Error)]
#[error("this is no recording of a game ({0}): write one with `pintail replay GAME --export FILE`")]
pub struct BadRecording(String);

/// The file. Bytes are base64.
#[derive(Serialize, Deserialize)]
struct File {
    pintail_recording: u32,
    order: GameOrder,
    #[serde(default)]
    outcome: Option<EndOutcome>,
    #[serde(default)]
    snapshot: Option<SnapshotInFile>,
    #[serde(default)]
    entries: Vec<EntryInFile>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotInFile {
    number: EntryNumber,
    format: u32,
    #[serde(with = "base64_text")]
    bytes: Bytes,
}

#[derive(Serialize, Deserialize)]
struct EntryInFile(#[serde(with = "base64_text")] Bytes);

impl Recording {
    /// The recording as a file: JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let snapshot = self.journal.snapshot.clone();
        let file = File {
            pintail_recording: VERSION,
            order: self.order.clone(),
            outcome: self.outcome.clone(),
            snapshot: snapshot.map(|SavedSnapshot { number, format, bytes }| SnapshotInFile { number, format, bytes }),
            entries: self.journal.entries.iter().cloned().map(EntryInFile).collect(),
        };
        serde_json::to_string_pretty(&file).expect("a recording has string keys") + "\n"
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// If the text is none.
    pub fn from_json(text: &str) -> Result<Self, BadRecording> {
        let file: File = serde_json::from_str(text).map_err(|error| BadRecording(error.to_string()))?;
        if file.pintail_recording != VERSION {
            let found = file.pintail_recording;
            return Err(BadRecording(format!("its version is {found}, and this build reads version {VERSION}")));
        }
        let snapshot =
            file.snapshot.map(|SnapshotInFile { number, format, bytes }| SavedSnapshot { number, format, bytes });
        let entries = file.entries.into_iter().map(|EntryInFile(bytes)| bytes).collect();
        Ok(Self { order: file.order, journal: SavedJournal { snapshot, entries }, outcome: file.outcome })
    }
}

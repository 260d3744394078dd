//! What is kept of a game in the store, played again and compared with what its players were told.

use pintail::{GameTypes, Payload as _, Postcard};
use pintail_game::replay::{End, Recording, Replay};
use pintail_store::SavedGame;

use crate::audit::{At, GameAudit, Source};
use crate::breach::Check;
use crate::ledger::{Book, Said};

/// Plays the game again from its snapshot and journal, and compares. Nothing of the game may be on its way meanwhile.
pub(crate) fn compare(audit: &mut GameAudit, at: At, types: &GameTypes, saved: SavedGame) {
    let (order, outcome) = (saved.record.order, saved.record.outcome);
    let recording = Recording { order, journal: saved.journal, outcome };
    match replay(audit, at, types, &recording) {
        Ok(book) => audit.compare(at, Source::Journal, &book),
        Err(problem) => audit.add(at, Check::JournalDiffers, format!("it can't be played again: {problem}")),
    }
}

/// Plays it again; each message is compared on the way. Returns the book at the end.
fn replay(audit: &mut GameAudit, at: At, types: &GameTypes, recording: &Recording) -> Result<Book, String> {
    let mut replay = Replay::new(types, recording).map_err(|error| error.to_string())?;
    for step in &mut replay {
        for message in step.messages {
            if let Ok(Postcard(Said::Applied(applied))) = Postcard::decode(&message.payload) {
                audit.replayed(at, step.step.0, applied);
            }
        }
    }
    if replay.end() != Some(&End::Open) {
        return Err(format!("it ends with {:?}", replay.end()));
    }
    let value = replay.value().ok_or("its code failed")?.map_err(|error| error.to_string())?;
    serde_json::from_value(value["book"].clone()).map_err(|error| error.to_string())
}

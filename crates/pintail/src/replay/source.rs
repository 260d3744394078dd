//! Where the game comes from.

use std::path::Path;

use pintail_core::{Durability, GameId};
use pintail_game::replay::Recording;
use pintail_store::{EndReason, Journals, SavedGame, SavedJournal};

use crate::config::args::ReplayArgs;
use crate::config::server::Impossible;
use crate::failure::Failure;
use crate::serve::patient_store;

/// The most bytes of a file. Far more than the journal of any game has between two snapshots.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The game that was asked for; `None` if none was.
///
/// # Errors
/// If it can't be had.
pub(super) async fn recording(args: &ReplayArgs) -> Result<Option<Recording>, Failure> {
    if args.file.is_none() && args.store.redis.is_none() {
        return Err(Impossible::NoRedisToReplay.into());
    }
    match (&args.file, args.game) {
        (Some(path), _) => read(path).map(Some),
        (None, Some(id)) => of_store(args, id).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// Writes a game to a file.
///
/// # Errors
/// If that can't be done.
pub(super) fn write(path: &Path, recording: &Recording) -> Result<(), Failure> {
    std::fs::write(path, recording.to_json())
        .map_err(|error| Failure::new(format!("{} can't be written ({error}): check --export", path.display())))
}

fn read(path: &Path) -> Result<Recording, Failure> {
    let unreadable = |error| Failure::new(format!("{} can't be read ({error}): check --file", path.display()));
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(Failure::new(format!("{} is too large for a recording: check --file", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Recording::from_json(&text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

async fn of_store(args: &ReplayArgs, id: GameId) -> Result<Recording, Failure> {
    let saved = patient_store(&args.store)?.saved_game(id).await;
    let url = args.store.redis()?;
    let saved = saved.map_err(|error| Failure::new(format!("can't read game {id} in Redis at {url}: {error}")))?;
    let SavedGame { record, journal, .. } = saved.ok_or_else(|| {
        Failure::new(format!(
            "the store knows no game {id}: `pintail replay` without a game lists those that failed, and the logs of the \
             game servers name every other"
        ))
    })?;
    if record.order.durability == Durability::Ephemeral {
        let game_type = &record.order.game_type;
        return Err(Failure::new(format!(
            "game {id} is of type {game_type}, which is ephemeral: nothing of it is kept"
        )));
    }
    let ended_well = record.outcome.as_ref().is_some_and(|outcome| outcome.reason != EndReason::Crashed);
    if ended_well && journal == SavedJournal::default() {
        return Err(Failure::new(format!("game {id} is over and did not fail: its journal went with it")));
    }
    Ok(Recording { order: record.order, journal, outcome: record.outcome })
}

//! Journals in Redis.

use async_trait::async_trait;
use futures_util::future::try_join_all;
use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{EntryNumber, Epoch, GameId};
use redis::{Script, ScriptInvocation};

use super::games::{RECORD_FIELDS, RawRecord, add_failed, from_json, owner, read_record, to_json};
use super::{Answer, RedisStore, corrupt, milliseconds, parse, parts, unexpected};
use crate::journal::{CLAIM_MAX, poisoned};
use crate::{
    Claim, Claimed, ClaimedGame, FailedGame, HandOverOutcome, JournalWrite, Journals, Owner, Result, SavedGame,
    SavedJournal, SavedSnapshot, WithoutServer, WriteContent, WriteOutcome,
};

/// How many games one call of the script writes to, and about how many bytes: it is one atomic step, and everyone else
/// waits for its end. A larger batch is several calls, sent one behind the other.
const WRITES_PER_CALL: usize = 256;

/// See [`WRITES_PER_CALL`]. A write that has more alone is a call of its own.
const BYTES_PER_CALL: usize = 2 * 1024 * 1024;

/// A game as Redis has it: fields of its record, the snapshot, the entries.
type RawGame = (Vec<Option<String>>, Option<Vec<u8>>, Vec<Vec<u8>>);

/// What is kept of a game beside its record, as Redis has it.
#[derive(Debug, Default)]
struct RawJournal {
    committed: Option<String>,
    number: Option<String>,
    format: Option<String>,
    snapshot: Option<Vec<u8>>,
    entries: Vec<Vec<u8>>,
}

impl RawJournal {
    /// Snapshot and entries, if they are what the record says; else what is wrong.
    fn read(self) -> std::result::Result<SavedJournal, String> {
        let committed = number("committed", self.committed.as_deref())?.unwrap_or_default();
        let snapshot = match (number("snapshot", self.number.as_deref())?, self.snapshot) {
            (None, None) => None,
            (Some(number), None) => return Err(format!("its snapshot of entry {number} is gone")),
            (None, Some(_)) => return Err("it has a snapshot, and its record knows of none".to_owned()),
            (Some(at), Some(bytes)) => {
                let format = self.format.as_deref().and_then(|format| format.parse().ok());
                let format = format.ok_or("its snapshot's format can't be read")?;
                Some(SavedSnapshot { number: EntryNumber(at), format, bytes: bytes.into() })
            }
        };
        let entries = self.entries.into_iter().map(Into::into).collect();
        let journal = SavedJournal { snapshot, entries };
        if journal.last().0 != committed {
            let last = journal.last();
            return Err(format!("its journal ends with entry {last}, and entry {committed} was committed"));
        }
        Ok(journal)
    }
}

fn number(what: &str, text: Option<&str>) -> std::result::Result<Option<u64>, String> {
    text.map(|text| text.parse().map_err(|_| format!("its number `{what}` can't be read"))).transpose()
}

/// Writes of one kind that are made with one call, by their places in the batch.
struct Chunk {
    places: Vec<usize>,
    bytes: usize,
}

fn is_snapshot(write: &JournalWrite) -> bool {
    matches!(write.content, WriteContent::Snapshot(_))
}

fn payload_bytes(write: &JournalWrite) -> usize {
    match &write.content {
        WriteContent::Entries { entries, .. } => entries.iter().map(bytes::Bytes::len).sum(),
        WriteContent::Snapshot(snapshot) => snapshot.bytes.len(),
    }
}

/// The writes that `belong`, in order, in chunks of a size that one call may have.
fn chunks(writes: &[JournalWrite], belongs: impl Fn(&JournalWrite) -> bool) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for (place, write) in writes.iter().enumerate().filter(|(_, write)| belongs(write)) {
        let bytes = payload_bytes(write);
        match chunks.last_mut() {
            Some(chunk) if chunk.places.len() < WRITES_PER_CALL && chunk.bytes + bytes <= BYTES_PER_CALL => {
                chunk.places.push(place);
                chunk.bytes += bytes;
            }
            _ => chunks.push(Chunk { places: vec![place], bytes }),
        }
    }
    chunks
}

fn add_write(call: &mut ScriptInvocation<'_>, write: &JournalWrite) {
    let owner = write.owner;
    call.arg(write.game.to_string()).arg(owner.slot.to_string());
    call.arg(owner.incarnation.to_string()).arg(owner.epoch.0);
    match &write.content {
        WriteContent::Entries { first, entries } => {
            call.arg(first.0).arg("").arg(entries.len());
            for entry in entries {
                call.arg(&entry[..]);
            }
        }
        WriteContent::Snapshot(snapshot) => {
            call.arg(snapshot.number.0).arg(snapshot.format).arg(1).arg(&snapshot.bytes[..]);
        }
    }
}

fn read_outcome(key: &str, outcome: &str) -> Result<WriteOutcome> {
    match outcome {
        "committed" => Ok(WriteOutcome::Committed),
        "fenced" => Ok(WriteOutcome::Fenced),
        "gap" => Ok(WriteOutcome::Gap),
        "unknown" => Ok(WriteOutcome::Unknown),
        other => Err(unexpected(key, &[other])),
    }
}

impl RedisStore {
    fn write_call<'a>(&self, script: &'a Script, chunk: &Chunk, writes: &[JournalWrite]) -> ScriptInvocation<'a> {
        let first = chunk.places.first().map(|&place| self.keys.game(writes[place].game));
        let mut call = self.script(script, &first.unwrap_or_default());
        call.arg(milliseconds(self.periods.proven_after));
        for &place in &chunk.places {
            add_write(&mut call, &writes[place]);
        }
        call
    }
}

#[async_trait]
impl Journals for RedisStore {
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>> {
        let Some(first) = writes.first() else { return Ok(Vec::new()) };
        let key = self.keys.game(first.game);
        let entries = chunks(writes, |write| !is_snapshot(write));
        let snapshots = chunks(writes, is_snapshot);
        let calls: Vec<ScriptInvocation<'_>> = entries
            .iter()
            .map(|chunk| self.write_call(&self.scripts.write_entries, chunk, writes))
            .chain(snapshots.iter().map(|chunk| self.write_call(&self.scripts.write_snapshots, chunk, writes)))
            .collect();
        // All are on their way before the first is answered.
        let made = self.confirmed(&key, |connection| {
            try_join_all(calls.iter().map(move |call| {
                let mut connection = connection.clone();
                async move { call.invoke_async::<Answer>(&mut connection).await }
            }))
        });
        let mut outcomes = vec![None; writes.len()];
        for (chunk, answer) in entries.iter().chain(&snapshots).zip(made.await?) {
            for (&place, outcome) in chunk.places.iter().zip(&answer) {
                outcomes[place] = Some(read_outcome(&key, outcome)?);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.ok_or_else(|| unexpected(&key, &[]))).collect()
    }

    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>> {
        let key = self.keys.game(id);
        let mut call = self.script(&self.scripts.saved_game, &key);
        call.arg(id.to_string()).arg(&RECORD_FIELDS[..]).arg(&["committed", "snapshot", "format", "attempts"]);
        let (fields, snapshot, entries) = self.invoke::<RawGame>(&key, &call).await?;
        let mut fields = fields.into_iter();
        let record: RawRecord = std::array::from_fn(|_| fields.next().flatten());
        let Some(record) = read_record(&key, &record)? else {
            return Ok(None);
        };
        let [committed, number, format, attempts] = std::array::from_fn(|_| fields.next().flatten());
        let attempts = attempts.map_or(Ok(0), |attempts| parse(&key, "attempts", &attempts))?;
        let journal = RawJournal { committed, number, format, snapshot, entries };
        let journal = journal.read().map_err(|problem| corrupt(&key, &problem))?;
        Ok(Some(SavedGame { record, attempts, journal }))
    }

    async fn claim_games(&self, claim: &Claim) -> Result<Claimed> {
        let key = self.keys.slot(claim.slot);
        let mut call = self.script(&self.scripts.claim_games, &key);
        call.arg(claim.slot.to_string()).arg(claim.incarnation.to_string());
        call.arg(claim.limit.min(CLAIM_MAX)).arg(claim.suspects).arg(claim.format);
        call.arg(CLAIM_ATTEMPTS_MAX).arg(to_json(&key, &poisoned())?);
        call.arg(milliseconds(self.periods.game_record_ttl)).arg(milliseconds(self.periods.room_idle_ttl));
        add_failed(&mut call, &self.periods);
        let answer: Answer = self.invoke_confirmed(&key, &call).await?;
        let Some((waiting, games)) = answer.split_first() else {
            return Err(unexpected(&key, &[]));
        };
        let claimed = |game: &[String]| {
            let [id, epoch, attempts] = game else { return Err(unexpected(&key, &parts(game))) };
            let epoch = Epoch(parse(&key, "epoch", epoch)?);
            let owner = Owner { slot: claim.slot, incarnation: claim.incarnation, epoch };
            Ok(ClaimedGame { id: parse(&key, "game", id)?, owner, attempts: parse(&key, "attempts", attempts)? })
        };
        let games = games.chunks(3).map(claimed).collect::<Result<_>>()?;
        Ok(Claimed { games, waiting: parse(&key, "count", waiting)? })
    }

    async fn hand_over(
        &self,
        id: GameId,
        owner_now: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> Result<HandOverOutcome> {
        let key = self.keys.game(id);
        let mut call = self.script(&self.scripts.hand_over, &key);
        call.arg(id.to_string()).arg(owner_now.slot.to_string());
        call.arg(owner_now.incarnation.to_string()).arg(owner_now.epoch.0);
        call.arg(snapshot.number.0).arg(snapshot.format).arg(&snapshot.bytes[..]);
        call.arg(match without_server {
            WithoutServer::Keep => "keep",
            WithoutServer::SetAside => "set-aside",
        });
        call.arg(milliseconds(self.periods.proven_after));
        let answer: Answer = self.invoke_confirmed(&key, &call).await?;
        match parts(&answer)[..] {
            ["to", slot, incarnation, epoch] => Ok(HandOverOutcome::To(owner(&key, slot, incarnation, epoch)?)),
            ["set-aside"] => Ok(HandOverOutcome::SetAside),
            ["none"] => Ok(HandOverOutcome::NoServer),
            ["fenced"] => Ok(HandOverOutcome::Fenced),
            ["unknown"] => Ok(HandOverOutcome::Unknown),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn failed_games(&self, limit: u32) -> Result<Vec<FailedGame>> {
        let key = self.keys.shared("Games:failed");
        let mut call = self.script(&self.scripts.failed_games, &key);
        call.arg(limit);
        let answer: Answer = self.invoke(&key, &call).await?;
        let failed = |game: &[String]| {
            let [id, game_type, age, outcome] = game else { return Err(unexpected(&key, &parts(game))) };
            let outcome = from_json(&key, outcome)?;
            Ok(FailedGame {
                id: parse(&key, "game", id)?,
                game_type: parse(&key, "type", game_type)?,
                age_ms: parse(&key, "age", age)?,
                outcome,
            })
        };
        answer.chunks(4).map(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pintail_core::{Incarnation, Kind, RoomId, Round, Slot};

    use super::*;

    fn write(bytes: usize) -> JournalWrite {
        let owner = Owner { slot: Slot::new(Kind::Game, 0), incarnation: Incarnation(1), epoch: Epoch(1) };
        let entries = vec![Bytes::from(vec![0; bytes / 2]), Bytes::from(vec![0; bytes - bytes / 2])];
        let content = WriteContent::Entries { first: EntryNumber(1), entries };
        JournalWrite { game: GameId { room: RoomId(1), round: Round(1) }, owner, content }
    }

    #[test]
    fn a_batch_is_cut_by_its_writes_and_by_its_bytes() {
        let mib = 1024 * 1024;
        for (sizes, expected) in [
            (vec![], vec![]),
            (vec![200; 256], vec![256]),
            (vec![200; 600], vec![256, 256, 88]),
            (vec![mib, mib, 1], vec![2, 1]),
            (vec![5 * mib, 1, 1, 5 * mib, 1], vec![1, 2, 1, 1]),
        ] {
            let writes: Vec<JournalWrite> = sizes.into_iter().map(write).collect();
            let chunks = chunks(&writes, |_| true);
            assert_eq!(chunks.iter().map(|chunk| chunk.places.len()).collect::<Vec<_>>(), expected);
            let places: Vec<usize> = chunks.into_iter().flat_map(|chunk| chunk.places).collect();
            assert_eq!(places, (0..writes.len()).collect::<Vec<_>>(), "in order");
        }
    }
}

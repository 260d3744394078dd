//! What is kept of journaled games.

use std::cmp::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pintail_core::{EntryNumber, GameId};
use tokio::time::Instant;

use super::games::Game;
use super::{EmbeddedStore, State};
use crate::{
    Claim, Claimed, EndOutcome, FailedGame, GameRecord, HandOverOutcome, JournalWrite, Journals, Owner, Result,
    SavedGame, SavedJournal, SavedSnapshot, WithoutServer, WriteContent, WriteOutcome,
};

/// How a token stands to that of a running game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the game's.
    Own,
    /// The store has lost the claim that made its holder the owner.
    Ahead,
    /// The game is another's.
    Fenced,
}

/// Claims of a game since an owner last proved that it can be run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims {
    pub(super) attempts: u32,
    /// When the owner got it.
    pub(super) since: Instant,
}

impl Game {
    pub(super) fn standing(&self, writer: Owner) -> Standing {
        let owner = self.record.owner;
        #[cfg(feature = "sabotage")]
        if pintail_core::sabotage::is_on(pintail_core::sabotage::Sabotage::Fencing) && owner.epoch >= writer.epoch {
            return Standing::Own;
        }
        match owner.epoch.cmp(&writer.epoch) {
            Ordering::Less => Standing::Ahead,
            Ordering::Equal if owner.incarnation == writer.incarnation => Standing::Own,
            Ordering::Equal | Ordering::Greater => Standing::Fenced,
        }
    }

    pub(super) fn attempts(&self) -> u32 {
        self.claims.map_or(0, |claims| claims.attempts)
    }

    /// Adds entries. Those that are there stay; `false` if there would be a gap.
    fn append(&mut self, first: EntryNumber, entries: &[Bytes]) -> bool {
        let next = self.journal.last().next();
        if first > next {
            return false;
        }
        let known = usize::try_from(next.0 - first.0).unwrap_or(usize::MAX);
        #[cfg(feature = "sabotage")]
        let known = if pintail_core::sabotage::is_on(pintail_core::sabotage::Sabotage::Appends) { 0 } else { known };
        self.journal.entries.extend(entries.iter().skip(known).cloned());
        true
    }

    /// Takes a snapshot. One that comes after entries that it does not contain is a late repeat: those stay.
    pub(super) fn keep_snapshot(&mut self, standing: Standing, snapshot: &SavedSnapshot) {
        if standing == Standing::Ahead || snapshot.number >= self.journal.last() {
            self.journal = SavedJournal { snapshot: Some(snapshot.clone()), entries: Vec::new() };
        }
    }

    /// Forgets how often it was claimed, if its owner has run it for long enough since.
    pub(super) fn prove(&mut self, now: Instant, proven_after: Duration) {
        if self.claims.is_some_and(|claims| now.duration_since(claims.since) >= proven_after) {
            self.claims = None;
        }
    }
}

impl State {
    fn write_journal(&mut self, write: &JournalWrite, now: Instant) -> WriteOutcome {
        let id = write.game;
        let Some(game) = self.games.running.get_mut(&id) else {
            return if self.games.get(id, now).is_some() { WriteOutcome::Fenced } else { WriteOutcome::Unknown };
        };
        let standing = game.standing(write.owner);
        match (standing, &write.content) {
            (Standing::Fenced, _) => return WriteOutcome::Fenced,
            (Standing::Ahead, WriteContent::Entries { .. }) => return WriteOutcome::Gap,
            (Standing::Own, WriteContent::Entries { first, entries }) => {
                if !game.append(*first, entries) {
                    return WriteOutcome::Gap;
                }
            }
            (_, WriteContent::Snapshot(snapshot)) => game.keep_snapshot(standing, snapshot),
        }
        game.prove(now, self.periods.proven_after);
        self.hold_game(id, write.owner, standing, now);
        WriteOutcome::Committed
    }

    /// The game is where its owner is. One that was set aside stays so while its owner may be dead: then it waits for
    /// whoever claims it, and what is written until then is not lost.
    fn hold_game(&mut self, id: GameId, owner: Owner, standing: Standing, now: Instant) {
        let slot = self.games.running.get(&id).map(|game| game.record.owner.slot);
        let elsewhere = self.games.set_aside.contains(id) || slot != Some(owner.slot);
        if standing == Standing::Ahead || (elsewhere && self.registry.is_live(owner.slot, owner.incarnation, now)) {
            self.move_game(id, owner);
        }
    }

    fn saved_game(&self, id: GameId, now: Instant) -> Option<SavedGame> {
        let game = self.games.get(id, now)?;
        Some(SavedGame { record: game.record.clone(), attempts: game.attempts(), journal: game.journal.clone() })
    }

    fn failed_games(&self, limit: u32, now: Instant) -> Vec<FailedGame> {
        let failed = self.games.failed(now).take(limit as usize);
        let age_ms = |at| u64::try_from(now.duration_since(at).as_millis()).unwrap_or(u64::MAX);
        let game = |(at, record, outcome): (Instant, &GameRecord, &EndOutcome)| FailedGame {
            id: record.order.id,
            game_type: record.order.game_type.clone(),
            age_ms: age_ms(at),
            outcome: outcome.clone(),
        };
        failed.map(game).collect()
    }
}

#[async_trait]
impl Journals for EmbeddedStore {
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>> {
        Ok(self.run(|state, now| writes.iter().map(|write| state.write_journal(write, now)).collect()))
    }

    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>> {
        Ok(self.run(|state, now| state.saved_game(id, now)))
    }

    async fn claim_games(&self, claim: &Claim) -> Result<Claimed> {
        Ok(self.run(|state, now| state.claim_games(claim, now)))
    }

    async fn hand_over(
        &self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> Result<HandOverOutcome> {
        Ok(self.run(|state, now| state.hand_over(id, owner, snapshot, without_server, now)))
    }

    async fn failed_games(&self, limit: u32) -> Result<Vec<FailedGame>> {
        Ok(self.run(|state, now| state.failed_games(limit, now)))
    }
}

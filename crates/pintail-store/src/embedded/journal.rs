//! Journals.

use async_trait::async_trait;
use pintail_core::GameId;

use super::EmbeddedStore;
use crate::{
    Claim, Claimed, FailedGame, Games, HandOverOutcome, JournalWrite, Journals, Owner, Result, SavedGame, SavedJournal,
    SavedSnapshot, StoreError, WithoutServer, WriteOutcome,
};

fn not_yet<T>() -> Result<T> {
    Err(StoreError::Refused("not written yet".to_owned()))
}

#[async_trait]
impl Journals for EmbeddedStore {
    async fn write_journals(&self, _writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>> {
        not_yet()
    }

    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>> {
        let record = self.game(id).await?;
        Ok(record.map(|record| SavedGame { record, attempts: 0, journal: SavedJournal::default() }))
    }

    async fn claim_games(&self, _claim: &Claim) -> Result<Claimed> {
        Ok(Claimed::default())
    }

    async fn hand_over(
        &self,
        _id: GameId,
        _owner: Owner,
        _snapshot: &SavedSnapshot,
        _without_server: WithoutServer,
    ) -> Result<HandOverOutcome> {
        not_yet()
    }

    async fn failed_games(&self, _limit: u32) -> Result<Vec<FailedGame>> {
        Ok(Vec::new())
    }
}

//! A store that misbehaves on demand, in front of one that works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::{EndOutcome, GameId, Incarnation, RoomId, SessionId, Slot};
use pintail_store::{
    CommitOutcome, EmbeddedStore, GameOrder, GameRecord, Games, Owner, PlaceOutcome, RestoreOutcome, Result,
    RoomChange, RoomDocument, RoomPage, Rooms, SavedSnapshot, StoreError,
};

/// How long a slow change takes.
const SLOW: Duration = Duration::from_millis(500);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// No room can be read or changed.
    RoomsUnavailable,
    /// Whoever commits a start hears nothing any more.
    SilentAfterStart,
    /// Whoever commits anything hears nothing any more.
    SilentAfterCommit,
    /// Changes of rooms take a while.
    SlowCommits,
    /// Changes of rooms wait until it is over.
    HeldCommits,
    /// Rooms can't be read, and nobody says so.
    RoomsSilent,
    /// Games are not known, as in a store that came back without them.
    GamesForgotten,
}

pub(crate) struct FaultyStore {
    inner: Arc<EmbeddedStore>,
    fault: Mutex<Fault>,
    held: AtomicBool,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<EmbeddedStore>) -> Arc<Self> {
        Arc::new(Self { inner, fault: Mutex::new(Fault::None), held: AtomicBool::new(false) })
    }

    /// Whether a change was held up.
    pub(crate) fn has_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn is(&self, fault: Fault) -> bool {
        *self.fault.lock().unwrap() == fault
    }

    async fn check(&self) -> Result<()> {
        if self.is(Fault::RoomsSilent) {
            std::future::pending::<()>().await;
        }
        if self.is(Fault::RoomsUnavailable) { Err(StoreError::Unavailable("on demand".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Rooms for FaultyStore {
    async fn commit_room(&self, change: &RoomChange) -> Result<CommitOutcome> {
        self.check().await?;
        if self.is(Fault::SlowCommits) {
            tokio::time::sleep(SLOW).await;
        }
        while self.is(Fault::HeldCommits) {
            self.held.store(true, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let outcome = self.inner.commit_room(change).await;
        let starts = change.to.as_ref().is_some_and(|to| to.labels.iter().any(|label| label == "starting"));
        if starts && self.is(Fault::SilentAfterStart) || self.is(Fault::SilentAfterCommit) {
            std::future::pending::<()>().await;
        }
        outcome
    }
    async fn room(&self, id: RoomId) -> Result<Option<RoomDocument>> {
        self.check().await?;
        self.inner.room(id).await
    }
    async fn room_of(&self, session: SessionId) -> Result<Option<RoomDocument>> {
        self.check().await?;
        self.inner.room_of(session).await
    }
    async fn room_by_invite(&self, invite: &str) -> Result<Option<RoomDocument>> {
        self.check().await?;
        self.inner.room_by_invite(invite).await
    }
    async fn rooms_labelled(&self, label: &str, page: Option<&str>, limit: u32) -> Result<RoomPage> {
        self.check().await?;
        self.inner.rooms_labelled(label, page, limit).await
    }
    async fn touch_room(&self, id: RoomId) -> Result<()> {
        self.inner.touch_room(id).await
    }
}

#[async_trait]
impl Games for FaultyStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        self.inner.place(order).await
    }
    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        if self.is(Fault::GamesForgotten) {
            return Ok(None);
        }
        self.inner.game(id).await
    }
    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        self.inner.hosted(slot, incarnation).await
    }
    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome> {
        self.inner.restore_game(order, owner, snapshot).await
    }
    async fn end_game(&self, id: GameId, owner: Owner, outcome: &EndOutcome) -> Result<bool> {
        self.inner.end_game(id, owner, outcome).await
    }
    async fn unsettled_games(&self, min_age_ms: u64, limit: u32) -> Result<Vec<GameId>> {
        self.inner.unsettled_games(min_age_ms, limit).await
    }
    async fn settle_game(&self, id: GameId) -> Result<()> {
        self.inner.settle_game(id).await
    }
    async fn sweep_orphans(&self, limit: u32) -> Result<u32> {
        self.inner.sweep_orphans(limit).await
    }
}

pintail_testkit::hand_on!(FaultyStore.inner: Registry, Journals, Sessions, Mail, Upkeep);

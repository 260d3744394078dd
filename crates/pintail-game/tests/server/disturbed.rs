//! A store that can be taken away from a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use pintail_core::{Charge, GameId, Incarnation, Kind, Slot, Verdict};
use pintail_store::{
    Announcement, Claim, Claimed, DrainRequest, EmbeddedStore, FailedGame, HandOverOutcome, Hazard, Heartbeat,
    HeartbeatOutcome, JournalWrite, Journals, Lineage, Owner, Registration, Registry, Result, SavedGame, SavedSnapshot,
    ScanEntry, StoreError, Upkeep, WithoutServer, WriteOutcome,
};
use tokio::sync::watch;

/// A store as one server sees it: parts of it can be out of its reach.
pub(crate) struct Disturbed {
    inner: Arc<EmbeddedStore>,
    /// Leases can't be renewed, nor journals written or claimed.
    pub(crate) away: AtomicBool,
    /// Journals can't be written.
    pub(crate) writes_fail: AtomicBool,
    /// Every second write is made, and its answer lost.
    pub(crate) answers_get_lost: AtomicBool,
    /// How many writes were tried.
    pub(crate) writes: AtomicU64,
    /// The store's history.
    pub(crate) lineage: watch::Sender<Lineage>,
}

impl Disturbed {
    pub(crate) fn new(inner: Arc<EmbeddedStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            away: AtomicBool::new(false),
            writes_fail: AtomicBool::new(false),
            answers_get_lost: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            lineage: watch::Sender::new(Lineage::default()),
        })
    }

    fn reach(&self, fails: &AtomicBool) -> Result<&EmbeddedStore> {
        if self.away.load(Ordering::Relaxed) || fails.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        Ok(&self.inner)
    }
}

/// What fails only while all does.
static NEVER: AtomicBool = AtomicBool::new(false);

#[async_trait]
impl Registry for Disturbed {
    async fn register(&self, announcement: &Announcement) -> Result<Registration> {
        self.reach(&NEVER)?.register(announcement).await
    }
    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome> {
        self.reach(&NEVER)?.heartbeat(slot, incarnation, heartbeat).await
    }
    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()> {
        self.reach(&NEVER)?.deregister(slot, incarnation).await
    }
    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>> {
        // The test looks too, and sees everything.
        self.inner.scan(kind).await
    }
    async fn reap(&self) -> Result<Vec<Slot>> {
        self.reach(&NEVER)?.reap().await
    }
    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict> {
        self.reach(&NEVER)?.accuse(slot, incarnation, observer, charge).await
    }
    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()> {
        self.reach(&NEVER)?.absolve(slot, incarnation, observer).await
    }
    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest> {
        self.reach(&NEVER)?.ask_to_drain(slot).await
    }
}

#[async_trait]
impl Journals for Disturbed {
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>> {
        let before = self.writes.fetch_add(writes.len() as u64, Ordering::Relaxed);
        let outcomes = self.reach(&self.writes_fail)?.write_journals(writes).await?;
        if self.answers_get_lost.load(Ordering::Relaxed) && before.is_multiple_of(2) {
            return Err(StoreError::Timeout(std::time::Duration::from_secs(1)));
        }
        Ok(outcomes)
    }
    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>> {
        self.reach(&NEVER)?.saved_game(id).await
    }
    async fn claim_games(&self, claim: &Claim) -> Result<Claimed> {
        self.reach(&NEVER)?.claim_games(claim).await
    }
    async fn hand_over(
        &self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> Result<HandOverOutcome> {
        self.reach(&NEVER)?.hand_over(id, owner, snapshot, without_server).await
    }
    async fn failed_games(&self, limit: u32) -> Result<Vec<FailedGame>> {
        self.reach(&NEVER)?.failed_games(limit).await
    }
}

#[async_trait]
impl Upkeep for Disturbed {
    async fn hazards(&self) -> Result<Vec<Hazard>> {
        self.inner.hazards().await
    }
    fn lineage(&self) -> watch::Receiver<Lineage> {
        self.lineage.subscribe()
    }
}

pintail_testkit::hand_on!(Disturbed.inner: Rooms, Games, Sessions, Mail);

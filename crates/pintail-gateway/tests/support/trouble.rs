//! Stores that misbehave on demand: one that loses a gateway's registration, and one whose games are looked up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pintail_core::{Charge, Endpoint, GameId, Generation, Incarnation, Kind, SessionId, Slot, Verdict};
use pintail_store::{
    Announcement, DrainRequest, EmbeddedStore, EndOutcome, GameOrder, GameRecord, Games, Heartbeat, HeartbeatOutcome,
    HeldSession, Login, LoginOutcome, Owner, PlaceOutcome, Registration, Registry, RestoreOutcome, Result,
    SavedSnapshot, ScanEntry, Sessions, StoreError,
};
use tokio::sync::{Semaphore, watch};

/// A working store with switches for what can go wrong.
pub struct TroubledStore {
    pub inner: Arc<EmbeddedStore>,
    /// Whether the next heartbeat of a gateway finds its slot lost.
    pub loses_gateway: AtomicBool,
    /// Whether gateways can't reach it with their heartbeats.
    pub is_away: AtomicBool,
    /// Whether gateways register under another port, and so in another slot.
    pub moves_gateway: AtomicBool,
    /// Whether a call of `hold_sessions` with sessions waits for `hold_goes_on`, once it has told `hold_begun`.
    pub holds_late: AtomicBool,
    pub hold_begun: Semaphore,
    pub hold_goes_on: Semaphore,
    /// Whether it can't be told that sessions are away.
    pub hears_no_departures: AtomicBool,
}

impl TroubledStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(EmbeddedStore::new()),
            loses_gateway: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            moves_gateway: AtomicBool::new(false),
            holds_late: AtomicBool::new(false),
            hold_begun: Semaphore::new(0),
            hold_goes_on: Semaphore::new(0),
            hears_no_departures: AtomicBool::new(false),
        })
    }

    fn place_of(&self, endpoint: Endpoint) -> Endpoint {
        let moves = self.moves_gateway.load(Ordering::SeqCst);
        if moves { Endpoint { port: 1, ..endpoint } } else { endpoint }
    }
}

#[async_trait]
impl Registry for TroubledStore {
    async fn register(&self, announcement: &Announcement) -> Result<Registration> {
        if announcement.kind != Kind::Gateway {
            return self.inner.register(announcement).await;
        }
        let endpoint = self.place_of(announcement.endpoint);
        if endpoint != announcement.endpoint {
            // Whoever still stood in the registry would get the slot back.
            for record in self.inner.scan(announcement.kind).await?.into_iter().flatten() {
                self.inner.deregister(record.slot, announcement.incarnation).await?;
            }
        }
        self.inner.register(&Announcement { endpoint, ..announcement.clone() }).await
    }
    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome> {
        if slot.kind != Kind::Gateway {
            return self.inner.heartbeat(slot, incarnation, heartbeat).await;
        }
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        if self.loses_gateway.swap(false, Ordering::SeqCst) {
            return Ok(HeartbeatOutcome::Lost);
        }
        let endpoint = self.place_of(heartbeat.endpoint);
        self.inner.heartbeat(slot, incarnation, &Heartbeat { endpoint, ..heartbeat.clone() }).await
    }
    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()> {
        self.inner.deregister(slot, incarnation).await
    }
    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>> {
        self.inner.scan(kind).await
    }
    async fn reap(&self) -> Result<Vec<Slot>> {
        self.inner.reap().await
    }
    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict> {
        self.inner.accuse(slot, incarnation, observer, charge).await
    }
    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()> {
        self.inner.absolve(slot, incarnation, observer).await
    }
    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest> {
        self.inner.ask_to_drain(slot).await
    }
}

#[async_trait]
impl Sessions for TroubledStore {
    async fn login(&self, login: &Login) -> Result<LoginOutcome> {
        self.inner.login(login).await
    }
    async fn session_away(&self, session: SessionId, generation: Generation) -> Result<()> {
        if self.hears_no_departures.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        self.inner.session_away(session, generation).await
    }
    async fn logout(&self, session: SessionId, generation: Generation) -> Result<bool> {
        self.inner.logout(session, generation).await
    }
    async fn hold_sessions(
        &self,
        gateway: Slot,
        incarnation: Incarnation,
        sessions: &[HeldSession],
    ) -> Result<Vec<SessionId>> {
        if !sessions.is_empty() && self.holds_late.swap(false, Ordering::SeqCst) {
            self.hold_begun.add_permits(1);
            self.hold_goes_on.acquire().await.expect("it is never closed").forget();
        }
        self.inner.hold_sessions(gateway, incarnation, sessions).await
    }
    async fn sessions_away(&self, min_age_ms: u64, limit: u32) -> Result<Vec<SessionId>> {
        self.inner.sessions_away(min_age_ms, limit).await
    }
    async fn settle_away(&self, session: SessionId) -> Result<()> {
        self.inner.settle_away(session).await
    }
}

pintail_testkit::hand_on!(TroubledStore.inner: Rooms, Games, Journals, Mail, Upkeep);

/// What a lookup of a game comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookups {
    Answered,
    /// They wait until that changes.
    Stalled,
    Failing,
}

/// A working store whose games are looked up before a test's eyes.
pub struct WatchedStore {
    pub inner: Arc<EmbeddedStore>,
    pub lookups: watch::Sender<Lookups>,
    /// How often each game was looked up.
    looked_up: Mutex<BTreeMap<GameId, u64>>,
    /// Who runs each game, instead of the one that it was placed on.
    owners: Mutex<BTreeMap<GameId, Owner>>,
}

impl WatchedStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(EmbeddedStore::new()),
            lookups: watch::channel(Lookups::Answered).0,
            looked_up: Mutex::default(),
            owners: Mutex::default(),
        })
    }

    /// How often a game was looked up.
    pub fn looked_up(&self, game: GameId) -> u64 {
        self.looked_up.lock().unwrap().get(&game).copied().unwrap_or_default()
    }

    /// From now on this server runs the game.
    pub fn take_over(&self, game: GameId, slot: Slot, incarnation: Incarnation) {
        let owner = Owner { slot, incarnation, epoch: pintail_core::Epoch(2) };
        self.owners.lock().unwrap().insert(game, owner);
    }
}

#[async_trait]
impl Games for WatchedStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        self.inner.place(order).await
    }
    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        *self.looked_up.lock().unwrap().entry(id).or_default() += 1;
        let mut lookups = self.lookups.subscribe();
        let is_answered = lookups.wait_for(|lookups| *lookups != Lookups::Stalled).await;
        if *is_answered.expect("the store has the other end") == Lookups::Failing {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        let mut record = self.inner.game(id).await?;
        if let (Some(record), Some(owner)) = (&mut record, self.owners.lock().unwrap().get(&id)) {
            record.owner = *owner;
        }
        Ok(record)
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

pintail_testkit::hand_on!(WatchedStore.inner: Registry, Rooms, Journals, Sessions, Mail, Upkeep);

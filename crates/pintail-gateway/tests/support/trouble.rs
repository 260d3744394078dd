//! A store that loses a gateway's registration on demand, and lets a test look in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pintail_core::{EndOutcome, Endpoint, GameId, Generation, Incarnation, Kind, RoomId, SessionId, Slot};
use pintail_store::{
    Announcement, CommitOutcome, EmbeddedStore, GameOrder, GameRecord, Games, Heartbeat, HeartbeatOutcome, HeldSession,
    Letter, Login, LoginOutcome, Mail, Owner, PlaceOutcome, Registration, Registry, RestoreOutcome, Result, RoomChange,
    RoomDocument, RoomPage, Rooms, ScanEntry, Sessions, Subscription,
};
use tokio::sync::Semaphore;

/// A working store with switches for what can go wrong.
pub struct TroubledStore {
    pub inner: EmbeddedStore,
    /// Whether the next heartbeat of a gateway finds its slot lost.
    pub loses_gateway: AtomicBool,
    /// Whether gateways register under another port, and so in another slot.
    pub moves_gateway: AtomicBool,
    /// Whether a call of `hold_sessions` with sessions waits for `hold_goes_on`, once it has told `hold_begun`.
    pub holds_late: AtomicBool,
    pub hold_begun: Semaphore,
    pub hold_goes_on: Semaphore,
}

impl TroubledStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: EmbeddedStore::new(),
            loses_gateway: AtomicBool::new(false),
            moves_gateway: AtomicBool::new(false),
            holds_late: AtomicBool::new(false),
            hold_begun: Semaphore::new(0),
            hold_goes_on: Semaphore::new(0),
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
        if self.loses_gateway.swap(false, Ordering::SeqCst) {
            return Ok(HeartbeatOutcome::Lost);
        }
        let endpoint = self.place_of(heartbeat.endpoint);
        self.inner.heartbeat(slot, incarnation, &Heartbeat { endpoint, ..*heartbeat }).await
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
}

#[async_trait]
impl Sessions for TroubledStore {
    async fn login(&self, login: &Login) -> Result<LoginOutcome> {
        self.inner.login(login).await
    }
    async fn session_away(&self, session: SessionId, generation: Generation) -> Result<()> {
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

#[async_trait]
impl Rooms for TroubledStore {
    async fn commit_room(&self, change: &RoomChange) -> Result<CommitOutcome> {
        self.inner.commit_room(change).await
    }
    async fn room(&self, id: RoomId) -> Result<Option<RoomDocument>> {
        self.inner.room(id).await
    }
    async fn room_of(&self, session: SessionId) -> Result<Option<RoomDocument>> {
        self.inner.room_of(session).await
    }
    async fn room_by_invite(&self, invite: &str) -> Result<Option<RoomDocument>> {
        self.inner.room_by_invite(invite).await
    }
    async fn rooms_labelled(&self, label: &str, page: Option<&str>, limit: u32) -> Result<RoomPage> {
        self.inner.rooms_labelled(label, page, limit).await
    }
    async fn touch_room(&self, id: RoomId) -> Result<()> {
        self.inner.touch_room(id).await
    }
}

#[async_trait]
impl Mail for TroubledStore {
    fn subscribe(&self, mailbox: Option<Slot>) -> Subscription {
        self.inner.subscribe(mailbox)
    }
    async fn send(&self, to: Slot, letter: Letter) -> Result<()> {
        self.inner.send(to, letter).await
    }
}

#[async_trait]
impl Games for TroubledStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        self.inner.place(order).await
    }
    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        self.inner.game(id).await
    }
    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        self.inner.hosted(slot, incarnation).await
    }
    async fn restore_game(&self, order: &GameOrder, owner: Owner) -> Result<RestoreOutcome> {
        self.inner.restore_game(order, owner).await
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

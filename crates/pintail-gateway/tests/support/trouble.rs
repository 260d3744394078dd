//! A store that loses a gateway's registration on demand, and lets a test look in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pintail_core::{Charge, Endpoint, Generation, Incarnation, Kind, SessionId, Slot, Verdict};
use pintail_store::{
    Announcement, DrainRequest, EmbeddedStore, Heartbeat, HeartbeatOutcome, HeldSession, Login, LoginOutcome,
    Registration, Registry, Result, ScanEntry, Sessions,
};
use tokio::sync::Semaphore;

/// A working store with switches for what can go wrong.
pub struct TroubledStore {
    pub inner: Arc<EmbeddedStore>,
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
            inner: Arc::new(EmbeddedStore::new()),
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

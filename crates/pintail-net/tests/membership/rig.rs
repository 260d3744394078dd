//! A server in the registry that does nothing else, and a store that misbehaves on demand.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::limits::STORE_TIMEOUT;
use pintail_core::{Endpoint, GameType, Incarnation, Kind, Slot, Status};
use pintail_net::{
    EventKind, Events, Identity, Lease, MemberEvent, Membership, MembershipConfig, Pulse, Timing, Vitals,
};
use pintail_store::{
    Announcement, Charge, DrainRequest, EmbeddedStore, Heartbeat, HeartbeatOutcome, Letter, Mail, Notice, Registration,
    Registry, Result, ScanEntry, ServerRecord, SharedStore, StoreError, Subscription, Verdict,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// How long anything that must happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How a store misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It refuses at once, as when nobody listens at its port.
    Refuses,
    /// It does not answer, as when it is held up.
    Silent,
}

/// A store between a server and the one that all share.
pub(crate) struct FaultyStore {
    inner: Arc<EmbeddedStore>,
    fault: Mutex<Fault>,
    /// When heartbeats were answered.
    heartbeats: Mutex<Vec<Instant>>,
    loses_letters: AtomicBool,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<EmbeddedStore>) -> Arc<Self> {
        let (fault, heartbeats) = (Mutex::new(Fault::None), Mutex::default());
        Arc::new(Self { inner, fault, heartbeats, loses_letters: AtomicBool::new(false) })
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn lose_letters(&self) {
        self.loses_letters.store(true, Ordering::Relaxed);
    }

    pub(crate) fn heartbeats(&self) -> Vec<Instant> {
        self.heartbeats.lock().unwrap().clone()
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    async fn check(&self) -> Result<()> {
        let asked = Instant::now();
        loop {
            match self.fault() {
                Fault::None => return Ok(()),
                Fault::Refuses => return Err(StoreError::Unavailable("on demand".to_owned())),
                Fault::Silent if asked.elapsed() >= STORE_TIMEOUT => return Err(StoreError::Timeout(STORE_TIMEOUT)),
                Fault::Silent => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

#[async_trait]
impl Registry for FaultyStore {
    async fn register(&self, announcement: &Announcement) -> Result<Registration> {
        self.check().await?;
        self.inner.register(announcement).await
    }
    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome> {
        self.check().await?;
        self.heartbeats.lock().unwrap().push(Instant::now());
        self.inner.heartbeat(slot, incarnation, heartbeat).await
    }
    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()> {
        self.check().await?;
        self.inner.deregister(slot, incarnation).await
    }
    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>> {
        self.check().await?;
        self.inner.scan(kind).await
    }
    async fn reap(&self) -> Result<Vec<Slot>> {
        self.check().await?;
        self.inner.reap().await
    }
    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict> {
        self.check().await?;
        self.inner.accuse(slot, incarnation, observer, charge).await
    }
    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()> {
        self.check().await?;
        self.inner.absolve(slot, incarnation, observer).await
    }
    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest> {
        self.check().await?;
        self.inner.ask_to_drain(slot).await
    }
}

#[async_trait]
impl Mail for FaultyStore {
    fn subscribe(&self, mailbox: Option<Slot>) -> Subscription {
        let mailbox = mailbox.filter(|_| !self.loses_letters.load(Ordering::Relaxed));
        self.inner.subscribe(mailbox)
    }
    async fn send(&self, to: Slot, letter: Letter) -> Result<()> {
        self.inner.send(to, letter).await
    }
}

pintail_testkit::hand_on!(FaultyStore.inner: Rooms, Games, Journals, Sessions, Upkeep);

/// What a server is about to say of itself.
#[derive(Clone)]
pub(crate) struct Said(Arc<Mutex<Vitals>>);

impl Said {
    pub(crate) fn status(&self, status: Status, cause: &str) {
        let mut vitals = self.0.lock().unwrap();
        (vitals.status, vitals.cause) = (status, cause.to_owned());
    }

    pub(crate) fn pulse(&self, pulse: Pulse) {
        self.0.lock().unwrap().pulse = pulse;
    }
}

/// A server that does nothing but be a member.
pub(crate) struct Server {
    pub(crate) membership: Membership,
    pub(crate) heard: mpsc::Receiver<MemberEvent>,
    pub(crate) said: Said,
    pub(crate) events: Events,
    pub(crate) cut_off: Arc<AtomicBool>,
    pub(crate) identity: Identity,
    pub(crate) announcement: Announcement,
}

impl Server {
    pub(crate) async fn start(store: SharedStore) -> Self {
        Self::start_with(store, Timing::default()).await
    }

    pub(crate) async fn start_with(store: SharedStore, timing: Timing) -> Self {
        static PORT: AtomicU16 = AtomicU16::new(1);
        let announcement = Announcement {
            kind: Kind::Game,
            endpoint: Endpoint::new([127, 0, 0, 1].into(), PORT.fetch_add(1, Ordering::Relaxed)),
            incarnation: Incarnation::random(),
            capacity: 10,
            game_types: vec![GameType::new("gomoku").unwrap()],
            version: "0".to_owned(),
            admin_port: None,
            http_port: None,
        };
        let vitals = Vitals { status: Status::Smooth, cause: String::new(), pulse: Pulse::Steady, players: 0 };
        let said = Said(Arc::new(Mutex::new(vitals)));
        let (events, cut_off) = (Events::default(), Arc::<AtomicBool>::default());
        let config = MembershipConfig {
            announcement: announcement.clone(),
            cluster: "test".to_owned(),
            timing,
            events: events.clone(),
            cut_off: cut_off.clone(),
        };
        let reported = said.clone();
        let (membership, mut heard) = Membership::start(store, config, move || reported.0.lock().unwrap().clone());
        let identity = loop {
            if let MemberEvent::Joined(identity) = soon(heard.recv()).await.unwrap() {
                break identity;
            }
        };
        Self { membership, heard, said, events, cut_off, identity, announcement }
    }

    /// The next event that is not about what the store's subscription hears.
    pub(crate) async fn hears(&mut self) -> MemberEvent {
        loop {
            match soon(self.heard.recv()).await.expect("the membership lives") {
                MemberEvent::Notice(Notice::Letter(letter)) => panic!("{letter:?} was passed on"),
                MemberEvent::Notice(_) => {}
                event => return event,
            }
        }
    }

    /// What it has published, in order.
    pub(crate) fn published(&self) -> Vec<(EventKind, Slot, String)> {
        let (kept, _) = self.events.follow();
        kept.iter().map(|event| (event.event, event.server, event.cause.clone())).collect()
    }

    pub(crate) fn lease(&self) -> Lease {
        *self.membership.lease().borrow()
    }

    /// Its entry in the registry.
    pub(crate) async fn record(&self, store: &impl Registry) -> ServerRecord {
        record(store, self.identity.slot).await
    }
}

pub(crate) async fn record(store: &impl Registry, slot: Slot) -> ServerRecord {
    let entries = store.scan(slot.kind).await.unwrap();
    entries.into_iter().flatten().find(|record| record.slot == slot).expect("the slot is there")
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it happens in time")
}

/// Waits until something is there to see.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, seen).await.unwrap_or_else(|_| panic!("this did not happen: {what}"))
}

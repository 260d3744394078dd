//! A server's place in the registry: it registers, renews its lease, hears announcements, and leaves.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::Status;
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_store::{Announcement, Heartbeat, HeartbeatOutcome, Notice, Registration, SharedStore, StoreError};
use rand::RngExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::greeting::Identity;

/// How long to wait before trying to register again.
const REGISTER_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(2) };

/// How often, on average, a server looks for others that are gone. Many look, and any one is enough.
const REAP_PERIOD: Duration = Duration::from_secs(1);

/// How many orphans one look deals with.
const ORPHANS_PER_SWEEP: u32 = 200;

/// How many events may wait for the role; more wait in the store's subscription, which knows how to catch up.
const EVENTS_MAX: usize = 256;

/// What a server registers, and how often it renews.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// What it says of itself.
    pub announcement: Announcement,
    /// The cluster's name.
    pub cluster: String,
    /// How often the lease is renewed.
    pub renewal: Duration,
}

/// What a server says of itself with each renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// What it can take; `Unused` while it drains.
    pub status: Status,
    /// How many players it has.
    pub players: u32,
}

/// What a role must know about its own place and the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberEvent {
    /// Registered, for the first time or again, perhaps in another slot.
    Joined(Identity),
    /// What the store's subscription hears, the server's own mailbox included.
    Notice(Notice),
    /// A newer incarnation has the slot: stop serving.
    Superseded,
}

/// A server's membership. It lives until [`leave`](Self::leave); dropping it ends it as a crash would, without a word to
/// the registry.
#[derive(Debug)]
pub struct Membership {
    identity: watch::Receiver<Option<Identity>>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Membership {
    /// Registers in the background and keeps at it while the store is away. `vitals` is asked at each renewal.
    pub fn start(
        store: SharedStore,
        config: MembershipConfig,
        vitals: impl Fn() -> Vitals + Send + Sync + 'static,
    ) -> (Self, mpsc::Receiver<MemberEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let (identity_tx, identity) = watch::channel(None);
        let stop = CancellationToken::new();
        let member =
            Member { store, config, vitals: Arc::new(vitals), identity: identity_tx, events, stop: stop.clone() };
        let task = AbortOnDropHandle::new(tokio::spawn(member.run()));
        (Self { identity, stop, task }, receiver)
    }

    /// Who the server is; `None` until it is registered.
    #[must_use]
    pub fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.identity.clone()
    }

    /// Leaves the registry: the slot is `unused` at once. Bounded by the store's own deadline.
    pub async fn leave(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            warn!(%error, "the membership task failed");
        }
    }
}

/// How one stay in a slot ended.
enum StayEnd {
    Stopped,
    Lost,
    Superseded,
}

struct Member {
    store: SharedStore,
    config: MembershipConfig,
    vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
    identity: watch::Sender<Option<Identity>>,
    events: mpsc::Sender<MemberEvent>,
    stop: CancellationToken,
}

impl Member {
    async fn run(self) {
        while let Some(registration) = self.register().await {
            let slot = registration.slot;
            info!(%slot, endpoint = %self.config.announcement.endpoint, how = ?registration.origin, "registered");
            let identity = Identity {
                cluster: self.config.cluster.clone(),
                slot,
                incarnation: self.config.announcement.incarnation,
            };
            self.identity.send_replace(Some(identity.clone()));
            match self.stay(identity).await {
                StayEnd::Stopped => return self.deregister(registration).await,
                StayEnd::Lost => warn!(%slot, "the registry lost this server: registering again"),
                StayEnd::Superseded => {
                    // Not a fault of this process, but its end: the role says so where people read it.
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = self.tell(MemberEvent::Superseded) => {}
                    }
                    return;
                }
            }
        }
    }

    /// Registers, however long it takes; `None` when the server stops first.
    async fn register(&self) -> Option<Registration> {
        let mut backoff = Backoff::new(REGISTER_BACKOFF);
        loop {
            let attempt = tokio::select! {
                () = self.stop.cancelled() => return None,
                attempt = self.store.register(&self.config.announcement) => attempt,
            };
            let error = match attempt {
                Ok(registration) => return Some(registration),
                Err(error) => error,
            };
            if backoff.failures() == 0 {
                warn!(%error, "can't register; trying until it works");
            }
            let wait = backoff.fail(&mut rand::rng());
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(wait) => {}
            }
        }
    }

    /// Renews, listens and looks after others until this stay ends.
    async fn stay(&self, identity: Identity) -> StayEnd {
        let mut subscription = self.store.subscribe(Some(identity.slot));
        // Beside the renewals: a role that is slow to hear must not lose its lease for it.
        let listen = async {
            self.tell(MemberEvent::Joined(identity.clone())).await;
            while let Some(notice) = subscription.next().await {
                self.tell(MemberEvent::Notice(notice)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = self.stop.cancelled() => StayEnd::Stopped,
            end = self.renew(&identity) => end,
            () = listen => StayEnd::Stopped,
            () = self.look_after_others() => StayEnd::Stopped,
        }
    }

    async fn renew(&self, identity: &Identity) -> StayEnd {
        let mut trouble: Option<StoreError> = None;
        // A first wait of random length keeps servers that started together from renewing together.
        let mut due = Instant::now() + jittered(self.config.renewal) / 2;
        loop {
            sleep_until(due).await;
            due = (due + self.config.renewal).max(Instant::now());
            let Vitals { status, players } = (self.vitals)();
            let heartbeat = Heartbeat { status, players, endpoint: self.config.announcement.endpoint };
            match self.store.heartbeat(identity.slot, identity.incarnation, &heartbeat).await {
                Ok(HeartbeatOutcome::Renewed { .. }) => {
                    if trouble.take().is_some() {
                        info!("the store answers again; the lease is renewed");
                    }
                }
                Ok(HeartbeatOutcome::Lost) => return StayEnd::Lost,
                Ok(HeartbeatOutcome::Superseded) => return StayEnd::Superseded,
                Err(error) => {
                    if trouble.is_none() {
                        warn!(%error, "can't renew the lease; trying until it works");
                    }
                    trouble = Some(error);
                }
            }
        }
    }

    /// Takes servers that are gone out of use, and deals with what they left.
    async fn look_after_others(&self) {
        loop {
            sleep(jittered(REAP_PERIOD)).await;
            match self.store.reap().await {
                Ok(gone) => gone.iter().for_each(|slot| info!(%slot, "its server is gone: the slot is unused")),
                Err(error) => debug!(%error, "can't look for servers that are gone"),
            }
            if let Err(error) = self.store.sweep_orphans(ORPHANS_PER_SWEEP).await {
                debug!(%error, "can't look for what they left");
            }
        }
    }

    async fn deregister(&self, registration: Registration) {
        let incarnation = self.config.announcement.incarnation;
        match self.store.deregister(registration.slot, incarnation).await {
            Ok(()) => info!(slot = %registration.slot, "left the registry"),
            Err(error) => warn!(%error, "can't leave the registry; the lease will run out"),
        }
    }

    async fn tell(&self, event: MemberEvent) {
        // A role that has stopped listening is about to leave.
        let _ = self.events.send(event).await;
    }
}

/// Half to one and a half of a period, at random.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.5 + rand::rng().random::<f64>())
}

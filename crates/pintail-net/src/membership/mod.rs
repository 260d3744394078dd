//! A server's place in the registry: it registers, renews its lease, hears announcements, looks after others that are
//! gone, and leaves.
//!
//! | part | what it holds |
//! | --- | --- |
//! | `member` | the task: registers, renews, listens, looks after others |
//! | `rhythm` | when the lease is renewed next |
//! | `lease` | how long ago it was renewed, for whoever must stop in time |
//! | `outage` | the store's troubles, told once each |

mod lease;
mod member;
mod outage;
mod rhythm;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pintail_core::Status;
use pintail_store::{Announcement, Notice, SharedStore};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::config::{ServerConfig, Timing};
use crate::events::Events;
use crate::greeting::Identity;

pub use lease::Lease;
use lease::LeaseAge;
use member::Member;

/// How many events may wait for the role; more wait in the store's subscription, which knows how to catch up.
const EVENTS_MAX: usize = 256;

/// What a server registers, and how often it renews.
#[derive(Debug, Clone)]
pub struct MembershipConfig {
    /// What it says of itself.
    pub announcement: Announcement,
    /// The cluster's name.
    pub cluster: String,
    /// How often the lease is renewed, and how long it lives.
    pub timing: Timing,
    /// Where its events go.
    pub events: Events,
    /// While this is true the server can't see most of the others: it takes nobody out of use, and deals with nothing
    /// that others left. A server that does not watch others leaves it false.
    pub cut_off: Arc<AtomicBool>,
}

impl MembershipConfig {
    /// Of a server with these settings, which does not watch others.
    #[must_use]
    pub fn new(server: &ServerConfig, announcement: Announcement, events: Events) -> Self {
        let (cluster, timing) = (server.cluster.clone(), server.timing);
        Self { announcement, cluster, timing, events, cut_off: Arc::default() }
    }
}

/// Whether the part of a server that does its work is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// It is.
    Steady,
    /// It has not come round for longer than a server may be silent: the lease is not renewed, and the server accuses
    /// itself.
    Stuck,
}

/// What a server says of itself with each renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// What it can take; `Unused` while it drains.
    pub status: Status,
    /// Why it is not `smooth`; empty if it is.
    pub cause: String,
    /// Whether its work goes on.
    pub pulse: Pulse,
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
    /// An operator asks the server to drain. Comes once.
    DrainAsked,
    /// A newer incarnation has the slot: stop serving.
    Superseded,
}

/// Has the lease renewed at once, with what the vitals say then. Clones do the same.
#[derive(Debug, Clone, Default)]
pub struct Renewer {
    shared: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    asked: AtomicBool,
    wake: Notify,
}

impl Renewer {
    /// Asks for a renewal now and not in half a second: the status has changed, or a drain begins. Many asks before the
    /// renewal are one.
    pub fn renew_now(&self) {
        if !self.shared.asked.swap(true, Ordering::AcqRel) {
            self.shared.wake.notify_one();
        }
    }

    /// Waits until someone asks. Whatever was changed before the ask is seen after it.
    async fn asked(&self) {
        while !self.shared.asked.swap(false, Ordering::AcqRel) {
            self.shared.wake.notified().await;
        }
    }
}

/// A server's membership. It lives until [`leave`](Self::leave); dropping it ends it as a crash would, without a word to
/// the registry.
#[derive(Debug)]
pub struct Membership {
    identity: watch::Receiver<Option<Identity>>,
    lease: watch::Receiver<Lease>,
    failures: Counter,
    renewer: Renewer,
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
        let (lease_tx, lease) = watch::channel(Lease::Unsure { renewed: None });
        let (failures, renewer, stop) = (Counter::default(), Renewer::default(), CancellationToken::new());
        let member = Member {
            store,
            config,
            vitals: Box::new(vitals),
            identity: identity_tx,
            lease: lease_tx,
            events,
            renewer: renewer.clone(),
            drain: Notify::new(),
            seen: member::Seen::default(),
            outage: outage::Outage::new(failures.clone()),
            stop: stop.clone(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(member.run()));
        (Self { identity, lease, failures, renewer, stop, task }, receiver)
    }

    /// Who the server is; `None` until it is registered.
    #[must_use]
    pub fn identity(&self) -> watch::Receiver<Option<Identity>> {
        self.identity.clone()
    }

    /// Whether the lease is held for certain.
    #[must_use]
    pub fn lease(&self) -> watch::Receiver<Lease> {
        self.lease.clone()
    }

    /// What has the lease renewed at once.
    #[must_use]
    pub fn renewer(&self) -> Renewer {
        self.renewer.clone()
    }

    /// Shows the age of the lease and the failed calls in a registry of metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let help = "Calls of the membership to the store that failed";
        registry.register("membership_failures", help, self.failures.clone());
        registry.register_collector(Box::new(LeaseAge { lease: self.lease.clone() }));
    }

    /// Leaves the registry: the slot is `unused` at once. Bounded by the store's own deadline.
    pub async fn leave(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            warn!(%error, "the membership task failed");
        }
    }
}

//! The task behind a membership.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pintail_core::limits::ACCUSATION_REPEAT;
use pintail_core::{Kind, Slot, Status};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_store::{
    Charge, Heartbeat, HeartbeatOutcome, Letter, Notice, Registration, SharedStore, SlotOrigin, StoreError,
};
use rand::RngExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::lease::Lease;
use super::outage::Outage;
use super::rhythm::Rhythm;
use super::{MemberEvent, MembershipConfig, Pulse, Renewer, Vitals};
use crate::events::EventKind;
use crate::greeting::Identity;

/// How long to wait before trying to register again.
const REGISTER_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(2) };

/// How often, on average, a server looks for others that are gone. All look, any one is enough, and the store turns away
/// those who come too soon after another, so this is how late the loss of a lease may be noticed.
const LOOK_PERIOD: Duration = Duration::from_millis(400);

/// How many orphans one look deals with.
const ORPHANS_PER_SWEEP: u32 = 200;

pub(super) struct Member {
    pub(super) store: SharedStore,
    pub(super) config: MembershipConfig,
    pub(super) vitals: Box<dyn Fn() -> Vitals + Send + Sync>,
    pub(super) identity: watch::Sender<Option<Identity>>,
    pub(super) lease: watch::Sender<Lease>,
    pub(super) events: mpsc::Sender<MemberEvent>,
    pub(super) renewer: Renewer,
    /// The store has said that the server is to drain.
    pub(super) drain: Notify,
    pub(super) seen: Seen,
    pub(super) outage: Outage,
    pub(super) stop: CancellationToken,
}

/// What was told already.
#[derive(Debug)]
pub(super) struct Seen {
    status: Mutex<Status>,
    drain: AtomicBool,
}

impl Default for Seen {
    fn default() -> Self {
        Self { status: Mutex::new(Status::Smooth), drain: AtomicBool::new(false) }
    }
}

/// How one stay in a slot ended.
enum StayEnd {
    Stopped,
    Lost,
    Superseded,
}

impl Member {
    pub(super) async fn run(self) {
        while let Some(registration) = self.register().await {
            let slot = registration.slot;
            self.tell_joined(registration);
            let identity = Identity {
                cluster: self.config.cluster.clone(),
                slot,
                incarnation: self.config.announcement.incarnation,
            };
            self.identity.send_replace(Some(identity.clone()));
            let end = self.stay(identity).await;
            self.lose_lease();
            match end {
                StayEnd::Stopped => return self.deregister(slot).await,
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
            let sent = Instant::now();
            let attempt = tokio::select! {
                () = self.stop.cancelled() => return None,
                attempt = self.store.register(&self.config.announcement) => attempt,
            };
            match attempt {
                Ok(registration) => {
                    self.outage.over();
                    self.hold_lease(sent);
                    return Some(registration);
                }
                Err(error) => self.outage.failed("register", &error),
            }
            let wait = backoff.fail(&mut rand::rng());
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = sleep(wait) => {}
            }
        }
    }

    fn tell_joined(&self, registration: Registration) {
        let (event, how) = match registration.origin {
            SlotOrigin::New => (EventKind::On, "in a new slot"),
            SlotOrigin::Restarted => (EventKind::On, "in the slot that its address had"),
            SlotOrigin::Recycled => (EventKind::Recycled, "in the slot of a server that is gone"),
        };
        let cause = format!("registered {how}, at {}", self.config.announcement.endpoint);
        self.config.events.publish(event, registration.slot, cause);
    }

    /// Renews, listens and looks after others until this stay ends.
    async fn stay(&self, identity: Identity) -> StayEnd {
        tokio::select! {
            () = self.stop.cancelled() => StayEnd::Stopped,
            end = self.renew(&identity) => end,
            // Beside the renewals: a role that is slow to hear must not lose its lease for it.
            end = self.listen(&identity) => end,
            end = self.look_after_others() => end,
            end = self.watch_lease() => end,
        }
    }

    async fn listen(&self, identity: &Identity) -> StayEnd {
        let mut subscription = self.store.subscribe(Some(identity.slot));
        self.tell(MemberEvent::Joined(identity.clone())).await;
        loop {
            tokio::select! {
                notice = subscription.next() => match notice {
                    // It names no incarnation, and may be meant for the one before: the renewal's answer is for this one.
                    Some(Notice::Letter(Letter::Drain)) => self.renewer.renew_now(),
                    Some(notice) => self.tell(MemberEvent::Notice(notice)).await,
                    // The store itself is gone, and the renewals will say so.
                    None => std::future::pending().await,
                },
                () = self.drain.notified() => self.tell(MemberEvent::DrainAsked).await,
            }
        }
    }

    /// Passes the wish on, once; the store repeats it with each renewal.
    fn ask_to_drain(&self) {
        if !self.seen.drain.swap(true, Ordering::Relaxed) {
            info!("asked to drain");
            self.drain.notify_one();
        }
    }

    async fn renew(&self, identity: &Identity) -> StayEnd {
        let mut rhythm = Rhythm::new(Instant::now(), self.config.timing.lease_renewal, &mut rand::rng());
        let mut accused = false;
        loop {
            tokio::select! {
                () = sleep_until(rhythm.due()) => {}
                () = self.renewer.asked() => {}
            }
            let vitals = (self.vitals)();
            self.tell_status(identity.slot, &vitals);
            if vitals.pulse == Pulse::Stuck {
                accused = true;
                self.accuse_itself(identity).await;
                rhythm.wait(Instant::now(), ACCUSATION_REPEAT);
                continue;
            }
            if let ControlFlow::Break(end) = self.renew_once(identity, vitals, &mut rhythm).await {
                return end;
            }
            if accused && self.lease.borrow().covers(Instant::now()) {
                accused = false;
                self.absolve_itself(identity).await;
            }
        }
    }

    async fn renew_once(&self, identity: &Identity, vitals: Vitals, rhythm: &mut Rhythm) -> ControlFlow<StayEnd> {
        let Vitals { status, cause, players, .. } = vitals;
        let heartbeat = Heartbeat { status, cause, players, endpoint: self.config.announcement.endpoint };
        let sent = Instant::now();
        let outcome = self.store.heartbeat(identity.slot, identity.incarnation, &heartbeat).await;
        let now = Instant::now();
        match outcome {
            Ok(HeartbeatOutcome::Renewed { drain, .. }) => {
                self.hold_lease(sent);
                if self.outage.over().is_some() {
                    rhythm.recovered(now, &mut rand::rng());
                } else {
                    rhythm.succeeded(now, &mut rand::rng());
                }
                if drain {
                    self.ask_to_drain();
                }
            }
            Ok(HeartbeatOutcome::Lost) => return ControlFlow::Break(StayEnd::Lost),
            Ok(HeartbeatOutcome::Superseded) => return ControlFlow::Break(StayEnd::Superseded),
            Err(error) => {
                self.outage.failed("renew the lease", &error);
                rhythm.failed(sent, now, &mut rand::rng());
            }
        }
        ControlFlow::Continue(())
    }

    /// A change of the status is an event, whether the store can be told or not.
    fn tell_status(&self, slot: Slot, vitals: &Vitals) {
        let before = {
            let mut status = self.seen.status.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *status, vitals.status)
        };
        if before != vitals.status {
            let event = match vitals.status {
                Status::Smooth => EventKind::Smooth,
                Status::Congested => EventKind::Congested,
                Status::Unused => EventKind::Draining,
            };
            self.config.events.publish(event, slot, &*vitals.cause);
        }
    }

    /// So that one more observer is enough to have this server taken for gone.
    async fn accuse_itself(&self, identity: &Identity) {
        let accusation = self.store.accuse(identity.slot, identity.incarnation, identity.slot, Charge::Silent);
        if let Err(error) = accusation.await {
            debug!(%error, "this server is stuck and can't say so; its lease will run out");
        }
    }

    /// An accusation that is not taken back runs out by itself, a little later.
    async fn absolve_itself(&self, identity: &Identity) {
        let absolution = self.store.absolve(identity.slot, identity.incarnation, identity.slot);
        if let Err(error) = absolution.await {
            debug!(%error, "can't say that this server works again; the accusation will run out");
        }
    }

    /// Takes servers that are gone out of use, and deals with what they left.
    async fn look_after_others(&self) -> StayEnd {
        loop {
            sleep(jittered(LOOK_PERIOD)).await;
            // One that may have been taken for gone itself, by its own fault or the store's, would be quick to end its own
            // games.
            if self.config.cut_off.load(Ordering::Relaxed) || !self.lease.borrow().covers(Instant::now()) {
                continue;
            }
            match self.store.reap().await {
                Ok(gone) => gone.into_iter().for_each(|slot| self.tell_gone(slot)),
                Err(error) => self.note_failed_look(&error),
            }
            if let Err(error) = self.store.sweep_orphans(ORPHANS_PER_SWEEP).await {
                self.note_failed_look(&error);
            }
        }
    }

    /// A gateway watches lobby and game servers itself, and tells of them what its next scan shows.
    fn tell_gone(&self, slot: Slot) {
        if self.config.announcement.kind != Kind::Gateway || slot.kind == Kind::Gateway {
            self.config.events.publish(EventKind::Down, slot, "its lease ran out");
        }
    }

    /// The renewals tell of an outage; here it costs nothing but time.
    fn note_failed_look(&self, error: &StoreError) {
        debug!(%error, "can't look for servers that are gone");
    }

    fn hold_lease(&self, sent: Instant) {
        let lease = Lease::renewed(sent, self.config.timing.lease_ttl);
        let before = self.lease.send_replace(lease);
        if matches!(before, Lease::Unsure { renewed: Some(_) }) && lease.covers(Instant::now()) {
            info!("the lease is held again");
        }
    }

    fn lose_lease(&self) {
        self.lease.send_modify(|lease| *lease = Lease::Unsure { renewed: None });
    }

    /// Notices when the lease may have run out.
    async fn watch_lease(&self) -> StayEnd {
        let mut lease = self.lease.subscribe();
        loop {
            let held = *lease.borrow_and_update();
            match held {
                Lease::Held { until, .. } => sleep_until(until).await,
                Lease::Unsure { .. } => {
                    // It fails only without a sender, which this task has.
                    let _ = lease.changed().await;
                }
            }
            if self.lease.send_if_modified(|lease| lease.expire(Instant::now())) {
                warn!("the lease could not be renewed in time: others may take this server for gone");
            }
        }
    }

    async fn deregister(&self, slot: Slot) {
        match self.store.deregister(slot, self.config.announcement.incarnation).await {
            Ok(()) => self.config.events.publish(EventKind::Off, slot, "it has left"),
            Err(error) => warn!(%error, "can't leave the registry; the lease will run out"),
        }
    }

    async fn tell(&self, event: MemberEvent) {
        // A role that has stopped listening is about to leave.
        let _ = self.events.send(event).await;
    }
}

/// Three to five quarters of a period, at random.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.75 + 0.5 * rand::rng().random::<f64>())
}

//! Follows the registry, and looks after what has to happen from time to time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pintail_core::Kind;
use pintail_core::limits::SESSION_TTL;
use pintail_engine::directory::{Directory, Peer};
use pintail_engine::health::{Event, Listing, Standing};
use pintail_net::{Identity, Lease, MemberEvent, Membership, Renewer, RoleError};
use pintail_store::{BrokenEntry, Letter, Notice, ServerRecord, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::links::LinkKeeper;
use crate::server::Gateway;
use crate::session::Session;

/// How often the store hears that the sessions are still here.
const SESSIONS_REFRESH: Duration = SESSION_TTL.checked_div(6).expect("six is not zero");

/// How many broken registry entries are remembered as told.
const BROKEN_TOLD_MAX: usize = 1024;

/// Follows the registry and looks after what has to happen from time to time.
pub(crate) struct MainLoop {
    gateway: Arc<Gateway>,
    identity: watch::Sender<Option<Identity>>,
    directory: Directory,
    pub(crate) keeper: LinkKeeper,
    ended: mpsc::Receiver<Peer>,
    /// The kinds whose servers have changed since the last scan: a hundred that start together cost one scan, not a
    /// hundred.
    due: BTreeSet<Kind>,
    /// Broken entries that the operator was told of.
    broken: Vec<BrokenEntry>,
    renewer: Renewer,
    lease: watch::Receiver<Lease>,
    /// When the last renewal was sent that this loop knows of.
    renewed: Option<Instant>,
    /// Whether others may have taken this gateway for gone, and its sessions for away, since the store was told of them.
    are_sessions_in_doubt: bool,
    /// When the gateway stops; `None` while it is not about to.
    stops_at: Option<Instant>,
}

impl MainLoop {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        identity: watch::Sender<Option<Identity>>,
        membership: &Membership,
    ) -> Self {
        let (ended_tx, ended) = mpsc::channel(64);
        let keeper = LinkKeeper::new(gateway.clone(), membership.lease(), ended_tx);
        Self {
            gateway,
            identity,
            directory: Directory::new(),
            keeper,
            ended,
            due: BTreeSet::new(),
            broken: Vec::new(),
            renewer: membership.renewer(),
            lease: membership.lease(),
            renewed: None,
            are_sessions_in_doubt: false,
            stops_at: None,
        }
    }

    /// Runs until the gateway is told to stop, and then for as long as it takes others to notice.
    pub(crate) async fn run(
        &mut self,
        mut events: mpsc::Receiver<MemberEvent>,
        stop: &CancellationToken,
    ) -> Result<(), RoleError> {
        let mut scans = interval(self.gateway.config.server.timing.scan_period);
        scans.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshes = interval(SESSIONS_REFRESH);
        loop {
            tokio::select! {
                biased;
                () = until(self.stops_at) => return Ok(()),
                () = stop.cancelled(), if self.stops_at.is_none() => self.drain("it was told to stop"),
                event = events.recv() => match event {
                    Some(MemberEvent::Superseded) => return Err(RoleError::Superseded),
                    Some(event) => self.member_event(event).await,
                    None => return Err(RoleError::Internal("the membership task has ended".to_owned())),
                },
                () = self.gateway.watch_ended() => {
                    return Err(RoleError::Internal("the watch over the other servers has failed".to_owned()));
                }
                Some(peer) = self.ended.recv() => {
                    let command = self.directory.ended(&peer);
                    self.keeper.apply(command);
                }
                Ok(()) = self.lease.changed() => self.lease_changed().await,
                _ = refreshes.tick() => drop(self.refresh_sessions().await),
                _ = scans.tick() => self.scan_all().await,
                () = std::future::ready(()), if !self.due.is_empty() => self.scan_due().await,
            }
        }
    }

    /// Nobody new should come; whoever is here stays until it is time to go.
    fn drain(&mut self, why: &str) {
        if self.stops_at.is_none() {
            let lame_duck = self.gateway.config.lame_duck;
            info!(why, goes_on_for_ms = lame_duck.as_millis(), "draining");
            self.stops_at = Some(Instant::now() + lame_duck);
            self.gateway.drain();
            self.renewer.renew_now();
        }
    }

    async fn member_event(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Joined(identity) => self.joined(identity).await,
            MemberEvent::Notice(Notice::Rescan) => {
                self.scan_all().await;
                self.are_sessions_in_doubt = self.refresh_sessions().await.is_err();
            }
            MemberEvent::Notice(Notice::ServerOn(slot) | Notice::ServerOff(slot)) => drop(self.due.insert(slot.kind)),
            MemberEvent::Notice(Notice::Letter(Letter::SessionMoved(session, generation))) => {
                self.gateway.session_moved(session, generation);
            }
            MemberEvent::Notice(Notice::Letter(letter)) => debug!(%letter, "a letter that is not for a gateway"),
            MemberEvent::DrainAsked => self.drain("an operator asks for it"),
            // Whoever reads the events has dealt with it.
            MemberEvent::Superseded => {}
        }
    }

    /// Servers know their links by this gateway's slot: with another slot, every link is opened anew, and rooms hear
    /// where their members' events go now.
    async fn joined(&mut self, identity: Identity) {
        let moved = self.gateway.identity().is_some_and(|before| before.slot != identity.slot);
        self.identity.send_replace(Some(identity));
        if moved {
            self.gateway.moved.store(true, Ordering::Relaxed);
            self.keeper.stop().await;
            self.directory = Directory::new();
        }
        self.gateway.update_readiness();
        self.scan_all().await;
        self.are_sessions_in_doubt = self.refresh_sessions().await.is_err();
    }

    /// After a gap between two renewals, the sessions of this gateway may count as away although it is there and holds
    /// them. The store is told again, with each renewal until that works.
    async fn lease_changed(&mut self) {
        let Lease::Held { renewed, .. } = *self.lease.borrow_and_update() else { return };
        // A renewal counts from when it was sent; on its way to the store it may take long.
        let gap_max = self.gateway.config.server.timing.lease_ttl / 2;
        let before = self.renewed.replace(renewed);
        self.are_sessions_in_doubt |= before.is_some_and(|before| renewed.duration_since(before) > gap_max);
        if self.are_sessions_in_doubt {
            self.are_sessions_in_doubt = self.refresh_sessions().await.is_err();
        }
    }

    async fn scan_all(&mut self) {
        self.scan(Kind::Lobby).await;
        self.scan(Kind::Game).await;
    }

    async fn scan_due(&mut self) {
        for kind in std::mem::take(&mut self.due) {
            self.scan(kind).await;
        }
    }

    async fn scan(&mut self, kind: Kind) {
        if kind == Kind::Gateway || self.gateway.identity().is_none() {
            return;
        }
        let entries = match self.gateway.store.scan(kind).await {
            Ok(entries) => entries,
            Err(error) => return debug!(%error, "can't scan the registry; keeping what is known"),
        };
        let (mut live, mut listings) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Ok(record) => {
                    if record.is_live() {
                        live.push(peer_of(&record));
                    }
                    listings.push(listing_of(record));
                }
                Err(broken) => self.tell_broken(broken),
            }
        }
        // The observer first: it must know whose links it hears of.
        self.gateway.observe(Event::Scanned(kind, listings)).await;
        let commands = self.directory.scanned(kind, live);
        self.keeper.apply(commands);
    }

    fn tell_broken(&mut self, broken: BrokenEntry) {
        if !self.broken.contains(&broken) && self.broken.len() < BROKEN_TOLD_MAX {
            warn!("{broken}: skipped");
            self.broken.push(broken);
        }
    }

    async fn refresh_sessions(&self) -> Result<(), StoreError> {
        let Some(identity) = self.gateway.identity() else { return Ok(()) };
        let sessions = self.gateway.sessions.all();
        let held: Vec<_> = sessions.iter().map(|session| session.held()).collect();
        let told = self.gateway.store.hold_sessions(identity.slot, identity.incarnation, &held).await;
        match &told {
            Ok(stale) => {
                let stale: BTreeSet<_> = stale.iter().collect();
                sessions.iter().filter(|session| stale.contains(&session.id)).for_each(|session| session.replaced());
            }
            Err(error) => debug!(%error, "can't refresh the sessions; trying again later"),
        }
        self.keep_departed(&sessions);
        told.map(drop)
    }

    /// A session that went while the store was told that it is held may be held there again: the store hears once more
    /// that it is gone.
    fn keep_departed(&self, held: &[Arc<Session>]) {
        let departed = held.iter().filter(|session| !self.gateway.sessions.has(session));
        departed.for_each(|session| self.gateway.departures().keep(session.departure()));
    }
}

const fn peer_of(record: &ServerRecord) -> Peer {
    Peer { slot: record.slot, endpoint: record.endpoint, incarnation: record.incarnation }
}

/// What the observer has to know of a registry entry.
fn listing_of(record: ServerRecord) -> Listing {
    let Peer { slot, endpoint, incarnation } = peer_of(&record);
    let standing = if record.is_live() {
        Standing::Live { status: record.status, cause: record.cause }
    } else if record.incarnation.is_none() {
        // Who leaves in good order leaves none behind.
        Standing::Left
    } else if record.unused_ms.is_none() {
        Standing::Lapsed
    } else {
        Standing::Dead { cause: record.cause }
    };
    Listing { slot, endpoint, incarnation, standing }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

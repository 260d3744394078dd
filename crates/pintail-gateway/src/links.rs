//! The links to lobby and game servers: which are open, and who owns the tasks that keep them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pintail_core::limits::LINK_OUTBOX_BYTES_MAX;
use pintail_core::{Health, Incarnation, Kind, SessionId, Slot};
use pintail_engine::directory::{LinkCommand, Peer};
use pintail_net::{Identity, Lease, Outbox};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link_task::LinkTask;
use crate::server::Gateway;

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells links to the same slot apart; from 1 on.
    pub(crate) serial: u64,
    pub(crate) slot: Slot,
    pub(crate) incarnation: Incarnation,
    pub(crate) outbox: Arc<Outbox>,
    /// The server as the registry shows it: without an incarnation if it is foreign.
    peer: Peer,
    /// When the server was last heard, in nanoseconds since the gateway started.
    heard: AtomicU64,
    /// When the link was opened, by the same clock.
    opened: Duration,
    /// How long the last heartbeat took to be answered, in nanoseconds; 0 before the first.
    round_trip: AtomicU64,
    /// The server is down: the link is to be closed.
    pub(crate) given_up: CancellationToken,
}

impl Link {
    /// The server was heard just now.
    pub(crate) fn hear(&self, now: Duration) {
        self.heard.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A heartbeat was answered after so long.
    pub(crate) fn note_round_trip(&self, took: Duration) {
        self.round_trip.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// As it stands. It waits for whoever is encoding a frame for this link.
    pub(crate) fn seen(&self, now: Duration) -> LinkNow {
        let heard = Duration::from_nanos(self.heard.load(Ordering::Relaxed));
        LinkNow {
            server: self.slot.to_string(),
            incarnation: self.incarnation.to_string(),
            queue_bytes: self.outbox.queued_bytes(),
            age_seconds: now.saturating_sub(self.opened).as_secs_f64(),
            silent_seconds: now.saturating_sub(heard).as_secs_f64(),
            round_trip_seconds: Duration::from_nanos(self.round_trip.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// A link as operators see it.
#[derive(Debug, Serialize)]
pub(crate) struct LinkNow {
    pub(crate) server: String,
    incarnation: String,
    pub(crate) queue_bytes: usize,
    age_seconds: f64,
    /// How long ago the server was heard.
    silent_seconds: f64,
    round_trip_seconds: f64,
}

/// The open links.
#[derive(Debug)]
pub(crate) struct Links {
    shared: Mutex<Shared>,
    last_serial: AtomicU64,
    roll_calls: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Shared {
    open: BTreeMap<Slot, Arc<Link>>,
    /// The servers that do not look well, whether they are linked or not.
    unwell: BTreeMap<Slot, Health>,
}

impl Shared {
    fn lobbies(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.open.values().filter(|link| link.slot.kind == Kind::Lobby)
    }

    fn is_well(&self, link: &Link) -> bool {
        !self.unwell.contains_key(&link.slot)
    }
}

impl Default for Links {
    fn default() -> Self {
        Self { shared: Mutex::default(), last_serial: AtomicU64::default(), roll_calls: watch::channel(()).0 }
    }
}

impl Links {
    /// The link to this start of a server.
    pub(crate) fn to(&self, slot: Slot, incarnation: Incarnation) -> Option<Arc<Link>> {
        self.lock().open.get(&slot).filter(|link| link.incarnation == incarnation).cloned()
    }

    /// The link to this start of a server, whatever its slot.
    pub(crate) fn to_incarnation(&self, incarnation: Incarnation) -> Option<Arc<Link>> {
        self.lock().open.values().find(|link| link.incarnation == incarnation).cloned()
    }

    /// The lobby server for a session: always the same one while it is there and well (rendezvous hashing), so that a
    /// client's requests keep their order. One that does not look well is better than none.
    pub(crate) fn lobby_for(&self, session: SessionId) -> Option<Arc<Link>> {
        let links = self.lock();
        let weight = |link: &Arc<Link>| (links.is_well(link), mix(session.0 ^ mix(u64::from(link.slot.index))));
        links.lobbies().max_by_key(|link| weight(link)).cloned()
    }

    /// Whether there is a lobby server to turn to.
    pub(crate) fn has_well_lobby(&self) -> bool {
        let links = self.lock();
        links.lobbies().any(|link| links.is_well(link))
    }

    /// How many servers of a kind are linked.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.lock().open.values().filter(|link| link.slot.kind == kind).count()
    }

    /// Every open link, by slot. Whoever looks at one does so after this: each lobby request needs what is locked here.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.lock().open.values().cloned().collect()
    }

    /// When each linked server was last heard.
    pub(crate) fn heard(&self) -> Vec<(Peer, Duration)> {
        let heard = |link: &Arc<Link>| (link.peer, Duration::from_nanos(link.heard.load(Ordering::Relaxed)));
        self.lock().open.values().map(heard).collect()
    }

    /// How a server looks, for those who have a choice.
    pub(crate) fn set_health(&self, slot: Slot, health: Health) {
        let mut links = self.lock();
        match health {
            Health::Up => drop(links.unwell.remove(&slot)),
            Health::Suspect | Health::Down => drop(links.unwell.insert(slot, health)),
        }
    }

    /// Asks every linked server for a sign of life.
    pub(crate) fn call_the_roll(&self) {
        self.roll_calls.send_replace(());
    }

    /// Hears of roll calls.
    pub(crate) fn roll_calls(&self) -> watch::Receiver<()> {
        self.roll_calls.subscribe()
    }

    /// Has the link to this server closed: it is down.
    pub(crate) fn give_up(&self, peer: &Peer) {
        if let Some(link) = self.lock().open.get(&peer.slot).filter(|link| link.peer == *peer) {
            link.given_up.cancel();
        }
    }

    pub(crate) fn open(&self, peer: Peer, identity: &Identity, now: Duration) -> Arc<Link> {
        let link = Arc::new(Link {
            serial: self.last_serial.fetch_add(1, Ordering::Relaxed) + 1,
            slot: identity.slot,
            incarnation: identity.incarnation,
            outbox: Outbox::new(LINK_OUTBOX_BYTES_MAX),
            peer,
            heard: AtomicU64::default(),
            opened: now,
            round_trip: AtomicU64::default(),
            given_up: CancellationToken::new(),
        });
        link.hear(now);
        self.lock().open.insert(link.slot, link.clone());
        link
    }

    pub(crate) fn close(&self, link: &Link) {
        link.outbox.close();
        let open = &mut self.lock().open;
        if open.get(&link.slot).is_some_and(|there| there.serial == link.serial) {
            open.remove(&link.slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): spreads ids evenly.
const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Owns the tasks that dial servers and serve links to them.
#[derive(Debug)]
pub(crate) struct LinkKeeper {
    gateway: Arc<Gateway>,
    /// The gateway's own lease, of which its heartbeats speak.
    lease: watch::Receiver<Lease>,
    keepers: BTreeMap<Slot, Keeper>,
    tasks: TaskTracker,
    ended: mpsc::Sender<Peer>,
}

#[derive(Debug)]
struct Keeper {
    wanted: watch::Sender<bool>,
    stop: CancellationToken,
}

impl LinkKeeper {
    /// A keeper of no links. `ended` hears of servers whose task has ended by itself.
    pub(crate) fn new(gateway: Arc<Gateway>, lease: watch::Receiver<Lease>, ended: mpsc::Sender<Peer>) -> Self {
        Self { gateway, lease, keepers: BTreeMap::new(), tasks: TaskTracker::new(), ended }
    }

    /// Does what the directory decided.
    pub(crate) fn apply(&mut self, commands: impl IntoIterator<Item = LinkCommand>) {
        for command in commands {
            match command {
                LinkCommand::Dial(peer) => self.dial(peer),
                LinkCommand::Drop(slot) => {
                    if let Some(keeper) = self.keepers.remove(&slot) {
                        keeper.stop.cancel();
                    }
                }
                LinkCommand::Release(slot) => self.want(slot, false),
                LinkCommand::Retain(slot) => self.want(slot, true),
            }
        }
    }

    /// Closes every link in order and waits until it is done.
    pub(crate) async fn stop(&mut self) {
        for keeper in std::mem::take(&mut self.keepers).into_values() {
            keeper.stop.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    fn want(&self, slot: Slot, wanted: bool) {
        if let Some(keeper) = self.keepers.get(&slot) {
            keeper.wanted.send_replace(wanted);
        }
    }

    fn dial(&mut self, peer: Peer) {
        let (wanted, wanted_rx) = watch::channel(true);
        let stop = CancellationToken::new();
        let (gateway, lease) = (self.gateway.clone(), self.lease.clone());
        let task = LinkTask { gateway, peer, lease, wanted: wanted_rx, stop: stop.clone() };
        let ended = self.ended.clone();
        let serve = async move {
            let stop = task.stop.clone();
            task.run().await;
            // One that was told to stop is replaced or forgotten already.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _ = ended.send(peer) => {}
            }
        };
        self.tasks.spawn_on(serve, self.gateway.loops.first());
        // One task a slot: nobody would ever tell a second one to stop.
        if let Some(before) = self.keepers.insert(peer.slot, Keeper { wanted, stop }) {
            before.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lobby(index: u32) -> Identity {
        Identity {
            cluster: "c".to_owned(),
            slot: Slot::new(Kind::Lobby, index),
            incarnation: Incarnation(u128::from(index)),
        }
    }

    fn open(links: &Links, identity: &Identity) -> Arc<Link> {
        let endpoint = pintail_core::Endpoint::new(std::net::Ipv4Addr::LOCALHOST, 1);
        let peer = Peer { slot: identity.slot, endpoint, incarnation: Some(identity.incarnation) };
        links.open(peer, identity, Duration::ZERO)
    }

    #[test]
    fn a_session_keeps_its_lobby_while_it_is_there_and_sessions_spread() {
        let links = Links::default();
        let opened: Vec<_> = (0..3).map(|index| open(&links, &lobby(index))).collect();
        let chosen = |session: u64| links.lobby_for(SessionId(session)).map(|link| link.slot);
        let before: Vec<_> = (0..300).map(chosen).collect();
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);

        links.set_health(opened[1].slot, Health::Suspect);
        for (session, slot) in before.iter().enumerate() {
            let moves = *slot == Some(opened[1].slot);
            assert_eq!(chosen(session as u64) == *slot, !moves, "one that does not look well is passed over");
        }
        opened.iter().for_each(|link| links.set_health(link.slot, Health::Suspect));
        assert!(!links.has_well_lobby());
        assert_eq!((0..300).map(chosen).collect::<Vec<_>>(), before, "unless all are unwell");
        opened.iter().for_each(|link| links.set_health(link.slot, Health::Up));

        links.close(&opened[1]);
        for (session, slot) in before.iter().enumerate() {
            if *slot != Some(opened[1].slot) {
                assert_eq!(chosen(session as u64), *slot, "only the lost lobby's sessions move");
            }
        }
        assert!(opened[1].outbox.is_closed());
    }

    #[test]
    fn whoever_looks_at_links_that_are_busy_keeps_nobody_from_finding_one() {
        let links = Arc::new(Links::default());
        let link = open(&links, &lobby(0));
        let before = Arc::strong_count(&link);
        let busy = link.clone();
        std::thread::scope(|scope| {
            let (go_on, waits) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || busy.outbox.push_with(|_| assert!(waits.recv().is_err(), "nothing is ever sent")));
            let looking = links.clone();
            let look =
                move || looking.all().iter().map(|link| link.seen(Duration::ZERO).queue_bytes).collect::<Vec<_>>();
            let looker = scope.spawn(look);
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            // One more holds the link when it is looked at.
            while Arc::strong_count(&link) <= before + 1 && !looker.is_finished() {
                assert!(std::time::Instant::now() < deadline, "the link is looked at");
                std::thread::yield_now();
            }
            assert!(links.lobby_for(SessionId(1)).is_some());
            drop(go_on);
            assert_eq!(looker.join().unwrap(), [0]);
        });
    }

    #[test]
    fn a_link_is_to_one_incarnation_and_an_old_one_closes_only_itself() {
        let links = Links::default();
        let old = open(&links, &lobby(0));
        let new = open(&links, &lobby(0));
        links.close(&old);
        assert_eq!(links.to(new.slot, new.incarnation).map(|link| link.serial), Some(new.serial));
        assert!(links.to(new.slot, Incarnation(77)).is_none());
    }
}

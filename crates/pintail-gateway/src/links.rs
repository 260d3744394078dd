//! The links to lobby and game servers: one task each, from the first dial to the last goodbye.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pintail_core::limits::{LINK_HEARTBEAT, LINK_OUTBOX_BYTES_MAX, LINK_SILENCE_MAX};
use pintail_core::{Incarnation, Kind, SessionId, Slot};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_engine::directory::{LinkCommand, Peer};
use pintail_net::dial::dial;
use pintail_net::{DialError, Identity, Outbox, TcpConnection};
use pintail_wire::deliver::Deliver;
use pintail_wire::kind::{client as client_kind, link as kind};
use pintail_wire::{Frame, Malformed};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::server::Gateway;

/// Waits between attempts to reach a server of ours.
const DIAL_BACKOFF: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(100), max: Duration::from_secs(2) };

/// Waits between attempts to greet someone who is no server of ours: it will hardly become one soon.
const FOREIGN_BACKOFF: BackoffPolicy = BackoffPolicy { first: Duration::from_secs(2), max: Duration::from_secs(60) };

/// How long a link must have lived for the next dial to come at once.
const LINK_LIFE_MIN: Duration = Duration::from_secs(3);

/// An open link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells links to the same slot apart.
    pub(crate) serial: u64,
    pub(crate) slot: Slot,
    pub(crate) incarnation: Incarnation,
    pub(crate) outbox: Arc<Outbox>,
}

/// The open links.
#[derive(Debug, Default)]
pub(crate) struct Links {
    open: Mutex<BTreeMap<Slot, Arc<Link>>>,
    next_serial: AtomicU64,
}

impl Links {
    /// The link to this start of a server.
    pub(crate) fn to(&self, slot: Slot, incarnation: Incarnation) -> Option<Arc<Link>> {
        self.lock().get(&slot).filter(|link| link.incarnation == incarnation).cloned()
    }

    /// The lobby server for a session: always the same one while it is there (rendezvous hashing), so that a client's
    /// requests keep their order.
    pub(crate) fn lobby_for(&self, session: SessionId) -> Option<Arc<Link>> {
        let links = self.lock();
        let lobbies = links.values().filter(|link| link.slot.kind == Kind::Lobby);
        lobbies.max_by_key(|link| mix(session.0 ^ mix(u64::from(link.slot.index)))).cloned()
    }

    /// How many servers of a kind are linked.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.lock().values().filter(|link| link.slot.kind == kind).count()
    }

    fn open(&self, identity: &Identity) -> Arc<Link> {
        let link = Arc::new(Link {
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
            slot: identity.slot,
            incarnation: identity.incarnation,
            outbox: Outbox::new(LINK_OUTBOX_BYTES_MAX),
        });
        self.lock().insert(link.slot, link.clone());
        link
    }

    fn close(&self, link: &Link) {
        link.outbox.close();
        let mut links = self.lock();
        if links.get(&link.slot).is_some_and(|there| there.serial == link.serial) {
            links.remove(&link.slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Slot, Arc<Link>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(crate) fn new(gateway: Arc<Gateway>, ended: mpsc::Sender<Peer>) -> Self {
        Self { gateway, keepers: BTreeMap::new(), tasks: TaskTracker::new(), ended }
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
        let task = LinkTask { gateway: self.gateway.clone(), peer, wanted: wanted_rx, stop: stop.clone() };
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            let stop = task.stop.clone();
            task.run().await;
            // One that was told to stop is replaced or forgotten already.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                _ = ended.send(peer) => {}
            }
        });
        // One task a slot: nobody would ever tell a second one to stop.
        if let Some(before) = self.keepers.insert(peer.slot, Keeper { wanted, stop }) {
            before.stop.cancel();
        }
    }
}

/// Keeps one link open as long as it is wanted.
struct LinkTask {
    gateway: Arc<Gateway>,
    peer: Peer,
    wanted: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl LinkTask {
    async fn run(self) {
        let mut trouble = Trouble::new(self.peer);
        while let Some(me) = self.gateway.identity() {
            let dialled = tokio::select! {
                () = self.stop.cancelled() => return,
                dialled = dial(self.peer.endpoint, &self.gateway.config.server.secret, &me, self.expected()) => dialled,
            };
            let pause = match dialled {
                Ok((connection, identity)) => {
                    let opened = Instant::now();
                    self.serve(connection, &identity).await;
                    trouble.pause_after_link(opened.elapsed())
                }
                Err(error) => trouble.pause_after(&error),
            };
            if !*self.wanted.borrow() {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    fn expected(&self) -> (Slot, Option<Incarnation>) {
        (self.peer.slot, self.peer.incarnation)
    }

    /// One link, from its greeting to its end.
    async fn serve(&self, mut connection: TcpConnection, identity: &Identity) {
        let link = self.gateway.links.open(identity);
        self.gateway.link_opened(&link);
        info!(server = %link.slot, endpoint = %self.peer.endpoint, "link up");
        let end = self.exchange(&mut connection, &link).await;
        info!(server = %link.slot, why = end.why(), "link down");
        self.gateway.links.close(&link);
        self.gateway.link_closed(&link);
        if end.is_orderly() {
            connection.finish(&link.outbox).await;
        }
    }

    /// Carries frames both ways until the link ends.
    async fn exchange(&self, connection: &mut TcpConnection, link: &Link) -> LinkEnd {
        let mut heartbeat = interval(LINK_HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = Instant::now();
        let mut heard = started;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    // A full outbox has more urgent things to say.
                    let _ = link.outbox.push(kind::GOODBYE, &[]);
                    return LinkEnd::Here;
                }
                now = heartbeat.tick() => {
                    if now.duration_since(heard) > LINK_SILENCE_MAX {
                        return LinkEnd::Silent;
                    }
                    let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    // A full outbox is noticed by the server's silence.
                    let _ = link.outbox.push(kind::HEARTBEAT, &[&nanos.to_be_bytes()]);
                }
                received = connection.recv(&link.outbox) => {
                    let frame = match received {
                        Ok(Some(frame)) => frame,
                        Ok(None) => return LinkEnd::Closed,
                        Err(error) => {
                            debug!(server = %link.slot, %error, "link broken");
                            return LinkEnd::Broken;
                        }
                    };
                    heard = Instant::now();
                    if let Some(end) = self.take_all(connection, link, frame) {
                        return end;
                    }
                }
            }
        }
    }

    /// Takes a frame and all that arrived with it; says how the link has to end, if it has to.
    fn take_all(&self, connection: &mut TcpConnection, link: &Link, first: Frame) -> Option<LinkEnd> {
        let mut next = Some(first);
        while let Some(frame) = next {
            match self.take(&frame) {
                Ok(Next::Go) => {}
                Ok(Next::End) => return Some(LinkEnd::Goodbye),
                Err(error) => {
                    warn!(server = %link.slot, %error, "the server sent rubbish: closing the link");
                    return Some(LinkEnd::Rubbish);
                }
            }
            next = match connection.buffered() {
                Ok(next) => next,
                Err(error) => {
                    warn!(server = %link.slot, %error, "the server sent rubbish: closing the link");
                    return Some(LinkEnd::Rubbish);
                }
            };
        }
        None
    }

    fn take(&self, frame: &Frame) -> Result<Next, Malformed> {
        match frame.kind {
            kind::DELIVER => {
                let deliver = Deliver::decode(frame.body.clone())?;
                if deliver.client_kind == client_kind::LOBBY_REPLY {
                    self.gateway.lobby_answered(&deliver);
                }
                let delivered =
                    self.gateway.sessions.deliver(deliver.client_kind, deliver.recipients(), &deliver.shared);
                self.gateway.metrics.frames_out.inc_by(delivered.queued);
                self.gateway.metrics.undeliverable.inc_by(delivered.absent);
                Ok(Next::Go)
            }
            kind::HEARTBEAT_ANSWER => Ok(Next::Go),
            kind::SERVER_GOODBYE => Ok(Next::End),
            // A server's kind that a newer version brought. A gateway's own kind would be an echo.
            128.. => Ok(Next::Go),
            other => Err(Malformed(format!("a frame of kind {other}, which gateways send"))),
        }
    }
}

enum Next {
    Go,
    End,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkEnd {
    /// This gateway closes it.
    Here,
    /// The server said goodbye.
    Goodbye,
    /// The server closed the connection without a goodbye.
    Closed,
    /// The connection broke.
    Broken,
    /// Nothing was heard for too long.
    Silent,
    /// What was heard is no protocol.
    Rubbish,
}

impl LinkEnd {
    const fn why(self) -> &'static str {
        match self {
            Self::Here => "closed by this gateway",
            Self::Goodbye => "the server stops",
            Self::Closed => "the server closed it",
            Self::Broken => "the connection broke",
            Self::Silent => "the server is silent",
            Self::Rubbish => "the server sent rubbish",
        }
    }

    /// Whether there is someone to send the rest to.
    const fn is_orderly(self) -> bool {
        matches!(self, Self::Here | Self::Goodbye)
    }
}

/// What keeps a server from being linked: how long to pause, and what to tell the operator, once for each kind of
/// trouble.
struct Trouble {
    peer: Peer,
    backoff: Backoff,
    foreign: Backoff,
    told: Option<std::mem::Discriminant<DialError>>,
}

impl Trouble {
    fn new(peer: Peer) -> Self {
        Self { peer, backoff: Backoff::new(DIAL_BACKOFF), foreign: Backoff::new(FOREIGN_BACKOFF), told: None }
    }

    fn pause_after_link(&mut self, lived: Duration) -> Duration {
        self.told = None;
        self.foreign.succeed();
        // One that ends as soon as it is open is trouble of its own.
        if lived >= LINK_LIFE_MIN {
            self.backoff.succeed();
        }
        self.backoff.fail(&mut rand::rng())
    }

    fn pause_after(&mut self, error: &DialError) -> Duration {
        self.tell(error);
        let backoff = if error.is_foreign() { &mut self.foreign } else { &mut self.backoff };
        backoff.fail(&mut rand::rng())
    }

    fn tell(&mut self, error: &DialError) {
        if self.told.replace(std::mem::discriminant(error)) == Some(std::mem::discriminant(error)) {
            debug!(server = %self.peer.slot, %error, "still no link");
            return;
        }
        if error.is_foreign() {
            warn!(server = %self.peer.slot, %error, "not a server of this cluster: it gets no work; trying again from time to time");
        } else {
            warn!(server = %self.peer.slot, %error, "no link; trying until it works");
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

    #[test]
    fn a_session_keeps_its_lobby_while_it_is_there_and_sessions_spread() {
        let links = Links::default();
        let opened: Vec<_> = (0..3).map(|index| links.open(&lobby(index))).collect();
        let chosen = |session: u64| links.lobby_for(SessionId(session)).map(|link| link.slot);
        let before: Vec<_> = (0..300).map(chosen).collect();
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);

        links.close(&opened[1]);
        for (session, slot) in before.iter().enumerate() {
            if *slot != Some(opened[1].slot) {
                assert_eq!(chosen(session as u64), *slot, "only the lost lobby's sessions move");
            }
        }
        assert!(opened[1].outbox.is_closed());
    }

    #[test]
    fn a_link_is_to_one_incarnation_and_an_old_one_closes_only_itself() {
        let links = Links::default();
        let old = links.open(&lobby(0));
        let new = links.open(&lobby(0));
        links.close(&old);
        assert_eq!(links.to(new.slot, new.incarnation).map(|link| link.serial), Some(new.serial));
        assert!(links.to(new.slot, Incarnation(77)).is_none());
    }
}

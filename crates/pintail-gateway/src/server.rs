//! Puts the parts of a gateway together: bind, run, stop.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pintail_core::limits::{CLIENT_OUTBOX_BYTES_MAX, LEASE_RENEWAL, SCAN_PERIOD, SESSION_TTL};
use pintail_core::{Endpoint, Generation, Incarnation, Kind, SessionId, Status};
use pintail_engine::directory::{Directory, Peer};
use pintail_net::admin::{Admin, AdminState};
use pintail_net::{
    BindError, Identity, MemberEvent, Membership, MembershipConfig, RoleError, ServerConfig, Vitals, address,
};
use pintail_store::{Announcement, BrokenEntry, Letter, Notice, SharedStore};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::links::{Link, LinkKeeper, Links};
use crate::listen::{self, Protocol};
use crate::metrics::Metrics;
use crate::requests::Requests;
use crate::sessions::{Replaced, Session, Sessions};

/// How often unanswered lobby requests are looked at.
const REQUESTS_CHECK: Duration = Duration::from_millis(250);

/// How often the store hears that the sessions are still here.
const SESSIONS_REFRESH: Duration = SESSION_TTL.checked_div(6).expect("six is not zero");

/// How many broken registry entries are remembered as told.
const BROKEN_TOLD_MAX: usize = 1024;

/// A gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// What every server is told; `listen` is where TCP clients connect.
    pub server: ServerConfig,
    /// Where the HTTP port (WebSocket, a page for people) listens, if there is one.
    pub http: Option<SocketAddr>,
    /// How many players it takes.
    pub capacity: u32,
}

/// A gateway that listens and is about to run.
#[derive(Debug)]
pub struct GatewayServer {
    config: GatewayConfig,
    store: SharedStore,
    endpoint: Endpoint,
    tcp: (TcpListener, SocketAddr),
    http: Option<(TcpListener, SocketAddr)>,
    admin: Option<(Admin, SocketAddr)>,
}

impl GatewayServer {
    /// Listens on the gateway's ports.
    ///
    /// # Errors
    /// If a port can't be had, or there is no address to tell the others.
    pub async fn bind(config: GatewayConfig, store: SharedStore) -> Result<Self, RoleError> {
        let tcp = listen::listen("the port for clients", "--listen", config.server.listen)?;
        let endpoint = address::advertised(tcp.1, config.server.advertise)?;
        let http = config.http.map(|address| listen::listen("the HTTP port", "--http", address)).transpose()?;
        let admin = match config.server.admin {
            Some(address) => {
                let admin = Admin::bind(address).await?;
                let bound = admin.local_addr().map_err(|error| BindError::Other {
                    what: "the admin port",
                    address,
                    setting: "--admin",
                    error,
                })?;
                Some((admin, bound))
            }
            None => None,
        };
        Ok(Self { config, store, endpoint, tcp, http, admin })
    }

    /// Where TCP clients connect.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.tcp.1
    }

    /// Where the HTTP port listens.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(_, address)| *address)
    }

    /// Where the admin port listens.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// What the registry is told.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Serves until `stop`, then tells the clients, closes the links in order, and leaves the registry.
    ///
    /// # Errors
    /// If a newer server takes this one's place in the registry.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RoleError> {
        let mut registry = Registry::default();
        let metrics = Metrics::registered(&mut registry);
        let announcement = self.announcement();
        let (identity_tx, identity) = watch::channel(None);
        let gateway = Arc::new(Gateway {
            config: self.config.clone(),
            store: self.store.clone(),
            identity,
            sessions: Sessions::default(),
            links: Links::default(),
            requests: Mutex::default(),
            metrics,
            started: Instant::now(),
            ready: Arc::new(AtomicBool::new(false)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let vitals = {
            let gateway = gateway.clone();
            move || gateway.vitals()
        };
        let config =
            MembershipConfig { announcement, cluster: self.config.server.cluster.clone(), renewal: LEASE_RENEWAL };
        let (membership, events) = Membership::start(self.store.clone(), config, vitals);

        let servers = TaskTracker::new();
        let admin_stop = CancellationToken::new();
        if let Some((admin, _)) = self.admin {
            let state = AdminState { ready: gateway.ready.clone(), metrics: Arc::new(registry) };
            servers.spawn(admin.serve(state, admin_stop.clone()));
        }
        servers.spawn(listen::accept(gateway.clone(), self.tcp.0, Protocol::Tcp));
        if let Some((http, _)) = self.http {
            servers.spawn(listen::accept(gateway.clone(), http, Protocol::Http));
        }

        gateway.tasks.spawn(expire_requests(gateway.clone()));
        let mut main = MainLoop::new(gateway.clone(), identity_tx);
        let ended = main.run(events, &stop).await;

        info!(players = gateway.sessions.len(), "stopping: telling the clients");
        gateway.ready.store(false, Ordering::Relaxed);
        gateway.stop.cancel();
        for session in gateway.sessions.all() {
            session.stopped();
        }
        gateway.tasks.close();
        gateway.tasks.wait().await;
        admin_stop.cancel();
        servers.close();
        servers.wait().await;
        main.keeper.stop().await;
        membership.leave().await;
        ended
    }

    fn announcement(&self) -> Announcement {
        Announcement {
            kind: Kind::Gateway,
            endpoint: self.endpoint,
            incarnation: Incarnation::random(),
            capacity: self.config.capacity,
            game_types: Vec::new(),
            version: self.config.server.version.clone(),
            admin_port: self.admin_addr().map(|address| address.port()),
            http_port: self.http_addr().map(|address| address.port()),
        }
    }
}

/// What the parts of a running gateway share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) config: GatewayConfig,
    pub(crate) store: SharedStore,
    identity: watch::Receiver<Option<Identity>>,
    pub(crate) sessions: Sessions,
    pub(crate) links: Links,
    requests: Mutex<Requests>,
    pub(crate) metrics: Metrics,
    started: Instant,
    ready: Arc<AtomicBool>,
    /// The gateway stops: clients are told, nothing new is taken.
    pub(crate) stop: CancellationToken,
    /// Work beside the connections, joined before the gateway ends.
    pub(crate) tasks: TaskTracker,
}

impl Gateway {
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity.borrow().clone()
    }

    /// Time since the gateway started.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether players can do something here: it is registered, and a lobby server is linked.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.sessions.len() >= self.config.capacity as usize
    }

    pub(crate) fn client_outbox_bytes_max(&self) -> usize {
        CLIENT_OUTBOX_BYTES_MAX
    }

    /// Adds a session that has logged in. An older connection of it is told why it ends; so is this one, if a newer
    /// one is here already.
    pub(crate) fn seat(&self, session: &Arc<Session>) {
        match self.sessions.insert(session.clone()) {
            Ok(None) => {}
            Ok(Some(before)) => {
                // What the old connection still says must not mix with what the new one will.
                before.detach();
                before.replaced();
            }
            Err(Replaced) => session.replaced(),
        }
        // Whoever tells the clients that the gateway stops did not see a session that comes after.
        if self.stop.is_cancelled() {
            session.stopped();
        }
        self.count_sessions();
    }

    /// Removes a session whose connection is over. Returns whether it was the current one.
    pub(crate) fn unseat(&self, session: &Session) -> bool {
        let was_current = self.sessions.remove(session);
        self.count_sessions();
        was_current
    }

    fn count_sessions(&self) {
        self.metrics.sessions.set(i64::try_from(self.sessions.len()).unwrap_or(i64::MAX));
    }

    /// A link is open.
    pub(crate) fn link_opened(&self, link: &Link) {
        self.metrics.links.inc();
        self.update_readiness();
        if link.slot.kind == Kind::Lobby {
            self.dispatch_requests();
        }
    }

    /// A link is closed: what went over it finds another way, or is told.
    pub(crate) fn link_closed(&self, link: &Link) {
        self.metrics.links.dec();
        self.update_readiness();
        match link.slot.kind {
            Kind::Lobby => self.lobby_lost(link.slot),
            Kind::Game => self.sessions.all().iter().for_each(|session| self.detach_broken(session, link)),
            Kind::Gateway => {}
        }
    }

    fn update_readiness(&self) {
        let ready = self.identity.borrow().is_some() && self.links.count(Kind::Lobby) > 0;
        self.ready.store(ready && !self.stop.is_cancelled(), Ordering::Relaxed);
    }

    fn vitals(&self) -> Vitals {
        let status = match (self.stop.is_cancelled(), self.is_full()) {
            (true, _) => Status::Unused,
            (false, true) => Status::Congested,
            (false, false) => Status::Smooth,
        };
        Vitals { status, players: u32::try_from(self.sessions.len()).unwrap_or(u32::MAX) }
    }

    /// The session's current connection is elsewhere.
    fn session_moved(&self, id: SessionId, generation: Generation) {
        if let Some(session) = self.sessions.get(id)
            && session.generation < generation
        {
            session.replaced();
        }
    }
}

/// Answers lobby requests that nobody else answers, until the gateway stops.
async fn expire_requests(gateway: Arc<Gateway>) {
    let mut checks = interval(REQUESTS_CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = checks.tick() => gateway.expire_requests(),
        }
    }
}

/// Follows the registry and looks after what has to happen from time to time.
struct MainLoop {
    gateway: Arc<Gateway>,
    identity: watch::Sender<Option<Identity>>,
    directory: Directory,
    keeper: LinkKeeper,
    ended: mpsc::Receiver<Peer>,
    /// Broken entries that the operator was told of.
    broken: Vec<BrokenEntry>,
}

impl MainLoop {
    fn new(gateway: Arc<Gateway>, identity: watch::Sender<Option<Identity>>) -> Self {
        let (ended_tx, ended) = mpsc::channel(64);
        let keeper = LinkKeeper::new(gateway.clone(), ended_tx);
        Self { gateway, identity, directory: Directory::new(), keeper, ended, broken: Vec::new() }
    }

    async fn run(
        &mut self,
        mut events: mpsc::Receiver<MemberEvent>,
        stop: &CancellationToken,
    ) -> Result<(), RoleError> {
        let mut scans = interval(SCAN_PERIOD);
        scans.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refreshes = interval(SESSIONS_REFRESH);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                event = events.recv() => match event {
                    Some(MemberEvent::Superseded) => return Err(RoleError::Superseded),
                    Some(event) => self.member_event(event).await,
                    None => return Err(RoleError::Internal("the membership task has ended".to_owned())),
                },
                Some(peer) = self.ended.recv() => {
                    let command = self.directory.ended(&peer);
                    self.keeper.apply(command);
                }
                _ = scans.tick() => self.scan_all().await,
                _ = refreshes.tick() => self.refresh_sessions().await,
            }
        }
    }

    async fn member_event(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Joined(identity) => self.joined(identity).await,
            MemberEvent::Notice(Notice::Rescan) => {
                self.scan_all().await;
                self.refresh_sessions().await;
            }
            MemberEvent::Notice(Notice::ServerOn(slot) | Notice::ServerOff(slot)) => self.scan(slot.kind).await,
            MemberEvent::Notice(Notice::Letter(Letter::SessionMoved(session, generation))) => {
                self.gateway.session_moved(session, generation);
            }
            MemberEvent::Notice(Notice::Letter(letter)) => debug!(%letter, "a letter that is not for a gateway"),
            MemberEvent::Superseded => {}
        }
    }

    /// Servers know their links by this gateway's slot: with another slot, every link is opened anew.
    async fn joined(&mut self, identity: Identity) {
        let moved = self.gateway.identity().is_some_and(|before| before.slot != identity.slot);
        self.identity.send_replace(Some(identity));
        if moved {
            self.keeper.stop().await;
            self.directory = Directory::new();
        }
        self.gateway.update_readiness();
        self.scan_all().await;
        self.refresh_sessions().await;
    }

    async fn scan_all(&mut self) {
        self.scan(Kind::Lobby).await;
        self.scan(Kind::Game).await;
    }

    async fn scan(&mut self, kind: Kind) {
        if kind == Kind::Gateway || self.gateway.identity().is_none() {
            return;
        }
        let entries = match self.gateway.store.scan(kind).await {
            Ok(entries) => entries,
            Err(error) => return debug!(%error, "can't scan the registry; keeping what is known"),
        };
        let mut live = Vec::new();
        for entry in entries {
            match entry {
                Ok(record) if record.is_live() => {
                    live.push(Peer { slot: record.slot, endpoint: record.endpoint, incarnation: record.incarnation });
                }
                Ok(_) => {}
                Err(broken) => self.tell_broken(broken),
            }
        }
        let commands = self.directory.scanned(kind, live);
        self.keeper.apply(commands);
    }

    fn tell_broken(&mut self, broken: BrokenEntry) {
        if !self.broken.contains(&broken) && self.broken.len() < BROKEN_TOLD_MAX {
            warn!("{broken}: skipped");
            self.broken.push(broken);
        }
    }

    async fn refresh_sessions(&self) {
        let Some(identity) = self.gateway.identity() else { return };
        let sessions = self.gateway.sessions.all();
        let held: Vec<_> = sessions.iter().map(|session| session.held()).collect();
        match self.gateway.store.hold_sessions(identity.slot, identity.incarnation, &held).await {
            Ok(stale) => {
                let stale: BTreeSet<_> = stale.into_iter().collect();
                sessions.iter().filter(|session| stale.contains(&session.id)).for_each(|session| session.replaced());
            }
            Err(error) => debug!(%error, "can't refresh the sessions; trying again later"),
        }
    }
}

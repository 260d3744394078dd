//! Puts the parts of a gateway together: bind, run, stop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pintail_core::limits::{CLIENT_OUTBOX_BYTES_MAX, LEASE_RENEWAL};
use pintail_core::{Endpoint, Generation, Incarnation, Kind, SessionId, Status};
use pintail_net::admin::{Admin, AdminState};
use pintail_net::{BindError, Identity, Membership, MembershipConfig, RoleError, ServerConfig, Vitals, address};
use pintail_store::{Announcement, SharedStore};
use pintail_wire::link::session_presence::Presence;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::links::{Link, Links};
use crate::listen::{self, Protocol};
use crate::metrics::Metrics;
use crate::registry::MainLoop;
use crate::requests::Requests;
use crate::sessions::{Replaced, Session, Sessions};

/// How often unanswered lobby requests are looked at.
const REQUESTS_CHECK: Duration = Duration::from_millis(250);

/// How many logins the store is asked about at once; more wait their turn, so that a storm of them comes as a queue.
const LOGINS_MAX: usize = 128;

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
            moved: AtomicBool::new(false),
            stop: CancellationToken::new(),
            logins: Semaphore::new(LOGINS_MAX),
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
    /// This gateway has another slot than the rooms of its sessions know, until a lobby server is told.
    pub(crate) moved: AtomicBool,
    /// The gateway stops: clients are told, nothing new is taken.
    pub(crate) stop: CancellationToken,
    /// A permit for each login that the store is asked about.
    pub(crate) logins: Semaphore,
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

    /// Whether there is no place for one more session. One that is here already takes none.
    pub(crate) fn is_full_for(&self, session: SessionId) -> bool {
        self.is_full() && self.sessions.get(session).is_none()
    }

    fn is_full(&self) -> bool {
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
                // What the old connection still says must not mix with what the new one will. The game hears that it is
                // gone: the new one may not come to play.
                Self::detach_gone(&before);
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
            if self.moved.swap(false, Ordering::Relaxed) {
                self.sessions.all().iter().for_each(|session| self.tell_presence(session, Presence::Back));
            }
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

    pub(crate) fn update_readiness(&self) {
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
    pub(crate) fn session_moved(&self, id: SessionId, generation: Generation) {
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
            _ = checks.tick() => {
                gateway.expire_requests();
                // What found a full link waits for no event that would send it.
                gateway.dispatch_requests();
            }
        }
    }
}

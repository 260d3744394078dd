//! Puts the parts of a gateway together: bind, run, stop.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pintail_core::limits::{CLIENT_OUTBOX_BYTES_MAX, LAME_DUCK};
use pintail_core::{Endpoint, Generation, Health, Incarnation, Kind, SessionId, Slot};
use pintail_engine::health::Event;
use pintail_net::admin::{Admin, AdminState};
use pintail_net::metrics::{CommonMetrics, ServerMetrics};
use pintail_net::trace::Tracer;
use pintail_net::{
    Events, Identity, Membership, MembershipConfig, Pulse, RoleError, ServerConfig, SharedVitals, address,
};
use pintail_store::{Announcement, SharedStore};
use pintail_tls::ServerIdentity;
use pintail_wire::link::session_presence::Presence;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::client;
use crate::condition;
use crate::departures::{self, Departures};
use crate::door::Door;
use crate::encryption::{self, Encryption};
use crate::games::{self, Wish};
use crate::links::{Link, Links};
use crate::listen::{self, Protocol};
use crate::lobby;
use crate::loops::Loops;
use crate::metrics::Metrics;
use crate::observer::{HEARD_MAX, Watch};
use crate::registry::MainLoop;
use crate::requests::Requests;
use crate::session::Session;
use crate::sessions::{Replaced, Sessions};
use crate::tasks::{self, GatewayTasks};
use crate::waiting::Waiting;

/// How many logins the store is asked about at once; more wait their turn, so that a storm of them comes as a queue.
const LOGINS_MAX: usize = 128;

/// What players are told of a store that can't be used. Where it is and what is wrong with it is not theirs to know.
pub(crate) const STORE_AWAY: &str = "the cluster's store can't be used for the moment: try again";

/// A gateway's settings.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// What every server is told; `listen` is where TCP clients connect.
    pub server: ServerConfig,
    /// Where the HTTP port (WebSocket, a page for people) listens, if there is one.
    pub http: Option<SocketAddr>,
    /// How many players it takes.
    pub capacity: u32,
    /// How long it goes on as before when it was told to stop, but for saying so: load balancers send new clients
    /// elsewhere meanwhile.
    pub lame_duck: Duration,
    /// How many file descriptors the gateway reckons with; `None` for as many as the operating system lets the process
    /// have, to which its limit is raised. The gateways of one process share these.
    pub descriptors: Option<u64>,
    /// How many threads of their own carry the connections: one for each core that the gateway may use. `None` for the
    /// caller's runtime.
    pub threads: Option<NonZeroUsize>,
    /// The certificate with which both ports for clients speak TLS, and nothing else; `None` for plain ones.
    pub tls: Option<ServerIdentity>,
}

impl GatewayConfig {
    /// A gateway on the caller's runtime, without an HTTP port and TLS, and the defaults for the rest.
    #[must_use]
    pub const fn new(server: ServerConfig, capacity: u32) -> Self {
        Self { server, http: None, capacity, lame_duck: LAME_DUCK, descriptors: None, threads: None, tls: None }
    }
}

/// A gateway that listens and is about to run.
#[derive(Debug)]
pub struct GatewayServer {
    config: GatewayConfig,
    store: SharedStore,
    endpoint: Endpoint,
    tcp: (TcpListener, SocketAddr),
    http: Option<(TcpListener, SocketAddr)>,
    admin: Option<Admin>,
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
            Some(address) => Some(Admin::bind(address, config.server.admin_token.clone()).await?),
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
        self.admin.as_ref().and_then(|admin| admin.local_addr().ok())
    }

    /// What the registry is told.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Serves until `stop`, or until an operator asks it to drain. Then it is not ready any more but goes on for
    /// [`lame_duck`](GatewayConfig::lame_duck), tells the clients to go elsewhere, closes the links in order, and leaves
    /// the registry.
    ///
    /// # Errors
    /// If a newer server takes this one's place in the registry.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RoleError> {
        let Some(count) = self.config.threads else { return self.run_on(Loops::here(), stop).await };
        let (loops, threads) =
            Loops::start(count).map_err(|error| RoleError::Internal(format!("no thread for the clients: {error}")))?;
        let ended = self.run_on(loops, stop).await;
        threads.join().await;
        ended
    }

    /// The same, with its clients and links on these loops.
    pub(crate) async fn run_on(self, loops: Loops, stop: CancellationToken) -> Result<(), RoleError> {
        let (metrics, mut registry) = Metrics::new();
        let (store, common) = CommonMetrics::observe(self.store.clone());
        let (identity_tx, identity) = watch::channel(None);
        let (heard_tx, heard) = mpsc::channel(HEARD_MAX);
        let (otlp, version) = (self.config.server.otlp.as_ref(), &self.config.server.version);
        let (tracer, _exporter) = Tracer::start(otlp, Kind::Gateway, version, identity.clone());
        tracer.register_metrics(&mut registry);
        let gateway = Gateway::new(self.config.clone(), store.clone(), metrics, tracer, identity, heard_tx, loops);
        let config = MembershipConfig::new(&self.config.server, self.announcement(), gateway.events.clone());
        tasks::register_queues(&gateway, &mut registry);
        let (cut_off, reported) = (config.cut_off.clone(), gateway.clone());
        let (membership, members) = Membership::start(store, config, move || reported.vitals.vitals());
        membership.register_metrics(&mut registry);

        let servers = TaskTracker::new();
        let admin_stop = CancellationToken::new();
        if let Some(admin) = self.admin {
            let metrics = ServerMetrics::new(registry, common, Kind::Gateway, &self.config.server.version);
            let state = AdminState {
                identity: membership.identity(),
                ready: gateway.ready.clone(),
                metrics: Arc::new(metrics),
                events: gateway.events.clone(),
                tasks: Arc::new(GatewayTasks::new(&gateway)),
            };
            servers.spawn(admin.serve(state, admin_stop.clone()));
        }
        let first = gateway.loops.first();
        servers.spawn_on(listen::accept(gateway.clone(), self.tcp.0, Protocol::Tcp), first);
        if let Some((http, _)) = self.http {
            servers.spawn_on(listen::accept(gateway.clone(), http, Protocol::Http), first);
        }

        gateway.tasks.spawn_on(lobby::expire_requests(gateway.clone()), first);
        gateway.tasks.spawn_on(client::end_idle(gateway.clone()), first);
        gateway.tasks.spawn(condition::measure(gateway.clone(), membership.renewer()));
        gateway.tasks.spawn(condition::keep_the_beat(gateway.clone()));
        let patience = gateway.config.server.timing.suspect_after;
        let watch = gateway.vitals.beat().watch(patience, membership.renewer());
        gateway.tasks.spawn_on(Watch::new(gateway.clone(), heard, cut_off).run(), first);
        gateway.tasks.spawn(games::look_for_games(gateway.clone()));
        gateway.tasks.spawn(encryption::follow_certificate(gateway.clone()));
        gateway.tasks.spawn(departures::tell_departures(gateway.clone()));
        let mut main = MainLoop::new(gateway.clone(), identity_tx, &membership);
        let ended = main.run(members, &stop).await;

        // While it stops, the threads need not come round: it is not stuck.
        drop(watch);
        gateway.tell_clients_to_leave();
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
    /// Where the connections are served.
    pub(crate) loops: Loops,
    requests: Mutex<Requests>,
    waiting: Mutex<Waiting<Wish>>,
    departures: Mutex<Departures>,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// What happens to the servers.
    pub(crate) events: Events,
    /// Hears what happens to the links, and what the registry shows.
    heard: mpsc::Sender<Event>,
    /// What it says of itself: how loaded it is, and whether it is about to stop.
    pub(crate) vitals: SharedVitals,
    /// Lets clients in while there is room.
    pub(crate) door: Door,
    /// Speaks TLS with clients, if that is what is spoken.
    pub(crate) encryption: Option<Encryption>,
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
    fn new(
        config: GatewayConfig,
        store: SharedStore,
        metrics: Metrics,
        tracer: Tracer,
        identity: watch::Receiver<Option<Identity>>,
        heard: mpsc::Sender<Event>,
        loops: Loops,
    ) -> Arc<Self> {
        Arc::new(Self {
            door: Door::new(config.descriptors, metrics.door_shut.clone()),
            encryption: config.tls.clone().map(Encryption::new),
            config,
            store,
            identity,
            sessions: Sessions::default(),
            links: Links::default(),
            loops,
            requests: Mutex::default(),
            waiting: Mutex::default(),
            departures: Mutex::default(),
            metrics,
            tracer,
            events: Events::default(),
            heard,
            vitals: SharedVitals::new(),
            started: Instant::now(),
            ready: Arc::new(AtomicBool::new(false)),
            moved: AtomicBool::new(false),
            stop: CancellationToken::new(),
            logins: Semaphore::new(LOGINS_MAX),
            tasks: TaskTracker::new(),
        })
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity.borrow().clone()
    }

    /// Time since the gateway started.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The moment so long after the gateway started.
    pub(crate) fn at(&self, since_start: Duration) -> Instant {
        self.started + since_start
    }

    /// Tells the observer of the servers.
    pub(crate) async fn observe(&self, event: Event) {
        // Without an observer the gateway is about to stop.
        let _ = self.heard.send(event).await;
    }

    /// Waits until nobody watches the servers any more, which is only so once the gateway stops.
    pub(crate) async fn watch_ended(&self) {
        self.heard.closed().await;
    }

    /// How a server looks, for everyone who has a choice.
    pub(crate) fn set_health(&self, slot: Slot, health: Health) {
        self.links.set_health(slot, health);
        self.metrics.healths.set(slot, health);
    }

    /// The server is not watched any more.
    pub(crate) fn forget_health(&self, slot: Slot) {
        self.links.set_health(slot, Health::Up);
        self.metrics.healths.forget(slot);
    }

    /// From now on nobody new should be sent here; all goes on.
    pub(crate) fn drain(&self) {
        self.vitals.drain();
        self.update_readiness();
    }

    /// Nothing new is taken, and the clients are told to go elsewhere.
    fn tell_clients_to_leave(&self) {
        info!(players = self.sessions.len(), "stopping: telling the clients");
        self.drain();
        self.stop.cancel();
        for session in self.sessions.all() {
            session.stopped();
        }
    }

    pub(crate) fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn departures(&self) -> MutexGuard<'_, Departures> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the sessions that wait for their games, or changes them. Sessions and links may be looked at meanwhile.
    pub(crate) fn with_waiting<R>(&self, act: impl FnOnce(&mut Waiting<Wish>) -> R) -> R {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut waiting);
        self.metrics.attaches_waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        done
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
        self.sessions.len() >= self.capacity() as usize
    }

    /// How many players it takes: those that it was told, or fewer if there are not enough file descriptors for them.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.door.places_max()).unwrap_or(u32::MAX).min(self.config.capacity)
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
                self.detach_gone(&before);
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
    pub(crate) fn link_opened(&self, link: &Arc<Link>) {
        self.metrics.links.inc();
        self.update_readiness();
        match link.slot.kind {
            Kind::Lobby => {
                if self.moved.swap(false, Ordering::Relaxed) {
                    self.sessions.all().iter().for_each(|session| self.tell_presence(session, Presence::Back));
                }
                self.dispatch_requests();
            }
            Kind::Game => self.game_server_linked(link),
            Kind::Gateway => {}
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
        let is_steady = self.vitals.beat().pulse() == Pulse::Steady;
        let ready = is_steady && self.identity.borrow().is_some() && self.links.count(Kind::Lobby) > 0;
        self.ready.store(ready && !self.vitals.is_draining(), Ordering::Relaxed);
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

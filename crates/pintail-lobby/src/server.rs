//! Binds, registers, runs, stops in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::limits::ROOM_AWAY_GRACE;
use pintail_core::{Endpoint, GameCatalog, Kind};
use pintail_net::admin::AdminState;
use pintail_net::connection::CLOSE_TIMEOUT;
use pintail_net::metrics::{CommonMetrics, ServerMetrics};
use pintail_net::trace::Tracer;
use pintail_net::{
    Events, LinkEvent, Membership, MembershipConfig, RoleError, ServerConfig, ServerPorts, SharedVitals,
};
use pintail_store::SharedStore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dispatch::Dispatch;
use crate::lobby::Lobby;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::sweep::Sweep;
use crate::tasks::{self, LobbyTasks};

/// How many link events may wait for the loop; then the links themselves wait, and with them the gateways' writes.
const LINK_EVENTS_MAX: usize = 1024;

/// What a lobby server is told.
#[derive(Debug, Clone)]
pub struct LobbyConfig {
    /// What every server is told.
    pub server: ServerConfig,
    /// How many rooms it says it takes. Operators read it; any lobby server serves any room.
    pub capacity: u32,
    /// The games that rooms may be for.
    pub catalog: Arc<GameCatalog>,
    /// How long a member who lost the connection keeps the place in a room.
    pub away_grace: Duration,
}

impl LobbyConfig {
    /// The capacity of a server that does not say.
    pub const CAPACITY_DEFAULT: u32 = 10_000;

    /// A configuration with the default limits.
    #[must_use]
    pub fn new(server: ServerConfig, catalog: Arc<GameCatalog>) -> Self {
        Self { server, capacity: Self::CAPACITY_DEFAULT, catalog, away_grace: ROOM_AWAY_GRACE }
    }
}

/// A lobby server that listens and is not yet registered.
pub struct LobbyServer {
    config: LobbyConfig,
    store: SharedStore,
    ports: ServerPorts,
}

impl std::fmt::Debug for LobbyServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LobbyServer").field("endpoint", &self.ports.endpoint).finish_non_exhaustive()
    }
}

impl LobbyServer {
    /// Takes the ports.
    ///
    /// # Errors
    /// If a port can't be had, or no address is found to tell the others.
    pub async fn bind(config: LobbyConfig, store: SharedStore) -> Result<Self, RoleError> {
        let ports = ServerPorts::bind(&config.server).await?;
        Ok(Self { config, store, ports })
    }

    /// Where it listens for links.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.ports.links.local_addr()
    }

    /// Where the others are told to reach it.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        self.ports.endpoint
    }

    /// Where the admin port listens, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.ports.admin_addr()
    }

    /// Serves until `stop`, or until an operator asks it to drain; then finishes the requests in flight, leaves the
    /// registry, and closes its links. Dropping the future ends it at once, as a crash would.
    ///
    /// # Errors
    /// If a newer server has taken its place, or a part of it failed.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RoleError> {
        info!(listen = %self.local_addr(), endpoint = %self.endpoint(), "lobby listening");
        let (server, events) = (self.config.server, Events::default());
        let timing = server.timing;
        let (metrics, mut registry) = Metrics::new();
        let (store, common) = CommonMetrics::observe(self.store);
        let announcement = self.ports.announcement(Kind::Lobby, self.config.capacity, &server.version);
        let membership = MembershipConfig::new(&server, announcement, events.clone());
        let vitals = Arc::new(SharedVitals::new());
        let reported = vitals.clone();
        let (membership, mut members) = Membership::start(store.clone(), membership, move || reported.vitals());
        membership.register_metrics(&mut registry);
        let (tracer, _exporter) =
            Tracer::start(server.otlp.as_ref(), Kind::Lobby, &server.version, membership.identity());
        tracer.register_metrics(&mut registry);
        let lobby = Arc::new(Lobby {
            store,
            catalog: self.config.catalog,
            router: Router::default(),
            metrics,
            tracer,
            identity: membership.identity(),
            away_grace: self.config.away_grace,
        });
        tasks::register_queues(&lobby, &mut registry);

        let (link_events, mut links) = mpsc::channel(LINK_EVENTS_MAX);
        let close = CancellationToken::new();
        let mut services = JoinSet::new();
        let identity = membership.identity();
        services.spawn(self.ports.links.serve(
            server.secret,
            timing.link_silence_max,
            identity,
            link_events,
            close.clone(),
        ));
        if let Some(admin) = self.ports.admin {
            let state = AdminState {
                identity: membership.identity(),
                ready: vitals.ready(),
                metrics: Arc::new(ServerMetrics::new(registry, common, Kind::Lobby, &server.version)),
                events,
                tasks: Arc::new(LobbyTasks::new(&lobby)),
            };
            services.spawn(admin.serve(state, close.clone()));
        }
        let mut sweep = JoinSet::new();
        sweep.spawn(Sweep::new(lobby.clone()).run());
        let watch = vitals.beat().watch(timing.suspect_after, membership.renewer());
        let mut dispatch = Dispatch::new(lobby, vitals, membership.renewer(), timing.heartbeat);
        let ended = dispatch.run(&mut links, &mut members, &stop).await;
        drop(watch);
        sweep.shutdown().await;
        members.close();
        membership.leave().await;
        close.cancel();
        close_links(links, services).await;
        info!("lobby stopped");
        ended
    }
}

/// Waits for the links to say goodbye and close. What still arrives is left to other lobby servers.
async fn close_links(mut links: mpsc::Receiver<LinkEvent>, mut tasks: JoinSet<()>) {
    let closed = async { while tasks.join_next().await.is_some() {} };
    let discard = async { while links.recv().await.is_some() {} };
    // Each link takes at most its own closing time; an admin connection that is kept open may take forever.
    if timeout(CLOSE_TIMEOUT * 2, async { tokio::join!(closed, discard) }).await.is_err() {
        warn!("some connections did not close in time");
    }
}

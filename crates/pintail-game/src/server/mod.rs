//! A game server: the thread that runs the games, and the links, the store calls and the registry around it.
//!
//! ```text
//!  thread of the games                                caller's runtime
//!  ┌──────────────────────────────────────────┐      ┌───────────────────────┐
//!  │ link tasks ──frames──▶ loop ──▶ GameHost │─────▶│ journal worker ─▶ store│
//!  │     ▲                   │                │◀─────│ store worker ───▶ store│
//!  │     └────── outboxes ───┘                │      │ membership, admin port │
//!  └──────────────────────────────────────────┘      └───────────────────────┘
//! ```
//!
//! Links share the thread of the games, so a game that is stuck fails the server's heartbeats, and what arrives while
//! games step is handled as one batch afterwards: one step and one write a link.

mod commands;
mod game_loop;
mod inbox;
mod journal_metrics;
mod journal_worker;
mod metrics;
mod open_links;
mod phase;
mod report;
mod starts;
mod step_durations;
mod store_watch;
mod store_worker;
mod stuck;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Endpoint, Kind};
use pintail_net::admin::AdminState;
use pintail_net::metrics::{CommonMetrics, ServerMetrics};
use pintail_net::trace::Tracer;
use pintail_net::{Events, Membership, MembershipConfig, RoleError, ServerConfig, ServerPorts, SharedVitals};
use pintail_store::{Announcement, SharedStore};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::runtime::JournalPolicy;
use crate::types::GameTypes;
use game_loop::{GameLoop, Links, Mailboxes, Neighbours};
use journal_metrics::JournalMetrics;
use metrics::Metrics;
pub use stuck::{Stuck, WhenStuck};
use tasks::GameTasks;

/// How many answers of the store may wait for the loop; the worker waits with the next.
const ANSWERS_MAX: usize = 1024;

/// What a game server is told.
#[derive(Debug, Clone)]
pub struct GameConfig {
    /// What every server is told.
    pub server: ServerConfig,
    /// How many games the server takes.
    pub capacity: u32,
    /// The types of games that it hosts.
    pub types: Arc<GameTypes>,
    /// How long a stopping server waits for its games to be gone. Journaled games move to other servers at once, and those
    /// that nobody can take then wait in the store. The others have this time to end by themselves, before the server ends
    /// them: neither they nor their players hear of the drain before.
    pub drain_timeout: Duration,
    /// How journaled games are kept.
    pub journal: JournalPolicy,
    /// What is done if the loop that runs the games hangs for good; nothing if `None`.
    pub when_stuck: Option<WhenStuck>,
}

impl GameConfig {
    /// A server for 1000 games that waits 3 seconds for them when it stops.
    #[must_use]
    pub fn new(server: ServerConfig, types: Arc<GameTypes>) -> Self {
        let (drain_timeout, journal) = (Duration::from_secs(3), JournalPolicy::default());
        Self { server, capacity: 1000, types, drain_timeout, journal, when_stuck: None }
    }
}

/// A game server that listens and does not serve yet.
pub struct GameServer {
    config: GameConfig,
    store: SharedStore,
    ports: ServerPorts,
}

impl GameServer {
    /// Listens for links, and on the admin port if there is one.
    ///
    /// # Errors
    /// If a port can't be had, or there is no address to tell the others.
    pub async fn bind(config: GameConfig, store: SharedStore) -> Result<Self, RoleError> {
        let ports = ServerPorts::bind(&config.server).await?;
        Ok(Self { config, store, ports })
    }

    /// Where the server listens for links.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.ports.links.local_addr()
    }

    /// What the registry is told.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        self.ports.endpoint
    }

    /// Where the admin port listens, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.ports.admin_addr()
    }

    /// Serves until `stop`, or until an operator asks it to drain. Then it takes no new games, moves the journaled ones to
    /// other servers, gives the others the drain timeout to end, ends the rest, says goodbye on its links, and leaves the
    /// registry. Dropping the future ends the server as a crash would, without a word to anyone.
    ///
    /// # Errors
    /// If a newer server took the slot, or on an internal error.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RoleError> {
        let (config, store) = (self.config, self.store);
        let timing = config.server.timing;
        let announcement = Announcement {
            game_types: config.types.names().cloned().collect(),
            ..self.ports.announcement(Kind::Game, config.capacity, &config.server.version)
        };
        let incarnation = announcement.incarnation;
        let vitals = Arc::new(SharedVitals::new());
        let (metrics, mut registry) = Metrics::new();
        let (store, common) = CommonMetrics::observe(store);
        let journal_metrics = JournalMetrics::new();
        journal_metrics.register(&mut registry);
        let events = Events::default();
        let membership = MembershipConfig::new(&config.server, announcement, events.clone());
        let reported = vitals.clone();
        let (membership, member_events) = Membership::start(store.clone(), membership, move || reported.vitals());
        membership.register_metrics(&mut registry);
        let (otlp, version) = (config.server.otlp.as_ref(), &config.server.version);
        let (tracer, _exporter) = Tracer::start(otlp, Kind::Game, version, membership.identity());
        tracer.register_metrics(&mut registry);
        let renewer = membership.renewer();
        let (calls, calls_rx) = mpsc::channel(store_worker::CALLS_MAX);
        let (answers_tx, answers) = mpsc::channel(ANSWERS_MAX);
        let (writes, writes_rx) = mpsc::channel(journal_worker::WRITES_MAX);
        let (commits_tx, commits) = mpsc::channel(journal_worker::COMMITS_MAX);
        let (questions_tx, questions) = mpsc::channel(tasks::QUESTIONS_MAX);
        let lineage = store.lineage();
        let workers = TaskTracker::new();
        workers.spawn(journal_worker::run(store.clone(), writes_rx, commits_tx, journal_metrics));
        workers.spawn(store_worker::run(store, calls_rx, answers_tx));
        workers.close();
        let services = CancellationToken::new();
        let _stop_services = services.clone().drop_guard();
        let admin = self.ports.admin.map(|admin| {
            let metrics = ServerMetrics::new(registry, common, Kind::Game, &config.server.version);
            let state = AdminState {
                identity: membership.identity(),
                ready: vitals.ready(),
                metrics: Arc::new(metrics),
                events,
                tasks: Arc::new(GameTasks(questions_tx)),
            };
            tokio::spawn(admin.serve(state, services.clone()))
        });

        let abandoned = CancellationToken::new();
        let _abandon = abandoned.clone().drop_guard();
        let mailboxes = Mailboxes { member_events, answers, commits, questions, stop, abandoned };
        let (identity, lease) = (membership.identity(), membership.lease());
        let secret = config.server.secret.clone();
        let links = Links { listener: self.ports.links, secret, silence_max: timing.link_silence_max, identity };
        let neighbours =
            Neighbours { calls, writes, lease, lineage, renewer, vitals, metrics, tracer, tasks: Handle::current() };
        let run = move || GameLoop::new(&config, incarnation, neighbours).run_with_links(links, mailboxes);
        let outcome = on_own_thread(run).await;

        membership.leave().await;
        services.cancel();
        if let Some(admin) = admin {
            // A failed admin port was logged where it failed.
            let _ = admin.await;
        }
        // The loop is gone and with it the last call, so the workers end.
        workers.wait().await;
        info!("game server stopped");
        outcome
    }
}

/// Runs the loop on a thread of its own and waits for it.
async fn on_own_thread(run: impl FnOnce() -> Result<(), RoleError> + Send + 'static) -> Result<(), RoleError> {
    let (done_tx, done) = oneshot::channel();
    let body = move || {
        // The receiver is gone if the server was dropped.
        let _ = done_tx.send(run());
    };
    std::thread::Builder::new()
        .name("pintail-games".to_owned())
        .spawn(body)
        .map_err(|error| RoleError::Internal(format!("no thread for the games: {error}")))?;
    done.await.unwrap_or_else(|_| Err(RoleError::Internal("the thread of the games has panicked".to_owned())))
}

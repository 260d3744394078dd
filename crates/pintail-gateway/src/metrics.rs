//! What a gateway counts. Names and units follow the conventions of Prometheus.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::healths::Healths;
use crate::traffic::Traffic;

/// A label that says why or what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Why {
    pub(crate) why: &'static str,
}

/// From a tenth of a millisecond, which is a machine's own loopback, to three seconds, after which a link is closed.
const ROUND_TRIP_BUCKETS: u16 = 16;

/// From a millisecond, in which nobody notices anything, to the eight seconds that contain the longest wait.
const ATTACH_WAIT_BUCKETS: u16 = 14;

/// The gateway's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) links: Gauge,
    pub(crate) logins: Family<Why, Counter>,
    pub(crate) closed: Family<Why, Counter>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) undeliverable: Counter,
    pub(crate) fenced: Counter,
    pub(crate) lobby_requests: Counter,
    pub(crate) lobby_retries: Counter,
    pub(crate) lobby_timeouts: Counter,
    pub(crate) attaches: Counter,
    pub(crate) detaches: Counter,
    pub(crate) attaches_waiting: Gauge,
    pub(crate) attach_wait: Histogram,
    pub(crate) game_lookups: Counter,
    pub(crate) healths: Healths,
    pub(crate) suspicions: Counter,
    pub(crate) downs: Counter,
    pub(crate) accusations: Family<Why, Counter>,
    pub(crate) cut_off: Gauge,
    pub(crate) late_ticks: Counter,
    pub(crate) round_trip: Histogram,
    pub(crate) door_shut: Counter,
    pub(crate) tls_handshakes: Family<Why, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Gauge::default(),
            sessions: Gauge::default(),
            links: Gauge::default(),
            logins: Family::default(),
            closed: Family::default(),
            traffic: Arc::new(Traffic::new()),
            undeliverable: Counter::default(),
            fenced: Counter::default(),
            lobby_requests: Counter::default(),
            lobby_retries: Counter::default(),
            lobby_timeouts: Counter::default(),
            attaches: Counter::default(),
            detaches: Counter::default(),
            attaches_waiting: Gauge::default(),
            attach_wait: Histogram::new(exponential_buckets(0.001, 2.0, ATTACH_WAIT_BUCKETS)),
            game_lookups: Counter::default(),
            healths: Healths::default(),
            suspicions: Counter::default(),
            downs: Counter::default(),
            accusations: Family::default(),
            cut_off: Gauge::default(),
            late_ticks: Counter::default(),
            round_trip: Histogram::new(exponential_buckets(0.0001, 2.0, ROUND_TRIP_BUCKETS)),
            door_shut: Counter::default(),
            tls_handshakes: Family::default(),
        }
    }
}

impl Metrics {
    /// The metrics, and the registry that shows them as `pintail_gateway_…`.
    pub(crate) fn new() -> (Self, Registry) {
        let metrics = Self::default();
        metrics.begin();
        let mut registry = Registry::with_prefix("pintail_gateway");
        metrics.register(&mut registry);
        (metrics, registry)
    }

    /// Whatever may be counted is there from the beginning, so that the first of its kind already shows as growth.
    fn begin(&self) {
        for (family, whys) in [
            (&self.logins, &["accepted", "refused"][..]),
            (&self.closed, &["lost", "refused", "logged_out", "idle", "closed_here"]),
            (&self.accusations, &["silent", "dead", "refused"]),
            (&self.tls_handshakes, &["accepted", "failed", "timed_out", "crowded_out"]),
        ] {
            whys.iter().for_each(|why| drop(family.get_or_create(&Why { why })));
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Open client connections, logged in or not", self.connections.clone());
        registry.register("sessions", "Sessions logged in here", self.sessions.clone());
        registry.register("links", "Open links to lobby and game servers", self.links.clone());
        registry.register("logins", "Logins by outcome", self.logins.clone());
        let help = "TLS handshakes with clients by outcome";
        registry.register("tls_handshakes", help, self.tls_handshakes.clone());
        registry.register("connections_closed", "Client connections closed, by reason", self.closed.clone());
        self.traffic.register(registry);
        let help = "Frames from servers for sessions that are not here";
        registry.register("client_frames_undeliverable", help, self.undeliverable.clone());
        let help = "Frames from game servers for sessions that don't play there";
        registry.register("client_frames_fenced", help, self.fenced.clone());
        registry.register("lobby_requests", "Lobby requests from clients", self.lobby_requests.clone());
        let help = "Lobby requests sent again through another lobby server";
        registry.register("lobby_requests_retried", help, self.lobby_retries.clone());
        let help = "Lobby requests that no lobby server answered in time";
        registry.register("lobby_requests_timed_out", help, self.lobby_timeouts.clone());
        registry.register("game_attaches", "Sessions attached to games", self.attaches.clone());
        let help = "Sessions detached from games because a link broke or could not be had";
        registry.register("game_detaches", help, self.detaches.clone());
        let help = "Sessions that wait for the server of their game";
        registry.register("game_attaches_waiting", help, self.attaches_waiting.clone());
        let help = "How long sessions that were attached to a game had waited for its server";
        registry.register_with_unit("game_attach_wait", help, Unit::Seconds, self.attach_wait.clone());
        registry.register("game_lookups", "Questions to the store about where a game is", self.game_lookups.clone());
        self.register_health(registry);
    }

    fn register_health(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.healths.clone()));
        registry.register("suspicions", "Servers that were found suspect", self.suspicions.clone());
        registry.register("downs", "Servers that were found down", self.downs.clone());
        registry.register("accusations", "Accusations told to the store, by charge", self.accusations.clone());
        let help = "1 while most servers look dead to this gateway, which then accuses nobody";
        registry.register("cut_off", help, self.cut_off.clone());
        let help = "How often this gateway was held up for so long that it can't tell who is silent";
        registry.register("late_ticks", help, self.late_ticks.clone());
        let help = "How long servers take to answer a heartbeat";
        let unit = Unit::Seconds;
        registry.register_with_unit("heartbeat_round_trip", help, unit, self.round_trip.clone());
        let help = "How often no more clients were let in, so that file descriptors are left";
        registry.register("accept_pauses", help, self.door_shut.clone());
    }
}

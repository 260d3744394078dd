//! What a gateway counts. Names and units follow the conventions of Prometheus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// A label that says why or what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Why {
    pub(crate) why: &'static str,
}

/// The gateway's metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) links: Gauge,
    pub(crate) logins: Family<Why, Counter>,
    pub(crate) closed: Family<Why, Counter>,
    pub(crate) frames_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) undeliverable: Counter,
    pub(crate) lobby_requests: Counter,
    pub(crate) lobby_retries: Counter,
    pub(crate) lobby_timeouts: Counter,
    pub(crate) attaches: Counter,
    pub(crate) detaches: Counter,
}

impl Metrics {
    /// The metrics, registered under `pintail_gateway_…`.
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("pintail_gateway");
        registry.register("connections", "Open client connections, logged in or not", metrics.connections.clone());
        registry.register("sessions", "Sessions logged in here", metrics.sessions.clone());
        registry.register("links", "Open links to lobby and game servers", metrics.links.clone());
        registry.register("logins", "Logins by outcome", metrics.logins.clone());
        registry.register("connections_closed", "Client connections closed, by reason", metrics.closed.clone());
        registry.register("client_frames_received", "Frames from clients", metrics.frames_in.clone());
        registry.register("client_frames_sent", "Frames queued for clients", metrics.frames_out.clone());
        let help = "Frames from servers for sessions that are not here";
        registry.register("client_frames_undeliverable", help, metrics.undeliverable.clone());
        registry.register("lobby_requests", "Lobby requests from clients", metrics.lobby_requests.clone());
        let help = "Lobby requests sent again through another lobby server";
        registry.register("lobby_requests_retried", help, metrics.lobby_retries.clone());
        let help = "Lobby requests that no lobby server answered in time";
        registry.register("lobby_requests_timed_out", help, metrics.lobby_timeouts.clone());
        registry.register("game_attaches", "Sessions attached to games", metrics.attaches.clone());
        let help = "Sessions detached from games because a link broke or could not be had";
        registry.register("game_detaches", help, metrics.detaches.clone());
        metrics
    }
}

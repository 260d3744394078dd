//! What `/metrics` tells.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The labels of a request: both from fixed sets, so that no client can grow them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    outcome: &'static str,
}

/// What came of placing a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// A game server has it.
    Placed,
    /// No game server takes it.
    NoServer,
    /// It was placed before and is over.
    Over,
    /// The store could not be asked.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlacementLabel {
    result: &'static str,
}

/// A lobby server's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    /// Rooms that were created.
    pub(crate) rooms_created: Counter,
    /// Games that were placed for a room.
    pub(crate) games_started: Counter,
    /// Changes that had to be decided again.
    pub(crate) conflicts: Counter,
    /// Jobs that were refused because too many waited.
    pub(crate) overloads: Counter,
    /// Links that are open.
    pub(crate) links: Gauge,
    /// Jobs that wait for their turn, and that run.
    pub(crate) jobs_waiting: Gauge,
    pub(crate) jobs_running: Gauge,
    placements: Family<PlacementLabel, Counter>,
}

impl Metrics {
    /// The metrics, and the registry that shows them as `pintail_lobby_…`.
    pub(crate) fn new() -> (Self, Registry) {
        let metrics = Self {
            requests: Family::default(),
            // From half a millisecond to eight seconds.
            request_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 15)),
            rooms_created: Counter::default(),
            games_started: Counter::default(),
            conflicts: Counter::default(),
            overloads: Counter::default(),
            links: Gauge::default(),
            jobs_waiting: Gauge::default(),
            jobs_running: Gauge::default(),
            placements: Family::default(),
        };
        for placement in [Placement::Placed, Placement::NoServer, Placement::Over, Placement::Failed] {
            drop(metrics.placements.get_or_create(&label(placement)));
        }
        let mut registry = Registry::with_prefix("pintail_lobby");
        registry.register("requests", "Requests answered, by kind and outcome", metrics.requests.clone());
        registry.register("request_seconds", "How long requests took", metrics.request_seconds.clone());
        registry.register("rooms_created", "Rooms created", metrics.rooms_created.clone());
        registry.register("games_started", "Games placed for a room", metrics.games_started.clone());
        registry.register("conflicts", "Room changes decided again after a conflict", metrics.conflicts.clone());
        registry.register("overloads", "Jobs refused because too many waited", metrics.overloads.clone());
        registry.register("links", "Open links from gateways", metrics.links.clone());
        registry.register(
            "jobs_waiting",
            "Requests and the like that wait for their turn",
            metrics.jobs_waiting.clone(),
        );
        registry.register("jobs_running", "Requests and the like that are worked on", metrics.jobs_running.clone());
        registry.register("placements", "Attempts to place a game, by result", metrics.placements.clone());
        (metrics, registry)
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&RequestLabels { kind, outcome }).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Counts an attempt to place a game.
    pub(crate) fn placed(&self, placement: Placement) {
        self.placements.get_or_create(&label(placement)).inc();
    }
}

const fn label(placement: Placement) -> PlacementLabel {
    let result = match placement {
        Placement::Placed => "placed",
        Placement::NoServer => "no_server",
        Placement::Over => "over",
        Placement::Failed => "failed",
    };
    PlacementLabel { result }
}

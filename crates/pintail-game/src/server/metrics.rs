//! What a game server counts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use pintail_core::Status;
use pintail_net::metrics::LinkQueues;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::open_links::{OpenLinks, OpenOutboxes};
use super::step_durations::{StepCollector, StepDurations};
use crate::runtime::{GameHost, Now, Stats, StepTimes};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug)]
pub(super) struct Metrics {
    games: Gauge,
    players: Gauge,
    links: Gauge,
    /// What waits on the links is looked up here when the metrics are read.
    pub(super) outboxes: OpenOutboxes,
    status: Gauge,
    pub(super) slow_links: Counter,
    pub(super) refused_store_calls: Counter,
    games_started: Counter,
    games_ended: Counter,
    steps: Counter,
    overruns: Counter,
    inputs: Counter,
    messages: Family<KindLabel, Counter>,
    detached: Counter,
    panics: Counter,
    journaling: Journaling,
    turn_seconds: Histogram,
    steps_taken: Arc<StepDurations>,
    unprotected: Gauge,
    commit_lag_seconds: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub(super) fn new() -> (Self, Registry) {
        let metrics = Self {
            games: Gauge::default(),
            players: Gauge::default(),
            links: Gauge::default(),
            outboxes: OpenOutboxes::default(),
            status: Gauge::default(),
            slow_links: Counter::default(),
            refused_store_calls: Counter::default(),
            games_started: Counter::default(),
            games_ended: Counter::default(),
            steps: Counter::default(),
            overruns: Counter::default(),
            inputs: Counter::default(),
            messages: Family::default(),
            detached: Counter::default(),
            panics: Counter::default(),
            journaling: Journaling::default(),
            // 50 microseconds to 1.6 seconds.
            turn_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
            steps_taken: Arc::default(),
            unprotected: Gauge::default(),
            commit_lag_seconds: Gauge::default(),
        };
        // Each is there from the beginning, so that the first message already shows as growth.
        for kind in ["reliable", "state", "ack"] {
            drop(metrics.messages.get_or_create(&KindLabel { kind }));
        }
        let mut registry = Registry::with_prefix("pintail_game");
        metrics.register(&mut registry);
        (metrics, registry)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("games", "Games that go on", self.games.clone());
        registry.register("players", "Players that are attached", self.players.clone());
        registry.register("links", "Links to gateways", self.links.clone());
        let outboxes = self.outboxes.clone();
        registry.register_collector(Box::new(LinkQueues::new(move || outboxes.all())));
        let status = self.status.clone();
        registry.register("status", "What its load allows: 1 smooth, 2 congested", status);
        registry.register("slow_links", "Links closed because too much waited on them", self.slow_links.clone());
        let refused = self.refused_store_calls.clone();
        registry.register("refused_store_calls", "Store calls put off because too many waited", refused);
        registry.register("games_started", "Games started", self.games_started.clone());
        registry.register("games_ended", "Games ended, for any reason", self.games_ended.clone());
        registry.register("steps", "Steps of games", self.steps.clone());
        registry.register("overruns", "Fixed steps given up because the server was too slow", self.overruns.clone());
        registry.register("inputs", "Inputs taken from players", self.inputs.clone());
        registry.register("messages", "Messages to players, by kind", self.messages.clone());
        registry.register(
            "detached",
            "Players detached for what their clients did or did not do",
            self.detached.clone(),
        );
        registry.register("panics", "Games ended by a panic in their code", self.panics.clone());
        self.journaling.register(registry);
        let turn = self.turn_seconds.clone();
        registry.register("turn_seconds", "Time to run all steps that were due at one wake-up of the loop", turn);
        registry.register_collector(Box::new(StepCollector(self.steps_taken.clone())));
        let help = "Journaled games that go on unprotected, because the store can't be reached";
        registry.register("unprotected_games", help, self.unprotected.clone());
        let help = "How long the oldest write to a journal has been under way";
        registry.register("commit_lag_seconds", help, self.commit_lag_seconds.clone());
    }

    /// Shows how the server stands.
    pub(super) fn show(&self, now: Now, host: &GameHost, links: &OpenLinks, status: Status) {
        self.games.set(host.live_games() as i64);
        self.players.set(host.attached_players() as i64);
        self.links.set(links.len() as i64);
        self.status.set(i64::from(status.number()));
        self.unprotected.set(host.unprotected_games() as i64);
        self.commit_lag_seconds.set(host.commit_lag(now).unwrap_or_default().as_secs_f64());
    }

    /// Adds what one turn of the loop counted.
    pub(super) fn add(&self, stats: &Stats, step_times: &StepTimes, took: Duration) {
        self.games_started.inc_by(stats.games_started);
        self.games_ended.inc_by(stats.games_ended);
        self.overruns.inc_by(stats.overruns);
        self.inputs.inc_by(stats.inputs);
        self.detached.inc_by(stats.detached);
        self.panics.inc_by(stats.panics);
        self.journaling.add(stats);
        if stats.steps > 0 {
            self.steps.inc_by(stats.steps);
            self.steps_taken.add(step_times);
            self.turn_seconds.observe(took.as_secs_f64());
        }
        for (kind, count) in
            [("reliable", stats.reliable_messages), ("state", stats.state_messages), ("ack", stats.acknowledgements)]
        {
            if count > 0 {
                self.messages.get_or_create(&KindLabel { kind }).inc_by(count);
            }
        }
    }
}

/// What becomes of journaled games.
#[derive(Debug, Default)]
struct Journaling {
    entries: Counter,
    bytes: Counter,
    snapshots: Counter,
    takeovers: Counter,
    replayed_steps: Counter,
    failed_replays: Counter,
    moved: Counter,
    fenced: Counter,
    went_unprotected: Counter,
}

impl Journaling {
    fn register(&self, registry: &mut Registry) {
        registry.register("journal_entries", "Entries of journals", self.entries.clone());
        registry.register("journal_bytes", "Bytes of journal entries", self.bytes.clone());
        registry.register("snapshots", "Snapshots of games", self.snapshots.clone());
        registry.register("takeovers", "Games taken over from servers that are gone", self.takeovers.clone());
        let replayed = self.replayed_steps.clone();
        registry.register("replayed_steps", "Steps replayed from journals", replayed);
        let help = "Games ended because their journal could not be replayed";
        registry.register("failed_replays", help, self.failed_replays.clone());
        registry.register("moved_games", "Games handed over to other servers", self.moved.clone());
        let help = "Games dropped because another server has taken them over";
        registry.register("fenced_games", help, self.fenced.clone());
        let help = "How often a game went on unprotected, because the store could not be reached";
        registry.register("went_unprotected", help, self.went_unprotected.clone());
    }

    fn add(&self, stats: &Stats) {
        self.entries.inc_by(stats.journal_entries);
        self.bytes.inc_by(stats.journal_bytes);
        self.snapshots.inc_by(stats.snapshots);
        self.takeovers.inc_by(stats.takeovers);
        self.replayed_steps.inc_by(stats.replayed_steps);
        self.failed_replays.inc_by(stats.failed_replays);
        self.moved.inc_by(stats.moved_games);
        self.fenced.inc_by(stats.fenced_games);
        self.went_unprotected.inc_by(stats.went_unprotected);
    }
}

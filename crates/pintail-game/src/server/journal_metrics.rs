//! What the journal worker counts.

use std::time::Duration;

use pintail_store::WriteOutcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::runtime::host::Answer;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What the journal worker counts. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct JournalMetrics {
    commit_seconds: Histogram,
    batch_writes: Histogram,
    writes: Family<OutcomeLabel, Counter>,
}

impl JournalMetrics {
    pub(super) fn new() -> Self {
        let writes = Family::<OutcomeLabel, Counter>::default();
        // Each is there from the beginning, so that the first failure already shows as growth.
        for outcome in ["committed", "fenced", "gap", "unknown", "failed"] {
            drop(writes.get_or_create(&OutcomeLabel { outcome }));
        }
        Self {
            // 100 microseconds to 3.3 seconds.
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            batch_writes: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            writes,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time from when a game wants to write to its journal until the store has answered";
        registry.register("commit_seconds", help, self.commit_seconds.clone());
        let help = "How many games' journals are written in one call";
        registry.register("journal_batch_writes", help, self.batch_writes.clone());
        registry.register("journal_writes", "Writes to journals, by what became of them", self.writes.clone());
    }

    pub(super) fn count_batch(&self, writes: usize) {
        self.batch_writes.observe(writes as f64);
    }

    pub(super) fn count(&self, answer: &Answer<WriteOutcome>, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        let outcome = match answer {
            Ok(WriteOutcome::Committed) => "committed",
            Ok(WriteOutcome::Fenced) => "fenced",
            Ok(WriteOutcome::Gap) => "gap",
            Ok(WriteOutcome::Unknown) => "unknown",
            Err(_) => "failed",
        };
        self.writes.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

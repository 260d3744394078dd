//! What a server asks of the store.

use std::time::Duration;

use pintail_store::observed::{Call, CallObserver, CallOutcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: &'static str,
}

/// Calls to the store, by call and outcome. A call that a server never makes has no series; one that it makes has one for
/// each outcome from the first time on, so that the first failure already shows as growth.
#[derive(Debug)]
pub(super) struct StoreMetrics {
    calls: Family<CallLabels, Counter>,
    durations: Family<CallLabel, Histogram>,
}

impl StoreMetrics {
    pub(super) fn new() -> Self {
        // From 100 microseconds, which is a store on the same machine, to 3 seconds, which is longer than a call may take.
        let histogram = || Histogram::new(exponential_buckets(0.000_1, 2.0, 16));
        Self { calls: Family::default(), durations: Family::new_with_constructor(histogram) }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("pintail_store_calls", "Calls to the store, by call and outcome", self.calls.clone());
        let help = "How long calls to the store took, whatever came of them";
        registry.register_with_unit("pintail_store_call_duration", help, Unit::Seconds, self.durations.clone());
    }
}

impl CallObserver for StoreMetrics {
    fn call_ended(&self, call: Call, took: Duration, outcome: CallOutcome) {
        let call = call.as_str();
        let labels = |outcome: CallOutcome| CallLabels { call, outcome: outcome.as_str() };
        if self.calls.get(&labels(outcome)).is_none() {
            CallOutcome::ALL.iter().for_each(|&outcome| drop(self.calls.get_or_create(&labels(outcome))));
        }
        self.calls.get_or_create(&labels(outcome)).inc();
        self.durations.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
    }
}

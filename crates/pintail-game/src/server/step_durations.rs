//! How long steps take, as a histogram that takes a turn's counts at once: a step costs it nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::runtime::{BUCKETS, StepTimes};

/// Steps by how long they took. Only the loop of the games writes to it.
#[derive(Debug, Default)]
pub(super) struct StepDurations {
    counts: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl StepDurations {
    pub(super) fn add(&self, times: &StepTimes) {
        for (total, count) in self.counts.iter().zip(times.counts).filter(|(_, count)| *count > 0) {
            total.fetch_add(count, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(times.sum, Ordering::Relaxed);
    }
}

/// A collector has to be a type of its own.
#[derive(Debug)]
pub(super) struct StepCollector(pub(super) Arc<StepDurations>);

impl Collector for StepCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let bounds = BUCKETS.iter().map(|bound| *bound as f64 / 1e9).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = self.0.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        let help = "How long steps took, with what became of their messages and the journal";
        let mut histogram =
            encoder.encode_descriptor("step_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        histogram.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn the_steps_of_each_turn_are_added_up() {
        let durations = Arc::new(StepDurations::default());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(StepCollector(durations.clone())));
        let mut times = StepTimes { sum: 15_000, ..StepTimes::default() };
        (times.counts[0], times.counts[1], times.counts[BUCKETS.len()]) = (1, 2, 1);
        durations.add(&times);
        durations.add(&times);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "step_duration_seconds_sum 0.00003\n",
            "step_duration_seconds_count 8\n",
            "step_duration_seconds_bucket{le=\"0.00001\"} 2\n",
            "step_duration_seconds_bucket{le=\"0.00002\"} 6\n",
            "step_duration_seconds_bucket{le=\"+Inf\"} 8\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }
}

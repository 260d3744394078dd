//! How much waits on each link.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Looks at the links when the metrics are read, so that sending costs nothing.
pub struct LinkQueues<F> {
    label: &'static str,
    queues: F,
}

impl<F: Fn() -> Vec<(String, usize)> + Send + Sync + 'static> LinkQueues<F> {
    /// Shows what `queues` tells: whoever is at the other end of each link, under this label, and how many bytes wait.
    pub const fn new(label: &'static str, queues: F) -> Self {
        Self { label, queues }
    }
}

impl<F> fmt::Debug for LinkQueues<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkQueues").field("label", &self.label).finish_non_exhaustive()
    }
}

impl<F: Fn() -> Vec<(String, usize)> + Send + Sync + 'static> Collector for LinkQueues<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let queues = (self.queues)();
        if queues.is_empty() {
            return Ok(());
        }
        let help = "Bytes that wait to be sent over each link";
        let mut family = encoder.encode_descriptor("link_queue", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for (name, bytes) in queues {
            let gauge = ConstGauge::new(bytes as f64);
            gauge.encode(family.encode_family(&[(self.label, name)])?)?;
        }
        Ok(())
    }
}

//! How much waits on a server's links.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::outbox::Outbox;

/// Looks at the links when the metrics are read, so that sending costs nothing. It shows two series, however many links
/// there are: a cluster has as many links as gateways times other servers. `/debug/tasks` names those on which most waits.
pub struct LinkQueues<F>(F);

impl<F: Fn() -> Vec<Arc<Outbox>> + Send + Sync + 'static> LinkQueues<F> {
    /// Shows what waits in these outboxes. `open` hands out what is open now, and looks into none: an outbox is locked
    /// while something is encoded into it, and whoever looks must not make others wait for that.
    pub const fn new(open: F) -> Self {
        Self(open)
    }
}

impl<F> fmt::Debug for LinkQueues<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkQueues").finish_non_exhaustive()
    }
}

impl<F: Fn() -> Vec<Arc<Outbox>> + Send + Sync + 'static> Collector for LinkQueues<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let outboxes = (self.0)();
        let waiting = outboxes.iter().map(|outbox| outbox.queued_bytes());
        let (sum, max) = waiting.fold((0, 0), |(sum, max), bytes| (sum + bytes, max.max(bytes)));
        for (name, help, bytes) in [
            ("link_queue", "Bytes that wait to be sent over all links together", sum),
            ("link_queue_max", "Bytes that wait on the link on which most do; /debug/tasks names it", max),
        ] {
            let gauge = ConstGauge::new(bytes as f64);
            let family = encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(family)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn any_number_of_links_is_a_sum_and_a_maximum() {
        for (queues, sum, max) in [(&[][..], 0, 0), (&[0, 0], 0, 0), (&[7, 100, 20], 127, 100)] {
            let outboxes: Vec<_> = queues.iter().map(|_| Outbox::new(1 << 20)).collect();
            for (outbox, bytes) in outboxes.iter().zip(queues) {
                outbox.push_with(|frames| frames.extend_from_slice(&vec![0; *bytes])).unwrap();
            }
            let mut registry = Registry::with_prefix("x");
            registry.register_collector(Box::new(LinkQueues::new(move || outboxes.clone())));
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert_eq!(samples, [format!("x_link_queue_bytes {sum}.0"), format!("x_link_queue_max_bytes {max}.0")]);
        }
    }
}

//! Whether a server still holds its lease, by its own clock.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;
use tokio::time::Instant;

/// How much of a lease's life may pass without a renewal before the server must act as if it had lost it: the rest is for
/// clocks that differ and for what is on its way already.
const SAFE_PERCENT: u32 = 75;

/// Whether a server holds its lease for certain, by its own monotonic clock.
///
/// A renewal counts from when it was sent, which is before the store began to count. Whoever must not act without the lease
/// asks [`covers`](Self::covers) at the moment of the act: a process that was held up has not been told of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It was renewed lately enough.
    Held {
        /// When the last renewal that succeeded was sent.
        renewed: Instant,
        /// Until when it counts as held.
        until: Instant,
    },
    /// It may have run out, or there is none.
    Unsure {
        /// When the last renewal that succeeded was sent; `None` if there was none.
        renewed: Option<Instant>,
    },
}

impl Lease {
    /// The lease after a renewal that was sent at this time.
    pub(super) fn renewed(sent: Instant, ttl: Duration) -> Self {
        Self::Held { renewed: sent, until: sent + ttl * SAFE_PERCENT / 100 }
    }

    /// Whether it is held for certain at this time.
    #[must_use]
    pub fn covers(&self, now: Instant) -> bool {
        matches!(self, Self::Held { until, .. } if now < *until)
    }

    /// How long ago the last renewal was sent that succeeded; `None` if there was none.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let renewed = match self {
            Self::Held { renewed, .. } => Some(*renewed),
            Self::Unsure { renewed } => *renewed,
        };
        renewed.map(|renewed| now.saturating_duration_since(renewed))
    }

    /// Becomes unsure if its time is over; whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        match *self {
            Self::Held { renewed, until } if until <= now => {
                *self = Self::Unsure { renewed: Some(renewed) };
                true
            }
            Self::Held { .. } | Self::Unsure { .. } => false,
        }
    }
}

/// Shows the age of the lease when the metrics are read.
#[derive(Debug)]
pub(super) struct LeaseAge {
    pub(super) lease: watch::Receiver<Lease>,
}

impl Collector for LeaseAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let now = Instant::now();
        let lease = *self.lease.borrow();
        let held = ConstGauge::new(i64::from(lease.covers(now)));
        let help = "Whether the lease is held for certain (1) or may have run out (0)";
        held.encode(encoder.encode_descriptor("lease_held", help, None, held.metric_type())?)?;
        let Some(age) = lease.age(now) else { return Ok(()) };
        let age = ConstGauge::new(age.as_secs_f64());
        let help = "How long ago the last renewal of the lease was sent that succeeded";
        age.encode(encoder.encode_descriptor("lease_age_seconds", help, None, age.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_held_for_three_quarters_of_its_life_from_when_its_renewal_was_sent() {
        let sent = Instant::now();
        let mut lease = Lease::renewed(sent, Duration::from_secs(2));
        let at = |millis| sent + Duration::from_millis(millis);
        assert!(lease.covers(at(1499)) && !lease.expire(at(1499)));
        assert!(!lease.covers(at(1500)), "even if nobody has noticed yet");
        assert!(lease.expire(at(1500)) && !lease.expire(at(1600)), "once");
        assert_eq!((lease.covers(sent), lease.age(at(1600))), (false, Some(Duration::from_millis(1600))));
        assert_eq!(Lease::Unsure { renewed: None }.age(sent), None);
    }
}

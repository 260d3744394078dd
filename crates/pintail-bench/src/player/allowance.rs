//! How much a player may still ask of the lobby before the gateway cuts it off, without IO.

use std::time::{Duration, Instant};

use pintail_core::limits::{LOBBY_REQUESTS_AT_ONCE_MAX, LOBBY_REQUESTS_PER_ATTACH, LOBBY_REQUESTS_PER_SECOND_MAX};

/// The time that one request takes to be forgotten.
const REQUEST_PERIOD: Duration =
    Duration::from_secs(1).checked_div(LOBBY_REQUESTS_PER_SECOND_MAX).expect("some are allowed");

/// As many requests as an attach to a game counts for.
pub(crate) const ATTACH: u32 = LOBBY_REQUESTS_PER_ATTACH;

/// What one connection may still ask for, as its gateway counts it: a bucket that leaks. It counts from before a request
/// is sent, and the gateway from after, so this one is never the more generous.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// When everything is forgotten; `None` if nothing is counted.
    empty_at: Option<Instant>,
}

impl Allowance {
    /// That of a new connection.
    pub(crate) fn new(now: Instant) -> Self {
        Self { empty_at: Some(now) }
    }

    /// The connection is another one.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.empty_at = self.empty_at.map(|_| now);
    }

    /// That of a gateway without limits.
    pub(crate) fn unlimited() -> Self {
        Self { empty_at: None }
    }

    /// Counts something that was asked for.
    pub(crate) fn take(&mut self, now: Instant, requests: u32) {
        self.empty_at = self.empty_at.map(|empty_at| empty_at.max(now) + REQUEST_PERIOD * requests);
    }

    /// Whether this many more requests may be sent now.
    pub(crate) fn has(&self, now: Instant, requests: u32) -> bool {
        self.wait(now, requests).is_zero()
    }

    /// How long to wait until this many may be sent. One is kept back, for clocks that differ.
    pub(crate) fn wait(&self, now: Instant, requests: u32) -> Duration {
        let Some(empty_at) = self.empty_at else { return Duration::ZERO };
        let needed = empty_at.max(now) + REQUEST_PERIOD * (requests + 1);
        needed.saturating_duration_since(now + REQUEST_PERIOD * LOBBY_REQUESTS_AT_ONCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_there_and_then_a_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let mut burst = 0;
        while allowance.has(start, 1) {
            allowance.take(start, 1);
            burst += 1;
        }
        assert_eq!(burst, LOBBY_REQUESTS_AT_ONCE_MAX - 1, "one is kept back");
        assert_eq!(allowance.wait(start, 1), REQUEST_PERIOD);
        assert_eq!(allowance.wait(start, ATTACH), REQUEST_PERIOD * ATTACH);
        let later = start + Duration::from_secs(1);
        let mut rate = 0;
        while allowance.has(later, 1) {
            allowance.take(later, 1);
            rate += 1;
        }
        assert_eq!(rate, LOBBY_REQUESTS_PER_SECOND_MAX);
        let long_after = later + Duration::from_secs(3600);
        assert_eq!(allowance.wait(long_after, LOBBY_REQUESTS_AT_ONCE_MAX - 1), Duration::ZERO);
        assert!(!allowance.has(long_after, LOBBY_REQUESTS_AT_ONCE_MAX));
        let mut unlimited = Allowance::unlimited();
        unlimited.take(start, 1_000_000);
        assert!(unlimited.has(start, 1_000_000));
    }
}

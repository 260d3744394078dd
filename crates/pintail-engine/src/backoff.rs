//! How long to wait before the next attempt: exponential, with full jitter.
//!
//! The waits of many who lost the same server at the same moment spread over the whole interval ("full jitter", from
//! the AWS Architecture Blog's comparison of backoff strategies), instead of coming back as one burst.

use std::time::Duration;

use rand::{Rng, RngExt};

/// The bounds of a backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The most that the first wait can be.
    pub first: Duration,
    /// The most that any wait can be.
    pub max: Duration,
}

/// Counts failures and says how long to wait.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: BackoffPolicy,
    failures: u32,
}

impl Backoff {
    /// A backoff without failures so far.
    #[must_use]
    pub const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, failures: 0 }
    }

    /// Counts one failure and says how long to wait after it.
    pub fn fail(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(rng.random::<f64>())
    }

    /// Counts one failure after which there is no wait.
    pub const fn count(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Forgets the failures: it worked.
    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        self.policy.first.saturating_mul(factor).min(self.policy.max)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(100), max: Duration::from_millis(1000) };

    #[test]
    fn waits_grow_to_the_bound_and_start_again_after_a_success() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(POLICY);
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            assert_eq!(backoff.ceiling(), Duration::from_millis(ceiling));
            assert!(backoff.fail(&mut rng) <= Duration::from_millis(ceiling));
        }
        for _ in 0..100 {
            assert!(backoff.fail(&mut rng) <= POLICY.max, "a long outage does not overflow");
        }
        backoff.succeed();
        assert_eq!(backoff.ceiling(), POLICY.first);
    }

    #[test]
    fn waits_of_many_spread_over_the_whole_interval() {
        let mut rng = SmallRng::seed_from_u64(2);
        let waits: Vec<_> = (0..1000).map(|_| Backoff::new(POLICY).fail(&mut rng).as_millis()).collect();
        for tenth in 0..10_u128 {
            let count = waits.iter().filter(|&&wait| wait / 10 == tenth).count();
            assert!((50..200).contains(&count), "{count} of 1000 waits in tenth {tenth}");
        }
    }
}

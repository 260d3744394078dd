//! When a lease is renewed next.
//!
//! Renewals of many servers must not come together: not because they started together, and not because the store was away
//! for all of them and came back for all of them.

use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::Instant;

/// When a lease is renewed next.
#[derive(Debug)]
pub(super) struct Rhythm {
    period: Duration,
    due: Instant,
}

impl Rhythm {
    /// After a registration: servers that registered together go on apart.
    pub(super) fn new(now: Instant, period: Duration, rng: &mut impl Rng) -> Self {
        let mut rhythm = Self { period, due: now };
        rhythm.scatter(now, rng);
        rhythm
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// A renewal has succeeded. One that came before its time, because it was asked for, does not shift the others: else a
    /// common cause to ask would bring servers together.
    pub(super) fn succeeded(&mut self, now: Instant, rng: &mut impl Rng) {
        if self.due <= now {
            self.due = now + self.period.mul_f64(0.9 + 0.2 * rng.random::<f64>());
        }
    }

    /// A call has failed that began at this time. If it took as long as a renewal may take to come, that was wait enough:
    /// the store does not answer, or this process was held up, whose first act must be to renew.
    pub(super) fn failed(&mut self, began: Instant, now: Instant, rng: &mut impl Rng) {
        if now - began >= self.period {
            self.due = now;
        } else {
            self.scatter(now, rng);
        }
    }

    /// The first success after a failure: whoever was held up together goes on apart.
    pub(super) fn recovered(&mut self, now: Instant, rng: &mut impl Rng) {
        self.scatter(now, rng);
    }

    /// Next in this time, and exactly then.
    pub(super) fn wait(&mut self, now: Instant, duration: Duration) {
        self.due = now + duration;
    }

    /// Anywhere in the next period.
    fn scatter(&mut self, now: Instant, rng: &mut impl Rng) {
        self.due = now + self.period.mul_f64(rng.random::<f64>());
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const PERIOD: Duration = Duration::from_millis(500);

    #[test]
    fn a_renewal_comes_a_period_after_the_last_and_none_is_shifted_by_one_that_was_asked_for() {
        let mut rng = SmallRng::seed_from_u64(1);
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start, PERIOD, &mut rng);
        for _ in 0..100 {
            let due = rhythm.due();
            rhythm.succeeded(due - Duration::from_millis(1), &mut rng);
            assert_eq!(rhythm.due(), due);
            rhythm.succeeded(due, &mut rng);
            let gap = rhythm.due() - due;
            assert!((PERIOD.mul_f64(0.9)..=PERIOD.mul_f64(1.1)).contains(&gap), "{gap:?}");
        }
    }

    #[test]
    fn after_a_stall_the_next_attempt_comes_at_once_and_after_a_refusal_soon() {
        let mut rng = SmallRng::seed_from_u64(2);
        let now = Instant::now();
        let mut rhythm = Rhythm::new(now, PERIOD, &mut rng);
        rhythm.failed(now, now + PERIOD, &mut rng);
        assert_eq!(rhythm.due(), now + PERIOD);
        let mut waits = std::collections::BTreeSet::new();
        for _ in 0..100 {
            rhythm.failed(now, now, &mut rng);
            assert!(rhythm.due() <= now + PERIOD);
            waits.insert(rhythm.due());
        }
        assert!(waits.len() > 50, "who was refused together comes back apart");
    }

    #[test]
    fn who_recovers_together_goes_on_apart() {
        let mut rng = SmallRng::seed_from_u64(3);
        let now = Instant::now();
        let mut tenths = [0_u32; 10];
        for _ in 0..200 {
            let mut rhythm = Rhythm::new(now, PERIOD, &mut rng);
            rhythm.recovered(now, &mut rng);
            tenths[((rhythm.due() - now).as_millis() / 50) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (5..50).contains(count)), "{tenths:?}");
    }
}

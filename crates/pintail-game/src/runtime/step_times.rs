//! How long steps take.
//!
//! The clock is read once between two games, which the budget of a turn needs anyway. So what is measured of a game is all
//! that it did in its turn: its steps, and what became of their messages and its journal.

use std::time::Duration;

/// The bounds of the buckets that steps are counted in, in nanoseconds: from 10 microseconds, doubled each time, to 0.3
/// seconds. What takes longer is in none of them.
pub const BUCKETS: [u64; 16] = {
    let mut bounds = [10_000; 16];
    let mut index = 1;
    while index < bounds.len() {
        bounds[index] = bounds[index - 1] * 2;
        index += 1;
    }
    bounds
};

/// Steps of any games, counted by how long they took, until the shell takes the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepTimes {
    /// How many took at most as long as each of [`BUCKETS`] and longer than the one before; the last are all others.
    pub counts: [u64; BUCKETS.len() + 1],
    /// How long all of them took, in nanoseconds.
    pub sum: u64,
}

impl StepTimes {
    /// So many steps took so long together.
    pub(crate) fn add(&mut self, took: Duration, steps: u64) {
        let nanoseconds = nanoseconds(took);
        let each = nanoseconds / steps.max(1);
        self.counts[BUCKETS.partition_point(|bound| *bound < each)] += steps;
        self.sum = self.sum.saturating_add(nanoseconds);
    }
}

/// How long the steps of one game take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GameTimes {
    steps: u64,
    last: u64,
    max: u64,
    sum: u64,
}

impl GameTimes {
    /// So many steps took so long together.
    pub(crate) fn add(&mut self, took: Duration, steps: u64) {
        let took = nanoseconds(took);
        self.steps += steps;
        self.last = took / steps.max(1);
        self.max = self.max.max(self.last);
        self.sum = self.sum.saturating_add(took);
    }

    pub(crate) const fn last(&self) -> Duration {
        Duration::from_nanos(self.last)
    }

    pub(crate) const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    pub(crate) const fn mean(&self) -> Duration {
        Duration::from_nanos(match self.steps {
            0 => 0,
            steps => self.sum / steps,
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_counted_in_the_first_bucket_that_it_fits_in() {
        let mut times = StepTimes::default();
        for (took, steps) in [(10, 1), (11, 1), (60, 3), (1_000_000, 1)] {
            times.add(Duration::from_micros(took), steps);
        }
        assert_eq!((times.counts[0], times.counts[1], times.counts[BUCKETS.len()]), (1, 4, 1));
        assert_eq!(times.counts.iter().sum::<u64>(), 6);
        assert_eq!(times.sum, 1_000_081_000);
    }

    #[test]
    fn a_game_knows_its_last_its_mean_and_its_longest_step() {
        let mut times = GameTimes::default();
        assert_eq!(times.mean(), Duration::ZERO);
        for (took, steps) in [(30, 1), (100, 2), (10, 1)] {
            times.add(Duration::from_micros(took), steps);
        }
        let micros = [times.last(), times.mean(), times.max()].map(|time| time.as_micros());
        assert_eq!(micros, [10, 35, 50]);
    }
}

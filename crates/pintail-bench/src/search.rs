//! The search for the largest load that keeps a condition: twice as much until it breaks, then bisection.
//!
//! A machine has other things to do now and then. So one bad window does not break a load, and one good one is no result:
//! of three windows, two decide.

use std::collections::BTreeMap;

/// How the load is found. It decides which load is tried next; who asks it does the trying.
///
/// ```
/// use pintail_bench::search::{Bisection, Next, Verdict};
///
/// let mut search = Bisection::new(100, 1_000_000);
/// let largest = loop {
///     match search.next() {
///         Next::Try(load) => search.found(load, if load <= 730 { Verdict::Held } else { Verdict::Broke }),
///         Next::Done(largest) => break largest,
///     }
/// };
/// assert!(largest.is_some_and(|largest| (690..=730).contains(&largest)));
/// ```
#[derive(Debug, Clone)]
pub struct Bisection {
    start: u64,
    max: u64,
    /// The largest load that is taken to keep the condition, 0 before there is one.
    held: u64,
    /// The smallest load that broke it.
    broke: Option<u64>,
    /// What was found of each load that was tried: some tens at most, as each step halves or doubles.
    found: BTreeMap<u64, Record>,
}

/// What was found of a load.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    held: u32,
    broke: u32,
}

/// Whether a load kept the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Held,
    /// It did not.
    Broke,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try this load.
    Try(u64),
    /// The search has ended: the largest load that kept the condition twice, if any did.
    Done(Option<u64>),
}

/// The two ends of the search are at most this share of the load apart when it ends, in percent.
const PRECISION_PERCENT: u64 = 5;

/// How many windows decide about a load.
const DECISIVE: u32 = 2;

impl Bisection {
    /// A search that begins with `start` and never tries more than `max`. Both are at least 1.
    #[must_use]
    pub fn new(start: u64, max: u64) -> Self {
        let max = max.max(1);
        Self { start: start.clamp(1, max), max, held: 0, broke: None, found: BTreeMap::new() }
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Next {
        if let Some(load) = self.undecided() {
            return Next::Try(load);
        }
        match self.broke {
            None if self.held == 0 => Next::Try(self.start),
            None if self.held >= self.max => self.confirm(),
            None => Next::Try(self.held.saturating_mul(2).min(self.max)),
            Some(broke) if self.held == 0 && broke <= 1 => Next::Done(None),
            Some(broke) if broke - self.held > precision(broke) => Next::Try(self.held + (broke - self.held) / 2),
            Some(_) => self.confirm(),
        }
    }

    /// What came of a load.
    pub fn found(&mut self, load: u64, verdict: Verdict) {
        let record = self.found.entry(load).or_default();
        match verdict {
            Verdict::Held => {
                record.held += 1;
                self.held = self.held.max(load);
            }
            Verdict::Broke => {
                record.broke += 1;
                if record.broke >= DECISIVE {
                    self.broke = Some(self.broke.map_or(load, |broke| broke.min(load)));
                    // One that it kept before and does not now: what is sure is less.
                    self.held = if load <= self.held { load.saturating_sub(precision(load)) } else { self.held };
                }
            }
        }
    }

    /// The largest load that kept the condition until now, below those that broke it: what a search that ends early can say.
    #[must_use]
    pub fn largest_so_far(&self) -> Option<u64> {
        let is_below = |load: u64| self.broke.is_none_or(|broke| load < broke);
        let held = self.found.iter().filter(|(load, record)| record.held > 0 && is_below(**load));
        held.map(|(&load, _)| load).max()
    }

    /// A load that broke the condition once and never kept it.
    fn undecided(&self) -> Option<u64> {
        let is_undecided = |record: &Record| record.held == 0 && (1..DECISIVE).contains(&record.broke);
        self.found.iter().find(|(_, record)| is_undecided(record)).map(|(&load, _)| load)
    }

    fn confirm(&self) -> Next {
        let held = self.found.get(&self.held).map_or(0, |record| record.held);
        match self.held {
            0 => Next::Done(None),
            load if held < DECISIVE => Next::Try(load),
            load => Next::Done(Some(load)),
        }
    }
}

/// How far apart the ends may be. At least one, as loads are whole.
fn precision(load: u64) -> u64 {
    (load * PRECISION_PERCENT / 100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a machine whose answer to a load is this, and lists what was tried.
    fn search(start: u64, max: u64, mut holds: impl FnMut(u64) -> bool) -> (Vec<u64>, Option<u64>) {
        let (mut search, mut tried) = (Bisection::new(start, max), Vec::new());
        loop {
            assert!(tried.len() < 200, "it does not end: {tried:?}");
            match search.next() {
                Next::Done(largest) => return (tried, largest),
                Next::Try(load) => {
                    assert!((1..=max).contains(&load), "{load}");
                    tried.push(load);
                    search.found(load, if holds(load) { Verdict::Held } else { Verdict::Broke });
                }
            }
        }
    }

    #[test]
    fn it_doubles_then_halves_and_confirms() {
        let (tried, largest) = search(100, 100_000, |load| load <= 730);
        assert_eq!(tried, [100, 200, 400, 800, 800, 600, 700, 750, 750, 725, 725]);
        assert_eq!(largest, Some(725));
    }

    #[test]
    fn whatever_the_limit_the_result_is_at_most_a_twentieth_below() {
        for limit in (1..3_000).chain([99_999, 100_000, 1 << 40]) {
            for start in [1, 7, 100, 10_000] {
                let (_, largest) = search(start, u64::MAX / 200, |load| load <= limit);
                let largest = largest.unwrap_or(0);
                assert!(largest <= limit && limit - largest <= precision(limit + 1), "{start}: {largest} of {limit}");
            }
        }
    }

    #[test]
    fn a_start_that_is_too_much_is_halved_until_it_is_not() {
        let (tried, largest) = search(1_000, 100_000, |load| load <= 60);
        assert_eq!(tried[..8], [1_000, 1_000, 500, 500, 250, 250, 125, 125]);
        assert!((57..=60).contains(&largest.unwrap()), "{tried:?}");
        assert_eq!(search(8, 100, |_| false), (vec![8, 8, 4, 4, 2, 2, 1, 1], None));
    }

    #[test]
    fn nothing_larger_than_the_most_is_tried() {
        assert_eq!(search(30, 100, |_| true), (vec![30, 60, 100, 100], Some(100)));
        assert_eq!(search(0, 1, |_| true), (vec![1, 1], Some(1)));
    }

    #[test]
    fn a_search_that_ends_early_knows_what_was_kept_until_then() {
        let mut search = Bisection::new(8, 1_000);
        assert_eq!(search.largest_so_far(), None);
        search.found(8, Verdict::Held);
        search.found(16, Verdict::Broke);
        assert_eq!(search.largest_so_far(), Some(8), "16 is not decided");
        search.found(16, Verdict::Held);
        assert_eq!(search.largest_so_far(), Some(16));
        search.found(16, Verdict::Broke);
        assert_eq!(search.largest_so_far(), Some(8));
    }

    #[test]
    fn a_lucky_window_is_no_result() {
        let mut seen = 0;
        // The load of 400 keeps the condition once, and never again.
        let (tried, largest) = search(100, 400, |load| {
            seen += u32::from(load == 400);
            load < 400 || seen == 1
        });
        assert!(largest.unwrap() < 400 && tried.iter().filter(|&&load| load == 400).count() == 3, "{tried:?}");
        assert!(largest.unwrap() >= 360, "{tried:?}");
    }

    #[test]
    fn one_bad_window_breaks_no_load() {
        let mut windows = 0;
        let (tried, largest) = search(100, 400, |_| {
            windows += 1;
            windows != 2
        });
        assert_eq!((tried, largest), (vec![100, 200, 200, 400, 400], Some(400)));
    }

    #[test]
    fn a_machine_that_answers_at_random_ends_the_search_too() {
        for seed in 0..200_u64 {
            let mut state = seed;
            search(64, 100_000, |_| {
                // A linear congruential generator (Knuth's MMIX constants); its high bits are random enough.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 63 == 0
            });
        }
    }
}

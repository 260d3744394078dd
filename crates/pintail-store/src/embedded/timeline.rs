//! Things by the time when they happened.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Things by the time when they first happened.
#[derive(Debug)]
pub(super) struct Timeline<K> {
    by_time: BTreeSet<(Instant, K)>,
    times: HashMap<K, Instant>,
}

impl<K> Default for Timeline<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), times: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Timeline<K> {
    /// Notes that it happened now, unless it is noted already.
    pub(super) fn insert(&mut self, key: K, now: Instant) {
        let at = *self.times.entry(key).or_insert(now);
        self.by_time.insert((at, key));
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Some(at) = self.times.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// What happened at least `age` ago, oldest first.
    pub(super) fn older_than(&self, now: Instant, age: Duration, limit: usize) -> Vec<K> {
        self.by_time
            .iter()
            .take_while(|(at, _)| now.duration_since(*at) >= age)
            .take(limit)
            .map(|(_, key)| *key)
            .collect()
    }

    /// Forgets what happened more than `age` ago.
    pub(super) fn forget_older(&mut self, now: Instant, age: Duration) {
        while let Some(&(at, key)) = self.by_time.first() {
            if now.duration_since(at) <= age {
                break;
            }
            self.remove(key);
        }
    }
}

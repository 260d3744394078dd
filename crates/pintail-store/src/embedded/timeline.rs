//! Things by the time when they happened.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Things by the time when they first happened.
#[derive(Debug, Clone)]
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

    pub(super) fn contains(&self, key: K) -> bool {
        self.times.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }

    /// Everything, what happened first in front.
    pub(super) fn oldest_first(&self) -> impl Iterator<Item = K> {
        self.by_time.iter().map(|(_, key)| *key)
    }

    /// Everything with its time, what happened last in front.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = (Instant, K)> {
        self.by_time.iter().rev().copied()
    }

    /// Forgets what happened first, and gives it.
    pub(super) fn pop_oldest(&mut self) -> Option<K> {
        let (_, key) = self.by_time.pop_first()?;
        self.times.remove(&key);
        Some(key)
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

//! A map whose entries can end by time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use tokio::time::Instant;

/// A map whose entries can end by time. What has expired can't be seen, and is removed by [`purge`](Self::purge).
#[derive(Debug, Clone)]
pub(super) struct Expiring<K, V> {
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    expires_at: Instant,
}

impl<K, V> Default for Expiring<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Eq + Hash, V> Expiring<K, V> {
    pub(super) fn get<Q>(&self, key: &Q, now: Instant) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.get(key).filter(|entry| now < entry.expires_at).map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, key: &K, now: Instant) -> Option<&mut V> {
        self.entries.get_mut(key).filter(|entry| now < entry.expires_at).map(|entry| &mut entry.value)
    }

    pub(super) fn contains(&self, key: &K, now: Instant) -> bool {
        self.get(key, now).is_some()
    }

    pub(super) fn insert(&mut self, key: K, value: V, expires_at: Instant) {
        self.entries.insert(key, Entry { value, expires_at });
    }

    /// Moves the end of an entry that has not expired.
    pub(super) fn extend<Q>(&mut self, key: &Q, now: Instant, expires_at: Instant)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| now < entry.expires_at) {
            entry.expires_at = expires_at;
        }
    }

    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.entries.remove(key).map(|entry| entry.value)
    }

    /// Frees what has expired.
    pub(super) fn purge(&mut self, now: Instant) {
        self.entries.retain(|_, entry| now < entry.expires_at);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

//! What an operator should know about the store itself.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::Result;

/// Something about the store's setup by which what it acknowledged can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hazard {
    /// It writes nothing to its disk (`appendonly no`): a restart loses everything since the last snapshot of its own.
    NotPersistent,
    /// It throws keys away when it is full (`maxmemory-policy` other than `noeviction`).
    Evicts,
    /// It has replicas, and nobody waits until one has a write: a failover loses the last writes.
    NobodyWaits,
    /// Writes wait for more replicas than it has: nothing is acknowledged.
    TooFewReplicas {
        /// How many a write waits for.
        waits_for: u32,
        /// How many there are.
        connected: u32,
    },
}

/// Which history the store's content belongs to. It changes whenever the store may have lost what it acknowledged: after it
/// was restarted, or another server took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lineage(pub u64);

/// What there is to know about the store itself.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// What is dangerous about the store's setup now.
    async fn hazards(&self) -> Result<Vec<Hazard>>;

    /// The store's history. Whoever has something of importance in the store writes it anew when this changes.
    fn lineage(&self) -> watch::Receiver<Lineage>;
}

//! What an operator should know about the store itself.

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;

use crate::Result;

/// Something about the store's setup by which what it acknowledged can be lost. Shown as a sentence that says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Hazard {
    /// It writes nothing to its disk (`appendonly no`): a restart loses everything since the last snapshot of its own.
    #[error(
        "Redis keeps nothing on its disk (appendonly no): when it restarts, games lose whatever no game server has in \
         memory, and rooms are gone. Set `appendonly yes`, by CONFIG SET and in its redis.conf"
    )]
    NotPersistent,
    /// It throws keys away when it is full (`maxmemory-policy` other than `noeviction`).
    #[error(
        "Redis throws keys away when it is full: rooms, sessions and games would go missing. Set `maxmemory-policy \
         noeviction`, by CONFIG SET and in its redis.conf"
    )]
    Evicts,
    /// It has reached its `maxmemory`: it refuses every write.
    #[error(
        "Redis is full: it refuses logins, rooms, and what games write, so that they stand still. Raise `maxmemory`, or \
         remove what else fills it"
    )]
    Full,
    /// It has replicas, and nobody waits until one has a write: a failover loses the last writes.
    #[error(
        "Redis has a replica, and nobody waits until it has what was written: a failover loses the last moments of \
         games. Leave --redis-wait-replicas at `auto`, or set it to 1"
    )]
    NobodyWaits,
    /// Writes wait for more replicas than it has: nothing is acknowledged.
    #[error(
        "games stand still, because what they write waits for {waits_for} of Redis's replicas, and {connected} are in \
         touch with it. Bring its replicas back, or wait for fewer (--redis-wait-replicas)"
    )]
    TooFewReplicas {
        /// How many a write waits for.
        waits_for: u32,
        /// How many there are.
        connected: u32,
    },
}

impl Hazard {
    /// Its name, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPersistent => "not-persistent",
            Self::Evicts => "evicts",
            Self::Full => "full",
            Self::NobodyWaits => "nobody-waits",
            Self::TooFewReplicas { .. } => "too-few-replicas",
        }
    }
}

/// Which history the store's content belongs to. It changes whenever the store may have lost what it acknowledged: after it
/// was restarted or emptied, or another server took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lineage(pub u64);

/// What there is to know about the store itself.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// What is dangerous about the store's setup now. What it does not tell is taken for harmless.
    async fn hazards(&self) -> Result<Vec<Hazard>>;

    /// The store's history. Whoever has something of importance in the store writes it anew when this changes. It never
    /// changes before the store was reached once.
    fn lineage(&self) -> watch::Receiver<Lineage>;
}

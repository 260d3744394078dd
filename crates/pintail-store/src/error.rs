//! What can go wrong between a server and the store.

use std::time::Duration;

use pintail_core::{Fault, Retry};
use thiserror::Error;

/// Why a store call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// The store can't be reached, or refuses to serve (loading, read-only, out of memory).
    #[error("the store can't be used now: {0}")]
    Unavailable(String),
    /// No answer in time. The change may have happened or not: repeat the call as it was.
    #[error("the store did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The change was made, but too few replicas had it in time: a failover could undo it. Repeat the call as it was.
    #[error(
        "the store made the change, but {have} of {wanted} replicas have it: check that its replicas run and keep up, or \
         wait for fewer (--redis-wait-replicas)"
    )]
    NotReplicated {
        /// How many replicas said in time that they have it.
        have: u32,
        /// How many must have it.
        wanted: u32,
    },
    /// This many calls are unanswered already, so this one was not sent.
    #[error("the store is too slow for this load, or stuck: {0} calls are unanswered")]
    Overloaded(usize),
    /// What the store holds is not what was written there.
    #[error("the store holds something unexpected at `{key}`: {problem}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store refused the command itself: our bug, or a Redis that is too old or lacks a permission.
    #[error("the store refused a command: {0}")]
    Refused(String),
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Unavailable(_)
            | Self::Timeout(_)
            | Self::NotReplicated { .. }
            | Self::Overloaded(_)
            | Self::Corrupt { .. } => Fault::Store,
            Self::Refused(_) => Fault::Internal,
        }
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable(_) | Self::Timeout(_) | Self::NotReplicated { .. } | Self::Overloaded(_) => Retry::Later,
            Self::Corrupt { .. } | Self::Refused(_) => Retry::Never,
        }
    }
}

//! The keys of a test's servers in a Redis that others use too.

use std::fmt;
use std::time::Duration;

use pintail_store::{RedisOptions, RedisStore};
use tokio::time::timeout;

use crate::config::secret::RedisUrl;
use crate::failure::Failure;
use crate::serve::COMMAND_PATIENCE;

/// How long removing them may take. Redis looks through all of its keys for them, those of others too.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of one cluster: they begin with a word that no other test has.
#[derive(Debug)]
pub(super) struct Keys {
    url: RedisUrl,
    pub(super) prefix: String,
}

impl Keys {
    /// Those of a new cluster.
    pub(super) fn new(url: &RedisUrl) -> Self {
        Self { url: url.clone(), prefix: format!("bench-{:08x}:", rand::random::<u32>()) }
    }

    /// Whether their Redis answers: servers would go on trying, as they should.
    ///
    /// # Errors
    /// If not.
    pub(super) async fn ask(self) -> Result<(), Failure> {
        let store = self.store().map_err(|error| self.unusable(&error))?;
        store.ping().await.map_err(|error| self.unusable(&error))?;
        drop(store);
        // Whoever connects leaves a mark. A user who may not remove it can do the test all the same: its end says what is left.
        if let Err(left) = self.clear().await {
            tracing::debug!(left);
        }
        Ok(())
    }

    /// Removes them, once nobody writes them any more.
    ///
    /// # Errors
    /// With what to do about it, in a sentence.
    pub(super) async fn clear(self) -> Result<(), String> {
        let cleared = match self.store() {
            Ok(store) => {
                timeout(CLEAR_TIMEOUT, store.clear()).await.map(|cleared| cleared.map_err(|why| why.to_string()))
            }
            Err(error) => Ok(Err(error)),
        };
        let why = match cleared {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(why)) => why,
            Err(_) => format!("it took longer than {} s", CLEAR_TIMEOUT.as_secs()),
        };
        let Self { url, prefix } = self;
        Err(format!(
            "keys that begin with {prefix} were left in the Redis at {url} ({why}): \
             redis-cli --scan --pattern '{prefix}*' | xargs redis-cli unlink"
        ))
    }

    fn store(&self) -> Result<RedisStore, String> {
        let mut options = RedisOptions::new(self.url.expose()).map_err(|error| error.to_string())?;
        options.key_prefix.clone_from(&self.prefix);
        options.timeout = COMMAND_PATIENCE;
        RedisStore::connect(options).map_err(|error| error.to_string())
    }

    fn unusable(&self, error: &dyn fmt::Display) -> Failure {
        Failure::new(format!("can't use the Redis at {}: {error}", self.url))
    }
}

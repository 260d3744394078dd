//! How to reach Redis.

use std::path::Path;
use std::time::Duration;

use pintail_core::limits;

use super::tls::TlsOptions;
use super::url::Target;
use crate::{BadRedisTls, BadRedisUrl, Periods};

/// How many replicas must have a change that a game's safety hangs on before it counts as made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitReplicas {
    /// One if sentinels watch the master, or if it has had a replica since it was connected to; else none.
    #[default]
    Auto,
    /// This many; with 0, nobody waits.
    Count(u32),
}

/// How to reach Redis, and how long things last there. No password or key is shown by its `Debug`.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Stands before every key and channel: several clusters can share one Redis.
    pub key_prefix: String,
    /// How long a call may take, waiting for a connection included.
    pub timeout: Duration,
    /// How long things last.
    pub periods: Periods,
    /// How many replicas must have what must not be lost.
    pub wait_replicas: WaitReplicas,
    pub(super) target: Target,
    pub(super) tls: TlsOptions,
}

impl RedisOptions {
    /// The defaults for the Redis at this URL. It is checked, and not contacted.
    ///
    /// | URL | what it reaches |
    /// | --- | --- |
    /// | `redis://[[user]:password@]host[:port][/db]` | one server |
    /// | `rediss://…` | one server, with TLS |
    /// | `redis+sentinel://[[user]:password@]host[:port],host[:port]…/master-name[/db]` | the master that these sentinels name |
    /// | `rediss+sentinel://…` | the same, with TLS to the sentinels and to the master |
    ///
    /// User and password are those of Redis. Sentinels are asked without a password, unless the URL ends with
    /// `?sentinel_password=…` or `?sentinel_user=…&sentinel_password=…`. What stands for itself in a URL (`@ : / ? # &`)
    /// is written `%40 %3A %2F %3F %23 %26` in a password.
    ///
    /// # Errors
    /// If it is no URL of a Redis server.
    pub fn new(url: &str) -> Result<Self, BadRedisUrl> {
        Ok(Self {
            key_prefix: String::new(),
            timeout: limits::STORE_TIMEOUT,
            periods: Periods::default(),
            wait_replicas: WaitReplicas::default(),
            target: Target::parse(url)?,
            tls: TlsOptions::default(),
        })
    }

    /// Trusts the authorities in this file (PEM) instead of those that the system trusts: for certificates that are
    /// signed by an authority of one's own. The file is read now; a new one counts from the next start on.
    ///
    /// # Errors
    /// If the file can't be read or holds no certificate.
    pub fn with_ca_file(mut self, file: impl AsRef<Path>) -> Result<Self, BadRedisTls> {
        self.tls.trust(file.as_ref())?;
        Ok(self)
    }

    /// Shows this certificate (with those between it and its authority, if any) to servers that ask for one, as Redis
    /// does unless it is told not to (`tls-auth-clients`). Both files are PEM, and read now.
    ///
    /// # Errors
    /// If a file can't be read, or the two don't belong together.
    pub fn with_client_certificate(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, BadRedisTls> {
        self.tls.identify(certificate.as_ref(), key.as_ref())?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_with_a_sentence_that_shows_a_good_one() {
        for wrong in ["", "localhost", "http://127.0.0.1", "redis://", "redis://127.0.0.1/not-a-number"] {
            let error = RedisOptions::new(wrong).unwrap_err().to_string();
            assert!(error.contains("redis://127.0.0.1:6379"), "{wrong}: {error}");
        }
        assert!(RedisOptions::new("redis://:secret@127.0.0.1:6380/2").is_ok());
    }
}

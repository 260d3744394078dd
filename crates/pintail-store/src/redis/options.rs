//! How to reach Redis.

use std::time::Duration;

use pintail_core::limits;
use redis::IntoConnectionInfo;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use thiserror::Error;

use crate::Periods;

/// A URL that can't be one of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the Redis URL can't be used ({problem}); one looks like redis://127.0.0.1:6379 or redis://:password@host:6379/0"
)]
pub struct BadRedisUrl {
    problem: String,
}

/// How to reach Redis, and how long things last there.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Stands before every key and channel: several clusters can share one Redis.
    pub key_prefix: String,
    /// How long a call may take, waiting for a connection included.
    pub timeout: Duration,
    /// How long things last.
    pub periods: Periods,
    connection_info: redis::ConnectionInfo,
}

impl RedisOptions {
    /// The defaults for the Redis at this URL. It is checked, and not contacted.
    ///
    /// # Errors
    /// If it is no URL of a Redis server.
    pub fn new(url: &str) -> Result<Self, BadRedisUrl> {
        let connection_info = url.into_connection_info().map_err(|error| BadRedisUrl { problem: error.to_string() })?;
        // A dead peer is noticed within about 3 s also while nothing is being sent (keepalive) and while something is
        // (user timeout). Without them it is noticed after 15 minutes, if at all.
        let keepalive =
            TcpKeepalive::new().with_time(Duration::from_secs(1)).with_interval(Duration::from_secs(1)).with_retries(2);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(Duration::from_secs(2));
        Ok(Self {
            key_prefix: String::new(),
            timeout: limits::STORE_TIMEOUT,
            periods: Periods::default(),
            connection_info: connection_info.set_tcp_settings(tcp),
        })
    }

    pub(super) fn client(&self) -> redis::RedisResult<redis::Client> {
        redis::Client::open(self.connection_info.clone())
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

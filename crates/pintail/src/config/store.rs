//! Where the cluster's store is, and how it is reached.

use std::path::PathBuf;

use clap::Args;
use pintail_core::limits;
use pintail_store::{BadRedisTls, Periods, RedisOptions, WaitReplicas};

use super::period::{self, Period};
use super::secret::RedisUrl;
use super::server::Impossible;
use super::values;

/// Where the cluster's store is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The cluster's Redis, such as redis://127.0.0.1:6379 or redis://:password@10.0.0.5:6379/0
    ///
    ///   redis://[[user]:password@]host[:port][/db]                          one server
    ///   rediss://…                                                          one server, over TLS
    ///   redis+sentinel://[[user]:password@]host[:port],host…/master[/db]    the master that these sentinels name
    ///   rediss+sentinel://…                                                 the same, over TLS
    ///
    /// A password for the sentinels themselves goes to the end: ?sentinel_password=… (and &sentinel_user=…). What stands
    /// for itself in a URL is written %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %26 for &. Whoever can list
    /// the machine's processes can read a password on a command line: prefer PINTAIL_REDIS or the file.
    #[arg(long, value_name = "URL", env = "PINTAIL_REDIS", verbatim_doc_comment)]
    pub(crate) redis: Option<RedisUrl>,

    /// Whom to trust over TLS: the certificates of the authorities in this file (PEM)
    ///
    /// [default: those that the system trusts]
    #[arg(long, value_name = "FILE", env = "PINTAIL_REDIS_CA", hide_short_help = true)]
    pub(crate) redis_ca: Option<PathBuf>,

    /// The certificate (PEM) to show to a Redis that asks for one, as it does unless `tls-auth-clients no` is set
    #[arg(long, value_name = "FILE", env = "PINTAIL_REDIS_CERT", hide_short_help = true)]
    pub(crate) redis_cert: Option<PathBuf>,

    /// The private key (PEM) of --redis-cert
    #[arg(long, value_name = "FILE", env = "PINTAIL_REDIS_KEY", hide_short_help = true)]
    pub(crate) redis_key: Option<PathBuf>,

    /// How many replicas of Redis must have what a game wrote before its players see it: `auto` or a number
    ///
    /// A failover can lose what no replica had, so where there are replicas, one must have it. `auto` is 1 if sentinels
    /// watch the master, or if it has had a replica since it was connected to; else 0. While fewer replicas are in
    /// touch with the master, games stand still.
    #[arg(long, value_name = "NUMBER", env = "PINTAIL_REDIS_WAIT_REPLICAS", hide_short_help = true,
          default_value = "auto", value_parser = values::wait_replicas)]
    pub(crate) redis_wait_replicas: WaitReplicas,

    /// What stands before every key and channel in Redis; clusters that share a Redis need different ones
    /// [default: nothing]
    #[arg(long, value_name = "PREFIX", env = "PINTAIL_KEY_PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) key_prefix: String,

    /// How long a call of Redis may take, waiting for a connection included
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_STORE_TIMEOUT", hide_short_help = true,
          default_value_t = Period(limits::STORE_TIMEOUT), value_parser = period::repeated)]
    pub(crate) store_timeout: Period,
}

impl StoreArgs {
    /// Where Redis is.
    ///
    /// # Errors
    /// If nothing says it.
    pub(crate) fn redis(&self) -> Result<&RedisUrl, Impossible> {
        self.redis.as_ref().ok_or(Impossible::NoRedis)
    }

    /// How to reach it, and how long things last there.
    ///
    /// # Errors
    /// If the settings name no Redis, or one that can't be.
    pub(crate) fn options(&self, periods: Periods) -> Result<RedisOptions, Impossible> {
        let options =
            RedisOptions::new(self.redis()?.expose()).map_err(|error| Impossible::Redis(error.to_string()))?;
        let mut options = self.with_tls(options)?;
        options.key_prefix.clone_from(&self.key_prefix);
        options.timeout = self.store_timeout.0;
        options.periods = periods;
        options.wait_replicas = self.redis_wait_replicas;
        Ok(options)
    }

    fn with_tls(&self, options: RedisOptions) -> Result<RedisOptions, Impossible> {
        let impossible = |error: BadRedisTls| Impossible::RedisTls(error.to_string());
        let options = match &self.redis_ca {
            Some(file) => options.with_ca_file(file).map_err(impossible)?,
            None => options,
        };
        match (&self.redis_cert, &self.redis_key) {
            (Some(certificate), Some(key)) => options.with_client_certificate(certificate, key).map_err(impossible),
            (None, None) => Ok(options),
            (Some(_), None) => Err(Impossible::HalfOfAPair("--redis-cert", "--redis-key")),
            (None, Some(_)) => Err(Impossible::HalfOfAPair("--redis-key", "--redis-cert")),
        }
    }
}

//! TLS between players and gateways.

use std::path::PathBuf;

use clap::Args;
use pintail_tls::ServerIdentity;

use super::server::Impossible;

/// The certificate that a gateway shows.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS for players")]
pub(crate) struct TlsArgs {
    /// Speak TLS with players, on the port of --listen (tls://) and on that of --http (wss://), with the certificate in this
    /// file (PEM; after it those between it and its authority, if any)
    ///
    /// Nothing else is spoken there then. The files are looked at once a minute: a new certificate counts for those who come
    /// after, and nobody is disconnected. Links between servers are not encrypted.
    #[arg(long, value_name = "FILE", env = "PINTAIL_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", env = "PINTAIL_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// What is shown to players; `None` if nothing is encrypted.
    ///
    /// # Errors
    /// If one of the two is missing, or they can't be used.
    pub(crate) fn identity(&self) -> Result<Option<ServerIdentity>, Impossible> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(Impossible::HalfOfAPair("--tls-cert", "--tls-key")),
            (None, Some(_)) => Err(Impossible::HalfOfAPair("--tls-key", "--tls-cert")),
            (Some(certificate), Some(key)) => {
                let identity = ServerIdentity::read(certificate, key);
                identity.map(Some).map_err(|error| Impossible::Tls(error.to_string()))
            }
        }
    }
}

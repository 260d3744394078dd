//! Whom to trust, and how to be trusted: certificates for TLS to Redis.

use std::path::Path;
use std::sync::Arc;

use pintail_tls::{Authorities, Identity, TlsError, client_config};
use thiserror::Error;
use tokio_rustls::TlsConnector;

use super::url::Encryption;

/// Files that can't be used for TLS to Redis.
#[derive(Debug, Error)]
pub enum BadRedisTls {
    /// They can't be read, or don't hold what they should.
    #[error(transparent)]
    Files(#[from] TlsError),
    /// Certificates are given, and nothing is encrypted.
    #[error(
        "certificates are given, but the Redis URL asks for no TLS: it must start with rediss:// or rediss+sentinel://"
    )]
    Unused,
}

/// What TLS needs beyond the URL.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsOptions {
    /// Whose certificates are trusted; `None` for those that the system trusts.
    authorities: Option<Authorities>,
    /// What is shown to servers that ask for a certificate.
    identity: Option<Identity>,
}

impl TlsOptions {
    pub(super) fn trust(&mut self, file: &Path) -> Result<(), BadRedisTls> {
        self.authorities = Some(Authorities::of_file(file)?);
        Ok(())
    }

    pub(super) fn identify(&mut self, certificate: &Path, key: &Path) -> Result<(), BadRedisTls> {
        self.identity = Some(Identity::read(certificate, key)?);
        Ok(())
    }

    /// What encrypts connections; `None` if nothing is to be encrypted.
    pub(super) fn connector(&self, encryption: Encryption) -> Result<Option<TlsConnector>, BadRedisTls> {
        if encryption == Encryption::None {
            let unused = self.authorities.is_some() || self.identity.is_some();
            return if unused { Err(BadRedisTls::Unused) } else { Ok(None) };
        }
        let authorities = self.authorities.clone().map_or_else(Authorities::of_system, Ok)?;
        Ok(Some(TlsConnector::from(Arc::new(client_config(&authorities, self.identity.as_ref())))))
    }
}

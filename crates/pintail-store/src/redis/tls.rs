//! Whom to trust, and how to be trusted: certificates for TLS.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::url::Encryption;

/// Files that can't be used for TLS.
#[derive(Debug, Error)]
pub enum BadRedisTls {
    /// A file can't be read.
    #[error("can't read {}: {error}; check the path, and that this user may read the file", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} that can be used: it must be in PEM form, which starts with -----BEGIN", .file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What it should hold: "certificate" or "private key".
        what: &'static str,
    },
    /// A client certificate that its key does not fit.
    #[error(
        "the client certificate in {} can't be used with the private key in {} ({problem}): name the two that were made \
         together", .certificate.display(), .key.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What TLS says about it.
        problem: String,
    },
    /// Certificates are given, and nothing is encrypted.
    #[error(
        "certificates are given, but the Redis URL asks for no TLS: it must start with rediss:// or rediss+sentinel://"
    )]
    Unused,
    /// The system trusts nobody.
    #[error("this machine has no certificates of authorities to trust: install ca-certificates, or name a CA file")]
    NoAuthorities,
}

/// What TLS needs beyond the URL.
#[derive(Clone, Default)]
pub(super) struct TlsOptions {
    /// Whose certificates are trusted; `None` for those that the system trusts.
    authorities: Option<Arc<RootCertStore>>,
    identity: Option<Arc<Identity>>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("own_authorities", &self.authorities.is_some())
            .field("client_certificate", &self.identity.is_some())
            .finish()
    }
}

impl TlsOptions {
    pub(super) fn trust(&mut self, file: &Path) -> Result<(), BadRedisTls> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(file)? {
            authorities.add(certificate).map_err(|_| not_pem(file, "certificate"))?;
        }
        self.authorities = Some(Arc::new(authorities));
        Ok(())
    }

    pub(super) fn identify(&mut self, certificate: &Path, key: &Path) -> Result<(), BadRedisTls> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| not_pem(key, "private key"))?;
        let identity = Identity { chain, key: private };
        config(Arc::new(RootCertStore::empty()), Some(&identity)).map_err(|problem| BadRedisTls::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            problem,
        })?;
        self.identity = Some(Arc::new(identity));
        Ok(())
    }

    /// What encrypts connections; `None` if nothing is to be encrypted.
    pub(super) fn connector(&self, encryption: Encryption) -> Result<Option<TlsConnector>, BadRedisTls> {
        if encryption == Encryption::None {
            let unused = self.authorities.is_some() || self.identity.is_some();
            return if unused { Err(BadRedisTls::Unused) } else { Ok(None) };
        }
        let authorities = self.authorities.clone().map_or_else(system_authorities, Ok)?;
        let config =
            config(authorities, self.identity.as_deref()).expect("the certificate was tried when it was given");
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }
}

/// The provider is named here and not taken from the process, so that no other library's choice gets in the way.
fn config(authorities: Arc<RootCertStore>, identity: Option<&Identity>) -> Result<ClientConfig, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring can do TLS 1.2 and 1.3")
        .with_root_certificates(authorities);
    match identity {
        None => Ok(config.with_no_client_auth()),
        Some(Identity { chain, key }) => {
            config.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(|error| error.to_string())
        }
    }
}

/// The authorities that the system trusts, as other programs on this machine do: what an operator added there counts.
fn system_authorities() -> Result<Arc<RootCertStore>, BadRedisTls> {
    let mut authorities = RootCertStore::empty();
    // Files with some certificates that can't be read are common; the others count.
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if authorities.is_empty() { Err(BadRedisTls::NoAuthorities) } else { Ok(Arc::new(authorities)) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadRedisTls> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| not_pem(file, "certificate"))
}

fn read(file: &Path) -> Result<Vec<u8>, BadRedisTls> {
    std::fs::read(file).map_err(|error| BadRedisTls::Unreadable { file: file.to_owned(), error })
}

fn not_pem(file: &Path, what: &'static str) -> BadRedisTls {
    BadRedisTls::NotPem { file: file.to_owned(), what }
}

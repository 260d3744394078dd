//! Certificates and keys in PEM files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The most bytes of a file: all authorities that a system trusts take a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Files that can't be used for TLS.
#[derive(Debug, Error)]
pub enum TlsError {
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
    #[error("{} holds no {what} that can be used: it must be in PEM form (-----BEGIN …), and a key not encrypted", .file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What it should hold: "certificate" or "private key".
        what: &'static str,
    },
    /// A certificate that its key does not fit.
    #[error(
        "the certificate in {} can't be used with the private key in {} ({problem}): name the two that were made together, the server's own certificate \
         first, with a key of RSA (2048 bits or more), P-256, P-384 or Ed25519",
        .certificate.display(), .key.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What TLS says about it.
        problem: String,
    },
    /// The system trusts nobody.
    #[error("this machine has no certificates of authorities to trust: install ca-certificates, or name a CA file")]
    NoAuthorities,
}

/// The authorities whose signature makes a certificate good.
#[derive(Clone)]
pub struct Authorities(pub(crate) Arc<RootCertStore>);

impl Authorities {
    /// Those in this PEM file, and no others.
    ///
    /// # Errors
    /// If the file can't be read or holds no certificate.
    pub fn of_file(file: &Path) -> Result<Self, TlsError> {
        let mut authorities = RootCertStore::empty();
        for certificate in certificates(file)? {
            authorities.add(certificate).map_err(|_| not_pem(file, "certificate"))?;
        }
        Ok(Self(Arc::new(authorities)))
    }

    /// Those that the system trusts, as other programs on this machine do: what an operator added there counts.
    ///
    /// # Errors
    /// If there are none.
    pub fn of_system() -> Result<Self, TlsError> {
        let mut authorities = RootCertStore::empty();
        // Files with some certificates that can't be read are common; the others count.
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if authorities.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(Self(Arc::new(authorities))) }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}

/// A certificate with those between it and its authority, and its private key, which is never shown.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads two PEM files and sees whether they belong together.
    ///
    /// # Errors
    /// If a file can't be read, or the two don't belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| not_pem(key, "private key"))?;
        let mismatch =
            |problem: String| TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned(), problem };
        let certified = CertifiedKey::from_der(chain, private, &crate::provider());
        certified.map(|certified| Self(Arc::new(certified))).map_err(|problem| mismatch(problem.to_string()))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity(certificates: {})", self.0.cert.len())
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| not_pem(file, "certificate"))
}

/// Reads a file that is one: a pipe could keep its reader waiting for ever, and a device could go on for ever.
fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        if !std::fs::metadata(file)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let mut bytes = Vec::new();
        File::open(file)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is far larger than certificates are"));
        }
        Ok(bytes)
    };
    read().map_err(|error| TlsError::Unreadable { file: file.to_owned(), error })
}

fn not_pem(file: &Path, what: &'static str) -> TlsError {
    TlsError::NotPem { file: file.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use pintail_testkit::Certificates;

    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named_with_what_to_do() {
        let (one, other) = (Certificates::new(), Certificates::new());
        let missing = Authorities::of_file(Path::new("/nowhere/ca.pem")).unwrap_err();
        assert!(matches!(missing, TlsError::Unreadable { .. }), "{missing:?}");
        assert!(missing.to_string().contains("/nowhere/ca.pem"), "{missing}");
        let no_authority = Authorities::of_file(&one.server_key()).unwrap_err();
        assert!(matches!(no_authority, TlsError::NotPem { what: "certificate", .. }), "{no_authority:?}");
        let no_key = Identity::read(&one.server_certificate(), &one.server_certificate()).unwrap_err();
        assert!(matches!(no_key, TlsError::NotPem { what: "private key", .. }), "{no_key:?}");
        let mixed = Identity::read(&one.server_certificate(), &other.server_key()).unwrap_err();
        assert!(matches!(mixed, TlsError::Mismatch { .. }), "{mixed:?}");
        assert!(mixed.to_string().contains("made together"), "{mixed}");
    }

    #[test]
    fn what_is_no_file_of_a_certificate_is_not_waited_for() {
        let folder = tempfile::TempDir::new().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        for (file, why) in
            [(pipe.as_path(), "no regular file"), (Path::new("/dev/zero"), "no regular file"), (&large, "larger")]
        {
            let error = Authorities::of_file(file).unwrap_err();
            assert!(matches!(error, TlsError::Unreadable { .. }) && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let certificates = Certificates::new();
        let identity = Identity::read(&certificates.server_certificate(), &certificates.server_key()).unwrap();
        assert_eq!(format!("{identity:?}"), "Identity(certificates: 1)");
        let authorities = Authorities::of_file(&certificates.ca_file()).unwrap();
        assert_eq!(format!("{authorities:?}"), "Authorities(1)");
    }
}

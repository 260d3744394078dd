//! Certificates for tests of TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority of the test's own, and the certificates that it signed: one for a server on 127.0.0.1 (or any address
/// from 127.0.0.2 to 127.0.0.9, or `localhost`), and one for a client. Clones share the files, which go with the last.
#[derive(Debug, Clone)]
pub struct Certificates {
    directory: Arc<TempDir>,
}

impl Certificates {
    /// Makes them anew, by an authority of another name: what one signed, the others don't trust.
    ///
    /// # Panics
    /// If the files can't be written.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is no bad name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority of {}", directory.path().display()));
        let authority = CertifiedIssuer::self_signed(params, key()).expect("an authority signs itself");
        write(directory.path(), "ca.pem", &authority.pem());
        let mut names: Vec<String> = (1..=9).map(|number| format!("127.0.0.{number}")).collect();
        names.push("localhost".to_owned());
        for (who, names) in [("server", names), ("client", vec!["client.test".to_owned()])] {
            let key = key();
            let params = CertificateParams::new(names).expect("these names are good");
            let certificate = params.signed_by(&key, &authority).expect("the authority signs");
            write(directory.path(), &format!("{who}.pem"), &certificate.pem());
            write(directory.path(), &format!("{who}.key"), &key.serialize_pem());
        }
        Self { directory: Arc::new(directory) }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The client's certificate.
    #[must_use]
    pub fn client_certificate(&self) -> PathBuf {
        self.file("client.pem")
    }

    /// The client's private key.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    /// The server's certificate.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// The server's private key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.file("server.key")
    }

    pub(super) fn copy_to(&self, directory: &Path) {
        for name in ["ca.pem", "server.pem", "server.key"] {
            std::fs::copy(self.file(name), directory.join(name)).expect("a certificate can be copied");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

fn write(directory: &Path, name: &str, pem: &str) {
    std::fs::write(directory.join(name), pem).expect("a certificate can be written");
}

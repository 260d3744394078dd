//! A certificate for one test.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pintail_tls::{TlsError, Trust};
use rcgen::CertifiedKey;
use tempfile::TempDir;

use super::ClusterError;

/// A certificate for servers on 127.0.0.1, signed by itself, in files that nobody else can read. They go with it.
#[derive(Debug)]
pub(super) struct Certificate {
    directory: TempDir,
    /// In this certificate, and no other.
    pub(super) trust: Trust,
}

impl Certificate {
    /// Makes one.
    pub(super) fn make() -> Result<Self, ClusterError> {
        let directory = TempDir::with_prefix("pintail-bench-").map_err(ClusterError::NoCertificate)?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(std::io::Error::other);
        let CertifiedKey { cert, signing_key } = made.map_err(ClusterError::NoCertificate)?;
        let certificate = certificate_in(directory.path());
        write(&certificate, &cert.pem()).map_err(ClusterError::NoCertificate)?;
        write(&key_in(directory.path()), &signing_key.serialize_pem()).map_err(ClusterError::NoCertificate)?;
        let unusable = |error: TlsError| ClusterError::NoCertificate(std::io::Error::other(error));
        let trust = Trust::in_file(&certificate).map_err(unusable)?;
        Ok(Self { directory, trust })
    }

    /// What makes a gateway use it.
    pub(super) fn arguments(&self) -> [(&'static str, PathBuf); 2] {
        let directory = self.directory.path();
        [("--tls-cert", certificate_in(directory)), ("--tls-key", key_in(directory))]
    }
}

fn certificate_in(directory: &Path) -> PathBuf {
    directory.join("gateway.crt")
}

fn key_in(directory: &Path) -> PathBuf {
    directory.join("gateway.key")
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use pintail_tls::ServerIdentity;

    use super::*;

    #[test]
    fn a_certificate_can_be_used_by_a_server_and_leaves_nothing_behind() {
        let certificate = Certificate::make().unwrap();
        let [(_, file), (_, key)] = certificate.arguments();
        ServerIdentity::read(&file, &key).unwrap();
        let directory = certificate.directory.path().to_owned();
        drop(certificate);
        assert!(!directory.exists());
    }
}

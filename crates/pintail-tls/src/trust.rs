//! Whom a client trusts, and how it connects.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError, ClientConfig};

use crate::files::{Authorities, Identity, TlsError};
use crate::{BUFFER_BYTES_MAX, Stream, provider, tls_error};

/// Whose certificates a client takes for good. Clones share what is needed for it.
#[derive(Clone)]
pub struct Trust {
    connector: TlsConnector,
    authorities: Authorities,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.authorities).finish()
    }
}

impl Trust {
    /// In those whom the authorities in this PEM file have signed, and nobody else.
    ///
    /// # Errors
    /// If the file can't be read or holds no certificate.
    pub fn in_file(file: &Path) -> Result<Self, TlsError> {
        Authorities::of_file(file).map(Self::in_authorities)
    }

    /// In those whom the authorities that the system trusts have signed.
    ///
    /// # Errors
    /// If there are none.
    pub fn in_system() -> Result<Self, TlsError> {
        Authorities::of_system().map(Self::in_authorities)
    }

    /// In those whom these authorities have signed.
    #[must_use]
    pub fn in_authorities(authorities: Authorities) -> Self {
        let connector = TlsConnector::from(Arc::new(client_config(&authorities, None)));
        Self { connector, authorities }
    }

    /// The handshake with a server of this name, which may be an IP address. Whoever calls it limits how long it may take.
    ///
    /// # Errors
    /// If the server is not trusted, or there is no TLS to be had with it.
    pub async fn connect(&self, host: &str, socket: TcpStream) -> Result<Stream, HandshakeError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HandshakeError::BadName(host.to_owned()))?;
        let limit = |session: &mut rustls::ClientConnection| session.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        Ok(self.connector.connect_with(name, socket, limit).await?.into())
    }
}

/// The settings of a client of TLS that trusts these, and that shows `identity` to servers that ask for a certificate.
#[must_use]
pub fn client_config(authorities: &Authorities, identity: Option<&Identity>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring can do TLS 1.2 and 1.3")
        .with_root_certificates(authorities.0.clone());
    match identity {
        None => config.with_no_client_auth(),
        Some(Identity(certified)) => {
            config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified.clone())))
        }
    }
}

/// Why there is no TLS with a server.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// No certificate can be made out to such a host.
    #[error("`{0}` is no name that a certificate can have: write a host name or an IP address")]
    BadName(String),
    /// The server's certificate is not trusted.
    #[error("its certificate is not trusted ({0}): if its authority is one of your own, name the authority's CA file")]
    Untrusted(String),
    /// The certificate is an authority's own.
    #[error(
        "its certificate is that of an authority, and not of a server: have the authority sign one for the server, or make it with \
         `-addext basicConstraints=critical,CA:FALSE`"
    )]
    OfAuthority,
    /// The certificate is trusted, but made out to others.
    #[error(
        "its certificate is for another name ({0}): connect by a name that it has, or give the server one with this name"
    )]
    WrongName(String),
    /// The certificate's time is over, or has not come.
    #[error("its certificate is not good at this time ({0}): the server needs a new one, or a clock is wrong")]
    WrongTime(String),
    /// Someone listens and speaks something else.
    #[error("it speaks no TLS on this port: write an address without it (tcp:// or ws://), or take the right port")]
    NoTls,
    /// The connection ended before the handshake was done.
    #[error("the connection was lost before the handshake was done: {0}")]
    Lost(io::Error),
    /// Anything else.
    #[error("the handshake failed ({0}): the server's log may say why; both must speak TLS 1.2 or 1.3")]
    Failed(rustls::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(problem)) => problem.into(),
            Some(rustls::Error::InvalidMessage(_)) => Self::NoTls,
            Some(other) => Self::Failed(other.clone()),
            None => Self::Lost(error),
        }
    }
}

impl From<&CertificateError> for HandshakeError {
    fn from(problem: &CertificateError) -> Self {
        use CertificateError as Problem;
        match problem {
            // The library has no name for it but in words.
            Problem::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::OfAuthority,
            Problem::UnknownIssuer => Self::Untrusted("its authority is unknown".to_owned()),
            Problem::NotValidForName | Problem::NotValidForNameContext { .. } => Self::WrongName(problem.to_string()),
            Problem::Expired
            | Problem::ExpiredContext { .. }
            | Problem::NotValidYet
            | Problem::NotValidYetContext { .. } => Self::WrongTime(problem.to_string()),
            other => Self::Untrusted(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_testkit::Certificates;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{Alpn, ServerIdentity};

    /// What becomes of a client of `host` that trusts `authorities`, at a server with another's certificate.
    async fn met(host: &str, authorities: &Certificates, server: &Certificates) -> Result<Stream, HandshakeError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let identity = ServerIdentity::read(&server.server_certificate(), &server.server_key()).unwrap();
        let trust = Trust::in_file(&authorities.ca_file()).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accept = async { identity.acceptor(Alpn::None).accept(listener.accept().await.unwrap().0).await };
        let (dialled, accepted) = tokio::join!(trust.connect(host, socket), accept);
        let mut dialled = dialled?;
        let mut accepted = accepted.unwrap();
        accepted.write_all(b"hello").await.unwrap();
        accepted.flush().await.unwrap();
        let mut heard = [0; 5];
        dialled.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        Ok(dialled)
    }

    #[tokio::test]
    async fn whoever_has_a_certificate_of_the_authority_for_the_name_is_trusted() {
        let certificates = Certificates::new();
        for host in ["127.0.0.1", "localhost"] {
            let met = met(host, &certificates, &certificates).await;
            assert!(matches!(met, Ok(Stream::Tls(_))), "{met:?}");
        }
    }

    #[tokio::test]
    async fn whoever_is_not_trusted_is_told_with_what_to_do() {
        let (one, other) = (Certificates::new(), Certificates::new());
        let why = met("localhost", &one, &other).await.unwrap_err();
        assert!(matches!(why, HandshakeError::Untrusted(_)), "{why:?}");
        assert!(why.to_string().contains("CA file"), "{why}");
        let why = met("example.test", &one, &one).await.unwrap_err();
        assert!(matches!(why, HandshakeError::WrongName(_)), "{why:?}");
        let why = met("no name", &one, &one);
        assert!(matches!(
            tokio::time::timeout(std::time::Duration::from_secs(5), why).await,
            Ok(Err(HandshakeError::BadName(_)))
        ));
    }

    #[tokio::test]
    async fn whoever_speaks_no_tls_is_named_on_either_side() {
        let certificates = Certificates::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let trust = Trust::in_file(&certificates.ca_file()).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let plain = async { listener.accept().await.unwrap().0.write_all(b"no TLS at all").await.unwrap() };
        let (met, ()) = tokio::join!(trust.connect("localhost", socket), plain);
        assert!(matches!(met, Err(HandshakeError::NoTls)), "{met:?}");

        let identity = ServerIdentity::read(&certificates.server_certificate(), &certificates.server_key()).unwrap();
        let mut socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accept = async { identity.acceptor(Alpn::None).accept(listener.accept().await.unwrap().0).await };
        let (met, said) = tokio::join!(accept, socket.write_all(b"GET / HTTP/1.1\r\n\r\n"));
        said.unwrap();
        assert!(matches!(met, Err(crate::AcceptError::NoTls)), "{met:?}");
    }
}

//! TLS between clients and the gateway.

use std::io;
use std::sync::Arc;

use pintail_core::limits::HANDSHAKE_TIMEOUT;
use pintail_tls::{Acceptor, Alpn, ServerIdentity, Stream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::listen::Protocol;
use crate::metrics::Why;
use crate::server::Gateway;
use crate::strangers::Stranger;

/// What a gateway with a certificate has.
#[derive(Debug)]
pub(crate) struct Encryption {
    identity: ServerIdentity,
    tcp: Acceptor,
    http: Acceptor,
}

impl Encryption {
    pub(crate) fn new(identity: ServerIdentity) -> Self {
        let (tcp, http) = (identity.acceptor(Alpn::None), identity.acceptor(Alpn::Http11));
        Self { identity, tcp, http }
    }

    /// The handshake with someone who has just come in; `None` if that was cut short. Signing is work, which the thread
    /// does that serves the connection.
    ///
    /// # Errors
    /// If there is no TLS to be had with this client.
    pub(crate) async fn handshake(
        &self,
        gateway: &Gateway,
        protocol: Protocol,
        socket: TcpStream,
        stranger: &Stranger,
    ) -> io::Result<Option<Stream>> {
        let acceptor = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Http => &self.http,
        };
        let (why, outcome) = tokio::select! {
            () = gateway.stop.cancelled() => return Ok(None),
            () = stranger.crowded_out() => ("crowded_out", Ok(None)),
            accepted = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)) => match accepted {
                Ok(Ok(stream)) => ("accepted", Ok(Some(stream))),
                Ok(Err(error)) => ("failed", Err(io::Error::other(error))),
                Err(_) => ("timed_out", Err(io::ErrorKind::TimedOut.into())),
            },
        };
        gateway.metrics.tls_handshakes.get_or_create(&Why { why }).inc();
        outcome
    }
}

/// Follows the certificate's files until the gateway stops.
pub(crate) async fn follow_certificate(gateway: Arc<Gateway>) {
    let Some(encryption) = &gateway.encryption else { return };
    tokio::select! {
        () = gateway.stop.cancelled() => {}
        () = encryption.identity.keep_up() => {}
    }
}

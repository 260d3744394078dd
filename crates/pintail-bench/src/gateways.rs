//! Where a cluster is reached.

use std::io;

use pintail_core::GatewayAddress;
use pintail_core::gateway_address::Encryption;
use pintail_tls::{HandshakeError, Stream, Trust};
use thiserror::Error;
use tokio::net::TcpStream;

use crate::player::wire::Wire;

/// The gateways of a cluster, and whose certificates are good there.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    /// Each player has a first one by turns, and goes to the next if that is lost.
    pub addresses: Vec<GatewayAddress>,
    /// Whom players trust at addresses with TLS. Those have no use for a cluster without any.
    pub trust: Option<Trust>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nobody listens, or the network says no.
    #[error(transparent)]
    Unreachable(#[from] io::Error),
    /// Someone listens, and there is no TLS.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// The address is for TLS, and nobody is trusted.
    #[error("nobody is trusted: name whom to trust")]
    NobodyTrusted,
}

/// Why a load can't be put on an address.
#[derive(Debug, Error)]
pub enum NoGateway {
    /// There is no connection.
    #[error(transparent)]
    Unreachable(#[from] DialError),
    /// Someone answers, or hangs up.
    #[error("what answers there does not speak as a Pintail gateway does")]
    SomeoneElse,
}

impl Gateways {
    /// Those at addresses without TLS.
    #[must_use]
    pub fn plain(addresses: Vec<GatewayAddress>) -> Self {
        Self { addresses, trust: None }
    }

    /// Sees whether a gateway is at an address. The caller sets the deadline.
    ///
    /// # Errors
    /// If there is none.
    pub async fn greet(&self, address: &GatewayAddress) -> Result<(), NoGateway> {
        let stream = self.dial(address).await?;
        let greeting = async { Wire::over(stream, address).await?.greet().await };
        greeting.await.map_err(|_| NoGateway::SomeoneElse)
    }

    /// Connects to a gateway, and greets it by TLS if its address says so. The caller sets the deadline.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn dial(&self, address: &GatewayAddress) -> Result<Stream, DialError> {
        let socket = TcpStream::connect((address.host(), address.port())).await?;
        // Frames are written whole: waiting to fill a packet would only delay them.
        socket.set_nodelay(true)?;
        match address.encryption() {
            Encryption::None => Ok(socket.into()),
            Encryption::Tls => {
                let trust = self.trust.as_ref().ok_or(DialError::NobodyTrusted)?;
                Ok(trust.connect(address.host(), socket).await?)
            }
        }
    }
}

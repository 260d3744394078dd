//! The dialling side of a link: connect and greet, within a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use pintail_core::limits::{HANDSHAKE_TIMEOUT, LINK_FRAME_BYTES_MAX};
use pintail_core::{ClusterSecret, Endpoint, Incarnation, Slot};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::TcpConnection;
use crate::greeting::{self, GreetingError, Identity};
use crate::links::LINK_READ_BYTES;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a link could not be opened.
#[derive(Debug, Error)]
pub enum DialError {
    /// Nobody listens there: the process is gone.
    #[error("nobody listens at {0}")]
    Refused(Endpoint),
    /// Nothing answers at all.
    #[error("{0} does not answer")]
    Silent(Endpoint),
    /// The network says no.
    #[error("{0} can't be reached: {1}")]
    Unreachable(Endpoint, std::io::Error),
    /// Someone listens, but the greeting failed.
    #[error("{0}: {1}")]
    Greeting(Endpoint, GreetingError),
    /// Someone listens, but does not greet in time.
    #[error("{0} accepts connections but does not greet")]
    GreetingTimeout(Endpoint),
}

impl DialError {
    /// Whether whoever listens there is no Pintail server of this cluster, rather than absent or in trouble.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Silent(_) | Self::Unreachable(..) => false,
            Self::GreetingTimeout(_) => true,
            Self::Greeting(_, error) => !matches!(error, GreetingError::Unexpected(_)),
        }
    }
}

/// Opens a link to the server that is expected at this endpoint.
///
/// # Errors
/// If it can't be reached, or is not the one expected.
pub async fn dial(
    endpoint: Endpoint,
    secret: &ClusterSecret,
    me: &Identity,
    expected: (Slot, Option<Incarnation>),
) -> Result<(TcpConnection, Identity), DialError> {
    let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(SocketAddr::from(endpoint))).await {
        Err(_) => return Err(DialError::Silent(endpoint)),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(DialError::Refused(endpoint));
        }
        Ok(Err(error)) => return Err(DialError::Unreachable(endpoint, error)),
        Ok(Ok(stream)) => stream,
    };
    let mut connection = TcpConnection::new(stream, LINK_FRAME_BYTES_MAX, LINK_READ_BYTES)
        .map_err(|error| DialError::Unreachable(endpoint, error))?;
    match timeout(HANDSHAKE_TIMEOUT, greeting::greet(&mut connection, secret, me, expected)).await {
        Err(_) => Err(DialError::GreetingTimeout(endpoint)),
        Ok(Err(error)) => Err(DialError::Greeting(endpoint, error)),
        Ok(Ok(identity)) => Ok((connection, identity)),
    }
}

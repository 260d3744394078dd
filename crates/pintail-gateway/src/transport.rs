//! TCP and WebSocket as one.

use pintail_net::{ConnectionError, Outbox, TcpConnection, WebSocketConnection};
use pintail_wire::Frame;

/// A client's connection.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpConnection),
    // A WebSocket's buffers are large; most clients of most gateways are one or the other.
    WebSocket(Box<WebSocketConnection>),
}

impl Transport {
    /// The next frame, while the outbox is sent. See [`TcpConnection::recv`].
    pub(crate) async fn recv(&mut self, outbox: &Outbox) -> Result<Option<Frame>, ConnectionError> {
        match self {
            Self::Tcp(connection) => connection.recv(outbox).await,
            Self::WebSocket(connection) => connection.recv(outbox).await,
        }
    }

    /// Whether the client has closed the connection, as far as that shows without waiting.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        match self {
            Self::Tcp(connection) => connection.is_closed_by_peer(),
            Self::WebSocket(connection) => connection.is_closed_by_peer(),
        }
    }

    /// Sends what is left, then closes.
    pub(crate) async fn finish(self, outbox: &Outbox) {
        match self {
            Self::Tcp(connection) => connection.finish(outbox).await,
            Self::WebSocket(connection) => connection.finish(outbox).await,
        }
    }
}

//! A connection to a gateway: frames in, frames out, over TCP or a WebSocket, with TLS or without.
//!
//! Frames are queued and leave when the connection is driven: everything that was queued since the last time goes out in
//! one write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream as _};
use pintail_core::gateway_address::{Encryption, Transport as Protocol};
use pintail_core::limits::{CLIENT_FRAME_BYTES_MAX, STREAM_UNACKED_BYTES_MAX};
use pintail_tls::{HandshakeError, Stream, Trust};
use pintail_wire::{Decoder, Frame, FrameError, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use crate::{Address, Disconnect};

/// How many bytes may wait to be written before nothing more is read: enough for a whole stream sent again.
const OUTBOX_BYTES_MAX: usize = 2 * STREAM_UNACKED_BYTES_MAX;

/// Frames that arrive are checked against the limit of the protocol before they are read.
const DECODER: Decoder = Decoder::new(CLIENT_FRAME_BYTES_MAX);

/// How much is read from the operating system at once.
const READ_BYTES: usize = 8 * 1024;

type WebSocket = WebSocketStream<Stream>;

/// An open connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Frames one after the other.
    Tcp(TcpTransport),
    /// A WebSocket, one frame a message.
    WebSocket(Box<WebSocketTransport>),
}

impl Transport {
    /// Opens a connection; `trust` is for those with TLS. The caller sets the deadline.
    pub(crate) async fn dial(address: &Address, trust: Option<&Trust>) -> Result<Self, Disconnect> {
        let unreachable = |cause: String| Disconnect::Unreachable { address: address.to_string(), cause };
        let dialled = TcpStream::connect((address.host(), address.port())).await;
        let socket = dialled.map_err(|error| unreachable(error.to_string()))?;
        // Frames are written whole: waiting to fill a packet would only delay them.
        socket.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let stream = match (address.encryption(), trust) {
            (Encryption::None, _) => Stream::from(socket),
            (Encryption::Tls, Some(trust)) => {
                trust.connect(address.host(), socket).await.map_err(|error| no_tls(address, &error))?
            }
            (Encryption::Tls, None) => return Err(unreachable("nobody is trusted".to_owned())),
        };
        if *address.transport() == Protocol::Tcp {
            return Ok(Self::Tcp(TcpTransport::new(stream)));
        }
        let limits = Limits::default().max_payload_len(Some(CLIENT_FRAME_BYTES_MAX + 1));
        let uri = address.to_string();
        let builder = ClientBuilder::new().uri(&uri).map_err(|error| unreachable(error.to_string()))?;
        let upgraded = builder.limits(limits).connect_on(stream).await;
        let (socket, _) = upgraded.map_err(|error| unreachable(error.to_string()))?;
        Ok(Self::WebSocket(Box::new(WebSocketTransport::new(socket))))
    }

    /// Queues a frame.
    pub(crate) fn queue(&mut self, kind: u8, body: &Bytes) {
        match self {
            Self::Tcp(tcp) => encode_frame(&mut tcp.outbox, kind, body),
            Self::WebSocket(socket) => socket.queue(kind, body),
        }
    }

    /// Writes what is queued and, if `is_reading`, reads; returns when a frame has arrived. Cancelling it loses nothing.
    pub(crate) async fn drive(&mut self, is_reading: bool) -> Result<Frame, Disconnect> {
        match self {
            Self::Tcp(tcp) => poll_fn(|cx| tcp.poll_drive(cx, is_reading)).await,
            Self::WebSocket(socket) => poll_fn(|cx| socket.poll_drive(cx, is_reading)).await,
        }
    }

    /// Writes what is queued and closes in order. The caller sets the deadline.
    pub(crate) async fn close(self) -> io::Result<()> {
        match self {
            Self::Tcp(mut tcp) => {
                tcp.stream.write_all_buf(&mut tcp.outbox).await?;
                tcp.stream.shutdown().await
            }
            Self::WebSocket(mut socket) => {
                poll_fn(|cx| socket.poll_write(cx)).await.map_err(io::Error::other)?;
                socket.socket.close().await.map_err(io::Error::other)
            }
        }
    }
}

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct TcpTransport {
    stream: Stream,
    inbox: BytesMut,
    outbox: BytesMut,
    /// Whether the stream may hold something encrypted that its socket has not taken.
    is_unflushed: bool,
}

impl TcpTransport {
    fn new(stream: Stream) -> Self {
        Self { stream, inbox: BytesMut::new(), outbox: BytesMut::new(), is_unflushed: false }
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>, is_reading: bool) -> Poll<Result<Frame, Disconnect>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(lost(&error)));
        }
        if !is_reading || self.outbox.len() > OUTBOX_BYTES_MAX {
            return Poll::Pending;
        }
        loop {
            if let Some(frame) = DECODER.decode(&mut self.inbox).map_err(|error| malformed(&error))? {
                return Poll::Ready(Ok(frame));
            }
            self.inbox.reserve(READ_BYTES);
            // A read that is dropped while it waits has taken nothing.
            let read = pin!(self.stream.read_buf(&mut self.inbox));
            if ready!(read.poll(cx)).map_err(|error| lost(&error))? == 0 {
                return Poll::Ready(Err(Disconnect::Closed));
            }
        }
    }

    /// Ready when everything queued was handed to the operating system.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            self.is_unflushed = true;
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outbox))?;
            self.outbox.advance(written);
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A WebSocket connection.
#[derive(Debug)]
pub(crate) struct WebSocketTransport {
    socket: WebSocket,
    outbox: VecDeque<Message>,
    outbox_bytes: usize,
    /// Whether the socket's own buffer may hold something.
    is_unflushed: bool,
}

impl WebSocketTransport {
    const fn new(socket: WebSocket) -> Self {
        Self { socket, outbox: VecDeque::new(), outbox_bytes: 0, is_unflushed: false }
    }

    fn queue(&mut self, kind: u8, body: &[u8]) {
        let mut message = BytesMut::with_capacity(1 + body.len());
        message.put_u8(kind);
        message.put_slice(body);
        self.outbox_bytes += message.len();
        self.outbox.push_back(Message::binary(message));
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>, is_reading: bool) -> Poll<Result<Frame, Disconnect>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            return Poll::Ready(Err(broken(&error)));
        }
        if !is_reading || self.outbox_bytes > OUTBOX_BYTES_MAX {
            return Poll::Pending;
        }
        loop {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Err(Disconnect::Closed)),
            };
            if message.is_binary() {
                let payload = Bytes::from(message.into_payload());
                return Poll::Ready(DECODER.decode_message(payload).map_err(|error| malformed(&error)));
            }
            if message.is_text() {
                return Poll::Ready(Err(Disconnect::Malformed("a frame is a binary message, not text".to_owned())));
            }
            // Pings are answered and closes acknowledged by the socket itself.
        }
    }

    /// Ready when everything queued was handed to the operating system.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tokio_websockets::Error>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outbox.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(message) = self.outbox.pop_front() {
                self.outbox_bytes -= message.as_payload().len();
                self.is_unflushed = true;
                socket.as_mut().start_send(message)?;
            }
        }
        if self.is_unflushed {
            ready!(socket.poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn no_tls(address: &Address, error: &HandshakeError) -> Disconnect {
    let (address, cause) = (address.to_string(), error.to_string());
    match error {
        HandshakeError::Lost(_) => Disconnect::Unreachable { address, cause },
        _ => Disconnect::Tls { address, cause },
    }
}

fn lost(error: &io::Error) -> Disconnect {
    match error.kind() {
        // Over TLS, a gateway that dies does not say that it ends.
        io::ErrorKind::UnexpectedEof => Disconnect::Closed,
        _ => Disconnect::Broken(error.to_string()),
    }
}

fn broken(error: &tokio_websockets::Error) -> Disconnect {
    match error {
        tokio_websockets::Error::Io(error) => lost(error),
        other => Disconnect::Broken(other.to_string()),
    }
}

fn malformed(error: &FrameError) -> Disconnect {
    let what_it_is = match error {
        FrameError::TooLarge { length, .. } => other_protocol(*length),
        FrameError::Empty => None,
    };
    Disconnect::Malformed(what_it_is.map_or_else(|| error.to_string(), str::to_owned))
}

/// What speaks there, if the first bytes that came are no frame's length but the beginning of something else that gateways
/// say on other ports.
fn other_protocol(length: usize) -> Option<&'static str> {
    // The length is that of kind and body together; the error names the body's.
    match u32::try_from(length + 1).ok()?.to_be_bytes() {
        [0x15, 3, ..] => Some("it speaks TLS on this port: write an address with it (tls:// or wss://)"),
        [b'H', b'T', b'T', b'P'] => {
            Some("it speaks HTTP on this port: write an address for WebSockets (ws:// or wss://)")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gateways_speak_on_other_ports_is_known_by_its_first_bytes() {
        let told = |first_bytes: &[u8]| {
            let mut arrived = BytesMut::from(first_bytes);
            malformed(&DECODER.decode(&mut arrived).unwrap_err()).to_string()
        };
        assert!(told(b"\x15\x03\x03\x00\x02\x02").contains("tls://"), "an alert of TLS");
        assert!(told(b"HTTP/1.1 400 Bad Request").contains("ws://"));
        assert!(told(b"SSH-2.0-OpenSSH").contains("over the limit"));
    }
}

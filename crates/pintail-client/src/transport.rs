//! A connection to a gateway: frames in, frames out, over TCP or a WebSocket.
//!
//! Frames are queued and leave when the connection is driven: everything that was queued since the last time goes out in
//! one write.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream};
use pintail_core::limits::{CLIENT_FRAME_BYTES_MAX, STREAM_UNACKED_BYTES_MAX};
use pintail_wire::{Decoder, Frame, FrameError, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use crate::{Address, Disconnect};

/// How many bytes may wait to be written before nothing more is read: enough for a whole stream sent again.
const OUTBOX_BYTES_MAX: usize = 2 * STREAM_UNACKED_BYTES_MAX;

/// Frames that arrive are checked against the limit of the protocol before they are read.
const DECODER: Decoder = Decoder::new(CLIENT_FRAME_BYTES_MAX);

/// How much is read from the operating system at once.
const READ_BYTES: usize = 8 * 1024;

type WebSocket = WebSocketStream<TcpStream>;

/// An open connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Plain TCP.
    Tcp(TcpTransport),
    /// A WebSocket, one frame a message.
    WebSocket(Box<WebSocketTransport>),
}

impl Transport {
    /// Opens a connection. The caller sets the deadline.
    pub(crate) async fn dial(address: &Address) -> Result<Self, Disconnect> {
        let unreachable = |cause: String| Disconnect::Unreachable { address: address.to_string(), cause };
        let dialled = TcpStream::connect((address.host.as_str(), address.port)).await;
        let stream = dialled.map_err(|error| unreachable(error.to_string()))?;
        // Frames are written whole: waiting to fill a packet would only delay them.
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        if address.path.is_none() {
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
            Self::Tcp(tcp) => tcp.drive(is_reading).await,
            Self::WebSocket(socket) => poll_fn(|cx| socket.poll_drive(cx, is_reading)).await,
        }
    }

    /// Writes what is queued and closes in order. The caller sets the deadline.
    pub(crate) async fn close(self) -> io::Result<()> {
        match self {
            Self::Tcp(mut tcp) => {
                tcp.writer.write_all_buf(&mut tcp.outbox).await?;
                tcp.writer.shutdown().await
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
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    inbox: BytesMut,
    outbox: BytesMut,
}

impl TcpTransport {
    fn new(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer, inbox: BytesMut::new(), outbox: BytesMut::new() }
    }

    async fn drive(&mut self, is_reading: bool) -> Result<Frame, Disconnect> {
        loop {
            let is_reading = is_reading && self.outbox.len() <= OUTBOX_BYTES_MAX;
            if is_reading && let Some(frame) = DECODER.decode(&mut self.inbox).map_err(|error| malformed(&error))? {
                return Ok(frame);
            }
            self.inbox.reserve(READ_BYTES);
            tokio::select! {
                written = self.writer.write_buf(&mut self.outbox), if !self.outbox.is_empty() => {
                    written.map_err(|error| broken(&error))?;
                }
                read = self.reader.read_buf(&mut self.inbox), if is_reading => {
                    if read.map_err(|error| broken(&error))? == 0 {
                        return Err(Disconnect::Closed);
                    }
                }
                () = pending() => {}
            }
        }
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

fn broken(error: &impl ToString) -> Disconnect {
    Disconnect::Broken(error.to_string())
}

fn malformed(error: &FrameError) -> Disconnect {
    Disconnect::Malformed(error.to_string())
}

//! A connection to a gateway: frames in, frames out, over TCP or a WebSocket, with TLS or without, with as few system
//! calls as there can be.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use pintail_core::GatewayAddress;
use pintail_core::gateway_address::Transport;
use pintail_core::limits::CLIENT_FRAME_BYTES_MAX;
use pintail_tls::Stream;
use pintail_wire::encode_frame;
use pintail_wire::frame::LENGTH_BYTES;
use pintail_wire::kind::client as kind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Config, Error, Limits, Message, WebSocketStream};

use super::trouble::Trouble;
use crate::gateways::Gateways;

/// The longest frame, with its length and kind.
const FRAME_BYTES_MAX: usize = LENGTH_BYTES + 1 + CLIENT_FRAME_BYTES_MAX;

/// How much is read at once: the beginning of a frame that came earlier, and as much again.
pub(crate) const SCRATCH_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// How many messages of a WebSocket are taken before what came of them is written.
const MESSAGES_AT_ONCE: usize = 256;

/// What a gateway sends back if it is one.
const GREETING: &[u8] = b"pintail-bench";

/// How many bytes a WebSocket collects before it writes them.
const FLUSH_BYTES: usize = 16 * 1024;

/// What takes a frame, its kind and its body, and may queue others.
pub(crate) type Take<'a> = dyn FnMut(u8, &[u8], &mut BytesMut) -> Result<(), Trouble> + 'a;

/// A connection. It owns no buffer while nothing is under way.
#[derive(Debug)]
pub(crate) struct Wire {
    link: Link,
    /// Frames that are not yet written.
    out: BytesMut,
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
}

#[derive(Debug)]
enum Link {
    Tcp(Stream),
    WebSocket(Box<WebSocketStream<Stream>>),
}

impl Wire {
    /// Connects. The caller sets the deadline.
    pub(crate) async fn dial(gateways: &Gateways, address: &GatewayAddress) -> Result<Self, Trouble> {
        Self::over(gateways.dial(address).await?, address).await
    }

    /// Speaks over a connection to this address.
    pub(crate) async fn over(stream: Stream, address: &GatewayAddress) -> Result<Self, Trouble> {
        let link = match address.transport() {
            Transport::Tcp => Link::Tcp(stream),
            Transport::WebSocket { .. } => Link::WebSocket(Box::new(upgrade(address, stream).await?)),
        };
        Ok(Self { link, out: BytesMut::new(), partial: Vec::new() })
    }

    /// Whether a gateway is at the other end: it answers pings, also before a login. The caller sets the deadline.
    pub(crate) async fn greet(&mut self) -> Result<(), Trouble> {
        encode_frame(&mut self.out, kind::PING, GREETING);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut answer = Err(Trouble::Malformed);
        let mut take = |kind: u8, body: &[u8], _: &mut BytesMut| {
            if kind == kind::PONG && body == GREETING {
                answer = Ok(());
            }
            Ok(())
        };
        poll_fn(|cx| self.poll(cx, &mut scratch, &mut take)).await?;
        answer
    }

    /// Where frames are queued. They leave with the next [`poll`](Self::poll).
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Writes what is queued, and reads once: each frame that is here goes to `take`. Ready when one was.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: &mut Take<'_>,
    ) -> Poll<Result<(), Trouble>> {
        // What can't be written now is tried again when the socket says so, which wakes this task.
        if let Poll::Ready(Err(trouble)) = self.poll_write(cx) {
            return Poll::Ready(Err(trouble));
        }
        ready!(match &mut self.link {
            Link::Tcp(stream) => poll_tcp(stream, &mut self.partial, &mut self.out, cx, scratch, take),
            Link::WebSocket(socket) => poll_websocket(socket, &mut self.out, cx, take),
        })?;
        match self.poll_write(cx) {
            Poll::Ready(Err(trouble)) => Poll::Ready(Err(trouble)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Writes everything that is queued. The caller sets the deadline.
    pub(crate) async fn flush(&mut self) -> Result<(), Trouble> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        match &mut self.link {
            Link::Tcp(Stream::Plain(socket)) => write_plain(socket, &mut self.out, cx),
            Link::Tcp(stream) => write_tls(stream, &mut self.out, cx),
            Link::WebSocket(socket) => write_websocket(socket, &mut self.out, cx),
        }
    }
}

async fn upgrade(address: &GatewayAddress, stream: Stream) -> Result<WebSocketStream<Stream>, Trouble> {
    let uri = address.to_string();
    let builder = ClientBuilder::new().uri(&uri).map_err(|_| Trouble::Handshake)?;
    let limits = Limits::default().max_payload_len(Some(CLIENT_FRAME_BYTES_MAX + 1));
    let builder = builder.limits(limits).config(Config::default().flush_threshold(FLUSH_BYTES));
    let upgraded = builder.connect_on(stream).await;
    upgraded.map(|(socket, _)| socket).map_err(|_| Trouble::Handshake)
}

fn write_plain(stream: &TcpStream, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
    while !out.is_empty() {
        match stream.try_write(out) {
            Ok(count) => out.advance(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready!(stream.poll_write_ready(cx)).map_err(|error| Trouble::Lost(error.kind()))?;
            }
            Err(error) => return Poll::Ready(Err(Trouble::Lost(error.kind()))),
        }
    }
    Poll::Ready(Ok(()))
}

fn write_tls(stream: &mut Stream, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
    let lost = |error: std::io::Error| Trouble::Lost(error.kind());
    while !out.is_empty() {
        let count = ready!(Pin::new(&mut *stream).poll_write(cx, out)).map_err(lost)?;
        out.advance(count);
    }
    // What is encrypted may still wait for the socket.
    Pin::new(stream).poll_flush(cx).map_err(lost)
}

fn write_websocket(
    socket: &mut WebSocketStream<Stream>,
    out: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Trouble>> {
    let mut frames = std::mem::take(out).freeze();
    while !frames.is_empty() {
        match socket.poll_ready_unpin(cx) {
            Poll::Ready(ready) => ready.map_err(lost)?,
            Poll::Pending => {
                *out = BytesMut::from(frames);
                return Poll::Pending;
            }
        }
        match next_message(&mut frames) {
            Some(message) => socket.start_send_unpin(message).map_err(lost)?,
            None => break,
        }
    }
    socket.poll_flush_unpin(cx).map_err(lost)
}

/// The first of the encoded frames as a message that shares its bytes.
fn next_message(frames: &mut Bytes) -> Option<Message> {
    let header = *frames.first_chunk::<LENGTH_BYTES>()?;
    let frame = frames.split_to(LENGTH_BYTES + u32::from_be_bytes(header) as usize);
    Some(Message::binary(frame.slice(LENGTH_BYTES..)))
}

fn poll_tcp(
    stream: &mut Stream,
    partial: &mut Vec<u8>,
    out: &mut BytesMut,
    cx: &mut Context<'_>,
    scratch: &mut [u8],
    take: &mut Take<'_>,
) -> Poll<Result<(), Trouble>> {
    loop {
        let kept = partial.len();
        let mut buffer = ReadBuf::new(&mut scratch[kept..]);
        // A short read tells the runtime that nothing more is there, which saves a call that would only say so.
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)).map_err(|error| Trouble::Lost(error.kind()))?;
        let count = buffer.filled().len();
        if count == 0 {
            return Poll::Ready(Err(Trouble::Lost(ErrorKind::UnexpectedEof)));
        }
        scratch[..kept].copy_from_slice(partial);
        let arrived = &scratch[..kept + count];
        let taken = each_frame(arrived, |kind, body| take(kind, body, out))?;
        partial.clear();
        if taken < arrived.len() {
            partial.extend_from_slice(&arrived[taken..]);
        } else {
            *partial = Vec::new();
        }
        if taken > 0 {
            return Poll::Ready(Ok(()));
        }
    }
}

/// Hands out each whole frame; how many bytes they have.
fn each_frame(bytes: &[u8], mut take: impl FnMut(u8, &[u8]) -> Result<(), Trouble>) -> Result<usize, Trouble> {
    let mut rest = bytes;
    while let Some((&header, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
        let length = u32::from_be_bytes(header) as usize;
        if !(1..=1 + CLIENT_FRAME_BYTES_MAX).contains(&length) {
            return Err(Trouble::Malformed);
        }
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        take(frame[0], &frame[1..])?;
        rest = after;
    }
    Ok(bytes.len() - rest.len())
}

fn poll_websocket(
    socket: &mut WebSocketStream<Stream>,
    out: &mut BytesMut,
    cx: &mut Context<'_>,
    take: &mut Take<'_>,
) -> Poll<Result<(), Trouble>> {
    for taken in 0..MESSAGES_AT_ONCE {
        let message = match socket.poll_next_unpin(cx) {
            Poll::Pending if taken > 0 => return Poll::Ready(Ok(())),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(Err(Trouble::Lost(ErrorKind::UnexpectedEof))),
            Poll::Ready(Some(message)) => message.map_err(lost)?,
        };
        // Pings are answered and closes echoed by the library.
        if message.is_binary() {
            let (kind, body) = message.as_payload().split_first().ok_or(Trouble::Malformed)?;
            take(*kind, body, out)?;
        } else if message.is_text() {
            return Poll::Ready(Err(Trouble::Malformed));
        }
    }
    Poll::Ready(Ok(()))
}

fn lost(error: Error) -> Trouble {
    match error {
        Error::Io(error) => Trouble::Lost(error.kind()),
        Error::AlreadyClosed => Trouble::Lost(ErrorKind::UnexpectedEof),
        _ => Trouble::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use pintail_testkit::Certificates;
    use pintail_tls::{Alpn, ServerIdentity, Trust};
    use pintail_wire::{encode_frame, encode_frame_parts};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const BOTH: [&str; 2] = ["tcp", "tls"];

    async fn pair(scheme: &str) -> (Wire, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("{scheme}://{}", listener.local_addr().unwrap()).parse().unwrap();
        let certificates = Certificates::new();
        let trust = Trust::in_file(&certificates.ca_file()).unwrap();
        let gateways = Gateways { addresses: Vec::new(), trust: Some(trust) };
        let accept = async {
            let (socket, _) = listener.accept().await.unwrap();
            if scheme == "tcp" {
                return Stream::from(socket);
            }
            let identity = ServerIdentity::read(&certificates.server_certificate(), &certificates.server_key());
            identity.unwrap().acceptor(Alpn::None).accept(socket).await.unwrap()
        };
        let (wire, accepted) = tokio::join!(Wire::dial(&gateways, &address), accept);
        (wire.unwrap(), accepted)
    }

    async fn turn(wire: &mut Wire, take: &mut Take<'_>) -> Result<(), Trouble> {
        let mut scratch = vec![0; SCRATCH_BYTES];
        poll_fn(|cx| wire.poll(cx, &mut scratch, take)).await
    }

    #[tokio::test]
    async fn frames_arrive_however_they_are_cut_and_answers_leave_at_once() {
        for scheme in BOTH {
            let (mut wire, mut peer) = pair(scheme).await;
            let mut sent = BytesMut::new();
            encode_frame_parts(&mut sent, 7, &[b"one"]);
            encode_frame_parts(&mut sent, 8, &[&[9; CLIENT_FRAME_BYTES_MAX]]);
            encode_frame_parts(&mut sent, 9, &[b""]);
            let exchange = async {
                for piece in sent.chunks(10_001) {
                    peer.write_all(piece).await.unwrap();
                    peer.flush().await.unwrap();
                }
                let mut answer = [0; 15];
                peer.read_exact(&mut answer).await.unwrap();
                answer
            };
            let mut arrived = Vec::new();
            let receive = async {
                while arrived.len() < 3 {
                    let mut take = |kind, body: &[u8], out: &mut BytesMut| {
                        arrived.push((kind, body.len()));
                        encode_frame(out, kind, b"");
                        Ok(())
                    };
                    turn(&mut wire, &mut take).await.unwrap();
                }
            };
            let (answer, ()) = tokio::join!(exchange, receive);
            assert_eq!(arrived, [(7, 3), (8, CLIENT_FRAME_BYTES_MAX), (9, 0)]);
            assert_eq!(answer, *b"\0\0\0\x01\x07\0\0\0\x01\x08\0\0\0\x01\x09");
            assert!(wire.partial.is_empty() && wire.partial.capacity() == 0, "one who waits keeps no buffer");
            drop(peer);
            let mut nothing = |_, _: &[u8], _: &mut BytesMut| Ok(());
            assert_eq!(turn(&mut wire, &mut nothing).await, Err(Trouble::Lost(ErrorKind::UnexpectedEof)));
        }
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_ends_the_connection() {
        for scheme in BOTH {
            for length in [0_u32, 70_000, u32::MAX] {
                let (mut wire, mut peer) = pair(scheme).await;
                peer.write_all(&length.to_be_bytes()).await.unwrap();
                peer.flush().await.unwrap();
                let mut nothing = |_, _: &[u8], _: &mut BytesMut| Ok(());
                assert_eq!(turn(&mut wire, &mut nothing).await, Err(Trouble::Malformed));
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_reads_late_gets_everything() {
        for scheme in BOTH {
            let (mut wire, mut peer) = pair(scheme).await;
            for _ in 0..256 {
                encode_frame_parts(wire.out(), 1, &[&[5; CLIENT_FRAME_BYTES_MAX]]);
            }
            let expected = wire.out().len();
            let read = async {
                let mut all = vec![0; expected];
                peer.read_exact(&mut all).await.unwrap();
            };
            let (written, ()) = tokio::join!(wire.flush(), read);
            assert_eq!(written, Ok(()));
            assert!(wire.out().is_empty());
        }
    }
}

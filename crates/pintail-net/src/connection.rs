//! Frames over TCP, with TLS or without. One task reads and writes: while it waits for a frame it sends what its [`Outbox`] holds.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pintail_tls::Stream;
use pintail_wire::{Decoder, Frame, FrameError, encode_frame};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use crate::outbox::Outbox;

/// How long a peer may leave us unable to write a single byte. Then it is as good as gone.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(10);

/// How long the last frames may take to leave when a connection closes.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long written bytes may stay unacknowledged before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes that one read takes.
const READ_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Where reads go first. All connections of a thread share it, so it stays in the processor's cache; what arrived is
    /// copied to a buffer of its size, and an idle connection holds none.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into_boxed_slice());
}

/// Why a connection is of no more use.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// What arrived is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A WebSocket message that is not one binary frame, or a breach of the WebSocket protocol.
    #[error("{0}")]
    WebSocket(String),
    /// The network, or a peer that vanished.
    #[error("the connection is lost: {0}")]
    Io(#[from] io::Error),
    /// The peer said that nothing follows, inside a frame.
    #[error("the connection ended inside a frame")]
    Truncated,
    /// The peer reads nothing.
    #[error("the peer has read nothing for {} s", WRITE_STALL_MAX.as_secs())]
    Stalled,
}

/// A connection that carries frames.
#[derive(Debug)]
pub struct TcpConnection {
    stream: Stream,
    decoder: Decoder,
    /// How many bytes one read asks for.
    read_bytes: usize,
    /// What arrived and is not yet a whole frame. Holds no memory while nothing is under way.
    incoming: BytesMut,
    /// What was taken from the outbox and not yet written.
    outgoing: BytesMut,
    stall: Stall,
}

impl TcpConnection {
    /// Frames over this stream, with bodies up to `body_bytes_max`, reading `read_bytes` at a time.
    ///
    /// # Errors
    /// If the socket does not take its options.
    pub fn new(stream: impl Into<Stream>, body_bytes_max: usize, read_bytes: usize) -> io::Result<Self> {
        let stream = stream.into();
        tune(stream.tcp())?;
        Ok(Self {
            stream,
            decoder: Decoder::new(body_bytes_max),
            read_bytes: read_bytes.min(READ_BYTES_MAX),
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            stall: Stall::default(),
        })
    }

    /// The next frame. Sends what the outbox holds while it waits. `None` when the peer closed the connection, or when
    /// the outbox was closed; [`finish`](Self::finish) sends the rest. Cancel-safe.
    ///
    /// # Errors
    /// If the connection is of no more use.
    pub async fn recv(&mut self, outbox: &Outbox) -> Result<Option<Frame>, ConnectionError> {
        // Written by hand, because each message passes here twice: a `select!` of futures for the socket, the outbox and
        // the stall costs as much again.
        poll_fn(|cx| self.poll_recv(cx, outbox)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<Option<Frame>, ConnectionError>> {
        if let Some(frame) = self.buffered()? {
            return Poll::Ready(Ok(Some(frame)));
        }
        if self.poll_send(cx, outbox)?.is_ready() {
            return Poll::Ready(Ok(None));
        }
        loop {
            if !ready!(self.poll_fill(cx))? {
                let is_whole = self.incoming.is_empty();
                return Poll::Ready(if is_whole { Ok(None) } else { Err(ConnectionError::Truncated) });
            }
            if let Some(frame) = self.buffered()? {
                return Poll::Ready(Ok(Some(frame)));
            }
        }
    }

    /// The next frame, if it is already here whole.
    ///
    /// # Errors
    /// If what arrived is no frame.
    pub fn buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.incoming.is_empty() {
            // Frames may still share the buffer; the connection itself keeps none while it is idle.
            self.incoming = BytesMut::new();
            return Ok(None);
        }
        self.decoder.decode(&mut self.incoming)
    }

    /// Whether the peer has closed the connection, as far as that shows without waiting: past a read's worth of frames
    /// that nobody has taken yet it is not looked for. What was read is not lost.
    pub fn is_closed_by_peer(&mut self) -> bool {
        let mut chunk = [0; 256];
        while self.incoming.len() < self.read_bytes {
            match self.stream.read_now(&mut chunk) {
                Ok(0) => return true,
                Ok(count) => self.incoming.extend_from_slice(&chunk[..count]),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// Reads once what is there; whether anything will ever come again.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..self.read_bytes]);
            // A short read tells tokio that nothing more is there, which saves a call that would only say so.
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            self.incoming.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
    }

    /// Sends what the outbox holds, now and whenever there is something; ready when the outbox is closed.
    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), ConnectionError>> {
        loop {
            if self.outgoing.is_empty() {
                // Over TLS, what was written may still wait for the socket.
                match Pin::new(&mut self.stream).poll_flush(cx) {
                    Poll::Ready(flushed) => flushed?,
                    Poll::Pending => return self.stall.poll(cx, outbox),
                }
                self.stall.end();
                match ready!(outbox.poll_take(cx)) {
                    Some(frames) => self.outgoing = frames,
                    None => return Poll::Ready(Ok(())),
                }
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.outgoing) {
                Poll::Ready(written) => {
                    self.outgoing.advance(written?);
                    self.stall.end();
                }
                Poll::Pending => return self.stall.poll(cx, outbox),
            }
            if self.outgoing.is_empty() {
                // The buffer goes, too: a connection that has nothing to say holds none.
                self.outgoing = BytesMut::new();
            }
        }
    }

    /// Writes one frame at once, past any outbox: for greetings and last words.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn send_now(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = BytesMut::new();
        encode_frame(&mut frame, kind, body);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }

    /// Sends what is left in the outbox, says that nothing follows, and closes; within [`CLOSE_TIMEOUT`].
    pub async fn finish(mut self, outbox: &Outbox) {
        outbox.close();
        let last_words = async {
            self.stream.write_all(&self.outgoing).await?;
            self.stream.write_all(&outbox.take()).await?;
            self.stream.shutdown().await?;
            // Closing a socket with unread bytes resets it, and a reset can destroy our last words on their way.
            while self.stream.read_buf(&mut self.incoming).await? > 0 {
                self.incoming.clear();
            }
            Ok::<_, io::Error>(())
        };
        // Whether the peer waited for the last words is its own affair.
        let _ = timeout(CLOSE_TIMEOUT, last_words).await;
    }
}

/// A socket that takes nothing, and how long that may last. It holds no timer while all goes well.
#[derive(Debug, Default)]
pub(crate) struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// The socket takes nothing: waits until it has been so for too long, or the outbox is closed. A peer that reads a
    /// little now and then must not put the end off.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), ConnectionError>> {
        if outbox.poll_closed(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let stalled = self.0.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(ConnectionError::Stalled))
    }

    #[cfg(test)]
    pub(crate) fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// The socket takes something.
    pub(crate) fn end(&mut self) {
        self.0 = None;
    }
}

/// Small frames leave at once, and a peer that vanished is noticed.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use pintail_wire::encode_frame_parts;

    use super::*;
    use crate::test_pair::{self, BOTH, Cover};

    /// More than the kernel keeps for two ends that do not read.
    const FLOOD_BYTES: usize = 64 << 20;

    async fn pair(cover: Cover) -> (TcpConnection, Stream) {
        let (accepted, dialled) = test_pair::pair(cover).await;
        (TcpConnection::new(accepted, 1024, 256).unwrap(), dialled)
    }

    async fn send(peer: &mut Stream, bytes: &[u8]) {
        peer.write_all(bytes).await.unwrap();
        peer.flush().await.unwrap();
    }

    #[tokio::test]
    async fn frames_arrive_whatever_the_reads_and_the_outbox_is_sent_meanwhile() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(1 << 20);
            let mut wire = BytesMut::new();
            for number in 0..100_u8 {
                encode_frame_parts(&mut wire, number, &[&[number; 70]]);
            }
            outbox.push(7, &[b"hi"]).unwrap();
            let exchange = async {
                // In pieces, so that TLS has records that are no frames.
                for piece in wire.chunks(333) {
                    send(&mut peer, piece).await;
                }
                let mut answer = [0; 7];
                peer.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"\0\0\0\x03\x07hi");
                peer.shutdown().await.unwrap();
            };
            let receive = async {
                for number in 0..100_u8 {
                    let frame = connection.recv(&outbox).await.unwrap().unwrap();
                    assert_eq!((frame.kind, &frame.body[..]), (number, &[number; 70][..]));
                }
                assert_eq!(connection.buffered(), Ok(None));
                assert_eq!(connection.incoming.capacity(), 0, "an idle connection holds no buffer");
                assert_eq!(connection.recv(&outbox).await.unwrap(), None);
            };
            tokio::join!(exchange, receive);
        }
    }

    #[tokio::test]
    async fn a_peer_that_has_closed_is_seen_without_waiting_and_its_frames_are_kept() {
        for (cover, is_polite) in BOTH.into_iter().flat_map(|cover| [(cover, true), (cover, false)]) {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(64);
            send(&mut peer, b"\0\0\0\x02\x07a\0\0\0\x02\x08b").await;
            assert_eq!(connection.recv(&outbox).await.unwrap().unwrap().kind, 7);
            assert!(!connection.is_closed_by_peer());
            // Of this one, the runtime has not heard.
            send(&mut peer, b"\0\0\0\x02\x09c").await;
            if is_polite {
                peer.shutdown().await.unwrap();
            }
            drop(peer);
            assert!(connection.is_closed_by_peer(), "{cover:?}");
            assert_eq!(connection.recv(&outbox).await.unwrap().unwrap().kind, 8);
            assert_eq!(connection.recv(&outbox).await.unwrap().unwrap().kind, 9);
            // Over TLS, one that leaves without a word may have been cut off by someone else: that is a lost connection.
            match connection.recv(&outbox).await {
                Ok(None) => assert!(is_polite || cover == Cover::Plain),
                Err(ConnectionError::Io(_)) => assert!(!is_polite && cover == Cover::Tls),
                other => panic!("{cover:?}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_lost_when_a_wait_is_given_up_in_the_middle_of_writing() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(FLOOD_BYTES);
            let mut count = 0_u32;
            while !connection.stall.has_begun() {
                outbox.push(9, &[&count.to_be_bytes(), &[0; 1000]]).unwrap();
                count += 1;
                assert!(connection.recv(&outbox).now_or_never().is_none());
            }
            // Over TLS, all was taken, and what waits is what it holds encrypted: that is a stall as well.
            assert_eq!(connection.outgoing.is_empty(), cover == Cover::Tls);
            let read = async {
                for number in 0..count {
                    let mut frame = [0; 5 + 4 + 1000];
                    peer.read_exact(&mut frame).await.unwrap();
                    assert_eq!(frame[5..9], number.to_be_bytes(), "a frame is missing");
                }
            };
            tokio::select! {
                received = connection.recv(&outbox) => panic!("{received:?}"),
                read = timeout(Duration::from_secs(20), read) => read.unwrap(),
            }
            assert!(connection.recv(&outbox).now_or_never().is_none());
            assert!(!connection.stall.has_begun(), "{cover:?}");
        }
    }

    #[tokio::test]
    async fn closing_sends_what_is_queued_first() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(8 << 20);
            outbox.push(1, &[&vec![5; 4 << 20]]).unwrap();
            outbox.close();
            let read = tokio::spawn(async move {
                let mut all = Vec::new();
                // Over TLS, this is an error if the end is not said.
                peer.read_to_end(&mut all).await.unwrap();
                all.len()
            });
            assert_eq!(connection.recv(&outbox).await.unwrap(), None);
            connection.finish(&outbox).await;
            assert_eq!(read.await.unwrap(), 5 + (4 << 20));
        }
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_does_not_put_the_end_off() {
        for cover in BOTH {
            let (mut connection, peer) = pair(cover).await;
            let outbox = Outbox::new(FLOOD_BYTES);
            outbox.push(1, &[&vec![5; 32 << 20]]).unwrap();
            outbox.close();
            let end = async {
                assert_eq!(connection.recv(&outbox).await.unwrap(), None);
                connection.finish(&outbox).await;
            };
            timeout(CLOSE_TIMEOUT * 2, end).await.unwrap();
            drop(peer);
        }
    }
}

//! Frames over WebSocket, with TLS or without: one binary message is one frame, without the length.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, SinkExt, StreamExt};
use pintail_tls::Stream;
use pintail_wire::frame::LENGTH_BYTES;
use pintail_wire::{Decoder, Frame};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Config, Error, Limits, Message, ServerBuilder, WebSocketStream};

use crate::connection::{CLOSE_TIMEOUT, ConnectionError, Stall, tune};
use crate::outbox::Outbox;

/// How many bytes are collected before they are written. What an outbox held is written with one call up to this size.
const FLUSH_BYTES: usize = 16 * 1024;

/// A WebSocket that carries frames.
#[derive(Debug)]
pub struct WebSocketConnection {
    socket: WebSocketStream<Stream>,
    decoder: Decoder,
    /// What was taken from the outbox and not yet handed to the socket: whole frames.
    outgoing: Bytes,
    stall: Stall,
    /// The library's answer to a ping is not sent yet.
    pong_unsent: bool,
    /// What was received before anyone asked for it.
    ahead: Option<Received>,
}

/// A message, or why there is none; `None` at the end.
type Received = Option<Result<Message, Error>>;

impl WebSocketConnection {
    /// Frames over a stream on which the WebSocket handshake is done, with bodies up to `body_bytes_max`.
    ///
    /// # Errors
    /// If the socket does not take its options.
    pub fn new(stream: impl Into<Stream>, body_bytes_max: usize) -> std::io::Result<Self> {
        let stream = stream.into();
        tune(stream.tcp())?;
        let socket = ServerBuilder::new()
            .config(Config::default().flush_threshold(FLUSH_BYTES))
            .limits(Limits::default().max_payload_len(Some(body_bytes_max + 1)))
            .serve(stream);
        let decoder = Decoder::new(body_bytes_max);
        Ok(Self { socket, decoder, outgoing: Bytes::new(), stall: Stall::default(), pong_unsent: false, ahead: None })
    }

    /// The next frame. Sends what the outbox holds while it waits. `None` when the peer closed the connection, or when
    /// the outbox was closed; [`finish`](Self::finish) sends the rest. Cancel-safe.
    ///
    /// # Errors
    /// If the connection is of no more use.
    pub async fn recv(&mut self, outbox: &Outbox) -> Result<Option<Frame>, ConnectionError> {
        poll_fn(|cx| self.poll_recv(cx, outbox)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<Option<Frame>, ConnectionError>> {
        loop {
            if self.poll_send(cx, outbox)?.is_ready() {
                return Poll::Ready(Ok(None));
            }
            // The library queues its answers to pings without a limit: one who reads none of them is not heard.
            if self.pong_unsent {
                return Poll::Pending;
            }
            let received = match self.ahead.take() {
                Some(received) => received,
                None => ready!(self.socket.poll_next_unpin(cx)),
            };
            let Some(message) = received else { return Poll::Ready(Ok(None)) };
            if let Some(frame) = self.take(message.map_err(lost)?)? {
                return Poll::Ready(Ok(Some(frame)));
            }
        }
    }

    /// Whether the peer has closed the connection, as far as that shows without waiting: past a message that nobody has
    /// taken yet it is not looked for. What was received is not lost.
    pub fn is_closed_by_peer(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.socket.next().now_or_never();
        }
        match &self.ahead {
            // The socket itself is asked: the runtime may not have heard yet that it is closed.
            None => self.socket.get_mut().is_at_end(),
            Some(Some(Ok(message))) => message.is_close(),
            Some(None | Some(Err(_))) => true,
        }
    }

    /// The frame that a message is; `None` for the messages of the WebSocket protocol itself.
    fn take(&mut self, message: Message) -> Result<Option<Frame>, ConnectionError> {
        if message.is_text() {
            return Err(ConnectionError::WebSocket("a text message came where a binary one should".to_owned()));
        }
        // Pings are answered and closes echoed by the library.
        self.pong_unsent |= message.is_ping();
        if !message.is_binary() {
            return Ok(None);
        }
        let payload: BytesMut = message.into_payload().into();
        Ok(Some(self.decoder.decode_message(payload.freeze())?))
    }

    /// Sends what the outbox holds, now and whenever there is something; ready when the outbox is closed.
    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), ConnectionError>> {
        loop {
            match self.poll_write(cx, outbox) {
                Poll::Ready(written) => written.map_err(lost)?,
                Poll::Pending => return self.stall.poll(cx, outbox),
            }
            self.stall.end();
            self.pong_unsent = false;
            match ready!(outbox.poll_take(cx)) {
                Some(frames) => self.outgoing = frames.freeze(),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes everything that is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), Error>> {
        loop {
            if self.outgoing.is_empty() {
                self.outgoing = outbox.take().freeze();
            }
            if self.outgoing.is_empty() {
                return self.socket.poll_flush_unpin(cx);
            }
            ready!(self.socket.poll_ready_unpin(cx))?;
            if let Some(message) = next_message(&mut self.outgoing) {
                self.socket.start_send_unpin(message)?;
                self.stall.end();
            }
        }
    }

    /// Sends what is left in the outbox, then closes; within [`CLOSE_TIMEOUT`].
    pub async fn finish(mut self, outbox: &Outbox) {
        outbox.close();
        let last_words = async {
            poll_fn(|cx| self.poll_write(cx, outbox)).await?;
            self.socket.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            // Over TLS, the end is said once more.
            self.socket.get_mut().shutdown().await?;
            Ok::<_, Error>(())
        };
        // Whether the peer waited for the last words is its own affair.
        let _ = timeout(CLOSE_TIMEOUT, last_words).await;
    }
}

/// The first of the encoded frames as a message that shares its bytes.
fn next_message(frames: &mut Bytes) -> Option<Message> {
    let header = *frames.first_chunk::<LENGTH_BYTES>()?;
    let frame = frames.split_to(LENGTH_BYTES + u32::from_be_bytes(header) as usize);
    Some(Message::binary(frame.slice(LENGTH_BYTES..)))
}

fn lost(error: Error) -> ConnectionError {
    match error {
        Error::Io(error) => ConnectionError::Io(error),
        Error::PayloadTooLong { len, max_len } => {
            ConnectionError::Frame(pintail_wire::FrameError::TooLarge { length: len, limit: max_len })
        }
        other => ConnectionError::WebSocket(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_websockets::ClientBuilder;

    use super::*;
    use crate::test_pair::{self, BOTH, Cover};

    /// More than the kernel keeps for two ends that do not read.
    const FLOOD_BYTES: usize = 64 << 20;

    async fn pair(cover: Cover) -> (WebSocketConnection, WebSocketStream<Stream>) {
        let (accepted, dialled) = test_pair::pair(cover).await;
        (WebSocketConnection::new(accepted, 1024).unwrap(), ClientBuilder::new().take_over(dialled))
    }

    /// Queues numbered frames until nothing of the last ones can be written any more.
    async fn clog(connection: &mut WebSocketConnection, outbox: &Outbox) -> u32 {
        let mut count = 0;
        while !connection.stall.has_begun() || outbox.queued_bytes() == 0 {
            outbox.push(9, &[&count_to_bytes(count)]).unwrap();
            count += 1;
            if count % 64 == 0 {
                // Given up in the middle of writing, again and again.
                assert!(timeout(Duration::from_millis(1), connection.recv(outbox)).await.is_err());
            }
        }
        count
    }

    fn count_to_bytes(count: u32) -> [u8; 1024] {
        let mut bytes = [0; 1024];
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    #[tokio::test]
    async fn nothing_is_lost_when_a_wait_is_given_up_in_the_middle_of_writing() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(FLOOD_BYTES);
            let count = clog(&mut connection, &outbox).await;
            let read = async {
                for number in 0..count {
                    let message = peer.next().await.unwrap().unwrap().into_payload();
                    assert_eq!(&message[1..5], number.to_be_bytes(), "a frame is missing");
                }
            };
            tokio::select! {
                received = connection.recv(&outbox) => panic!("{received:?}"),
                read = timeout(Duration::from_secs(20), read) => read.unwrap(),
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_yet_is_heard() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(FLOOD_BYTES);
            clog(&mut connection, &outbox).await;
            peer.send(Message::binary(&b"\x07hello"[..])).await.unwrap();
            let frame = timeout(Duration::from_secs(5), connection.recv(&outbox)).await.unwrap().unwrap().unwrap();
            assert_eq!((frame.kind, &frame.body[..]), (7, &b"hello"[..]));
        }
    }

    #[tokio::test]
    async fn pings_of_a_peer_that_reads_no_pongs_are_not_hoarded() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(1024);
            let flood = async {
                let mut sent = 0;
                // Full of patience for a machine that is busy; a server that hoards takes it all.
                while sent < FLOOD_BYTES {
                    let pings = async {
                        for _ in 0..256 {
                            peer.feed(Message::ping(vec![0; 125])).await.unwrap();
                        }
                        SinkExt::<Message>::flush(&mut peer).await.unwrap();
                    };
                    if timeout(Duration::from_secs(2), pings).await.is_err() {
                        return sent;
                    }
                    sent += 256 * 125;
                }
                sent
            };
            tokio::select! {
                received = connection.recv(&outbox) => panic!("{received:?}"),
                sent = flood => assert!(sent < FLOOD_BYTES, "everything was taken"),
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_has_closed_is_seen_without_waiting_and_its_frames_are_kept() {
        for (cover, is_polite) in BOTH.into_iter().flat_map(|cover| [(cover, true), (cover, false)]) {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(64);
            assert!(!connection.is_closed_by_peer());
            peer.send(Message::binary(&b"\x07a"[..])).await.unwrap();
            while connection.ahead.is_none() {
                assert!(!connection.is_closed_by_peer());
                tokio::task::yield_now().await;
            }
            assert_eq!(connection.recv(&outbox).await.unwrap().unwrap().kind, 7);
            if is_polite {
                peer.send(Message::close(None, "")).await.unwrap();
            } else {
                drop(peer);
            }
            let closed = async {
                while !connection.is_closed_by_peer() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(5), closed).await.unwrap();
            assert!(!matches!(connection.recv(&outbox).await, Ok(Some(_))));
        }
    }

    #[tokio::test]
    async fn closing_sends_what_is_queued_first() {
        for cover in BOTH {
            let (mut connection, mut peer) = pair(cover).await;
            let outbox = Outbox::new(FLOOD_BYTES);
            for number in 0..1000 {
                outbox.push(9, &[&count_to_bytes(number)]).unwrap();
            }
            outbox.close();
            let read = tokio::spawn(async move {
                let mut count = 0;
                while let Some(Ok(message)) = peer.next().await {
                    count += u32::from(message.is_binary());
                }
                count
            });
            assert_eq!(connection.recv(&outbox).await.unwrap(), None);
            connection.finish(&outbox).await;
            assert_eq!(read.await.unwrap(), 1000);
        }
    }
}

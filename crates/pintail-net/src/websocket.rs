//! Frames over WebSocket: one binary message is one frame, without the length.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use pintail_wire::frame::LENGTH_BYTES;
use pintail_wire::{Decoder, Frame};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Config, Error, Limits, Message, ServerBuilder, WebSocketStream};

use crate::connection::{CLOSE_TIMEOUT, ConnectionError, WRITE_STALL_MAX};
use crate::outbox::Outbox;

/// How many bytes are collected before they are written. What an outbox held is written with one call up to this size.
const FLUSH_BYTES: usize = 16 * 1024;

/// A WebSocket that carries frames.
#[derive(Debug)]
pub struct WebSocketConnection {
    socket: WebSocketStream<TcpStream>,
    decoder: Decoder,
}

impl WebSocketConnection {
    /// Frames over a stream on which the WebSocket handshake is done, with bodies up to `body_bytes_max`.
    ///
    /// # Errors
    /// If the socket does not take its options.
    pub fn new(stream: TcpStream, body_bytes_max: usize) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = ServerBuilder::new()
            .config(Config::default().flush_threshold(FLUSH_BYTES))
            .limits(Limits::default().max_payload_len(Some(body_bytes_max + 1)))
            .serve(stream);
        Ok(Self { socket, decoder: Decoder::new(body_bytes_max) })
    }

    /// The next frame. Sends what the outbox holds while it waits. `None` when the peer closed the connection, or when
    /// the outbox was closed and everything in it is sent. Cancel-safe between frames of the outbox.
    ///
    /// # Errors
    /// If the connection is of no more use.
    pub async fn recv(&mut self, outbox: &Outbox) -> Result<Option<Frame>, ConnectionError> {
        loop {
            self.flush(outbox).await?;
            if outbox.is_closed() {
                return Ok(None);
            }
            tokio::select! {
                message = self.socket.next() => match message {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(lost(error)),
                    Some(Ok(message)) if message.is_binary() => {
                        let payload: BytesMut = message.into_payload().into();
                        return Ok(Some(self.decoder.decode_message(payload.freeze())?));
                    }
                    Some(Ok(message)) if message.is_text() => {
                        return Err(ConnectionError::WebSocket("a text message came where a binary one should".to_owned()));
                    }
                    // Pings are answered and closes echoed by the library.
                    Some(Ok(_)) => {}
                },
                () = outbox.filled() => {}
            }
        }
    }

    /// Writes everything in the outbox; a peer that reads nothing is given up.
    async fn flush(&mut self, outbox: &Outbox) -> Result<(), ConnectionError> {
        let frames = outbox.take();
        if frames.is_empty() {
            return Ok(());
        }
        let write = async {
            for message in messages(frames.freeze()) {
                self.socket.feed(message).await?;
            }
            self.socket.flush().await
        };
        match timeout(WRITE_STALL_MAX, write).await {
            Ok(written) => written.map_err(lost),
            Err(_) => Err(ConnectionError::Stalled),
        }
    }

    /// Sends what is left in the outbox, then closes; within [`CLOSE_TIMEOUT`].
    pub async fn finish(mut self, outbox: &Outbox) {
        outbox.close();
        let last_words = async {
            self.flush(outbox).await?;
            self.socket.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await.map_err(lost)?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, ConnectionError>(())
        };
        // Whether the peer waited for the last words is its own affair.
        let _ = timeout(CLOSE_TIMEOUT, last_words).await;
    }
}

/// The encoded frames as messages that share their bytes.
fn messages(mut frames: Bytes) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        let header = *frames.first_chunk::<LENGTH_BYTES>()?;
        let frame = frames.split_to(LENGTH_BYTES + u32::from_be_bytes(header) as usize);
        Some(Message::binary(frame.slice(LENGTH_BYTES..)))
    })
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

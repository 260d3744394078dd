//! One frame everywhere: length, kind, body.
//!
//! ```text
//! ┌────────────────┬──────┬──────────────┐
//! │ length (u32)   │ kind │ body         │   big-endian; the length counts kind and body
//! └────────────────┴──────┴──────────────┘
//! ```
//!
//! A WebSocket binary message is one frame without the length, which WebSocket has already.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// A kind and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the body is, see [`kind`](crate::kind).
    pub kind: u8,
    /// The rest of the frame.
    pub body: Bytes,
}

/// Bytes that are no frame. The connection that sent them is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The declared length is over the limit; the body was not read.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// What the frame declares.
        length: usize,
        /// What this connection takes.
        limit: usize,
    },
    /// A frame without even a kind.
    #[error("a frame can't be empty: it has at least a kind")]
    Empty,
}

/// Splits a stream of bytes into frames.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    body_bytes_max: usize,
}

impl Decoder {
    /// A decoder that refuses bodies over this limit by their declared length, before it reads them.
    #[must_use]
    pub const fn new(body_bytes_max: usize) -> Self {
        Self { body_bytes_max }
    }

    /// Takes the next whole frame off the front of `buffer`; `None` if it is not all there yet.
    ///
    /// # Errors
    /// If the bytes can't be a frame.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(&header) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(header) as usize;
        self.check(length)?;
        if buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        // The last frame takes the buffer along: to share it would cost more than many a frame.
        let is_last = buffer.len() == LENGTH_BYTES + length;
        let mut frame = if is_last { std::mem::take(buffer) } else { buffer.split_to(LENGTH_BYTES + length) };
        frame.advance(LENGTH_BYTES);
        let kind = frame.get_u8();
        Ok(Some(Frame { kind, body: frame.freeze() }))
    }

    /// Reads a frame that arrived whole, as a WebSocket message does.
    ///
    /// # Errors
    /// If it is empty or over the limit.
    pub fn decode_message(&self, mut message: Bytes) -> Result<Frame, FrameError> {
        self.check(message.len())?;
        let kind = message.get_u8();
        Ok(Frame { kind, body: message })
    }

    fn check(&self, length: usize) -> Result<(), FrameError> {
        let limit = self.body_bytes_max;
        match length {
            0 => Err(FrameError::Empty),
            length if length - 1 > limit => Err(FrameError::TooLarge { length: length - 1, limit }),
            _ => Ok(()),
        }
    }
}

/// Appends a frame with this body.
pub fn encode_frame(buffer: &mut BytesMut, kind: u8, body: &[u8]) {
    encode_frame_parts(buffer, kind, &[body]);
}

/// Appends a frame whose body is these parts in order, each copied once.
///
/// # Panics
/// If the body is 4 GiB or more: our own frames are bounded far below.
pub fn encode_frame_parts(buffer: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(1 + body).expect("our own frames are bounded");
    buffer.reserve(LENGTH_BYTES + 1 + body);
    buffer.put_u32(length);
    buffer.put_u8(kind);
    for part in parts {
        buffer.put_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECODER: Decoder = Decoder::new(16);

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut wire = BytesMut::new();
        encode_frame(&mut wire, 7, b"hello");
        encode_frame_parts(&mut wire, 8, &[b"", b"wor", b"ld"]);
        encode_frame(&mut wire, 9, b"");
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for &byte in &wire {
            buffer.put_u8(byte);
            while let Some(frame) = DECODER.decode(&mut buffer).unwrap() {
                frames.push((frame.kind, frame.body));
            }
        }
        assert_eq!(frames, [(7, Bytes::from("hello")), (8, Bytes::from("world")), (9, Bytes::new())]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_layout_is_length_kind_body() {
        let mut wire = BytesMut::new();
        encode_frame(&mut wire, 0xa1, b"\x01\x02");
        assert_eq!(&wire[..], b"\x00\x00\x00\x03\xa1\x01\x02");
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_the_body_arrives() {
        let mut empty = BytesMut::from(&b"\x00\x00\x00\x00"[..]);
        assert_eq!(DECODER.decode(&mut empty), Err(FrameError::Empty));
        let mut giant = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
        assert!(matches!(DECODER.decode(&mut giant), Err(FrameError::TooLarge { limit: 16, .. })));
        let mut largest = BytesMut::new();
        encode_frame(&mut largest, 1, &[0; 16]);
        assert!(DECODER.decode(&mut largest).unwrap().is_some());
        assert_eq!(DECODER.decode_message(Bytes::new()), Err(FrameError::Empty));
    }
}

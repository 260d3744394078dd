//! One client frame for many sessions: how a broadcast crosses a link once.
//!
//! ```text
//! DELIVER   client kind (1)  head length (1)  count (2)  count × [ session (8)  head ]  shared
//! ```
//!
//! Each session is sent a frame of that client kind whose body is its own head followed by the shared bytes. The
//! gateway copies both into the connection's queue and understands neither.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pintail_core::SessionId;

use crate::{Malformed, kind};

/// The bytes before the first address.
const PREFIX_BYTES: usize = 4;

/// The bytes of a session's id.
const SESSION_BYTES: usize = 8;

/// A delivery as it came off a link, not yet taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliver {
    /// The kind of frame that each session is sent.
    pub client_kind: u8,
    head_bytes: usize,
    addresses: Bytes,
    /// What every session's frame ends with.
    pub shared: Bytes,
}

impl Deliver {
    /// Reads the body of a `DELIVER`.
    ///
    /// # Errors
    /// If it ends before its addresses do.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        let Some(&[client_kind, head_bytes, high, low]) = body.first_chunk::<PREFIX_BYTES>() else {
            return Err(Malformed("a delivery ends inside its prefix".to_owned()));
        };
        body.advance(PREFIX_BYTES);
        let head_bytes = usize::from(head_bytes);
        let addresses_bytes = usize::from(u16::from_be_bytes([high, low])) * (SESSION_BYTES + head_bytes);
        if body.len() < addresses_bytes {
            return Err(Malformed("a delivery ends inside its addresses".to_owned()));
        }
        let addresses = body.split_to(addresses_bytes);
        Ok(Self { client_kind, head_bytes, addresses, shared: body })
    }

    /// Each session with its own head.
    pub fn recipients(&self) -> impl Iterator<Item = (SessionId, &[u8])> {
        self.addresses.chunks_exact(SESSION_BYTES + self.head_bytes).filter_map(|address| {
            let (session, head) = address.split_first_chunk::<SESSION_BYTES>()?;
            Some((SessionId(u64::from_be_bytes(*session)), head))
        })
    }
}

/// Appends a whole `DELIVER` frame. Every head must have the same length; `shared` is its parts in order.
///
/// # Panics
/// If there are more than 65,535 recipients, or heads of different or over 255 bytes' length: our own code's bug.
pub fn encode_deliver<'a, H>(buffer: &mut BytesMut, client_kind: u8, recipients: H, shared: &[&[u8]])
where
    H: ExactSizeIterator<Item = (SessionId, &'a [u8])> + Clone,
{
    let count = u16::try_from(recipients.len()).expect("recipients are bounded");
    let head_bytes = recipients.clone().next().map_or(0, |(_, head)| head.len());
    let shared_bytes: usize = shared.iter().map(|part| part.len()).sum();
    let body_bytes = PREFIX_BYTES + usize::from(count) * (SESSION_BYTES + head_bytes) + shared_bytes;
    buffer.reserve(crate::frame::LENGTH_BYTES + 1 + body_bytes);
    buffer.put_u32(u32::try_from(1 + body_bytes).expect("our own frames are bounded"));
    buffer.put_u8(kind::link::DELIVER);
    buffer.put_u8(client_kind);
    buffer.put_u8(u8::try_from(head_bytes).expect("heads are short"));
    buffer.put_u16(count);
    for (session, head) in recipients {
        assert_eq!(head.len(), head_bytes, "all heads of a delivery have one length");
        buffer.put_u64(session.0);
        buffer.put_slice(head);
    }
    for part in shared {
        buffer.put_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decoder;

    #[test]
    fn each_session_gets_its_head_and_the_shared_bytes() {
        let mut wire = BytesMut::new();
        let recipients = [(SessionId(1), &b"one"[..]), (SessionId(2), &b"two"[..])];
        encode_deliver(&mut wire, 161, recipients.into_iter(), &[b"sha", b"red"]);
        let frame = Decoder::new(1024).decode(&mut wire).unwrap().unwrap();
        assert_eq!(frame.kind, kind::link::DELIVER);
        let deliver = Deliver::decode(frame.body.clone()).unwrap();
        assert_eq!(deliver.client_kind, 161);
        assert_eq!(deliver.shared, "shared");
        assert!(deliver.recipients().eq(recipients));

        for length in 0..frame.body.len() - "shared".len() {
            assert!(Deliver::decode(frame.body.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn a_delivery_may_have_no_heads() {
        let mut wire = BytesMut::new();
        encode_deliver(&mut wire, 145, [(SessionId(7), &[][..])].into_iter(), &[b"x"]);
        let frame = Decoder::new(1024).decode(&mut wire).unwrap().unwrap();
        let deliver = Deliver::decode(frame.body).unwrap();
        assert!(deliver.recipients().eq([(SessionId(7), &[][..])]));
    }
}

//! What crosses a Pintail connection: frames, their kinds, and the messages in them. No IO.
//!
//! The `.proto` files in `proto/` are the contract for control messages; [`game`] and [`deliver`] describe the two
//! binary headers that stand before opaque bytes. `docs/protocol.md` tells the same to authors of other clients.

pub mod deliver;
pub mod frame;
pub mod game;
pub mod games_here;
pub mod heartbeat;
pub mod kind;

/// The control messages between client and gateway, from `proto/client.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod client {
    include!(concat!(env!("OUT_DIR"), "/pintail.client.v1.rs"));
}

/// The control messages on a link, from `proto/link.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub mod link {
    include!(concat!(env!("OUT_DIR"), "/pintail.link.v1.rs"));
}

pub use frame::{Decoder, Frame, FrameError, encode_frame, encode_frame_parts};
pub use prost::Message;

/// The version of the protocol between client and gateway.
pub const CLIENT_VERSION: u32 = 1;

/// The version of the protocol on a link.
pub const LINK_VERSION: u32 = 1;

/// A body that is not what its frame kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the frame's body is malformed: {0}")]
pub struct Malformed(pub String);

impl From<prost::DecodeError> for Malformed {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

impl From<pintail_core::EndReason> for client::GameEndReason {
    fn from(reason: pintail_core::EndReason) -> Self {
        use pintail_core::EndReason;
        match reason {
            EndReason::Finished => Self::Finished,
            EndReason::Abandoned => Self::Abandoned,
            EndReason::Crashed => Self::Crashed,
            EndReason::ServerLost => Self::ServerLost,
            EndReason::Refused => Self::Refused,
            EndReason::ServerStopped => Self::ServerStopped,
        }
    }
}

//! What crosses the clients' connections, by kind of frame.

use pintail_wire::frame::LENGTH_BYTES;
use pintail_wire::kind::client as kind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

/// What clients send.
const RECEIVED: &[(u8, &str)] = &[
    (kind::LOGIN, "login"),
    (kind::PING, "ping"),
    (kind::LOGOUT, "logout"),
    (kind::LOBBY_REQUEST, "lobby_request"),
    (kind::GAME_ATTACH, "game_attach"),
    (kind::GAME_INPUT, "game_input"),
    (kind::GAME_ACK, "game_ack"),
];

/// What clients are sent.
const SENT: &[(u8, &str)] = &[
    (kind::WELCOME, "welcome"),
    (kind::PONG, "pong"),
    (kind::LOBBY_REPLY, "lobby_reply"),
    (kind::LOBBY_EVENT, "lobby_event"),
    (kind::GAME_ATTACHED, "game_attached"),
    (kind::GAME_MESSAGE, "game_message"),
    (kind::GAME_STATE, "game_state"),
    (kind::GAME_ACKED, "game_acked"),
    (kind::GAME_DETACHED, "game_detached"),
    (kind::GAME_ENDED, "game_ended"),
];

/// The bytes of a frame before its body: length and kind.
const HEAD_BYTES: u64 = LENGTH_BYTES as u64 + 1;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Counts frames and bytes. Counting costs two additions: the series of each kind are found once, when it is made.
#[derive(Debug)]
pub(crate) struct Traffic {
    received: Direction,
    sent: Direction,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self { received: Direction::new(RECEIVED), sent: Direction::new(SENT) }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Frames from clients, by kind";
        registry.register("client_frames_received", help, self.received.frames.clone());
        let help = "Bytes of frames from clients, by kind";
        registry.register_with_unit("client_received", help, Unit::Bytes, self.received.bytes.clone());
        let help = "Frames queued for clients, by kind; what closes a connection is counted there";
        registry.register("client_frames_sent", help, self.sent.frames.clone());
        let help = "Bytes of frames queued for clients, by kind";
        registry.register_with_unit("client_sent", help, Unit::Bytes, self.sent.bytes.clone());
    }

    /// A client sent a frame with a body of so many bytes.
    pub(crate) fn received(&self, kind: u8, body_bytes: usize) {
        self.received.count(kind, 1, body_bytes as u64);
    }

    /// So many frames were queued for clients, whose bodies have so many bytes together.
    pub(crate) fn sent(&self, kind: u8, frames: u64, body_bytes: u64) {
        if frames > 0 {
            self.sent.count(kind, frames, body_bytes);
        }
    }
}

#[derive(Debug)]
struct Direction {
    frames: Family<KindLabel, Counter>,
    bytes: Family<KindLabel, Counter>,
    /// One for each known kind, and one for all others.
    counters: Vec<Counters>,
    /// Which of them counts a kind.
    of_kind: [u8; 256],
}

#[derive(Debug)]
struct Counters {
    frames: Counter,
    bytes: Counter,
}

impl Direction {
    fn new(kinds: &[(u8, &'static str)]) -> Self {
        let (frames, bytes) = (Family::<KindLabel, Counter>::default(), Family::<KindLabel, Counter>::default());
        let names = kinds.iter().map(|(_, name)| *name).chain(["other"]);
        let counters = names
            .map(|kind| Counters {
                frames: frames.get_or_create_owned(&KindLabel { kind }),
                bytes: bytes.get_or_create_owned(&KindLabel { kind }),
            })
            .collect();
        let mut of_kind = [kinds.len() as u8; 256];
        for (index, (kind, _)) in kinds.iter().enumerate() {
            of_kind[usize::from(*kind)] = index as u8;
        }
        Self { frames, bytes, counters, of_kind }
    }

    fn count(&self, kind: u8, frames: u64, body_bytes: u64) {
        let counters = &self.counters[usize::from(self.of_kind[usize::from(kind)])];
        counters.frames.inc_by(frames);
        counters.bytes.inc_by(frames * HEAD_BYTES + body_bytes);
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn frames_are_counted_by_kind_with_their_heads() {
        let traffic = Traffic::new();
        let mut registry = Registry::default();
        traffic.register(&mut registry);
        traffic.received(kind::GAME_INPUT, 64);
        traffic.received(77, 1);
        traffic.sent(kind::GAME_STATE, 3, 300);
        traffic.sent(kind::GAME_MESSAGE, 0, 0);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "client_frames_received_total{kind=\"game_input\"} 1\n",
            "client_received_bytes_total{kind=\"game_input\"} 69\n",
            "client_received_bytes_total{kind=\"other\"} 6\n",
            "client_frames_sent_total{kind=\"game_state\"} 3\n",
            "client_sent_bytes_total{kind=\"game_state\"} 315\n",
            "client_sent_bytes_total{kind=\"game_message\"} 0\n",
        ] {
            assert!(text.contains(line), "no {line} in {text}");
        }
    }
}

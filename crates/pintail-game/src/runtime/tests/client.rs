//! A client of the stories.

use bytes::Bytes;
use pintail_core::{GameId, Generation, Seq, Step};
use pintail_engine::stream::{Arrival, Incoming, Outgoing};
use pintail_net::LinkId;
use pintail_wire::client::{GameAttached, GameDetachReason, GameDetached, GameEndReason, GameEnded};
use pintail_wire::{Message as _, game, kind};

/// What a client was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Attached { received: u64, next: u64 },
    Detached(GameDetachReason, bool),
    Message(String),
    State(String),
    Acked(u64),
    Ended(GameEndReason, String),
}

/// A client as it should be: it numbers, acknowledges and remembers as the protocol says.
pub(super) struct Client {
    pub(super) link: LinkId,
    pub(super) generation: Generation,
    pub(super) game: GameId,
    pub(super) outgoing: Outgoing<()>,
    pub(super) incoming: Incoming,
    pub(super) seen: Vec<Seen>,
    /// Whether its stream is open.
    pub(super) is_open: bool,
    /// Whether it ever was: before, nothing can be numbered.
    pub(super) was_open: bool,
    /// The last step that a message showed.
    pub(super) step_seen: Step,
    /// Every reliable message (with its number) and state message, with its step.
    pub(super) shown: Vec<(Option<Seq>, Step, Bytes)>,
}

impl Client {
    /// A client that has just logged in.
    pub(super) fn new(game: GameId, link: LinkId) -> Self {
        let (outgoing, incoming) = (Outgoing::new(), Incoming::new());
        let (seen, shown) = (Vec::new(), Vec::new());
        Self {
            link,
            generation: Generation(1),
            game,
            outgoing,
            incoming,
            seen,
            is_open: false,
            was_open: false,
            step_seen: Step(0),
            shown,
        }
    }

    pub(super) fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// The texts of the reliable messages since the last call.
    pub(super) fn take_messages(&mut self) -> Vec<String> {
        let message = |seen| if let Seen::Message(text) = seen { Some(text) } else { None };
        self.take().into_iter().filter_map(message).collect()
    }

    pub(super) fn receive(&mut self, client_kind: u8, body: Bytes) {
        let seen = match client_kind {
            kind::client::GAME_ATTACHED => {
                let attached = GameAttached::decode(body).unwrap();
                self.outgoing.resume_after(Seq(attached.received));
                self.outgoing.acknowledge(Seq(attached.received)).unwrap();
                self.incoming.leap(Seq(attached.next));
                (self.is_open, self.was_open) = (true, true);
                Seen::Attached { received: attached.received, next: attached.next }
            }
            kind::client::GAME_DETACHED => {
                let detached = GameDetached::decode(body).unwrap();
                assert!(!detached.message.is_empty());
                self.is_open = false;
                Seen::Detached(detached.reason(), detached.retry)
            }
            kind::client::GAME_STATE => {
                let state = game::State::decode(body).unwrap();
                self.outgoing.acknowledge(state.ack).unwrap();
                self.step_seen = self.step_seen.max(state.step);
                self.shown.push((None, state.step, state.payload.clone()));
                Seen::State(text(&state.payload))
            }
            kind::client::GAME_ACKED => {
                let acked = game::Acked::decode(body).unwrap();
                self.outgoing.acknowledge(acked.ack).unwrap();
                Seen::Acked(acked.ack.0)
            }
            kind::client::GAME_MESSAGE | kind::client::GAME_ENDED => {
                let message = game::Reliable::decode(body).unwrap();
                self.outgoing.acknowledge(message.ack).unwrap();
                self.step_seen = self.step_seen.max(message.step);
                self.shown.push((Some(message.seq), message.step, message.payload.clone()));
                if self.incoming.accept(message.seq).unwrap() == Arrival::Duplicate {
                    return;
                }
                if client_kind == kind::client::GAME_MESSAGE {
                    Seen::Message(text(&message.payload))
                } else {
                    let ended = GameEnded::decode(message.payload).unwrap();
                    Seen::Ended(ended.reason(), ended.result)
                }
            }
            other => panic!("kind {other}"),
        };
        self.seen.push(seen);
    }
}

fn text(payload: &Bytes) -> String {
    let text = String::from_utf8(payload.to_vec()).unwrap();
    text.trim_matches('"').to_owned()
}

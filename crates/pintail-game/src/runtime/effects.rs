//! What the shell around the host has to do.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pintail_core::{GameId, SessionId};
use pintail_net::LinkId;
use pintail_store::{EndOutcome, GameOrder, JournalWrite, Owner, SavedSnapshot, WithoutServer};
use pintail_wire::client::{GameAttached, GameDetached};
use pintail_wire::{Message as _, deliver, game, kind};

use super::StepTimes;
use crate::self_check::Difference;

/// Something for the shell to do. Commands are done in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Send a client frame to sessions of one gateway.
    Deliver(LinkId, Delivery),
    /// Answer a gateway's heartbeat.
    AnswerHeartbeat(LinkId, Bytes),
    /// Close a link whose gateway sends what no gateway sends.
    CloseLink(LinkId),
    /// Ask the store for a game, and answer with [`HostEvent::Loaded`](super::HostEvent::Loaded).
    Load(GameId),
    /// Tell the store how a game ended, and answer with [`HostEvent::EndAnswered`](super::HostEvent::EndAnswered).
    End {
        /// The game.
        id: GameId,
        /// The owner that ends it.
        owner: Owner,
        /// How it ended.
        outcome: EndOutcome,
    },
    /// Put a game back into a store that lost it, and answer with [`HostEvent::Restored`](super::HostEvent::Restored).
    Restore {
        /// What was ordered.
        order: GameOrder,
        /// Who runs it.
        owner: Owner,
        /// All of it, if it is journaled.
        snapshot: Option<SavedSnapshot>,
    },
    /// Write to a game's journal, and answer with [`HostEvent::Written`](super::HostEvent::Written). A game has at most one
    /// write under way.
    Write(JournalWrite),
    /// Claim games that wait for an owner, and answer with [`HostEvent::Claimed`](super::HostEvent::Claimed).
    Claim {
        /// How many at most.
        limit: u32,
        /// How many of them may be suspects.
        suspects: u32,
    },
    /// Hand a game over to another server, and answer with [`HostEvent::HandedOver`](super::HostEvent::HandedOver).
    HandOver {
        /// The game.
        id: GameId,
        /// The owner that gives it away.
        owner: Owner,
        /// All of it.
        snapshot: SavedSnapshot,
        /// What to do if nobody can take it.
        without_server: WithoutServer,
    },
    /// Tell every gateway that these games were taken over and are here.
    GamesHere(Vec<GameId>),
}

/// One client frame for sessions of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The kind of the frame.
    pub client_kind: u8,
    /// Each session with what only its own frame begins with.
    pub recipients: Vec<(SessionId, Head)>,
    /// What comes next in every frame: at most 20 bytes.
    header: Head,
    /// What every frame ends with. Shared with all other deliveries of the same broadcast.
    pub payload: Bytes,
}

impl Delivery {
    pub(crate) fn new(client_kind: u8, header: &[u8], payload: Bytes) -> Self {
        Self { client_kind, recipients: Vec::new(), header: Head::new(header), payload }
    }

    pub(crate) fn add(&mut self, session: SessionId, head: &[u8]) {
        self.recipients.push((session, Head::new(head)));
    }

    pub(crate) fn to(mut self, session: SessionId, head: &[u8]) -> Self {
        self.add(session, head);
        self
    }

    pub(crate) fn attached(session: SessionId, attached: &GameAttached) -> Self {
        Self::new(kind::client::GAME_ATTACHED, &[], attached.encode_to_vec().into()).to(session, &[])
    }

    pub(crate) fn detached(session: SessionId, detached: &GameDetached) -> Self {
        Self::new(kind::client::GAME_DETACHED, &[], detached.encode_to_vec().into()).to(session, &[])
    }

    pub(crate) fn acked(session: SessionId, acked: game::Acked) -> Self {
        let head = acked.ack.0.to_be_bytes();
        Self::new(kind::client::GAME_ACKED, &acked.game.to_bytes(), Bytes::new()).to(session, &head)
    }

    /// Appends the link frame that carries the delivery.
    pub fn encode(&self, buffer: &mut BytesMut) {
        let recipients = self.recipients.iter().map(|(session, head)| (*session, head.as_slice()));
        deliver::encode_deliver(buffer, self.client_kind, recipients, &[self.header.as_slice(), &self.payload]);
    }
}

/// A few bytes of a frame, kept without an allocation of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl Head {
    /// The longest part of a frame's header: game and step.
    const BYTES_MAX: usize = 20;

    fn new(head: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..head.len()].copy_from_slice(head);
        Self { bytes, length: head.len() as u8 }
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// What happened, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the metrics that they become say what they are")]
pub struct Stats {
    pub games_started: u64,
    pub games_ended: u64,
    pub steps: u64,
    pub fixed_steps_due: u64,
    pub overruns: u64,
    pub inputs: u64,
    pub reliable_messages: u64,
    pub state_messages: u64,
    pub acknowledgements: u64,
    pub detached: u64,
    pub panics: u64,
    pub journal_entries: u64,
    pub journal_bytes: u64,
    pub journal_writes: u64,
    pub snapshots: u64,
    pub takeovers: u64,
    pub replayed_steps: u64,
    pub failed_replays: u64,
    pub moved_games: u64,
    pub fenced_games: u64,
    pub went_unprotected: u64,
    pub differences: u64,
}

/// What the host has decided: commands to be done, and counts to be added.
#[derive(Debug, Default)]
pub struct Effects {
    /// In order.
    pub commands: Vec<Command>,
    /// Since the effects were last taken.
    pub stats: Stats,
    /// How long the steps took that are counted there.
    pub step_times: StepTimes,
    /// What showed that a game is not deterministic. The host tells it.
    pub(crate) differences: Vec<(Arc<GameOrder>, Difference)>,
}

impl Effects {
    pub(crate) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(crate) fn deliver(&mut self, link: LinkId, delivery: Delivery) {
        match delivery.client_kind {
            kind::client::GAME_STATE => self.stats.state_messages += delivery.recipients.len() as u64,
            kind::client::GAME_ACKED => self.stats.acknowledgements += delivery.recipients.len() as u64,
            kind::client::GAME_MESSAGE | kind::client::GAME_ENDED => {
                self.stats.reliable_messages += delivery.recipients.len() as u64;
            }
            _ => {}
        }
        self.push(Command::Deliver(link, delivery));
    }
}

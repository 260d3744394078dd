//! Stories about a host, told through real frames: a world of clients, links and a store that does what the test says.

mod client;
mod cluster;
mod endings;
mod games;
mod pace;
mod store;
mod streams;
mod turns;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pintail_core::{
    Durability, Epoch, GameId, Generation, Incarnation, Kind, PlayerName, RoomId, Round, Seq, SessionId, Slot,
};
use pintail_engine::stream::{Incoming, Outgoing};
use pintail_net::LinkId;
use pintail_store::{EndOutcome, EndReason, GameOrder, GameRecord, OrderedPlayer, Owner, SavedGame, SavedJournal};
use pintail_wire::client::{GameDetachReason, GameEndReason};
use pintail_wire::deliver::Deliver;
use pintail_wire::link::{Attach, Detach};
use pintail_wire::{Decoder, Frame, Message as _, game, kind};

use client::{Client, Seen};
use games::{Metronome, Order, Probe};

use super::host::StoreFailed;
use super::{Budget, Command, Effects, GameHost, HostEvent, JournalPolicy, Now};
use crate::GameTypes;

const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };
const OTHER_GAME: GameId = GameId { room: RoomId(8), round: Round(1) };
const INCARNATION: Incarnation = Incarnation(99);
const LINK: LinkId = LinkId(1);
const OTHER_LINK: LinkId = LinkId(2);
const ANN: SessionId = SessionId(100);
const BOB: SessionId = SessionId(101);
const SLOT: Slot = Slot::new(Kind::Game, 0);

/// A turn that is never cut short.
const ENDLESS: Budget<'static> = Budget::new(&Now::default, Now(Duration::MAX));

/// One host and everything around it.
struct World {
    host: GameHost,
    now: Now,
    fx: Effects,
    clients: BTreeMap<SessionId, Client>,
    /// What the store has.
    records: BTreeMap<GameId, GameRecord>,
    store_is_away: bool,
    /// Commands other than deliveries and calls to the store.
    others: Vec<Command>,
    ends: Vec<(GameId, EndOutcome)>,
    stats: super::Stats,
}

impl World {
    fn new() -> Self {
        let types = GameTypes::new().with::<Probe>().with::<Metronome>();
        let mut host = GameHost::new(Arc::new(types), INCARNATION, JournalPolicy::default(), 5);
        let mut fx = Effects::default();
        host.handle(Now::default(), HostEvent::Joined(SLOT), &mut fx);
        Self {
            host,
            now: Now::default(),
            fx,
            clients: BTreeMap::new(),
            records: BTreeMap::new(),
            store_is_away: false,
            others: Vec::new(),
            ends: Vec::new(),
            stats: super::Stats::default(),
        }
    }

    /// A world in which Ann and Bob play this game and are attached.
    fn playing(game_type: &str) -> Self {
        let mut world = Self::new();
        world.place(GAME, game_type, "");
        world.attach_new(ANN);
        world.attach_new(BOB);
        world
    }

    fn place(&mut self, id: GameId, game_type: &str, settings: &str) {
        self.order(id, game_type, settings);
        self.event(HostEvent::Placed(id));
    }

    fn order(&mut self, id: GameId, game_type: &str, settings: &str) {
        let player = |session, name| OrderedPlayer { session, name: PlayerName::new(name).unwrap() };
        let order = GameOrder {
            id,
            game_type: game_type.parse().unwrap(),
            durability: Durability::Ephemeral,
            settings: settings.to_owned(),
            players: vec![player(ANN, "Ann"), player(BOB, "Bob")],
            seed: 1,
            lobby: Slot::new(Kind::Lobby, 0),
            trace: None,
        };
        let owner = Owner { slot: SLOT, incarnation: INCARNATION, epoch: Epoch(1) };
        self.records.insert(id, GameRecord { order, owner, outcome: None });
    }

    /// Something happens, and everything that it leads to by itself.
    fn event(&mut self, event: HostEvent) {
        self.hold(event);
        self.settle();
    }

    /// Something happens, together with what comes next.
    fn hold(&mut self, event: HostEvent) {
        self.host.handle(self.now, event, &mut self.fx);
    }

    fn settle(&mut self) {
        loop {
            self.host.advance(self.now, &ENDLESS, &mut self.fx);
            self.count();
            let commands = std::mem::take(&mut self.fx.commands);
            if commands.is_empty() {
                return;
            }
            commands.into_iter().for_each(|command| self.carry_out(command));
        }
    }

    fn count(&mut self) {
        let stats = std::mem::take(&mut self.fx.stats);
        self.stats.steps += stats.steps;
        self.stats.overruns += stats.overruns;
        self.stats.panics += stats.panics;
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Deliver(link, delivery) => {
                let mut wire = BytesMut::new();
                delivery.encode(&mut wire);
                let frame = Decoder::new(1 << 20).decode(&mut wire).unwrap().unwrap();
                let deliver = Deliver::decode(frame.body).unwrap();
                for (session, head) in deliver.recipients() {
                    let body = Bytes::from([head, &deliver.shared].concat());
                    // A gateway gives a frame to the session's current connection, if it has it.
                    if let Some(client) = self.clients.get_mut(&session).filter(|client| client.link == link) {
                        client.receive(deliver.client_kind, body);
                    }
                }
            }
            Command::Load(id) => {
                let answer = if self.store_is_away {
                    Err(StoreFailed::Away)
                } else {
                    Ok(self.records.get(&id).cloned().map(unwritten))
                };
                self.hold(HostEvent::Loaded(id, answer));
            }
            Command::End { id, owner, outcome } => {
                assert_eq!(owner.incarnation, INCARNATION);
                let answer = if self.store_is_away {
                    Err(StoreFailed::Away)
                } else {
                    self.ends.push((id, outcome.clone()));
                    Ok(self.records.get_mut(&id).map(|record| record.outcome = Some(outcome)).is_some())
                };
                self.hold(HostEvent::EndAnswered(id, owner.epoch, answer));
            }
            other => self.others.push(other),
        }
    }

    /// Time goes by, as a loop sees it that wakes when the host asks to be woken.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(due) = self.host.next_due().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.settle();
        }
        self.now = until;
    }

    /// Time goes by, and the server notices none of it.
    fn stall(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.settle();
    }

    fn attach_new(&mut self, session: SessionId) {
        self.clients.insert(session, Client::new(GAME, LINK));
        self.attach(session);
    }

    /// The client attaches, and sends again what the game does not have.
    fn attach(&mut self, session: SessionId) {
        let client = &self.clients[&session];
        let attach = Attach {
            session: session.0,
            generation: client.generation.0,
            room: client.game.room.0,
            round: client.game.round.0,
            received: client.incoming.received().0,
            step_seen: 0,
            acknowledged: client.outgoing.first_unacked().0 - 1,
        };
        self.frame(client.link, kind::link::ATTACH, attach.encode_to_vec());
        let client = &self.clients[&session];
        let again: Vec<_> = client.outgoing.unacked().map(|(seq, (), payload)| (seq, payload.clone())).collect();
        for (seq, payload) in again {
            self.send_input(session, seq, &payload);
        }
    }

    /// The client connects again, through this link, and attaches.
    fn reconnect(&mut self, session: SessionId, link: LinkId) {
        let client = self.clients.get_mut(&session).unwrap();
        client.link = link;
        client.generation = Generation(client.generation.0 + 1);
        self.attach(session);
    }

    fn detach(&mut self, session: SessionId) {
        let client = &self.clients[&session];
        let detach = Detach {
            session: session.0,
            generation: client.generation.0,
            room: client.game.room.0,
            round: client.game.round.0,
        };
        self.frame(client.link, kind::link::DETACH, detach.encode_to_vec());
    }

    fn input(&mut self, session: SessionId, order: &Order) {
        self.raw_input(session, &serde_json::to_vec(order).unwrap());
    }

    fn say(&mut self, session: SessionId, text: &str) {
        self.input(session, &Order::Say(text.to_owned()));
    }

    fn raw_input(&mut self, session: SessionId, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let seq = self.number_input(session, &payload);
        self.send_input(session, seq, &payload);
    }

    /// The client sends an input that is lost on its way.
    fn number_input(&mut self, session: SessionId, payload: &Bytes) -> Seq {
        self.clients.get_mut(&session).unwrap().outgoing.push((), payload.clone()).unwrap()
    }

    fn send_input(&mut self, session: SessionId, seq: Seq, payload: &Bytes) {
        let (link, body) = self.input_frame(session, seq, payload);
        self.frame(link, kind::link::INPUT, body);
    }

    fn input_frame(&mut self, session: SessionId, seq: Seq, payload: &Bytes) -> (LinkId, Vec<u8>) {
        let client = self.clients.get_mut(&session).unwrap();
        let header = game::Input::header(client.game, seq, client.incoming.tell());
        (client.link, [&session.0.to_be_bytes()[..], &header, payload].concat())
    }

    fn ack(&mut self, session: SessionId) {
        let client = self.clients.get_mut(&session).unwrap();
        let ack = game::Ack { game: client.game, ack: client.incoming.tell() };
        let link = client.link;
        self.frame(link, kind::link::ACK, [&session.0.to_be_bytes()[..], &ack.encode()].concat());
    }

    fn frame(&mut self, link: LinkId, kind: u8, body: impl Into<Bytes>) {
        self.event(HostEvent::Frame(link, Frame { kind, body: body.into() }));
    }

    fn client(&mut self, session: SessionId) -> &mut Client {
        self.clients.get_mut(&session).unwrap()
    }

    fn take(&mut self, session: SessionId) -> Vec<Seen> {
        self.client(session).take()
    }

    fn take_messages(&mut self, session: SessionId) -> Vec<String> {
        self.client(session).take_messages()
    }

    /// How the store was told that the game ended, if once and no more.
    fn end_reason(&self, id: GameId) -> Option<EndReason> {
        let ends: Vec<_> = self.ends.iter().filter(|(other, _)| *other == id).collect();
        assert!(ends.len() <= 1, "{ends:?}");
        ends.first().map(|(_, outcome)| outcome.reason)
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn message(text: &str) -> Seen {
    Seen::Message(text.to_owned())
}

/// A game of which nothing was kept yet.
fn unwritten(record: GameRecord) -> SavedGame {
    SavedGame { record, attempts: 0, journal: SavedJournal::default() }
}

//! A machine against a model of gateway and game, over a connection that is cut at random moments.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use pintail_core::{Seq, Step};
use pintail_engine::stream::{Arrival, Incoming, Outgoing};
use pintail_wire::client::{GameAttach, GameDetachReason, GameDetached, RoomReply, RoomState, lobby_reply};
use pintail_wire::game::{Ack, Input, Reliable, shared_header};
use pintail_wire::{Frame, Message, kind};
use proptest::prelude::*;

use super::rig::{GAME, ROOM, Rig, game_attached, reply_body, room};
use super::{Command, Happening, Sendable};
use crate::{Disconnect, Event};

/// The other side: a gateway that logs everybody in and a game that outlives connections.
#[derive(Default)]
struct Game {
    outgoing: Outgoing<()>,
    incoming: Incoming,
    is_attached: bool,
    inputs: Vec<u64>,
    messages: u64,
}

/// The connection between them: frames on their way.
#[derive(Default)]
struct Wire {
    to_game: VecDeque<(u8, Bytes)>,
    to_client: VecDeque<(u8, Bytes)>,
}

struct World {
    rig: Rig,
    game: Game,
    wire: Wire,
    sent: u64,
    arrived: Vec<u64>,
    /// What the application knows.
    is_attached: bool,
    is_paused: bool,
}

#[derive(Debug, Clone)]
enum Action {
    Send,
    GameSends,
    ToGame(usize),
    ToClient(usize),
    Cut,
    GameDetaches,
    Wait(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => Just(Action::Send),
        4 => Just(Action::GameSends),
        4 => (1_usize..10).prop_map(Action::ToGame),
        4 => (1_usize..10).prop_map(Action::ToClient),
        1 => Just(Action::Cut),
        1 => Just(Action::GameDetaches),
        2 => (1_u64..300).prop_map(Action::Wait),
    ];
    prop::collection::vec(action, 1..200)
}

impl Game {
    fn reliable(&mut self, seq: Seq, payload: &[u8]) -> (u8, Bytes) {
        let head = Reliable::head(seq, self.incoming.tell());
        (kind::client::GAME_MESSAGE, [&head[..], &shared_header(GAME, Step(seq.0)), payload].concat().into())
    }

    /// It sends again what was acknowledged by the attach alone: the client must know what it has.
    fn attach(&mut self, attach: &GameAttach) -> Vec<(u8, Bytes)> {
        self.is_attached = true;
        assert!(Seq(attach.received) <= self.outgoing.sent());
        let attached = game_attached(self.incoming.tell().0, self.outgoing.first_unacked().0);
        let mut frames = vec![(kind::client::GAME_ATTACHED, attached.encode_to_vec().into())];
        let again: Vec<_> = self.outgoing.unacked().map(|(seq, (), payload)| (seq, payload.clone())).collect();
        frames.extend(again.into_iter().map(|(seq, payload)| self.reliable(seq, &payload)));
        frames
    }

    fn input(&mut self, input: &Input) {
        self.outgoing.acknowledge(input.ack).unwrap();
        if self.incoming.accept(input.seq).unwrap() == Arrival::New {
            self.inputs.push(input.payload.clone().get_u64());
        }
    }
}

impl World {
    fn new() -> Self {
        let rig = Rig::new();
        let (game, wire) = (Game::default(), Wire::default());
        Self { rig, game, wire, sent: 0, arrived: Vec::new(), is_attached: false, is_paused: false }
    }

    fn apply(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Dial(_) => {
                    let commands = self.rig.tell(Happening::Connected);
                    self.apply(commands);
                }
                Command::Hangup => self.drop_wire(),
                Command::Frame(kind, body) => self.wire.to_game.push_back((kind, body)),
                Command::Emit(Event::GameMessage { mut payload, .. }) => {
                    assert!(self.is_attached && !self.is_paused, "a message in a pause");
                    self.arrived.push(payload.get_u64());
                }
                Command::Emit(Event::GameAttached { resynchronised, .. }) => {
                    assert!(!resynchronised && !self.is_attached);
                    (self.is_attached, self.is_paused) = (true, false);
                }
                Command::Emit(Event::GamePaused { .. }) => {
                    assert!(self.is_attached && !std::mem::replace(&mut self.is_paused, true), "told twice");
                }
                Command::Emit(Event::GameResumed { resynchronised, .. }) => {
                    assert!(!resynchronised && std::mem::replace(&mut self.is_paused, false), "there was no pause");
                }
                Command::Emit(_) | Command::Identify(_) | Command::Answer(..) => {}
                Command::End(why) => panic!("the client ended: {why}"),
            }
        }
    }

    fn drop_wire(&mut self) {
        self.wire = Wire::default();
        self.game.is_attached = false;
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Send => self.send(),
            Action::GameSends => self.game_sends(),
            Action::ToGame(count) => (0..count).for_each(|_| self.deliver_to_game()),
            Action::ToClient(count) => (0..count).for_each(|_| self.deliver_to_client()),
            Action::Cut => {
                self.drop_wire();
                let commands = self.rig.tell(Happening::Lost(Disconnect::Closed));
                self.apply(commands);
            }
            Action::GameDetaches => self.game_detaches(),
            Action::Wait(ms) => {
                let commands = self.rig.wait(Duration::from_millis(ms));
                self.apply(commands);
            }
        }
    }

    fn send(&mut self) {
        if self.rig.machine.can_send(GAME, 8) == Sendable::Now {
            self.sent += 1;
            let payload = Bytes::copy_from_slice(&self.sent.to_be_bytes());
            let commands = self.rig.tell(Happening::Input(payload));
            self.apply(commands);
        }
    }

    fn game_sends(&mut self) {
        self.game.messages += 1;
        let payload = Bytes::copy_from_slice(&self.game.messages.to_be_bytes());
        let seq = self.game.outgoing.push((), payload.clone()).unwrap();
        if self.game.is_attached {
            let frame = self.game.reliable(seq, &payload);
            self.wire.to_client.push_back(frame);
        }
    }

    fn game_detaches(&mut self) {
        if std::mem::take(&mut self.game.is_attached) {
            let reason = GameDetachReason::ServerUnreachable.into();
            let detached = GameDetached { room: ROOM, round: 1, reason, message: String::new(), retry: true };
            self.wire.to_client.push_back((kind::client::GAME_DETACHED, detached.encode_to_vec().into()));
        }
    }

    fn deliver_to_client(&mut self) {
        let Some((kind, body)) = self.wire.to_client.pop_front() else { return };
        let commands = self.rig.tell(Happening::Frame(Frame { kind, body }));
        self.apply(commands);
    }

    fn deliver_to_game(&mut self) {
        let Some((kind, mut body)) = self.wire.to_game.pop_front() else { return };
        let back = &mut self.wire.to_client;
        match kind {
            kind::client::LOGIN => {
                let welcome = self.rig.welcome(true).encode_to_vec();
                back.push_back((kind::client::WELCOME, welcome.into()));
            }
            kind::client::LOBBY_REQUEST => {
                let reply = RoomReply { room: Some(room(1, RoomState::Playing)) };
                let reply = reply_body(body.get_u64(), lobby_reply::Reply::Room(reply));
                back.push_back((kind::client::LOBBY_REPLY, reply.into()));
            }
            kind::client::GAME_ATTACH => back.extend(self.game.attach(&GameAttach::decode(body).unwrap())),
            // A gateway drops what comes for a stream that is not open.
            kind::client::GAME_INPUT if self.game.is_attached => self.game.input(&Input::decode(body).unwrap()),
            kind::client::GAME_ACK if self.game.is_attached => {
                self.game.outgoing.acknowledge(Ack::decode(body).unwrap().ack).unwrap();
            }
            kind::client::PING => back.push_back((kind::client::PONG, body)),
            kind::client::GAME_INPUT | kind::client::GAME_ACK => {}
            other => panic!("the client sent a frame of kind {other}"),
        }
    }

    /// Lets everything arrive that is still on its way or to be sent again.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.act(&Action::Wait(100));
            while !self.wire.to_game.is_empty() || !self.wire.to_client.is_empty() {
                self.deliver_to_game();
                self.deliver_to_client();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_input_and_message_arrives_exactly_once_and_in_order(actions in actions()) {
        let mut world = World::new();
        world.settle();
        for action in &actions {
            world.act(action);
        }
        world.settle();
        prop_assert_eq!(&world.game.inputs, &(1..=world.sent).collect::<Vec<_>>());
        prop_assert_eq!(&world.arrived, &(1..=world.game.messages).collect::<Vec<_>>());
        prop_assert!(world.game.outgoing.is_settled(), "the client acknowledged everything");
        prop_assert!(world.is_attached && !world.is_paused, "the application knows that the game goes on");
    }
}

//! A machine under test, with hands to feed it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_core::{GameId, RequestId, ResumeToken, RoomId, Round, SessionId};
use pintail_engine::backoff::BackoffPolicy;
use pintail_wire::client::{
    GameAttached, LobbyReply, LobbyRequest, Member, Room, RoomReply, RoomState, Welcome, lobby_reply, lobby_request,
};
use pintail_wire::{Frame, Message, kind};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::{Command, Happening, Machine, Sendable};
use crate::{Address, ClientConfig, Disconnect, Event};

pub(super) const FIRST_REQUEST: u64 = 1000;
pub(super) const ROOM: u64 = 5;
pub(super) const GAME: GameId = GameId { room: RoomId(ROOM), round: Round(1) };

pub(super) struct Rig {
    pub(super) machine: Machine,
    pub(super) now: Instant,
    pub(super) token: ResumeToken,
}

impl Rig {
    /// A client with two addresses, not connected.
    pub(super) fn new() -> Self {
        let addresses = ["one:1", "two:2"].map(|text| text.parse::<Address>().unwrap());
        let mut config = ClientConfig::new(addresses, "Ada");
        config.first_address = Some(0);
        config.reconnect_backoff = BackoffPolicy { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        Self::with_config(config)
    }

    pub(super) fn with_config(config: ClientConfig) -> Self {
        Self::with_seed(config, 1)
    }

    /// A client with dice of its own, not connected.
    pub(super) fn seeded(seed: u64) -> Self {
        Self::with_seed(ClientConfig::new(["one:1".parse().unwrap()], "Ada"), seed)
    }

    pub(super) fn with_seed(config: ClientConfig, seed: u64) -> Self {
        let now = Instant::now();
        let machine = Machine::new(config, now, RequestId(FIRST_REQUEST), SmallRng::seed_from_u64(seed));
        Self { machine, now, token: ResumeToken::random() }
    }

    /// A client that is logged in for the first time.
    pub(super) fn online() -> Self {
        let mut rig = Self::new();
        rig.log_in();
        rig
    }

    /// A client whose stream to [`GAME`] is open.
    pub(super) fn playing() -> Self {
        let mut rig = Self::online();
        rig.call(start_game());
        rig.reply(FIRST_REQUEST, room(1, RoomState::Playing));
        rig.attached(0, 1);
        rig
    }

    pub(super) fn tell(&mut self, happening: Happening) -> Vec<Command> {
        self.machine.handle(self.now, happening)
    }

    /// Lets time pass in one leap, as for a client that was not scheduled.
    pub(super) fn leap(&mut self, duration: Duration) -> Vec<Command> {
        self.now += duration;
        self.tell(Happening::Timer)
    }

    /// Lets time pass, with each timer on time.
    pub(super) fn wait(&mut self, duration: Duration) -> Vec<Command> {
        let end = self.now + duration;
        let mut commands = Vec::new();
        while let Some(deadline) = self.machine.deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            commands.extend(self.tell(Happening::Timer));
        }
        self.now = end;
        commands
    }

    /// Waits for the dial, connects and logs in; what the welcome led to.
    pub(super) fn log_in(&mut self) -> Vec<Command> {
        let dialled = self.wait(Duration::from_secs(1));
        assert!(dialled.iter().any(|command| matches!(command, Command::Dial(_))), "{dialled:?}");
        self.tell(Happening::Connected);
        let resumed = self.machine.identity.is_some();
        let welcome = self.welcome(resumed);
        self.message(kind::client::WELCOME, &welcome)
    }

    pub(super) fn welcome(&self, resumed: bool) -> Welcome {
        Welcome {
            session: self.token.session().0,
            resume_token: self.token.to_string(),
            name: "Ada".to_owned(),
            resumed,
            generation: 1,
            ping_interval_ms: 10_000,
            gateway: "Server:Gateway:0".to_owned(),
        }
    }

    pub(super) fn cut(&mut self) -> Vec<Command> {
        self.tell(Happening::Lost(Disconnect::Closed))
    }

    pub(super) fn frame(&mut self, kind: u8, body: impl Into<Bytes>) -> Vec<Command> {
        self.tell(Happening::Frame(Frame { kind, body: body.into() }))
    }

    pub(super) fn message(&mut self, kind: u8, message: &impl Message) -> Vec<Command> {
        self.frame(kind, message.encode_to_vec())
    }

    pub(super) fn call(&mut self, request: lobby_request::Request) -> Vec<Command> {
        let id = self.machine.new_request_id();
        let request = LobbyRequest { request: Some(request) };
        self.tell(Happening::Call { id, request, deadline: self.now + Duration::from_secs(10) })
    }

    pub(super) fn reply(&mut self, id: u64, room: impl Into<Option<Room>>) -> Vec<Command> {
        let reply = lobby_reply::Reply::Room(RoomReply { room: room.into() });
        self.frame(kind::client::LOBBY_REPLY, reply_body(id, reply))
    }

    pub(super) fn attached(&mut self, received: u64, next: u64) -> Vec<Command> {
        self.message(kind::client::GAME_ATTACHED, &game_attached(received, next))
    }

    pub(super) fn send(&mut self, payload: &'static str) -> Vec<Command> {
        assert_eq!(self.machine.can_send(GAME, payload.len()), Sendable::Now);
        self.tell(Happening::Input(Bytes::from_static(payload.as_bytes())))
    }
}

pub(super) fn game_attached(received: u64, next: u64) -> GameAttached {
    GameAttached { room: ROOM, round: 1, received, next, game: "echo".to_owned() }
}

pub(super) fn reply_body(id: u64, reply: lobby_reply::Reply) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    LobbyReply { reply: Some(reply) }.encode(&mut body).unwrap();
    body
}

pub(super) fn start_game() -> lobby_request::Request {
    lobby_request::Request::StartGame(pintail_wire::client::StartGame {})
}

/// The room of round 1 at this version, with everybody in it.
pub(super) fn room(version: u64, state: RoomState) -> Room {
    Room { id: ROOM, version, state: state.into(), round: 1, ..Room::default() }
}

/// The same with this session as a member.
pub(super) fn room_with(session: SessionId, version: u64, state: RoomState) -> Room {
    Room { members: vec![Member { session: session.0, ..Member::default() }], ..room(version, state) }
}

/// The frames among commands.
pub(super) fn frames(commands: &[Command]) -> Vec<(u8, Bytes)> {
    let frames = commands.iter().filter_map(|command| match command {
        Command::Frame(kind, body) => Some((*kind, body.clone())),
        _ => None,
    });
    frames.collect()
}

/// The kinds of the frames among commands.
pub(super) fn kinds(commands: &[Command]) -> Vec<u8> {
    frames(commands).into_iter().map(|(kind, _)| kind).collect()
}

/// The events among commands.
pub(super) fn events(commands: &[Command]) -> Vec<&Event> {
    let events = commands.iter().filter_map(|command| match command {
        Command::Emit(event) => Some(event),
        _ => None,
    });
    events.collect()
}

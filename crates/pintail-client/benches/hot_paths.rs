//! The client's state machine: an input out, a message of the game in.
//!
//! ```text
//! cargo bench -p pintail-client --bench hot_paths                    time
//! cargo bench -p pintail-client --bench hot_paths -- instructions    instructions
//! ```

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_client::machine::{Command, Happening, Machine};
use pintail_client::{Address, ClientConfig, ResumeToken};
use pintail_core::{GameId, RequestId, RoomId, Round, Seq, Step};
use pintail_measure::{Path, Run};
use pintail_wire::client::{GameAttached, Welcome};
use pintail_wire::{Frame, Message, game, kind};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// What is sent: as large as an input or a small answer.
const PAYLOAD: [u8; 64] = [42; 64];

/// The game that all messages are of.
const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

fn main() -> ExitCode {
    pintail_measure::main(PATHS)
}

const PATHS: &[Path] = &[Path::new("client/input-and-message", round_trip), Path::new("client/state-message", state)];

struct Player {
    machine: Machine,
    now: Instant,
    seq: Seq,
}

impl Player {
    /// A client whose stream to the game is open.
    fn new() -> Self {
        let now = Instant::now();
        let address: Address = "one:1".parse().expect("it is an address");
        let config = ClientConfig::new([address], "Ada");
        let machine = Machine::new(config, now, RequestId(1000), SmallRng::seed_from_u64(1));
        let mut player = Self { machine, now, seq: Seq(0) };
        player.log_in();
        player
    }

    fn log_in(&mut self) {
        let token = ResumeToken::random();
        self.tell(Happening::Timer);
        self.tell(Happening::Connected);
        let welcome = Welcome {
            session: token.session().0,
            resume_token: token.to_string(),
            name: "Ada".to_owned(),
            resumed: false,
            generation: 1,
            ping_interval_ms: 10_000,
            gateway: "Server:Gateway:0".to_owned(),
        };
        self.message(kind::client::WELCOME, &welcome);
        self.tell(Happening::Attach(GAME));
        let (room, round) = (GAME.room.0, GAME.round.0);
        self.message(
            kind::client::GAME_ATTACHED,
            &GameAttached { room, round, received: 0, next: 1, game: "echo".to_owned() },
        );
    }

    fn tell(&mut self, happening: Happening) -> Vec<Command> {
        self.now += Duration::from_micros(1);
        self.machine.handle(self.now, happening)
    }

    fn message(&mut self, kind: u8, message: &impl Message) -> Vec<Command> {
        self.tell(Happening::Frame(Frame { kind, body: message.encode_to_vec().into() }))
    }

    /// Sends an input; the game's answer acknowledges it.
    fn round_trip(&mut self) -> usize {
        self.seq = self.seq.next();
        let sent = self.tell(Happening::Input(Bytes::from_static(&PAYLOAD)));
        let head = game::Reliable::head(self.seq, self.seq);
        let body = [&head[..], &game::shared_header(GAME, Step(self.seq.0)), &PAYLOAD].concat();
        let shown = self.tell(Happening::Frame(Frame { kind: kind::client::GAME_MESSAGE, body: body.into() }));
        black_box((&sent, &shown));
        sent.len() + shown.len()
    }

    fn state(&mut self) -> usize {
        self.seq = self.seq.next();
        let head = game::State::head(Seq(0));
        let body = [&head[..], &game::shared_header(GAME, Step(self.seq.0)), &PAYLOAD].concat();
        black_box(self.tell(Happening::Frame(Frame { kind: kind::client::GAME_STATE, body: body.into() }))).len()
    }
}

fn round_trip() -> Run {
    let mut player = Player::new();
    assert!(player.round_trip() >= 2, "a frame goes out and an event to the application, or nothing is measured");
    Box::new(move || {
        black_box(player.round_trip());
    })
}

fn state() -> Run {
    let mut player = Player::new();
    assert!(player.state() >= 1, "the application is told, or nothing is measured");
    Box::new(move || {
        black_box(player.state());
    })
}

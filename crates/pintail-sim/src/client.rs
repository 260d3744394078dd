//! A client: the real state machine of the client library, with a player who makes numbered moves.

use std::time::Instant;

use pintail_client::machine::{Command, Happening, Machine, Sendable};
use pintail_client::{ClientConfig, Disconnect, Ended, Event as ClientEvent, GameId, ResumeToken};
use pintail_core::RequestId;
use pintail_core::limits::STREAM_UNACKED_BYTES_MAX;
use pintail_game::runtime::Now;
use pintail_wire::{Frame, game, kind};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::env::{Alarm, Env, Event, ms};
use crate::invariants::Player;
use crate::ledger::{CONTENT_MIN, Input, Said, Wish};
use crate::network::{ConnId, End, Node, Origin, Packet, Process};

/// One start of a client program.
#[derive(Debug)]
pub struct Client {
    process: Process,
    /// Its session, which outlives it.
    pub token: ResumeToken,
    machine: Machine,
    /// What the machine's clock showed when the run began.
    epoch: Instant,
    conn: Option<ConnId>,
    woken_at: Option<Now>,
    game: Option<GameId>,
    seat: u16,
    moves: u64,
    /// Whether the player makes moves.
    pub is_hushed: bool,
    /// The client has ended, and someone has to start it again.
    pub is_over: bool,
}

impl Client {
    /// Starts a client.
    pub fn start(env: &mut Env, process: Process, token: ResumeToken, epoch: Instant) -> Self {
        let gateways = (0..env.plan.gateways).map(|index| format!("gateway-{index}:5555").parse());
        let addresses: Vec<_> = gateways.filter_map(Result::ok).collect();
        let mut config = ClientConfig::new(addresses, format!("player {:?}", process.node)).resuming(token.clone());
        config.name = "player".to_owned();
        config.auto_attach = false;
        config.connect_timeout = config.reconnect_timeout;
        let rng = SmallRng::seed_from_u64(env.rng.random());
        let now = epoch + env.now.0;
        let machine = Machine::new(config, now, RequestId(env.rng.random()), rng);
        let mut client = Self {
            process,
            token,
            machine,
            epoch,
            conn: None,
            woken_at: None,
            game: None,
            seat: 0,
            moves: 0,
            is_hushed: false,
            is_over: false,
        };
        client.tell(env, Happening::Timer);
        env.after(ms(10), Event::Wake(process, Alarm::Move));
        client
    }

    /// The player goes to a game.
    pub fn play(&mut self, env: &mut Env, game: GameId, seat: u16) {
        self.game = Some(game);
        self.seat = seat;
        if !self.is_over {
            self.tell(env, Happening::Attach(game));
        }
    }

    /// Which game it plays, and in which seat.
    #[must_use]
    pub fn playing(&self) -> Option<(GameId, u16)> {
        self.game.map(|game| (game, self.seat))
    }

    /// How many inputs wait for their acknowledgement.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        let count = self.machine.inputs();
        count.sent - count.acknowledged
    }

    /// The connection, for faults.
    #[must_use]
    pub const fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// It is time for something.
    pub fn wake(&mut self, env: &mut Env, alarm: Alarm) {
        match alarm {
            Alarm::Deadline if self.woken_at.is_some_and(|at| at <= env.now) => {
                self.woken_at = None;
                self.tell(env, Happening::Timer);
            }
            Alarm::Move => self.make_move(env),
            _ => {}
        }
    }

    /// A packet arrived.
    pub fn arrive(&mut self, env: &mut Env, conn: ConnId, packet: Packet) {
        if self.conn != Some(conn) {
            return env.hang_up(conn, End::Dialler);
        }
        match packet {
            Packet::Accept(_) => self.tell(env, Happening::Connected),
            Packet::Refuse | Packet::Reset => self.lose(env),
            Packet::Frame(frame, origin) => {
                self.observe(env, &frame, origin);
                self.tell(env, Happening::Frame(frame));
            }
            Packet::Dial => {}
        }
    }

    fn lose(&mut self, env: &mut Env) {
        if let Some(conn) = self.conn.take() {
            env.hang_up(conn, End::Dialler);
        }
        self.tell(env, Happening::Lost(Disconnect::Closed));
    }

    fn make_move(&mut self, env: &mut Env) {
        let period = env.plan.move_period;
        let wait = env.between(period / 4, period * 2);
        env.after(wait, Event::Wake(self.process, Alarm::Move));
        let Some(game) = self.game.filter(|game| self.machine.game() == Some(*game)) else { return };
        if self.is_hushed || self.machine.can_send(game, 9) != Sendable::Now {
            return;
        }
        // A player of many moves at once, now and then.
        let burst = if env.chance(0.02) { 12 } else { 1 };
        for _ in 0..burst {
            if self.machine.can_send(game, 9) != Sendable::Now {
                return;
            }
            self.moves += 1;
            let Node::Client(index) = self.process.node else { return };
            let life = u64::from(self.process.life);
            let content = CONTENT_MIN + ((index as u64) << 48) + (life << 32) + self.moves;
            let wish = choose_wish(env);
            env.tally.inputs += 1;
            self.tell(env, Happening::Input(Input { content, wish }.encode()));
        }
    }

    fn tell(&mut self, env: &mut Env, happening: Happening) {
        let now = self.epoch + env.now.0;
        for command in self.machine.handle(now, happening) {
            self.execute(env, command);
        }
        self.schedule(env);
    }

    fn schedule(&mut self, env: &mut Env) {
        let Some(deadline) = self.machine.deadline() else { return };
        let at = Now(deadline.saturating_duration_since(self.epoch)).max(env.now);
        if self.woken_at.is_none_or(|earlier| at < earlier || earlier < env.now) {
            self.woken_at = Some(at);
            env.at(at, Event::Wake(self.process, Alarm::Deadline));
        }
    }

    fn execute(&mut self, env: &mut Env, command: Command) {
        match command {
            Command::Dial(index) => {
                let gateway = (index + self.process.life as usize) % env.plan.gateways;
                self.conn = Some(env.dial(self.process, Node::Gateway(gateway)));
            }
            Command::Hangup => {
                if let Some(conn) = self.conn.take() {
                    env.hang_up(conn, End::Dialler);
                }
            }
            Command::Frame(kind, body) => {
                if let Some(conn) = self.conn {
                    self.note_input(env, kind, &body);
                    env.send(conn, End::Dialler, Frame { kind, body }, None);
                }
            }
            Command::Emit(event) => self.happened(env, event),
            Command::End(why) => self.end(env, &why),
            Command::Identify(_) | Command::Answer(..) => {}
        }
    }

    fn end(&mut self, env: &mut Env, why: &Ended) {
        env.trace.note(env.now, None, &[31], || format!("{:?} ended: {why}", self.process.node));
        self.is_over = true;
        env.after(ms(300), Event::Wake(Process { life: self.process.life + 1, ..self.process }, Alarm::Start));
    }

    fn player(&self) -> Player {
        Player { seat: self.seat, life: self.process.life }
    }

    /// An input with its number leaves; whatever was numbered is sent sooner or later.
    fn note_input(&self, env: &mut Env, kind: u8, body: &bytes::Bytes) {
        if kind != kind::client::GAME_INPUT {
            return;
        }
        if let Ok(input) = game::Input::decode(body.clone())
            && let Some(Input { content, .. }) = Input::decode(input.payload)
        {
            env.input_sent(input.game, self.player(), input.seq, content);
        }
    }

    /// What arrives, before the machine takes it.
    fn observe(&self, env: &mut Env, frame: &Frame, origin: Option<Origin>) {
        env.trace.mix_bytes(&frame.body);
        env.frame_shown(self.player(), frame, origin);
    }

    fn happened(&mut self, env: &mut Env, event: ClientEvent) {
        let player = self.player();
        env.trace.note(env.now, self.game, &[17, u64::from(player.seat)], || {
            let text: String = format!("{event:?}").chars().take(200).collect();
            format!("{:?}#{} sees {text}", self.process.node, self.process.life)
        });
        match event {
            ClientEvent::GameAttached { game, resynchronised, .. }
            | ClientEvent::GameResumed { game, resynchronised } => {
                env.attached(game, player, resynchronised);
            }
            ClientEvent::GameMessage { game, step, payload } => {
                if let Some(said) = Said::decode(payload) {
                    env.message_shown(game, player, step, said);
                }
            }
            ClientEvent::GameState { game, step, payload } => {
                if let Some(said) = Said::decode(payload) {
                    env.state_shown(game, player, step, said);
                }
            }
            ClientEvent::GameEnded { game, reason, .. } => env.ended_shown(game, player, reason),
            ClientEvent::GamePaused { game, .. } => env.paused(game, player),
            ClientEvent::GameDetached { game, reason, .. } => env.closed(game, player, reason),
            _ => {}
        }
        env.check(self.game, crate::invariants::bounds::NAME, self.bounded());
    }

    fn bounded(&self) -> Result<(), String> {
        let unacknowledged = self.unacknowledged();
        if unacknowledged as usize * 9 > STREAM_UNACKED_BYTES_MAX {
            return Err(format!("{unacknowledged} inputs wait for their acknowledgement"));
        }
        Ok(())
    }
}

fn choose_wish(env: &mut Env) -> Wish {
    if env.chance(env.plan.endings) && env.now < env.plan.mend {
        if env.chance(0.5) { Wish::End } else { Wish::Panic }
    } else if env.chance(0.3) {
        Wish::Answer
    } else {
        Wish::Nothing
    }
}

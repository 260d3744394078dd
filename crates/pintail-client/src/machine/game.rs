//! The session stream to one game: what is sent, sent again, acknowledged and passed on.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use pintail_core::limits::{
    ACK_AFTER_BYTES, ACK_AFTER_MESSAGES, ACK_DELAY, PENDING_INPUTS_MAX, SEQ_MAX, STREAM_UNACKED_BYTES_MAX,
};
use pintail_core::{GameId, Seq, Step};
use pintail_engine::backoff::Backoff;
use pintail_engine::stream::{Arrival, Incoming, Outgoing, StreamError};
use pintail_wire::client::{GameAttach, GameAttached, GameDetachReason, GameDetached, GameEnded};
use pintail_wire::game::{Ack, INPUT_HEADER_BYTES, Input, Reliable, State};
use pintail_wire::{Malformed, Message, kind};
use rand::rngs::SmallRng;

use super::Command;
use crate::config::{ATTACH_BACKOFF, ATTACH_STABLE_AFTER, ATTACH_TIMEOUT};
use crate::{Event, InputCount, PauseReason};

/// Whether a stream goes on after what just happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Verdict {
    Open,
    /// Its last event was emitted.
    Closed,
}

/// How the stream stands on the current connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No connection. → `Attaching` after the login.
    Offline,
    /// `GAME_ATTACH` was sent. → `Open` by `GAME_ATTACHED`, `Waiting` by `GAME_DETACHED` or when it takes too long.
    Attaching { deadline: Instant },
    /// Messages flow. → `Attaching` by `GAME_DETACHED` or a gap, or `Waiting` if that comes again and again.
    Open { since: Instant },
    /// The stream was refused, or dropped soon after it opened. → `Attaching` then.
    Waiting { until: Instant },
}

/// Whether a stream was open for long enough to be worth opening again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Long,
    /// It was not, or was not open.
    Short,
}

/// The client's end of the stream to one game. It outlives connections.
#[derive(Debug)]
pub(super) struct GameStream {
    game: GameId,
    phase: Phase,
    /// Whether it was ever open. Before, nothing can be numbered: the game may know inputs of this session's earlier life.
    opened: bool,
    outgoing: Outgoing<()>,
    incoming: Incoming,
    /// The bytes of the messages that the game does not know to have arrived.
    untold_bytes: usize,
    /// The highest step that a message has shown.
    step_seen: Step,
    /// The step of the newest state message.
    state_step: Step,
    /// When an acknowledgement goes out alone, if no input carried it by then.
    ack_at: Option<Instant>,
    backoff: Backoff,
}

impl GameStream {
    pub(super) fn new(game: GameId) -> Self {
        Self {
            game,
            phase: Phase::Offline,
            opened: false,
            outgoing: Outgoing::new(),
            incoming: Incoming::new(),
            untold_bytes: 0,
            step_seen: Step(0),
            state_step: Step(0),
            ack_at: None,
            backoff: Backoff::new(ATTACH_BACKOFF),
        }
    }

    pub(super) const fn game(&self) -> GameId {
        self.game
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    pub(super) fn inputs(&self) -> InputCount {
        InputCount { sent: self.outgoing.sent().0, acknowledged: self.outgoing.first_unacked().0.saturating_sub(1) }
    }

    /// Whether an input of this size can be numbered now. A client never has more unacknowledged than a game holds for
    /// one step, so sending them all again after an attach is no flood.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let unacked = self.outgoing.sent().next().0 - self.outgoing.first_unacked().0;
        self.opened
            && unacked < PENDING_INPUTS_MAX as u64
            && self.outgoing.unacked_bytes() + bytes <= STREAM_UNACKED_BYTES_MAX
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Offline => None,
            Phase::Attaching { deadline } => Some(deadline),
            Phase::Waiting { until } => Some(until),
            Phase::Open { .. } => self.ack_at,
        }
    }

    /// The connection is gone; what is not acknowledged waits for the next.
    pub(super) fn offline(&mut self, now: Instant, out: &mut Vec<Command>) {
        self.stop(now, PauseReason::Disconnected, out);
        self.phase = Phase::Offline;
        self.ack_at = None;
    }

    /// Asks to open the stream on the current connection.
    pub(super) fn attach(&mut self, now: Instant, out: &mut Vec<Command>) {
        self.phase = Phase::Attaching { deadline: now + ATTACH_TIMEOUT };
        self.ack_at = None;
        let attach = GameAttach {
            room: self.game.room.0,
            round: self.game.round.0,
            received: self.tell().0,
            step_seen: self.step_seen.0,
            acknowledged: self.inputs().acknowledged,
        };
        out.push(Command::Frame(kind::client::GAME_ATTACH, attach.encode_to_vec().into()));
    }

    pub(super) fn timer(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Vec<Command>) {
        match self.phase {
            Phase::Attaching { deadline } if deadline <= now => self.wait(now, rng),
            Phase::Waiting { until } if until <= now => self.attach(now, out),
            Phase::Open { .. } if self.ack_at.is_some_and(|at| at <= now) => self.send_ack(out),
            _ => {}
        }
    }

    /// Numbers an input, keeps it, and sends it if the stream is open. Call it only if there is [room](Self::has_room).
    pub(super) fn send(&mut self, payload: &Bytes, out: &mut Vec<Command>) {
        let seq = self.outgoing.push((), payload.clone()).expect("the caller saw that there is room");
        if self.is_open() {
            out.push(self.input(seq, payload));
        }
    }

    pub(super) fn attached(&mut self, now: Instant, attached: GameAttached, out: &mut Vec<Command>) -> Verdict {
        if matches!(self.phase, Phase::Offline | Phase::Waiting { .. }) {
            // The answer to an attach that was given up: the next attach brings its own.
            return Verdict::Open;
        }
        let received = Seq(attached.received);
        if attached.received.max(attached.next) > SEQ_MAX.0 {
            return self.close(GameDetachReason::StreamBroken, "the game's numbers can't be".to_owned(), out);
        }
        let is_first = !std::mem::replace(&mut self.opened, true);
        if is_first {
            self.outgoing.resume_after(received);
        }
        if let Err(error) = self.outgoing.acknowledge(received) {
            return self.close(GameDetachReason::StreamBroken, error.to_string(), out);
        }
        if received.next() < self.outgoing.first_unacked() {
            if self.is_open() {
                // The late answer to an attach that was sent twice.
                return Verdict::Open;
            }
            let lost = "the game has lost inputs that it had acknowledged";
            return self.close(GameDetachReason::StreamBroken, lost.to_owned(), out);
        }
        let resynchronised = Seq(attached.next) > self.incoming.received().next();
        self.incoming.leap(Seq(attached.next));
        let game = self.game;
        if is_first {
            out.push(Command::Emit(Event::GameAttached { game, game_type: attached.game, resynchronised }));
        } else if !self.is_open() || resynchronised {
            out.push(Command::Emit(Event::GameResumed { game, resynchronised }));
        }
        if !self.is_open() {
            self.phase = Phase::Open { since: now };
        }
        if resynchronised {
            self.ack_at = Some(now + ACK_DELAY);
            // The game may go on from an earlier state than the one that was shown.
            (self.step_seen, self.state_step) = (Step(0), Step(0));
        }
        self.resend(out);
        Verdict::Open
    }

    pub(super) fn detached(
        &mut self,
        now: Instant,
        detached: GameDetached,
        rng: &mut SmallRng,
        out: &mut Vec<Command>,
    ) -> Verdict {
        if !detached.retry {
            return self.close(detached.reason(), detached.message, out);
        }
        self.interrupt(now, detached.reason(), detached.message, rng, out);
        Verdict::Open
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        message: Reliable,
        rng: &mut SmallRng,
        out: &mut Vec<Command>,
    ) -> Verdict {
        match self.arrival(&message) {
            Ok(Some(Arrival::New)) => self.new_message(now, message, out),
            // The game does not know that it arrived.
            Ok(Some(Arrival::Duplicate)) => self.ack_by(now + ACK_DELAY),
            Ok(None) => {}
            Err(error) => return self.broken(now, error, rng, out),
        }
        Verdict::Open
    }

    /// The last reliable message.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        message: &Reliable,
        rng: &mut SmallRng,
        out: &mut Vec<Command>,
    ) -> Result<Verdict, Malformed> {
        let end = GameEnded::decode(message.payload.clone())?;
        match self.arrival(message) {
            Ok(Some(Arrival::New)) => {}
            Ok(_) => return Ok(Verdict::Open),
            Err(error) => return Ok(self.broken(now, error, rng, out)),
        }
        self.send_ack(out);
        out.push(Command::Emit(Event::GameEnded {
            game: self.game,
            step: message.step,
            reason: end.reason(),
            result: end.result,
            message: end.message,
        }));
        Ok(Verdict::Closed)
    }

    pub(super) fn state(&mut self, state: State, out: &mut Vec<Command>) -> Verdict {
        if !self.is_open() {
            return Verdict::Open;
        }
        // What a game sends again after an attach may be older than what was shown before, and the latest counts. The
        // same one again does no harm.
        if state.step >= self.state_step {
            self.state_step = state.step;
            self.step_seen = self.step_seen.max(state.step);
            out.push(Command::Emit(Event::GameState { game: self.game, step: state.step, payload: state.payload }));
        }
        self.acked(state.ack, out)
    }

    pub(super) fn acked(&mut self, ack: Seq, out: &mut Vec<Command>) -> Verdict {
        if !self.is_open() {
            return Verdict::Open;
        }
        match self.outgoing.acknowledge(ack) {
            Ok(()) => Verdict::Open,
            Err(error) => self.close(GameDetachReason::StreamBroken, error.to_string(), out),
        }
    }

    /// Emits the stream's last event.
    pub(super) fn emit_closed(&self, reason: GameDetachReason, message: String, out: &mut Vec<Command>) {
        out.push(Command::Emit(Event::GameDetached { game: self.game, reason, message }));
    }

    fn close(&self, reason: GameDetachReason, message: String, out: &mut Vec<Command>) -> Verdict {
        self.emit_closed(reason, message, out);
        Verdict::Closed
    }

    /// Takes the numbers of a reliable message; `None` if the stream is not open, when the attach will bring it again.
    fn arrival(&mut self, message: &Reliable) -> Result<Option<Arrival>, StreamError> {
        if !self.is_open() {
            return Ok(None);
        }
        self.outgoing.acknowledge(message.ack)?;
        self.incoming.accept(message.seq).map(Some)
    }

    fn new_message(&mut self, now: Instant, message: Reliable, out: &mut Vec<Command>) {
        self.step_seen = self.step_seen.max(message.step);
        self.untold_bytes += message.payload.len();
        out.push(Command::Emit(Event::GameMessage { game: self.game, step: message.step, payload: message.payload }));
        if self.incoming.untold() >= ACK_AFTER_MESSAGES || self.untold_bytes >= ACK_AFTER_BYTES {
            self.send_ack(out);
        } else {
            self.ack_by(now + ACK_DELAY);
        }
    }

    /// The other side broke the stream's rules. A gap is filled by attaching again; a wrong acknowledgement stays wrong.
    fn broken(&mut self, now: Instant, error: StreamError, rng: &mut SmallRng, out: &mut Vec<Command>) -> Verdict {
        let reason = GameDetachReason::StreamBroken;
        match error {
            StreamError::AckBeyondSent { .. } => self.close(reason, error.to_string(), out),
            StreamError::Gap { .. } => {
                self.interrupt(now, reason, error.to_string(), rng, out);
                Verdict::Open
            }
        }
    }

    /// The stream is dropped by the other side. One that held is opened again at once: the game has moved, and the
    /// gateway knows best when it is there.
    fn interrupt(
        &mut self,
        now: Instant,
        reason: GameDetachReason,
        message: String,
        rng: &mut SmallRng,
        out: &mut Vec<Command>,
    ) {
        match self.stop(now, PauseReason::Detached { reason, message }, out) {
            Hold::Long => self.attach(now, out),
            Hold::Short => self.wait(now, rng),
        }
    }

    /// The stream is not open any more, if it was; the application hears of it once.
    fn stop(&mut self, now: Instant, why: PauseReason, out: &mut Vec<Command>) -> Hold {
        let Phase::Open { since } = self.phase else { return Hold::Short };
        out.push(Command::Emit(Event::GamePaused { game: self.game, why }));
        if now < since + ATTACH_STABLE_AFTER {
            return Hold::Short;
        }
        self.backoff.succeed();
        Hold::Long
    }

    fn wait(&mut self, now: Instant, rng: &mut SmallRng) {
        self.phase = Phase::Waiting { until: now + self.backoff.fail(rng) };
        self.ack_at = None;
    }

    fn resend(&mut self, out: &mut Vec<Command>) {
        let again: Vec<_> = self.outgoing.unacked().map(|(seq, (), payload)| (seq, payload.clone())).collect();
        for (seq, payload) in again {
            let input = self.input(seq, &payload);
            out.push(input);
        }
    }

    /// The frame of an input, which carries the acknowledgement.
    fn input(&mut self, seq: Seq, payload: &[u8]) -> Command {
        self.ack_at = None;
        let mut body = BytesMut::with_capacity(INPUT_HEADER_BYTES + payload.len());
        body.put_slice(&Input::header(self.game, seq, self.tell()));
        body.put_slice(payload);
        Command::Frame(kind::client::GAME_INPUT, body.freeze())
    }

    /// The last message that arrived. Remembers that the game is told.
    fn tell(&mut self) -> Seq {
        self.untold_bytes = 0;
        self.incoming.tell()
    }

    fn ack_by(&mut self, at: Instant) {
        self.ack_at = Some(self.ack_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn send_ack(&mut self, out: &mut Vec<Command>) {
        self.ack_at = None;
        let ack = Ack { game: self.game, ack: self.tell() };
        out.push(Command::Frame(kind::client::GAME_ACK, Bytes::copy_from_slice(&ack.encode())));
    }
}

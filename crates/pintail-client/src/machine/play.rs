//! Which game the client is in.

use std::time::Instant;

use bytes::Bytes;
use pintail_core::{GameId, RoomId};
use pintail_wire::client::{GameAttached, GameDetachReason, GameDetached, Room, RoomState};
use pintail_wire::game::{Acked, Reliable, State};
use pintail_wire::{Frame, Malformed, Message, kind};
use rand::rngs::SmallRng;

use super::game::{GameStream, Verdict};
use super::{Command, Machine, Sendable};
use crate::InputCount;
use crate::config::game_id;

/// The stream to the current game, if there is one. Frames of any other game are late and mean nothing.
#[derive(Debug)]
pub(super) struct Play {
    auto_attach: bool,
    is_online: bool,
    stream: Option<GameStream>,
    /// The last game whose stream was closed for good. Its room may go on saying that it plays.
    over: Option<GameId>,
    /// The inputs of that game.
    over_inputs: InputCount,
}

impl Machine {
    pub(super) fn attach(&mut self, now: Instant, game: GameId, out: &mut Vec<Command>) {
        self.play.attach(now, game, out);
    }
}

impl Play {
    pub(super) fn new(auto_attach: bool) -> Self {
        Self { auto_attach, is_online: false, stream: None, over: None, over_inputs: InputCount::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.as_ref().is_some_and(GameStream::is_open)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.stream.as_ref().and_then(GameStream::deadline)
    }

    pub(super) fn game(&self) -> Option<GameId> {
        self.stream.as_ref().map(GameStream::game)
    }

    /// The inputs of the current game, or of the last one.
    pub(super) fn inputs(&self) -> InputCount {
        self.stream.as_ref().map_or(self.over_inputs, GameStream::inputs)
    }

    pub(super) fn can_send(&self, game: GameId, bytes: usize) -> Sendable {
        match &self.stream {
            Some(stream) if stream.game() != game => Sendable::NoGame,
            Some(stream) if stream.has_room(bytes) => Sendable::Now,
            Some(_) => Sendable::Later,
            None => Sendable::NoGame,
        }
    }

    pub(super) fn send(&mut self, payload: &Bytes, out: &mut Vec<Command>) {
        if let Some(stream) = &mut self.stream {
            stream.send(payload, out);
        }
    }

    pub(super) fn online(&mut self, now: Instant, out: &mut Vec<Command>) {
        self.is_online = true;
        if let Some(stream) = &mut self.stream {
            stream.attach(now, out);
        }
    }

    pub(super) fn offline(&mut self, now: Instant, out: &mut Vec<Command>) {
        self.is_online = false;
        if let Some(stream) = &mut self.stream {
            stream.offline(now, out);
        }
    }

    pub(super) fn timer(&mut self, now: Instant, rng: &mut SmallRng, out: &mut Vec<Command>) {
        if let Some(stream) = &mut self.stream {
            stream.timer(now, rng, out);
        }
    }

    /// Attaches to the game that the room plays, unless it is over.
    pub(super) fn room_changed(&mut self, now: Instant, room: &Room, out: &mut Vec<Command>) {
        let game = game_id(room.id, room.round);
        if self.auto_attach && room.state() == RoomState::Playing && self.over != Some(game) {
            self.attach(now, game, out);
        }
    }

    /// Closes the stream to the game of a room that the session has left.
    pub(super) fn room_left(&mut self, room: RoomId, out: &mut Vec<Command>) {
        if let Some(stream) = self.stream.take_if(|stream| stream.game().room == room) {
            self.leave(&stream, GameDetachReason::NotAPlayer, "the player left the room", out);
        }
    }

    /// Turns to a game. The stream to another one is closed; the one to the same game goes on.
    pub(super) fn attach(&mut self, now: Instant, game: GameId, out: &mut Vec<Command>) {
        if self.stream.as_ref().is_some_and(|stream| stream.game() == game) {
            return;
        }
        if let Some(stream) = self.stream.take() {
            self.leave(&stream, GameDetachReason::NoSuchGame, "another game has begun", out);
        }
        let mut stream = GameStream::new(game);
        if self.is_online {
            stream.attach(now, out);
        }
        self.stream = Some(stream);
    }

    pub(super) fn frame(
        &mut self,
        now: Instant,
        frame: Frame,
        rng: &mut SmallRng,
        out: &mut Vec<Command>,
    ) -> Result<(), Malformed> {
        match frame.kind {
            kind::client::GAME_ATTACHED => {
                let attached = GameAttached::decode(frame.body)?;
                let game = game_id(attached.room, attached.round);
                self.with_stream(game, |stream| Ok(stream.attached(now, attached, out)))
            }
            kind::client::GAME_STATE => {
                let state = State::decode(frame.body)?;
                self.with_stream(state.game, |stream| Ok(stream.state(state, out)))
            }
            kind::client::GAME_ACKED => {
                let acked = Acked::decode(frame.body)?;
                self.with_stream(acked.game, |stream| Ok(stream.acked(acked.ack, out)))
            }
            kind::client::GAME_DETACHED => {
                let detached = GameDetached::decode(frame.body)?;
                let game = game_id(detached.room, detached.round);
                self.with_stream(game, |stream| Ok(stream.detached(now, detached, rng, out)))
            }
            kind::client::GAME_MESSAGE => {
                let message = Reliable::decode(frame.body)?;
                self.with_stream(message.game, |stream| Ok(stream.message(now, message, rng, out)))
            }
            // GAME_ENDED, the only kind that is left.
            _ => {
                let message = Reliable::decode(frame.body)?;
                self.with_stream(message.game, |stream| stream.ended(now, &message, rng, out))
            }
        }
    }

    /// Lets the stream take a frame if the frame is of its game.
    fn with_stream(
        &mut self,
        game: GameId,
        take: impl FnOnce(&mut GameStream) -> Result<Verdict, Malformed>,
    ) -> Result<(), Malformed> {
        let Some(mut stream) = self.stream.take_if(|stream| stream.game() == game) else { return Ok(()) };
        let verdict = take(&mut stream);
        if verdict == Ok(Verdict::Closed) {
            self.over = Some(game);
            self.over_inputs = stream.inputs();
        } else {
            self.stream = Some(stream);
        }
        verdict.map(|_| ())
    }

    /// Closes the stream from this side.
    fn leave(&mut self, stream: &GameStream, reason: GameDetachReason, message: &str, out: &mut Vec<Command>) {
        stream.emit_closed(reason, message.to_owned(), out);
        self.over = Some(stream.game());
        self.over_inputs = stream.inputs();
    }
}

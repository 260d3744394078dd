//! What a handler can see and do beyond its own game's value.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::Step;
use pintail_core::limits::RESULT_BYTES_MAX;
use serde::Serialize;

use super::{Game, Payload, Player, PlayerInfo, Random};
use crate::limits::{PAYLOAD_BYTES_MAX, WAKE_DELAY_MIN};
use crate::runtime::{Emission, Recipients, Turn, Urgency};

/// What a handler can see and do beyond its own game's value.
///
/// Messages are of two kinds. *Reliable* ones arrive exactly once and in order, whatever happens to connections.
/// *State* messages replace one another while they wait, so a slow client gets the latest and not a growing queue.
///
/// # Panics
/// Sending panics if a message is over [`PAYLOAD_BYTES_MAX`] bytes: it would never arrive. That ends the game.
pub struct Context<'a, G> {
    turn: &'a mut Turn,
    game: PhantomData<fn() -> G>,
}

impl<'a, G: Game> Context<'a, G> {
    pub(crate) fn new(turn: &'a mut Turn) -> Self {
        Self { turn, game: PhantomData }
    }

    /// The step that runs. [`Game::new`] runs in step 1.
    #[must_use]
    pub fn step(&self) -> Step {
        self.turn.progress.step
    }

    /// The game's own time: how long ago it began. It stands still during a step. With fixed steps it is counted from
    /// them, so it falls behind the clock when the server does.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.turn.progress.time
    }

    /// Everyone who has not left, by seat.
    pub fn players(&self) -> impl Iterator<Item = PlayerInfo<'_>> {
        let seats = &self.turn.progress.seats;
        Player::seats(seats.len()).zip(seats).filter(|(_, seat)| !seat.left).map(|(player, seat)| PlayerInfo {
            player,
            name: &seat.name,
            connected: seat.connected,
        })
    }

    /// How many seats the game has, those of players who left included.
    #[must_use]
    pub fn seat_count(&self) -> usize {
        self.turn.progress.seats.len()
    }

    /// The name of a player, also of one who left; empty if there is no such seat.
    #[must_use]
    pub fn name(&self, player: Player) -> &str {
        self.turn.progress.seats.get(player.index()).map_or("", |seat| &seat.name)
    }

    /// Whether the player is attached now.
    #[must_use]
    pub fn is_connected(&self, player: Player) -> bool {
        self.turn.progress.seats.get(player.index()).is_some_and(|seat| seat.connected)
    }

    /// This step's random numbers. Further calls in the same step go on in the same stream.
    pub fn rng(&mut self) -> &mut Random {
        let progress = &self.turn.progress;
        let (seed, step) = (progress.seed, progress.step);
        self.turn.random.get_or_insert_with(|| Random::new(seed, step))
    }

    /// Sends a reliable message to a player.
    pub fn send(&mut self, player: Player, message: impl Into<G::Output>) {
        self.emit(Urgency::Reliable, Recipients::One(player), message);
    }

    /// Sends a reliable message to everyone.
    pub fn broadcast(&mut self, message: impl Into<G::Output>) {
        self.emit(Urgency::Reliable, Recipients::All, message);
    }

    /// Sends a reliable message to everyone else.
    pub fn broadcast_except(&mut self, player: Player, message: impl Into<G::Output>) {
        self.emit(Urgency::Reliable, Recipients::AllExcept(player), message);
    }

    /// Sends a state message to a player, if connected.
    pub fn send_state(&mut self, player: Player, message: impl Into<G::Output>) {
        self.emit(Urgency::State, Recipients::One(player), message);
    }

    /// Sends a state message to everyone who is connected.
    pub fn broadcast_state(&mut self, message: impl Into<G::Output>) {
        self.emit(Urgency::State, Recipients::All, message);
    }

    /// Asks for a [`Game::step`] in so long from now, a millisecond at least, instead of any asked for before. For
    /// event-driven games; fixed steps come by themselves.
    pub fn wake_in(&mut self, delay: Duration) {
        self.turn.progress.wake = Some(self.time().saturating_add(delay.max(WAKE_DELAY_MIN)));
    }

    /// Takes back what [`wake_in`](Self::wake_in) asked for.
    pub fn cancel_wake(&mut self) {
        self.turn.progress.wake = None;
    }

    /// Ends the game after this step's messages. The room gets the result as JSON. No handler is called after the one
    /// that runs, and the first end counts.
    ///
    /// # Panics
    /// If JSON can't express the result, or needs over 8 KiB for it.
    pub fn end(&mut self, result: impl Serialize) {
        let result = serde_json::to_string(&result).expect("a game's result has string keys");
        assert!(
            result.len() <= RESULT_BYTES_MAX,
            "the game's result has {} bytes, over {RESULT_BYTES_MAX}",
            result.len()
        );
        self.turn.result.get_or_insert(result);
    }

    fn emit(&mut self, urgency: Urgency, to: Recipients, message: impl Into<G::Output>) {
        let payload: Bytes = message.into().encode();
        let length = payload.len();
        assert!(length <= PAYLOAD_BYTES_MAX, "the game sends a message of {length} bytes, over {PAYLOAD_BYTES_MAX}");
        self.turn.emissions.push(Emission { urgency, to, payload });
    }
}

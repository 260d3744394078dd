//! What a step consumes and produces.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::Step;
use serde::{Deserialize, Serialize};

use crate::api::{BadPayload, Context, Game, LeaveReason, Pace, Payload, Player, Random};
use crate::limits::{EVENT_BYTES, PAYLOAD_BYTES_MAX};

/// Where a game stands, besides its own value. Value, progress and the seats' streams (what each side has, and what
/// is not acknowledged) are together all that a game is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) seed: u64,
    /// The step that runs or ran last.
    pub(crate) step: Step,
    /// The game's own time at that step.
    pub(crate) time: Duration,
    /// When the game wants to be woken, in its own time.
    pub(crate) wake: Option<Duration>,
    pub(crate) seats: Vec<SeatProgress>,
}

/// What the game has been told of a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeatProgress {
    pub(crate) name: String,
    pub(crate) joined: bool,
    pub(crate) connected: bool,
    pub(crate) left: bool,
}

/// Something that happens to a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The player is attached, for the first time or again.
    Attached(Player),
    /// The player's connection is lost.
    Detached(Player),
    /// The player is gone for good.
    Left(Player, LeaveReason),
    /// The player missed messages for good.
    Behind(Player),
    /// The player sent this.
    Input(Player, Bytes),
}

impl Event {
    /// Whom it happens to.
    pub(crate) const fn player(&self) -> Player {
        match self {
            Self::Attached(player)
            | Self::Detached(player)
            | Self::Left(player, _)
            | Self::Behind(player)
            | Self::Input(player, _) => *player,
        }
    }

    /// How many bytes it takes about.
    pub(crate) const fn weight(&self) -> usize {
        match self {
            Self::Input(_, payload) => EVENT_BYTES + payload.len(),
            _ => EVENT_BYTES,
        }
    }
}

/// Everything that a step consumes. The same batches on the same game give the same messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The game's own time at the step.
    pub(crate) time: Duration,
    pub(crate) events: Vec<Event>,
}

/// How a message goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Exactly once, in order.
    Reliable,
    /// The latest wins.
    State,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipients {
    /// This player.
    One(Player),
    /// Everyone who has not left.
    All,
    /// Everyone else.
    AllExcept(Player),
}

impl Recipients {
    pub(crate) fn include(self, player: Player) -> bool {
        match self {
            Self::One(one) => one == player,
            Self::All => true,
            Self::AllExcept(except) => except != player,
        }
    }
}

/// A message of a game, encoded once for all whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// How it goes out.
    pub urgency: Urgency,
    /// Whom it is for.
    pub to: Recipients,
    /// What the game sent.
    pub payload: Bytes,
}

/// What handlers see and change through their [`Context`].
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) progress: Progress,
    /// This step's random numbers, once the game asked for some.
    pub(crate) random: Option<Random>,
    /// The messages of this step.
    pub(crate) emissions: Vec<Emission>,
    /// The inputs of this step that could not be read.
    pub(crate) unreadable: Vec<(Player, BadPayload)>,
    /// What the game said about its end (JSON), once it ended.
    pub(crate) result: Option<String>,
}

impl Turn {
    /// The turn in which a game begins: step 1, at the beginning of its time.
    pub(crate) fn first(seed: u64, names: impl IntoIterator<Item = String>) -> Self {
        let seat = |name| SeatProgress { name, joined: false, connected: false, left: false };
        let seats = names.into_iter().map(seat).collect();
        Self::resume(Progress { seed, step: Step(1), time: Duration::ZERO, wake: None, seats })
    }

    /// The turn of a game that stands here.
    pub(crate) fn resume(progress: Progress) -> Self {
        Self { progress, random: None, emissions: Vec::new(), unreadable: Vec::new(), result: None }
    }

    /// Whether every player is gone for good.
    pub(crate) fn is_deserted(&self) -> bool {
        self.progress.seats.iter().all(|seat| seat.left)
    }

    /// Runs one step of `game`.
    pub(crate) fn apply<G: Game>(&mut self, game: &mut G, batch: Batch) {
        self.progress.step = self.progress.step.next();
        self.progress.time = batch.time;
        self.random = None;
        for event in batch.events {
            if self.result.is_none() {
                self.dispatch(game, event);
            }
        }
        if self.result.is_none() && self.take_due(G::RULES.pace) {
            game.step(&mut Context::new(self));
        }
    }

    fn take_due(&mut self, pace: Pace) -> bool {
        match pace {
            Pace::FixedSteps(_) => true,
            Pace::EventDriven => {
                let time = self.progress.time;
                self.progress.wake.take_if(|wake| *wake <= time).is_some()
            }
        }
    }

    fn dispatch<G: Game>(&mut self, game: &mut G, event: Event) {
        let player = event.player();
        let Some(seat) = self.progress.seats.get_mut(player.index()).filter(|seat| !seat.left) else { return };
        match event {
            Event::Attached(_) => {
                seat.connected = true;
                let first = !std::mem::replace(&mut seat.joined, true);
                let handler = if first { G::join } else { G::back };
                handler(game, &mut Context::new(self), player);
            }
            Event::Detached(_) => {
                seat.connected = false;
                game.away(&mut Context::new(self), player);
            }
            Event::Left(_, reason) => {
                (seat.left, seat.connected) = (true, false);
                game.leave(&mut Context::new(self), player, reason);
            }
            Event::Behind(_) => game.resync(&mut Context::new(self), player),
            Event::Input(_, bytes) => match read_input::<G>(&bytes) {
                Ok(input) => game.input(&mut Context::new(self), player, input),
                Err(error) => self.unreadable.push((player, error)),
            },
        }
    }
}

/// Reads an input. One that no message could carry is refused, so that a game can send on whatever it is sent.
fn read_input<G: Game>(bytes: &Bytes) -> Result<G::Input, BadPayload> {
    match bytes.len() {
        length if length > PAYLOAD_BYTES_MAX => {
            Err(BadPayload(format!("it has {length} bytes, over {PAYLOAD_BYTES_MAX}")))
        }
        _ => G::Input::decode(bytes),
    }
}

//! Games played again from what was kept of them: step by step, without servers.
//!
//! A game that failed is kept with its journal. `pintail replay GAME --export crash.json` writes it as a [`Recording`],
//! and a test of the game's author then plays it again for ever:
//!
//! ```no_run
//! # use pintail_game::{GameTypes, replay::{End, Recording, Replay}};
//! # fn types() -> GameTypes { GameTypes::new() }
//! # const CRASH: &str = "{}";
//! // const CRASH: &str = include_str!("crash.json");
//! let recording = Recording::from_json(CRASH)?;
//! let mut replay = Replay::new(&types(), &recording)?;
//! for step in &mut replay {
//!     println!("step {}: {:?}", step.step, step.events);
//! }
//! assert!(!matches!(replay.end(), Some(End::Panicked(_))), "it fails as it did before");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A replay gives what the game gave if the game is deterministic and its code is what it was. Code that was changed may
//! take another course: that is what a replay with a mended game is for.

mod readable;
mod recording;

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EndReason, EntryNumber, GameType, Step};
use serde_json::Value;
use thiserror::Error;

pub use readable::Readable;
pub use recording::{BadRecording, Recording};

use crate::api::{Pace, Player};
use crate::journal::{Entry, Snapshot};
use crate::runtime::contain::contain;
use crate::runtime::schedule::fixed_time;
use crate::runtime::{Batch, Turn};
pub use crate::runtime::{Emission as Message, Event, Recipients, Urgency};
use crate::types::{AnyType, GameTypes, GameValue, SnapshotError};

/// How many steps in a row may be without an entry. A running game writes one within half a second; a step further on is
/// one that nobody took.
const QUIET_STEPS_MAX: u64 = 100_000;

/// How far a game may go before its first entry.
const FIRST_HORIZON: Duration = Duration::from_secs(1);

/// A game that is played again. Each item is the next step; [`end`](Self::end) says how it ended.
#[derive(Debug)]
pub struct Replay<'a> {
    entries: std::slice::Iter<'a, Bytes>,
    pace: Pace,
    start: Start,
    turn: Turn,
    /// None once its code panicked, and if it could not begin.
    game: Option<GameValue>,
    /// What creating the game gave, until it is handed out.
    first: Option<ReplayedStep>,
    /// The entry whose step comes next, or after quiet steps.
    next: Option<Entry>,
    /// The last entry that was read.
    last: EntryNumber,
    /// How far a game that failed may have gone after its last entry: what killed its servers may be a step that consumed
    /// nothing, and that nobody lived to write down. None if it did not fail.
    beyond: Option<Step>,
    end: Option<End>,
}

/// A step that comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The step.
    pub step: Step,
    /// The game's own time.
    pub time: Duration,
    /// The entry that it is; none for the creation of the game and for steps that consume nothing.
    pub entry: Option<EntryNumber>,
    /// What it consumes.
    pub events: Vec<Event>,
}

impl From<&ReplayedStep> for Upcoming {
    fn from(step: &ReplayedStep) -> Self {
        Self { step: step.step, time: step.time, entry: step.entry, events: step.events.clone() }
    }
}

/// What a replay begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The creation of the game, as step 1.
    Creation,
    /// A snapshot: the first step is the one after it.
    Snapshot {
        /// The last entry that it contains.
        number: EntryNumber,
        /// The step that it was taken after.
        step: Step,
        /// The build that wrote it.
        build: String,
    },
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The journal ends here, and the game goes on.
    Open,
    /// The game came to its end, with this result (JSON).
    Finished(String),
    /// Every player left.
    Abandoned,
    /// The game refused to begin.
    Refused(String),
    /// The game's code panicked: what it said, and where.
    Panicked(String),
    /// The next entry can't be used.
    Unreadable(String),
}

/// What a step consumed, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedStep {
    /// The step.
    pub step: Step,
    /// The game's own time.
    pub time: Duration,
    /// The entry that it was; none for the creation of the game and for steps that consumed nothing.
    pub entry: Option<EntryNumber>,
    /// What it consumed.
    pub events: Vec<Event>,
    /// What the game sent.
    pub messages: Vec<Message>,
    /// The inputs that the game could not read, and why.
    pub unreadable: Vec<(Player, String)>,
    /// How the game ended in this step.
    pub end: Option<End>,
}

/// Why a game can't be played again at all.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The type is none of those that are here.
    #[error("this program knows no game type `{wanted}`; it knows {known}: use the program whose servers ran the game")]
    UnknownType {
        /// The type of the game.
        wanted: GameType,
        /// Those that are here.
        known: String,
    },
    /// The snapshot can't be used.
    #[error("{0}")]
    Snapshot(String),
}

impl<'a> Replay<'a> {
    /// Prepares a replay of this game.
    ///
    /// # Errors
    /// If its type is not among `types`, or its snapshot can't be used.
    pub fn new(types: &GameTypes, recording: &'a Recording) -> Result<Self, ReplayError> {
        let order = &recording.order;
        let Some(game_type) = types.get(&order.game_type) else {
            return Err(ReplayError::UnknownType { wanted: order.game_type.clone(), known: list(types) });
        };
        let mut replay = Self {
            entries: recording.journal.entries.iter(),
            pace: game_type.rules().pace,
            start: Start::Creation,
            turn: Turn::first(order.seed, order.players.iter().map(|player| player.name.to_string())),
            game: None,
            first: None,
            next: None,
            last: EntryNumber(0),
            beyond: None,
            end: None,
        };
        let crashed = recording.outcome.as_ref().is_some_and(|outcome| outcome.reason == EndReason::Crashed);
        if let (true, Pace::FixedSteps(per_second)) = (crashed, replay.pace) {
            replay.beyond = Some(Step(1 + FIRST_HORIZON.as_secs() * u64::from(per_second)));
        }
        match &recording.journal.snapshot {
            Some(saved) => replay.restore(game_type.as_ref(), &order.game_type, &saved.bytes)?,
            None => replay.create(game_type.as_ref(), &order.settings),
        }
        Ok(replay)
    }

    /// What it begins with.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// How it ended; `None` while there are steps to come.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The last entry whose step was taken or is to come next; 0 before the first.
    #[must_use]
    pub fn last_entry(&self) -> EntryNumber {
        self.last
    }

    /// The game's value after the last step; `None` if it panicked.
    ///
    /// # Errors
    /// If JSON can't express it.
    pub fn value(&self) -> Option<Result<Value, SnapshotError>> {
        let json = contain(|| self.game.as_ref().map(|game| game.get().snapshot())).ok()??;
        Some(json.map(|json| serde_json::from_str(json.get()).unwrap_or(Value::Null)))
    }

    fn create(&mut self, game_type: &dyn AnyType, settings: &str) {
        let end = match contain(|| game_type.create(settings, &mut self.turn)) {
            Ok(Ok(game)) => {
                self.game = Some(GameValue::new(game));
                None
            }
            Ok(Err(refusal)) => Some(End::Refused(refusal.to_string())),
            Err(panicked) => Some(End::Panicked(panicked.to_string())),
        };
        self.first = Some(self.conclude(None, Vec::new(), end));
    }

    fn restore(&mut self, game_type: &dyn AnyType, name: &GameType, bytes: &Bytes) -> Result<(), ReplayError> {
        let wrong = |problem: &dyn std::fmt::Display| ReplayError::Snapshot(problem.to_string());
        let snapshot = Snapshot::decode(bytes).map_err(|error| wrong(&error))?;
        if snapshot.game_type != *name || snapshot.progress.seats.len() != self.turn.progress.seats.len() {
            return Err(wrong(&"the snapshot is another game's: its type or its players are not those of the order"));
        }
        let game = contain(|| game_type.restore(&snapshot.state)).map_err(|panicked| wrong(&panicked))?;
        self.game = Some(GameValue::new(game.map_err(|error| wrong(&error))?));
        self.start = Start::Snapshot { number: snapshot.number, step: snapshot.progress.step, build: snapshot.build };
        self.last = snapshot.number;
        self.beyond = self.beyond.map(|_| snapshot.horizon);
        self.turn = Turn::resume(snapshot.progress);
        Ok(())
    }

    /// The step that [`next`](Iterator::next) takes: what to look at if it never comes back. `None` if there is none, or it is
    /// the creation of the game, which is played already.
    pub fn upcoming(&mut self) -> Option<Upcoming> {
        if self.first.is_some() || self.end.is_some() {
            return None;
        }
        if let Err(end) = self.read() {
            self.end = Some(end);
            return None;
        }
        let step = self.turn.progress.step.next();
        let quiet = Upcoming { step, time: self.quiet_time(step), entry: None, events: Vec::new() };
        Some(self.next.as_ref().filter(|entry| entry.step == step).map_or(quiet, |entry| Upcoming {
            step,
            time: entry.time,
            entry: Some(entry.number),
            events: entry.events.clone(),
        }))
    }

    /// The time of a step that has no entry.
    fn quiet_time(&self, step: Step) -> Duration {
        match self.pace {
            Pace::FixedSteps(per_second) => fixed_time(step, per_second),
            Pace::EventDriven => self.turn.progress.time,
        }
    }

    /// Reads the next entry, unless its step is still to come. What can't be used ends the replay.
    fn read(&mut self) -> Result<(), End> {
        if self.next.is_some() {
            return Ok(());
        }
        let Some(bytes) = self.entries.next() else {
            let is_beyond = self.beyond.is_none_or(|beyond| self.turn.progress.step >= beyond);
            return if is_beyond { Err(End::Open) } else { Ok(()) };
        };
        let number = self.last.next();
        let unreadable = |problem: String| End::Unreadable(format!("entry {number}: {problem}"));
        let entry = Entry::decode(bytes).map_err(|error| unreadable(error.to_string()))?;
        if entry.number != number {
            return Err(unreadable(format!("it says that it is entry {}", entry.number)));
        }
        let due = self.turn.progress.step.next();
        let quiet = entry.step.0.checked_sub(due.0);
        let quiet_max = if self.pace == Pace::EventDriven { 0 } else { QUIET_STEPS_MAX };
        if quiet.is_none_or(|quiet| quiet > quiet_max) {
            return Err(unreadable(format!("it is of step {}, and step {due} comes next", entry.step)));
        }
        self.last = number;
        let furthest = entry.step.0.saturating_add(QUIET_STEPS_MAX);
        self.beyond = self.beyond.map(|_| Step(entry.horizon.0.min(furthest)));
        self.next = Some(entry);
        Ok(())
    }

    fn take(&mut self, Upcoming { step, time, entry, events }: Upcoming) -> Option<ReplayedStep> {
        self.next.take_if(|entry| entry.step == step);
        let (game, turn) = (self.game.as_mut()?.get_mut(), &mut self.turn);
        let batch = Batch { time, events: events.clone() };
        let panicked = contain(|| game.apply(turn, batch)).err();
        let end = panicked.map(|panicked| End::Panicked(panicked.to_string()));
        Some(self.conclude(entry, events, end))
    }

    /// What the step that just ran came to. What a step that panicked would have sent never left a server.
    fn conclude(&mut self, entry: Option<EntryNumber>, events: Vec<Event>, end: Option<End>) -> ReplayedStep {
        let turn = &mut self.turn;
        let mut messages = std::mem::take(&mut turn.emissions);
        let result = turn.result.take();
        if matches!(end, Some(End::Panicked(_))) {
            messages.clear();
            self.game = None;
        }
        let end = end.or_else(|| result.map(End::Finished)).or_else(|| turn.is_deserted().then_some(End::Abandoned));
        self.end.clone_from(&end);
        let unreadable = std::mem::take(&mut turn.unreadable).into_iter();
        ReplayedStep {
            step: turn.progress.step,
            time: turn.progress.time,
            entry,
            events,
            messages,
            unreadable: unreadable.map(|(player, problem)| (player, problem.0)).collect(),
            end,
        }
    }
}

impl Iterator for Replay<'_> {
    type Item = ReplayedStep;

    fn next(&mut self) -> Option<ReplayedStep> {
        if self.first.is_some() {
            return self.first.take();
        }
        let upcoming = self.upcoming()?;
        self.take(upcoming)
    }
}

fn list(types: &GameTypes) -> String {
    let names: Vec<_> = types.names().map(ToString::to_string).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;

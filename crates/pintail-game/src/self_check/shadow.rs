//! The game beside the game.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::Step;
use serde_json::value::RawValue;

use super::difference::{Difference, Found, Pair, in_json, in_messages, shown};
use crate::api::{BadPayload, Player};
use crate::runtime::contain::contain;
use crate::runtime::{Batch, Emission, Turn};
use crate::types::{AnyGame, AnyType, GameValue};

/// The values of games up to so many bytes of JSON are compared after each step; twice as large ones after each second.
const SMALL_VALUE_BYTES: usize = 4 * 1024;

/// How many steps after its creation the shadow is made anew from a snapshot of the game. Each time after, twice as many: what
/// a value leaves out may show at once, or only when enough has come of it.
const FIRST_RENEWAL: u64 = 4;

/// The most steps between two renewals.
const RENEWAL_MAX: u64 = 1024;

/// A game that is played beside a live one: the same steps, each while the live game is a step further, so that a clock
/// shows another time.
#[derive(Debug)]
pub(crate) struct Shadow {
    game_type: Arc<dyn AnyType>,
    /// None before its creation was played again.
    game: Option<GameValue>,
    turn: Turn,
    /// What the live game has done and the shadow has not.
    ahead: Option<Ahead>,
    /// The step after which it was last made from a snapshot.
    restored: Option<Step>,
    /// How many steps until the value is compared.
    value_in: u64,
    /// How many steps until it is made anew.
    renewal_in: u64,
    /// How many steps there were between the last two renewals.
    renewal_period: u64,
}

/// What the live game did last, and what came of it.
#[derive(Debug)]
struct Ahead {
    deed: Deed,
    yielded: Yield,
}

/// What came of it.
#[derive(Debug)]
struct Yield {
    emissions: Vec<Emission>,
    unreadable: Vec<(Player, BadPayload)>,
    result: Option<String>,
    wake: Option<Duration>,
    /// The value afterwards, if it is compared.
    value: Option<Box<RawValue>>,
}

#[derive(Debug)]
enum Deed {
    /// It was created with these settings.
    Creation(String),
    /// It took a step.
    Step(Batch),
}

impl Shadow {
    /// A shadow of a game that was just created with these settings, and whose messages are still in its turn.
    pub(crate) fn of_new(
        game_type: Arc<dyn AnyType>,
        settings: &str,
        turn: &Turn,
        live: &dyn AnyGame,
    ) -> Result<Self, Difference> {
        let progress = &turn.progress;
        let first = Turn::first(progress.seed, progress.seats.iter().map(|seat| seat.name.clone()));
        let mut shadow = Self::new(game_type, None, first);
        shadow.note(Deed::Creation(settings.to_owned()), turn, live)?;
        Ok(shadow)
    }

    /// A shadow of a game that goes on from here: one that was taken over.
    pub(crate) fn of(game_type: Arc<dyn AnyType>, turn: &Turn, live: &dyn AnyGame) -> Result<Self, Difference> {
        let mut shadow = Self::new(game_type, None, Turn::resume(turn.progress.clone()));
        let value = written(live).map_err(|problem| shadow.differs(problem))?;
        shadow.renew(&value)?;
        Ok(shadow)
    }

    fn new(game_type: Arc<dyn AnyType>, game: Option<GameValue>, turn: Turn) -> Self {
        let (renewal_in, renewal_period) = (FIRST_RENEWAL, FIRST_RENEWAL);
        Self { game_type, game, turn, ahead: None, restored: None, value_in: 0, renewal_in, renewal_period }
    }

    /// Follows the live game, which has just consumed `batch`: `turn` still holds what came of it, and `live` is its value.
    ///
    /// # Errors
    /// With what differs, in this step or the one before. The shadow is of no more use then.
    pub(crate) fn follow(&mut self, batch: Batch, turn: &Turn, live: &dyn AnyGame) -> Result<(), Difference> {
        self.catch_up()?;
        self.note(Deed::Step(batch), turn, live)?;
        // There is no later step to wait for.
        let is_last = turn.result.is_some() || turn.is_deserted();
        if is_last { self.catch_up() } else { Ok(()) }
    }

    /// Keeps what the live game did.
    fn note(&mut self, deed: Deed, turn: &Turn, live: &dyn AnyGame) -> Result<(), Difference> {
        let is_due = self.value_in == 0 || self.renewal_in == 0;
        let value = is_due.then(|| written(live)).transpose();
        let value = value.map_err(|found| Difference { step: turn.progress.step, restored: self.restored, found })?;
        self.value_in = match &value {
            Some(json) => (json.get().len() / SMALL_VALUE_BYTES) as u64,
            None => self.value_in - 1,
        };
        self.renewal_in = self.renewal_in.saturating_sub(1);
        let yielded = Yield {
            emissions: turn.emissions.clone(),
            unreadable: turn.unreadable.clone(),
            result: turn.result.clone(),
            wake: turn.progress.wake,
            value,
        };
        self.ahead = Some(Ahead { deed, yielded });
        Ok(())
    }

    /// Does what the live game did last, and compares.
    fn catch_up(&mut self) -> Result<(), Difference> {
        let Some(Ahead { deed, yielded }) = self.ahead.take() else { return Ok(()) };
        self.repeat(deed).map_err(|found| self.differs(found))?;
        self.compare(&yielded).map_or(Ok(()), |found| Err(self.differs(found)))?;
        self.turn.emissions.clear();
        self.turn.unreadable.clear();
        match yielded.value {
            Some(value) if self.renewal_in == 0 => {
                self.renew(&value)?;
                self.renewal_period = (self.renewal_period * 2).min(RENEWAL_MAX);
                self.renewal_in = self.renewal_period;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn repeat(&mut self, deed: Deed) -> Result<(), Found> {
        let turn = &mut self.turn;
        let outcome = match (deed, &mut self.game) {
            (Deed::Step(batch), Some(game)) => contain(|| game.get_mut().apply(turn, batch)),
            (Deed::Step(_), None) => return Ok(()),
            (Deed::Creation(settings), _) => match contain(|| self.game_type.create(&settings, turn)) {
                Ok(Ok(game)) => {
                    self.game = Some(GameValue::new(game));
                    Ok(())
                }
                Ok(Err(refusal)) => return Err(Found::Panic(format!("it refused to begin: {refusal}"))),
                Err(panicked) => Err(panicked),
            },
        };
        outcome.map_err(|panicked| Found::Panic(panicked.to_string()))
    }

    fn compare(&self, live: &Yield) -> Option<Found> {
        let turn = &self.turn;
        if let Some(pair) = in_messages(&live.emissions, &turn.emissions) {
            return Some(Found::Message(pair));
        }
        if live.result != turn.result {
            return Some(Found::Result(in_results(live.result.as_deref(), turn.result.as_deref())));
        }
        if live.unreadable != turn.unreadable {
            let text = |inputs: &[(Player, BadPayload)]| format!("{} unreadable ones", inputs.len());
            return Some(Found::Unreadable(Pair::new("its inputs", text(&live.unreadable), text(&turn.unreadable))));
        }
        if live.wake != turn.progress.wake {
            let text = |wake: Option<Duration>| wake.map_or("never".to_owned(), |wake| format!("{wake:?}"));
            return Some(Found::Wake(Pair::new("its wake-up time", text(live.wake), text(turn.progress.wake))));
        }
        let (Some(live), Some(game)) = (&live.value, &self.game) else { return None };
        match written(game.get()) {
            Ok(again) => in_json(live.get(), again.get()).map(|pair| Found::Value(pair.inside("its value"))),
            Err(found) => Some(found),
        }
    }

    /// Becomes the game of this value.
    fn renew(&mut self, value: &RawValue) -> Result<(), Difference> {
        let problem = match contain(|| self.game_type.restore(value)) {
            Ok(Ok(game)) => {
                self.game = Some(GameValue::new(game));
                self.restored = Some(self.turn.progress.step);
                return Ok(());
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => format!("reading its snapshot panicked: {panicked}"),
        };
        Err(self.differs(Found::Snapshot(problem)))
    }

    fn differs(&self, found: Found) -> Difference {
        Difference { step: self.turn.progress.step, restored: self.restored, found }
    }
}

/// The first difference between two results (JSON).
fn in_results(live: Option<&str>, again: Option<&str>) -> Pair {
    let what = "the game's result";
    let inside = live.zip(again).and_then(|(live, again)| in_json(live, again));
    let text = |result: Option<&str>| result.map_or("none".to_owned(), shown);
    inside.map_or_else(|| Pair::new(what, text(live), text(again)), |pair| pair.inside(what))
}

fn written(game: &dyn AnyGame) -> Result<Box<RawValue>, Found> {
    match contain(|| game.snapshot()) {
        Ok(json) => json.map_err(|error| Found::Snapshot(error.to_string())),
        Err(panicked) => Err(Found::Snapshot(format!("writing its snapshot panicked: {panicked}"))),
    }
}

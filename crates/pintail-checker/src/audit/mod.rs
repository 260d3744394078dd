//! Compares what the players of one game were told, as it comes: with what they sent, with one another, and with what is
//! kept of the game. Without IO; the tests feed it with what must not be.
//!
//! | module | what it holds |
//! | --- | --- |
//! | this one | what comes while the game goes on |
//! | `books` | what is kept of the game, and the moment at which nothing is on its way |
//! | `seat` | what is known of one player |

mod books;
mod seat;

use std::collections::BTreeMap;
use std::time::Duration;

use pintail::Player;

use crate::breach::{Breach, Check};
use crate::ledger::{Applied, Book};
pub use books::Source;
use seat::Seat;
pub use seat::Totals;

/// How many breaches of one game are kept; the rest would say the same.
const BREACHES_MAX: usize = 20;

/// A moment: the time since the run began.
pub type At = Duration;

/// Something that a player did or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The player is about to send this number.
    Sent(u64),
    /// The client knows that the game has taken so many numbers.
    Acknowledged(u64),
    /// A reliable message: this was applied in this step.
    Applied {
        /// The step.
        step: u64,
        /// What was applied.
        applied: Applied,
    },
    /// A state message: so many inputs were applied when this step was over.
    Position {
        /// The step.
        step: u64,
        /// How many.
        position: u64,
    },
    /// The stream to the game is open.
    Attached,
    /// The stream was opened with a hole in it.
    Resynchronised,
    /// The stream is interrupted; the client opens it again by itself.
    Interrupted,
    /// The stream is closed for good, for this reason.
    Closed(String),
    /// The game is over: how, with what result.
    Ended {
        /// Why.
        reason: String,
        /// The book, if it came to its end.
        book: Option<Book>,
    },
}

/// What is known of one game.
#[derive(Debug)]
pub struct GameAudit {
    name: String,
    seats: Vec<Seat>,
    /// What was applied, by position, as the first player was told who got so far.
    log: Vec<Entry>,
    /// How many inputs were applied when a step was over, as players were shown it.
    shown: BTreeMap<u64, u64>,
    /// A player was put out of it, or it ended before its time: nothing more is expected of it.
    is_lost: bool,
    breaches: Vec<Breach>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    player: Player,
    number: u64,
    step: u64,
}

impl GameAudit {
    /// An audit of a game of which nothing is known yet.
    #[must_use]
    pub fn new(name: impl Into<String>, seats: usize) -> Self {
        Self {
            name: name.into(),
            seats: vec![Seat::default(); seats],
            log: Vec::new(),
            shown: BTreeMap::new(),
            is_lost: false,
            breaches: Vec::new(),
        }
    }

    /// Takes in what a player did or was told.
    pub fn observe(&mut self, at: At, player: Player, observation: Observation) {
        if player.index() >= self.seats.len() {
            return;
        }
        let seat = &mut self.seats[player.index()];
        match observation {
            Observation::Sent(number) => seat.sent = number,
            Observation::Acknowledged(number) => seat.acknowledged = seat.acknowledged.max(number),
            Observation::Applied { step, applied } => {
                seat.is_heard(at);
                self.told(at, player, step, applied);
            }
            Observation::Position { step, position } => self.shown(at, player, step, position),
            Observation::Attached => seat.is_attached = true,
            Observation::Interrupted => {
                seat.is_attached = false;
                seat.interruptions += 1;
            }
            Observation::Resynchronised => self.breach(at, Check::MessageLost, player, "its stream was given up"),
            Observation::Closed(why) => {
                self.lost(at, player, format!("its stream was closed: {why}"));
            }
            Observation::Ended { reason, book } => self.ended(at, player, &reason, book.as_ref()),
        }
    }

    /// A reliable message: what was applied at a position.
    fn told(&mut self, at: At, player: Player, step: u64, applied: Applied) {
        let seat = &mut self.seats[player.index()];
        let expected = seat.received + 1;
        let previous_step = std::mem::replace(&mut seat.message_step, step);
        seat.received = seat.received.max(applied.position);
        if applied.position < expected {
            let text = format!("it was told of position {} again, after {}", applied.position, expected - 1);
            return self.breach(at, Check::MessageRepeated, player, text);
        }
        if applied.position > expected {
            let text = format!("it was told of position {}, but {expected} comes next", applied.position);
            self.breach(at, Check::MessageLost, player, text);
        }
        if step < previous_step {
            let text = format!("it was told of step {step} after step {previous_step}");
            self.breach(at, Check::StepWentBack, player, text);
        }
        self.record(at, player, step, applied);
    }

    fn record(&mut self, at: At, player: Player, step: u64, applied: Applied) {
        let entry = Entry { player: applied.player, number: applied.number, step };
        let index = usize::try_from(applied.position.saturating_sub(1)).unwrap_or(usize::MAX);
        match self.log.get(index) {
            Some(known) if *known == entry => {}
            Some(known) => {
                let text = format!("position {} is {entry:?} for it, and {known:?} for another", applied.position);
                self.breach(at, Check::MessageForked, player, text);
            }
            None if index == self.log.len() => self.append(at, entry),
            // A message is missing before it, which was said.
            None => {}
        }
    }

    /// The next input of the game, told for the first time.
    fn append(&mut self, at: At, entry: Entry) {
        self.log.push(entry);
        let position = self.log.len() as u64;
        let later = self.shown.range(entry.step..).next().map(|(step, position)| (*step, *position));
        if let Some((step, shown)) = later.filter(|(_, shown)| *shown < position) {
            let text = format!(
                "position {position} was applied in step {}, but step {step} was shown with {shown} positions",
                entry.step
            );
            self.breach(at, Check::StepWentBack, entry.player, text);
        }
        self.applied(at, entry, position);
    }

    /// Compares an input that was applied with those that its player sent, and with those before it.
    fn applied(&mut self, at: At, entry: Entry, position: u64) {
        let Entry { player, number, step } = entry;
        let Some(seat) = self.seats.get_mut(player.index()) else {
            return self.breach(at, Check::InputInvented, player, "there is no such player");
        };
        let (expected, sent) = (seat.applied + 1, seat.sent);
        seat.applied = seat.applied.max(number);
        let (check, text) = if number > sent {
            (Check::InputInvented, format!("{sent} is the last that was sent"))
        } else if number < expected {
            (Check::InputRepeated, format!("{expected} comes next"))
        } else if number > expected {
            (Check::InputLost, format!("{expected} comes next"))
        } else {
            return;
        };
        let text = format!("{number} was applied at position {position} in step {step}, but {text}");
        self.breach(at, check, player, text);
    }

    /// A state message: how much was applied when a step was over.
    fn shown(&mut self, at: At, player: Player, step: u64, position: u64) {
        let seat = &mut self.seats[player.index()];
        let before = (seat.state_step, seat.state_position);
        (seat.state_step, seat.state_position) = (step.max(before.0), position.max(before.1));
        if step < before.0 || position < before.1 {
            let text =
                format!("it was shown step {step}, position {position} after step {}, position {}", before.0, before.1);
            self.breach(at, Check::StepWentBack, player, text);
        }
        let known = *self.shown.entry(step).or_insert(position);
        if known != position {
            let text = format!("step {step} has {position} positions for it, and {known} for another");
            return self.breach(at, Check::StateForked, player, text);
        }
        let step_of = |position: u64| {
            let index = usize::try_from(position).ok()?.checked_sub(1)?;
            self.log.get(index).map(|entry| entry.step)
        };
        let (last, next) = (step_of(position), step_of(position + 1));
        if last.is_some_and(|last| last > step) || next.is_some_and(|next| next <= step) {
            let text =
                format!("step {step} was shown with {position} positions, which are of steps {last:?} and {next:?}");
            self.breach(at, Check::StateForked, player, text);
        }
    }

    fn ended(&mut self, at: At, player: Player, reason: &str, book: Option<&Book>) {
        self.seats[player.index()].ended = true;
        match book {
            Some(book) => self.compare(at, Source::Result, book),
            None => self.lost(at, player, format!("the game ended: {reason}")),
        }
    }

    fn lost(&mut self, at: At, player: Player, text: String) {
        self.is_lost = true;
        self.breach(at, Check::GameLost, player, text);
    }

    /// Whether a player was put out of it, or it ended before its time: nothing more is expected of it.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether all that was sent is acknowledged and told to everyone.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let told = self.log.len() as u64;
        let sent: u64 = self.seats.iter().map(|seat| seat.sent).sum();
        sent == told && self.seats.iter().all(|seat| seat.acknowledged >= seat.sent && seat.received == told)
    }

    /// Whether every player was told of something since then, and has a stream.
    #[must_use]
    pub fn is_lively(&self, since: At) -> bool {
        self.seats.iter().all(|seat| seat.is_attached && seat.heard.is_some_and(|heard| heard >= since))
    }

    /// Whether every player knows that the game is over.
    #[must_use]
    pub fn is_over_for_all(&self) -> bool {
        self.seats.iter().all(|seat| seat.ended)
    }

    /// Adds a breach of the whole game, found elsewhere.
    pub fn add(&mut self, at: At, check: Check, text: impl Into<String>) {
        self.push(Breach { at, check, game: self.name.clone(), player: None, text: text.into() });
    }

    /// Starts to measure pauses anew.
    pub fn mark(&mut self) {
        self.seats.iter_mut().for_each(|seat| seat.longest_pause = Duration::ZERO);
    }

    /// Each player's longest time without a reliable message since the last [`mark`](Self::mark), the present one included.
    pub fn pauses(&self, now: At) -> impl Iterator<Item = Duration> {
        self.seats.iter().map(move |seat| {
            let present = seat.heard.map_or(Duration::ZERO, |heard| now.saturating_sub(heard));
            seat.longest_pause.max(present)
        })
    }

    /// Sums over the players.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Seat) -> u64| self.seats.iter().map(of).sum();
        Totals {
            sent: sum(|seat| seat.sent),
            acknowledged: sum(|seat| seat.acknowledged),
            messages: sum(|seat| seat.received),
            interruptions: sum(|seat| seat.interruptions),
        }
    }

    /// What was found.
    #[must_use]
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    fn breach(&mut self, at: At, check: Check, player: Player, text: impl Into<String>) {
        self.push(Breach { at, check, game: self.name.clone(), player: Some(player), text: text.into() });
    }

    fn push(&mut self, breach: Breach) {
        if self.breaches.len() < BREACHES_MAX {
            self.breaches.push(breach);
        }
    }
}

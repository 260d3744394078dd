//! A game comes back from what was kept of it.

use pintail_core::{EntryNumber, Step};
use pintail_store::{GameRecord, SavedGame, SavedJournal, SavedSnapshot};
use thiserror::Error;
use tracing::{error, info};

use super::RunningGame;
use super::steps::Course;
use crate::api::{Pace, Player};
use crate::journal::{BadJournal, Entry, Snapshot};
use crate::limits::FIRST_ATTACH_GRACE_MIN;
use crate::runtime::contain::{Panicked, contain};
use crate::runtime::current::CurrentGame;
use crate::runtime::ending::unreadable;
use crate::runtime::gate::Gate;
use crate::runtime::host::JournalPolicy;
use crate::runtime::journaling::{Reach, Settling, Writer};
use crate::runtime::schedule::Schedule;
use crate::runtime::seat::Seat;
use crate::runtime::{Batch, Command, Effects, Event, Now, Turn};
use crate::types::{AnyType, GameTypes, GameValue, SnapshotError};

/// Why a game can't come back.
#[derive(Debug, Error)]
enum Lost {
    #[error("{0}")]
    Damaged(String),
    #[error("this server hosts no games of its type: run it with a build that does")]
    UnknownType,
    #[error(transparent)]
    Journal(#[from] BadJournal),
    #[error(transparent)]
    Value(#[from] SnapshotError),
    #[error("game code panicked when it read the snapshot: {0}")]
    Panicked(Panicked),
    #[error("the snapshot is another game's: its type or its players are not those of the order")]
    NotItsOwn,
    #[error("entry {found} stands where entry {expected} should")]
    WrongNumber { found: EntryNumber, expected: EntryNumber },
    #[error("entry {number} is of step {step}, which can't follow step {last}")]
    WrongStep { number: EntryNumber, step: Step, last: Step },
    #[error("entry {0} names a player who has no seat")]
    NoSuchSeat(EntryNumber),
}

/// How far a journal was read.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: EntryNumber,
    horizon: Step,
}

impl RunningGame {
    /// Brings a game back. One that can't be is over at once, and its journal is kept.
    pub(crate) fn restore(
        now: Now,
        types: &GameTypes,
        policy: JournalPolicy,
        saved: SavedGame,
        current: &CurrentGame,
        fx: &mut Effects,
    ) -> Self {
        let game_type = types.get(&saved.record.order.game_type).cloned();
        let mut running = Self::prepare(now, game_type.as_deref(), policy, saved.record.order, saved.record.owner);
        current.enter(&running.order);
        match running.rebuild(now, game_type.as_deref(), policy, &saved.journal, fx) {
            Ok(place) => {
                running.resume(now, policy, place);
                running.check_from_here(policy, game_type.as_ref(), fx);
            }
            Err(lost) => running.fail(now, &lost, fx),
        }
        current.leave();
        running
    }

    /// A game of which the store has nothing that can be used: it is over.
    pub(crate) fn damaged(
        now: Now,
        types: &GameTypes,
        policy: JournalPolicy,
        record: GameRecord,
        problem: String,
        fx: &mut Effects,
    ) -> Self {
        let game_type = types.get(&record.order.game_type).cloned();
        let mut running = Self::prepare(now, game_type.as_deref(), policy, record.order, record.owner);
        running.fail(now, &Lost::Damaged(problem), fx);
        running
    }

    fn rebuild(
        &mut self,
        now: Now,
        game_type: Option<&dyn AnyType>,
        policy: JournalPolicy,
        journal: &SavedJournal,
        fx: &mut Effects,
    ) -> Result<Place, Lost> {
        let known = game_type.ok_or(Lost::UnknownType)?;
        let mut place = match &journal.snapshot {
            Some(saved) => self.read_snapshot(now, known, saved)?,
            None => {
                let verdict = self.create(game_type, fx);
                self.conclude(now, Course::Replay, Vec::new(), verdict, fx);
                let horizon = Reach::new(self.rules.pace, policy.horizon).horizon(self.turn.progress.step);
                Place { number: EntryNumber(0), horizon }
            }
        };
        for bytes in &journal.entries {
            if self.is_live() {
                self.replay(now, &mut place, Entry::decode(bytes)?, fx)?;
            }
        }
        Ok(place)
    }

    fn read_snapshot(&mut self, now: Now, game_type: &dyn AnyType, saved: &SavedSnapshot) -> Result<Place, Lost> {
        let snapshot = Snapshot::decode(&saved.bytes)?;
        let is_its_own = snapshot.game_type == self.order.game_type && snapshot.seats.len() == self.seats.len();
        if !is_its_own || snapshot.number != saved.number || snapshot.horizon < snapshot.progress.step {
            return Err(Lost::NotItsOwn);
        }
        let game = contain(|| game_type.restore(&snapshot.state)).map_err(Lost::Panicked)??;
        self.game = Some(GameValue::new(game));
        self.turn = Turn::resume(snapshot.progress);
        let attach_until = now + self.rules.grace.max(FIRST_ATTACH_GRACE_MIN);
        for ((seat, saved), told) in self.seats.iter_mut().zip(snapshot.seats).zip(&self.turn.progress.seats) {
            *seat = Seat::restore(seat.session, attach_until, saved);
            if told.left {
                seat.leave();
            }
        }
        self.gate.open_to(self.turn.progress.step);
        Ok(Place { number: snapshot.number, horizon: snapshot.horizon })
    }

    /// Takes the step of an entry again, and those without events before it.
    fn replay(&mut self, now: Now, place: &mut Place, entry: Entry, fx: &mut Effects) -> Result<(), Lost> {
        let (last, expected) = (self.turn.progress.step, place.number.next());
        if entry.number != expected {
            return Err(Lost::WrongNumber { found: entry.number, expected });
        }
        let follows = match self.rules.pace {
            Pace::EventDriven => entry.step == last.next(),
            Pace::FixedSteps(_) => last < entry.step && entry.step <= place.horizon.next(),
        };
        if !follows || entry.horizon < entry.step {
            return Err(Lost::WrongStep { number: entry.number, step: entry.step, last });
        }
        while self.is_live() && self.turn.progress.step.next() < entry.step {
            self.step_quietly(now, Course::Replay, fx);
        }
        for event in &entry.events {
            let seat = self.seats.get_mut(event.player().index()).ok_or(Lost::NoSuchSeat(entry.number))?;
            match event {
                Event::Input(..) => seat.accept_again(),
                Event::Left(..) => seat.leave(),
                Event::Attached(_) | Event::Detached(_) | Event::Behind(_) => {}
            }
        }
        *place = Place { number: entry.number, horizon: entry.horizon };
        self.run(now, Batch { time: entry.time, events: entry.events }, Course::Replay, fx);
        Ok(())
    }

    /// The game goes on from here, once it knows what its players have seen.
    fn resume(&mut self, now: Now, policy: JournalPolicy, place: Place) {
        let step = self.turn.progress.step;
        info!(game = %self.order.id, game_type = %self.order.game_type, %step, entry = %place.number, "game restored");
        self.schedule = Schedule::resume(self.rules.pace, now, self.turn.progress.time);
        for (seat, told) in self.seats.iter_mut().zip(&self.turn.progress.seats) {
            seat.is_present = told.connected;
        }
        self.seats_due = self.seats.iter().filter_map(Seat::due).min();
        let Some(journal) = &mut self.journal else { return };
        let reach = Reach::new(self.rules.pace, policy.horizon);
        journal.writer = Writer::new(policy, reach, step, place.number, place.horizon);
        if self.ending.is_none() {
            let seats = Player::seats(self.seats.len()).zip(&self.turn.progress.seats);
            let awaited = seats.filter(|(_, told)| told.connected).map(|(player, _)| player);
            journal.settling = Settling::begin(step, place.horizon, awaited, now + policy.settle_max);
            journal.prove_at = Some(now + policy.proven_after);
        }
    }

    /// The game can't come back. What is kept of it stays where it is, for whoever looks into it.
    fn fail(&mut self, now: Now, lost: &Lost, fx: &mut Effects) {
        let (id, game_type) = (self.order.id, &self.order.game_type);
        error!(game = %id, %game_type, problem = %lost, "what was kept of a game can't be used; the game ends and is kept");
        fx.stats.failed_replays += 1;
        let outcome = unreadable();
        self.is_unreadable = true;
        self.journal = None;
        self.gate = Gate::new();
        self.gate.open_to(self.turn.progress.step);
        for seat in &mut self.seats {
            let gone = seat.gone;
            *seat = Seat::new(seat.session, now);
            seat.away_until = None;
            if gone {
                seat.leave();
            }
        }
        fx.push(Command::End { id: self.order.id, owner: self.owner, outcome: outcome.clone() });
        self.end(now, outcome, fx);
    }

    /// Goes on if it is known what the players have seen: up to there the steps are run as they were.
    pub(super) fn finish_settling(&mut self, now: Now, fx: &mut Effects) {
        let Some(journal) = &mut self.journal else { return };
        let Some(floor) = journal.settling.as_ref().and_then(|settling| settling.floor(now)) else { return };
        journal.settling = None;
        while self.is_live() && self.turn.progress.step < floor {
            self.step_quietly(now, Course::Replay, fx);
        }
        self.schedule = Schedule::resume(self.rules.pace, now, self.turn.progress.time);
        self.arrive_all(now, fx);
    }
}

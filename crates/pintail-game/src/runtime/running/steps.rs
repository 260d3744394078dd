//! One step, and what it comes to.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EntryNumber, Seq, Step};
use pintail_store::{EndOutcome, EndReason, GameOrder};
use pintail_wire::client::GameDetachReason;
use pintail_wire::kind;
use tracing::{error, info};

use super::RunningGame;
use super::outbound::Produced;
use crate::api::Player;
use crate::journal::Entry;
use crate::runtime::contain::{Panicked, contain};
use crate::runtime::ending::{Ending, cut_short, finished, last_words};
use crate::runtime::journaling::{Journal, Purpose};
use crate::runtime::seat::{Bound, Tag};
use crate::runtime::turn::Progress;
use crate::runtime::{Batch, Effects, Event, Now, Recipients};

/// Whether a step is a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Live,
    /// It was taken before, and is taken again.
    Replay,
}

/// Whether a step is in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// It is, or need not be.
    Already,
    /// It consumed nothing.
    Not,
}

impl RunningGame {
    /// Takes the next step, with everything that waits for it.
    pub(super) fn step(&mut self, now: Now, fx: &mut Effects) {
        self.pending_bytes = 0;
        let events = std::mem::take(&mut self.pending);
        self.step_with(now, events, Course::Live, fx);
    }

    /// Takes the next step without events: one that was shown already, or that can't have been anything else.
    pub(super) fn step_quietly(&mut self, now: Now, course: Course, fx: &mut Effects) {
        self.step_with(now, Vec::new(), course, fx);
    }

    fn step_with(&mut self, now: Now, events: Vec<Event>, course: Course, fx: &mut Effects) {
        let time = self.schedule.time_at(self.turn.progress.step.next(), now);
        self.run(now, Batch { time, events }, course, fx);
    }

    /// Runs a step.
    pub(super) fn run(&mut self, now: Now, mut batch: Batch, course: Course, fx: &mut Effects) {
        if self.game.is_none() {
            return;
        }
        let written = if course == Course::Live { self.write_down(&mut batch, fx) } else { Written::Already };
        let for_shadow = self.shadow.is_some().then(|| batch.clone());
        let Some(game) = &mut self.game else { return };
        let turn = &mut self.turn;
        let outcome = contain(|| game.get_mut().apply(turn, batch));
        if let Some(batch) = for_shadow.filter(|_| outcome.is_ok()) {
            self.check_step(batch, fx);
        }
        match course {
            Course::Live => fx.stats.steps += 1,
            Course::Replay => fx.stats.replayed_steps += 1,
        }
        let verdict = outcome.err().map(|panicked| self.crash(&panicked, fx));
        let consumed = self.take_consumed();
        self.conclude(now, course, consumed, verdict, fx);
        if self.ending.is_some() && written == Written::Not {
            // Everyone who plays the game again comes to the same end, at the same step.
            let Progress { step, time, .. } = self.turn.progress;
            self.write(step, time, Purpose::Record, Vec::new(), fx);
        }
    }

    /// Adds the step to the journal, if it has to be there.
    fn write_down(&mut self, batch: &mut Batch, fx: &mut Effects) -> Written {
        let step = self.turn.progress.step.next();
        let wants_entry = |journal: &Journal| !batch.events.is_empty() || journal.writer.wants_entry(step);
        match &self.journal {
            None => return Written::Already,
            Some(journal) if !wants_entry(journal) => return Written::Not,
            Some(_) => {}
        }
        let purpose = if batch.events.is_empty() { Purpose::Clock } else { Purpose::Record };
        batch.events = self.write(step, batch.time, purpose, std::mem::take(&mut batch.events), fx);
        Written::Already
    }

    /// Adds an entry to the journal. Returns the events again.
    pub(super) fn write(
        &mut self,
        step: Step,
        time: Duration,
        purpose: Purpose,
        events: Vec<Event>,
        fx: &mut Effects,
    ) -> Vec<Event> {
        let Some(journal) = &mut self.journal else { return events };
        let mut entry = Entry { number: EntryNumber(0), step, time, horizon: step, events };
        let size = journal.writer.add(step, purpose, |number, horizon| {
            (entry.number, entry.horizon) = (number, horizon);
            entry.encode()
        });
        if let Some(size) = size {
            fx.stats.journal_entries += 1;
            fx.stats.journal_bytes += size as u64;
        }
        entry.events
    }

    fn take_consumed(&mut self) -> Vec<(Player, Seq)> {
        let mut consumed = Vec::new();
        for (player, seat) in Player::seats(self.seats.len()).zip(&mut self.seats) {
            seat.pending_attaches = 0;
            if std::mem::take(&mut seat.pending_inputs) > 0 {
                consumed.push((player, seat.received()));
            }
        }
        consumed
    }

    /// What becomes of a game whose code panicked. What its last step would have sent is not to be trusted.
    pub(super) fn crash(&mut self, panicked: &Panicked, fx: &mut Effects) -> EndOutcome {
        let GameOrder { id, game_type, .. } = &*self.order;
        error!(game = %id, %game_type, step = %self.turn.progress.step, %panicked, "game code panicked; its game ends");
        fx.stats.panics += 1;
        self.turn.emissions.clear();
        self.turn.unreadable.clear();
        self.turn.result = None;
        cut_short(EndReason::Crashed, "The game failed and had to end. Other games go on.")
    }

    /// Brings what a step produced to the gate, and through it if nothing holds it back.
    pub(super) fn conclude(
        &mut self,
        now: Now,
        course: Course,
        consumed: Vec<(Player, Seq)>,
        verdict: Option<EndOutcome>,
        fx: &mut Effects,
    ) {
        let step = self.turn.progress.step;
        let bound = if course == Course::Live { Bound::Stream } else { Bound::Replay };
        let verdict = verdict.or_else(|| self.turn.result.take().map(finished)).or_else(|| {
            self.turn.is_deserted().then(|| cut_short(EndReason::Abandoned, "Every player left the game."))
        });
        let mut overflowed = Vec::new();
        let emissions = std::mem::take(&mut self.turn.emissions);
        let mut messages: Vec<_> =
            emissions.into_iter().map(|emission| self.number(emission, step, bound, &mut overflowed)).collect();
        let ends = verdict.is_some();
        if let Some(outcome) = verdict {
            let payload = Bytes::from(last_words(&outcome));
            let tag = Tag { step, client_kind: kind::client::GAME_ENDED };
            messages.push(self.number_for(Recipients::All, tag, &payload, bound, &mut overflowed));
            self.end(now, outcome, fx);
        }
        let produced = Produced { consumed, messages, ends };
        if !produced.is_nothing() {
            self.hold(now, step, produced);
        }
        // Before anything is sent: what comes after the messages that were given up would be a gap.
        for player in overflowed {
            if self.seats[player.index()].link.is_some() {
                let message = "too many messages were not acknowledged";
                self.expel(now, player, GameDetachReason::TooFarBehind, message, true, fx);
            }
        }
        if self.journal.is_none() || course == Course::Replay {
            // A game that is not durable has nothing to wait for, and what is replayed is committed.
            self.gate.open_to(step);
            self.release(now, fx);
        }
        let unreadable = std::mem::take(&mut self.turn.unreadable);
        if course == Course::Live {
            for (player, problem) in unreadable {
                self.expel(now, player, GameDetachReason::StreamBroken, &problem.to_string(), false, fx);
            }
        }
    }

    pub(super) fn end(&mut self, now: Now, outcome: EndOutcome, fx: &mut Effects) {
        info!(game = %self.order.id, reason = ?outcome.reason, "game over");
        fx.stats.games_ended += 1;
        (self.game, self.shadow) = (None, None);
        self.pending.clear();
        self.pending_bytes = 0;
        self.ending = Some(Ending::new(outcome, now));
        self.close_journal(now);
    }
}

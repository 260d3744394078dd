//! The journal's part of a turn: what may be shown, what is written, how the game leaves.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{EntryNumber, Step};
use pintail_store::{HandOverOutcome, JournalWrite, RestoreOutcome, WithoutServer, WriteContent, WriteOutcome};
use rand::Rng;
use tracing::{debug, error, info};

use super::outbound::Message;
use super::{Moment, RunningGame};
use crate::api::Player;
use crate::journal::{BUILD, SavedState, Snapshot};
use crate::limits::{HAND_OVER_REPEAT, SNAPSHOT_BYTES_MAX};
use crate::runtime::contain::contain;
use crate::runtime::host::{Answer, StoreFailed};
use crate::runtime::journaling::departure::Request;
use crate::runtime::journaling::{Departure, Outgo, Purpose, Reaction, Stance};
use crate::runtime::turn::Progress;
use crate::runtime::{Command, Effects, Now};

/// Whether a game that was to be handed over leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// It is another server's, or nobody's for now.
    Gone,
    /// It was another server's already, or is over.
    Fenced,
    /// It goes on here.
    Stays,
    /// It is not known yet.
    Unknown,
}

impl RunningGame {
    /// Shows what may be shown, and writes what is to be written.
    pub(super) fn keep_journal(&mut self, moment: Moment, fx: &mut Effects) {
        if self.journal.is_none() {
            return;
        }
        self.go_unprotected(moment, fx);
        self.prove(moment.now);
        self.ask_store(moment, fx);
        self.speak(moment, fx);
        self.depart(moment, fx);
        let due = self.journal_due(moment);
        if let Some(journal) = &mut self.journal {
            journal.due = due;
        }
    }

    /// Gives up protection if the store is away for all, and what waits for it has waited for long enough.
    fn go_unprotected(&mut self, moment: Moment, fx: &mut Effects) {
        if self.unprotected_at(moment).is_none_or(|at| at > moment.now) {
            return;
        }
        let Some(journal) = &mut self.journal else { return };
        journal.writer.give_up_protection(moment.now);
        journal.departure = None;
        fx.stats.went_unprotected += 1;
        debug!(game = %self.order.id, "the store is away; the game goes on without protection");
    }

    /// When the game stops waiting for a store that is away.
    fn unprotected_at(&self, moment: Moment) -> Option<Now> {
        let journal = self.journal.as_ref()?;
        let asks_to_leave = matches!(journal.departure, Some(Departure::Asked(_) | Departure::AskAgain(..)));
        if moment.stance != Stance::StoreAway || !journal.writer.holds() || asks_to_leave {
            return None;
        }
        let parked = self.seats.iter().filter_map(|seat| seat.parked.map(|parked| parked.since));
        let since = parked.chain(self.gate.held_since()).min()?;
        Some(since + moment.hold_max)
    }

    fn speak(&mut self, moment: Moment, fx: &mut Effects) {
        let Some(journal) = &self.journal else { return };
        let shown = journal.writer.shown(moment.stance);
        if shown == Step(0) {
            return;
        }
        self.gate.open_to(shown.min(self.turn.progress.step));
        self.release(moment.now, fx);
        self.admit_parked(fx);
    }

    /// A game that was taken over is written anew after a while: that proves that it can be run, and shortens its journal.
    fn prove(&mut self, now: Now) {
        if let Some(journal) = &mut self.journal
            && journal.prove_at.take_if(|at| *at <= now).is_some()
            && self.ending.is_none()
        {
            journal.writer.mend();
        }
    }

    fn ask_store(&mut self, moment: Moment, fx: &mut Effects) {
        let Some(mut journal) = self.journal.take() else { return };
        let asks_to_leave = matches!(journal.departure, Some(Departure::Asked(_) | Departure::AskAgain(..)));
        if !asks_to_leave {
            let step = self.turn.progress.step;
            let take = |number, horizon| self.snapshot(number, horizon);
            match journal.writer.next(moment.now, moment.stance, step, take) {
                None => {}
                Some(Outgo::Write(content)) => {
                    fx.stats.journal_writes += 1;
                    fx.stats.snapshots += u64::from(matches!(content, WriteContent::Snapshot(_)));
                    fx.push(Command::Write(JournalWrite { game: self.order.id, owner: self.owner, content }));
                }
                Some(Outgo::Restore(snapshot)) => {
                    let order = (*self.order).clone();
                    fx.push(Command::Restore { order, owner: self.owner, snapshot: Some(snapshot) });
                }
            }
        }
        self.journal = Some(journal);
    }

    /// All of the game, as of its last step. `None` if its value can't be written.
    fn snapshot(&mut self, number: EntryNumber, horizon: Step) -> Option<Bytes> {
        let game = self.game.as_ref()?;
        let id = self.order.id;
        let state = match contain(|| game.get().snapshot()) {
            Ok(Ok(state)) => state,
            Ok(Err(problem)) => {
                error!(game = %id, %problem, "the game can't be written; it is lost if its server is");
                return None;
            }
            Err(panicked) => {
                error!(game = %id, %panicked, "game code panicked when the game was written; it is lost if its server is");
                return None;
            }
        };
        let mut seats: Vec<_> = self.seats.iter().map(|seat| seat.save()).collect();
        // What is still held will have been sent by whoever reads this.
        for (step, produced) in self.gate.held() {
            for message in &produced.messages {
                let Message::State { to, payload } = message else { continue };
                for (player, saved) in Player::seats(seats.len()).zip(&mut seats) {
                    if to.include(player) && !self.seats[player.index()].gone {
                        saved.latest_state = Some(SavedState { step, payload: payload.clone() });
                    }
                }
            }
        }
        self.seats.iter_mut().for_each(|seat| seat.snapshot_taken());
        let (game_type, progress) = (self.order.game_type.clone(), self.turn.progress.clone());
        let build = BUILD.to_owned();
        let bytes = Snapshot { game_type, build, number, horizon, progress, seats, state }.encode();
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            let (bytes, most) = (bytes.len(), SNAPSHOT_BYTES_MAX);
            error!(game = %id, bytes, most, "the game is too large to be written; it is lost if its server is");
            return None;
        }
        Some(bytes)
    }

    /// Goes on with a departure.
    fn depart(&mut self, moment: Moment, fx: &mut Effects) {
        let Some(mut journal) = self.journal.take() else { return };
        if self.ending.is_some() {
            journal.departure = None;
        }
        // It would stand still for as long as it has to wait.
        let may_close = moment.stance == Stance::Speaks && journal.writer.is_protected();
        journal.departure.take_if(|departure| matches!(departure, Departure::Closing(_)) && !may_close);
        let request = match &mut journal.departure {
            Some(Departure::Closing(without_server)) if journal.writer.is_idle() => {
                let without_server = *without_server;
                let step = self.turn.progress.step;
                let taken = journal.writer.take_snapshot(step, |number, horizon| self.snapshot(number, horizon));
                let request = taken.map(|(snapshot, _)| Request { snapshot, without_server });
                journal.departure = request.clone().map(Departure::Asked);
                request
            }
            Some(departure) => departure.ask_again(moment.now),
            None => None,
        };
        self.journal = Some(journal);
        if let Some(Request { snapshot, without_server }) = request {
            fx.stats.snapshots += 1;
            fx.push(Command::HandOver { id: self.order.id, owner: self.owner, snapshot, without_server });
        }
    }

    fn journal_due(&self, moment: Moment) -> Option<Now> {
        let journal = self.journal.as_ref()?;
        let asks_to_leave = matches!(journal.departure, Some(Departure::Asked(_) | Departure::AskAgain(..)));
        let writer = if asks_to_leave { None } else { journal.writer.due(moment.stance) };
        let settling = journal.settling.as_ref().filter(|_| self.ending.is_none()).map(|settling| settling.due());
        let departure = journal.departure.as_ref().and_then(Departure::due);
        let dues = [writer, settling, departure, journal.prove_at, self.unprotected_at(moment)];
        dues.into_iter().flatten().min()
    }

    /// What became of a write.
    pub(crate) fn written(
        &mut self,
        now: Now,
        number: EntryNumber,
        answer: &Answer<WriteOutcome>,
        rng: &mut impl Rng,
    ) -> Reaction {
        if let Ok(WriteOutcome::Gap | WriteOutcome::Unknown) = answer {
            // Of a store that lost much, this server says so once.
            debug!(game = %self.order.id, ?answer, "the store has lost what it had of the game; it is written anew");
        }
        if let Err(StoreFailed::Damaged(problem)) = answer {
            error!(game = %self.order.id, problem, "what the store has of the game is damaged; it is written anew");
        }
        let Some(journal) = &mut self.journal else { return Reaction::GoOn };
        let reaction = journal.writer.answered(now, number, answer, rng);
        self.tell_last_words(now);
        reaction
    }

    /// Tells the store of the end, if that has to be before the players hear of it.
    fn tell_last_words(&mut self, now: Now) {
        if let (Some(journal), Some(ending)) = (&self.journal, &mut self.ending)
            && journal.writer.has_last_words()
        {
            ending.tell(now);
        }
    }

    /// The game is over: its journal takes nothing but entries.
    pub(super) fn close_journal(&mut self, now: Now) {
        if let Some(journal) = &mut self.journal {
            journal.writer.close();
        }
        self.tell_last_words(now);
    }

    /// Whether the game was put back into a store that had lost it.
    pub(crate) fn put_back(&mut self, now: Now, answer: &Answer<RestoreOutcome>, rng: &mut impl Rng) -> Reaction {
        if *answer == Ok(RestoreOutcome::Taken) {
            return Reaction::Drop;
        }
        if let Some(journal) = &mut self.journal {
            journal.writer.restore_answered(now, *answer == Ok(RestoreOutcome::Restored), rng);
        }
        self.tell_last_words(now);
        Reaction::GoOn
    }

    /// Other servers may have taken the game over meanwhile: nothing is shown before the store says that it is ours.
    pub(crate) fn doubt_ownership(&mut self, now: Now) {
        if let Some(ending) = &mut self.ending {
            ending.doubt(now);
        }
        if let Some(journal) = &mut self.journal {
            journal.writer.doubt_ownership();
        }
        self.tell_last_words(now);
    }

    /// The store may have lost what it had of the game, its end included.
    pub(crate) fn doubt_store(&mut self, now: Now) {
        if let Some(ending) = &mut self.ending {
            ending.doubt(now);
        }
        if let Some(journal) = &mut self.journal {
            journal.writer.doubt_store();
        }
    }

    /// It is the game's turn to be written anew, if it has to be.
    pub(crate) fn refresh(&mut self, fx: &mut Effects) {
        let Some(journal) = &mut self.journal else { return };
        if self.game.is_some() {
            journal.writer.refresh();
        } else if journal.writer.is_in_doubt() {
            // A game that is over has no snapshot. An entry that nobody will read asks as well whose it is.
            let Progress { step, time, .. } = self.turn.progress;
            self.write(step.next(), time, Purpose::Clock, Vec::new(), fx);
        }
    }

    /// Begins to leave for another server. Whether it does.
    pub(crate) fn begin_departure(&mut self, now: Now, without_server: WithoutServer, fx: &mut Effects) -> bool {
        let can_leave = |game: &Self| {
            let journal = game.journal.as_ref().filter(|_| game.is_live());
            journal.is_some_and(|journal| {
                journal.settling.is_none() && journal.departure.is_none() && journal.writer.is_protected()
            })
        };
        if !can_leave(self) {
            return false;
        }
        if !self.pending.is_empty() {
            // What waits for a step would be lost: a snapshot does not hold it.
            if !self.may_step() {
                return false;
            }
            self.step(now, fx);
        }
        if !can_leave(self) {
            return false;
        }
        if let Some(journal) = &mut self.journal {
            journal.departure = Some(Departure::Closing(without_server));
        }
        true
    }

    /// Whether the game is leaving.
    pub(crate) fn is_departing(&self) -> bool {
        self.is_live() && self.journal.as_ref().is_some_and(|journal| journal.departure.is_some())
    }

    /// What became of the request to hand the game over.
    pub(crate) fn hand_over_answered(&mut self, now: Now, answer: &Answer<HandOverOutcome>) -> Farewell {
        let Some(journal) = &mut self.journal else { return Farewell::Stays };
        let farewell = match answer {
            Ok(HandOverOutcome::To(owner)) => {
                info!(game = %self.order.id, to = %owner.slot, "game handed over");
                return Farewell::Gone;
            }
            Ok(HandOverOutcome::SetAside) => {
                info!(game = %self.order.id, "game set aside; it waits for a server");
                return Farewell::Gone;
            }
            Ok(HandOverOutcome::Fenced) => return Farewell::Fenced,
            Ok(HandOverOutcome::NoServer) | Err(StoreFailed::Damaged(_)) => Farewell::Stays,
            Ok(HandOverOutcome::Unknown) => {
                journal.writer.restore();
                Farewell::Stays
            }
            Err(StoreFailed::Away) => Farewell::Unknown,
        };
        if farewell == Farewell::Unknown {
            if let Some(departure) = &mut journal.departure {
                departure.failed(now + HAND_OVER_REPEAT);
            }
        } else {
            journal.departure = None;
            // The number of the snapshot that nobody wanted stands for it, so what comes next has to contain it.
            journal.writer.mend();
        }
        farewell
    }

    /// Whether a game that was taken over has been written since.
    pub(crate) fn is_proven(&self) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.prove_at.is_none())
    }

    /// How long something has been waiting for the store.
    pub(crate) fn commit_lag(&self, now: Now) -> Option<Duration> {
        self.journal.as_ref().and_then(|journal| journal.writer.lag(now))
    }

    /// Whether the game goes on although the store does not have what its players are shown.
    pub(crate) fn is_unprotected(&self) -> bool {
        self.is_live() && self.journal.as_ref().is_some_and(|journal| journal.writer.is_unprotected())
    }
}

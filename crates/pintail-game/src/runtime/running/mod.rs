//! One game: when it steps, what becomes of its messages, how it ends.
//!
//! | module | what it holds |
//! | --- | --- |
//! | the root | from the order to the end: what is due, and when |
//! | `steps` | one step, and what it comes to |
//! | `arrivals` | players attach |
//! | `players` | players send, and go |
//! | `outbound` | messages, on their way through the gate |
//! | `journaled` | the journal's part of a turn: writing, speaking, leaving |
//! | `restore` | a game comes back from what was kept of it |
//! | `checked` | a game is played twice, to find code that is not deterministic |

mod arrivals;
mod checked;
mod journaled;
mod outbound;
mod players;
mod restore;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Durability, EntryNumber, SessionId, Step};
use pintail_store::{EndOutcome, EndReason, GameOrder, Owner};
use pintail_wire::game;
use rand::Rng;
use rustc_hash::FxHashMap;
use tracing::{info, warn};

use outbound::Produced;

use super::contain::contain;
use super::current::CurrentGame;
use super::effects::{Command, Delivery, Effects};
use super::ending::{Ending, cut_short};
use super::gate::Gate;
use super::host::JournalPolicy;
use super::journaling::{Journal, Reach, Reaction, Stance, Writer};
use super::schedule::Schedule;
use super::seat::Seat;
use super::{Budget, Event, GameTimes, Now, Turn};
use crate::api::{Pace, Player, Rules};
use crate::limits::FIRST_ATTACH_GRACE_MIN;
use crate::self_check::Shadow;
use crate::types::{AnyType, GameTypes, GameValue};
pub(crate) use journaled::Farewell;
use steps::Course;

/// What an older connection is told. The words may reach a newer one of the same session, at the same gateway: so it
/// is told to try again, and whichever is the newest gets in.
pub(super) const ATTACHED_ELSEWHERE: &str = "a newer connection of yours is attached";

/// What a game has to know of its server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Now,
    /// Whether the server may speak for its journaled games.
    pub(crate) stance: Stance,
    /// How long output is held while the store can't be reached.
    pub(crate) hold_max: Duration,
}

/// A game that this server runs, from its order until everyone knows how it ended.
#[derive(Debug)]
pub(crate) struct RunningGame {
    order: Arc<GameOrder>,
    pub(crate) owner: Owner,
    pub(crate) created: Now,
    rules: Rules,
    /// None once the game is over.
    game: Option<GameValue>,
    turn: Turn,
    schedule: Schedule,
    /// One a player, in the order of the room.
    seats: Vec<Seat>,
    players: FxHashMap<SessionId, Player>,
    /// What waits for the next step.
    pending: Vec<Event>,
    pending_bytes: usize,
    gate: Gate<Produced>,
    /// What makes it outlive this server; None if nothing does.
    journal: Option<Box<Journal>>,
    /// The same game beside this one, if it is checked that they stay the same.
    shadow: Option<Box<Shadow>>,
    ending: Option<Ending>,
    /// Whether what was kept of the game can't be used, so that nobody knows what its players were sent.
    is_unreadable: bool,
    /// No seat has anything due before this.
    seats_due: Option<Now>,
    /// How long its steps took here.
    pub(crate) times: GameTimes,
    /// Whether the host counts it among the games that go on.
    pub(crate) counts_as_live: bool,
    /// The entry of this game in the host's list of times, which only the host changes.
    pub(crate) timer: Option<Now>,
}

impl RunningGame {
    /// Starts a game. One that can't be started is over at once, so that its players hear why.
    pub(crate) fn start(
        now: Now,
        types: &GameTypes,
        policy: JournalPolicy,
        order: GameOrder,
        owner: Owner,
        current: &CurrentGame,
        fx: &mut Effects,
    ) -> Self {
        let game_type = types.get(&order.game_type).cloned();
        let mut running = Self::prepare(now, game_type.as_deref(), policy, order, owner);
        current.enter(&running.order);
        fx.stats.games_started += 1;
        info!(game = %running.order.id, game_type = %running.order.game_type, "game started");
        let verdict = running.create(game_type.as_deref(), fx);
        running.check_from_creation(policy, game_type.as_ref(), fx);
        running.conclude(now, Course::Live, Vec::new(), verdict, fx);
        current.leave();
        running
    }

    /// A game that has not begun.
    fn prepare(
        now: Now,
        game_type: Option<&dyn AnyType>,
        policy: JournalPolicy,
        order: GameOrder,
        owner: Owner,
    ) -> Self {
        let rules = game_type.map_or(Rules::ephemeral(), AnyType::rules);
        let attach_until = now + rules.grace.max(FIRST_ATTACH_GRACE_MIN);
        let seats: Vec<_> = order.players.iter().map(|player| Seat::new(player.session, attach_until)).collect();
        let first = Step(1);
        let reach = Reach::new(rules.pace, policy.horizon);
        let journaled = rules.durability == Durability::Journaled;
        let writer = || Writer::new(policy, reach, first, EntryNumber(0), reach.horizon(first));
        Self {
            turn: Turn::first(order.seed, order.players.iter().map(|player| player.name.to_string())),
            schedule: Schedule::new(rules.pace, now),
            players: seats.iter().map(|seat| seat.session).zip(Player::seats(seats.len())).collect(),
            seats,
            owner,
            created: now,
            rules,
            game: None,
            pending: Vec::new(),
            pending_bytes: 0,
            gate: Gate::new(),
            journal: journaled.then(|| Box::new(Journal::new(writer()))),
            shadow: None,
            ending: None,
            is_unreadable: false,
            seats_due: Some(attach_until),
            times: GameTimes::default(),
            counts_as_live: true,
            timer: None,
            order: Arc::new(order),
        }
    }

    /// Begins the game as it was ordered: its first step. Returns how it ended, if it did.
    fn create(&mut self, game_type: Option<&dyn AnyType>, fx: &mut Effects) -> Option<EndOutcome> {
        let Some(game_type) = game_type else {
            return Some(cut_short(EndReason::Refused, "This server does not host this kind of game."));
        };
        if !self.rules.takes(self.seats.len()) {
            return Some(cut_short(EndReason::Refused, "The game can't be played by this many players."));
        }
        let (settings, turn) = (&self.order.settings, &mut self.turn);
        match contain(|| game_type.create(settings, turn)) {
            Ok(Ok(game)) => {
                self.game = Some(GameValue::new(game));
                None
            }
            Ok(Err(refusal)) => Some(cut_short(EndReason::Refused, &refusal.to_string())),
            Err(panicked) => Some(self.crash(&panicked, fx)),
        }
    }

    /// Does everything that is due: steps, grace times, acknowledgements, the journal, reports to the store.
    pub(crate) fn advance(&mut self, moment: Moment, budget: &Budget<'_>, fx: &mut Effects) {
        let now = moment.now;
        if self.is_live() {
            self.finish_settling(now, fx);
            self.expire_seats(now);
            self.take_steps(now, budget, fx);
        }
        if let Some(ending) = &mut self.ending
            && ending.take_retry(now)
        {
            fx.push(Command::End { id: self.order.id, owner: self.owner, outcome: ending.outcome.clone() });
        }
        self.keep_journal(moment, fx);
        if self.is_live() {
            self.tell_seats(now, fx);
        }
    }

    /// Takes the steps that are due. Of steps to be made up for, as many as the budget allows and one at least.
    fn take_steps(&mut self, now: Now, budget: &Budget<'_>, fx: &mut Effects) {
        if !self.may_step() {
            return;
        }
        let due = self.schedule.take_due(now, self.turn.progress.wake, !self.pending.is_empty());
        let mut steps = 0;
        while steps < due.steps && (steps == 0 || (!budget.is_spent() && self.may_step())) {
            self.step(now, fx);
            steps += 1;
        }
        if matches!(self.rules.pace, Pace::FixedSteps(_)) {
            fx.stats.fixed_steps_due += due.skipped + u64::from(due.steps);
            fx.stats.overruns += due.skipped + u64::from(due.steps - steps);
        }
    }

    /// Whether nothing keeps the game from taking a step.
    fn may_step(&self) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.may_step() && self.gate.has_room())
    }

    fn expire_seats(&mut self, now: Now) {
        if self.seats_due.is_none_or(|due| due > now) {
            return;
        }
        for player in Player::seats(self.seats.len()) {
            if self.seats[player.index()].away_until.is_some_and(|until| until <= now) {
                self.time_out(player);
            }
        }
    }

    fn tell_seats(&mut self, now: Now, fx: &mut Effects) {
        if self.seats_due.is_none_or(|due| due > now) {
            return;
        }
        for seat in &mut self.seats {
            if let Some(link) = seat.link
                && seat.ack_due().is_some_and(|due| due <= now)
            {
                let acked = game::Acked { ack: seat.tell(), game: self.order.id };
                fx.deliver(link, Delivery::acked(seat.session, acked));
            }
        }
        self.seats_due = self.seats.iter().filter_map(Seat::due).min();
    }

    fn note_due(&mut self, due: Now) {
        self.seats_due = Some(self.seats_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Ends an ephemeral game because its server stops. A journaled one is set aside instead.
    pub(crate) fn stop(&mut self, now: Now, fx: &mut Effects) {
        if self.is_live() && !self.is_journaled() {
            let outcome = cut_short(EndReason::ServerStopped, "The game's server was stopped.");
            self.conclude(now, Course::Live, Vec::new(), Some(outcome), fx);
        }
    }

    /// The store knows how the game ended, or could not be told.
    pub(crate) fn end_answered(&mut self, now: Now, answer: Option<bool>, rng: &mut impl Rng) -> Reaction {
        let Some(ending) = &mut self.ending else { return Reaction::GoOn };
        let Some(is_ours) = answer else {
            ending.failed(now, rng);
            return Reaction::GoOn;
        };
        if !is_ours {
            warn!(game = %self.order.id, "the store does not know this game as ours, so its end was not kept");
        }
        ending.reported();
        self.journal.as_mut().map_or(Reaction::GoOn, |journal| journal.writer.end_answered(is_ours))
    }

    /// Whether the game can be forgotten.
    pub(crate) fn is_over(&self, now: Now) -> bool {
        // Of those whose game is unreadable nobody knows whether they have heard. And a store that goes back to an earlier
        // state would bring a journaled game back that nobody remembers to be over.
        let may_go = !self.is_unreadable && !self.is_journaled();
        let settled = may_go && self.seats.iter().all(Seat::is_settled);
        self.ending.as_ref().is_some_and(|ending| ending.is_over(now, settled))
    }

    /// Whether the game is over, and all know it that can be told now.
    pub(crate) fn is_flushed(&self) -> bool {
        let heard = self.seats.iter().all(|seat| seat.place().is_none() || seat.is_settled());
        self.ending.as_ref().is_some_and(Ending::is_reported) && heard
    }

    /// Whether the game still goes on.
    pub(crate) fn is_live(&self) -> bool {
        self.ending.is_none()
    }

    /// Whether the game has ended since it was counted as one that goes on. From now on it is not.
    pub(crate) fn has_just_ended(&mut self) -> bool {
        !self.is_live() && std::mem::take(&mut self.counts_as_live)
    }

    /// When something is due by itself.
    pub(crate) fn due(&self) -> Option<Now> {
        let journal = self.journal.as_ref().and_then(|journal| journal.due);
        let own = match &self.ending {
            Some(ending) => ending.due(),
            None => [self.step_due(), self.seats_due].into_iter().flatten().min(),
        };
        [own, journal].into_iter().flatten().min()
    }

    fn step_due(&self) -> Option<Now> {
        if !self.may_step() {
            return None;
        }
        if self.rules.pace == Pace::EventDriven && !self.pending.is_empty() {
            return Some(Now::default());
        }
        self.schedule.next(self.turn.progress.wake)
    }

    pub(crate) fn is_journaled(&self) -> bool {
        self.journal.is_some()
    }

    pub(crate) fn step_taken(&self) -> Step {
        self.turn.progress.step
    }

    pub(crate) const fn order(&self) -> &Arc<GameOrder> {
        &self.order
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.seats.iter().map(|seat| seat.session)
    }

    pub(crate) fn attached_count(&self) -> usize {
        self.seats.iter().filter(|seat| seat.link.is_some()).count()
    }
}

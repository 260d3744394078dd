//! One game: when it steps, what becomes of its messages, how it ends.

mod outbound;
mod players;

use std::collections::HashMap;

use bytes::Bytes;
use pintail_core::{Seq, SessionId};
use pintail_store::{EndOutcome, EndReason, GameOrder, Owner};
use pintail_wire::client::GameDetachReason;
use pintail_wire::{game, kind};
use rand::Rng;
use tracing::{error, info, warn};

use outbound::Produced;

use super::contain::{Panicked, contain, drop_contained};
use super::effects::{Command, Delivery, Effects};
use super::ending::{Ending, cut_short, finished, last_words};
use super::gate::CommitGate;
use super::schedule::Schedule;
use super::seat::{Seat, Tag};
use super::{Batch, Budget, Event, Now, Recipients, Turn};
use crate::api::{LeaveReason, Pace, Player, Rules};
use crate::limits::FIRST_ATTACH_GRACE_MIN;
use crate::types::{AnyGame, GameTypes};

/// What an older connection is told. The words may reach a newer one of the same session, at the same gateway: so it
/// is told to try again, and whichever is the newest gets in.
pub(super) const ATTACHED_ELSEWHERE: &str = "a newer connection of yours is attached";

/// A game that this server runs, from its order until everyone knows how it ended.
#[derive(Debug)]
pub(crate) struct RunningGame {
    order: GameOrder,
    pub(crate) owner: Owner,
    pub(crate) created: Now,
    rules: Rules,
    /// None once the game is over.
    game: Option<GameValue>,
    turn: Turn,
    schedule: Schedule,
    /// One a player, in the order of the room.
    seats: Vec<Seat>,
    players: HashMap<SessionId, Player>,
    /// What waits for the next step.
    pending: Vec<Event>,
    gate: CommitGate<Produced>,
    ending: Option<Ending>,
    /// No seat has anything due before this.
    seats_due: Option<Now>,
    /// The entry of this game in the host's list of times, which only the host changes.
    pub(crate) timer: Option<Now>,
}

/// A game's value, whose drop can't hurt anyone else.
struct GameValue(Option<Box<dyn AnyGame>>);

impl Drop for GameValue {
    fn drop(&mut self) {
        if let Err(panicked) = drop_contained(self.0.take()) {
            error!(%panicked, "a game panicked when it was dropped");
        }
    }
}

impl std::fmt::Debug for GameValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GameValue")
    }
}

impl RunningGame {
    /// Starts a game. One that can't be started is over at once, so that its players hear why.
    pub(crate) fn start(now: Now, types: &GameTypes, order: GameOrder, owner: Owner, fx: &mut Effects) -> Self {
        let game_type = types.get(&order.game_type).cloned();
        let rules = game_type.as_ref().map_or(Rules::ephemeral(), |game_type| game_type.rules());
        let attach_until = now + rules.grace.max(FIRST_ATTACH_GRACE_MIN);
        let seats: Vec<_> = order.players.iter().map(|player| Seat::new(player.session, attach_until)).collect();
        let mut running = Self {
            turn: Turn::first(order.seed, order.players.iter().map(|player| player.name.to_string())),
            schedule: Schedule::new(rules.pace, now),
            players: seats.iter().map(|seat| seat.session).zip(Player::seats(seats.len())).collect(),
            seats,
            owner,
            created: now,
            rules,
            game: None,
            pending: Vec::new(),
            gate: CommitGate::new(),
            ending: None,
            seats_due: Some(attach_until),
            timer: None,
            order,
        };
        fx.stats.games_started += 1;
        let verdict = match game_type {
            None => Some(cut_short(EndReason::Refused, "This server does not host this kind of game.")),
            Some(_) if !rules.takes(running.seats.len()) => {
                Some(cut_short(EndReason::Refused, "The game can't be played by this many players."))
            }
            Some(game_type) => {
                let (settings, turn) = (&running.order.settings, &mut running.turn);
                match contain(|| game_type.create(settings, turn)) {
                    Ok(Ok(game)) => {
                        running.game = Some(GameValue(Some(game)));
                        None
                    }
                    Ok(Err(refusal)) => Some(cut_short(EndReason::Refused, &refusal.to_string())),
                    Err(panicked) => Some(running.crash(&panicked, fx)),
                }
            }
        };
        info!(game = %running.order.id, game_type = %running.order.game_type, "game started");
        running.conclude(now, Vec::new(), verdict, fx);
        running
    }

    /// Does everything that is due: steps, grace times, acknowledgements, reports to the store.
    pub(crate) fn advance(&mut self, now: Now, budget: &Budget<'_>, fx: &mut Effects) {
        if let Some(ending) = &mut self.ending {
            if ending.take_retry(now) {
                fx.push(Command::End { id: self.order.id, owner: self.owner, outcome: ending.outcome.clone() });
            }
            return;
        }
        self.expire_seats(now);
        self.take_steps(now, budget, fx);
        self.tell_seats(now, fx);
    }

    /// Takes the steps that are due. Of steps to be made up for, as many as the budget allows and one at least.
    fn take_steps(&mut self, now: Now, budget: &Budget<'_>, fx: &mut Effects) {
        let due = self.schedule.take_due(now, self.turn.progress.wake, !self.pending.is_empty());
        let mut steps = 0;
        while steps < due.steps && (steps == 0 || !budget.is_spent()) {
            self.step(now, fx);
            steps += 1;
        }
        if matches!(self.rules.pace, Pace::FixedSteps(_)) {
            fx.stats.fixed_steps_due += due.skipped + u64::from(due.steps);
            fx.stats.overruns += due.skipped + u64::from(due.steps - steps);
        }
    }

    fn expire_seats(&mut self, now: Now) {
        if self.seats_due.is_none_or(|due| due > now) {
            return;
        }
        for player in Player::seats(self.seats.len()) {
            if self.seats[player.index()].away_until.is_some_and(|until| until <= now) {
                self.give_up(player, LeaveReason::TimedOut);
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

    fn step(&mut self, now: Now, fx: &mut Effects) {
        let Some(GameValue(Some(game))) = &mut self.game else { return };
        let time = self.schedule.time_at(self.turn.progress.step.next(), now);
        let batch = Batch { time, events: std::mem::take(&mut self.pending) };
        let turn = &mut self.turn;
        let outcome = contain(|| game.apply(turn, batch));
        fx.stats.steps += 1;
        let verdict = outcome.err().map(|panicked| self.crash(&panicked, fx));
        let consumed = self.take_consumed();
        self.conclude(now, consumed, verdict, fx);
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
    fn crash(&mut self, panicked: &Panicked, fx: &mut Effects) -> EndOutcome {
        let GameOrder { id, game_type, .. } = &self.order;
        error!(game = %id, %game_type, step = %self.turn.progress.step, %panicked, "game code panicked; its game ends");
        fx.stats.panics += 1;
        self.turn.emissions.clear();
        self.turn.unreadable.clear();
        self.turn.result = None;
        cut_short(EndReason::Crashed, "The game failed and had to end. Other games go on.")
    }

    /// Brings what a step produced to the gate, and through it if nothing holds it back.
    fn conclude(&mut self, now: Now, consumed: Vec<(Player, Seq)>, verdict: Option<EndOutcome>, fx: &mut Effects) {
        let step = self.turn.progress.step;
        let verdict = verdict.or_else(|| self.turn.result.take().map(finished)).or_else(|| {
            self.turn.is_deserted().then(|| cut_short(EndReason::Abandoned, "Every player left the game."))
        });
        let mut overflowed = Vec::new();
        let emissions = std::mem::take(&mut self.turn.emissions);
        let mut messages: Vec<_> =
            emissions.into_iter().map(|emission| self.number(emission, step, &mut overflowed)).collect();
        let ends = verdict.is_some();
        if let Some(outcome) = verdict {
            let payload = Bytes::from(last_words(&outcome));
            let tag = Tag { step, client_kind: kind::client::GAME_ENDED };
            messages.push(self.number_for(Recipients::All, tag, &payload, &mut overflowed));
            self.end(now, outcome, fx);
        }
        self.gate.hold(step, Produced { consumed, messages, ends });
        // A game that is not durable has nothing to wait for.
        self.gate.commit(step);
        // Before anything is sent: what comes after the messages that were given up would be a gap.
        for player in overflowed {
            let message = "too many messages were not acknowledged";
            self.expel(now, player, GameDetachReason::TooFarBehind, message, true, fx);
        }
        self.release(now, fx);
        for (player, problem) in std::mem::take(&mut self.turn.unreadable) {
            self.expel(now, player, GameDetachReason::StreamBroken, &problem.to_string(), false, fx);
        }
    }

    fn end(&mut self, now: Now, outcome: EndOutcome, fx: &mut Effects) {
        info!(game = %self.order.id, reason = ?outcome.reason, "game over");
        fx.stats.games_ended += 1;
        self.game = None;
        self.pending.clear();
        self.ending = Some(Ending::new(outcome, now));
    }

    /// Ends the game because its server stops.
    pub(crate) fn stop(&mut self, now: Now, fx: &mut Effects) {
        if self.ending.is_none() {
            let outcome = cut_short(EndReason::ServerStopped, "The game's server was stopped.");
            self.conclude(now, Vec::new(), Some(outcome), fx);
        }
    }

    /// The store knows how the game ended, or could not be told.
    pub(crate) fn end_answered(&mut self, now: Now, answer: Option<bool>, rng: &mut impl Rng) {
        let Some(ending) = &mut self.ending else { return };
        match answer {
            Some(ours) => {
                if !ours {
                    warn!(game = %self.order.id, "the store does not know this game as ours, so its end was not kept");
                }
                ending.reported();
            }
            None => ending.failed(now, rng),
        }
    }

    /// The game is another server's now: the players are told to ask where.
    pub(crate) fn disown(&mut self, fx: &mut Effects) {
        let notice = self.detached(GameDetachReason::ServerUnreachable, "the game is run by another server now", true);
        for seat in &self.seats {
            if let Some(link) = seat.link {
                fx.deliver(link, Delivery::detached(seat.session, &notice));
            }
        }
    }

    /// Whether the game can be forgotten.
    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.is_over(now, self.seats.iter().all(Seat::is_settled)))
    }

    /// Whether the game is over, and all know it that can be told now.
    pub(crate) fn is_flushed(&self) -> bool {
        let heard = self.seats.iter().all(|seat| seat.link.is_none() || seat.is_settled());
        self.ending.as_ref().is_some_and(Ending::is_reported) && heard
    }

    /// Whether the game still goes on.
    pub(crate) fn is_live(&self) -> bool {
        self.ending.is_none()
    }

    /// When something is due by itself.
    pub(crate) fn due(&self) -> Option<Now> {
        match &self.ending {
            Some(ending) => ending.due(),
            None if self.rules.pace == Pace::EventDriven && !self.pending.is_empty() => Some(Now::default()),
            None => [self.schedule.next(self.turn.progress.wake), self.seats_due].into_iter().flatten().min(),
        }
    }

    #[cfg(test)]
    pub(crate) fn step_taken(&self) -> pintail_core::Step {
        self.turn.progress.step
    }

    pub(crate) fn order(&self) -> &GameOrder {
        &self.order
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.seats.iter().map(|seat| seat.session)
    }

    pub(crate) fn attached_count(&self) -> usize {
        self.seats.iter().filter(|seat| seat.link.is_some()).count()
    }
}

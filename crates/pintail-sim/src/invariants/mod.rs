//! What must always hold: the invariants of the design, each in a file of its own.
//!
//! | file | invariant |
//! | --- | --- |
//! | `acknowledged` | I1: an acknowledged input is in the final history exactly once, in its sender's order |
//! | `streams` | I2: reliable messages come without gaps, once, in order, and one number has one content |
//! | `shown` | I3: nothing is shown that is not in the final history |
//! | `commits` | I4: one owner commits in an epoch; what is committed has no gap and no fork |
//! | `steps` | I5: no event is applied at a step that was shown without it |
//! | `fence` | I6: who heard a new owner never hears a former one |
//! | `liveness` | I7: after the faults everything goes on |
//! | `bounds` | I8: queues stay bounded |
//!
//! This module tells them what happens. It sees more than any process: who sent a frame, what the store did.

pub mod acknowledged;
pub mod bounds;
pub mod commits;
pub mod fence;
pub mod liveness;
pub mod shown;
pub mod steps;
pub mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use pintail_core::{EntryNumber, GameId, Incarnation, Seq, Step};
use pintail_game::runtime::Now;
use pintail_store::{
    EndOutcome, HandOverOutcome, Owner, PlaceOutcome, RestoreOutcome, Result as StoreResult, SavedSnapshot,
};
use pintail_wire::client::{GameAttached, GameDetachReason, GameEndReason};
use pintail_wire::game::{Acked, Reliable, State};
use pintail_wire::{Frame, Message as _, kind};

use self::liveness::Standing;
use crate::env::Env;
use crate::ledger::{Entry, Said, variant};
use crate::network::{Origin, Process};
use crate::scenario::Plan;
use crate::store::{Call, Reply};

/// A client as a game's player: its seat, and which start of the client it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Player {
    /// The seat.
    pub seat: u16,
    /// The start.
    pub life: u32,
}

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// The game that it is about.
    pub game: Option<GameId>,
    /// When it was found.
    pub at: Now,
    /// What was found.
    pub detail: String,
}

/// What is known of a game.
#[derive(Debug)]
pub struct Facts {
    /// Its number in the run, from which its ledger is known.
    pub number: u64,
    /// How many players it has.
    pub players: u16,
    /// What type of ledger it is.
    pub variant: u8,
    acknowledged: acknowledged::Acknowledged,
    streams: streams::Streams,
    shown: shown::Shown,
    steps: steps::Steps,
    /// Who owned it, and what was committed.
    pub commits: commits::Commits,
    fence: fence::Fence,
    /// How its players stand.
    pub liveness: liveness::Liveness,
    /// Who ended it, and how.
    pub ended: Option<(Incarnation, EndOutcome)>,
    /// When an owner first wanted to end it.
    end_asked: Option<Now>,
}

/// Everything that is checked in a run.
#[derive(Debug)]
pub struct Invariants {
    /// The first that does not hold.
    pub violation: Option<Violation>,
    /// The games of the run.
    pub games: BTreeMap<GameId, Facts>,
    /// When a game ended last.
    pub last_end: Now,
    /// When one got another owner than it had.
    pub last_move: Now,
    /// Servers with games that go on without protection, and since when.
    unprotected: BTreeMap<Incarnation, Now>,
    /// What was acknowledged after this time may be lost.
    forgiven: Option<Now>,
    is_lenient: bool,
}

impl Invariants {
    /// Nothing has happened.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let is_lenient = plan.scenario.is_double_failure();
        Self {
            violation: None,
            games: BTreeMap::new(),
            last_end: Now::default(),
            last_move: Now::default(),
            unprotected: BTreeMap::new(),
            forgiven: None,
            is_lenient,
        }
    }

    /// The games that go on and were this server's until another claimed them.
    fn games_taken_from(&self, former: Incarnation) -> Vec<GameId> {
        let is_taken = |facts: &Facts| {
            let is_former = facts.commits.owner().is_some_and(|it| it.incarnation != former);
            is_former && facts.ended.is_none() && facts.commits.epoch_of(former, Now(Duration::MAX)).is_some()
        };
        self.games.iter().filter(|(_, facts)| is_taken(facts)).map(|(id, _)| *id).collect()
    }

    /// Whether a game of this owner has ended and the store does not know.
    fn has_untold_end(&self, owner: Incarnation) -> bool {
        let is_untold = |facts: &Facts| {
            let is_its = facts.commits.owner().is_some_and(|it| it.incarnation == owner);
            is_its && facts.end_asked.is_some() && facts.ended.is_none()
        };
        self.games.values().any(is_untold)
    }

    /// A game was ordered.
    pub fn game_ordered(&mut self, id: GameId, number: u64, players: u16, variant: u8) {
        self.games.entry(id).or_insert_with(|| Facts {
            number,
            players,
            variant,
            acknowledged: acknowledged::Acknowledged::default(),
            streams: streams::Streams::default(),
            shown: shown::Shown::default(),
            steps: steps::Steps::new(telling(variant)),
            commits: commits::Commits::default(),
            fence: fence::Fence::default(),
            liveness: liveness::Liveness::default(),
            ended: None,
            end_asked: None,
        });
    }
}

impl Facts {
    /// Compares everything with the game's final history.
    ///
    /// # Errors
    /// The name of an invariant that does not hold, and why.
    pub fn check_history(&self, history: &[Entry], forgiven: Option<Now>) -> Result<(), (&'static str, String)> {
        // What came in the game's last step after its end was taken, and changed nothing; and what an ephemeral game
        // acknowledges waits for its step in memory.
        let at_end = if self.variant < variant::STEPS_EPHEMERAL {
            self.end_asked
        } else {
            self.end_asked.and(Some(Now::default()))
        };
        let forgiven_input = [forgiven, at_end].into_iter().flatten().min();
        self.acknowledged.check(history, forgiven_input).map_err(|why| (acknowledged::NAME, why))?;
        if forgiven.is_some() {
            return Ok(());
        }
        self.shown.check(history).map_err(|why| (shown::NAME, why))?;
        self.steps.check(history).map_err(|why| (steps::NAME, why))
    }

    /// How many positions a player has been shown.
    #[must_use]
    pub fn positions(&self, player: Player) -> Option<u64> {
        self.streams.positions(player)
    }
}

/// What the state messages of a type of ledger tell.
const fn telling(variant: u8) -> steps::Telling {
    if variant % 2 == variant::STEPS { steps::Telling::WholeStep } else { steps::Telling::EarlierSteps }
}

impl Env {
    /// Notes that an invariant does not hold, unless one was found already.
    pub fn check(&mut self, game: Option<GameId>, invariant: &'static str, outcome: Result<(), String>) {
        if let Err(detail) = outcome
            && self.invariants.violation.is_none()
        {
            self.trace.note(self.now, game, &[99], || format!("VIOLATION {invariant}: {detail}"));
            self.invariants.violation = Some(Violation { invariant, game, at: self.now, detail });
        }
    }

    /// What was acknowledged or shown after this time may be lost, if the run allows it at all.
    #[must_use]
    pub fn forgiven(&self) -> Option<Now> {
        self.invariants.forgiven.filter(|_| self.invariants.is_lenient)
    }

    /// Whether so much went wrong together that something may be lost.
    #[must_use]
    pub fn is_lenient(&self) -> bool {
        self.invariants.is_lenient
    }

    /// A game server has games that go on without protection, or it has none and holds its lease.
    pub fn watch_protection(&mut self, of: Incarnation, is_unprotected: bool, is_safe: bool) {
        let now = self.now;
        if is_unprotected {
            if self.invariants.unprotected.contains_key(&of) {
                return;
            }
            self.invariants.unprotected.insert(of, now);
            for id in self.invariants.games_taken_from(of) {
                self.split(id, now);
            }
        } else if is_safe && !self.invariants.has_untold_end(of) {
            self.invariants.unprotected.remove(&of);
        }
    }

    /// A game goes on without protection where it was, and another server has claimed it, so something was wrong with its
    /// owner besides the store's absence. What was acknowledged meanwhile may be lost, and nothing that was acknowledged before.
    fn split(&mut self, id: GameId, since: Now) {
        self.trace.note(self.now, Some(id), &[60], || {
            format!("the game went on without protection since {since:?}, and is claimed")
        });
        if self.plan.scenario.is_single_failure() {
            return;
        }
        self.tally.splits += u64::from(!self.invariants.is_lenient);
        self.invariants.is_lenient = true;
        self.invariants.forgiven = Some(self.invariants.forgiven.map_or(since, |earlier| earlier.min(since)));
        for facts in self.invariants.games.values_mut() {
            facts.commits.forget(EntryNumber(u64::MAX / 2));
            facts.fence.forget();
        }
    }

    fn about(&mut self, id: GameId, invariant: &'static str, check: impl FnOnce(&mut Facts) -> Result<(), String>) {
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            let outcome = check(facts);
            self.check(Some(id), invariant, outcome);
        }
    }

    /// The store has gone back to an earlier state.
    pub fn rolled_back(&mut self, to: Now) {
        let forgiven = self.invariants.forgiven.map_or(to, |earlier| earlier.min(to));
        self.invariants.forgiven = Some(forgiven);
        for facts in self.invariants.games.values_mut() {
            // Which numbers are left is the store's affair: anything may be committed again.
            facts.commits.forget(EntryNumber(u64::MAX / 2));
            if self.invariants.is_lenient {
                facts.fence.forget();
            }
        }
    }

    /// A client sends a numbered input.
    pub fn input_sent(&mut self, id: GameId, player: Player, seq: Seq, content: u64) {
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            facts.acknowledged.sent(player, seq, content);
        }
    }

    /// A frame reaches a client.
    pub fn frame_shown(&mut self, player: Player, frame: &Frame, origin: Option<Origin>) {
        let Some((id, ack)) = game_and_ack(frame) else { return };
        let now = self.now;
        let is_strict = !self.invariants.is_lenient || self.invariants.forgiven.is_none();
        let Some(facts) = self.invariants.games.get_mut(&id) else { return };
        self.tally.acknowledged += facts.acknowledged.acknowledge(player, ack, now);
        if matches!(frame.kind, kind::client::GAME_MESSAGE | kind::client::GAME_ENDED)
            && let Ok(message) = Reliable::decode(frame.body.clone())
            && is_strict
        {
            self.about(id, streams::NAME, |facts| facts.streams.frame(player, frame.kind, &message));
        }
        if let Some(origin) = origin {
            self.about(id, fence::NAME, |facts| {
                let epoch = facts.commits.epoch_of(origin.incarnation, origin.sent);
                epoch.map_or(Ok(()), |epoch| facts.fence.hear(player.seat, epoch))
            });
        }
    }

    /// An owner wants to end a game. Without its lease, it may have gone on without protection until its end.
    pub fn end_asked(&mut self, id: GameId, owner: Incarnation, is_held: bool) {
        let now = self.now;
        if !is_held {
            self.invariants.unprotected.entry(owner).or_insert(now);
        }
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            facts.end_asked.get_or_insert(now);
        }
    }

    /// A client's stream is open.
    pub fn attached(&mut self, id: GameId, player: Player, resynchronised: bool) {
        let may_go_back = self.forgiven().is_some();
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            if resynchronised && may_go_back {
                facts.liveness.went_back();
            }
            facts.streams.attached(player, resynchronised);
            facts.liveness.stands(player, Standing::Attached);
        }
    }

    /// A client's stream is not open for a while.
    pub fn paused(&mut self, id: GameId, player: Player) {
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            facts.liveness.stands(player, Standing::Detached);
        }
    }

    /// A client's stream is closed for good.
    pub fn closed(&mut self, id: GameId, player: Player, reason: GameDetachReason) {
        let is_lenient = self.invariants.is_lenient;
        let Some(facts) = self.invariants.games.get_mut(&id) else { return };
        facts.liveness.stands(player, Standing::Closed(reason));
        if reason == GameDetachReason::StreamBroken && !is_lenient {
            self.check(Some(id), streams::NAME, Err(format!("the stream of {player:?} is broken for good")));
        }
    }

    /// A client shows a reliable message.
    pub fn message_shown(&mut self, id: GameId, player: Player, step: Step, said: Said) {
        self.tally.messages += 1;
        if self.forgiven().is_some() {
            return;
        }
        self.about(id, streams::NAME, |facts| facts.streams.message(player, said));
        self.about(id, shown::NAME, |facts| {
            facts.liveness.shown(step);
            facts.shown.show(step, said)
        });
        self.about(id, steps::NAME, |facts| facts.steps.show(step, said));
    }

    /// A client shows a state message.
    pub fn state_shown(&mut self, id: GameId, player: Player, step: Step, said: Said) {
        self.tally.states += 1;
        let is_forgiven = self.forgiven().is_some();
        self.about(id, shown::NAME, |facts| {
            facts.liveness.shown(step);
            if facts.liveness.standing(player.seat) != Standing::Attached {
                return Err(format!("{player:?} is shown a state while it is not attached"));
            }
            if is_forgiven { Ok(()) } else { facts.shown.show(step, said) }
        });
        if !is_forgiven {
            self.about(id, steps::NAME, |facts| facts.steps.show(step, said));
        }
    }

    /// A client shows the end of a game.
    pub fn ended_shown(&mut self, id: GameId, player: Player, reason: GameEndReason) {
        self.trace.note(self.now, Some(id), &[18, reason as u64], || format!("{player:?} saw the end: {reason:?}"));
        if let Some(facts) = self.invariants.games.get_mut(&id) {
            facts.liveness.stands(player, Standing::SawEnd);
        }
    }

    /// The store has done something.
    pub fn watch_call(&mut self, by: Process, call: &Call, reply: &StoreResult<Reply>) {
        let Ok(reply) = reply else { return };
        let now = self.now;
        match (call, reply) {
            (Call::Write(writes), Reply::Written(outcomes)) => {
                for (write, outcome) in writes.iter().zip(outcomes) {
                    self.about(write.game, commits::NAME, |facts| facts.commits.wrote(write, *outcome, now));
                }
            }
            (Call::Place(order), Reply::Placed(PlaceOutcome::Placed(owner))) => {
                self.owned(order.id, *owner);
            }
            (Call::Restore(order, owner, snapshot), Reply::Restored(RestoreOutcome::Restored)) => {
                self.kept(order.id, snapshot.as_ref());
                self.owned(order.id, *owner);
            }
            (Call::Claim(_), Reply::Claimed(claimed)) => {
                for game in &claimed.games {
                    let former = self.invariants.games.get(&game.id).and_then(|facts| facts.commits.owner());
                    let since = former.and_then(|former| self.invariants.unprotected.get(&former.incarnation).copied());
                    if let Some(since) = since {
                        self.split(game.id, since);
                    }
                    self.tally.takeovers += u64::from(self.owned(game.id, game.owner));
                }
            }
            (Call::HandOver(id, _, snapshot, _), Reply::HandedOver(HandOverOutcome::To(owner))) => {
                self.kept(*id, Some(snapshot));
                self.tally.migrations += u64::from(self.owned(*id, *owner));
            }
            (Call::HandOver(id, _, snapshot, _), Reply::HandedOver(HandOverOutcome::SetAside)) => {
                self.kept(*id, Some(snapshot));
            }
            (Call::End(id, owner, outcome), Reply::Ended(true)) => self.game_ended(by, *id, *owner, outcome),
            _ => {}
        }
    }

    fn game_ended(&mut self, _by: Process, id: GameId, owner: Owner, outcome: &EndOutcome) {
        if let Some(facts) = self.invariants.games.get_mut(&id)
            && facts.ended.is_none()
        {
            self.tally.ended += 1;
            self.invariants.last_end = self.now;
            facts.ended = Some((owner.incarnation, outcome.clone()));
        }
    }

    fn kept(&mut self, id: GameId, snapshot: Option<&SavedSnapshot>) {
        if let (Some(facts), Some(snapshot)) = (self.invariants.games.get_mut(&id), snapshot) {
            facts.commits.kept(snapshot.number);
        }
    }

    fn owned(&mut self, id: GameId, owner: Owner) -> bool {
        let now = self.now;
        let (mut is_news, mut had_owner) = (false, false);
        self.about(id, commits::NAME, |facts| {
            had_owner = facts.commits.owner().is_some();
            is_news = facts.commits.owned(owner, now)?;
            Ok(())
        });
        if is_news && had_owner {
            self.invariants.last_move = now;
        }
        is_news
    }
}

/// The game that a frame to a client is of, and the last input that it acknowledges.
pub(crate) fn game_and_ack(frame: &Frame) -> Option<(GameId, Seq)> {
    let body = frame.body.clone();
    match frame.kind {
        kind::client::GAME_MESSAGE | kind::client::GAME_ENDED => {
            Reliable::decode(body).ok().map(|message| (message.game, message.ack))
        }
        kind::client::GAME_STATE => State::decode(body).ok().map(|state| (state.game, state.ack)),
        kind::client::GAME_ACKED => Acked::decode(body).ok().map(|acked| (acked.game, acked.ack)),
        kind::client::GAME_ATTACHED => {
            let attached = GameAttached::decode(body).ok()?;
            let id = GameId { room: pintail_core::RoomId(attached.room), round: pintail_core::Round(attached.round) };
            Some((id, Seq(attached.received)))
        }
        _ => None,
    }
}

//! All games of one server: finds the game that an event is for, and the time of the next one.
//!
//! | module | what it holds |
//! | --- | --- |
//! | the root | events in, turns of games, what is due |
//! | `event` | what happens to a server |
//! | `frames` | what gateways send |
//! | `loads` | games on their way from the store |
//! | `writing` | journals, and whether the server may speak for its games |
//! | `claims` | games of servers that are gone |
//! | `moving` | games that leave for other servers |
//! | `overview` | what operators are told of the games |
//! | `policy` | how journaled games are kept |
//! | `turns` | which game has its turn next |

mod claims;
mod event;
mod frames;
mod loads;
mod moving;
mod overview;
mod policy;
mod turns;
mod writing;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Epoch, GameId, Incarnation, SessionId, Slot};
use pintail_net::LinkId;
use pintail_store::WithoutServer;
use pintail_wire::client::{GameDetachReason, GameDetached};
use pintail_wire::link::Attach;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rustc_hash::FxHashMap;

pub use event::{Answer, HostEvent, StoreFailed};
use loads::Load;
pub use overview::GameNow;
pub use policy::JournalPolicy;
use turns::Turns;

use super::current::CurrentGame;
use super::effects::{Command, Delivery, Effects};
use super::journaling::moves::Moves;
use super::journaling::refresh::Refresh;
use super::journaling::takeover::Takeover;
use super::journaling::voice::Voice;
use super::journaling::{Reaction, Stance};
use super::running::{Moment, RunningGame};
use super::{Budget, Now};
use crate::self_check::Findings;
use crate::types::GameTypes;

/// The games of one server, as a state machine: [`handle`](Self::handle) takes what happens, and
/// [`advance`](Self::advance) does what is due once everything that was waiting has been taken.
#[derive(Debug)]
pub struct GameHost {
    types: Arc<GameTypes>,
    policy: JournalPolicy,
    incarnation: Incarnation,
    /// Where the server is registered; None before it first is.
    slot: Option<Slot>,
    games: FxHashMap<GameId, RunningGame>,
    /// How many of them are journaled.
    journaled: usize,
    /// How many of them went on as of their last turn.
    live: usize,
    /// The game that a session attached to last. The game itself knows whether it still is.
    sessions: FxHashMap<SessionId, GameId>,
    /// Games on their way from the store, with what waits for them.
    loads: HashMap<GameId, Load>,
    /// Those that have come and wait to be restored, one after the other.
    restores: VecDeque<GameId>,
    timers: BTreeSet<(Now, GameId)>,
    /// Games that something happened to, or whose time has come, until their turn.
    turns: Turns,
    voice: Voice,
    /// Whether the server may speak for its journaled games, as of the last turn.
    stance: Stance,
    takeover: Takeover,
    moves: Moves,
    refresh: Refresh,
    /// Games that were dropped since the last turn because the store says that they are not ours.
    fenced: Vec<GameId>,
    /// What is known of games that are not deterministic.
    findings: Findings,
    current: Arc<CurrentGame>,
    rng: SmallRng,
    stopping: bool,
}

impl GameHost {
    /// A host without games. `seed` decides how long it waits before it tells the store again, and nothing else.
    #[must_use]
    pub fn new(types: Arc<GameTypes>, incarnation: Incarnation, policy: JournalPolicy, seed: u64) -> Self {
        Self {
            types,
            policy,
            incarnation,
            slot: None,
            games: FxHashMap::default(),
            journaled: 0,
            live: 0,
            sessions: FxHashMap::default(),
            loads: HashMap::new(),
            restores: VecDeque::new(),
            timers: BTreeSet::new(),
            turns: Turns::default(),
            voice: Voice::default(),
            stance: Stance::default(),
            takeover: Takeover::default(),
            moves: Moves::new(policy.hand_over_batch),
            refresh: Refresh::default(),
            fenced: Vec::new(),
            findings: Findings::default(),
            current: Arc::new(CurrentGame::default()),
            rng: SmallRng::seed_from_u64(seed),
            stopping: false,
        }
    }

    /// Shows which game has its turn, for whoever looks at a loop that hangs.
    #[must_use]
    pub fn current(&self) -> Arc<CurrentGame> {
        self.current.clone()
    }

    /// Takes an event. Event-driven games step at the next [`advance`](Self::advance), so that everything that
    /// arrived together is one step.
    pub fn handle(&mut self, now: Now, event: HostEvent, fx: &mut Effects) {
        match event {
            HostEvent::Joined(slot) => self.join(slot),
            HostEvent::Frame(link, frame) => self.handle_frame(now, link, frame, fx),
            HostEvent::LinkClosed(link) => self.close_link(now, link),
            HostEvent::Placed(id) => self.load(id, fx),
            HostEvent::PlayerLeft(id, session) => self.player_left(id, session, fx),
            HostEvent::Hosted { games, asked } => self.compare(now, games, asked, fx),
            HostEvent::Loaded(id, answer) => self.loaded(now, id, answer, fx),
            HostEvent::Damaged(id, record, problem) => self.damaged(now, id, record, problem, fx),
            HostEvent::EndAnswered(id, epoch, answer) => {
                let game = self.games.get_mut(&id).filter(|game| game.owner.epoch == epoch);
                if let Some(game) = game {
                    let reaction = game.end_answered(now, answer.ok(), &mut self.rng);
                    self.turns.push(id);
                    if reaction == Reaction::Drop {
                        self.fence(id, fx);
                    }
                }
            }
            HostEvent::Restored(id, owner, answer) => {
                if self.is_of_now(id, owner.epoch) {
                    self.restored(now, id, owner, &answer, fx);
                }
            }
            HostEvent::Written(id, epoch, number, answer) => {
                if self.is_of_now(id, epoch) {
                    self.written(now, id, number, &answer, fx);
                }
            }
            HostEvent::Claimed(answer) => self.claimed(now, answer, fx),
            HostEvent::HandedOver(id, epoch, answer) => {
                if self.is_of_now(id, epoch) {
                    self.handed_over(now, id, &answer, fx);
                }
            }
            HostEvent::LookForOrphans => self.claim(now, fx),
            HostEvent::Lease(until) => self.renew(now, until, fx),
            HostEvent::StoreDoubted => self.doubt_store(now),
            HostEvent::Drain => self.drain(now, WithoutServer::Keep),
            HostEvent::Stop => self.stop(now, fx),
        }
        self.tell_differences(fx);
    }

    /// Whether an answer is to what the game that runs here asked, and not to an earlier life of it under another epoch.
    fn is_of_now(&self, id: GameId, epoch: Epoch) -> bool {
        self.games.get(&id).is_some_and(|game| game.owner.epoch == epoch)
    }

    /// Does what is due at this time, game by game, until all is done or the budget is spent. At least one game has its
    /// turn, and one that waits to be restored; those that had none come first the next time, so that none starves
    /// however slow the others are.
    pub fn advance(&mut self, now: Now, budget: &Budget<'_>, fx: &mut Effects) {
        self.look_around(now);
        self.refresh_due(now, fx);
        self.move_due(now, fx);
        for (_, id) in self.timers.iter().take_while(|(at, _)| *at <= now) {
            self.turns.push(*id);
        }
        let mut clock = budget.now();
        while let Some(id) = self.turns.next() {
            clock = self.advance_game(now, id, clock, budget, fx);
            if budget.is_spent_at(clock) {
                break;
            }
        }
        let mut arrived = Vec::new();
        while let Some(id) = self.restores.pop_front() {
            arrived.extend(self.restore(now, id, fx));
            if budget.is_spent() {
                break;
            }
        }
        if !arrived.is_empty() {
            fx.push(Command::GamesHere(arrived));
        }
        if self.takeover.wants_more() {
            self.claim(now, fx);
        }
        self.tell_fenced();
        self.tell_differences(fx);
    }

    fn tell_differences(&mut self, fx: &mut Effects) {
        for (order, difference) in fx.differences.drain(..) {
            fx.stats.differences += u64::from(self.findings.note(order.id, &order.game_type, &difference));
        }
    }

    /// Gives a game its turn, which begins at this time of the clock. Returns when it ended.
    fn advance_game(&mut self, now: Now, id: GameId, began: Now, budget: &Budget<'_>, fx: &mut Effects) -> Now {
        let moment = Moment { now, stance: self.stance, hold_max: self.policy.hold_max };
        let Some(game) = self.games.get_mut(&id) else { return began };
        self.current.enter(game.order());
        let steps_before = fx.stats.steps;
        game.advance(moment, budget, fx);
        self.current.leave();
        let ended = budget.now();
        let steps = fx.stats.steps - steps_before;
        if steps > 0 {
            let took = ended.since(began);
            game.times.add(took, steps);
            fx.step_times.add(took, steps);
        }
        self.live -= usize::from(game.has_just_ended());
        if game.is_over(now) {
            self.forget(id);
            return ended;
        }
        if !game.is_departing() {
            self.moves.stays(now, id);
        }
        self.reschedule(id);
        ended
    }

    /// When [`advance`](Self::advance) has something to do: at once if something happened since the last one, or that one
    /// was cut short.
    #[must_use]
    pub fn next_due(&self) -> Option<Now> {
        if !self.turns.is_empty() || !self.restores.is_empty() {
            return Some(Now::default());
        }
        let lapse = self.voice.lapses_at().filter(|_| self.stance == Stance::Speaks && self.journaled > 0);
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, lapse, self.refresh.due(), self.moves.due()].into_iter().flatten().min()
    }

    /// How many games go on, as of the last [`advance`](Self::advance).
    #[must_use]
    pub const fn live_games(&self) -> usize {
        self.live
    }

    /// How many games go on or are on their way from the store.
    #[must_use]
    pub fn unfinished_games(&self) -> usize {
        self.live_games() + self.loads.len()
    }

    /// Whether every game is over, the store knows it, and those players have heard it who are attached; and every
    /// journaled game is another server's, or set aside.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.loads.is_empty() && self.games.values().all(RunningGame::is_flushed)
    }

    /// Whether any game here is journaled.
    #[must_use]
    pub const fn has_journaled_games(&self) -> bool {
        self.journaled > 0
    }

    /// How long the oldest write to a journal has been under way; `None` if none is.
    #[must_use]
    pub fn commit_lag(&self, now: Now) -> Option<Duration> {
        self.games.values().filter_map(|game| game.commit_lag(now)).max()
    }

    /// How many journaled games go on without protection, because the store can't be reached.
    #[must_use]
    pub fn unprotected_games(&self) -> usize {
        self.games.values().filter(|game| game.is_unprotected()).count()
    }

    /// How many players are attached.
    #[must_use]
    pub fn attached_players(&self) -> usize {
        self.games.values().map(RunningGame::attached_count).sum()
    }

    #[cfg(test)]
    pub(super) fn step_of(&self, id: GameId) -> u64 {
        self.games[&id].step_taken().0
    }

    #[cfg(test)]
    pub(super) fn known_sessions(&self) -> usize {
        self.sessions.len()
    }

    fn join(&mut self, slot: Slot) {
        self.slot = Some(slot);
        // What is written names the slot, and the store counts the game there.
        self.games.values_mut().filter(|game| game.is_journaled()).for_each(|game| game.owner.slot = slot);
    }

    fn player_left(&mut self, id: GameId, session: SessionId, fx: &mut Effects) {
        if let Some(game) = self.touch(id) {
            game.leave(session, fx);
        } else if let Some(load) = self.loads.get_mut(&id) {
            load.note_left(session);
        }
    }

    fn close_link(&mut self, now: Now, link: LinkId) {
        self.voice.forget(link);
        for load in self.loads.values_mut() {
            load.parked.retain(|(other, _)| *other != link);
        }
        let affected = self.games.iter_mut().filter_map(|(id, game)| game.close_link(now, link).then_some(*id));
        self.turns.push_all(affected.collect());
    }

    fn stop(&mut self, now: Now, fx: &mut Effects) {
        self.stopping = true;
        for game in self.games.values_mut() {
            game.stop(now, fx);
        }
        self.turns.push_all(self.games.keys().copied().collect());
        self.drain(now, WithoutServer::SetAside);
    }

    /// A game is here from now on.
    fn add(&mut self, now: Now, game: RunningGame) {
        let id = game.order().id;
        debug_assert!(!self.games.contains_key(&id), "{id} is loaded while it is here");
        if game.is_journaled() {
            self.journaled += 1;
            self.moves.add(now, id);
        }
        self.live += usize::from(game.counts_as_live);
        self.games.insert(id, game);
        self.turns.push(id);
    }

    fn touch(&mut self, id: GameId) -> Option<&mut RunningGame> {
        let game = self.games.get_mut(&id)?;
        self.turns.push(id);
        Some(game)
    }

    /// The journaled games, in an order that does not depend on chance.
    fn journaled_games(&self) -> Vec<GameId> {
        let mut ids: Vec<_> = self.games.iter().filter(|(_, game)| game.is_journaled()).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    fn reschedule(&mut self, id: GameId) {
        let Some(game) = self.games.get_mut(&id) else { return };
        let due = game.due();
        if due != game.timer {
            if let Some(former) = game.timer {
                self.timers.remove(&(former, id));
            }
            if let Some(due) = due {
                self.timers.insert((due, id));
            }
            game.timer = due;
        }
    }

    fn forget(&mut self, id: GameId) {
        let Some(game) = self.games.remove(&id) else { return };
        self.journaled -= usize::from(game.is_journaled());
        self.live -= usize::from(game.counts_as_live);
        self.moves.gone(id);
        self.takeover.acquit(id);
        if let Some(timer) = game.timer {
            self.timers.remove(&(timer, id));
        }
        for session in game.sessions() {
            if let Entry::Occupied(entry) = self.sessions.entry(session)
                && *entry.get() == id
            {
                entry.remove();
            }
        }
    }
}

fn deny(link: LinkId, attach: &Attach, reason: GameDetachReason, message: &str, retry: bool, fx: &mut Effects) {
    let (room, round) = (attach.room, attach.round);
    let notice = GameDetached { room, round, reason: reason.into(), message: message.to_owned(), retry };
    fx.deliver(link, Delivery::detached(SessionId(attach.session), &notice));
}

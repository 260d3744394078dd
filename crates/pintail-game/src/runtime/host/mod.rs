//! All games of one server: finds the game that an event is for, and the time of the next one.

mod frames;
mod turns;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use pintail_core::limits::ROOM_PLAYERS_MAX;
use pintail_core::{EntryNumber, GameId, Incarnation, SessionId, Slot};
use pintail_net::LinkId;
use pintail_store::{Claimed, GameOrder, GameRecord, HandOverOutcome, Owner, RestoreOutcome, SavedGame, WriteOutcome};
use pintail_wire::Frame;
use pintail_wire::client::{GameDetachReason, GameDetached};
use pintail_wire::link::Attach;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tracing::{debug, warn};

use turns::Turns;

use super::effects::{Command, Delivery, Effects};
use super::running::RunningGame;
use super::{Budget, Now};
use crate::limits::LOADS_MAX;
use crate::types::GameTypes;

/// Why there is no answer of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFailed {
    /// It could not be asked, or did not answer in time: ask again.
    Away,
    /// What it holds of the game can't be used; the sentence says why. Asking again won't help.
    Damaged(String),
}

/// What a store call came to.
pub type Answer<T> = Result<T, StoreFailed>;

/// Something that happens to a game server.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEvent {
    /// The server is registered in this slot.
    Joined(Slot),
    /// A frame arrived on a link.
    Frame(LinkId, Frame),
    /// A link is gone, or is too slow to be of use.
    LinkClosed(LinkId),
    /// A letter: the game was placed here.
    Placed(GameId),
    /// A letter: the player left the room.
    PlayerLeft(GameId, SessionId),
    /// A scan of the store: the games that this server should be running, as asked at that time.
    Hosted {
        /// The games that have not ended as far as the store knows.
        games: Vec<GameId>,
        /// When the store was asked.
        asked: Now,
    },
    /// Answers [`Command::Load`].
    Loaded(GameId, Answer<Option<SavedGame>>),
    /// Answers [`Command::End`]: whether the game is over with this owner.
    EndAnswered(GameId, Answer<bool>),
    /// Answers [`Command::Restore`].
    Restored(GameId, Owner, Answer<RestoreOutcome>),
    /// Answers [`Command::Write`]: what became of the write whose last entry has this number.
    Written(GameId, EntryNumber, Answer<WriteOutcome>),
    /// Answers [`Command::Claim`].
    Claimed(Answer<Claimed>),
    /// Answers [`Command::HandOver`].
    HandedOver(GameId, Answer<HandOverOutcome>),
    /// Games may wait for an owner: a server is gone, or it is time to look.
    LookForOrphans,
    /// The server holds its lease for certain until this time.
    Lease(Now),
    /// The store may have lost what it acknowledged: every journaled game is written anew.
    StoreDoubted,
    /// Journaled games are to be handed over to other servers, the others to go on until they end: the server drains.
    Drain,
    /// Ends every game that is not journaled, and sets those aside that are: the server stops.
    Stop,
}

/// How a host keeps its journaled games.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPolicy {
    /// A snapshot is taken after so many entries,
    pub snapshot_entries: u64,
    /// or so many bytes of entries,
    pub snapshot_bytes: usize,
    /// or so many steps, whichever is first.
    pub snapshot_steps: u64,
    /// How far a game of fixed steps may be shown beyond its last committed entry. After a takeover its players wait for
    /// so long at most until their inputs count again; a game without inputs writes an entry about twice in it.
    pub horizon: Duration,
    /// How long output is held while the store can't be reached; then games go on without protection.
    pub hold_max: Duration,
    /// How long the players of a game that was taken over are waited for before it goes on.
    pub settle_max: Duration,
    /// When a game that was taken over is written anew, which proves that it can be run.
    pub proven_after: Duration,
    /// How many games a server claims at once.
    pub claim_batch: u32,
    /// How many games are handed over at once.
    pub hand_over_batch: usize,
}

impl Default for JournalPolicy {
    fn default() -> Self {
        Self {
            snapshot_entries: 256,
            snapshot_bytes: 64 * 1024,
            snapshot_steps: 1024,
            horizon: Duration::from_millis(500),
            hold_max: Duration::from_secs(2),
            settle_max: Duration::from_millis(300),
            proven_after: pintail_core::limits::PROVEN_AFTER,
            claim_batch: 32,
            hand_over_batch: 32,
        }
    }
}

/// The games of one server, as a state machine: [`handle`](Self::handle) takes what happens, and
/// [`advance`](Self::advance) does what is due once everything that was waiting has been taken.
#[derive(Debug)]
pub struct GameHost {
    types: Arc<GameTypes>,
    policy: JournalPolicy,
    incarnation: Incarnation,
    /// Where the server is registered; None before it first is.
    slot: Option<Slot>,
    games: HashMap<GameId, RunningGame>,
    /// The game that a session attached to last. The game itself knows whether it still is.
    sessions: HashMap<SessionId, GameId>,
    /// Games on their way from the store, with what waits for them.
    loads: HashMap<GameId, Load>,
    timers: BTreeSet<(Now, GameId)>,
    /// Games that something happened to, or whose time has come, until their turn.
    turns: Turns,
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
            games: HashMap::new(),
            sessions: HashMap::new(),
            loads: HashMap::new(),
            timers: BTreeSet::new(),
            turns: Turns::default(),
            rng: SmallRng::seed_from_u64(seed),
            stopping: false,
        }
    }

    /// Takes an event. Event-driven games step at the next [`advance`](Self::advance), so that everything that
    /// arrived together is one step.
    pub fn handle(&mut self, now: Now, event: HostEvent, fx: &mut Effects) {
        match event {
            HostEvent::Joined(slot) => self.slot = Some(slot),
            HostEvent::Frame(link, frame) => self.handle_frame(now, link, frame, fx),
            HostEvent::LinkClosed(link) => self.close_link(now, link),
            HostEvent::Placed(id) => self.load(id, fx),
            HostEvent::PlayerLeft(id, session) => {
                if let Some(game) = self.touch(id) {
                    game.leave(session, fx);
                } else if let Some(load) = self.loads.get_mut(&id) {
                    load.note_left(session);
                }
            }
            HostEvent::Hosted { games, asked } => self.compare(games, asked, fx),
            HostEvent::Loaded(id, answer) => self.loaded(now, id, answer, fx),
            HostEvent::EndAnswered(id, answer) => {
                self.turns.push(id);
                if let Some(game) = self.games.get_mut(&id) {
                    game.end_answered(now, answer.ok(), &mut self.rng);
                }
            }
            HostEvent::Restored(id, owner, answer) => self.restored(id, owner, answer, fx),
            HostEvent::Stop => self.stop(now, fx),
            HostEvent::Written(..)
            | HostEvent::Claimed(_)
            | HostEvent::HandedOver(..)
            | HostEvent::LookForOrphans
            | HostEvent::Lease(_)
            | HostEvent::StoreDoubted
            | HostEvent::Drain => {}
        }
    }

    /// Does what is due at this time, game by game, until all is done or the budget is spent. At least one game has its
    /// turn; those that had none come first the next time, so that none starves however slow the others are.
    pub fn advance(&mut self, now: Now, budget: &Budget<'_>, fx: &mut Effects) {
        for (_, id) in self.timers.iter().take_while(|(at, _)| *at <= now) {
            self.turns.push(*id);
        }
        while let Some(id) = self.turns.next() {
            self.advance_game(now, id, budget, fx);
            if budget.is_spent() {
                break;
            }
        }
    }

    fn advance_game(&mut self, now: Now, id: GameId, budget: &Budget<'_>, fx: &mut Effects) {
        let Some(game) = self.games.get_mut(&id) else { return };
        game.advance(now, budget, fx);
        if game.is_over(now) {
            self.forget(id);
        } else {
            self.reschedule(id);
        }
    }

    /// When [`advance`](Self::advance) has something to do: at once if something happened since the last one, or that one
    /// was cut short.
    #[must_use]
    pub fn next_due(&self) -> Option<Now> {
        if self.turns.is_empty() { self.timers.first().map(|(at, _)| *at) } else { Some(Now::default()) }
    }

    /// How many games go on.
    #[must_use]
    pub fn live_games(&self) -> usize {
        self.games.values().filter(|game| game.is_live()).count()
    }

    /// How many games go on or are on their way from the store.
    #[must_use]
    pub fn unfinished_games(&self) -> usize {
        self.live_games() + self.loads.len()
    }

    /// Whether every game is over, the store knows it, and those players have heard it who are attached.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.games.values().all(RunningGame::is_flushed)
    }

    /// How long the oldest write to a journal has been under way; `None` if none is.
    #[must_use]
    pub fn commit_lag(&self, _now: Now) -> Option<Duration> {
        None
    }

    /// How many journaled games go on without protection, because the store can't be reached.
    #[must_use]
    pub fn unprotected_games(&self) -> usize {
        0
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

    /// An attach to a game that is not here (yet) waits for what the store says of it.
    fn park(&mut self, id: GameId, link: LinkId, attach: Attach, fx: &mut Effects) {
        self.load(id, fx);
        let parked = self.loads.get_mut(&id).map(|load| &mut load.parked);
        match parked.filter(|parked| parked.len() < ROOM_PLAYERS_MAX as usize) {
            Some(parked) => {
                parked.retain(|(_, other)| other.session != attach.session);
                parked.push((link, attach));
            }
            None => deny(link, &attach, GameDetachReason::ServerUnreachable, "the game's server is busy", true, fx),
        }
    }

    fn load(&mut self, id: GameId, fx: &mut Effects) {
        if self.games.contains_key(&id) || self.loads.len() >= LOADS_MAX {
            return;
        }
        if let Entry::Vacant(load) = self.loads.entry(id) {
            load.insert(Load::default());
            fx.push(Command::Load(id));
        }
    }

    fn loaded(&mut self, now: Now, id: GameId, answer: Answer<Option<SavedGame>>, fx: &mut Effects) {
        let Some(Load { parked, left }) = self.loads.remove(&id) else { return };
        let refusal = match answer.map(|saved| saved.map(|saved| saved.record)) {
            Err(_) => Some((GameDetachReason::ServerUnreachable, "the store can't be reached", true)),
            Ok(None) => Some((GameDetachReason::NoSuchGame, "there is no such game", false)),
            Ok(Some(GameRecord { outcome: Some(_), .. })) => {
                Some((GameDetachReason::NoSuchGame, "the game is over", false))
            }
            Ok(Some(record)) if record.owner.incarnation != self.incarnation => {
                Some((GameDetachReason::ServerUnreachable, "the game is run by another server", true))
            }
            Ok(Some(record)) => {
                self.start(now, record.order, record.owner, fx);
                None
            }
        };
        for (link, attach) in parked {
            match refusal {
                Some((reason, message, retry)) => deny(link, &attach, reason, message, retry, fx),
                None => self.attach(now, link, attach, fx),
            }
        }
        for session in left {
            if let Some(game) = self.touch(id) {
                game.leave(session, fx);
            }
        }
    }

    fn start(&mut self, now: Now, order: GameOrder, owner: Owner, fx: &mut Effects) {
        let id = order.id;
        if self.games.contains_key(&id) {
            return;
        }
        let mut game = RunningGame::start(now, &self.types, order, owner, fx);
        if self.stopping {
            game.stop(now, fx);
        }
        self.games.insert(id, game);
        self.turns.push(id);
    }

    fn close_link(&mut self, now: Now, link: LinkId) {
        for load in self.loads.values_mut() {
            load.parked.retain(|(other, _)| *other != link);
        }
        let affected = self.games.iter_mut().filter_map(|(id, game)| game.close_link(now, link).then_some(*id));
        self.turns.push_all(affected.collect());
    }

    /// Loads what should run here and does not; puts back what runs here and the store lost.
    fn compare(&mut self, hosted: Vec<GameId>, asked: Now, fx: &mut Effects) {
        for id in &hosted {
            self.load(*id, fx);
        }
        let Some(slot) = self.slot else { return };
        let hosted: HashSet<_> = hosted.into_iter().collect();
        for (id, game) in &self.games {
            // A game that began after the question can't be in the answer.
            if game.is_live() && game.created < asked && !hosted.contains(id) {
                let owner = Owner { slot, ..game.owner };
                fx.push(Command::Restore { order: game.order().clone(), owner, snapshot: None });
            }
        }
    }

    fn restored(&mut self, id: GameId, owner: Owner, answer: Answer<RestoreOutcome>, fx: &mut Effects) {
        let Some(game) = self.games.get_mut(&id).filter(|game| game.is_live()) else { return };
        match answer {
            Ok(RestoreOutcome::Restored) => game.owner = owner,
            Ok(RestoreOutcome::Taken) => {
                warn!(game = %id, "the store says that the game is not ours; it is dropped");
                game.disown(fx);
                self.forget(id);
            }
            // The store lost this server too, which its membership is about to mend. The next scan asks again.
            Ok(RestoreOutcome::Unregistered) => {}
            Err(_) => debug!(game = %id, "the game could not be put back into the store"),
        }
    }

    fn stop(&mut self, now: Now, fx: &mut Effects) {
        self.stopping = true;
        for game in self.games.values_mut() {
            game.stop(now, fx);
        }
        self.turns.push_all(self.games.keys().copied().collect());
    }

    fn touch(&mut self, id: GameId) -> Option<&mut RunningGame> {
        let game = self.games.get_mut(&id)?;
        self.turns.push(id);
        Some(game)
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

/// What has to wait until a game is loaded.
#[derive(Debug, Default)]
struct Load {
    /// Players who want to attach.
    parked: Vec<(LinkId, Attach)>,
    /// Players who have left the room meanwhile.
    left: Vec<SessionId>,
}

impl Load {
    fn note_left(&mut self, session: SessionId) {
        if self.left.len() < ROOM_PLAYERS_MAX as usize && !self.left.contains(&session) {
            self.left.push(session);
        }
    }
}

fn deny(link: LinkId, attach: &Attach, reason: GameDetachReason, message: &str, retry: bool, fx: &mut Effects) {
    let (room, round) = (attach.room, attach.round);
    let notice = GameDetached { room, round, reason: reason.into(), message: message.to_owned(), retry };
    fx.deliver(link, Delivery::detached(SessionId(attach.session), &notice));
}

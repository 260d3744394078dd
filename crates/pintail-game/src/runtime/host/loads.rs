//! Games on their way from the store.

use std::collections::HashSet;
use std::collections::hash_map::Entry;

use pintail_core::limits::ROOM_PLAYERS_MAX;
use pintail_core::{Durability, Epoch, GameId, SessionId};
use pintail_net::LinkId;
use pintail_store::{GameOrder, GameRecord, Owner, SavedGame};
use pintail_wire::client::GameDetachReason;
use pintail_wire::link::Attach;
use tracing::error;

use super::{Answer, GameHost, StoreFailed, deny};
use crate::limits::LOADS_MAX;
use crate::runtime::ending::unreadable;
use crate::runtime::running::RunningGame;
use crate::runtime::{Command, Effects, Now};

/// A game on its way from the store, and what has to wait for it.
#[derive(Debug, Default)]
pub(super) struct Load {
    stage: Stage,
    /// Players who want to attach.
    pub(super) parked: Vec<(LinkId, Attach)>,
    /// Players who have left the room meanwhile.
    left: Vec<SessionId>,
}

/// How far a load is. The store is asked once at a time, so that no answer can overtake another.
#[derive(Debug, Default)]
enum Stage {
    /// The store was asked.
    #[default]
    Asked,
    /// The store was asked before the game was ours, or was ours again: once it has answered, it is asked again.
    AskedTooEarly,
    /// What was kept of the game has come, and waits to be restored.
    Come(Box<SavedGame>),
}

impl Load {
    fn take_saved(&mut self) -> Option<Box<SavedGame>> {
        match std::mem::take(&mut self.stage) {
            Stage::Come(saved) => Some(saved),
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    pub(super) fn note_left(&mut self, session: SessionId) {
        if self.left.len() < ROOM_PLAYERS_MAX as usize && !self.left.contains(&session) {
            self.left.push(session);
        }
    }
}

/// Why a game is not run here: what its players are told, and whether trying again can help.
type Refusal = (GameDetachReason, &'static str, bool);

impl GameHost {
    /// An attach to a game that is not here (yet) waits for what the store says of it.
    pub(super) fn park(&mut self, id: GameId, link: LinkId, attach: Attach, fx: &mut Effects) {
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

    pub(super) fn load(&mut self, id: GameId, fx: &mut Effects) {
        if self.games.contains_key(&id) || self.loads.len() >= LOADS_MAX {
            return;
        }
        if let Entry::Vacant(load) = self.loads.entry(id) {
            load.insert(Load::default());
            fx.push(Command::Load(id));
        }
    }

    /// Loads a game that is ours as of now, whatever was asked before.
    pub(super) fn load_anew(&mut self, id: GameId, fx: &mut Effects) {
        let is_under_way = |load: &Load| !matches!(load.stage, Stage::Come(_));
        let stage = if self.loads.get(&id).is_some_and(is_under_way) {
            Stage::AskedTooEarly
        } else {
            fx.push(Command::Load(id));
            Stage::Asked
        };
        self.loads.entry(id).or_default().stage = stage;
    }

    /// Others may have claimed games that are on their way: what the store said of them until now does not count.
    pub(super) fn doubt_loads(&mut self, fx: &mut Effects) {
        let mut ids: Vec<_> = self.loads.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.load_anew(id, fx));
    }

    /// Whether an answer of the store counts. If it was asked too early, it is asked again.
    fn is_awaited(&mut self, id: GameId, fx: &mut Effects) -> bool {
        let Some(load) = self.loads.get_mut(&id) else { return false };
        let is_awaited = matches!(load.stage, Stage::Asked);
        if matches!(load.stage, Stage::AskedTooEarly) {
            load.stage = Stage::Asked;
            fx.push(Command::Load(id));
        }
        is_awaited
    }

    pub(super) fn loaded(&mut self, now: Now, id: GameId, answer: Answer<Option<SavedGame>>, fx: &mut Effects) {
        if let Err(StoreFailed::Damaged(problem)) = answer {
            return self.damaged(now, id, None, problem, fx);
        }
        if !self.is_awaited(id, fx) {
            return;
        }
        match self.examine(id, answer) {
            Ok(saved) if must_be_restored(&saved) => {
                if let Some(load) = self.loads.get_mut(&id) {
                    load.stage = Stage::Come(Box::new(saved));
                    self.restores.push_back(id);
                }
            }
            Ok(SavedGame { record, .. }) => {
                self.start(now, record.order, record.owner, fx);
                self.open(now, id, fx);
            }
            Err(refusal) => self.refuse(id, refusal, fx),
        }
    }

    fn refuse(&mut self, id: GameId, (reason, message, retry): Refusal, fx: &mut Effects) {
        let Some(Load { parked, .. }) = self.loads.remove(&id) else { return };
        for (link, attach) in parked {
            deny(link, &attach, reason, message, retry, fx);
        }
    }

    /// Whether a game is to be run here.
    fn examine(&mut self, id: GameId, answer: Answer<Option<SavedGame>>) -> Result<SavedGame, Refusal> {
        let refusal = match answer {
            Ok(Some(SavedGame { record: GameRecord { owner, outcome: None, .. }, .. }))
                if owner.incarnation != self.incarnation =>
            {
                (GameDetachReason::ServerUnreachable, "the game is run by another server", true)
            }
            Ok(Some(saved)) if saved.record.outcome.is_none() => return Ok(saved),
            Ok(Some(_)) => (GameDetachReason::NoSuchGame, "the game is over", false),
            Ok(None) => (GameDetachReason::NoSuchGame, "there is no such game", false),
            // A game that is ours is found again by the next scan.
            Err(_) => return Err((GameDetachReason::ServerUnreachable, "the store can't be reached", true)),
        };
        self.takeover.restored(id);
        self.takeover.acquit(id);
        Err(refusal)
    }

    /// The store has nothing of a game that can be used. If it is ours it is over, which its players and the store are told
    /// like any other end. What is kept of it stays for whoever looks into it.
    pub(super) fn damaged(
        &mut self,
        now: Now,
        id: GameId,
        record: Option<GameRecord>,
        problem: String,
        fx: &mut Effects,
    ) {
        if !self.is_awaited(id, fx) {
            return;
        }
        let claimed = self.takeover.owner(id);
        self.takeover.restored(id);
        self.takeover.acquit(id);
        let refusal = (GameDetachReason::ServerUnreachable, "what was kept of the game can't be read", true);
        match record {
            Some(record) if record.owner.incarnation == self.incarnation && record.outcome.is_none() => {
                let game = RunningGame::damaged(now, &self.types, self.policy, record, problem, fx);
                self.add(now, game);
                self.open(now, id, fx);
            }
            Some(_) => self.refuse(id, refusal, fx),
            None => {
                error!(game = %id, problem, "what is kept of a game is damaged, even whose it is");
                if let Some(owner) = claimed {
                    fx.push(Command::End { id, owner, outcome: unreadable() });
                }
                self.refuse(id, refusal, fx);
            }
        }
    }

    fn start(&mut self, now: Now, order: GameOrder, owner: Owner, fx: &mut Effects) {
        if self.games.contains_key(&order.id) {
            return;
        }
        let mut game = RunningGame::start(now, &self.types, self.policy, order, owner, &self.current, fx);
        if self.stopping {
            game.stop(now, fx);
        }
        self.add(now, game);
    }

    /// Restores a game that has come from the store. Returns it if nobody has said yet that it is here.
    pub(super) fn restore(&mut self, now: Now, id: GameId, fx: &mut Effects) -> Option<GameId> {
        // It may have been asked for anew since it came.
        let saved = self.loads.get_mut(&id)?.take_saved()?;
        let attempts = saved.attempts;
        let game = RunningGame::restore(now, &self.types, self.policy, *saved, &self.current, fx);
        self.add(now, game);
        let was_claimed = self.takeover.restored(id);
        if was_claimed {
            fx.stats.takeovers += 1;
        } else {
            // It was handed over to this server, or is a former claim's.
            self.takeover.suspect(id, attempts);
        }
        self.open(now, id, fx);
        (!was_claimed).then_some(id)
    }

    /// The game is here: what waited for it happens.
    fn open(&mut self, now: Now, id: GameId, fx: &mut Effects) {
        let Some(Load { parked, left, .. }) = self.loads.remove(&id) else { return };
        for (link, attach) in parked {
            self.attach(now, link, attach, fx);
        }
        for session in left {
            if let Some(game) = self.touch(id) {
                game.leave(session, fx);
            }
        }
    }

    /// Loads what should run here and does not; puts back what runs here and the store lost.
    pub(super) fn compare(&mut self, now: Now, hosted: Vec<GameId>, asked: Now, fx: &mut Effects) {
        for id in &hosted {
            self.load(*id, fx);
        }
        let Some(slot) = self.slot else { return };
        let hosted: HashSet<_> = hosted.into_iter().collect();
        self.takeover.keep(|id| hosted.contains(&id) || self.loads.contains_key(&id));
        // A game that began after the question can't be in the answer.
        let is_missing =
            |(id, game): &(&GameId, &RunningGame)| game.is_live() && game.created < asked && !hosted.contains(*id);
        let mut missing: Vec<_> = self.games.iter().filter(is_missing).map(|(id, _)| *id).collect();
        // In an order that does not depend on chance.
        missing.sort_unstable();
        let mut written_anew = Vec::new();
        for id in missing {
            let Some(game) = self.games.get_mut(&id) else { continue };
            if game.is_journaled() {
                game.doubt_store(now);
                written_anew.push(id);
            } else {
                let owner = Owner { slot, ..game.owner };
                fx.push(Command::Restore { order: (**game.order()).clone(), owner, snapshot: None });
            }
        }
        self.refresh.add(now, written_anew);
    }
}

/// Whether a game has been run before. One that was placed and of which nothing was written starts from its order.
fn must_be_restored(saved: &SavedGame) -> bool {
    let written = saved.journal.snapshot.is_some() || !saved.journal.entries.is_empty();
    saved.record.order.durability == Durability::Journaled && (saved.record.owner.epoch > Epoch(1) || written)
}

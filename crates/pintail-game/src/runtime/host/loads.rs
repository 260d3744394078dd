//! Games on their way from the store.

use std::collections::HashSet;
use std::collections::hash_map::Entry;

use pintail_core::limits::ROOM_PLAYERS_MAX;
use pintail_core::{Durability, Epoch, GameId, SessionId};
use pintail_net::LinkId;
use pintail_store::{EndReason, GameOrder, GameRecord, Owner, SavedGame};
use pintail_wire::client::GameDetachReason;
use pintail_wire::link::Attach;
use tracing::error;

use super::{Answer, GameHost, StoreFailed, deny};
use crate::limits::LOADS_MAX;
use crate::runtime::ending::cut_short;
use crate::runtime::running::RunningGame;
use crate::runtime::{Command, Effects, Now};

/// A game on its way from the store, and what has to wait for it.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// How many answers are still to come. Before it was claimed, a game may have been asked for in vain.
    asked: u32,
    /// What was kept of it, once it has come, until it is restored.
    saved: Option<Box<SavedGame>>,
    /// Players who want to attach.
    pub(super) parked: Vec<(LinkId, Attach)>,
    /// Players who have left the room meanwhile.
    left: Vec<SessionId>,
}

impl Load {
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
            load.insert(Load { asked: 1, ..Load::default() });
            fx.push(Command::Load(id));
        }
    }

    /// Loads a game that is ours as of now, whatever was asked before.
    pub(super) fn load_anew(&mut self, id: GameId, fx: &mut Effects) {
        let load = self.loads.entry(id).or_default();
        load.asked += 1;
        load.saved = None;
        fx.push(Command::Load(id));
    }

    pub(super) fn loaded(&mut self, now: Now, id: GameId, answer: Answer<Option<SavedGame>>, fx: &mut Effects) {
        let Some(load) = self.loads.get_mut(&id) else { return };
        load.asked = load.asked.saturating_sub(1);
        if load.asked > 0 || load.saved.is_some() {
            // An answer that was asked for later counts.
            return;
        }
        match self.examine(id, answer, fx) {
            Ok(saved) if must_be_restored(&saved) => {
                if let Some(load) = self.loads.get_mut(&id) {
                    load.saved = Some(Box::new(saved));
                    self.restores.push_back(id);
                }
            }
            Ok(SavedGame { record, .. }) => {
                self.start(now, record.order, record.owner, fx);
                self.open(now, id, fx);
            }
            Err((reason, message, retry)) => {
                let Some(Load { parked, .. }) = self.loads.remove(&id) else { return };
                for (link, attach) in parked {
                    deny(link, &attach, reason, message, retry, fx);
                }
            }
        }
    }

    /// Whether a game is to be run here.
    fn examine(
        &mut self,
        id: GameId,
        answer: Answer<Option<SavedGame>>,
        fx: &mut Effects,
    ) -> Result<SavedGame, Refusal> {
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
            Err(StoreFailed::Away) => {
                return Err((GameDetachReason::ServerUnreachable, "the store can't be reached", true));
            }
            Err(StoreFailed::Damaged(problem)) => {
                self.end_damaged(id, &problem, fx);
                (GameDetachReason::ServerUnreachable, "what was kept of the game can't be read", true)
            }
        };
        self.takeover.restored(id);
        self.takeover.acquit(id);
        Err(refusal)
    }

    /// Ends a game of which the store has nothing that can be used. What it has is kept for whoever looks into it.
    fn end_damaged(&mut self, id: GameId, problem: &str, fx: &mut Effects) {
        error!(game = %id, problem, "what was kept of a game is damaged; the game ends and is kept");
        fx.stats.failed_replays += 1;
        if let Some(owner) = self.takeover.owner(id) {
            let outcome = cut_short(EndReason::Crashed, "What was kept of the game can't be read, so it had to end.");
            fx.push(Command::End { id, owner, outcome });
        }
    }

    fn start(&mut self, now: Now, order: GameOrder, owner: Owner, fx: &mut Effects) {
        if self.games.contains_key(&order.id) {
            return;
        }
        let mut game = RunningGame::start(now, &self.types, self.policy, order, owner, fx);
        if self.stopping {
            game.stop(now, fx);
        }
        self.add(now, game);
    }

    /// Restores a game that has come from the store. Returns it if nobody has said yet that it is here.
    pub(super) fn restore(&mut self, now: Now, id: GameId, fx: &mut Effects) -> Option<GameId> {
        let mut untold = None;
        let saved = self.loads.get_mut(&id).and_then(|load| load.saved.take());
        if let Some(saved) = saved.filter(|_| !self.games.contains_key(&id)) {
            let attempts = saved.attempts;
            let game = RunningGame::restore(now, &self.types, self.policy, *saved, &self.current, fx);
            self.add(now, game);
            if self.takeover.restored(id) {
                fx.stats.takeovers += 1;
            } else {
                // It was handed over to this server, or is a former claim's.
                untold = Some(id);
                self.takeover.suspect(id, attempts);
            }
        }
        self.open(now, id, fx);
        untold
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
    pub(super) fn compare(&mut self, hosted: Vec<GameId>, asked: Now, fx: &mut Effects) {
        for id in &hosted {
            self.load(*id, fx);
        }
        let Some(slot) = self.slot else { return };
        let hosted: HashSet<_> = hosted.into_iter().collect();
        self.takeover.keep(|id| hosted.contains(&id) || self.loads.contains_key(&id));
        for (id, game) in &mut self.games {
            // A game that began after the question can't be in the answer.
            if !game.is_live() || game.created >= asked || hosted.contains(id) {
                continue;
            }
            if game.is_journaled() {
                game.is_missing();
                self.turns.push(*id);
            } else {
                let owner = Owner { slot, ..game.owner };
                fx.push(Command::Restore { order: (**game.order()).clone(), owner, snapshot: None });
            }
        }
    }
}

/// Whether a game has been run before. One that was placed and of which nothing was written starts from its order.
fn must_be_restored(saved: &SavedGame) -> bool {
    let written = saved.journal.snapshot.is_some() || !saved.journal.entries.is_empty();
    saved.record.order.durability == Durability::Journaled && (saved.record.owner.epoch > Epoch(1) || written)
}

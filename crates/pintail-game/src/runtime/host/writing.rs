//! Journals, and whether the server may speak for its games.

use pintail_core::{EntryNumber, GameId};
use pintail_store::{Owner, RestoreOutcome, WriteOutcome};
use tracing::{debug, warn};

use super::{Answer, GameHost};
use crate::runtime::journaling::Reaction;
use crate::runtime::journaling::voice::Renewal;
use crate::runtime::{Effects, Now};

impl GameHost {
    /// The lease is held until then.
    pub(super) fn renew(&mut self, now: Now, until: Now, fx: &mut Effects) {
        if self.voice.renew(now, until) == Renewal::AfterLapse {
            self.games.values_mut().for_each(|game| game.doubt_ownership(now));
            self.turns.push_all(self.games.keys().copied().collect());
            self.refresh.begin(now, self.journaled_games());
            self.doubt_loads(fx);
        }
    }

    /// The store may have lost what it acknowledged.
    pub(super) fn doubt_store(&mut self, now: Now) {
        self.games.values_mut().for_each(|game| game.doubt_store(now));
        self.turns.push_all(self.games.keys().copied().collect());
        self.refresh.begin(now, self.journaled_games());
    }

    /// Sees whether the server may speak for its games, and gives each a turn when that has changed.
    pub(super) fn look_around(&mut self, now: Now) {
        let stance = self.voice.stance(now);
        if stance != self.stance {
            self.stance = stance;
            self.turns.push_all(self.journaled_games());
        }
    }

    pub(super) fn refresh_due(&mut self, now: Now, fx: &mut Effects) {
        for id in self.refresh.take_due(now) {
            if let Some(game) = self.games.get_mut(&id) {
                game.refresh(fx);
                self.turns.push(id);
            }
        }
    }

    pub(super) fn written(
        &mut self,
        now: Now,
        id: GameId,
        number: EntryNumber,
        answer: &Answer<WriteOutcome>,
        fx: &mut Effects,
    ) {
        let Some(game) = self.games.get_mut(&id) else { return };
        self.turns.push(id);
        match game.written(now, number, answer, &mut self.rng) {
            Reaction::GoOn => {}
            Reaction::Committed => {
                if game.is_proven() {
                    self.takeover.acquit(id);
                }
            }
            Reaction::Drop => self.fence(id, fx),
        }
    }

    pub(super) fn restored(
        &mut self,
        now: Now,
        id: GameId,
        owner: Owner,
        answer: &Answer<RestoreOutcome>,
        fx: &mut Effects,
    ) {
        let Some(game) = self.games.get_mut(&id) else { return };
        self.turns.push(id);
        if game.is_journaled() {
            if game.put_back(now, answer, &mut self.rng) == Reaction::Drop {
                self.fence(id, fx);
            }
            return;
        }
        if !game.is_live() {
            return;
        }
        match answer {
            Ok(RestoreOutcome::Restored) => game.owner = owner,
            Ok(RestoreOutcome::Taken) => self.fence(id, fx),
            // The store lost this server too, which its membership is about to mend. The next scan asks again.
            Ok(RestoreOutcome::Unregistered) => {}
            Err(_) => debug!(game = %id, "the game could not be put back into the store"),
        }
    }

    /// The game is another server's, or over: it is dropped with everything that it has not said.
    pub(super) fn fence(&mut self, id: GameId, fx: &mut Effects) {
        debug!(game = %id, "the store says that the game is not ours; it is dropped");
        fx.stats.fenced_games += 1;
        self.fenced.push(id);
        self.drop_game(id, "the game is run by another server now", fx);
    }

    /// Says once how many games were dropped: after a takeover it is all of them.
    pub(super) fn tell_fenced(&mut self) {
        if let [first, ..] = self.fenced[..] {
            warn!(games = self.fenced.len(), %first, "the store says that games are not ours; they are dropped");
            self.fenced.clear();
        }
    }

    /// Forgets a game that goes on elsewhere. Its players are told to ask where.
    pub(super) fn drop_game(&mut self, id: GameId, message: &str, fx: &mut Effects) {
        if let Some(game) = self.games.get_mut(&id) {
            game.disown(message, fx);
            self.forget(id);
        }
    }
}

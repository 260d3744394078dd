//! Games of servers that are gone.

use pintail_core::GameId;
use pintail_store::Claimed;
use pintail_store::journal::CLAIM_MAX;
use tracing::{info, warn};

use super::{Answer, GameHost};
use crate::limits::LOADS_MAX;
use crate::runtime::journaling::Stance;
use crate::runtime::{Command, Effects, Now};

impl GameHost {
    /// Claims games that wait for an owner, if this server could run them.
    pub(super) fn claim(&mut self, now: Now, fx: &mut Effects) {
        let room = u32::try_from(LOADS_MAX.saturating_sub(self.loads.len())).unwrap_or(u32::MAX);
        let limit = self.policy.claim_batch.min(CLAIM_MAX).min(room);
        let may_claim = self.slot.is_some() && !self.moves.has_begun() && self.voice.stance(now) == Stance::Speaks;
        if !may_claim || limit == 0 {
            return;
        }
        if let Some(suspects) = self.takeover.claim() {
            fx.push(Command::Claim { limit, suspects });
        }
    }

    pub(super) fn claimed(&mut self, now: Now, answer: Answer<Claimed>, fx: &mut Effects) {
        let Ok(claimed) = answer else { return self.takeover.failed() };
        self.takeover.take(&claimed);
        if claimed.games.is_empty() {
            return;
        }
        let ids: Vec<GameId> = claimed.games.iter().map(|game| game.id).collect();
        info!(games = ids.len(), waiting = claimed.waiting, "taking over games of servers that are gone");
        for game in &claimed.games {
            if game.attempts > 1 {
                warn!(game = %game.id, "the last server that took this game over was lost soon after; it is tried again");
            }
            let ours = self.games.get(&game.id).map(|running| running.owner.epoch);
            if ours.is_some_and(|epoch| game.owner.epoch <= epoch) {
                self.keep_claimed(now, game.id, fx);
            } else {
                // What was run here was run under an earlier claim, and others may have gone on with it since.
                self.drop_game(game.id, "the game is being taken over", fx);
                self.load_anew(game.id, fx);
            }
        }
        fx.push(Command::GamesHere(ids));
    }

    /// The game was found by other ways before the answer came, or the store has gone back to a time before it was claimed.
    /// The memory here is the best that there is, and what it has written may still be on its way.
    fn keep_claimed(&mut self, now: Now, id: GameId, fx: &mut Effects) {
        self.takeover.restored(id);
        if let Some(game) = self.touch(id) {
            game.doubt_store(now);
            game.refresh(fx);
        }
    }
}

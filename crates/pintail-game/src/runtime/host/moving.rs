//! Games that leave for other servers.

use pintail_core::GameId;
use pintail_store::{HandOverOutcome, WithoutServer};

use super::{Answer, GameHost};
use crate::runtime::running::Farewell;
use crate::runtime::{Effects, Now};

impl GameHost {
    /// Hands journaled games over from now on.
    pub(super) fn drain(&mut self, now: Now, without_server: WithoutServer) {
        let mut games = self.journaled_games();
        games.retain(|id| self.games[id].is_live());
        self.moves.begin(now, without_server, games);
    }

    /// Lets the games begin to leave whose turn it is.
    pub(super) fn move_due(&mut self, now: Now, fx: &mut Effects) {
        while let Some((id, without_server)) = self.moves.next(now) {
            match self.games.get_mut(&id).filter(|game| game.is_live()) {
                None => self.moves.gone(id),
                Some(game) => {
                    self.current.enter(game.order());
                    let leaves = game.begin_departure(now, without_server, fx);
                    self.current.leave();
                    if !leaves {
                        self.moves.stays(now, id);
                    }
                    self.turns.push(id);
                }
            }
        }
    }

    pub(super) fn handed_over(&mut self, now: Now, id: GameId, answer: &Answer<HandOverOutcome>, fx: &mut Effects) {
        let Some(game) = self.games.get_mut(&id) else { return };
        self.turns.push(id);
        match game.hand_over_answered(now, answer) {
            Farewell::Gone => {
                fx.stats.moved_games += 1;
                self.drop_game(id, "the game has moved to another server", fx);
            }
            Farewell::Fenced => self.fence(id, fx),
            Farewell::Stays => {
                self.moves.stays(now, id);
                if self.stopping {
                    // Who stops has no time to wait. By now a game that nobody can take is set aside.
                    self.drain(now, WithoutServer::SetAside);
                }
            }
            Farewell::Unknown => {}
        }
    }
}

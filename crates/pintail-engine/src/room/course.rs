//! How a room's game starts and ends.

use pintail_core::{EndOutcome, GameId};

use super::change::Draft;
use super::{Applied, Effect, Phase, Room, RoundEnd, Start};

impl Room {
    /// The start that is under way: whoever finds it may continue it.
    #[must_use]
    pub fn pending_start(&self) -> Option<(GameId, &Start)> {
        match &self.phase {
            Phase::Starting(start) => Some((GameId { room: self.id, round: self.round }, start)),
            Phase::Wait | Phase::Playing => None,
        }
    }

    /// The game is placed: the room plays, and the game hears of players who left meanwhile. A room that has given
    /// that start up stays as it is; then nobody comes to the game.
    #[must_use]
    pub fn game_placed(&self, game: GameId) -> Applied {
        let mut draft = Draft::new(self);
        if let Some((pending, start)) = self.pending_start()
            && pending == game
        {
            let gone = start.seats.iter().filter(|seat| self.member(seat.session).is_none());
            draft.effects.extend(gone.map(|seat| Effect::PlayerLeft(game, seat.session)));
            draft.room.phase = Phase::Playing;
        }
        draft.finish(self, None)
    }

    /// No server takes the game: the room waits again, and the owner may send the same request once more.
    #[must_use]
    pub fn start_failed(&self, game: GameId) -> Applied {
        let mut draft = Draft::new(self);
        if let Some((pending, start)) = self.pending_start()
            && pending == game
        {
            draft.room.phase = Phase::Wait;
            if let Some(starter) = draft.room.member_mut(start.starter) {
                starter.forget(start.request);
            }
        }
        draft.finish(self, None)
    }

    /// The game is over: the room waits again, and nobody is ready.
    #[must_use]
    pub fn game_over(&self, game: GameId, outcome: EndOutcome) -> Applied {
        let mut draft = Draft::new(self);
        if self.game() == Some(game) {
            draft.room.phase = Phase::Wait;
            draft.room.last_end = Some(RoundEnd { round: game.round, outcome });
            for member in &mut draft.room.members {
                member.ready = false;
            }
        }
        draft.finish(self, None)
    }
}

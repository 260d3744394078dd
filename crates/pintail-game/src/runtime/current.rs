//! Which game has its turn, for whoever looks at a loop that hangs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pintail_core::{GameId, GameType};
use pintail_store::GameOrder;

/// The game that has its turn, if one has.
#[derive(Debug, Default)]
pub struct CurrentGame {
    game: Mutex<Option<Arc<GameOrder>>>,
}

impl CurrentGame {
    /// The game that has its turn; `None` between two turns.
    #[must_use]
    pub fn get(&self) -> Option<(GameId, GameType)> {
        self.lock().as_ref().map(|order| (order.id, order.game_type.clone()))
    }

    pub(crate) fn enter(&self, order: &Arc<GameOrder>) {
        *self.lock() = Some(order.clone());
    }

    pub(crate) fn leave(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<GameOrder>>> {
        // It is held for one assignment, which can't fail half way.
        self.game.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Which game has its turn next.

use std::collections::VecDeque;

use pintail_core::GameId;
use rustc_hash::FxHashSet;

/// Games that wait for their turn: first come, first served, each once. A game that something happens to while it waits
/// keeps its place; one that has had its turn goes to the end.
#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: VecDeque<GameId>,
    waiting: FxHashSet<GameId>,
}

impl Turns {
    pub(super) fn push(&mut self, id: GameId) {
        if self.waiting.insert(id) {
            self.queue.push_back(id);
        }
    }

    /// Pushes games that came out of a map, in an order that does not depend on chance.
    pub(super) fn push_all(&mut self, mut ids: Vec<GameId>) {
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.push(id));
    }

    pub(super) fn next(&mut self) -> Option<GameId> {
        let id = self.queue.pop_front()?;
        self.waiting.remove(&id);
        Some(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

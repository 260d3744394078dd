//! Which games are written anew, and when, after the store may have lost what it acknowledged.

use std::collections::{HashSet, VecDeque};

use pintail_core::GameId;

use crate::limits::{REFRESH_BATCH, REFRESH_PERIOD};
use crate::runtime::Now;

/// Games that write a snapshot each, some at a time: each costs its game's own code and the store some work, and all
/// others wait for that.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    waiting: VecDeque<GameId>,
    next: Now,
}

impl Refresh {
    /// All these are written anew, in this order. Who waits already need not wait twice.
    pub(crate) fn begin(&mut self, now: Now, games: impl IntoIterator<Item = GameId>) {
        if self.waiting.is_empty() {
            self.next = self.next.max(now);
        }
        self.waiting = games.into_iter().collect();
    }

    /// These are written anew as well, after those that wait.
    pub(crate) fn add(&mut self, now: Now, games: impl IntoIterator<Item = GameId>) {
        let known: HashSet<_> = self.waiting.iter().copied().collect();
        let waiting = std::mem::take(&mut self.waiting);
        self.begin(now, waiting.into_iter().chain(games.into_iter().filter(|id| !known.contains(id))));
    }

    /// Those whose time has come.
    pub(crate) fn take_due(&mut self, now: Now) -> impl Iterator<Item = GameId> {
        let count = if self.waiting.is_empty() || now < self.next { 0 } else { REFRESH_BATCH.min(self.waiting.len()) };
        if count > 0 {
            self.next = now + REFRESH_PERIOD;
        }
        self.waiting.drain(..count)
    }

    /// When the next are due.
    pub(crate) fn due(&self) -> Option<Now> {
        (!self.waiting.is_empty()).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pintail_core::{RoomId, Round};

    use super::*;

    #[test]
    fn games_are_written_some_at_a_time() {
        let game = |room| GameId { room: RoomId(room), round: Round(1) };
        let now = Now(Duration::from_secs(7));
        let mut refresh = Refresh::default();
        assert_eq!((refresh.due(), refresh.take_due(now).count()), (None, 0));
        refresh.begin(now, (0..REFRESH_BATCH as u64 + 1).map(game));
        assert_eq!(refresh.due(), Some(now));
        assert_eq!(refresh.take_due(now).count(), REFRESH_BATCH);
        assert_eq!(refresh.take_due(now).count(), 0);
        let next = now + REFRESH_PERIOD;
        assert_eq!(refresh.due(), Some(next));
        assert!(refresh.take_due(next).eq([game(REFRESH_BATCH as u64)]));
        refresh.begin(next, [game(1)]);
        assert_eq!(refresh.due(), Some(next + REFRESH_PERIOD), "however often it is asked for");
    }

    #[test]
    fn games_that_are_found_missing_wait_behind_the_others_and_once() {
        let game = |room| GameId { room: RoomId(room), round: Round(1) };
        let now = Now(Duration::from_secs(7));
        let mut refresh = Refresh::default();
        refresh.begin(now, [game(3), game(2)]);
        refresh.add(now, [game(1), game(2), game(4)]);
        assert!(refresh.take_due(now).eq([3, 2, 1, 4].map(game)));
        refresh.add(now, [game(3)]);
        assert_eq!(refresh.due(), Some(now + REFRESH_PERIOD));
    }
}

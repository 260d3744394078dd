//! Which games leave a draining server, and when.

use std::collections::{BTreeSet, HashMap, HashSet};

use pintail_core::GameId;
use pintail_store::WithoutServer;

use crate::limits::MOVE_RETRY;
use crate::runtime::Now;

/// The games that a draining server hands over: so many at once, the others in turn.
#[derive(Debug)]
pub(crate) struct Moves {
    at_once_max: usize,
    /// What becomes of games that nobody can take; `None` while the server does not drain.
    without_server: Option<WithoutServer>,
    /// Those that wait, each from when on it may be tried.
    waiting: BTreeSet<(Now, GameId)>,
    /// From when on: the same, by game.
    times: HashMap<GameId, Now>,
    under_way: HashSet<GameId>,
}

impl Moves {
    pub(crate) fn new(at_once_max: usize) -> Self {
        let (waiting, times) = (BTreeSet::new(), HashMap::new());
        Self { at_once_max, without_server: None, waiting, times, under_way: HashSet::new() }
    }

    /// Hands these games over, and every one that comes later.
    pub(crate) fn begin(&mut self, now: Now, without_server: WithoutServer, games: impl IntoIterator<Item = GameId>) {
        self.without_server = Some(without_server);
        self.waiting.clear();
        self.times.clear();
        games.into_iter().for_each(|id| self.add(now, id));
    }

    /// Whether games are being handed over.
    pub(crate) const fn has_begun(&self) -> bool {
        self.without_server.is_some()
    }

    /// A game has come that is to leave again.
    pub(crate) fn add(&mut self, now: Now, id: GameId) {
        if self.has_begun() && !self.under_way.contains(&id) {
            self.wait_no_longer(id);
            self.waiting.insert((now, id));
            self.times.insert(id, now);
        }
    }

    /// The next game to leave now, which is under way from now on.
    pub(crate) fn next(&mut self, now: Now) -> Option<(GameId, WithoutServer)> {
        let without_server = self.without_server?;
        let (_, id) = self.waiting.first().copied().filter(|(at, _)| *at <= now && self.has_room())?;
        self.wait_no_longer(id);
        self.under_way.insert(id);
        Some((id, without_server))
    }

    /// A game could not leave: it is tried again in a while.
    pub(crate) fn stays(&mut self, now: Now, id: GameId) {
        if self.under_way.remove(&id) {
            self.add(now + MOVE_RETRY, id);
        }
    }

    /// A game is gone from here, wherever to.
    pub(crate) fn gone(&mut self, id: GameId) {
        self.under_way.remove(&id);
        self.wait_no_longer(id);
    }

    fn wait_no_longer(&mut self, id: GameId) {
        if let Some(time) = self.times.remove(&id) {
            self.waiting.remove(&(time, id));
        }
    }

    /// When the next game may leave.
    pub(crate) fn due(&self) -> Option<Now> {
        self.waiting.first().map(|(at, _)| *at).filter(|_| self.has_room())
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.at_once_max
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pintail_core::{RoomId, Round};

    use super::*;

    fn game(room: u64) -> GameId {
        GameId { room: RoomId(room), round: Round(1) }
    }

    fn at(millis: u64) -> Now {
        Now(Duration::from_millis(millis))
    }

    #[test]
    fn games_leave_some_at_a_time() {
        let mut moves = Moves::new(2);
        moves.add(at(0), game(9));
        assert_eq!((moves.next(at(0)), moves.due()), (None, None), "the server does not drain");
        moves.begin(at(0), WithoutServer::Keep, (1..=3).map(game));
        let keep = |room| Some((game(room), WithoutServer::Keep));
        assert_eq!([moves.next(at(0)), moves.next(at(0)), moves.next(at(0))], [keep(1), keep(2), None]);
        assert_eq!(moves.due(), None, "there is room for no more");
        moves.add(at(0), game(2));
        moves.gone(game(2));
        assert_eq!(moves.due(), Some(at(0)));
        assert_eq!([moves.next(at(0)), moves.next(at(0))], [keep(3), None]);
    }

    #[test]
    fn a_game_that_nobody_takes_is_tried_again_and_at_the_end_set_aside() {
        let mut moves = Moves::new(8);
        moves.begin(at(0), WithoutServer::Keep, [game(1), game(2)]);
        moves.next(at(0));
        moves.next(at(0));
        moves.stays(at(5), game(1));
        moves.stays(at(5), game(7));
        let again = at(5) + MOVE_RETRY;
        assert_eq!((moves.next(at(900)), moves.due()), (None, Some(again)));
        moves.begin(at(900), WithoutServer::SetAside, [game(1), game(2)]);
        let expected = [Some((game(1), WithoutServer::SetAside)), None];
        assert_eq!([moves.next(at(900)), moves.next(at(900))], expected, "the second is under way already");
    }
}

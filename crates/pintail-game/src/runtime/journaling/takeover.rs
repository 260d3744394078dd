//! Which games of servers that are gone a server claims, and when.

use std::collections::{HashMap, HashSet};

use pintail_core::GameId;
use pintail_store::{Claimed, ClaimedGame, Owner};

/// The most suspects that are tried together: no more than what is claimed at once. One that kills its server costs as many
/// others a trial alone.
pub(crate) const TRIAL_MAX: u32 = 32;

/// The games that a server takes over.
#[derive(Debug, Default)]
pub(crate) struct Takeover {
    asked: bool,
    /// Games that are ours and not yet restored. Bounded by what is claimed at once: nothing is claimed while there are any.
    claimed: HashMap<GameId, ClaimedGame>,
    /// Whether more wait.
    more: bool,
    /// Games whose last owner died soon after it had claimed them, until they have proved that they can be run here.
    on_trial: HashSet<GameId>,
    /// How many trials this server has survived.
    survived: u32,
    /// Whether a trial is over since games were claimed last: suspects may wait that could not be claimed meanwhile.
    trial_is_over: bool,
}

impl Takeover {
    /// Whether to claim now: how many suspects at most. None while others are on trial here; after each trial that the
    /// server has survived twice as many. So a game that kills its servers takes the good name of few others along, and the
    /// many that are innocent are not kept waiting.
    pub(crate) fn claim(&mut self) -> Option<u32> {
        if self.asked || !self.claimed.is_empty() {
            return None;
        }
        (self.asked, self.more, self.trial_is_over) = (true, false, false);
        Some(if self.on_trial.is_empty() { self.trial_size() } else { 0 })
    }

    fn trial_size(&self) -> u32 {
        2_u32.saturating_pow(self.survived).min(TRIAL_MAX)
    }

    /// The store could not be asked.
    pub(crate) fn failed(&mut self) {
        self.asked = false;
    }

    /// These games are ours.
    pub(crate) fn take(&mut self, claimed: &Claimed) {
        self.asked = false;
        self.more = claimed.waiting > 0 && !claimed.games.is_empty();
        for game in &claimed.games {
            self.claimed.insert(game.id, *game);
            self.suspect(game.id, game.attempts);
        }
    }

    /// A game was claimed so often since an owner last proved that it can be run.
    pub(crate) fn suspect(&mut self, id: GameId, attempts: u32) {
        if attempts > 1 {
            self.on_trial.insert(id);
        }
    }

    /// As whose a game was claimed that is not restored yet.
    pub(crate) fn owner(&self, id: GameId) -> Option<Owner> {
        self.claimed.get(&id).map(|game| game.owner)
    }

    /// A claimed game has been dealt with. Whether it was one.
    pub(crate) fn restored(&mut self, id: GameId) -> bool {
        self.claimed.remove(&id).is_some()
    }

    /// Forgets claimed games that are not ours after all, or not any more.
    pub(crate) fn keep(&mut self, is_ours: impl Fn(GameId) -> bool) {
        self.claimed.retain(|id, _| is_ours(*id));
    }

    /// Whether it is time to claim what else waits.
    pub(crate) fn wants_more(&self) -> bool {
        (self.more || self.trial_is_over) && self.claimed.is_empty() && !self.asked
    }

    /// A game has proved that it can be run, or is not here any more.
    pub(crate) fn acquit(&mut self, id: GameId) {
        if self.on_trial.remove(&id) && self.on_trial.is_empty() {
            self.survived = self.survived.saturating_add(1);
            self.trial_is_over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{Epoch, Incarnation, Kind, RoomId, Round, Slot};

    use super::*;

    fn id(room: u64) -> GameId {
        GameId { room: RoomId(room), round: Round(1) }
    }

    fn claimed(games: &[(u64, u32)], waiting: u32) -> Claimed {
        let owner = Owner { slot: Slot::new(Kind::Game, 0), incarnation: Incarnation(1), epoch: Epoch(2) };
        let games = games.iter().map(|(room, attempts)| ClaimedGame { id: id(*room), owner, attempts: *attempts });
        Claimed { games: games.collect(), waiting }
    }

    #[test]
    fn one_batch_is_claimed_after_the_other() {
        let mut takeover = Takeover::default();
        assert_eq!(takeover.claim(), Some(1));
        assert_eq!(takeover.claim(), None, "the store is being asked");
        takeover.failed();
        assert_eq!(takeover.claim(), Some(1));
        takeover.take(&claimed(&[(1, 1), (2, 1)], 5));
        assert_eq!((takeover.claim(), takeover.wants_more()), (None, false), "the batch is not restored");
        assert_eq!(takeover.owner(id(2)).map(|owner| owner.epoch), Some(Epoch(2)));
        assert!(takeover.restored(id(1)) && takeover.restored(id(2)) && !takeover.restored(id(2)));
        assert!(takeover.wants_more());
        assert_eq!(takeover.claim(), Some(1));
        assert!(!takeover.wants_more());
        takeover.take(&claimed(&[(3, 1)], 5));
        takeover.keep(|other| other == id(3));
        assert_eq!(takeover.claim(), None);
        takeover.keep(|_| false);
        assert_eq!(takeover.claim(), Some(1), "one that was lost on the way blocks nothing");
        takeover.take(&claimed(&[], 5));
        assert!(!takeover.wants_more(), "what others are given is none of our business");
    }

    #[test]
    fn no_suspect_is_claimed_while_others_are_on_trial() {
        let mut takeover = Takeover::default();
        takeover.claim();
        takeover.take(&claimed(&[(1, 2)], 3));
        takeover.restored(id(1));
        assert_eq!(takeover.claim(), Some(0));
        takeover.take(&claimed(&[(2, 1)], 3));
        takeover.restored(id(2));
        takeover.acquit(id(2));
        assert_eq!(takeover.claim(), Some(0), "an innocent is no suspect's excuse");
        takeover.acquit(id(1));
        assert!(!takeover.wants_more(), "the store is being asked");
        takeover.take(&claimed(&[], 0));
        assert!(takeover.wants_more(), "a trial that ends meanwhile is not forgotten");
        assert_eq!(takeover.claim(), Some(2));
    }

    #[test]
    fn a_trial_is_twice_as_large_as_the_last_one_that_was_survived() {
        let mut takeover = Takeover::default();
        for expected in [1, 2, 4, 8, 16, TRIAL_MAX, TRIAL_MAX, TRIAL_MAX] {
            assert_eq!(takeover.claim(), Some(expected));
            let suspects: Vec<(u64, u32)> = (0..u64::from(expected)).map(|room| (room, 2)).collect();
            takeover.take(&claimed(&suspects, 0));
            for (room, _) in &suspects {
                assert!(takeover.restored(id(*room)));
            }
            assert!(!takeover.wants_more(), "what is left are suspects, and these are on trial");
            for (room, _) in &suspects {
                assert!(!takeover.wants_more());
                takeover.acquit(id(*room));
            }
            assert!(takeover.wants_more(), "others may wait for their trial");
            takeover.acquit(id(0));
        }
    }
}

//! Whom a restored game waits for before it takes events again.

use std::collections::BTreeSet;

use pintail_core::Step;

use crate::api::Player;
use crate::runtime::Now;

/// A game of fixed steps that was restored, and may have been shown beyond what its journal holds. The steps that players
/// have seen are run as they were, without events; so no event is applied at a step that anyone has been shown.
#[derive(Debug)]
pub(crate) struct Settling {
    /// The last step that can have been shown.
    horizon: Step,
    /// The last step that a player is known to have been shown, or that is in the journal.
    seen: Step,
    /// Those who were attached and have not said what they have seen.
    awaited: BTreeSet<Player>,
    /// When those who have not come are waited for no longer.
    deadline: Now,
}

impl Settling {
    /// A game that stands at `step` and was shown up to `horizon` at most, to these players. `None` if there is nobody to wait
    /// for, or nothing to be found out.
    pub(crate) fn begin(
        step: Step,
        horizon: Step,
        awaited: impl IntoIterator<Item = Player>,
        deadline: Now,
    ) -> Option<Self> {
        #[cfg(feature = "sabotage")]
        if pintail_core::sabotage::is_on(pintail_core::sabotage::Sabotage::Settling) {
            return None;
        }
        let awaited: BTreeSet<_> = awaited.into_iter().collect();
        (step < horizon && !awaited.is_empty()).then_some(Self { horizon, seen: step, awaited, deadline })
    }

    /// A player says which step was the last to be seen. A client may say anything; one that was restarted has forgotten
    /// what it has seen, and says that it was nothing.
    pub(crate) fn heard(&mut self, player: Player, step_seen: Step) {
        if step_seen == Step(0) {
            return self.give_up(player);
        }
        self.awaited.remove(&player);
        self.seen = self.seen.max(step_seen.min(self.horizon));
    }

    /// A player will not come: gone for good.
    pub(crate) fn give_up(&mut self, player: Player) {
        if self.awaited.remove(&player) {
            // What that player has seen is not known, and others may have heard of it.
            self.seen = self.horizon;
        }
    }

    /// The step from which the game goes on, once it is known.
    pub(crate) fn floor(&self, now: Now) -> Option<Step> {
        if self.awaited.is_empty() { Some(self.seen) } else { (self.deadline <= now).then_some(self.horizon) }
    }

    /// When something is due.
    pub(crate) fn due(&self) -> Now {
        if self.awaited.is_empty() { Now::default() } else { self.deadline }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANN: Player = Player::new(0);
    const BOB: Player = Player::new(1);
    const EARLY: Now = Now(Duration::from_millis(299));
    const LATE: Now = Now(Duration::from_millis(300));

    fn settling() -> Settling {
        Settling::begin(Step(10), Step(20), [ANN, BOB], LATE).unwrap()
    }

    #[test]
    fn it_goes_on_from_what_anyone_has_seen_once_all_have_said() {
        for (ann, bob, floor) in [(13, 12, 13), (3, 1, 10), (13, 999, 20), (1, 20, 20), (11, 0, 20)] {
            let mut settling = settling();
            settling.heard(ANN, Step(ann));
            assert_eq!((settling.floor(EARLY), settling.due()), (None, LATE));
            settling.heard(BOB, Step(bob));
            assert_eq!((settling.floor(EARLY), settling.due()), (Some(Step(floor)), Now::default()), "{ann} {bob}");
        }
    }

    #[test]
    fn those_who_do_not_come_may_have_seen_everything() {
        let mut late = settling();
        late.heard(ANN, Step(11));
        late.heard(ANN, Step(12));
        assert_eq!((late.floor(EARLY), late.floor(LATE)), (None, Some(Step(20))));
        let mut left = settling();
        left.heard(ANN, Step(11));
        left.give_up(BOB);
        assert_eq!(left.floor(EARLY), Some(Step(20)));
    }

    #[test]
    fn there_may_be_nothing_to_wait_for() {
        assert!(Settling::begin(Step(10), Step(10), [ANN], LATE).is_none());
        assert!(Settling::begin(Step(10), Step(20), [], LATE).is_none());
    }
}

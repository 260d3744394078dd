//! How far a game may be shown beyond its last committed entry.

use std::time::Duration;

use pintail_core::Step;

use crate::api::Pace;

/// How far a game may be shown beyond its last committed entry.
///
/// Steps of a fixed pace come by themselves, so a server that has only the journal runs those without events as they were
/// run before, and need not be told of each. But it must not take an event at a step that a player has been shown. So
/// each entry says how far the game may be shown at most: the next owner knows what it can't have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not at all: every step has its entry.
    EveryStep,
    /// So many steps, at least one.
    Steps(u64),
}

impl Reach {
    pub(crate) fn new(pace: Pace, horizon: Duration) -> Self {
        match pace {
            Pace::EventDriven => Self::EveryStep,
            Pace::FixedSteps(per_second) => {
                let steps = (horizon.as_nanos() * u128::from(per_second)).div_ceil(1_000_000_000);
                Self::Steps(u64::try_from(steps).unwrap_or(u64::MAX).max(1))
            }
        }
    }

    /// The last step that may be shown once an entry of this step is committed.
    pub(crate) const fn horizon(self, step: Step) -> Step {
        match self {
            Self::EveryStep => step,
            Self::Steps(steps) => Step(step.0.saturating_add(steps)),
        }
    }

    /// Whether a step needs an entry though it consumes nothing: less than half of the reach is left. The other half is for
    /// the store to answer in, so that nothing is held meanwhile.
    pub(crate) const fn wants_entry(self, step: Step, horizon: Step) -> bool {
        match self {
            Self::EveryStep => true,
            Self::Steps(steps) => horizon.0.saturating_sub(step.0).saturating_mul(2) < steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_is_counted_in_steps() {
        let steps = |millis, per_second| Reach::new(Pace::FixedSteps(per_second), Duration::from_millis(millis));
        for (millis, per_second, expected) in [(500, 20, 10), (500, 1, 1), (0, 20, 1), (510, 20, 11), (1000, 120, 120)]
        {
            assert_eq!(steps(millis, per_second), Reach::Steps(expected), "{millis} ms at {per_second}");
        }
        assert_eq!(Reach::new(Pace::EventDriven, Duration::from_secs(9)), Reach::EveryStep);
    }

    #[test]
    fn a_game_without_events_writes_about_twice_in_its_reach_and_never_runs_out_of_it() {
        for (steps, expected) in [(10, 16), (1, 99), (2, 49), (3, 49), (60, 3)] {
            let reach = Reach::Steps(steps);
            let (mut entries, mut horizon) = (0, reach.horizon(Step(1)));
            for step in (2..=100).map(Step) {
                if reach.wants_entry(step, horizon) {
                    entries += 1;
                    assert!(step <= horizon, "step {step} is beyond what anyone may be shown");
                    horizon = reach.horizon(step);
                }
            }
            assert_eq!(entries, expected, "a reach of {steps}");
        }
        assert!(Reach::EveryStep.wants_entry(Step(2), Step(1)));
    }
}

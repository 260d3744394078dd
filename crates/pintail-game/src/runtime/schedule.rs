//! When a game steps next, and what time it is in the game.

use std::time::Duration;

use pintail_core::Step;

use super::Now;
use crate::api::Pace;
use crate::limits::CATCH_UP_STEPS_MAX;

/// A game's own time beside the server's.
#[derive(Debug)]
pub(crate) struct Schedule {
    pace: Pace,
    /// When the game's time was `offset`.
    started: Now,
    offset: Duration,
    /// When the next fixed step is due.
    next: Now,
}

/// What is due at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// How many steps to run now.
    pub(crate) steps: u32,
    /// How many steps are given up, so that the game's time falls behind by as much.
    pub(crate) skipped: u64,
}

impl Schedule {
    pub(crate) fn new(pace: Pace, now: Now) -> Self {
        let mut schedule = Self::resume(pace, now, Duration::ZERO);
        if let Pace::FixedSteps(per_second) = pace {
            schedule.next = now + period(per_second);
        }
        schedule
    }

    /// The schedule of a game whose own time is `time` now. Its players have waited, so a fixed step is due at once; the
    /// others that were missed are not made up for.
    pub(crate) const fn resume(pace: Pace, now: Now, time: Duration) -> Self {
        Self { pace, started: now, offset: time, next: now }
    }

    /// Takes the steps that are due. `wake` is when an event-driven game wants to be woken, `has_events` whether
    /// something waits for it.
    pub(crate) fn take_due(&mut self, now: Now, wake: Option<Duration>, has_events: bool) -> Due {
        match self.pace {
            Pace::EventDriven => {
                let woken = wake.is_some_and(|wake| self.moment_of(wake) <= now);
                Due { steps: u32::from(has_events || woken), skipped: 0 }
            }
            Pace::FixedSteps(per_second) => self.take_fixed(now, period(per_second)),
        }
    }

    fn take_fixed(&mut self, now: Now, period: Duration) -> Due {
        if now < self.next {
            return Due { steps: 0, skipped: 0 };
        }
        let missed = u64::try_from(now.since(self.next).as_nanos() / period.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
        let steps = u32::try_from(missed).unwrap_or(u32::MAX).min(CATCH_UP_STEPS_MAX);
        let into_period = Duration::from_nanos((now.since(self.next).as_nanos() % period.as_nanos()) as u64);
        // The rhythm stays: the next step comes when it would have come without the stall.
        self.next = now + (period - into_period);
        Due { steps, skipped: missed - u64::from(steps) }
    }

    /// When something is due by itself.
    pub(crate) fn next(&self, wake: Option<Duration>) -> Option<Now> {
        match self.pace {
            Pace::EventDriven => wake.map(|wake| self.moment_of(wake)),
            Pace::FixedSteps(_) => Some(self.next),
        }
    }

    /// The game's own time at this step, if it runs now. Fixed steps are counted, so that it never depends on a clock.
    pub(crate) fn time_at(&self, step: Step, now: Now) -> Duration {
        match self.pace {
            Pace::EventDriven => self.offset.saturating_add(now.since(self.started)),
            Pace::FixedSteps(per_second) => fixed_time(step, per_second),
        }
    }

    /// When it is this time in the game.
    fn moment_of(&self, time: Duration) -> Now {
        self.started + time.saturating_sub(self.offset)
    }
}

/// The time of a step that comes so often a second. Game creation is step 1, at time 0.
pub(crate) fn fixed_time(step: Step, per_second: u16) -> Duration {
    let (seconds, rest) = ((step.0 - 1) / u64::from(per_second), (step.0 - 1) % u64::from(per_second));
    Duration::from_secs(seconds) + Duration::from_nanos(rest * 1_000_000_000 / u64::from(per_second))
}

fn period(per_second: u16) -> Duration {
    Duration::from_nanos(1_000_000_000 / u64::from(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace::FixedSteps(20);

    fn at(millis: u64) -> Now {
        Now(Duration::from_millis(millis))
    }

    #[test]
    fn fixed_steps_keep_their_rhythm() {
        let mut schedule = Schedule::new(PACE, at(0));
        let mut take = |millis| schedule.take_due(at(millis), None, true).steps;
        assert_eq!([take(49), take(50), take(51), take(112), take(149), take(150)], [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn a_stall_is_made_up_for_in_part_and_the_rest_is_skipped() {
        let mut schedule = Schedule::new(PACE, at(0));
        assert_eq!(schedule.take_due(at(200), None, false), Due { steps: 4, skipped: 0 });
        assert_eq!(schedule.take_due(at(1210), None, false), Due { steps: 5, skipped: 15 });
        assert_eq!(schedule.next(None), Some(at(1250)));
    }

    #[test]
    fn event_driven_games_step_for_events_and_wake_ups() {
        let mut schedule = Schedule::new(Pace::EventDriven, at(1000));
        let wake = Some(Duration::from_millis(500));
        assert_eq!(schedule.next(wake), Some(at(1500)));
        assert_eq!(schedule.take_due(at(1499), wake, false).steps, 0);
        assert_eq!(schedule.take_due(at(1499), wake, true).steps, 1);
        assert_eq!(schedule.take_due(at(1500), wake, false).steps, 1);
        assert_eq!(schedule.time_at(Step(9), at(1750)), Duration::from_millis(750));
    }

    #[test]
    fn the_time_of_a_restored_game_goes_on_where_it_was() {
        let time = Duration::from_millis(500);
        let schedule = Schedule::resume(Pace::EventDriven, at(9000), time);
        assert_eq!(schedule.time_at(Step(9), at(9100)), Duration::from_millis(600));
        assert_eq!(schedule.next(Some(Duration::from_millis(700))), Some(at(9200)));
        assert_eq!(schedule.next(Some(Duration::from_millis(100))), Some(at(9000)), "what was missed comes at once");
        assert_eq!(Schedule::resume(PACE, at(9000), time).next(None), Some(at(9000)), "players have waited");
    }

    #[test]
    fn the_time_of_fixed_steps_does_not_drift() {
        assert_eq!(fixed_time(Step(1), 30), Duration::ZERO);
        assert_eq!(fixed_time(Step(2), 30), Duration::from_nanos(33_333_333));
        assert_eq!(fixed_time(Step(30 * 3600 + 1), 30), Duration::from_secs(3600));
    }
}

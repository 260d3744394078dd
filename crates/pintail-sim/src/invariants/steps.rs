//! I5: no going back. No event is applied at a step that someone was shown without it.
//!
//! Whoever owns a game after a takeover may take a step again that the owner before it has shown, with an event that was
//! not in it. So the smallest number of positions counts that anyone was shown at a step, not the last.

use std::collections::BTreeMap;

use pintail_core::Step;

use crate::ledger::{Entry, Said};

/// The invariant's name in a failure.
pub const NAME: &str = "I5 no going back";

/// What a state message says about its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It was sent at the step's end (fixed steps): all that the step applied is in it.
    WholeStep,
    /// It was sent in the middle of its step (event-driven): all that was applied at earlier steps is in it.
    EarlierSteps,
}

impl Telling {
    /// Whether a state message of step `shown` contains all that was applied at step `applied`.
    const fn contains(self, shown: Step, applied: Step) -> bool {
        match self {
            Self::WholeStep => applied.0 <= shown.0,
            Self::EarlierSteps => applied.0 < shown.0,
        }
    }
}

/// What was shown of the steps of a game, by whichever owner, to whomever.
#[derive(Debug)]
pub struct Steps {
    telling: Telling,
    /// The fewest positions that were shown at a step.
    fewest: BTreeMap<Step, u64>,
    /// At which step each position that was shown was applied.
    applied: BTreeMap<u64, Step>,
}

impl Steps {
    /// Nothing was shown yet.
    #[must_use]
    pub const fn new(telling: Telling) -> Self {
        Self { telling, fewest: BTreeMap::new(), applied: BTreeMap::new() }
    }

    /// A player is shown something of a step.
    ///
    /// # Errors
    /// If an event was applied at a step that had been shown without it.
    pub fn show(&mut self, step: Step, said: Said) -> Result<(), String> {
        match said {
            Said::State { count, .. } => self.state(step, count),
            Said::Position(position, entry) => self.position(position, Step(entry.step)),
            Said::Answer(..) => Ok(()),
        }
    }

    fn state(&mut self, step: Step, count: u64) -> Result<(), String> {
        let before = self.fewest.get(&step).copied();
        self.fewest.insert(step, before.map_or(count, |before| before.min(count)));
        if let Some(before) = before.filter(|before| self.telling == Telling::WholeStep && *before != count) {
            return Err(format!("step {step} is shown with {count} positions, and was shown with {before}"));
        }
        // Positions are applied in order, so the first that is not in the state tells of all.
        let late = self.applied.range(count..).next().filter(|(_, applied)| self.telling.contains(step, **applied));
        late.map_or(Ok(()), |(position, applied)| Err(told(step, count, *position, *applied)))
    }

    fn position(&mut self, position: u64, applied: Step) -> Result<(), String> {
        if self.applied.insert(position, applied).is_some() {
            // It is sent again, or to someone else.
            return Ok(());
        }
        let mut since = self.fewest.range(applied..).filter(|(step, _)| self.telling.contains(**step, applied));
        let early = since.find(|(_, count)| **count <= position);
        early.map_or(Ok(()), |(step, count)| Err(told(*step, *count, position, applied)))
    }

    /// Compares with the final history, in which there may be more than anyone was shown.
    ///
    /// # Errors
    /// If an event was applied at a step that had been shown without it.
    pub fn check(&self, history: &[Entry]) -> Result<(), String> {
        for (step, count) in &self.fewest {
            if let Some(entry) = history.get(*count as usize)
                && self.telling.contains(*step, Step(entry.step))
            {
                return Err(told(*step, *count, *count, Step(entry.step)));
            }
        }
        Ok(())
    }
}

fn told(step: Step, count: u64, position: u64, applied: Step) -> String {
    format!("step {step} was shown with {count} positions, and position {position} is applied at step {applied}")
}

#[cfg(test)]
mod tests {
    use Telling::{EarlierSteps, WholeStep};

    use super::*;

    /// Something that is shown at a step.
    type Shown = (u64, Said);

    fn state(count: u64) -> Said {
        Said::State { count, digest: 0, luck: 0 }
    }

    fn entry(step: u64) -> Entry {
        Entry { seat: 0, what: 1, step }
    }

    fn position(position: u64, step: u64) -> Said {
        Said::Position(position, entry(step))
    }

    /// Which of these things is the first that must not be; None if all may.
    fn first_wrong(telling: Telling, shown: &[Shown]) -> Option<usize> {
        let mut steps = Steps::new(telling);
        shown.iter().position(|(step, said)| steps.show(Step(*step), *said).is_err())
    }

    #[test]
    fn what_was_shown_of_a_step_stays_so() {
        let cases: &[(Telling, &[Shown], Option<usize>)] = &[
            (WholeStep, &[(5, state(0)), (6, position(0, 6)), (6, state(1)), (7, state(1))], None),
            (WholeStep, &[(5, state(2)), (5, state(2)), (4, state(1))], None),
            (WholeStep, &[(5, state(2)), (5, state(3))], Some(1)),
            (WholeStep, &[(5, state(3)), (5, state(2))], Some(1)),
            (WholeStep, &[(5, state(0)), (6, state(0)), (5, position(0, 5))], Some(2)),
            (WholeStep, &[(7, state(0)), (5, position(0, 5))], Some(1)),
            (WholeStep, &[(5, position(3, 5)), (7, state(3))], Some(1)),
            (WholeStep, &[(5, position(3, 5)), (7, state(4)), (5, position(3, 5))], None),
            (EarlierSteps, &[(5, state(0)), (5, position(0, 5)), (5, state(1)), (5, state(0))], None),
            (EarlierSteps, &[(5, state(0)), (4, position(0, 4))], Some(1)),
            (EarlierSteps, &[(4, position(0, 4)), (5, state(0))], Some(1)),
        ];
        for (telling, shown, expected) in cases {
            assert_eq!(first_wrong(*telling, shown), *expected, "{telling:?} {shown:?}");
        }
    }

    #[test]
    fn the_history_may_not_contradict_what_was_shown_either() {
        let history = [entry(1), entry(5)];
        for (telling, step, count, is_well) in [
            (WholeStep, 4, 1, true),
            (WholeStep, 5, 1, false),
            (WholeStep, 6, 1, false),
            (WholeStep, 9, 2, true),
            (EarlierSteps, 5, 1, true),
            (EarlierSteps, 6, 1, false),
        ] {
            let mut steps = Steps::new(telling);
            steps.show(Step(step), state(count)).unwrap();
            assert_eq!(steps.check(&history).is_ok(), is_well, "{telling:?} {step} {count}");
        }
    }
}

//! I5: no going back. No event is applied at a step that someone was shown without it.

use pintail_core::Step;

use crate::ledger::Entry;

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

/// Compares what was shown (how many positions there were at a step) with the final history.
///
/// # Errors
/// If an event was applied at a step that had been shown without it.
pub fn check(shown: impl Iterator<Item = (Step, u64)>, telling: Telling, history: &[Entry]) -> Result<(), String> {
    for (step, count) in shown {
        let is_told = |entry: &&Entry| match telling {
            Telling::WholeStep => entry.step <= step.0,
            Telling::EarlierSteps => entry.step < step.0,
        };
        let applied = history.iter().take_while(is_told).count() as u64;
        if applied > count {
            let late = history.get(count as usize);
            return Err(format!("step {step} was shown with {count} positions, and later {late:?} was applied at it"));
        }
    }
    Ok(())
}

//! I3: nothing is shown to anyone that is not in the final history.

use std::collections::BTreeMap;

use pintail_core::Step;

use crate::ledger::{Entry, Said, digest_with};

/// The invariant's name in a failure.
pub const NAME: &str = "I3 shown";

/// What players were shown.
#[derive(Debug, Default)]
pub struct Shown {
    positions: BTreeMap<u64, Entry>,
    /// By step and number of positions: their digest.
    states: BTreeMap<(Step, u64), u64>,
    /// By step: the chain of random numbers.
    luck: BTreeMap<Step, u64>,
}

impl Shown {
    /// A player is shown something.
    ///
    /// # Errors
    /// If someone was shown otherwise before.
    pub fn show(&mut self, step: Step, said: Said) -> Result<(), String> {
        match said {
            Said::Position(position, entry) => {
                let before = *self.positions.entry(position).or_insert(entry);
                if before != entry {
                    return Err(format!("position {position} is shown as {entry:?} and was shown as {before:?}"));
                }
            }
            Said::State { count, digest, luck } => {
                let before = *self.states.entry((step, count)).or_insert(digest);
                if before != digest {
                    return Err(format!(
                        "the first {count} positions at step {step} have digest {digest:x} and had {before:x}"
                    ));
                }
                if luck == 0 {
                    return Ok(());
                }
                let before = *self.luck.entry(step).or_insert(luck);
                if before != luck {
                    return Err(format!("the random numbers up to step {step} are {luck:x} and were {before:x}"));
                }
            }
            Said::Answer(..) => {}
        }
        Ok(())
    }

    /// Compares with the final history.
    ///
    /// # Errors
    /// If something was shown that is not in it.
    pub fn check(&self, history: &[Entry]) -> Result<(), String> {
        for (position, entry) in &self.positions {
            let there = history.get(*position as usize);
            if there != Some(entry) {
                return Err(format!("position {position} was shown as {entry:?} and is {there:?} in the history"));
            }
        }
        let mut digests = vec![0];
        for entry in history {
            digests.push(digest_with(digests.last().copied().unwrap_or_default(), entry));
        }
        for ((step, count), digest) in &self.states {
            if digests.get(*count as usize) != Some(digest) {
                return Err(format!("{count} positions were shown at step {step} that are not in the history"));
            }
        }
        Ok(())
    }
}

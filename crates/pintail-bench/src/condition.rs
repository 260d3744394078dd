//! Conditions on what is measured.
use crate::report::{Check, Probe, Run};
/// A condition: `p99>50ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition;
/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no condition")]
pub struct ConditionError;
/// Of which runs a condition must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// Of at least one (`--fail-if`): the worst run decides.
    Any,
    /// Of each of them (`--find-max`): the worst run decides.
    Every,
}
/// Whether a condition is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It isn't.
    False,
    /// What it is about was not measured.
    Unmeasured,
}
/// What a condition came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Whether it is true.
    pub truth: Truth,
    /// What was measured, in words: `p99 of round trip 41 ms`.
    pub text: String,
}
impl std::str::FromStr for Condition { type Err = ConditionError; fn from_str(_: &str) -> Result<Self, ConditionError> { Err(ConditionError) } }
impl Condition {
    /// Whether it is true of any, or of every run.
    pub fn evaluate(&self, runs: &[Run], quantifier: Quantifier) -> Finding { let _ = (runs, quantifier); Finding { truth: Truth::Unmeasured, text: String::new() } }
    /// As a threshold (`--fail-if`).
    pub fn check(&self, runs: &[Run]) -> Check { let _ = runs; Check { condition: String::new(), failed: true, found: String::new() } }
    /// As the goal of a search (`--find-max`).
    pub fn probe(&self, load: u64, runs: &[Run]) -> Probe { let _ = runs; Probe { load, held: false, found: String::new() } }
}
impl std::fmt::Display for Condition { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }

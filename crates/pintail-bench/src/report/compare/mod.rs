//! The difference of two reports, and whether it is more than noise.

mod figures;
mod statistics;
mod text;

use std::fmt;

use self::figures::{Figure, figures};
use self::statistics::{Spread, chance, significant};
use super::{Paint, Report};

/// With which chance a comparison of two equal servers may say that something changed.
const ACCIDENT_MAX: f64 = 0.05;

/// How much repeated runs are taken to differ at least, as a share of their mean. A histogram has three digits and a
/// clock of CPU time has ticks, so runs may agree by accident to the last digit; and nobody can act on less.
const NOISE_LEAST: f64 = 0.005;

/// Why two reports can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotComparable {
    /// They are of different scenarios.
    #[error("the first test is of `{before}` and the second of `{after}`: give two reports of the same scenario")]
    OtherScenario {
        /// The first one's.
        before: String,
        /// The second one's.
        after: String,
    },
    /// They measured different things.
    #[error("the first test measured each {before} and the second each {after}: give two reports of the same load")]
    OtherMeasure {
        /// The first one's.
        before: String,
        /// The second one's.
        after: String,
    },
    /// They put other loads on their servers.
    #[error(
        "these are two different tests: {0}. Give two reports of the same load; --anyway shows the difference all the same"
    )]
    OtherLoad(String),
    /// One of them measured nothing.
    #[error("the {0} report has no measured window: run its test again, and let it end")]
    Empty(Which),
}

/// One of two reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// What came before.
    First,
    /// What came after.
    Second,
}

impl fmt::Display for Which {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// What is to be said of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is better, by more than the noise.
    Better,
    /// It is worse, by more than the noise.
    Worse,
    /// It may be noise.
    Noise,
    /// A side has a single run, so its noise isn't known.
    Unknown,
}

/// A figure as one side has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// The mean of the runs.
    pub mean: f64,
    /// Their standard deviation; 0 for a single run.
    pub deviation: f64,
    /// How many runs.
    pub runs: usize,
}

/// What a figure is counted in, and which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Operations a second: more is faster.
    Rate,
    /// Microseconds until an answer: less is faster.
    Time,
    /// Microseconds of CPU time: less is cheaper.
    Cost,
    /// Bytes: less is smaller.
    Memory,
    /// A share of what was tried: less is better.
    Errors,
}

/// How one figure changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its name: `p99 of delivery`.
    pub figure: String,
    /// What it is counted in.
    pub kind: Kind,
    /// What it was.
    pub before: Side,
    /// What it is.
    pub after: Side,
    /// How likely two equal servers would differ as much; `None` if a side has a single run.
    pub chance: Option<f64>,
    /// What is to be said of it.
    pub verdict: Verdict,
}

impl Change {
    /// The change as a share of what it was: 0.1 is ten percent more. `None` if it was 0.
    pub fn share(&self) -> Option<f64> {
        (self.before.mean != 0.0).then(|| (self.after.mean - self.before.mean) / self.before.mean.abs())
    }
}

/// The difference of two reports. It displays itself as text of at most 100 columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What was compared.
    pub scenario: String,
    /// Why the comparison may say little, in sentences.
    pub warnings: Vec<String>,
    /// How each figure changed.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Whether some figure got worse by more than the noise.
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.verdict == Verdict::Worse)
    }

    /// As text, with colours if they are wanted.
    pub fn text(&self, paint: Paint) -> String {
        text::text(self, paint)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text(Paint::Plain))
    }
}

/// Compares two reports of the same load: what came before, and what came after.
///
/// A difference counts if it is larger than the noise of repeated runs: each figure is judged by Welch's t-test, and all
/// of them together by Holm's procedure, so that at most one in twenty comparisons of equal servers says that something
/// changed. Runs are taken to differ by at least half a percent.
///
/// # Errors
/// If they are of different scenarios, settings or loads, or one has no runs.
pub fn compare(before: &Report, after: &Report) -> Result<Comparison, NotComparable> {
    let comparison = compare_anyway(before, after)?;
    let differences = other_load(before, after);
    if differences.is_empty() { Ok(comparison) } else { Err(NotComparable::OtherLoad(differences.join("; "))) }
}

/// The same of two loads that may differ, to see what a setting costs: what differs is among the warnings.
///
/// # Errors
/// If they are of different scenarios, or one has no runs.
pub fn compare_anyway(before: &Report, after: &Report) -> Result<Comparison, NotComparable> {
    let first_of = |report: &Report, which| report.runs.first().cloned().ok_or(NotComparable::Empty(which));
    let (first, second) = (first_of(before, Which::First)?, first_of(after, Which::Second)?);
    if before.scenario.name != after.scenario.name {
        let (before, after) = (before.scenario.name.clone(), after.scenario.name.clone());
        return Err(NotComparable::OtherScenario { before, after });
    }
    if first.primary != second.primary {
        return Err(NotComparable::OtherMeasure { before: first.primary, after: second.primary });
    }
    let changes = figures(before, after).iter().filter_map(change).collect();
    let mut comparison =
        Comparison { scenario: before.scenario.name.clone(), warnings: warnings(before, after), changes };
    judge(&mut comparison.changes);
    Ok(comparison)
}

fn change(figure: &Figure) -> Option<Change> {
    let (before, after) = (Spread::of(&figure.before)?, Spread::of(&figure.after)?);
    let least = (NOISE_LEAST * before.mean.abs().max(after.mean.abs())).max(figure.step / 2.0);
    let chance = chance(before.at_least(least.powi(2)), after.at_least(least.powi(2)));
    let side = |spread: Spread| Side { mean: spread.mean, deviation: spread.deviation(), runs: spread.runs };
    Some(Change {
        figure: figure.name.clone(),
        kind: figure.kind,
        before: side(before),
        after: side(after),
        chance: chance.filter(|_| figure.has_known_noise),
        verdict: Verdict::Unknown,
    })
}

fn judge(changes: &mut [Change]) {
    let mut judged: Vec<&mut Change> = changes.iter_mut().filter(|change| change.chance.is_some()).collect();
    let chances: Vec<f64> = judged.iter().filter_map(|change| change.chance).collect();
    for (change, is_significant) in judged.iter_mut().zip(significant(&chances, ACCIDENT_MAX)) {
        let is_more = change.after.mean > change.before.mean;
        change.verdict = match (is_significant, is_more == (change.kind == Kind::Rate)) {
            (false, _) => Verdict::Noise,
            (true, true) => Verdict::Better,
            (true, false) => Verdict::Worse,
        };
    }
}

fn warnings(before: &Report, after: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, before: &str, after: &str, so: &str| {
        if before != after {
            warnings.push(format!("{what} differs: {before}, then {after}. {so}"));
        }
    };
    let target = "Compare servers that run in the same way, and change one thing at a time.";
    differ("The target", &before.target, &after.target, target);
    let machine = |report: &Report| {
        let machine = &report.machine;
        format!("{} with {} cores, {}", machine.processor, machine.cores, machine.system)
    };
    differ("The machine", &machine(before), &machine(after), "Only the multiples of the trivial server mean anything.");
    let differences = other_load(before, after).into_iter();
    warnings.splice(0..0, differences.map(|what| format!("These are two different tests: {what}.")));
    for (which, report) in [(Which::First, before), (Which::Second, after)] {
        if report.interrupted {
            warnings.push(format!("The {which} test was interrupted: it may have ended in an unusual moment."));
        }
    }
    if before.runs.len().min(after.runs.len()) < 2 {
        warnings.push(
            "A test of a single run says nothing of its noise, so no difference can be told from it. Repeat both with \
             --runs 5."
                .to_owned(),
        );
    }
    warnings
}

/// By how much of the larger load two of the same may differ: players who come and go are not always as many.
const PLAYERS_TOLERANCE: f64 = 0.05;

/// In what the loads of two tests differ.
fn other_load(before: &Report, after: &Report) -> Vec<String> {
    let settings = |report: &Report| {
        let settings: Vec<_> = report.scenario.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        settings.join(", ")
    };
    let mut differences = Vec::new();
    let mut differ = |what: &str, before: &str, after: &str| {
        if before != after {
            differences.push(format!("{what} {before}, then {after}"));
        }
    };
    differ("the settings are", &settings(before), &settings(after));
    differ("the load is", &before.shape, &after.shape);
    let players = |report: &Report| report.runs.iter().map(|run| run.players).max().unwrap_or_default();
    let (before, after) = (players(before), players(after));
    if before.abs_diff(after) as f64 > PLAYERS_TOLERANCE * before.max(after) as f64 {
        differ("as many players were there at once:", &before.to_string(), &after.to_string());
    }
    differences
}

#[cfg(test)]
mod tests;

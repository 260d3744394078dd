//! Conditions on what is measured: what makes a test fail, and what a search keeps.
//!
//! | condition | true if |
//! | --- | --- |
//! | `p99>50ms` | the 99th percentile of what the scenario is about is above 50 ms. Any percentile: `p50`, `p99.9` |
//! | `p99 of login>1s` | the same of another measure. `mean`, `min` and `max` work as percentiles do |
//! | `throughput<1000` | fewer than 1,000 of what the scenario is about were done each second |
//! | `throughput of received<2M` | something that was counted happened less often than two million times a second |
//! | `errors>0`, `errors of no answer: login>5` | more went wrong, in all or for one reason as reports name it |
//! | `error-rate>0.1%` | more than one in a thousand went wrong |
//! | `cpu-per-message>20us` | the servers spent more CPU time on each; also `of gateway` |
//! | `cpu of gateway>90%` | a server used more of a core |
//! | `memory>1GiB`, `memory of gateway>100MiB` | the servers had more resident memory at the end |
//! | `memory-per-player>8KiB` | they grew by more for each player |
//! | `players<1000` | fewer players were there at once |
//!
//! What is not measured has no figure, so a misspelt name is noticed. A reason for errors is the exception: one that never
//! occurred and one that can't are both 0 times, because game authors' bots have reasons of their own.

mod figure;
mod parse;

use std::fmt;

use self::figure::{Figure, Missing};
pub use self::parse::ConditionError;
use crate::attendance::{Attendance, only};
use crate::report::{Check, GeneratorState, Probe, Run};

/// A condition on one figure of a run. It is parsed from text and displays itself as it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    text: String,
    figure: Figure,
    relation: Relation,
    /// In the unit of the figure.
    bound: f64,
}

/// How a figure and its bound are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Relation {
    fn holds(self, figure: f64, bound: f64) -> bool {
        match self {
            Self::Above => figure > bound,
            Self::AtLeast => figure >= bound,
            Self::Below => figure < bound,
            Self::AtMost => figure <= bound,
        }
    }

    /// Whether larger figures make it true.
    fn wants_large(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

/// Whether a condition is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It isn't.
    False,
    /// What it is about was not measured. A test fails by it, and a load doesn't keep it: a threshold on a misspelt name
    /// must not pass unseen. Of errors, only the reasons are not checked.
    Unmeasured,
}

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is true.
    pub truth: Truth,
    /// What was measured, in words: `p99 of delivery 41.2 ms`.
    pub text: String,
}

impl Condition {
    /// Whether it is true of any of these runs.
    pub fn evaluate(&self, runs: &[Run]) -> Finding {
        let unmeasured = |text| Finding { truth: Truth::Unmeasured, text };
        let figures: Result<Vec<f64>, Missing> = runs.iter().map(|run| self.figure.of(run)).collect();
        let figures = match figures {
            Ok(figures) => figures,
            Err(missing) => return unmeasured(missing.to_string()),
        };
        // The run that makes it true, if one does.
        let worst = figures.into_iter().reduce(if self.relation.wants_large() { f64::max } else { f64::min });
        let Some(worst) = worst else { return unmeasured("nothing was measured".to_owned()) };
        let truth = if self.relation.holds(worst, self.bound) { Truth::True } else { Truth::False };
        Finding { truth, text: self.words(worst, runs) }
    }

    /// As a threshold: the test fails if it is true of any run, or was not measured.
    pub fn check(&self, runs: &[Run]) -> Check {
        let finding = self.evaluate(runs);
        Check { condition: self.text.clone(), failed: finding.truth != Truth::False, found: finding.text }
    }

    /// As the goal of a search: the load keeps it if it is true of this run, and as many players were there as the load asks
    /// for.
    pub fn probe(&self, load: u64, run: &Run, attendance: Attendance) -> Probe {
        let finding = self.evaluate(std::slice::from_ref(run));
        let (held, found) = match attendance.lack(run) {
            None => (finding.truth == Truth::True, finding.text),
            Some(lack) => (false, format!("{lack}; {}", finding.text)),
        };
        Probe { load, held, found, generator: GeneratorState::of(run) }
    }

    /// What a probe comes to if nobody at all got in, for this reason.
    pub fn probe_of_nobody(load: u64, attendance: Attendance, reason: &str) -> Probe {
        Probe { load, held: false, found: format!("{}: {reason}", only(0, attendance.wanted())), generator: None }
    }

    /// Whether a load that grows can break it: it is about what must not get larger. `throughput>1000` is kept by every load
    /// that is large enough, and says nothing of the largest.
    #[must_use]
    pub fn bounds_a_load(&self) -> bool {
        !self.relation.wants_large()
    }

    /// The measure that it names, if it is about how long something takes.
    pub fn measure(&self) -> Option<&str> {
        self.figure.of.as_deref().filter(|_| self.figure.is_of_measure())
    }

    /// Why it can be true of no run like this one: it is about something that such a run does not measure. `also` is what is
    /// measured though this run has none of it.
    pub fn refusal(&self, run: &Run, also: &[&str]) -> Option<String> {
        let missing = self.figure.of(run).err()?;
        let is_known = self.figure.of.as_deref().is_some_and(|name| also.contains(&name));
        match missing {
            Missing::Unknown { .. } if !is_known => Some(format!("`{}` can't be found out: {missing}", self.text)),
            _ => None,
        }
    }

    fn words(&self, value: f64, runs: &[Run]) -> String {
        let primary = runs.first().map(|run| run.primary.as_str());
        let name = self.figure.name(primary);
        let value = self.figure.unit().words(value);
        match runs.len() {
            1 => format!("{name} {value}"),
            runs => format!("{name} {value} (worst of {runs} runs)"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::LoadShape;
    use crate::report::sample;
    use crate::scenario::{Echo, Scenario};

    fn condition(text: &str) -> Condition {
        text.parse().expect("a condition")
    }

    fn attendance(players: u64) -> Attendance {
        Attendance::of(&Scenario::Echo(Echo::default()), LoadShape::Constant(players))
    }

    /// Two runs with a p99 of 40 ms and of 60 ms.
    fn runs() -> Vec<Run> {
        [40_000, 60_000]
            .map(|p99| {
                let mut run = sample::run(1);
                let values = (0..98).map(|_| 1_000).chain([p99, p99]);
                run.measures.insert("delivery".to_owned(), sample::measure(values));
                run
            })
            .into()
    }

    #[test]
    fn the_run_that_makes_it_true_decides() {
        let cases = [
            ("p99>50ms", Truth::True, "60.0 ms"),
            ("p99<50ms", Truth::True, "40.0 ms"),
            ("p99<=30ms", Truth::False, "40.0 ms"),
            ("p99>=70ms", Truth::False, "60.0 ms"),
        ];
        for (text, truth, value) in cases {
            let finding = condition(text).evaluate(&runs());
            assert_eq!(finding.truth, truth, "{text}");
            assert!(finding.text.contains(value), "{text}: {}", finding.text);
        }
    }

    #[test]
    fn a_threshold_fails_a_test_and_a_goal_is_kept() {
        let check = condition(" p99 > 50ms ").check(&runs());
        assert_eq!((check.condition.as_str(), check.failed), ("p99 > 50ms", true));
        assert_eq!(check.found, "p99 of delivery 60.0 ms (worst of 2 runs)");
        assert!(!condition("p99>70ms").check(&runs()).failed);
        let probe = condition("p99<50ms").probe(100, &runs()[0], attendance(1_200));
        assert_eq!((probe.load, probe.held, probe.found.as_str()), (100, true, "p99 of delivery 40.0 ms"));
        assert!(!condition("p99<50ms").probe(100, &runs()[1], attendance(1_200)).held);
    }

    #[test]
    fn a_load_that_was_not_there_is_not_kept_whatever_was_measured() {
        let probe = condition("p99<50ms").probe(100, &runs()[0], attendance(4_800));
        let found = "only 1200 of 4800 came; p99 of delivery 40.0 ms";
        assert_eq!((probe.held, probe.found.as_str()), (false, found));
        let probe = Condition::probe_of_nobody(7, attendance(70), "no answer: login");
        assert_eq!((probe.load, probe.held, probe.found.as_str()), (7, false, "only 0 of 70 came: no answer: login"));
    }

    #[test]
    fn what_can_never_be_measured_is_told_apart_from_what_was_not_yet() {
        let run = &runs()[0];
        let refusal = |text: &str| condition(text).refusal(run, &["start game"]);
        assert_eq!(
            refusal("p99 of start<1s").unwrap(),
            "`p99 of start<1s` can't be found out: no `start` was measured: there is `delivery`, `login`"
        );
        assert!(refusal("cpu of gatway<90%").unwrap().contains("`gateway`"));
        for known in ["p99<1s", "p99 of login<1s", "p99 of start game<1s", "errors of any reason<1", "cpu<90%"] {
            assert_eq!(refusal(known), None, "{known}");
        }
        let mut elsewhere = run.clone();
        elsewhere.servers.clear();
        assert!(condition("cpu<90%").refusal(&elsewhere, &[]).unwrap().contains("they run elsewhere"));
        let mut stuck = run.clone();
        stuck.measures.insert("delivery".to_owned(), sample::measure([]));
        assert_eq!(condition("p99<1s").refusal(&stuck, &[]), None, "the servers may have been too slow for any");
    }

    #[test]
    fn what_was_not_measured_fails_a_test_and_keeps_no_load() {
        for text in ["p99 of logn>1s", "throughput of logins<5", "cpu of gatway>90%", "memory of x>1GiB"] {
            let check = condition(text).check(&runs());
            assert!(check.failed, "{text}: {}", check.found);
            assert!(!condition(text).probe(1, &runs()[0], attendance(1)).held, "{text}");
        }
        let found = condition("p99 of logn>1s").check(&runs()).found;
        assert_eq!(found, "no `logn` was measured: there is `delivery`, `login`");
        assert_eq!(condition("p99>1s").check(&[]).found, "nothing was measured");
        let mut elsewhere = sample::run(1);
        elsewhere.servers.clear();
        assert!(condition("cpu-per-message>1s").check(&[elsewhere]).failed, "its servers run elsewhere");
    }

    #[test]
    fn the_reason_in_the_documentation_is_one_that_reports_have() {
        let reason = crate::player::trouble::Trouble::Silent("login").to_string();
        let mut run = sample::run(1);
        run.errors.insert(reason.clone(), 6);
        for documentation in [include_str!("mod.rs"), include_str!("../../../../docs/bench-reports.md")] {
            assert!(documentation.contains(&format!("`errors of {reason}>5`")), "{reason}");
        }
        assert!(condition(&format!("errors of {reason}>5")).check(&[run]).failed);
    }

    #[test]
    fn each_figure_is_found_in_its_run() {
        let run = sample::run(4);
        let cases = [
            ("errors>14", true, "errors 15"),
            ("errors of timed out>14", false, "errors of timed out 14"),
            ("errors of nothing known>0", false, "errors of nothing known 0"),
            ("error-rate>1%", false, "error-rate <0.001 %"),
            ("players<1.2k", false, "players 1,200"),
            ("max of login>1s", false, "max of login"),
            ("p99.9>1us", true, "p99.9 of delivery"),
            ("p97.5>1us", true, "p97.5 of delivery"),
            ("memory of gateway>30MiB", true, "memory of gateway 31.0 MiB"),
            ("memory>67MiB", false, "memory 66.0 MiB"),
            ("memory-per-player of gateway>16KiB", true, "memory-per-player of gateway 18.8 KiB"),
            ("cpu of redis>5%", false, "cpu of redis 3"),
            ("cpu of load>50%", true, "cpu of load 68"),
            ("cpu-per-message<1us", false, "cpu-per-message 2."),
            ("cpu-per-message of gateway<5us", true, "cpu-per-message of gateway 1."),
            ("throughput<100k", false, "throughput 2"),
            ("throughput of sent<100k", true, "throughput of sent 2"),
        ];
        for (text, failed, words) in cases {
            let check = condition(text).check(std::slice::from_ref(&run));
            assert_eq!(check.failed, failed, "{text}: {}", check.found);
            assert!(check.found.starts_with(words), "{text}: {}", check.found);
        }
    }
}

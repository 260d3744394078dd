//! Figures made from what was measured, one run or several.

use super::format::{duration, micros, percent};
use super::{GeneratorState, HistogramError, Measure, ProcessUse, Report, Run, Sample, Scenario};

/// From here on the load is its own limit: a core that is busy all the time sends and receives late.
const GENERATOR_BUSY: f64 = 0.9;

/// So much of the primary measure's p99 may be the load's own lateness (its p99), in microseconds of one by those of the
/// other. With more, the times are no longer the servers' alone.
const GENERATOR_LATE_SHARE: f64 = 0.1;

/// As late as this the load may be whatever is measured, in microseconds: a process is not woken sooner on a machine that has
/// other things to do.
const GENERATOR_LATE_LEAST: f64 = 1_000.0;

impl ProcessUse {
    /// CPU seconds, user and system.
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }

    /// How many bytes more it had at the end. Less than 0 if it gave some back.
    pub fn memory_growth(&self) -> f64 {
        self.memory_after as f64 - self.memory_before as f64
    }
}

impl Run {
    /// How many of what `primary` names were done. What was lost was not.
    pub fn operations(&self) -> u64 {
        self.measures.get(&self.primary).map_or(0, Measure::done)
    }

    /// How many of what `primary` names were done each second.
    pub fn throughput(&self) -> f64 {
        per_second(self.operations(), self.seconds)
    }

    /// CPU seconds of Pintail's servers; `None` if they run elsewhere.
    pub fn server_cpu_seconds(&self) -> Option<f64> {
        self.sum_of_servers(ProcessUse::cpu_seconds)
    }

    /// Microseconds of CPU that the servers spent for each of what `primary` names; `None` if that isn't known.
    pub fn cpu_per_message(&self) -> Option<f64> {
        per(self.server_cpu_seconds()? * 1e6, self.operations())
    }

    /// Resident memory of the servers at the end, in bytes; `None` if they run elsewhere.
    pub fn server_memory(&self) -> Option<f64> {
        self.sum_of_servers(|server| server.memory_after as f64)
    }

    /// How many bytes the servers took for each player during the window; `None` if that isn't known.
    pub fn memory_per_player(&self) -> Option<f64> {
        per(self.sum_of_servers(ProcessUse::memory_growth)?, self.players)
    }

    /// How many things went wrong.
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// How many of the things that were tried went wrong: 1 is all of them. `None` if nothing was tried.
    pub fn error_rate(&self) -> Option<f64> {
        let errors = self.error_count();
        per(errors as f64, errors + self.operations())
    }

    /// Whether its window was ever open: a test can be stopped before.
    pub fn was_measured(&self) -> bool {
        !self.series.is_empty()
    }

    /// What was seen second by second, each with how long it was: one that came late is longer, the last one may be shorter.
    pub fn timed_series(&self) -> impl Iterator<Item = (&Sample, f64)> {
        let begins = std::iter::once(0.0).chain(self.series.iter().map(|sample| sample.at));
        self.series.iter().zip(begins).map(|(sample, begin)| (sample, sample.at - begin))
    }

    /// The most messages that the players were sent in a second; `None` if no second was seen. Samples of less than half a
    /// second say little of a whole one and are left out, unless there are no others.
    pub fn received_at_most(&self) -> Option<f64> {
        let rate = |(sample, seconds): (&Sample, f64)| per_second(sample.received, seconds);
        let long = self.timed_series().filter(|(_, seconds)| *seconds >= 0.5).map(rate).reduce(f64::max);
        long.or_else(|| self.timed_series().map(rate).reduce(f64::max))
    }

    /// How much of a core the load generator used; `None` if no time was measured.
    pub fn generator_share(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.generator.cpu_seconds() / self.seconds)
    }

    /// Why the figures may show the limit of the load generator and not only that of the servers: a clause that ends without
    /// a full stop. `None` if it had time to spare.
    ///
    /// That is so if it used its core all the time, or if it did what was due so late that it shows in what was measured: it
    /// can be kept from a core by others as well.
    pub fn generator_trouble(&self) -> Option<String> {
        if let Some(share) = self.generator_share().filter(|&share| share > GENERATOR_BUSY) {
            return Some(format!("The load generator was busy for {} of the time", percent(share)));
        }
        let late = self.sent_late.as_ref()?;
        let measured = self.measures.get(&self.primary).map_or(0.0, |measure| measure.p99 as f64);
        let late_most = (measured * GENERATOR_LATE_SHARE).max(GENERATOR_LATE_LEAST);
        (late.p99 as f64 > late_most).then(|| {
            let (late, measured) = (micros(late.p99), duration(measured));
            format!("The load generator was late itself (p99 {late}, where p99 of {} is {measured})", self.primary)
        })
    }

    fn sum_of_servers(&self, figure: impl Fn(&ProcessUse) -> f64) -> Option<f64> {
        let servers: Vec<f64> = self.servers.iter().filter(|server| server.is_server).map(figure).collect();
        (!servers.is_empty()).then(|| servers.iter().sum())
    }
}

impl GeneratorState {
    /// How it was during a run.
    pub(crate) fn of(run: &Run) -> Option<Self> {
        Some(Self {
            core: run.generator_share()?,
            sent_late_p99: run.sent_late.as_ref().map(|late| late.p99),
            trouble: run.generator_trouble(),
        })
    }

    /// How much of a core it used, in words.
    pub(crate) fn core_words(&self) -> String {
        format!("load {}", percent(self.core).trim())
    }

    /// How late it was, in words; nothing if nothing was due.
    pub(crate) fn late_words(&self) -> String {
        self.sent_late_p99.map(|late| format!("late {}", micros(late))).unwrap_or_default()
    }
}

impl Scenario {
    /// What one of [`Run::players`] is.
    pub(crate) fn unit_of_one(&self) -> &str {
        self.unit.strip_suffix('s').unwrap_or(&self.unit)
    }
}

impl Report {
    /// What the servers' CPU per message was, as a multiple of the trivial server's: the median of the runs. `None` if one
    /// of them wasn't measured.
    pub fn multiple_of_trivial(&self) -> Option<f64> {
        let trivial = self.calibration.as_ref()?.cpu_per_message().filter(|&cost| cost > 0.0)?;
        let costs: Option<Vec<f64>> = self.runs.iter().map(Run::cpu_per_message).collect();
        Some(median(costs?)? / trivial)
    }
}

impl Measure {
    /// How many were done.
    pub fn done(&self) -> u64 {
        self.count.saturating_sub(self.lost)
    }

    /// What was measured in several runs, as one distribution.
    ///
    /// # Errors
    /// If one of them has no distribution.
    pub(crate) fn of_all(measures: &[&Measure]) -> Result<Self, HistogramError> {
        if let [only] = measures {
            return Ok((*only).clone());
        }
        let mut all = hdrhistogram::Histogram::new(3).expect("three digits are within its bounds");
        for measure in measures {
            all.add(measure.to_histogram()?).expect("it grows by itself");
        }
        Ok(Self { lost: measures.iter().map(|measure| measure.lost).sum(), ..Self::of(&all) })
    }
}

/// A share of a sum; `None` if it is of none.
pub(crate) fn per(sum: f64, number: u64) -> Option<f64> {
    (number > 0).then(|| sum / number as f64)
}

/// How many there were in each second; 0 in no time.
pub(crate) fn per_second(number: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { number as f64 / seconds } else { 0.0 }
}

/// The value in the middle; `None` if there is none.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length.is_multiple_of(2) => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{measure, report, run};
    use super::*;

    #[test]
    fn what_a_message_costs_is_what_the_servers_spent() {
        let run = run(1);
        let cpu: f64 = run.servers.iter().filter(|server| server.is_server).map(ProcessUse::cpu_seconds).sum();
        let cost = run.cpu_per_message().expect("servers and messages");
        assert!((cost - cpu * 1e6 / run.operations() as f64).abs() < 1e-9);
        assert!(run.servers.iter().any(|server| !server.is_server), "Redis is among the processes and not counted");
    }

    #[test]
    fn what_was_lost_was_not_done() {
        let mut run = run(1);
        (run.seconds, run.errors) = (10.0, [("delivery never done".to_owned(), 600)].into());
        let delivered = Measure { lost: 600, ..measure(1..=1_000) };
        run.measures.insert("delivery".into(), delivered.clone());
        assert_eq!((run.operations(), run.throughput(), run.error_rate()), (400, 40.0, Some(0.6)));
        let cost = run.server_cpu_seconds().expect("servers") * 1e6 / 400.0;
        assert_eq!(run.cpu_per_message(), Some(cost));
        let both = Measure::of_all(&[&delivered, &measure(1..=1_000)]).expect("sound histograms");
        assert_eq!((both.count, both.lost, both.done()), (2_000, 600, 1_400));
        run.measures.insert("delivery".into(), Measure { lost: 9, ..measure(1..=3) });
        assert_eq!(run.operations(), 0, "also of a file that was edited");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let mut run = run(1);
        run.servers.clear();
        assert_eq!((run.cpu_per_message(), run.memory_per_player()), (None, None));
        run.measures.clear();
        run.errors.clear();
        run.seconds = 0.0;
        assert_eq!((run.throughput(), run.error_rate()), (0.0, None));
        let mut report = report();
        report.calibration = None;
        assert_eq!(report.multiple_of_trivial(), None);
    }

    #[test]
    fn a_load_generator_is_in_trouble_if_it_is_busy_or_late() {
        let trouble = |cpu: f64, late: u64, primary: u64| {
            let mut run = run(1);
            run.generator.user_seconds = cpu * run.seconds;
            run.generator.system_seconds = 0.0;
            run.sent_late = Some(measure([late]));
            run.measures.insert("delivery".into(), measure([primary]));
            run.generator_trouble().unwrap_or_default()
        };
        assert!(trouble(0.95, 0, 50_000).contains("was busy for 95.0 % of the time"));
        assert_eq!(trouble(0.4, 4_900, 50_000), "");
        assert!(trouble(0.4, 5_200, 50_000).contains("late itself (p99 5.20 ms, where p99 of delivery is 50"));
        assert_eq!(trouble(0.4, 900, 1_000), "", "a wake-up takes as long");
        assert!(!trouble(0.4, 1_100, 1_000).is_empty());
        let mut idle = run(1);
        idle.sent_late = None;
        assert_eq!(idle.generator_trouble(), None);
    }

    #[test]
    fn runs_are_taken_together() {
        let (first, second) = (measure(1..=1_000), measure(1_001..=2_000));
        let all = Measure::of_all(&[&first, &second]).expect("sound histograms");
        assert_eq!((all.count, all.p50, all.max), (2_000, 1_000, 2_000));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}

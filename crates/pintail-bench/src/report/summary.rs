//! The runs of a report taken together: what the terminal's report and the page's tables show.

use std::collections::{BTreeMap, BTreeSet};

use super::figures::per;
use super::format::{amount, duration, number, percent, plural};
use super::{Measure, ProcessUse, Report, Run};

/// What several runs of the same load came to.
pub(crate) struct Summary<'a> {
    runs: &'a [Run],
    /// What the figures are of: `delivery`.
    pub(crate) primary: &'a str,
}

/// What a process cost over all runs.
pub(crate) struct ProcessCost {
    pub(crate) name: String,
    /// Whether it is one of Pintail's servers.
    pub(crate) is_server: bool,
    /// CPU seconds.
    pub(crate) cpu: f64,
    /// The share of a core that it used.
    pub(crate) core: Option<f64>,
    /// The share of its CPU time that was the kernel's.
    pub(crate) kernel: Option<f64>,
    /// Microseconds of CPU for each of what the scenario is about.
    pub(crate) per_message: Option<f64>,
    /// Bytes at the end, the mean of the runs.
    pub(crate) memory: f64,
    /// Bytes that it grew by, the mean of the runs.
    pub(crate) growth: f64,
    /// The same for each player.
    pub(crate) growth_per_player: Option<f64>,
}

impl<'a> Summary<'a> {
    pub(crate) fn of(runs: &'a [Run]) -> Self {
        Self { runs, primary: runs.first().map_or("message", |run| &run.primary) }
    }

    /// How many of what the scenario is about were done, in all.
    pub(crate) fn operations(&self) -> u64 {
        self.runs.iter().map(Run::operations).sum()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.runs.iter().map(|run| run.seconds).sum()
    }

    pub(crate) fn players(&self) -> u64 {
        self.runs.iter().map(|run| run.players).max().unwrap_or_default()
    }

    pub(crate) fn throughput(&self) -> Option<f64> {
        let seconds = self.seconds();
        (seconds > 0.0).then(|| self.operations() as f64 / seconds)
    }

    /// Microseconds of the servers' CPU for each of what the scenario is about.
    pub(crate) fn cpu_per_message(&self) -> Option<f64> {
        let cpu: Option<f64> = self.runs.iter().map(Run::server_cpu_seconds).sum();
        per(cpu? * 1e6, self.operations())
    }

    /// Each measure over all runs, what the scenario is about first.
    pub(crate) fn measures(&self) -> Vec<(&'a str, Measure)> {
        let names: BTreeSet<&str> = self.runs.iter().flat_map(|run| run.measures.keys()).map(String::as_str).collect();
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(|name| *name != self.primary);
        names.into_iter().filter_map(|name| Some((name, self.measure(name)?))).collect()
    }

    /// One measure over all runs; `None` if nothing was measured.
    pub(crate) fn measure(&self, name: &str) -> Option<Measure> {
        let measures: Vec<&Measure> = self.runs.iter().filter_map(|run| run.measures.get(name)).collect();
        // A report that was read has sound distributions, and so has one that was just measured.
        Measure::of_all(&measures).ok().filter(|measure| measure.count > 0)
    }

    /// How late the load generator was over all runs; `None` if nothing was due.
    pub(crate) fn sent_late(&self) -> Option<Measure> {
        let measures: Vec<&Measure> = self.runs.iter().filter_map(|run| run.sent_late.as_ref()).collect();
        Measure::of_all(&measures).ok().filter(|measure| measure.count > 0)
    }

    /// How often each thing happened, in all.
    pub(crate) fn counts(&self) -> BTreeMap<&'a str, u64> {
        sums(self.runs.iter().map(|run| &run.counts))
    }

    /// What went wrong, the most frequent first.
    pub(crate) fn errors(&self) -> Vec<(&'a str, u64)> {
        let mut errors: Vec<_> = sums(self.runs.iter().map(|run| &run.errors)).into_iter().collect();
        errors.retain(|(_, times)| *times > 0);
        errors.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        errors
    }

    /// What each process cost: the servers, then all of them together, then what else was measured.
    pub(crate) fn processes(&self) -> Vec<ProcessCost> {
        let names = self.process_names();
        let mut costs: Vec<ProcessCost> = Vec::new();
        let each = |name: &str| {
            let of_run = |run: &'a Run| run.servers.iter().filter(|server| server.name == name).collect();
            self.cost(name, of_run)
        };
        costs.extend(names.iter().map(|name| each(name)));
        // What isn't Pintail's goes below.
        costs.sort_by_key(|cost| !cost.is_server);
        let servers = costs.iter().filter(|cost| cost.is_server).count();
        if servers > 1 {
            let of_run = |run: &'a Run| run.servers.iter().filter(|server| server.is_server).collect();
            costs.insert(servers, self.cost("servers in all", of_run));
        }
        costs.push(self.cost("load generator", |run| vec![&run.generator]));
        costs
    }

    fn process_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for server in self.runs.iter().flat_map(|run| &run.servers) {
            if !names.contains(&server.name.as_str()) {
                names.push(&server.name);
            }
        }
        names
    }

    fn cost(&self, name: &str, of_run: impl Fn(&'a Run) -> Vec<&'a ProcessUse>) -> ProcessCost {
        let uses: Vec<&ProcessUse> = self.runs.iter().flat_map(of_run).collect();
        let sum = |figure: fn(&ProcessUse) -> f64| uses.iter().map(|one| figure(one)).sum::<f64>();
        let cpu = sum(ProcessUse::cpu_seconds);
        let runs = self.runs.len() as u64;
        let growth = per(sum(ProcessUse::memory_growth), runs).unwrap_or_default();
        ProcessCost {
            name: name.to_owned(),
            is_server: uses.iter().any(|one| one.is_server),
            cpu,
            core: (self.seconds() > 0.0).then(|| cpu / self.seconds()),
            kernel: (cpu > 0.0).then(|| sum(|one| one.system_seconds) / cpu),
            per_message: per(cpu * 1e6, self.operations()),
            memory: per(sum(|one| one.memory_after as f64), runs).unwrap_or_default(),
            growth,
            growth_per_player: per(growth, self.players()),
        }
    }
}

fn sums<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for (name, number) in maps.flatten() {
        *sums.entry(name.as_str()).or_default() += number;
    }
    sums
}

/// What stands below the measures of the servers: how late the load generator itself was, and how long the same took with
/// the trivial server, if that was measured.
pub(crate) fn beside<'a>(report: &Report, summary: &Summary<'a>) -> impl Iterator<Item = (&'a str, Measure)> {
    let late = summary.sent_late().map(|late| ("sent late by the load", late));
    late.into_iter().chain(trivial(report))
}

fn trivial(report: &Report) -> Option<(&'static str, Measure)> {
    let run = report.calibration.as_ref()?;
    let measure = run.measures.get(&run.primary).filter(|measure| measure.count > 0)?;
    Some(("on the trivial server", measure.clone()))
}

/// The few figures that a reader looks for first, by name.
pub(crate) fn key_figures(report: &Report) -> Vec<(&'static str, String, String)> {
    let summary = Summary::of(&report.runs);
    let primary = summary.primary;
    let mut figures = Vec::new();
    if let Some(search) = &report.search {
        let largest = search.largest.map(|load| number(load as f64));
        let (unit, condition) = (&search.unit, &search.condition);
        let (largest, keeps) = match (largest, search.interrupted) {
            (Some(largest), false) => (format!("{largest} {unit}"), format!("that keeps {condition}")),
            (Some(largest), true) => (format!("at least {largest}"), format!("{unit} keep {condition} (interrupted)")),
            (None, false) => ("none".to_owned(), format!("that keeps {condition}")),
            (None, true) => ("none so far".to_owned(), format!("that keeps {condition} (interrupted)")),
        };
        figures.push(("largest load", largest, keeps));
    }
    if let Some(throughput) = summary.throughput() {
        let rate = format!("{} {}/s", number(throughput), plural(primary));
        figures.push(("throughput", rate, spread(&report.runs, |run| Some(run.throughput()), number)));
    }
    if let Some(measure) = summary.measure(primary) {
        let times = format!("p50 {}, max {}", duration(measure.p50 as f64), duration(measure.max as f64));
        figures.push(("latency", format!("p99 {}", duration(measure.p99 as f64)), times));
    }
    if let Some(cost) = summary.cpu_per_message() {
        let each = format!("{} per {primary}", duration(cost));
        figures.push(("server CPU", each, spread(&report.runs, Run::cpu_per_message, duration)));
    }
    if let Some(multiple) = report.multiple_of_trivial() {
        let trivial = report.calibration.as_ref().and_then(Run::cpu_per_message).map(duration).unwrap_or_default();
        let remark = format!("the CPU of a trivial server ({trivial})");
        figures.push(("machine limit", format!("{multiple:.2}×"), remark));
    }
    figures.push(errors(&summary));
    figures
}

fn errors(summary: &Summary<'_>) -> (&'static str, String, String) {
    let errors: u64 = summary.errors().iter().map(|(_, times)| times).sum();
    if errors == 0 {
        return ("errors", "none".to_owned(), String::new());
    }
    let share = per(errors as f64, errors + summary.operations()).map(percent).unwrap_or_default();
    ("errors", amount(errors, "error"), format!("{share} of what was tried"))
}

/// Between which figures the runs lie, if there are several.
fn spread(runs: &[Run], figure: impl Fn(&Run) -> Option<f64>, words: impl Fn(f64) -> String) -> String {
    let figures: Vec<f64> = runs.iter().filter_map(figure).collect();
    if figures.len() < 2 {
        return String::new();
    }
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {} in {} runs", words(least), words(most), figures.len())
}

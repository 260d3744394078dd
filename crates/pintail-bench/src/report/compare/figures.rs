//! Which figures of two reports are compared.

use std::collections::BTreeSet;

use super::super::{Measure, Report, Run};
use super::Kind;

/// One figure of each run of both reports.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) before: Vec<f64>,
    pub(super) after: Vec<f64>,
    /// The smallest difference that its measurement can show.
    pub(super) step: f64,
    /// Whether its noise shows in how the runs scatter.
    pub(super) has_known_noise: bool,
}

/// The smallest step of a clock of CPU time, in microseconds: it counts ticks of a hundredth of a second.
const CPU_TICK: f64 = 10_000.0;

/// The figures of both reports. One that some run lacks is left out.
pub(super) fn figures(before: &Report, after: &Report) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |name: String, kind, step, of: &dyn Fn(&Run) -> Option<f64>| {
        let (Some(before), Some(after)) = (of_runs(before, of), of_runs(after, of)) else { return };
        figures.push(Figure { name, kind, before, after, step, has_known_noise: true });
    };
    let run = &before.runs[0];
    let primary = run.primary.clone();
    add("throughput".into(), Kind::Rate, 0.0, &|run| Some(run.throughput()));
    for name in measures(before, after) {
        for (percentile, of) in PERCENTILES {
            add(format!("{percentile} of {name}"), Kind::Time, 1.0, &|run| {
                run.measures.get(&name).filter(|measure| measure.count > 0).map(|measure| of(measure) as f64)
            });
        }
    }
    let tick = CPU_TICK / run.operations().max(1) as f64;
    add(format!("CPU per {primary}"), Kind::Cost, tick, &Run::cpu_per_message);
    for server in run.servers.iter().filter(|server| server.is_server) {
        add(format!("CPU of {}", server.name), Kind::Cost, tick, &|run| {
            let cpu = run.servers.iter().find(|one| one.name == server.name)?.cpu_seconds();
            super::super::figures::per(cpu * 1e6, run.operations())
        });
    }
    add("server memory".into(), Kind::Memory, PAGE, &Run::server_memory);
    let page_per_player = PAGE / run.players.max(1) as f64;
    add("memory per player".into(), Kind::Memory, page_per_player, &Run::memory_per_player);
    add("error rate".into(), Kind::Errors, 1.0 / run.operations().max(1) as f64, &Run::error_rate);
    figures.extend(multiple(before, after));
    figures
}

/// The smallest step of a process's memory, in bytes.
const PAGE: f64 = 4096.0;

/// How a percentile is taken from a measure.
type Percentile = (&'static str, fn(&Measure) -> u64);

const PERCENTILES: [Percentile; 3] =
    [("p50", |measure| measure.p50), ("p99", |measure| measure.p99), ("p99.9", |measure| measure.p999)];

fn measures(before: &Report, after: &Report) -> Vec<String> {
    let names = |report: &Report| -> BTreeSet<String> {
        report.runs.iter().flat_map(|run| run.measures.keys().cloned()).collect()
    };
    let mut both: Vec<String> = names(before).intersection(&names(after)).cloned().collect();
    both.sort_by_key(|name| *name != before.runs[0].primary);
    both
}

fn of_runs(report: &Report, of: &dyn Fn(&Run) -> Option<f64>) -> Option<Vec<f64>> {
    report.runs.iter().map(of).collect()
}

/// The multiple of the trivial server's cost. It was measured once for all runs, so that its own noise isn't known.
fn multiple(before: &Report, after: &Report) -> Option<Figure> {
    let multiples = |report: &Report| {
        let trivial = report.calibration.as_ref()?.cpu_per_message().filter(|&cost| cost > 0.0)?;
        of_runs(report, &|run| Some(run.cpu_per_message()? / trivial))
    };
    Some(Figure {
        name: "× trivial server".to_owned(),
        kind: Kind::Cost,
        before: multiples(before)?,
        after: multiples(after)?,
        step: 0.0,
        has_known_noise: false,
    })
}

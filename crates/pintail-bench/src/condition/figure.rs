//! The figures that conditions can be about.

use crate::report::format::{bytes, duration, number, percent};
use crate::report::{Measure, ProcessUse, Run};

/// One figure of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    pub(super) kind: Kind,
    /// Of which measure, count, reason or server; of the scenario's own, or of all, if it isn't said.
    pub(super) of: Option<String>,
}

/// What is figured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Below this many percent of the times are so short.
    Percentile(f64),
    Mean,
    Min,
    Max,
    Throughput,
    Errors,
    ErrorRate,
    CpuPerMessage,
    Cpu,
    Memory,
    MemoryPerPlayer,
    Players,
}

/// The figures that have a name of their own. Percentiles are `p` and a number.
pub(super) const NAMED: [(&str, Kind); 11] = [
    ("mean", Kind::Mean),
    ("min", Kind::Min),
    ("max", Kind::Max),
    ("throughput", Kind::Throughput),
    ("errors", Kind::Errors),
    ("error-rate", Kind::ErrorRate),
    ("cpu-per-message", Kind::CpuPerMessage),
    ("cpu", Kind::Cpu),
    ("memory", Kind::Memory),
    ("memory-per-player", Kind::MemoryPerPlayer),
    ("players", Kind::Players),
];

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds.
    Time,
    /// A number, or a number a second.
    Number,
    /// 1 is all, or one core.
    Share,
    Bytes,
}

impl Unit {
    pub(super) fn words(self, value: f64) -> String {
        match self {
            Self::Time => duration(value),
            Self::Number => number(value),
            Self::Share => percent(value),
            Self::Bytes => bytes(value),
        }
    }
}

impl Kind {
    /// Whether it can be asked of one measure, count, reason or server.
    pub(super) fn takes_of(self) -> bool {
        !matches!(self, Self::ErrorRate | Self::Players)
    }

    fn is_of_measure(self) -> bool {
        matches!(self, Self::Percentile(_) | Self::Mean | Self::Min | Self::Max)
    }
}

impl Figure {
    pub(super) fn unit(&self) -> Unit {
        match self.kind {
            Kind::Percentile(_) | Kind::Mean | Kind::Min | Kind::Max | Kind::CpuPerMessage => Unit::Time,
            Kind::Throughput | Kind::Errors | Kind::Players => Unit::Number,
            Kind::ErrorRate | Kind::Cpu => Unit::Share,
            Kind::Memory | Kind::MemoryPerPlayer => Unit::Bytes,
        }
    }

    /// Whether it is of something that is timed.
    pub(super) fn is_of_measure(&self) -> bool {
        self.kind.is_of_measure()
    }

    /// Its name, where `primary` is what the scenario is about.
    pub(super) fn name(&self, primary: Option<&str>) -> String {
        let name = match self.kind {
            Kind::Percentile(percent) => format!("p{percent}"),
            kind => {
                let named = NAMED.iter().find(|(_, named)| *named == kind);
                named.expect("every kind but percentiles has a name").0.to_owned()
            }
        };
        let of = self.of.as_deref().or(primary.filter(|_| self.kind.is_of_measure()));
        of.map_or(name.clone(), |of| format!("{name} of {of}"))
    }

    /// Its value in a run.
    ///
    /// # Errors
    /// If it was not measured.
    pub(super) fn of(&self, run: &Run) -> Result<f64, Missing> {
        match self.kind {
            Kind::Percentile(percent) => self.percentile(run, percent),
            Kind::Mean => Ok(self.measure(run)?.mean),
            Kind::Min => Ok(self.measure(run)?.min as f64),
            Kind::Max => Ok(self.measure(run)?.max as f64),
            Kind::Throughput => self.throughput(run),
            Kind::Errors => Ok(self.errors(run) as f64),
            Kind::ErrorRate => run.error_rate().ok_or(Missing::Nothing("nothing was tried")),
            Kind::CpuPerMessage => self.cpu_per_message(run),
            Kind::Cpu => self.cpu(run),
            Kind::Memory => Ok(self.sum(run, |process| process.memory_after as f64)?),
            Kind::MemoryPerPlayer => self.memory_per_player(run),
            Kind::Players => Ok(run.players as f64),
        }
    }

    fn measure<'a>(&self, run: &'a Run) -> Result<&'a Measure, Missing> {
        let name = self.of.as_deref().unwrap_or(&run.primary);
        let measure = run.measures.get(name).ok_or_else(|| unknown(name, run.measures.keys()))?;
        if measure.count > 0 { Ok(measure) } else { Err(Missing::NoneOf(name.to_owned())) }
    }

    fn percentile(&self, run: &Run, percent: f64) -> Result<f64, Missing> {
        let measure = self.measure(run)?;
        let histogram = measure.to_histogram().map_err(|_| Missing::Nothing("its histogram is damaged"))?;
        Ok(histogram.value_at_quantile(percent / 100.0) as f64)
    }

    fn throughput(&self, run: &Run) -> Result<f64, Missing> {
        let Some(name) = &self.of else { return Ok(run.throughput()) };
        // What was timed was counted too.
        let timed = run.measures.get(name).map(Measure::done);
        let counted = run.counts.get(name).copied().or(timed);
        let counted = counted.ok_or_else(|| unknown(name, run.counts.keys().chain(run.measures.keys())))?;
        if run.seconds > 0.0 { Ok(counted as f64 / run.seconds) } else { Err(NO_TIME) }
    }

    /// A reason that never occurred has no entry, so any reason can be asked for.
    fn errors(&self, run: &Run) -> u64 {
        self.of.as_ref().map_or(run.error_count(), |reason| run.errors.get(reason).copied().unwrap_or_default())
    }

    fn cpu_per_message(&self, run: &Run) -> Result<f64, Missing> {
        let cpu = self.sum(run, ProcessUse::cpu_seconds)?;
        match run.operations() {
            0 => Err(Missing::NoneOf(run.primary.clone())),
            messages => Ok(cpu * 1e6 / messages as f64),
        }
    }

    fn cpu(&self, run: &Run) -> Result<f64, Missing> {
        let cpu = self.sum(run, ProcessUse::cpu_seconds)?;
        if run.seconds > 0.0 { Ok(cpu / run.seconds) } else { Err(NO_TIME) }
    }

    fn memory_per_player(&self, run: &Run) -> Result<f64, Missing> {
        let growth = self.sum(run, ProcessUse::memory_growth)?;
        if run.players > 0 { Ok(growth / run.players as f64) } else { Err(Missing::Nothing("there were no players")) }
    }

    /// Of one process, or of Pintail's servers together.
    fn sum(&self, run: &Run, figure: impl Fn(&ProcessUse) -> f64) -> Result<f64, Missing> {
        let processes = || run.servers.iter().chain([&run.generator]);
        let wanted = |process: &&ProcessUse| match &self.of {
            Some(name) => process.name == *name,
            None => process.is_server,
        };
        let figures: Vec<f64> = processes().filter(wanted).map(figure).collect();
        match (figures.is_empty(), &self.of) {
            (false, _) => Ok(figures.iter().sum()),
            (true, Some(name)) => Err(unknown(name, processes().map(|process| &process.name))),
            (true, None) => Err(Missing::Unknown { what: "server".to_owned(), known: "they run elsewhere".to_owned() }),
        }
    }
}

/// Why a run does not have a figure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Missing {
    /// Nothing of the kind is measured.
    #[error("no {what} was measured: {known}")]
    Unknown {
        /// What there is none of.
        what: String,
        /// What there is.
        known: String,
    },
    /// It is measured, and did not happen in this run.
    #[error("no `{0}` was measured")]
    NoneOf(String),
    /// Too little happened.
    #[error("{0}")]
    Nothing(&'static str),
}

const NO_TIME: Missing = Missing::Nothing("no time was measured");

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Missing {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    Missing::Unknown { what: format!("`{name}`"), known: format!("there is {}", known.join(", ")) }
}

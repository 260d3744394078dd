//! One measurement.

use std::pin::pin;
use std::time::Duration;

use pintail_bench::cluster::ClusterError;
use pintail_bench::live::{Moment, Progress};
use pintail_bench::process::ProcessMeter;
use pintail_bench::profile::{self, AdminPort, Profiles};
use pintail_bench::report::{ProcessSample, ProcessUse, Run};
use pintail_bench::{DriveError, LoadShape, Meter, Order, Phase, Scenario, drive};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::interrupt::Interrupt;
use super::place::{Opened, clear};
use crate::failure::Failure;
use crate::output::warn;

/// How long the players may take to leave once they were told to, before nobody waits for them any more.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) scenario: Scenario,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    pub(super) seed: u64,
    /// Whether flame graphs are wanted, and what opens the admin ports.
    pub(super) profile: Profiling,
}

/// Whether flame graphs are collected.
#[derive(Debug, Clone)]
pub(super) enum Profiling {
    Off,
    /// With the token that opens the admin ports, if there is one.
    On(Option<String>),
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) run: Run,
    pub(super) profiles: Profiles,
    /// What took the load, in words.
    pub(super) target: String,
    /// The process that ended by itself meanwhile.
    pub(super) death: Option<ClusterError>,
    /// What its servers have left behind, and how to remove it.
    pub(super) left: Option<String>,
}

/// Why there is no measurement.
#[derive(Debug)]
pub(super) enum Unmeasured {
    /// Players were to be there, and not a single one got in, mostly for this reason.
    NobodyPlays(String),
    /// Something else went wrong.
    Failed(Failure),
}

impl From<Unmeasured> for Failure {
    fn from(unmeasured: Unmeasured) -> Self {
        match unmeasured {
            Unmeasured::NobodyPlays(reason) => Self::new(DriveError::NobodyPlays(reason).to_string()),
            Unmeasured::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for Unmeasured {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Task {
    /// Puts a load on a cluster, shows how it goes, and ends the cluster if it is the test's own. `label` says which
    /// measurement it is.
    ///
    /// # Errors
    /// See [`Unmeasured`].
    pub(super) async fn measure(
        &self,
        mut opened: Opened,
        load: LoadShape,
        label: &str,
        progress: &mut Progress,
        interrupt: &Interrupt,
    ) -> Result<Measured, Unmeasured> {
        let order = Order {
            gateways: std::mem::take(&mut opened.gateways),
            scenario: self.scenario.clone(),
            load,
            warm_up: self.warm_up,
            measure: self.duration,
            seed: self.seed,
        };
        let servers: Vec<String> = opened.processes.iter().map(|process| process.name.clone()).collect();
        let mut meter = WindowMeter::new(ProcessMeter::new(std::mem::take(&mut opened.processes)), self, &opened.admin);
        let stop = interrupt.soon.child_token();
        let unit = self.scenario.describe().unit;
        let mut watch = |phase: Phase, sample: &pintail_bench::report::Sample| {
            let phase_label = if label.is_empty() { phase.to_string() } else { format!("{label}: {phase}") };
            let total = match phase {
                Phase::WarmUp => Some(self.warm_up),
                Phase::Measure => Some(self.duration),
                Phase::SetUp | Phase::WindDown => None,
            };
            progress.show(&Moment { phase: &phase_label, total, unit: &unit, sample, servers: &servers });
        };
        let (driven, death) = {
            let mut driving = pin!(drive(&order, &mut meter, &mut watch, &stop));
            let death = async {
                match &mut opened.cluster {
                    Some(cluster) => cluster.death().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                driven = &mut driving => (Some(driven), None),
                death = death => {
                    stop.cancel();
                    (timeout(LEAVE_TIMEOUT, driving).await.ok(), Some(death))
                }
            }
        };
        let profiles = meter.profiles(interrupt).await;
        if let Some(cluster) = opened.cluster {
            cluster.stop().await;
        }
        let left = clear(opened.keys).await.and_then(Result::err);
        if let Some(left) = &left {
            warn(left);
        }
        match (driven, death) {
            (Some(Ok(run)), death) => Ok(Measured { run, profiles, target: opened.description, death, left }),
            (_, Some(death)) => Err(Unmeasured::Failed(death.into())),
            (Some(Err(DriveError::NobodyPlays(reason))), None) => Err(Unmeasured::NobodyPlays(reason)),
            (Some(Err(error)), None) => Err(Unmeasured::Failed(Failure::new(error.to_string()))),
            (None, None) => unreachable!("the load is only given up after a death"),
        }
    }
}

/// Measures processes, and asks for flame graphs when the window begins.
struct WindowMeter {
    processes: ProcessMeter,
    /// Who is asked, with what token, for how long; until they are.
    wanted: Option<(Vec<AdminPort>, Option<String>, Duration)>,
    collecting: Option<JoinHandle<Profiles>>,
}

impl WindowMeter {
    fn new(processes: ProcessMeter, task: &Task, admin: &[AdminPort]) -> Self {
        let wanted = match &task.profile {
            Profiling::Off => None,
            Profiling::On(token) => Some((admin.to_vec(), token.clone(), task.duration)),
        };
        Self { processes, wanted, collecting: None }
    }

    /// What was collected. Whoever ends the test early does not want to wait for it.
    async fn profiles(self, interrupt: &Interrupt) -> Profiles {
        let Some(mut collecting) = self.collecting else { return Profiles::default() };
        let without =
            |why: &str| Profiles { profiles: Vec::new(), notes: vec![format!("There are no flame graphs: {why}.")] };
        tokio::select! {
            collected = &mut collecting => collected.unwrap_or_else(|_| without("collecting them failed")),
            () = interrupt.soon.cancelled() => {
                collecting.abort();
                without("the test was interrupted")
            }
        }
    }
}

impl Meter for WindowMeter {
    fn begin(&mut self) {
        if let Some((ports, token, duration)) = self.wanted.take() {
            self.collecting = Some(tokio::spawn(profile::collect(ports, token, duration)));
        }
        self.processes.begin();
    }

    fn sample(&mut self) -> (Vec<ProcessSample>, ProcessSample) {
        self.processes.sample()
    }

    fn end(&mut self) -> (Vec<ProcessUse>, ProcessUse) {
        self.processes.end()
    }
}

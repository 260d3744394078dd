//! The measurements of a test: one or several; [`search`](super::search) has those of a search.

use pintail_bench::live::{Display, Progress};
use pintail_bench::pins::Pins;
use pintail_bench::reach::Reach;
use pintail_bench::report::Machine;
use pintail_bench::{BotKind, LoadShape, Scenario};

use super::interrupt::Interrupt;
use super::outcome::{self, Outcome};
use super::place::Place;
use super::search::Ceiling;
use super::window::{Measured, Profiling, Task, Unmeasured};
use crate::config::bench::BuiltIn;
use crate::config::bench::options::TestArgs;
use crate::config::bench::scenarios::{BotsArgs, Load};
use crate::failure::Failure;

/// A stress test that was asked for.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) scenario: Scenario,
    pub(super) load: Load,
    pub(super) options: TestArgs,
}

impl Test {
    /// The test that a command asks for, if it does.
    pub(super) fn of(command: &BuiltIn) -> Option<Self> {
        let ((scenario, load), options) = match command {
            BuiltIn::Echo(args) => (args.scenario(), &args.test),
            BuiltIn::Broadcast(args) => (args.scenario(), &args.test),
            BuiltIn::Arena(args) => (args.scenario(), &args.test),
            BuiltIn::Lobby(args) => (args.scenario(), &args.test),
            BuiltIn::Connect(args) => (args.scenario(), &args.test),
            BuiltIn::Churn(args) => (args.scenario(), &args.test),
            BuiltIn::Match(args) => (args.scenario(), &args.test),
            BuiltIn::Compare(_) | BuiltIn::Report(_) | BuiltIn::Hold(_) | BuiltIn::Trivial => return None,
        };
        Some(Self { scenario, load, options: options.clone() })
    }

    /// The test of a game author's bots.
    pub(super) fn of_bots(kind: &BotKind, args: &BotsArgs) -> Self {
        let (scenario, load) = args.scenario(kind);
        Self { scenario, load, options: args.test.clone() }
    }

    /// How the load goes over time.
    pub(super) fn shape(&self) -> LoadShape {
        self.options.window.ramp.map_or_else(|| self.load.constant(), |over| self.load.ramp(over))
    }

    fn task(&self, seed: u64) -> Result<Task, Failure> {
        let TestArgs { window, result, .. } = &self.options;
        let token = result.admin_token.as_ref().map(|token| token.expose()).transpose().map_err(|error| {
            Failure::new(format!("the file of --admin-token can't be read ({error}): check its path"))
        })?;
        Ok(Task {
            scenario: self.scenario.clone(),
            warm_up: window.warm_up.0,
            duration: window.duration.0,
            seed,
            profile: if result.profile { Profiling::On(token) } else { Profiling::Off },
        })
    }
}

/// Runs a test and reports.
///
/// # Errors
/// If it could not be measured, or by the exit code of a threshold.
pub(super) async fn run(test: &Test, pins: &Pins, machine: Machine) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let measured = tokio::select! {
        measured = measure(test, pins, &interrupt) => measured,
        // Whatever was started is killed as it is dropped.
        () = interrupt.now.cancelled() => Err(Failure::new(ended_at_once(test))),
    };
    match (measured, interrupt.told()) {
        (Ok(outcome), told) => outcome::conclude(test, outcome, machine, told),
        (Err(Failure::Failed { sentence, .. }), Some(told)) => Err(Failure::with_code(told.exit_code(), sentence)),
        (Err(failure), _) => Err(failure),
    }
}

/// What the command line's parser can't see: settings that mean nothing together.
///
/// # Errors
/// With what to do instead.
fn check_settings(test: &Test) -> Result<(), Failure> {
    let TestArgs { place, window, result } = &test.options;
    if result.calibrate && !pintail_bench::trivial::can_take(&test.scenario) {
        return Err(Failure::usage(
            "--calibrate is for `echo` and `broadcast`, whose messages the trivial server answers: leave it out",
        ));
    }
    if let Some(condition) = window.find_max.as_ref().filter(|condition| !condition.bounds_a_load()) {
        return Err(Failure::usage(format!(
            "--find-max looks for the largest load that keeps `{condition}`, which no load breaks by being large: say what \
             must not be exceeded, as in 'p99<50ms'"
        )));
    }
    if window.ramp.is_some_and(|ramp| ramp.0 > window.duration.0) {
        return Err(Failure::usage(
            "--ramp is longer than --duration, so the load would never be reached: measure longer",
        ));
    }
    if result.profile && !place.own && result.admin.is_empty() {
        return Err(Failure::usage(
            "--profile asks the servers for flame graphs: name their admin ports with --admin HOST:PORT,…",
        ));
    }
    if result.profile && result.html.is_none() && result.json.is_none() {
        return Err(Failure::usage("--profile collects flame graphs for the report: say where to with --html FILE"));
    }
    Ok(())
}

/// What is said of a test that was ended by a second signal.
fn ended_at_once(test: &Test) -> &'static str {
    if test.options.place.redis.is_none() {
        return "it was ended before there was a report";
    }
    "it was ended before there was a report, and before it had removed its keys from Redis: those begin with `bench-`, and --help \
     says how to remove them"
}

async fn measure(test: &Test, pins: &Pins, interrupt: &Interrupt) -> Result<Outcome, Failure> {
    check_settings(test)?;
    outcome::check_files(&test.options.result)?;
    let reach = Reach::here();
    let place = Place::find(&test.options.place, &test.options.result, pins).await?;
    let wanted = test.scenario.whole_rooms(test.shape().largest()).saturating_mul(test.load.connections_each());
    reach.check(wanted, place.other_end()).map_err(|error| Failure::new(error.to_string()))?;
    let seed = test.options.window.seed.unwrap_or_else(rand::random);
    let mut stage = Stage {
        task: test.task(seed)?,
        place,
        progress: Progress::new(Display::of_stderr()),
        interrupt,
        outcome: Outcome::new(seed),
    };
    match &test.options.window.find_max {
        Some(condition) => {
            let ceiling = Ceiling::of(test, reach.players_max(stage.place.other_end()));
            stage.search(test, condition, ceiling).await?;
        }
        None => stage.repeat(test).await?,
    }
    if test.options.result.calibrate && !stage.is_over() {
        // What was measured is worth a report without it.
        if let Err(failure) = stage.calibrate(test, pins).await {
            stage.outcome.notes.push(format!("There is no calibration: {failure}."));
        }
    }
    stage.progress.finish();
    Ok(stage.outcome)
}

/// What the measurements have in common.
pub(super) struct Stage<'a> {
    task: Task,
    place: Place,
    pub(super) progress: Progress,
    pub(super) interrupt: &'a Interrupt,
    pub(super) outcome: Outcome,
}

impl Stage<'_> {
    /// Whether there is no use in a further measurement.
    fn is_over(&self) -> bool {
        self.interrupt.soon.is_cancelled() || self.outcome.death.is_some() || self.outcome.failure.is_some()
    }

    /// Puts a load on the cluster, or on a new one. `label` says which it is.
    ///
    /// # Errors
    /// See [`Unmeasured`].
    pub(super) async fn measure(&mut self, load: LoadShape, label: &str) -> Result<Measured, Unmeasured> {
        let opened = self.place.open(&self.interrupt.soon).await?;
        self.task.measure(opened, load, label, &mut self.progress, self.interrupt).await
    }

    /// The same load, as often as was asked for.
    async fn repeat(&mut self, test: &Test) -> Result<(), Failure> {
        let runs = test.options.window.runs;
        for number in 1..=runs {
            let label = if runs == 1 { String::new() } else { format!("run {number} of {runs}") };
            match self.measure(test.shape(), &label).await {
                Ok(measured) => self.take(measured),
                // What was measured before is worth a report.
                Err(unmeasured) if self.outcome.runs.is_empty() => return Err(unmeasured.into()),
                Err(unmeasured) => {
                    let why = Failure::from(unmeasured);
                    self.outcome.notes.push(format!("Run {number} was not measured: {why}."));
                }
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, measured: Measured) {
        let Measured { run, profiles, target, death, left } = measured;
        self.outcome.notes.extend(left);
        if run.was_measured() || self.outcome.runs.is_empty() {
            self.outcome.runs.push(run);
        } else {
            self.outcome
                .notes
                .push("The last run was stopped before anything was measured, and is left out.".to_owned());
        }
        self.outcome.target = target;
        self.outcome.profiles = profiles;
        self.outcome.death = death;
    }

    /// The same load on the trivial server.
    async fn calibrate(&mut self, test: &Test, pins: &Pins) -> Result<(), Failure> {
        let largest = self.outcome.search.as_ref().and_then(|search| search.largest);
        let load = largest.map_or_else(|| test.shape(), |count| Load { count, ..test.load }.constant());
        let task = Task { profile: Profiling::Off, ..self.task.clone() };
        let opened = Place::open_trivial(pins).await?;
        let label = "the trivial server";
        let measured = task.measure(opened, load, label, &mut self.progress, self.interrupt).await?;
        match measured.death {
            Some(death) => self.outcome.notes.push(format!("There is no calibration: {death}.")),
            None => self.outcome.calibration = Some(measured.run),
        }
        if !self.place.is_plain_tcp() {
            self.outcome.notes.push(
                "The players of the trivial server came over plain TCP, and those of the cluster did not: the multiple has \
                 the price of WebSockets or TLS in it."
                    .to_owned(),
            );
        }
        Ok(())
    }
}

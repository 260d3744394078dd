//! The search for the largest load that keeps a condition.

use pintail_bench::attendance::Attendance;
use pintail_bench::condition::Condition;
use pintail_bench::profile::Profiles;
use pintail_bench::report::{Probe, Run, Search};
use pintail_bench::scenario::{Connect, Scenario};
use pintail_bench::search::{Bisection, Next, Verdict};

use super::test::{Stage, Test};
use super::window::Unmeasured;
use crate::config::bench::scenarios::{Load, Unit};
use crate::failure::Failure;
use crate::output::warn;

/// The largest load that there is a use in trying.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ceiling {
    most: u64,
    why: Why,
}

/// Why no larger load is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Why {
    /// This machine has no more connections.
    Connections,
    /// No more players log in within the window, at so many a second.
    Logins(f64),
}

/// The share of the window in which the last player should have begun to log in, to be there at its end.
const LOGINS_SHARE: f64 = 0.95;

/// What came of a load.
enum Tried {
    /// The condition was kept, or broken.
    Judged(Probe),
    /// The window did not come to its end.
    CutShort,
}

impl Ceiling {
    /// Of a test on a machine that can connect so many players.
    pub(super) fn of(test: &Test, connections_max: u64) -> Self {
        let connections =
            Self { most: most_connected(&test.scenario, test.load, connections_max), why: Why::Connections };
        let Scenario::Connect(Connect { per_second: Some(rate) }) = test.scenario else { return connections };
        let seconds = test.options.window.duration.0.as_secs_f64();
        let most = Connect { per_second: Some(rate) }.logins_max(seconds * LOGINS_SHARE);
        if most < connections.most { Self { most, why: Why::Logins(rate) } } else { connections }
    }

    fn sentence(self, unit: &str) -> String {
        let Self { most, why } = self;
        match why {
            Why::Connections => format!("{most} {unit} are as many as this machine can connect"),
            Why::Logins(rate) => {
                format!("{most} {unit} are as many as log in within --duration, at {rate} a second (--rate)")
            }
        }
    }
}

/// How large a load can be whose players need so many connections at most.
fn most_connected(scenario: &Scenario, load: Load, connections_max: u64) -> u64 {
    let players = connections_max / load.connections_each();
    let room = u64::from(scenario.room_players()).max(1);
    let whole_rooms = match load.unit {
        // A room that is not full is made up.
        Unit::Players => players / room * room,
        Unit::Rooms | Unit::Workers => players,
    };
    (whole_rooms / load.players_each.max(1)).max(1)
}

impl Stage<'_> {
    /// Tries loads until the largest is known that keeps the condition. What was found until then is the result if it ends
    /// early.
    ///
    /// # Errors
    /// If nothing was found at all, or the condition is about nothing that is measured.
    pub(super) async fn search(&mut self, test: &Test, condition: &Condition, ceiling: Ceiling) -> Result<(), Failure> {
        let unit = test.load.unit.name();
        if test.load.count > ceiling.most {
            self.outcome.notes.push(format!("The search began below what was asked for: {}.", ceiling.sentence(unit)));
        }
        let mut bisection = Bisection::new(test.load.count, ceiling.most);
        let mut windows = Windows::default();
        let mut probes: Vec<Probe> = Vec::new();
        let (largest, interrupted) = loop {
            let load = match bisection.next() {
                Next::Done(largest) => break (largest, false),
                Next::Try(load) => load,
            };
            match self.attempt(test, condition, load, &mut windows).await {
                Ok(Tried::Judged(probe)) => {
                    self.tell(&probe, unit);
                    bisection.found(load, if probe.held { Verdict::Held } else { Verdict::Broke });
                    probes.push(probe);
                }
                Ok(Tried::CutShort) => break (bisection.largest_so_far(), true),
                Err(failure) if probes.is_empty() => return Err(failure),
                Err(failure) => {
                    self.outcome.failure = Some(failure);
                    break (bisection.largest_so_far(), true);
                }
            }
        };
        if !interrupted && largest == Some(ceiling.most) {
            self.outcome
                .notes
                .push(format!("The search ended before the condition broke: {}.", ceiling.sentence(unit)));
        }
        let unit = unit.to_owned();
        (self.outcome.runs, self.outcome.profiles) = windows.of(largest);
        self.outcome.search = Some(Search { condition: condition.to_string(), unit, probes, largest, interrupted });
        Ok(())
    }

    /// Tries one load.
    async fn attempt(
        &mut self,
        test: &Test,
        condition: &Condition,
        load: u64,
        windows: &mut Windows,
    ) -> Result<Tried, Failure> {
        let shape = Load { count: load, ..test.load }.constant();
        let attendance = Attendance::of(&test.scenario, shape);
        let measured = match self.measure(shape, &format!("{load} {}", test.load.unit.name())).await {
            Ok(measured) => measured,
            Err(Unmeasured::NobodyPlays(reason)) => {
                return Ok(Tried::Judged(Condition::probe_of_nobody(load, attendance, &reason)));
            }
            Err(Unmeasured::Failed(failure)) => return Err(failure),
        };
        self.outcome.target.clone_from(&measured.target);
        self.outcome.notes.extend(measured.left);
        if self.interrupt.soon.is_cancelled() || measured.death.is_some() {
            self.outcome.death = measured.death;
            windows.last = windows.last.take().filter(Run::was_measured).or(Some(measured.run));
            return Ok(Tried::CutShort);
        }
        if let Some(refusal) = condition.refusal(&measured.run, &test.scenario.measures()) {
            return Err(Failure::usage(refusal));
        }
        let probe = condition.probe(load, &measured.run, attendance);
        windows.take(load, measured.run, measured.profiles);
        Ok(Tried::Judged(probe))
    }

    fn tell(&mut self, probe: &Probe, unit: &str) {
        self.progress.finish();
        let word = if probe.held { "kept" } else { "broken" };
        warn(format_args!("{} {unit}: {word} ({})", probe.load, probe.found));
    }
}

/// The windows of a search. Those that are worth a report are all of the largest load that kept the condition, whether each
/// did or not; or if none did, the last.
#[derive(Debug, Default)]
struct Windows {
    /// Two or three of each load, of some tens of loads.
    judged: Vec<(u64, Run, Profiles)>,
    last: Option<Run>,
}

impl Windows {
    fn take(&mut self, load: u64, run: Run, profiles: Profiles) {
        self.last = Some(run.clone());
        self.judged.push((load, run, profiles));
    }

    fn of(self, largest: Option<u64>) -> (Vec<Run>, Profiles) {
        let chosen = self.judged.into_iter().filter(|(load, ..)| Some(*load) == largest);
        let (mut runs, mut profiles) = (Vec::new(), Profiles::default());
        for (_, run, own) in chosen {
            runs.push(run);
            profiles = own;
        }
        if runs.is_empty() {
            runs.extend(self.last);
        }
        (runs, profiles)
    }
}

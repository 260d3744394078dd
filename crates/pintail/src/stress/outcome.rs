//! The report of a test, and its exit code.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pintail_bench::cluster::ClusterError;
use pintail_bench::profile::Profiles;
use pintail_bench::report::{self, Machine, REPORT_FORMAT, Report, Run, Search};
use pintail_bench::scenario::{Connect, Scenario};

use super::test::Test;
use super::{THRESHOLD, paint};
use crate::config::bench::options::ResultArgs;
use crate::config::secret::RedisUrl;
use crate::failure::Failure;
use crate::output::{print, warn};
use crate::signals::Told;

/// What a test has found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) started_at: SystemTime,
    pub(super) seed: u64,
    /// What took the load, in words.
    pub(super) target: String,
    pub(super) runs: Vec<Run>,
    pub(super) search: Option<Search>,
    pub(super) calibration: Option<Run>,
    pub(super) profiles: Profiles,
    pub(super) notes: Vec<String>,
    /// The process that ended by itself.
    pub(super) death: Option<ClusterError>,
    /// What else ended the test before its end.
    pub(super) failure: Option<Failure>,
}

impl Outcome {
    /// Nothing yet.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            started_at: SystemTime::now(),
            seed,
            target: String::new(),
            runs: Vec::new(),
            search: None,
            calibration: None,
            profiles: Profiles::default(),
            notes: Vec::new(),
            death: None,
            failure: None,
        }
    }

    fn report(&mut self, test: &Test, machine: Machine, told: Option<Told>) -> Report {
        let checks = test.options.result.fail_if.iter().map(|condition| condition.check(&self.runs)).collect();
        let is_search = self.search.is_some();
        let players = self.runs.iter().map(|run| run.players).max().unwrap_or(0);
        let scenario = test.scenario.describe();
        Report {
            format: REPORT_FORMAT,
            pintail: env!("CARGO_PKG_VERSION").to_owned(),
            command: shown(std::env::args_os().map(|word| word.to_string_lossy().into_owned())),
            started_at: self.started_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            machine,
            target: self.target.clone(),
            seed: Some(self.seed),
            shape: if is_search { format!("{players} {}", scenario.unit) } else { test.shape().of(&scenario.unit) },
            scenario,
            notes: self.all_notes(test, told),
            runs: std::mem::take(&mut self.runs),
            search: self.search.take(),
            calibration: self.calibration.take(),
            checks,
            interrupted: told.is_some() || self.death.is_some() || self.failure.is_some(),
            profiles: std::mem::take(&mut self.profiles.profiles),
        }
    }

    /// What to know before the figures are believed.
    fn all_notes(&self, test: &Test, told: Option<Told>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(death) = &self.death {
            notes.push(format!("The test ended early: {}", death.in_short()));
        } else if told.is_some() {
            notes.push("The test was interrupted: the figures are of what was measured until then.".to_owned());
        } else if let Some(failure) = &self.failure {
            notes.push(format!("The test ended early: {failure}"));
        }
        if let Some(trouble) = self.runs.iter().find_map(Run::generator_trouble) {
            notes.push(format!(
                "{trouble}, so the figures show its limit and not only the servers': take a smaller load, give it a core of \
                 its own (--pin), or share it between several machines."
            ));
        }
        notes.extend(self.search.as_ref().and_then(generator_was_the_limit));
        if self.calibration.iter().any(|run| run.generator_trouble().is_some()) {
            notes.push(
                "The trivial server had as much to do as the load generator can make: its throughput is the generator's. \
                 What a message costs it is not."
                    .to_owned(),
            );
        }
        if let Some(logins) = most_logins(test, &self.runs) {
            notes.push(format!(
                "The most logins were {logins:.0} in one second: after the last one the players are idle."
            ));
        }
        if let Scenario::Match(_) = test.scenario {
            notes.push(
                "`lateness` is how much later a step's answers came than those of the quickest step that the bot heard: how \
                 much steps vary. A delay that all of them have is not in it; `delivery` has it, and the wait for the next \
                 step."
                    .to_owned(),
            );
        }
        if cfg!(debug_assertions) {
            notes.push(
                "This program was built without optimisation: for figures that mean something, build it with --release."
                    .to_owned(),
            );
        }
        if test.options.result.profile && !test.options.place.own && test.options.result.admin.is_empty() {
            notes.push("There are no flame graphs: name the servers' admin ports with --admin.".to_owned());
        }
        notes.extend(self.notes.iter().cloned());
        notes.extend(self.profiles.notes.iter().cloned());
        notes
    }
}

/// How many logins the busiest second had, if the test is of logins as fast as they go: then the window is longer than they
/// take, and says little of how fast that is.
fn most_logins(test: &Test, runs: &[Run]) -> Option<f64> {
    let Scenario::Connect(Connect { per_second: None }) = test.scenario else { return None };
    runs.iter().filter_map(Run::received_at_most).reduce(f64::max)
}

/// What to know if the load generator had no time to spare where a search ended: its limit may have been found.
fn generator_was_the_limit(search: &Search) -> Option<String> {
    let broken = || search.probes.iter().filter(|probe| !probe.held && Some(probe.load) > search.largest);
    let load = broken().map(|probe| probe.load).min()?;
    let states = broken().filter(|probe| probe.load == load).filter_map(|probe| probe.generator.as_ref());
    let trouble = states.filter_map(|state| state.trouble.as_ref()).next()?;
    Some(format!(
        "{trouble} at {load} {}, where the condition broke: the servers may carry more. Give the load a core of its own \
         (--pin), or share it between several machines.",
        search.unit
    ))
}

/// Prints and writes the report, and says by the exit code how it went.
///
/// # Errors
/// If it can't be written, or by the exit code of an interruption, a death or a threshold, in this order.
pub(super) fn conclude(test: &Test, mut outcome: Outcome, machine: Machine, told: Option<Told>) -> Result<(), Failure> {
    let report = outcome.report(test, machine, told);
    // Whether anyone reads it changes neither the files nor the exit code.
    let printed = print(report::table(&report, paint()).trim_end());
    let result = &test.options.result;
    if let Some(path) = &result.json {
        report::write(path, &report)?;
        warn(format_args!("report: {}", path.display()));
    }
    if let Some(path) = &result.html {
        write_html(&report, path)?;
    }
    if let Some(told) = told {
        return Err(Failure::with_code(told.exit_code(), "the test was interrupted"));
    }
    if let Some(death) = outcome.death {
        return Err(Failure::new(death.to_string()));
    }
    if let Some(failure) = outcome.failure {
        return Err(failure);
    }
    verdict(&report).map_or(printed, |broken| Err(Failure::with_code(THRESHOLD, broken)))
}

/// Looks whether the files can be written: nobody wants to hear after the test that they can't.
///
/// # Errors
/// If one can't.
pub(super) fn check_files(result: &ResultArgs) -> Result<(), Failure> {
    let absolute = |path: &Option<PathBuf>| path.as_ref().and_then(|path| std::path::absolute(path).ok());
    if result.json.is_some() && absolute(&result.json) == absolute(&result.html) {
        return Err(Failure::usage("--json and --html name the same file: one would replace the other"));
    }
    [&result.json, &result.html].into_iter().flatten().try_for_each(|path| check_file(path))
}

fn check_file(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let refuse = |why: String| Err(Failure::usage(format!("{} can't be written, {why}", path.display())));
    if !folder.is_dir() {
        return refuse(format!("as there is no folder {}: make it first", folder.display()));
    }
    if path.is_dir() {
        return refuse("as it is a folder: name a file in it".to_owned());
    }
    // What is there already stays until there is something to replace it.
    let opened = match path.exists() {
        true => File::options().append(true).open(path).map(drop),
        false => tempfile::tempfile_in(folder).map(drop),
    };
    opened.or_else(|error| refuse(format!("{error}: choose another place")))
}

/// The first threshold that was broken, as a sentence.
fn verdict(report: &Report) -> Option<String> {
    if let Some(check) = report.checks.iter().find(|check| check.failed) {
        return Some(format!("`{}` is true: {}", check.condition, check.found));
    }
    let search = report.search.as_ref().filter(|search| search.largest.is_none() && !search.interrupted)?;
    Some(format!("no load keeps `{}`, not even the smallest that was tried", search.condition))
}

/// Writes the page for the browser.
///
/// # Errors
/// If it can't be written.
pub(super) fn write_html(report: &Report, path: &Path) -> Result<(), Failure> {
    std::fs::write(path, report::html(report)).map_err(|error| {
        Failure::new(format!("the page {} can't be written ({error}): choose another with --html", path.display()))
    })?;
    warn(format_args!("page: {}", path.display()));
    Ok(())
}

/// A command line without what may be secret in it.
fn shown(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut hidden_by: Option<&str> = None;
    let hide = |option: &str, value: &str| match option {
        "--redis" => value.parse::<RedisUrl>().map(|url| url.to_string()).unwrap_or_default(),
        _ => "…".to_owned(),
    };
    let secrets = ["--redis", "--admin-token"];
    let shown = arguments.map(|argument| {
        if let Some(option) = hidden_by.take() {
            return hide(option, &argument);
        }
        for option in secrets {
            match argument.strip_prefix(option) {
                Some("") => hidden_by = Some(option),
                Some(rest) if rest.starts_with('=') => return format!("{option}={}", hide(option, &rest[1..])),
                _ => {}
            }
        }
        argument
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_holds_no_secret_of_the_command_line() {
        let line = "pintail bench echo --self --redis redis://u:word@h:1 --admin-token=key --admin-token key --json a";
        let shown = shown(line.split(' ').map(str::to_owned)).join(" ");
        assert_eq!(shown, "pintail bench echo --self --redis redis://h:1 --admin-token=… --admin-token … --json a");
    }
}

//! What the operator asked for: flags over environment over file over defaults.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`args`] | the commands and their settings: the one definition of each |
//! | [`bench`] | those of the stress test |
//! | [`file`] | the settings of the TOML file |
//! | [`environment`] | refuses `PINTAIL_…` variables that are no setting |
//! | [`play`] | those of a player in the terminal |
//! | [`values`], [`period`] | how the text of a setting is read |
//! | [`store`] | where the store is |
//! | [`tls`] | the certificate that gateways show to players |
//! | [`health`] | the periods and limits by which servers watch each other |
//! | [`games`] | how a game server keeps its games |
//! | [`secret`] | settings that are never shown |
//! | [`server`] | what the settings of a server mean, and which can't be |

pub(crate) mod args;
pub(crate) mod bench;
mod environment;
mod file;
pub(crate) mod games;
pub(crate) mod health;
pub(crate) mod period;
pub(crate) mod play;
pub(crate) mod secret;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod tls;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use pintail_bench::Bots;
use thiserror::Error;

use args::Cli;
use environment::UnknownVariable;
use file::{FileError, FileSettings};

/// Why the settings can't be used.
#[derive(Debug, Error)]
pub(crate) enum UsageError {
    /// The command line or environment; also what `--help` and `--version` print.
    #[error(transparent)]
    CommandLine(clap::Error),
    /// A value in the file is none for its setting.
    #[error("{}: {}", .path.display(), .error.to_string().trim_start_matches("error: ").trim_end())]
    FileValue {
        /// The file.
        path: PathBuf,
        /// What its setting says.
        error: clap::Error,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The environment.
    #[error(transparent)]
    Environment(#[from] UnknownVariable),
    /// Settings that make no sense together.
    #[error(transparent)]
    Impossible(#[from] server::Impossible),
}

/// The commands and their settings. Help shows no values of the environment: some are secrets, all are noise.
fn program() -> clap::Command {
    program_with(&Bots::new())
}

/// The same, with the scenarios of these bots.
fn program_with(bots: &Bots) -> clap::Command {
    Cli::command()
        .mut_subcommands(|command| command.mut_args(|argument| argument.hide_env_values(true)))
        .mut_subcommand("bench", |command| bench::with_bots(command, bots))
}

/// Reads the settings. What the file says is put before the command line's own arguments, unless the same setting is
/// given there or in the environment.
///
/// # Errors
/// If a setting is unknown or its value is none.
pub(crate) fn parse(arguments: &[OsString], bots: &Bots) -> Result<Cli, UsageError> {
    let program = || program_with(bots);
    let given = program().try_get_matches_from(arguments).map_err(UsageError::CommandLine)?;
    environment::check(&program(), std::env::vars_os())?;
    let (command, settings) = given.subcommand().expect("a command is required");
    let Some(path) = settings.get_one::<PathBuf>("config") else {
        return Cli::from_arg_matches(&given).map_err(UsageError::CommandLine);
    };
    let file = FileSettings::read(path, &program())?;
    let from_file = file
        .of_command(command)
        .filter(|(setting, _)| !is_given(settings, setting))
        .map(|(setting, value)| OsString::from(format!("--{}={value}", setting.replace('_', "-"))));
    // Nothing but `--help` and `--version` stands before the command.
    let (head, tail) = arguments.split_at(2);
    let all = head.iter().cloned().chain(from_file).chain(tail.iter().cloned());
    let in_file = |error| UsageError::FileValue { path: path.clone(), error };
    let matches = program().try_get_matches_from(all).map_err(in_file)?;
    Cli::from_arg_matches(&matches).map_err(in_file)
}

fn is_given(settings: &ArgMatches, setting: &str) -> bool {
    matches!(settings.value_source(setting), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

/// The names of a command's settings as the file spells them: everything that takes a value, but the file itself.
fn settings_of(command: &clap::Command) -> impl Iterator<Item = &str> {
    command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some() && argument.get_env().is_some())
        .map(|argument| argument.get_id().as_str())
        .filter(|&setting| setting != "config")
}

/// The one of these that was probably meant.
fn similar<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (name.chars().count() / 2).min(2);
    candidates
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= distance_max)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added or removed (Levenshtein).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, other) in to.chars().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        program().debug_assert();
    }

    #[test]
    fn every_setting_has_the_variable_that_its_name_says() {
        // A stress test has its settings from the command line alone, but for those of configuration and logs.
        for command in program().get_subcommands() {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let Some(long) = argument.get_long() else { continue };
                let variable = format!("PINTAIL_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(argument.get_env(), Some(variable.as_ref()), "{} --{long}", command.get_name());
                assert_eq!(argument.get_id().as_str(), long.replace('-', "_"));
            }
        }
    }

    #[test]
    fn a_slip_of_the_keyboard_is_told_from_another_word() {
        let names = ["capacity", "cluster", "listen", "log"];
        assert_eq!(similar("capcity", names.into_iter()), Some("capacity"));
        assert_eq!(similar("lissten", names.into_iter()), Some("listen"));
        assert_eq!(similar("color", names.into_iter()), None);
        assert_eq!(similar("", names.into_iter()), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}

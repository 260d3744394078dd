//! `pintail bench`: its command line. What a stress test does stands there and nowhere else, neither in the environment
//! nor in a file: so a report's command line, with the seed that it names, is all that it takes to repeat it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`options`] | what every scenario has: where, how long, what is reported |
//! | [`scenarios`] | what the players do, and how many there are |

#[cfg(test)]
mod examples;
pub(crate) mod options;
pub(crate) mod scenarios;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use pintail_bench::Bots;

use super::args::CommonArgs;
use scenarios::BotsArgs;

/// `pintail bench`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pintail bench echo --self                                    a cluster of its own, on a Redis of its own
  pintail bench broadcast --self --rooms 50 --html out.html    50 rooms of 10, with charts
  pintail bench match --self --find-max 'p99 of lateness<100ms'   the largest load that keeps it
  pintail bench arena --target 10.0.0.7,10.0.0.8               real games on a cluster that runs
  pintail bench echo --self --runs 5 --json before.json        figures and their spread
  pintail bench compare before.json after.json                 did it get faster, or is that noise?

`pintail bench SCENARIO --help` lists what a scenario can be told. Nothing of it comes from the
environment or the file of --config: the command line is the whole test.

Exit codes:
  0    it was measured, and no condition of --fail-if is true
  1    it could not be measured, or a server of --self ended by itself
  2    the command can't be understood
  3    a condition of --fail-if is true, no load keeps that of --find-max, or a figure got worse
       (`compare --fail-if-worse`)
  130  it was interrupted by Ctrl-C (143: by SIGTERM); the report has what was measured until then"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// What to do: what comes with Pintail, or the bots of a game's author.
#[derive(Debug)]
pub(crate) enum What {
    /// What comes with Pintail.
    BuiltIn(BuiltIn),
    /// Bots by the name of their scenario.
    Bots {
        /// The scenario.
        name: String,
        /// How many there are, and what every scenario has.
        args: Box<BotsArgs>,
    },
}

/// What comes with Pintail.
#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "SCENARIO", subcommand_help_heading = "Scenarios and reports")]
pub(crate) enum BuiltIn {
    /// Each player is alone in a game of echo, with one message in flight (closed loop)
    Echo(Box<scenarios::EchoArgs>),
    /// Rooms in which every message goes to all others, at a steady rate (open loop)
    Broadcast(Box<scenarios::BroadcastArgs>),
    /// The real game, with bots that move and shoot (open loop)
    Arena(Box<scenarios::ArenaArgs>),
    /// Rooms made, joined and left, or whole games, as fast as allowed (closed loop)
    Lobby(Box<scenarios::LobbyArgs>),
    /// Players that log in, and then are idle
    Connect(Box<scenarios::ConnectArgs>),
    /// Players that come, play and chat a moment, and go
    Churn(Box<scenarios::ChurnArgs>),
    /// Rooms of 10 at 10 steps a second; half of the answers go to all (open loop)
    Match(Box<scenarios::MatchArgs>),
    /// Show what changed between two reports, and whether it is more than noise
    Compare(CompareArgs),
    /// Show a report again, or make a page for the browser of it
    Report(ReportArgs),
    /// Become a process of a test
    #[command(name = HOLD, hide = true)]
    Hold(HoldArgs),
    /// Be the trivial server
    #[command(name = TRIVIAL, hide = true)]
    Trivial,
}

/// The hidden words by which this program starts itself again.
pub(crate) const HOLD: &str = "__hold";
pub(crate) const TRIVIAL: &str = "__trivial";

/// `pintail bench compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The report of the test before, which `--json` wrote
    #[arg(value_name = "BEFORE")]
    pub(crate) before: PathBuf,
    /// The report of the test after
    #[arg(value_name = "AFTER")]
    pub(crate) after: PathBuf,
    /// End with exit code 3 if a figure got worse, beyond the noise
    #[arg(long)]
    pub(crate) fail_if_worse: bool,
    /// Compare tests of different settings or loads too, to see what the difference costs
    #[arg(long)]
    pub(crate) anyway: bool,
}

/// `pintail bench report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The report, which `--json` wrote
    #[arg(value_name = "FILE")]
    pub(crate) report: PathBuf,
    /// Write it as one page with charts, which needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What a process of a test is to become.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) words: Vec<OsString>,
}

impl FromArgMatches for What {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((name, own)) if !BuiltIn::has_subcommand(name) => {
                Ok(Self::Bots { name: name.to_owned(), args: Box::new(BotsArgs::from_arg_matches(own)?) })
            }
            _ => BuiltIn::from_arg_matches(matches).map(Self::BuiltIn),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for What {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        BuiltIn::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        BuiltIn::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        BuiltIn::has_subcommand(name)
    }
}

/// The command with the scenarios of these bots. Its settings for configuration and logs may follow the scenario.
pub(super) fn with_bots(bench: clap::Command, bots: &Bots) -> clap::Command {
    let bench = bench.mut_args(|argument| argument.global(true));
    let kinds = bots.names().filter_map(|name| bots.get(name));
    kinds.filter(|kind| !BuiltIn::has_subcommand(&kind.name)).fold(bench, |bench, kind| {
        let about = format!("Bots that play {}", kind.game);
        bench.subcommand(BotsArgs::augment_args(clap::Command::new(kind.name.clone()).about(about)))
    })
}

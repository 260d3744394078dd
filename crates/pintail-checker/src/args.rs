//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand, value_parser};

use crate::acts::Halt;
use crate::cluster::Sizes;
use crate::ledger::PLAYERS_MAX;
use crate::plan::{Class, Mix, Plan, Scenario};
use crate::report::Verdict;
use crate::run::{RunError, Settings, check, types};

/// The command by which this program checks; by any other it is a server.
const CHECK: &str = "check";

/// The exit code of a run that broke a promise.
const BROKEN: u8 = 1;

/// The exit code of a run that proves nothing.
const VOID: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "pintail-checker", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run games on a cluster of real processes, make everything fail, and compare what players were told
    Check(Check),
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Exit codes:
  0  every promise was kept
  1  one was broken: the summary says which, and the logs of all processes are kept
  2  the run proves nothing: it could not begin, was interrupted, or had under 100 acknowledged inputs a second")]
struct Check {
    /// How long things go wrong
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u32).range(1..=1440))]
    minutes: u32,

    /// What the plan is made from: the same seed is the same plan
    ///
    /// [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// What goes wrong
    #[arg(long, value_name = "KIND", value_enum, default_value = "mixed")]
    scenario: Scenario,

    /// These kinds of failures alone, such as `kill-game,redis-killed`, instead of a scenario's
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    only: Vec<Class>,

    /// How many failures there may be at once; with 1, the next begins when the cluster is well again
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u8).range(1..=4))]
    overlap: u8,

    /// How many games; every other one has fixed steps
    #[arg(long, value_name = "N", default_value = "20", value_parser = value_parser!(u16).range(1..=1000))]
    games: u16,

    /// How many players each game has
    #[arg(long, value_name = "N", default_value = "4", value_parser = value_parser!(u16).range(1..=i64::from(PLAYERS_MAX)))]
    players: u16,

    /// How many inputs each player sends in a second
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u32).range(1..=100))]
    rate: u32,

    /// How many gateways
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u8).range(1..=8))]
    gateways: u8,

    /// How many lobby servers
    #[arg(long, value_name = "N", default_value = "2", value_parser = value_parser!(u8).range(1..=8))]
    lobbies: u8,

    /// How many game servers
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u8).range(1..=16))]
    servers: u8,

    /// Show the plan and do nothing
    #[arg(long)]
    plan: bool,

    /// Where the logs of all processes go
    ///
    /// [default: a new directory among the system's temporary files]
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// The program: checks, or serves as `pintail` does.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == CHECK) {
        let Cli { command: Command::Check(args) } = Cli::parse();
        return args.run();
    }
    pintail::main(types())
}

impl Check {
    fn run(&self) -> ExitCode {
        let seed = self.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
        let duration = Duration::from_secs(60 * u64::from(self.minutes));
        let plan = Plan::new(seed, &self.mix(), duration * u32::from(self.overlap));
        println!("the plan of seed {seed}:\n{plan}");
        if self.plan {
            return ExitCode::SUCCESS;
        }
        match self.check(plan, duration) {
            Ok(verdict) => {
                println!("again: {}", self.again(seed));
                ExitCode::from(match verdict {
                    Verdict::Kept => 0,
                    Verdict::Broken => BROKEN,
                    Verdict::Void | Verdict::Unfinished => VOID,
                })
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(VOID)
            }
        }
    }

    fn mix(&self) -> Mix {
        if self.only.is_empty() { Mix::of(self.scenario) } else { Mix::only(&self.only) }
    }

    fn check(&self, plan: Plan, duration: Duration) -> Result<Verdict, RunError> {
        let logs = self.make_logs(plan.seed)?;
        println!("logs: {}", logs.display());
        let sizes =
            Sizes { gateways: self.gateways.into(), lobbies: self.lobbies.into(), servers: self.servers.into() };
        let settings = Settings {
            program: std::env::current_exe()?,
            logs,
            sizes,
            games: self.games.into(),
            players: self.players.into(),
            rate: self.rate,
            duration,
            overlap: self.overlap.into(),
            plan,
        };
        let halt = Arc::new(Halt::default());
        halt_on_signal(Arc::clone(&halt))?;
        let report = check(&settings, &halt, &|line| println!("{line}"))?;
        println!("{report}");
        Ok(report.verdict())
    }

    fn make_logs(&self, seed: u64) -> std::io::Result<PathBuf> {
        let name = format!("pintail-checker-{seed}-{}", std::process::id());
        let logs = self.logs.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
        std::fs::create_dir_all(&logs)?;
        logs.canonicalize()
    }

    fn again(&self, seed: u64) -> String {
        let Self { minutes, overlap, games, players, rate, gateways, lobbies, servers, .. } = self;
        let kinds: Vec<String> = self.only.iter().map(|class| class.key()).collect();
        let scenario = clap::ValueEnum::to_possible_value(&self.scenario);
        let mix = match scenario {
            Some(scenario) if kinds.is_empty() => format!("--scenario {}", scenario.get_name()),
            _ => format!("--only {}", kinds.join(",")),
        };
        let program = std::env::args().next().unwrap_or_default();
        let program = Path::new(&program).display();
        format!(
            "{program} {CHECK} --seed {seed} --minutes {minutes} {mix} --overlap {overlap} --games {games} \
             --players {players} --rate {rate} --gateways {gateways} --lobbies {lobbies} --servers {servers}"
        )
    }
}

/// The first Ctrl-C or SIGTERM ends the run with what is known so far.
fn halt_on_signal(halt: Arc<Halt>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            let Ok(mut terminate) = terminate else { return };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            halt.call();
        });
    })?;
    Ok(())
}

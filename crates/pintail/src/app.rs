//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use pintail_bench::Bots;
use pintail_game::GameTypes;

use crate::config::args::Command;
use crate::config::server::ServerSettings;
use crate::failure::Failure;
use crate::{config, dev, drain, logging, play, replay, serve, status, stress};

/// How long work that waits for the operating system may take to end after everything else has.
const BLOCKED_TIMEOUT: Duration = Duration::from_secs(1);

/// The program: reads the command line, does what it says, and returns the exit code (0 success, 1 failure, 2 a command
/// that can't be understood; `drain` and `bench` have more, see their `--help`).
///
/// A game author's own binary registers its game types and calls this. Everything that `pintail` can do, it can:
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use pintail::games::Gomoku;
///
/// fn main() -> ExitCode {
///     pintail::main(pintail::GameTypes::new().with::<Gomoku>())
/// }
/// ```
#[must_use]
pub fn main(types: GameTypes) -> ExitCode {
    Program::new(types).main()
}

/// The program with what a game's author adds to it: game types, and bots that play them.
///
/// ```no_run
/// use std::process::ExitCode;
/// use std::time::Duration;
///
/// use pintail::bench::{Bot, BotContext, BotKind, Bots};
/// use pintail::games::Echo;
///
/// /// Says something now and then.
/// struct Talker;
///
/// impl Bot for Talker {
///     fn tick(&mut self, ctx: &mut BotContext<'_>) {
///         ctx.send(b"hello");
///     }
/// }
///
/// fn main() -> ExitCode {
///     let every = Some(Duration::from_secs(1));
///     let talkers = BotKind { every, ..BotKind::new("talk", "echo", |_seed| Talker) };
///     pintail::Program::new(pintail::GameTypes::new().with::<Echo>()).bots(Bots::new().with(talkers)).main()
/// }
/// ```
///
/// `cargo run --release -- bench talk --self --players 100` then measures how that goes.
#[derive(Debug)]
pub struct Program {
    types: GameTypes,
    bots: Bots,
}

impl Program {
    /// A program with these game types, and no bots of its own.
    #[must_use]
    pub fn new(types: GameTypes) -> Self {
        Self { types, bots: Bots::new() }
    }

    /// With these bots: each kind is a scenario of `bench`, by its name.
    #[must_use]
    pub fn bots(self, bots: Bots) -> Self {
        Self { bots, ..self }
    }

    /// Reads the command line, does what it says, and returns the exit code, as [`main`] does.
    #[must_use]
    pub fn main(self) -> ExitCode {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        match self.run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }

    fn run(&self, arguments: &[OsString]) -> Result<(), Failure> {
        let command = config::parse(arguments, &self.bots)?.command;
        logging::start(&command)?;
        if let Command::Bench(args) = command {
            return stress::run(args, &self.bots);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(execute(command, &self.types));
        // Threads that wait for a disk that does not answer must not keep the process.
        runtime.shutdown_timeout(BLOCKED_TIMEOUT);
        ended
    }
}

async fn execute(command: Command, types: &GameTypes) -> Result<(), Failure> {
    let log_format = command.common().log_format;
    match command {
        Command::Dev(args) => dev::run(&args, types).await,
        Command::Gateway(args) => {
            serve::serve(ServerSettings::of_gateway(&args)?, &args.store, types, log_format).await
        }
        Command::Lobby(args) => serve::serve(ServerSettings::of_lobby(&args)?, &args.store, types, log_format).await,
        Command::Game(args) => serve::serve(ServerSettings::of_game(&args)?, &args.store, types, log_format).await,
        Command::Status(args) => status::run(&args).await,
        Command::Drain(args) => drain::run(&args).await,
        Command::Play(args) => play::run(&args).await,
        Command::Replay(args) => replay::run(&args, types).await,
        Command::Bench(_) => unreachable!("the stress test has a runtime of its own"),
    }
}

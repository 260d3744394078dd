//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use pintail_game::GameTypes;

use crate::config::args::Command;
use crate::config::server::ServerSettings;
use crate::failure::Failure;
use crate::{config, dev, drain, logging, play, replay, serve, status};

/// The program: reads the command line, does what it says, and returns the exit code (0 success, 1 failure, 2 a command
/// that can't be understood; `drain` has more, see its `--help`).
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
#[expect(clippy::needless_pass_by_value, reason = "it is the caller's last word: the program runs until its end")]
pub fn main(types: GameTypes) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(&arguments, &types) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: &[OsString], types: &GameTypes) -> Result<(), Failure> {
    let command = config::parse(arguments)?.command;
    logging::start(&command)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(execute(command, types))
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
    }
}

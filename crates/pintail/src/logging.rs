//! What is logged, and how.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::args::{Command, CommonArgs, LogFormat};
use crate::config::server::Impossible;

/// Starts logging, on the standard error: the standard output is for what a command was asked for.
///
/// # Errors
/// If the filter is none.
pub(crate) fn start(command: &Command) -> Result<(), Impossible> {
    let common = command.common();
    let filter = filter(common, default_filter(command))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // It fails if the program that called `pintail::main` has its own subscriber already, which then stays.
    let _ = match common.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

fn filter(common: &CommonArgs, default: &str) -> Result<EnvFilter, Impossible> {
    let filter = common.log.as_deref().unwrap_or(default);
    EnvFilter::try_new(filter)
        .map_err(|error| Impossible::Filter { filter: filter.to_owned(), problem: error.to_string() })
}

/// Servers tell what an operator must know; commands for people at a terminal keep it clean.
fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Gateway(_) | Command::Lobby(_) | Command::Game(_) => "warn,pintail=info",
        Command::Dev(_) | Command::Status(_) => "warn",
        // The game tells the player what the connection does.
        Command::Play(_) => "error",
    }
}

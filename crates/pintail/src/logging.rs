//! What is logged, and how.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
        // If nobody reads the log any more, the servers go on. To complain about it would be a panic.
        .log_internal_errors(false)
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
    let impossible = |problem: String| Impossible::Filter { filter: filter.to_owned(), problem };
    if let Some(word) = filter.split(',').map(str::trim).find(|word| is_misspelt_level(word)) {
        return Err(impossible(format!("`{word}` is no level")));
    }
    EnvFilter::try_new(filter).map_err(|error| impossible(error.to_string()))
}

/// Whether this is a lone word that is no level. The filter's own language takes it for a module that may log all, and
/// silences everything else: `--log inof` would be a log without a line.
fn is_misspelt_level(word: &str) -> bool {
    let is_lone = !word.is_empty() && word.chars().all(char::is_alphanumeric);
    is_lone && word != "pintail" && word.parse::<LevelFilter>().is_err()
}

/// Servers tell what an operator must know; commands for people at a terminal keep it clean.
fn default_filter(command: &Command) -> &'static str {
    match command {
        Command::Gateway(_) | Command::Lobby(_) | Command::Game(_) => "warn,pintail=info",
        Command::Dev(_) => "warn",
        // They tell themselves what the connection does.
        Command::Play(_) | Command::Status(_) | Command::Drain(_) | Command::Replay(_) | Command::Bench(_) => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::is_misspelt_level;

    #[test]
    fn a_lone_word_is_a_level() {
        for filter in ["inof", "verbose", "6"] {
            assert!(is_misspelt_level(filter), "{filter}");
        }
        for filter in ["info", "WARN", "off", "0", "", "pintail", "pintail_game", "tokio=debug", "[span]"] {
            assert!(!is_misspelt_level(filter), "{filter}");
        }
    }
}

//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::args::LogFormat;
use crate::output::warn;

/// The exit code of a process that was told twice: what shells use for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGINT or SIGTERM cancels. The second ends the process at once, with 130.
///
/// # Errors
/// If the signals can't be listened for.
pub(crate) fn stop_on_signal(log_format: LogFormat) -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        token.cancel();
        // For people: a log in JSON has JSON only.
        if log_format == LogFormat::Text {
            warn("stopping; once more to stop at once");
        }
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

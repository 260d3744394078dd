//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice: what shells use for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A token that the first SIGINT or SIGTERM cancels. The second ends the process at once, with 130.
///
/// # Errors
/// If the signals can't be listened for.
pub(crate) fn stop_on_signal() -> std::io::Result<CancellationToken> {
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
        eprintln!("stopping; once more to stop at once");
        token.cancel();
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(stop)
}

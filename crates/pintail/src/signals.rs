//! SIGINT and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::args::LogFormat;
use crate::output::warn;

/// The two ways in which a process is told to stop.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// How a process was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Told {
    /// The exit code that shells give a process which such a signal has ended: 128 and the signal's number.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl Signals {
    /// From here on, the signals don't end the process: whoever holds this hears them.
    ///
    /// # Errors
    /// If they can't be listened for.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.terminate.recv() => Told::Terminate,
        }
    }
}

/// A token that the first signal cancels. The second ends the process at once. `what_now` says what the first one
/// starts, such as "draining, for up to 20s".
///
/// # Errors
/// If the signals can't be listened for.
pub(crate) fn stop_on_signal(log_format: LogFormat, what_now: String) -> std::io::Result<CancellationToken> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        token.cancel();
        let sentence = format!("{what_now}; once more (Ctrl-C or SIGTERM) to stop at once");
        match log_format {
            LogFormat::Text => warn(sentence),
            // A log in JSON has JSON only.
            LogFormat::Json => info!("{sentence}"),
        }
        let told = signals.next().await;
        std::process::exit(told.exit_code().into());
    });
    Ok(stop)
}

//! Ctrl-C: the first ends what is measured, the second ends the program.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::output::warn;
use crate::signals::{Signals, Told};

/// Whether the test was told to end.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    told: Arc<OnceLock<Told>>,
    /// Cancelled by the first signal: what was measured so far is the result.
    pub(super) soon: CancellationToken,
    /// Cancelled by the second: there is no result.
    pub(super) now: CancellationToken,
}

impl Interrupt {
    /// From here on, the signals don't end the process. To be called on a runtime.
    ///
    /// # Errors
    /// If they can't be listened for.
    pub(super) fn listen() -> std::io::Result<Self> {
        let mut signals = Signals::listen()?;
        let interrupt = Self { told: Arc::default(), soon: CancellationToken::new(), now: CancellationToken::new() };
        let hears = interrupt.clone();
        tokio::spawn(async move {
            // It is set once, here.
            let _ = hears.told.set(signals.next().await);
            warn("ending the measurement; once more (Ctrl-C or SIGTERM) to end without a report");
            hears.soon.cancel();
            signals.next().await;
            hears.now.cancel();
        });
        Ok(interrupt)
    }

    /// Which signal came first, if one did.
    pub(super) fn told(&self) -> Option<Told> {
        self.told.get().copied()
    }
}

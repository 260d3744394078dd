//! Ctrl-C: the first ends what is measured, the second ends the program.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::output::warn;
use crate::signals::{Signals, Told};

/// Whether the test was told to end.
#[derive(Debug)]
pub(super) struct Interrupt {
    told: Arc<OnceLock<Told>>,
    /// Hears the signals for as long as this lives.
    _hearing: AbortOnDropHandle<()>,
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
        let (told, soon, now) = (Arc::new(OnceLock::new()), CancellationToken::new(), CancellationToken::new());
        let (tell, end_soon, end_now) = (told.clone(), soon.clone(), now.clone());
        let hearing = tokio::spawn(async move {
            // It is set once, here.
            let _ = tell.set(signals.next().await);
            warn("ending the measurement; once more (Ctrl-C or SIGTERM) to end without a report");
            end_soon.cancel();
            signals.next().await;
            end_now.cancel();
        });
        Ok(Self { told, _hearing: AbortOnDropHandle::new(hearing), soon, now })
    }

    /// Which signal came first, if one did.
    pub(super) fn told(&self) -> Option<Told> {
        self.told.get().copied()
    }
}

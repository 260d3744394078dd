//! What becomes of a server whose loop hangs for good.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{GameId, GameType};
use pintail_net::Beat;
use tokio_util::task::AbortOnDropHandle;
use tracing::error;

use crate::runtime::CurrentGame;

/// What is done about a loop that has not come round for so long: a handler of a game never returns. Other servers have its
/// games by then, but nobody can stop a thread, and while the process lives its place is lost.
#[derive(Clone)]
pub struct WhenStuck {
    after: Duration,
    act: Arc<dyn Fn(&Stuck) + Send + Sync>,
}

/// A loop that hangs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// For how long it has at least.
    pub for_at_least: Duration,
    /// The game that it is in; `None` if it is in none.
    pub game: Option<(GameId, GameType)>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.for_at_least.as_secs_f32();
        write!(f, "the loop that runs the games has been stuck for {seconds} s")?;
        match &self.game {
            Some((id, game_type)) => write!(f, " in game {id} of type {game_type}: its code does not return"),
            None => Ok(()),
        }
    }
}

impl WhenStuck {
    /// Calls `act`, once, when a loop has been stuck for so long. It is called on another thread, and should end the
    /// process.
    pub fn new(after: Duration, act: impl Fn(&Stuck) + Send + Sync + 'static) -> Self {
        Self { after, act: Arc::new(act) }
    }

    /// Watches a loop until it is dropped.
    pub(super) fn watch(self, beat: Beat, current: Arc<CurrentGame>) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(async move {
            beat.stuck(self.after).await;
            let stuck = Stuck { for_at_least: self.after, game: current.get() };
            error!("{stuck}");
            (self.act)(&stuck);
        }))
    }
}

impl fmt::Debug for WhenStuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenStuck").field("after", &self.after).finish_non_exhaustive()
    }
}

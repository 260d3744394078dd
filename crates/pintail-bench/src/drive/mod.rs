//! Puts a load on a cluster and measures it.

pub(crate) mod alarm;
mod beat;
mod course;
mod crew;
pub(crate) mod outstanding;
pub(crate) mod pacing;
pub(crate) mod recorder;
mod shape;
pub(crate) mod stage;

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

pub use shape::LoadShape;

use self::course::Course;

use crate::gateway::Gateway;
use crate::meter::Meter;
use crate::report::{Run, Sample};
use crate::scenario::Scenario;

/// A load, and how long it is measured.
#[derive(Debug, Clone)]
pub struct Order {
    /// The cluster's gateways. Each player has a first one by turns, and goes to the next if that is lost.
    pub gateways: Vec<Gateway>,
    /// What the players do.
    pub scenario: Scenario,
    /// How many players there are.
    pub load: LoadShape,
    /// How long the players play before it is measured, once all of the first ones do.
    pub warm_up: Duration,
    /// How long it is measured.
    pub measure: Duration,
    /// What the players' random choices follow from.
    pub seed: u64,
}

/// How far a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first players log in and gather.
    SetUp,
    /// They play, and nothing is measured yet.
    WarmUp,
    /// The measured window.
    Measure,
    /// What was sent in the window may still arrive; then the players leave.
    WindDown,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SetUp => "setting up",
            Self::WarmUp => "warming up",
            Self::Measure => "measuring",
            Self::WindDown => "winding down",
        })
    }
}

/// Why there is no load.
#[derive(Debug, Error)]
pub enum DriveError {
    /// There is nobody to connect to.
    #[error("no gateway to put the load on; name one")]
    NoGateway,
    /// Players were to be there, and not a single one ever was.
    #[error(
        "no player got as far as to play, mostly for this reason: {0}; see whether the cluster is up and hosts the game"
    )]
    NobodyPlays(String),
    /// The operating system has no timer to give.
    #[error("no timer to be had: {0}; see whether this process has as many files open as it may")]
    NoTimer(#[from] io::Error),
}

/// Puts a load on a cluster and measures it.
///
/// Everything runs in the calling task's thread, so the load costs one core; call it on a `current_thread` runtime. Each
/// second `watch` is shown how it goes, in every phase; `Sample::at` counts from the phase's beginning. When `stop` is
/// cancelled, what was measured so far is returned.
///
/// # Errors
/// If no load could be made at all. What goes wrong with single players is counted in the run.
pub async fn drive(
    order: &Order,
    meter: &mut dyn Meter,
    watch: &mut dyn FnMut(Phase, &Sample),
    stop: &CancellationToken,
) -> Result<Run, DriveError> {
    if order.gateways.is_empty() {
        return Err(DriveError::NoGateway);
    }
    LocalSet::new().run_until(async { Course::new(order, meter, watch, stop)?.run().await }).await
}

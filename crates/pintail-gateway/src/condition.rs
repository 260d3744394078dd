//! What the gateway says of itself: how loaded it is, and whether it is about to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pintail_core::Status;
use pintail_engine::load::{Condition, Load, LoadMonitor};
use pintail_net::cpu::ProcessCpu;
use pintail_net::{Pulse, Renewer, Vitals};
use tokio::time::{MissedTickBehavior, interval};

use crate::server::Gateway;

/// How often the load is measured: several times in the window over which it is averaged.
const MEASURE_PERIOD: Duration = Duration::from_millis(250);

/// The word for what a gateway has so many of.
const WHAT: &str = "players";

/// What the gateway says of itself.
#[derive(Debug)]
pub(crate) struct OwnStatus {
    /// It is about to stop: it goes on, but nobody new should be sent to it.
    draining: AtomicBool,
    condition: Mutex<Condition>,
}

impl Default for OwnStatus {
    fn default() -> Self {
        let condition = Mutex::new(Condition { status: Status::Smooth, cause: String::new() });
        Self { draining: AtomicBool::new(false), condition }
    }
}

impl OwnStatus {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What the registry is told, with this many players.
    pub(crate) fn vitals(&self, players: usize) -> Vitals {
        let Condition { status, cause } = if self.is_draining() {
            Condition { status: Status::Unused, cause: "draining".to_owned() }
        } else {
            self.condition.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        // Nothing of a gateway runs in one loop that could be stuck alone.
        Vitals { status, cause, pulse: Pulse::Steady, players: u32::try_from(players).unwrap_or(u32::MAX) }
    }

    /// Returns whether the status is another than before.
    fn update(&self, condition: Condition) -> bool {
        let mut current = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = current.status != condition.status;
        *current = condition;
        changed
    }
}

/// Measures the gateway's load until it stops, and has the registry told of each change at once.
pub(crate) async fn measure(gateway: std::sync::Arc<Gateway>, renewer: Renewer) {
    let (mut monitor, mut cpu) = (LoadMonitor::new(WHAT), ProcessCpu::new());
    let mut due = interval(MEASURE_PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = due.tick() => {}
        }
        let used = u32::try_from(gateway.sessions.len()).unwrap_or(u32::MAX);
        let load = Load { used, capacity: gateway.config.capacity, cpu: cpu.share(), ..Load::default() };
        if gateway.status.update(monitor.observe(gateway.now(), &load)) {
            renewer.renew_now();
        }
    }
}

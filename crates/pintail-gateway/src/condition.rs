//! How loaded the gateway is.

use std::sync::Arc;
use std::time::Duration;

use pintail_engine::load::{Load, LoadMonitor};
use pintail_net::cpu::ProcessCpu;
use pintail_net::{Renewer, StatusNews};
use tokio::time::{MissedTickBehavior, interval};

use crate::server::Gateway;

/// How often the load is measured: several times in the window over which it is averaged.
const MEASURE_PERIOD: Duration = Duration::from_millis(250);

/// Measures the gateway's load until it stops, and has the registry told of each change at once. Nobody watches for the
/// pulse of this loop: nothing of a gateway runs in one loop that could be stuck alone.
pub(crate) async fn measure(gateway: Arc<Gateway>, renewer: Renewer) {
    let (mut monitor, mut cpu) = (LoadMonitor::new("players"), ProcessCpu::new());
    let mut due = interval(MEASURE_PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = due.tick() => {}
        }
        let players = gateway.sessions.len();
        let used = u32::try_from(players).unwrap_or(u32::MAX);
        let load = Load { used, capacity: gateway.capacity(), cpu: cpu.share(), ..Load::default() };
        let condition = monitor.observe(gateway.now(), &load);
        if gateway.vitals.report(condition, players) == StatusNews::Changed {
            renewer.renew_now();
        }
    }
}

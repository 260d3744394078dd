//! How loaded the gateway is, and whether its threads come round.

use std::sync::Arc;

use pintail_engine::load::{Load, LoadMonitor};
use pintail_net::cpu::ProcessCpu;
use pintail_net::{Renewer, StatusNews};
use tokio::time::{MissedTickBehavior, interval};

use crate::loops::MEASURE_PERIOD;
use crate::server::Gateway;

/// Measures the gateway's load until it stops, and has the registry told of each change at once.
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
        // A thread at its limit makes its players wait, though the process has cores left.
        let cpu = cpu.share().map(|share| gateway.loops.busiest().map_or(share, |busiest| busiest.max(share)));
        let load = Load { used, capacity: gateway.capacity(), cpu, ..Load::default() };
        let condition = monitor.observe(gateway.now(), &load);
        if gateway.vitals.report(condition, players) == StatusNews::Changed {
            renewer.renew_now();
        }
        gateway.update_readiness();
    }
}

/// Shows that the threads which carry the connections come round, until the gateway stops. The links of all players are on
/// one of them: while it is stuck, the gateway does nothing for anybody, and must not look alive.
pub(crate) async fn keep_the_beat(gateway: Arc<Gateway>) {
    let mut due = interval(gateway.config.server.timing.heartbeat);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = async {
            due.tick().await;
            gateway.loops.come_round().await;
        };
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            () = round => gateway.vitals.beat().beat(),
        }
    }
}

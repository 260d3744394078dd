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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;
    use std::time::Duration;

    use pintail_core::{ClusterSecret, Kind, Slot};
    use pintail_net::{ServerConfig, Timing};
    use pintail_store::{EmbeddedStore, SharedStore};
    use tokio::time::{sleep, timeout};
    use tokio_util::sync::CancellationToken;

    use crate::loops::Loops;
    use crate::{GatewayConfig, GatewayServer};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn config() -> GatewayConfig {
        let server = ServerConfig {
            timing: Timing::default(),
            cluster: "test".to_owned(),
            secret: ClusterSecret::loopback(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            admin: None,
            admin_token: None,
            otlp: None,
            version: "test".to_owned(),
        };
        GatewayConfig { lame_duck: Duration::ZERO, ..GatewayConfig::new(server, 10) }
    }

    /// Waits until the gateway is in the registry, and accused by these.
    async fn until_accused_by(store: &SharedStore, accusers: &[Slot]) {
        let seen = async || store.scan(Kind::Gateway).await.unwrap().into_iter().flatten().next();
        let accused = async {
            while seen().await.is_none_or(|record| record.accusers != accusers) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, accused).await.unwrap_or_else(|_| panic!("it is not accused by {accusers:?}"));
    }

    #[tokio::test]
    async fn a_gateway_with_a_thread_that_is_stuck_says_so_until_it_goes_on() {
        let store: SharedStore = std::sync::Arc::new(EmbeddedStore::new());
        let (loops, threads) = Loops::start(NonZeroUsize::new(2).unwrap()).unwrap();
        let (first, stop) = (loops.first().clone(), CancellationToken::new());
        let gateway = GatewayServer::bind(config(), store.clone()).await.unwrap();
        let running = tokio::spawn(gateway.run_on(loops, stop.clone()));
        until_accused_by(&store, &[]).await;

        let (release, released) = mpsc::channel::<()>();
        first.spawn(async move {
            let _ = released.recv();
        });
        until_accused_by(&store, &[Slot::new(Kind::Gateway, 0)]).await;
        drop(release);
        until_accused_by(&store, &[]).await;

        stop.cancel();
        timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
        timeout(PATIENCE, threads.join()).await.unwrap();
    }
}

//! Many servers whose store goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::limits::LEASE_RENEWAL;
use pintail_store::EmbeddedStore;
use tokio::time::{Instant, sleep};

use crate::rig::{Fault, FaultyStore, Server};

const SERVERS: usize = 200;

/// The most heartbeats in any such stretch of time.
const STRETCH: Duration = Duration::from_millis(50);

fn worst(mut heartbeats: Vec<Instant>, from: Instant, to: Instant) -> usize {
    heartbeats.retain(|at| (from..to).contains(at));
    heartbeats.sort_unstable();
    let within = |first: &Instant| heartbeats.iter().filter(|at| (*first..*first + STRETCH).contains(at)).count();
    heartbeats.iter().map(within).max().unwrap_or(0)
}

/// In a stretch a tenth of a period long a tenth of all servers is to be expected, and twice as many while the store refuses
/// them and they try again after half a period on average: 40. Chance adds some in the worst stretch; a burst would be 200.
const WORST_MAX: usize = SERVERS * 2 / 5;

#[tokio::test(start_paused = true)]
async fn after_an_outage_renewals_are_spread_out_and_every_slot_is_kept() {
    for fault in [Fault::Refuses, Fault::Silent] {
        let inner = Arc::new(EmbeddedStore::new());
        let store = FaultyStore::new(inner);
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            servers.push(Server::start(store.clone()).await);
        }
        sleep(LEASE_RENEWAL * 4).await;
        store.set(fault);
        sleep(Duration::from_secs(10)).await;
        store.set(Fault::None);
        let back = Instant::now();
        sleep(LEASE_RENEWAL * 6).await;
        let heartbeats = store.heartbeats();
        // Calls that hang when a silent store comes back are answered together: they were asked before.
        let calm = if fault == Fault::Silent { back + STRETCH } else { back };
        let worst = worst(heartbeats.clone(), calm, Instant::now());
        assert!(worst <= WORST_MAX, "{worst} heartbeats in {STRETCH:?} after {fault:?}");
        let renewed = heartbeats.iter().filter(|at| (back..back + LEASE_RENEWAL * 2).contains(at)).count();
        assert!(renewed >= SERVERS, "each has renewed within two periods: {renewed}");
        for server in &servers {
            assert!(server.lease().covers(Instant::now()));
            assert_eq!(server.published().len(), 1, "nothing but its registration: {:?}", server.published());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn servers_that_start_together_renew_apart() {
    let store = FaultyStore::new(Arc::new(EmbeddedStore::new()));
    let began = Instant::now();
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(Server::start(store.clone()).await);
    }
    assert!(began.elapsed() < STRETCH, "they start together");
    sleep(LEASE_RENEWAL * 10).await;
    let worst = worst(store.heartbeats(), began, Instant::now());
    assert!(worst <= WORST_MAX, "{worst} heartbeats in {STRETCH:?}");
}

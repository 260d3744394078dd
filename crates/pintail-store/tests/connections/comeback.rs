//! How a cluster comes back to a Redis that was restarted.

use std::time::{Duration, Instant};

use pintail_testkit::{Fault, FaultProxy, RedisServer};

use crate::support::{MARGIN, ms, store, until_it_works};

const STORES: usize = 200;

/// The spread of arrivals is looked at in steps of this length.
const STEP: Duration = Duration::from_millis(50);

/// How many arrived in each step.
fn spread(arrivals: &[Instant], from: Instant) -> Vec<usize> {
    let steps = |at: &Instant| usize::try_from((*at - from).as_millis() / STEP.as_millis()).unwrap();
    let mut counts = vec![0; arrivals.iter().map(steps).max().map_or(0, |last| last + 1)];
    for at in arrivals {
        counts[steps(at)] += 1;
    }
    counts
}

async fn come_back(away: Duration) {
    let server = RedisServer::start();
    let way = FaultProxy::start(server.address());
    let stores: Vec<_> = (0..STORES).map(|_| store(&server.url_by_way_of(way.address()))).collect();
    for store in &stores {
        until_it_works(store).await;
    }
    let before = way.arrivals().len();
    way.set(Fault::Cut);
    tokio::time::sleep(away).await;
    way.set(Fault::Pass);
    let back = Instant::now();
    futures_util::future::join_all(stores.iter().map(until_it_works)).await;
    let all = back.elapsed();
    let arrivals = way.arrivals().split_off(before);
    let counts = spread(&arrivals, back);
    println!("away for {away:?}: {STORES} stores are back after {all:?}; arrivals in each {STEP:?}: {counts:?}");
    assert_eq!(arrivals.len(), STORES, "each comes once");
    assert!(all < ms(500) + MARGIN, "{all:?}");
    // Even if a busy machine makes one step of several: without the spread, all would come in one.
    let most = counts.iter().max().unwrap();
    assert!(*most < STORES * 3 / 4, "no burst: {counts:?}");
}

#[tokio::test]
async fn a_cluster_spreads_over_half_a_second_after_a_blink() {
    come_back(ms(1)).await;
}

#[tokio::test]
async fn a_cluster_spreads_over_half_a_second_after_an_outage() {
    come_back(ms(3000)).await;
}

#[tokio::test]
async fn one_server_is_back_soon_after_redis() {
    let mut server = RedisServer::start();
    let store = store(&server.url());
    until_it_works(&store).await;
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..10 {
        server.restart();
        took.push(until_it_works(&store).await);
    }
    took.sort_unstable();
    println!("one store is back after {took:?}");
    assert!(took[5] < ms(500), "{took:?}");
    assert!(took[9] < ms(500) + MARGIN, "{took:?}");
}

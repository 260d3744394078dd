//! A Redis that takes half a second for everything, and one that takes forever.

use std::time::{Duration, Instant};

use pintail_core::Kind;
use pintail_store::{RedisOptions, RedisStore, Registry, StoreError};
use pintail_testkit::{Fault, FaultProxy, RedisServer};

use crate::support::{ANNOUNCEMENT, MARGIN, eventually, ms, store, subscribe, until_heard, until_it_works, write};

/// How long a round trip takes: half of it each way.
const ROUND_TRIP: Duration = Duration::from_millis(500);

fn slow(server: &RedisServer) -> FaultProxy {
    let way = FaultProxy::start(server.address());
    way.set(Fault::Delay { to_target: ROUND_TRIP / 2, to_client: ROUND_TRIP / 2 });
    way
}

/// How often a command was called.
fn calls(server: &RedisServer, command: &str) -> u32 {
    let statistics = server.command("INFO commandstats");
    let start = format!("cmdstat_{command}:calls=");
    let line = statistics.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_slow_redis_is_used_with_one_round_trip_for_a_call() {
    let server = RedisServer::builder().user("alice", "sesame").start();
    // The scripts are known to it.
    until_it_works(&store(&server.url())).await;
    let way = slow(&server);
    let store = store(&server.url_by_way_of(way.address()));
    until_it_works(&store).await;
    let before = (calls(&server, "evalsha"), calls(&server, "script|load"));
    for _ in 0..3 {
        let started = Instant::now();
        let (written, seen) = tokio::join!(write(&store), store.scan(Kind::Game));
        written.unwrap();
        seen.unwrap();
        let took = started.elapsed();
        assert!(took >= ROUND_TRIP && took < ROUND_TRIP * 2, "{took:?}");
    }
    assert_eq!((calls(&server, "evalsha"), calls(&server, "script|load")), (before.0 + 3, before.1));
    let mut mail = subscribe(&store).await;
    until_heard(&mut mail, || drop(server.command(ANNOUNCEMENT))).await;
    // It stays: checks of the connection are answered in time.
    let connections = way.traffic().connections;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(way.traffic().connections, connections, "nobody takes it for lost");
    write(&store).await.unwrap();
}

#[tokio::test]
async fn a_slow_redis_that_forgot_its_scripts_knows_them_after_one_call_that_failed_at_most() {
    let server = RedisServer::start();
    let way = slow(&server);
    let store = store(&server.url_by_way_of(way.address()));
    until_it_works(&store).await;
    assert_eq!(server.command("SCRIPT FLUSH"), "+OK\r\n");
    if let Err(error) = write(&store).await {
        assert!(matches!(error, StoreError::Timeout(_)), "{error}");
    }
    write(&store).await.unwrap();
}

#[tokio::test]
async fn calls_do_not_pile_up_at_a_redis_that_is_stuck() {
    const CALLS: usize = 5000;
    let server = RedisServer::start();
    let mut options = RedisOptions::new(&server.url()).unwrap();
    options.timeout = ms(1000);
    let store = RedisStore::connect(options).unwrap();
    until_it_works(&store).await;
    server.pause();
    let started = Instant::now();
    let calls = (0..CALLS).map(|_| async {
        let outcome = store.ping().await;
        (outcome, started.elapsed())
    });
    let outcomes = futures_util::future::join_all(calls).await;
    let overloaded: Vec<_> =
        outcomes.iter().filter(|(outcome, _)| matches!(outcome, Err(StoreError::Overloaded(_)))).collect();
    assert!(!overloaded.is_empty() && overloaded.len() < CALLS / 2, "{} of {CALLS}", overloaded.len());
    assert!(overloaded.iter().all(|(_, took)| *took < ms(1000)), "they fail at once");
    assert!(outcomes.iter().all(|(outcome, _)| outcome.is_err()));
    assert!(outcomes.iter().all(|(_, took)| *took < ms(1000) + MARGIN));
    server.resume();
    eventually("it works again", async || store.ping().await.ok()).await;
}

//! Connections that are open and carry nothing any more.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pintail_store::Notice;
use pintail_testkit::{Direction, Fault, FaultProxy, RedisServer};

use crate::support::{ANNOUNCEMENT, MARGIN, eventually, next, store, subscribe, until_heard, until_it_works};

/// Within which a connection that went deaf is noticed.
const NOTICED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn half_open_connections_are_replaced() {
    let server = RedisServer::start();
    let way = FaultProxy::start(server.address());
    let store = store(&server.url_by_way_of(way.address()));
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    way.strand_connections();
    let started = Instant::now();
    assert_eq!(next(&mut mail).await, Notice::Rescan, "the subscription is a new one");
    assert!(started.elapsed() < NOTICED, "{:?}", started.elapsed());
    until_it_works(&store).await;
    assert!(started.elapsed() < NOTICED, "{:?}", started.elapsed());
    until_heard(&mut mail, || drop(server.command(ANNOUNCEMENT))).await;
}

#[tokio::test]
async fn whatever_gets_lost_is_noticed_and_over_when_it_is_over() {
    let faults =
        [Fault::Swallow(Direction::ToTarget), Fault::Swallow(Direction::ToClient), Fault::SwallowAll, Fault::Freeze];
    join_all(faults.map(notice_and_get_over)).await;
}

async fn notice_and_get_over(fault: Fault) {
    let server = RedisServer::start();
    let way = FaultProxy::start(server.address());
    let store = store(&server.url_by_way_of(way.address()));
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    let connections = way.traffic().connections;
    way.set(fault);
    let started = Instant::now();
    eventually("both connections are given up", async || (way.traffic().connections >= connections + 2).then_some(()))
        .await;
    assert!(started.elapsed() < NOTICED, "{fault:?}: {:?}", started.elapsed());
    way.set(Fault::Pass);
    let took = until_it_works(&store).await;
    // An attempt that began in the last moment has its deadline before it.
    assert!(took < Duration::from_secs(3) + MARGIN, "{fault:?}: {took:?}");
    until_heard(&mut mail, || drop(server.command(ANNOUNCEMENT))).await;
}

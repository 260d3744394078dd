//! The same with a real Redis that is held up, emptied and killed.

use std::time::Duration;

use pintail_core::Status;
use pintail_net::{EventKind, Lease, MemberEvent};
use pintail_store::{RedisOptions, RedisStore};
use pintail_testkit::RedisServer;
use std::sync::Arc;
use tokio::time::Instant;

use crate::rig::{Server, eventually};

fn connect(redis: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::connect(RedisOptions::new(&redis.url()).unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_held_up_costs_nobody_the_slot() {
    let redis = RedisServer::start();
    let store = connect(&redis);
    let servers = [Server::start(store.clone()).await, Server::start(store.clone()).await];
    redis.pause();
    for server in &servers {
        eventually("the lease is unsure", async || matches!(server.lease(), Lease::Unsure { .. }).then_some(())).await;
    }
    // Longer than a lease lives: whoever looks first when Redis goes on sees that all leases are gone.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    redis.resume();
    for server in &servers {
        eventually("the lease is held", async || server.lease().covers(Instant::now()).then_some(())).await;
    }
    // As long as it takes until leases count again, and some looks more.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for server in &servers {
        let record = server.record(&*store).await;
        assert!(record.is_live() && record.status == Status::Smooth && record.falls == 0, "{record:?}");
        let told: Vec<_> = server.published().into_iter().map(|(event, ..)| event).collect();
        assert_eq!(told, [EventKind::On]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_is_told_again_who_there_is() {
    let mut redis = RedisServer::start();
    let store = connect(&redis);
    let mut server = Server::start(store.clone()).await;
    redis.restart();
    let MemberEvent::Joined(identity) = server.hears().await else { panic!("it registers again") };
    assert_eq!(identity.incarnation, server.identity.incarnation);
    let record = server.record(&*store).await;
    assert!(record.lease && record.incarnation == Some(identity.incarnation), "{record:?}");
    server.membership.leave().await;
}

//! Whether Redis is still the one that it was, with what it had.

use std::time::Duration;

use pintail_store::{Lineage, RedisStore, Upkeep};
use pintail_testkit::{Fault, FaultProxy, Persistence, RedisServer, Sentinels};
use tokio::sync::watch;

use crate::support::{MARGIN, PATIENCE, ms, store, until_it_works, until_replicated};

/// Within which a change is noticed that breaks no connection.
const NOTICED: Duration = Duration::from_secs(1);

/// A store that was reached, and its lineage.
async fn reached(url: &str) -> (RedisStore, watch::Receiver<Lineage>) {
    let store = store(url);
    until_it_works(&store).await;
    let lineage = store.lineage();
    assert_eq!(*lineage.borrow(), Lineage(0), "the first look is no change");
    (store, lineage)
}

async fn changes(lineage: &mut watch::Receiver<Lineage>, limit: Duration) {
    let changed = tokio::time::timeout(limit, lineage.changed()).await;
    changed.expect("it changes in time").expect("the store is there");
}

#[tokio::test]
async fn a_restart_changes_it_whatever_is_left() {
    for persistence in [Persistence::None, Persistence::AppendOnly] {
        let mut server = RedisServer::start_with(persistence);
        let (store, mut lineage) = reached(&server.url()).await;
        for _ in 0..2 {
            lineage.mark_unchanged();
            server.restart();
            changes(&mut lineage, PATIENCE).await;
            until_it_works(&store).await;
        }
        assert_eq!(*lineage.borrow(), Lineage(2), "once each");
    }
}

#[tokio::test]
async fn whoever_uses_the_new_one_can_know_it() {
    let mut server = RedisServer::start();
    let (store, lineage) = reached(&server.url()).await;
    for restarts in 1..=5 {
        server.restart();
        until_it_works(&store).await;
        assert_eq!(*lineage.borrow(), Lineage(restarts), "before the first call that works");
    }
}

#[tokio::test]
async fn a_failover_changes_it() {
    let mut master = RedisServer::start();
    let _replica = RedisServer::builder().replica_of(&master).start();
    let sentinels = Sentinels::watching(&master).start();
    sentinels.wait_until_ready(1);
    let (_store, mut lineage) = reached(&sentinels.url()).await;
    master.kill();
    changes(&mut lineage, PATIENCE).await;
    assert_eq!(*lineage.borrow(), Lineage(1));
}

#[tokio::test]
async fn emptying_it_changes_it_for_everyone() {
    let server = RedisServer::start();
    let (store, mut lineage) = reached(&server.url()).await;
    let (_other, mut elsewhere) = reached(&server.url()).await;
    for command in ["FLUSHALL", "FLUSHDB"] {
        lineage.mark_unchanged();
        elsewhere.mark_unchanged();
        assert_eq!(server.command(command), "+OK\r\n");
        changes(&mut lineage, NOTICED + MARGIN).await;
        changes(&mut elsewhere, NOTICED + MARGIN).await;
    }
    until_it_works(&store).await;
    tokio::time::sleep(NOTICED * 2).await;
    assert_eq!((*lineage.borrow(), *elsewhere.borrow()), (Lineage(2), Lineage(2)), "once each, and no more");
}

#[tokio::test]
async fn another_that_takes_its_place_at_the_same_address_changes_it() {
    let master = RedisServer::start();
    let (store, mut lineage) = reached(&master.url()).await;
    // It becomes a replica, takes over another's data, and is the master again: the same process with other data.
    let other = RedisServer::start();
    master.command(&format!("REPLICAOF 127.0.0.1 {}", other.address().port()));
    until_replicated(&other, 1).await;
    master.command("REPLICAOF NO ONE");
    changes(&mut lineage, PATIENCE).await;
    until_it_works(&store).await;
}

#[tokio::test]
async fn a_cut_connection_does_not_change_it() {
    let server = RedisServer::start();
    let way = FaultProxy::start(server.address());
    let (store, lineage) = reached(&server.url_by_way_of(way.address())).await;
    for _ in 0..5 {
        let connections = way.traffic().connections;
        way.set(Fault::Cut);
        tokio::time::sleep(ms(50)).await;
        way.set(Fault::Pass);
        until_it_works(&store).await;
        assert!(way.traffic().connections > connections, "it is another connection");
    }
    assert_eq!(*lineage.borrow(), Lineage(0));
}

#[tokio::test]
async fn replicas_that_come_and_go_do_not_change_it() {
    let master = RedisServer::start();
    let (_store, lineage) = reached(&master.url()).await;
    for _ in 0..2 {
        let _replica = RedisServer::builder().replica_of(&master).start();
        until_replicated(&master, 1).await;
        tokio::time::sleep(NOTICED * 2).await;
    }
    assert_eq!(*lineage.borrow(), Lineage(0));
}

#[tokio::test]
async fn without_the_right_to_ask_only_emptying_it_is_noticed() {
    let server = RedisServer::start();
    assert_eq!(server.command("ACL SETUSER bob on >sesame ~* &* +@all -@admin -@dangerous"), "+OK\r\n");
    let (_store, mut lineage) = reached(&format!("redis://bob:sesame@{}", server.address())).await;
    tokio::time::sleep(NOTICED * 2).await;
    assert_eq!(*lineage.borrow(), Lineage(0));
    assert_eq!(server.command("FLUSHALL"), "+OK\r\n");
    changes(&mut lineage, NOTICED + MARGIN).await;
}

//! Users, passwords and databases.

use std::time::Instant;

use pintail_testkit::RedisServer;

use crate::support::{Log, MARGIN, ms, patient_store, store, subscribe, until_it_works, until_refused};

#[tokio::test]
async fn a_user_with_a_password_gets_in() {
    for server in [RedisServer::builder().password("sesame"), RedisServer::builder().user("alice", "sesame")] {
        let server = server.start();
        let store = store(&format!("{}/3", server.url()));
        until_it_works(&store).await;
        subscribe(&store).await;
        let keys = server.command("INFO keyspace");
        assert!(keys.contains("db3:") && !keys.contains("db0:"), "{keys}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_works_once_it_is_put_right() {
    let log = Log::start();
    let server = RedisServer::start();
    assert_eq!(server.command("ACL SETUSER alice on >sesame ~* &* +@all"), "+OK\r\n");
    let store = store(&format!("redis://alice:hidden@{}", server.address()));
    let why = until_refused(&store, "WRONGPASS").await;
    assert!(!why.contains("hidden"), "{why}");
    assert_eq!(server.command("ACL SETUSER alice >hidden"), "+OK\r\n");
    let took = until_it_works(&store).await;
    assert!(took < ms(500) + MARGIN, "{took:?}");
    assert_eq!(log.count("WRONGPASS"), 1, "{:?}", log.lines());
    assert_eq!(log.count("hidden"), 0, "{:?}", log.lines());
}

#[tokio::test]
async fn a_missing_password_is_told() {
    let server = RedisServer::builder().password("sesame").start();
    for database in ["", "/3"] {
        until_refused(&store(&format!("redis://{}{database}", server.address())), "NOAUTH").await;
    }
}

#[tokio::test]
async fn a_call_does_not_wait_for_what_an_operator_must_put_right() {
    let server = RedisServer::builder().password("sesame").start();
    let replica = RedisServer::builder().replica_of(&server).start();
    let way = |user: &str| format!("redis://{user}{}", server.address());
    for (url, reason) in [(way(""), "NOAUTH"), (way(":wrong@"), "WRONGPASS"), (replica.url(), "is a replica")] {
        let store = patient_store(&url);
        let started = Instant::now();
        until_refused(&store, reason).await;
        // The first attempt is at once, and no call waits for another.
        assert!(started.elapsed() < ms(500) + MARGIN, "{reason}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told() {
    let server = RedisServer::start();
    until_refused(&store(&format!("{}/9999", server.url())), "DB index is out of range").await;
}

#[tokio::test]
async fn a_user_who_may_do_little_else_gets_in() {
    let server = RedisServer::start();
    // Neither ROLE nor INFO, as managed Redis has it.
    assert_eq!(server.command("ACL SETUSER bob on >sesame ~* &* +@all -@admin -@dangerous"), "+OK\r\n");
    let store = store(&format!("redis://bob:sesame@{}", server.address()));
    until_it_works(&store).await;
    subscribe(&store).await;
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told() {
    until_refused(&store("redis://no-such-host.invalid"), "can't be resolved").await;
}

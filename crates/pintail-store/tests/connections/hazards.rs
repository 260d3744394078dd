//! What Redis's setup is told to be dangerous.

use pintail_store::{Hazard, RedisStore, Upkeep, WaitReplicas};
use pintail_testkit::{Persistence, RedisServer, Sentinels};

use crate::support::{eventually, store, until_it_works, until_replicated, waiting_store};

async fn hazards(store: &RedisStore) -> Vec<Hazard> {
    store.hazards().await.unwrap()
}

#[tokio::test]
async fn each_is_shown_and_gone_when_it_is_put_right() {
    let server = RedisServer::start_with(Persistence::AppendOnly);
    let store = store(&server.url());
    until_it_works(&store).await;
    assert_eq!(hazards(&store).await, []);
    let set = |setting: &str| assert_eq!(server.command(&format!("CONFIG SET {setting}")), "+OK\r\n");
    set("appendonly no");
    assert_eq!(hazards(&store).await, [Hazard::NotPersistent]);
    set("maxmemory-policy allkeys-lru");
    assert_eq!(hazards(&store).await, [Hazard::NotPersistent], "without a limit nothing is thrown away");
    set("maxmemory 100mb");
    assert_eq!(hazards(&store).await, [Hazard::NotPersistent, Hazard::Evicts]);
    set("appendonly yes");
    assert_eq!(hazards(&store).await, [Hazard::Evicts]);
    set("maxmemory-policy noeviction");
    assert_eq!(hazards(&store).await, []);
}

#[tokio::test]
async fn replicas_that_nobody_waits_for_and_those_that_are_missing_are_shown() {
    let master = RedisServer::start_with(Persistence::AppendOnly);
    let counts = [0, 1, 2].map(|count| waiting_store(&master.url(), WaitReplicas::Count(count)));
    let by_itself = store(&master.url());
    for store in counts.iter().chain([&by_itself]) {
        until_it_works(store).await;
    }
    let too_few = |waits_for, connected| vec![Hazard::TooFewReplicas { waits_for, connected }];
    let all = async || {
        let [none, one, two] = &counts;
        [hazards(none).await, hazards(one).await, hazards(two).await, hazards(&by_itself).await]
    };
    assert_eq!(all().await, [vec![], too_few(1, 0), too_few(2, 0), vec![]]);
    let mut replica = RedisServer::builder().replica_of(&master).start();
    until_replicated(&master, 1).await;
    assert_eq!(all().await, [vec![Hazard::NobodyWaits], vec![], too_few(2, 1), vec![]]);
    // That there was one is noticed within a second.
    eventually("the replica is missed", async || {
        replica.restart();
        until_replicated(&master, 1).await;
        replica.kill();
        until_replicated(&master, 0).await;
        (all().await == [vec![], too_few(1, 0), too_few(2, 0), too_few(1, 0)]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_master_with_sentinels_and_no_replica_is_shown() {
    let master = RedisServer::start_with(Persistence::AppendOnly);
    let sentinels = Sentinels::watching(&master).count(1).start();
    let store = store(&sentinels.url());
    until_it_works(&store).await;
    assert_eq!(hazards(&store).await, [Hazard::TooFewReplicas { waits_for: 1, connected: 0 }]);
}

#[tokio::test]
async fn what_redis_does_not_tell_is_no_hazard() {
    let server = RedisServer::start();
    assert_eq!(server.command("ACL SETUSER bob on >sesame ~* &* +@all -@admin -@dangerous"), "+OK\r\n");
    let store = store(&format!("redis://bob:sesame@{}", server.address()));
    until_it_works(&store).await;
    assert_eq!(hazards(&store).await, []);
}

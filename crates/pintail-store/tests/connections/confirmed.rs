//! Changes that count as made once a replica has them.

use std::time::{Duration, Instant};

use pintail_store::{RedisStore, StoreError, WaitReplicas, WriteOutcome};
use pintail_testkit::{Direction, Fault, FaultProxy, RedisServer, Sentinels};

use crate::support::{Journal, MARGIN, eventually, ms, store, until_it_works, until_replicated, waiting_store, write};

/// A master with a replica that is up to date.
async fn pair() -> (RedisServer, RedisServer) {
    let master = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&master).start();
    until_replicated(&master, 1).await;
    (master, replica)
}

/// The longest that a call takes while `work` is under way.
async fn slowest_call_during<T>(store: &RedisStore, work: impl Future<Output = T>) -> (Duration, T) {
    let mut slowest = Duration::ZERO;
    let calls = async {
        loop {
            let started = Instant::now();
            write(store).await.unwrap();
            slowest = slowest.max(started.elapsed());
            tokio::time::sleep(ms(5)).await;
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = calls => unreachable!("it has no end"),
    };
    (slowest, done)
}

#[tokio::test]
async fn a_change_waits_for_the_only_replica_and_holds_up_nobody() {
    let (master, replica) = pair().await;
    let store = waiting_store(&master.url(), WaitReplicas::Count(1));
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
    replica.pause();
    let started = Instant::now();
    let (slowest, outcome) = slowest_call_during(&store, journal.write(&store, 2)).await;
    let took = started.elapsed();
    assert_eq!(outcome, Err(StoreError::NotReplicated { have: 0, wanted: 1 }), "it is told before the time is up");
    assert!(took > ms(500) && took < ms(1000) + MARGIN, "{took:?}");
    println!("a confirmed write was refused after {took:?}; the slowest other call took {slowest:?}");
    assert!(slowest < took / 2, "{slowest:?}, {took:?}");
    assert_eq!(journal.last(&store).await, 2, "it was made, and may be lost");

    // A repetition finds the entry there and changes nothing; nor do those who come by other ways know any better.
    let others: Vec<_> = (0..20).map(|_| journal.write(&store, 2)).collect();
    for outcome in futures_util::future::join_all(others).await {
        let refused = matches!(outcome, Err(StoreError::NotReplicated { have: 0, wanted: 1 } | StoreError::Timeout(_)));
        assert!(refused, "{outcome:?}");
    }

    let repeated = async {
        tokio::time::sleep(ms(100)).await;
        replica.resume();
    };
    let (outcome, ()) = tokio::join!(journal.write_at_last(&store, 2), repeated);
    assert_eq!(outcome, WriteOutcome::Committed);
    assert_eq!(journal.last(&store).await, 2);
}

#[tokio::test]
async fn who_waits_for_more_replicas_than_there_are_is_told_how_many_have_it() {
    let (master, _replica) = pair().await;
    let store = waiting_store(&master.url(), WaitReplicas::Count(2));
    until_it_works(&store).await;
    let error = Journal::start(&store).await.write(&store, 1).await.unwrap_err();
    assert_eq!(error, StoreError::NotReplicated { have: 1, wanted: 2 });
    assert!(error.to_string().contains("--redis-wait-replicas"), "{error}");
}

#[tokio::test]
async fn by_itself_a_change_waits_as_soon_as_there_is_a_replica_and_also_when_it_is_gone() {
    let master = RedisServer::start();
    let store = store(&master.url());
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    assert_eq!(journal.write(&store, 1).await, Ok(WriteOutcome::Committed), "there is nobody to wait for");
    let mut replica = RedisServer::builder().replica_of(&master).start();
    until_replicated(&master, 1).await;
    let calls = || master.command("INFO commandstats").lines().filter(|line| line.starts_with("cmdstat_wait:")).count();
    eventually("the replica is noticed", async || {
        assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
        (calls() == 1).then_some(())
    })
    .await;
    // Who has no replica any more may be the one that was cut off from the others.
    replica.kill();
    until_replicated(&master, 0).await;
    let refused = journal.write(&store, 2).await;
    assert_eq!(refused, Err(StoreError::NotReplicated { have: 0, wanted: 1 }));
}

#[tokio::test]
async fn a_full_redis_confirms_what_it_still_does() {
    let (master, _replica) = pair().await;
    let store = waiting_store(&master.url(), WaitReplicas::Count(1));
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    master.command("CONFIG SET maxmemory 1");
    let outcome = journal.write(&store, 1).await;
    assert!(matches!(&outcome, Err(StoreError::Unavailable(why)) if why.contains("maxmemory")), "{outcome:?}");
    master.command("CONFIG SET maxmemory 0");
    assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
}

#[tokio::test]
async fn a_change_that_waits_ends_with_its_master() {
    let (mut master, replica) = pair().await;
    let store = waiting_store(&master.url(), WaitReplicas::Count(1));
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    replica.pause();
    let demote = async |master: &mut RedisServer| {
        let waits = || master.command("CLIENT LIST").contains("cmd=wait");
        eventually("the change waits", async || waits().then_some(())).await;
        assert_eq!(master.command("REPLICAOF 127.0.0.1 1"), "+OK\r\n");
    };
    let (outcome, ()) = tokio::join!(journal.write(&store, 1), demote(&mut master));
    assert!(matches!(&outcome, Err(StoreError::Unavailable(_))), "it can be repeated: {outcome:?}");
    master.command("REPLICAOF NO ONE");
    replica.resume();
    assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
}

/// How many bytes a master has passed on to its replicas.
fn offset(server: &RedisServer) -> u64 {
    let info = server.command("INFO replication");
    let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    offset.unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_changes_nothing_waits_for_what_others_changed_before() {
    let (master, _replica) = pair().await;
    let store = waiting_store(&master.url(), WaitReplicas::Count(1));
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
    let before = offset(&master);
    for _ in 0..100 {
        assert_eq!(journal.write_at_last(&store, 1).await, WriteOutcome::Committed);
    }
    // Redis waits for what was passed on up to the last change by this connection. So each call makes it pass something on.
    assert!(offset(&master) - before >= 100 * 20, "{before}, {}", offset(&master));
    assert!(!master.command("KEYS *").contains("Store:confirm"), "nothing of it stays");
}

/// What was acknowledged, and what the next master has, when one is promoted that missed the last writes of its master.
async fn failover_of_a_replica_that_was_cut_off(wait_replicas: WaitReplicas) -> (u64, u64) {
    let mut master = RedisServer::start();
    let way = FaultProxy::start(master.address());
    let replica = RedisServer::start();
    replica.command(&format!("REPLICAOF 127.0.0.1 {}", way.address().port()));
    until_replicated(&master, 1).await;
    let mut sentinels = Sentinels::watching(&master).count(1).start();
    let store = waiting_store(&sentinels.url(), wait_replicas);
    until_it_works(&store).await;
    let journal = Journal::start(&store).await;
    let mut acknowledged = 10;
    for number in 1..=acknowledged {
        assert_eq!(journal.write_at_last(&store, number).await, WriteOutcome::Committed);
    }
    if wait_replicas == WaitReplicas::Count(0) {
        eventually("the replica has them all", async || (offset(&master) == offset(&replica)).then_some(())).await;
    }
    way.set(Fault::Swallow(Direction::ToClient));
    for _ in 0..3 {
        if let Ok(outcome) = journal.write(&store, acknowledged + 1).await {
            assert_eq!(outcome, WriteOutcome::Committed);
            acknowledged += 1;
        }
    }

    master.kill();
    replica.command("REPLICAOF NO ONE");
    let _another = RedisServer::builder().replica_of(&replica).start();
    until_replicated(&replica, 1).await;
    let sentinel = sentinels.sentinel(0);
    sentinel.command("SENTINEL REMOVE mymaster");
    let port = replica.address().port();
    assert_eq!(sentinel.command(&format!("SENTINEL MONITOR mymaster 127.0.0.1 {port} 1")), "+OK\r\n");
    let kept = journal.last(&store).await;
    let next = journal.write_at_last(&store, acknowledged + 1).await;
    let goes_on = kept >= acknowledged;
    assert_eq!(next, if goes_on { WriteOutcome::Committed } else { WriteOutcome::Gap }, "{acknowledged} {kept}");
    (acknowledged, kept)
}

#[tokio::test]
async fn a_failover_that_loses_writes_loses_nothing_that_was_acknowledged() {
    assert_eq!(failover_of_a_replica_that_was_cut_off(WaitReplicas::Auto).await, (10, 10));
}

#[tokio::test]
async fn without_waiting_the_same_failover_loses_what_was_acknowledged_and_the_owner_is_told() {
    assert_eq!(failover_of_a_replica_that_was_cut_off(WaitReplicas::Count(0)).await, (13, 10));
}

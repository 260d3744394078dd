//! Redis away, held up, or back empty.

use std::time::{Duration, Instant};

use pintail_core::{Kind, Status};
use pintail_store::{
    Charge, DrainRequest, Games, Heartbeat, HeartbeatOutcome, Mail, Notice, Periods, RedisOptions, RedisStore,
    Registry, RestoreOutcome, Rooms, StoreError, Verdict,
};
use pintail_testkit::RedisServer;
use redis::FromRedisValue;

use crate::fixture::{
    LONG, Server, announcement, creation, error_of, eventually, finished, gateway, ms, order, placed, redis_store,
    renewed,
};
use crate::foreign::raw;
use crate::mail::{next, subscribe};

/// How much longer than its timeout a call may take here: other tests keep the machine busy.
const MARGIN: Duration = Duration::from_millis(1500);

fn store_with_timeout(url: &str, timeout: Duration) -> RedisStore {
    let mut options = RedisOptions::new(url).unwrap();
    options.timeout = timeout;
    RedisStore::connect(options).unwrap()
}

/// Waits until Redis answers again.
pub(crate) async fn answers(store: &RedisStore) {
    eventually("Redis answers", async || store.ping().await.ok()).await;
}

#[tokio::test]
async fn a_store_can_be_made_before_redis_is_up() {
    let mut server = RedisServer::start();
    server.stop();
    let store = store_with_timeout(&server.url(), ms(200));
    let mut mail = store.subscribe(None);
    let started = Instant::now();
    let error = error_of(store.scan(Kind::Game).await);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(started.elapsed() < ms(200) + MARGIN);
    server.restart();
    answers(&store).await;
    assert_eq!(next(&mut mail).await, Notice::Rescan);
    assert!(store.scan(Kind::Game).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redis_that_came_back_empty_serves_again_by_itself() {
    let mut server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let host = Server::game(&store, 1, 10).await;
    let owner = placed(&store, &order(1)).await;
    let mut mail = subscribe(&store, None).await;

    server.restart();
    answers(&store).await;
    assert_eq!(next(&mut mail).await, Notice::Rescan, "messages may have been missed");
    // Scripts are unknown to the new Redis, and so is the server.
    assert_eq!(host.beat(&store, Status::Smooth).await, HeartbeatOutcome::Lost);
    let again = Server::register(&store, host.announcement.clone()).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(again.slot), "the subscription is back");
    assert_eq!(store.restore_game(&order(1), owner, None).await.unwrap(), RestoreOutcome::Restored);
    assert_eq!(again.beat(&store, Status::Smooth).await, renewed(1));
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let host = Server::game(&store, 1, 10).await;
    raw(&server, "SCRIPT FLUSH").await;
    assert_eq!(host.beat(&store, Status::Smooth).await, renewed(0));
}

#[tokio::test]
async fn calls_to_a_redis_that_is_held_up_fail_in_time() {
    let server = RedisServer::start();
    let timeout = ms(300);
    let store = store_with_timeout(&server.url(), timeout);
    let host = announcement(Kind::Game, 1);
    let slot = store.register(&host).await.unwrap().slot;
    let beat = Heartbeat { endpoint: host.endpoint, status: Status::Smooth, cause: String::new(), players: 0 };
    let room = creation(1, &[]);
    server.pause();
    // Long enough for the connection to be given up meanwhile: a call that waits for a new one ends in time too.
    let paused_at = Instant::now();
    while paused_at.elapsed() < Duration::from_secs(5) {
        let started = Instant::now();
        let outcomes = tokio::join!(
            store.scan(Kind::Game),
            store.heartbeat(slot, host.incarnation, &beat),
            store.commit_room(&room),
            store.reap(),
            store.ping(),
        );
        assert!(started.elapsed() < timeout + MARGIN, "{:?}", started.elapsed());
        for error in [
            error_of(outcomes.0),
            error_of(outcomes.1),
            error_of(outcomes.2),
            error_of(outcomes.3),
            error_of(outcomes.4),
        ] {
            assert!(matches!(error, StoreError::Timeout(_) | StoreError::Unavailable(_)), "{error:?}");
        }
    }
    server.resume();
    answers(&store).await;
    assert_eq!(store.heartbeat(slot, host.incarnation, &beat).await.map(|_| ()), Ok(()));
}

#[tokio::test]
async fn a_subscription_that_is_dropped_gives_its_connection_back() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let mail = subscribe(&store, None).await;
    let subscribers = async || {
        let clients: String = FromRedisValue::from_redis_value(raw(&server, "CLIENT LIST TYPE pubsub").await).unwrap();
        clients.lines().count()
    };
    assert_eq!(subscribers().await, 1);
    drop(mail);
    eventually("the connection is closed", async || (subscribers().await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_full_redis_goes_on_watching_and_takes_nothing_new() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(500), ..LONG });
    let witness = Server::witness(&store).await;
    let [stays, stops, dies, vanishes] = [
        Server::game(&store, 1, 10).await,
        Server::game(&store, 2, 0).await,
        Server::game(&store, 3, 1).await,
        Server::game(&store, 4, 0).await,
    ];
    let owner = placed(&store, &order(1)).await;
    placed(&store, &order(2)).await;
    // As if no script had ever been used.
    raw(&server, "SCRIPT FLUSH\nCONFIG SET maxmemory 1").await;

    for error in [
        error_of(store.register(&announcement(Kind::Game, 9)).await),
        error_of(store.place(&order(3)).await),
        error_of(store.commit_room(&creation(1, &[])).await),
    ] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    stops.stop(&store).await;
    assert_eq!(stops.record(&store).await.cause, "stopped");
    assert_eq!(dies.accused(&store, gateway(0), Charge::Silent).await, Verdict::Suspect);
    dies.absolved(&store, gateway(0)).await;
    assert_eq!(dies.accused(&store, gateway(0), Charge::Refused).await, Verdict::Down);
    assert_eq!(store.sweep_orphans(10).await.unwrap(), 1);
    assert_eq!(stays.beat(&store, Status::Smooth).await, renewed(1));
    assert!(store.end_game(order(1).id, owner, &finished()).await.unwrap());
    assert_eq!(store.ask_to_drain(stays.slot).await.unwrap(), DrainRequest::Asked(stays.incarnation()));
    vanishes.reaped(&store, &witness).await;

    raw(&server, "CONFIG SET maxmemory 0").await;
    store.register(&announcement(Kind::Game, 9)).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_unavailable_and_no_bug() {
    let server = RedisServer::start();
    let store = store_with_timeout(&server.url(), ms(500));
    answers(&store).await;
    let host = Server::game(&store, 1, 10).await;
    let (slot, incarnation, beat) = (host.slot, host.incarnation(), host.heartbeat(Status::Smooth));
    raw(&server, "REPLICAOF 127.0.0.1 1").await;
    let announced = announcement(Kind::Game, 1);
    let outcomes = tokio::join!(
        store.register(&announced),
        store.heartbeat(slot, incarnation, &beat),
        store.reap(),
        store.accuse(slot, incarnation, gateway(0), Charge::Dead),
        store.absolve(slot, incarnation, gateway(0)),
        store.ask_to_drain(slot),
        store.deregister(slot, incarnation),
    );
    for error in [
        error_of(outcomes.0),
        error_of(outcomes.1),
        error_of(outcomes.2),
        error_of(outcomes.3),
        error_of(outcomes.4),
        error_of(outcomes.5),
        error_of(outcomes.6),
    ] {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    raw(&server, "REPLICAOF NO ONE").await;
    let outcome = eventually("it is renewed", async || store.heartbeat(slot, incarnation, &beat).await.ok()).await;
    assert_eq!(outcome, renewed(0));
}

#[tokio::test]
async fn ages_are_told_by_the_clock_of_redis_and_not_by_that_of_the_host() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { probation_first: ms(60_000), probation_max: ms(60_000), ..LONG });
    let host = Server::game(&store, 1, 10).await;
    let hour: u64 = 3_600_000;
    // To shift all times by an hour is to shift the clock the other way.
    raw(&server, "HINCRBY Server:Game:0 started_at -3600000").await;
    let age_ms = host.record(&store).await.age_ms;
    assert!((hour..hour + 60_000).contains(&age_ms), "{age_ms}");
    host.accused(&store, gateway(0), Charge::Refused).await;
    raw(&server, "HINCRBY Server:Game:0 unused_since -3600000").await;
    let unused_ms = host.record(&store).await.unused_ms.unwrap();
    assert!((hour..hour + 60_000).contains(&unused_ms), "{unused_ms}");
    // A clock that went back makes nobody wait for longer than a whole probation.
    host.beat(&store, Status::Smooth).await;
    raw(&server, "HINCRBY Server:Game:0 probation_until 3600000").await;
    host.beat(&store, Status::Smooth).await;
    let probation_ms = host.record(&store).await.probation_ms;
    assert!((1..=60_000).contains(&probation_ms), "{probation_ms}");
    // Nor does it keep anyone from being reaped.
    raw(&server, "INCRBY Servers:pulse 3600000").await;
    host.beat(&store, Status::Smooth).await;
    let since = u64::from_redis_value(raw(&server, "GET Servers:pulse").await).unwrap();
    let now = <(u64, u64)>::from_redis_value(raw(&server, "TIME").await).unwrap();
    assert!(since <= now.0 * 1000 + 1000, "{since} is ahead of {now:?}");
}

#[tokio::test]
async fn counters_that_someone_spoiled_are_right_with_the_next_heartbeat() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let host = Server::game(&store, 1, 10).await;
    placed(&store, &order(1)).await;
    raw(&server, "HSET Server:Game:0 games 77 players -3").await;
    assert_eq!(host.beat(&store, Status::Smooth).await, renewed(1));
    let record = host.record(&store).await;
    assert_eq!((record.games, record.players), (1, 0));
}

#[tokio::test]
async fn a_password_that_is_missing_is_told_as_such() {
    let server = RedisServer::start();
    let store = store_with_timeout(&server.url(), ms(300));
    answers(&store).await;
    raw(&server, "CONFIG SET requirepass sesame\nCLIENT KILL TYPE normal SKIPME yes").await;
    eventually("it asks for the password", async || {
        let error = store.ping().await.err()?;
        matches!(&error, StoreError::Unavailable(why) if why.contains("NOAUTH")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_spoiled_list_does_not_keep_other_servers_in_use() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(200), ..LONG });
    let lost = store.register(&announcement(Kind::Game, 1)).await.unwrap().slot;
    let witness = Server::start(&store, Kind::Lobby, 1).await;
    raw(&server, "SET Server:Gateway text").await;
    let mut mail = subscribe(&store, None).await;
    let look = async || {
        witness.beat(&store, Status::Smooth).await;
        store.reap().await
    };
    eventually("the lost server is switched off", async || match look().await {
        Ok(reaped) if reaped == [lost] => Some(()),
        // While it is too early to look at leases, nothing is found out.
        Ok(reaped) if reaped.is_empty() => None,
        Err(StoreError::Corrupt { .. }) => None,
        other => panic!("{other:?}"),
    })
    .await;
    eventually("the spoiled list is told of", async || match look().await {
        Err(StoreError::Corrupt { key, .. }) if key == "Server:Gateway" => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(lost));
}

#[tokio::test]
async fn a_key_of_a_wrong_type_is_named() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    raw(&server, "SET Server:Game text\nSET Room:0000000000000001 text").await;
    for error in [
        error_of(store.register(&announcement(Kind::Game, 1)).await),
        error_of(store.scan(Kind::Game).await),
        error_of(store.commit_room(&creation(1, &[])).await),
    ] {
        assert!(matches!(&error, StoreError::Corrupt { key, .. } if key.len() > 5), "{error:?}");
    }
}

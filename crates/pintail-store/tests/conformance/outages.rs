//! Redis away, held up, or back empty.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{Kind, Status};
use pintail_store::{
    Games, Heartbeat, HeartbeatOutcome, Mail, Notice, Periods, RedisOptions, RedisStore, Registry, RestoreOutcome,
    Rooms, StoreError,
};
use pintail_testkit::RedisServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fixture::{LONG, Server, announcement, creation, error_of, eventually, ms, order, placed, redis_store};
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
async fn answers(store: &RedisStore) {
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
    assert_eq!(store.restore_game(&order(1), owner).await.unwrap(), RestoreOutcome::Restored);
    assert_eq!(again.beat(&store, Status::Smooth).await, HeartbeatOutcome::Renewed { games: 1 });
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let host = Server::game(&store, 1, 10).await;
    raw(&server, "SCRIPT FLUSH").await;
    assert_eq!(host.beat(&store, Status::Smooth).await, HeartbeatOutcome::Renewed { games: 0 });
}

#[tokio::test]
async fn calls_to_a_redis_that_is_held_up_fail_in_time() {
    let server = RedisServer::start();
    let timeout = ms(300);
    let store = store_with_timeout(&server.url(), timeout);
    let host = announcement(Kind::Game, 1);
    let slot = store.register(&host).await.unwrap().slot;
    let beat = Heartbeat { endpoint: host.endpoint, status: Status::Smooth, players: 0 };
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
async fn a_subscription_that_went_deaf_is_noticed_and_replaced() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let mut mail = subscribe(&store, None).await;
    server.pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.resume();
    assert_eq!(next(&mut mail).await, Notice::Rescan);
    let host = Server::start(&store, Kind::Game, 1).await;
    // The old connection may have been served once more before the new one: then there is a second gap to tell.
    let heard = eventually("the announcement is heard", async || {
        let notice = next(&mut mail).await;
        (notice != Notice::Rescan).then_some(notice)
    })
    .await;
    assert_eq!(heard, Notice::ServerOn(host.slot));
}

/// A way to Redis whose connections can be made half-open: both ends stay up, and nothing passes any more.
struct Way {
    url: String,
    cuts: Arc<watch::Sender<u32>>,
}

impl Way {
    async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let cuts = Arc::new(watch::Sender::new(0));
        let (target, source) = (server.address(), Arc::clone(&cuts));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(target).await.unwrap();
                let mut cut = source.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, cuts }
    }

    /// Makes the connections of this moment half-open. Later ones work.
    fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

#[tokio::test]
async fn half_open_connections_are_noticed_and_replaced() {
    let server = RedisServer::start();
    let way = Way::to(&server).await;
    let store = store_with_timeout(&way.url, ms(300));
    answers(&store).await;
    let mut mail = subscribe(&store, None).await;
    way.cut();
    let cut_at = Instant::now();
    let error = error_of(store.ping().await);
    assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
    answers(&store).await;
    assert_eq!(next(&mut mail).await, Notice::Rescan);
    assert!(cut_at.elapsed() < Duration::from_secs(5) + MARGIN, "{:?}", cut_at.elapsed());
}

#[tokio::test]
async fn a_subscription_that_is_dropped_gives_its_connection_back() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let mail = subscribe(&store, None).await;
    let subscribers = async || {
        let clients: String =
            redis::FromRedisValue::from_redis_value(raw(&server, "CLIENT LIST TYPE pubsub").await).unwrap();
        clients.lines().count()
    };
    assert_eq!(subscribers().await, 1);
    drop(mail);
    eventually("the connection is closed", async || (subscribers().await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_full_redis_is_unavailable_and_no_bug() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    store.ping().await.unwrap();
    raw(&server, "CONFIG SET maxmemory 1").await;
    let error = error_of(store.register(&announcement(Kind::Game, 1)).await);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    raw(&server, "CONFIG SET maxmemory 0").await;
    store.register(&announcement(Kind::Game, 1)).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_became_a_replica_is_unavailable_and_no_bug() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    raw(&server, "REPLICAOF 127.0.0.1 1").await;
    let error = error_of(store.register(&announcement(Kind::Game, 1)).await);
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    raw(&server, "REPLICAOF NO ONE").await;
    store.register(&announcement(Kind::Game, 1)).await.unwrap();
}

#[tokio::test]
async fn a_password_that_is_missing_is_told_as_such() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    store.ping().await.unwrap();
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
    let store = redis_store(&server, Periods { lease_ttl: ms(50), ..LONG });
    let lost = store.register(&announcement(Kind::Game, 1)).await.unwrap().slot;
    raw(&server, "SET Server:Gateway text").await;
    let mut mail = subscribe(&store, None).await;
    eventually("the lost server is switched off", async || {
        assert!(matches!(error_of(store.reap().await), StoreError::Corrupt { .. }));
        store.scan(Kind::Game).await.unwrap().is_empty().then_some(())
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

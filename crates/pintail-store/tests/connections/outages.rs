//! Redis away for a while, for every reason.

use std::time::{Duration, Instant};

use pintail_store::{RedisStore, Result, StoreError};
use pintail_testkit::{Fault, FaultProxy, Persistence, RedisServer};

use crate::support::{
    ANNOUNCEMENT, Log, MARGIN, ms, patient_store, store, subscribe, until_heard, until_it_works, write,
};

/// How long an outage lasts that is noticed at once.
const OUTAGE: Duration = Duration::from_millis(1500);

/// How long one lasts that is noticed by silence: longer than it takes until a connection is given up.
const SILENCE: Duration = Duration::from_secs(4);

/// How soon everything must work again.
const BACK: Duration = Duration::from_millis(2500);

/// Makes calls all the time; each must fail in time as one that can be repeated.
async fn calls_fail_in_time(store: &RedisStore, duration: Duration) {
    let limit = pintail_core::limits::STORE_TIMEOUT + ms(500);
    let until = Instant::now() + duration;
    while Instant::now() < until {
        let started = Instant::now();
        let outcome = write(store).await;
        assert!(started.elapsed() < limit, "{:?}", started.elapsed());
        assert!(matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::Timeout(_))), "{outcome:?}");
        tokio::time::sleep(ms(20)).await;
    }
}

/// An outage from begin to end; `losses` is how often the log tells of it, and of its end.
async fn outage(
    server: &mut RedisServer,
    duration: Duration,
    losses: usize,
    begin: impl FnOnce(&mut RedisServer),
    end: impl FnOnce(&mut RedisServer),
) {
    let log = Log::start();
    let store = store(&server.url());
    until_it_works(&store).await;
    let mut mail = subscribe(&store).await;
    begin(server);
    calls_fail_in_time(&store, duration).await;
    end(server);
    let took = until_it_works(&store).await;
    assert!(took < BACK + MARGIN, "back after {took:?}");
    until_heard(&mut mail, || drop(server.command(ANNOUNCEMENT))).await;
    let lines = log.lines();
    assert_eq!(log.count("connected to Redis"), 1, "{lines:#?}");
    assert_eq!(log.count("the connection to Redis is lost"), losses, "{lines:#?}");
    assert_eq!(log.count("Redis is back"), losses, "{lines:#?}");
    // Why a first attempt failed may be something else, and the attempt that the outage cut short a third thing.
    assert!(log.count("can't be used") <= 3 * losses, "each reason is told once: {lines:#?}");
}

#[tokio::test]
async fn killed_and_restarted_empty() {
    outage(&mut RedisServer::start(), OUTAGE, 1, RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test]
async fn killed_and_restarted_with_what_it_knew() {
    let mut server = RedisServer::start_with(Persistence::AppendOnly);
    outage(&mut server, OUTAGE, 1, RedisServer::kill, RedisServer::restart).await;
    assert!(server.command("DBSIZE").trim_start_matches(':').trim().parse::<u32>().unwrap() >= 2, "of both times");
}

#[tokio::test]
async fn stopped_in_good_order() {
    outage(&mut RedisServer::start(), OUTAGE, 1, RedisServer::stop, RedisServer::restart).await;
}

#[tokio::test]
async fn held_up() {
    outage(&mut RedisServer::start(), SILENCE, 1, |server| server.pause(), |server| server.resume()).await;
}

#[tokio::test]
async fn made_a_replica() {
    let begin = |server: &mut RedisServer| drop(server.command("REPLICAOF 127.0.0.1 1"));
    let end = |server: &mut RedisServer| drop(server.command("REPLICAOF NO ONE"));
    outage(&mut RedisServer::start(), OUTAGE, 1, begin, end).await;
}

#[tokio::test]
async fn a_replica_is_named_as_such() {
    let master = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&master).start();
    let why = crate::support::until_refused(&store(&replica.url()), "is a replica").await;
    assert!(why.contains(&replica.address().to_string()), "{why}");
}

#[tokio::test]
async fn full() {
    let begin = |server: &mut RedisServer| drop(server.command("CONFIG SET maxmemory 1"));
    let end = |server: &mut RedisServer| drop(server.command("CONFIG SET maxmemory 0"));
    // The connection is as good as ever.
    outage(&mut RedisServer::start(), OUTAGE, 0, begin, end).await;
}

#[tokio::test]
async fn calls_wait_for_the_end_of_a_short_outage_and_not_for_that_of_a_long_one() {
    let mut server = RedisServer::start();
    let store = patient_store(&server.url());
    until_it_works(&store).await;
    server.kill();
    let restart = async {
        tokio::time::sleep(OUTAGE).await;
        server.restart();
    };
    let (outcome, ()) = tokio::join!(write_when_it_is_down(&store), restart);
    outcome.unwrap();

    server.kill();
    let killed = Instant::now();
    let error = write_when_it_is_down(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(killed.elapsed() > SILENCE && killed.elapsed() < SILENCE * 2 + MARGIN, "{:?}", killed.elapsed());
    let started = Instant::now();
    assert!(matches!(write(&store).await, Err(StoreError::Unavailable(_))));
    assert!(started.elapsed() < MARGIN, "{:?}", started.elapsed());
}

/// A call that is made once the store knows that there is no connection.
async fn write_when_it_is_down(store: &RedisStore) -> Result<()> {
    loop {
        match write(store).await {
            // It was under way when the connection was lost, or was the first to find it lost.
            Err(StoreError::Unavailable(why)) if why.contains("broken pipe") || why.contains("closed") => {
                tokio::time::sleep(ms(5)).await;
            }
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn refused_then_there() {
    let log = Log::start();
    let server = RedisServer::start();
    let way = FaultProxy::start(server.address());
    way.set(Fault::Cut);
    let store = store(&server.url_by_way_of(way.address()));
    calls_fail_in_time(&store, ms(1500)).await;
    way.set(Fault::Pass);
    let took = until_it_works(&store).await;
    assert!(took < ms(600) + MARGIN, "{took:?}");
    assert_eq!((log.count("can't be used"), log.count("connected to Redis")), (1, 1), "{:#?}", log.lines());
}

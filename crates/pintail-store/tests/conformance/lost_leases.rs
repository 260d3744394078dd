//! Leases that ran out while Redis was away. Redis only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{Kind, Slot, Status};
use pintail_store::{HeartbeatOutcome, Notice, Periods, RedisOptions, RedisStore, Registry};
use pintail_testkit::{Persistence, RedisServer};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::fixture::{LONG, Server, eventually, live_servers, ms, redis_store};
use crate::mail::{next, subscribe};
use crate::outages::answers;

/// A lease.
const LEASE: Duration = ms(600);

/// How Redis is away for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Paused,
    Restarted,
    /// It comes back without what it knew.
    Emptied,
}

impl Outage {
    async fn last(self, server: &mut RedisServer, duration: Duration) {
        match self {
            Self::Paused => server.pause(),
            Self::Restarted | Self::Emptied => server.kill(),
        }
        tokio::time::sleep(duration).await;
        match self {
            Self::Paused => server.resume(),
            Self::Restarted | Self::Emptied => server.restart(),
        }
    }
}

/// What a live server does: renews its lease, and registers again if it is lost.
async fn live(store: Arc<RedisStore>, number: u8) {
    let mut server = Server::start(&*store, Kind::Game, number).await;
    loop {
        tokio::time::sleep(LEASE / 3).await;
        let beat = server.heartbeat(Status::Smooth);
        let Ok(HeartbeatOutcome::Lost) = store.heartbeat(server.slot, server.incarnation(), &beat).await else {
            continue;
        };
        if let Ok(registration) = store.register(&server.announcement).await {
            server.slot = registration.slot;
        }
    }
}

/// How many that were reaped may wait to be looked at: far more than there are servers.
const REAPED_MAX: usize = 64;

/// Looks for lost leases without a pause, so that one look comes before the first heartbeat.
async fn reap_on(store: Arc<RedisStore>, reaped: mpsc::Sender<Slot>) {
    loop {
        for slot in store.reap().await.unwrap_or_default() {
            reaped.send(slot).await.unwrap();
        }
        tokio::time::sleep(ms(2)).await;
    }
}

/// All servers lose their leases by an outage. Gives who is reaped for it, and who should be.
async fn reaped_by(outage: Outage, persistence: Persistence) -> (Vec<Slot>, Vec<Slot>) {
    let mut server = RedisServer::start_with(persistence);
    let mut options = RedisOptions::new(&server.url()).unwrap();
    (options.timeout, options.periods) = (ms(400), Periods { lease_ttl: LEASE, ..LONG });
    let store = Arc::new(RedisStore::connect(options).unwrap());
    answers(&store).await;
    let mut tasks = JoinSet::new();
    for number in 1..=3 {
        tasks.spawn(live(Arc::clone(&store), number));
    }
    eventually("they are there", async || (live_servers(&*store, Kind::Game).await.len() == 3).then_some(())).await;
    let (reaped_tx, mut reaped_rx) = mpsc::channel(REAPED_MAX);
    tasks.spawn(reap_on(Arc::clone(&store), reaped_tx));
    let dead = Server::start(&*store, Kind::Lobby, 1).await;

    outage.last(&mut server, LEASE * 2).await;
    answers(&store).await;
    let back_at = Instant::now();
    let expected = if outage == Outage::Emptied { Vec::new() } else { vec![dead.slot] };
    let mut reaped = Vec::new();
    eventually("a lease has passed, and the dead one is reaped", async || {
        reaped.extend(std::iter::from_fn(|| reaped_rx.try_recv().ok()));
        (reaped.len() >= expected.len() && back_at.elapsed() > LEASE * 2).then_some(())
    })
    .await;
    let falls: Vec<u32> = live_servers(&*store, Kind::Game).await.iter().map(|server| server.falls).collect();
    assert_eq!(falls, [0, 0, 0], "{outage:?}");
    (reaped, expected)
}

#[tokio::test]
async fn no_live_server_is_reaped_because_redis_was_held_up() {
    let (reaped, expected) = reaped_by(Outage::Paused, Persistence::None).await;
    assert_eq!(reaped, expected);
}

#[tokio::test]
async fn no_live_server_is_reaped_because_redis_was_down() {
    let (reaped, expected) = reaped_by(Outage::Restarted, Persistence::AppendOnly).await;
    assert_eq!(reaped, expected);
}

#[tokio::test]
async fn no_live_server_is_reaped_because_redis_lost_everything() {
    let (reaped, expected) = reaped_by(Outage::Emptied, Persistence::None).await;
    assert_eq!(reaped, expected);
}

/// Redis may be away between a look at the leases and what comes of it.
#[tokio::test]
async fn a_look_at_leases_ends_where_the_heartbeats_end() {
    const DEAD: u16 = 300;
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: LEASE, ..LONG });
    let witness = Server::witness(&store).await;
    for number in 0..DEAD {
        Server::at_new_address(&store, number).await;
    }
    let registered_at = Instant::now();
    eventually("all leases are gone", async || {
        witness.beat(&store, Status::Smooth).await;
        (registered_at.elapsed() > LEASE).then_some(())
    })
    .await;
    let mut mail = subscribe(&store, None).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let look = async {
        let some = async || Some(witness.reaps(&store).await).filter(|reaped| !reaped.is_empty());
        eventually("some are reaped", some).await
    };
    let gap = async {
        assert!(matches!(next(&mut mail).await, Notice::ServerOff(_)));
        redis::cmd("DEL").arg("Servers:pulse").exec_async(&mut connection).await.unwrap();
    };
    let (reaped, ()) = tokio::join!(look, gap);
    assert!(reaped.len() < usize::from(DEAD), "all {DEAD} were");
}

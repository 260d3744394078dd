//! Measures what a large cluster costs Redis, and how long it takes to come back to one that lost everything.
//!
//! ```text
//! cargo bench -p pintail-store --bench cluster
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement that can't be made fails by panicking")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::limits::{LEASE_RENEWAL, SCAN_PERIOD};
use pintail_core::{Endpoint, GameType, Incarnation, Kind, Status};
use pintail_store::{
    Announcement, Games, Heartbeat, HeartbeatOutcome, Mail, RedisOptions, RedisStore, Registry, ScanEntry,
};
use pintail_testkit::RedisServer;
use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many game servers there are, beside the gateways.
const SERVERS: u16 = 200;

const GATEWAYS: u16 = 2;

/// How often each server looks for others that are gone, as membership does.
const LOOK_PERIOD: Duration = Duration::from_millis(400);

/// For how long the cost is measured.
const MEASURED: Duration = Duration::from_secs(10);

const PATIENCE: Duration = Duration::from_secs(30);

fn store(server: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::connect(RedisOptions::new(&server.url()).unwrap()).unwrap())
}

fn announcement(kind: Kind, number: u16) -> Announcement {
    let [high, low] = number.to_be_bytes();
    Announcement {
        kind,
        endpoint: Endpoint::new(Ipv4Addr::new(10, 1, high, low), kind.default_port()),
        incarnation: Incarnation::random(),
        capacity: 100,
        game_types: if kind == Kind::Game { vec![GameType::new("echo").unwrap()] } else { Vec::new() },
        version: "1.2.3".to_owned(),
        admin_port: None,
        http_port: None,
    }
}

fn random_part(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random())
}

/// Registers, renews, and registers again when it is lost, as membership does.
async fn renew(store: Arc<RedisStore>, announced: Announcement) {
    let beat = Heartbeat { endpoint: announced.endpoint, status: Status::Smooth, cause: String::new(), players: 0 };
    loop {
        let Ok(registration) = store.register(&announced).await else {
            sleep(random_part(LEASE_RENEWAL)).await;
            continue;
        };
        loop {
            match store.heartbeat(registration.slot, announced.incarnation, &beat).await {
                Ok(HeartbeatOutcome::Renewed { .. }) => sleep(LEASE_RENEWAL).await,
                Ok(_) => break,
                Err(_) => sleep(random_part(LEASE_RENEWAL)).await,
            }
        }
    }
}

async fn look_after_others(store: Arc<RedisStore>) {
    loop {
        sleep(LOOK_PERIOD / 2 + random_part(LOOK_PERIOD)).await;
        // Redis may be away.
        let _ = store.reap().await;
        let _ = store.sweep_orphans(100).await;
    }
}

async fn scan(store: Arc<RedisStore>) {
    loop {
        for kind in Kind::ALL {
            let _ = store.scan(kind).await;
        }
        sleep(SCAN_PERIOD).await;
    }
}

/// The whole cluster, each server with connections of its own.
fn cluster(server: &RedisServer) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let games = (0..SERVERS).map(|number| (Kind::Game, number));
    for (kind, number) in games.chain((0..GATEWAYS).map(|number| (Kind::Gateway, number))) {
        let store = store(server);
        let mut mail = store.subscribe(None);
        tasks.spawn(async move { while mail.next().await.is_some() {} });
        tasks.spawn(renew(Arc::clone(&store), announcement(kind, number)));
        tasks.spawn(look_after_others(Arc::clone(&store)));
        if kind == Kind::Gateway {
            tasks.spawn(scan(store));
        }
    }
    tasks
}

async fn live_servers(store: &RedisStore) -> Vec<pintail_store::ServerRecord> {
    let entries: Vec<ScanEntry> = store.scan(Kind::Game).await.unwrap_or_default();
    entries.into_iter().flatten().filter(|record| record.lease).collect()
}

/// How long it takes until every server is there.
async fn until_all_are_there(store: &RedisStore) -> Duration {
    let started = Instant::now();
    while live_servers(store).await.len() < usize::from(SERVERS) {
        assert!(started.elapsed() < PATIENCE, "the servers don't come");
        sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

/// A number from the server's `INFO`.
fn info(server: &RedisServer, section: &str, name: &str) -> f64 {
    let info = server.command(&format!("INFO {section}"));
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {info}")).trim().parse().unwrap()
}

fn main() {
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        what_a_large_cluster_costs().await;
        how_soon_a_large_cluster_is_back_after_redis_lost_everything().await;
    });
}

async fn what_a_large_cluster_costs() {
    let server = RedisServer::start();
    let watcher = store(&server);
    let tasks = cluster(&server);
    println!("{SERVERS} servers that start at once are there after {:?}", until_all_are_there(&watcher).await);
    let cpu = || info(&server, "cpu", "used_cpu_user") + info(&server, "cpu", "used_cpu_sys");
    let commands = || info(&server, "stats", "total_commands_processed");
    let before = (cpu(), commands(), Instant::now());
    server.command("CONFIG RESETSTAT");
    sleep(MEASURED).await;
    let seconds = before.2.elapsed().as_secs_f64();
    println!("Redis: {:.1} % of a core, {:.0} commands/s", (cpu() - before.0) / seconds * 100.0, commands() / seconds);
    let statistics = server.command("INFO commandstats");
    println!("{}", statistics.lines().filter(|line| line.starts_with("cmdstat_")).collect::<Vec<_>>().join("\n"));
    let falls: u32 = live_servers(&watcher).await.iter().map(|record| record.falls).sum();
    assert_eq!(falls, 0, "nobody was taken for dead");
    drop(tasks);
}

async fn how_soon_a_large_cluster_is_back_after_redis_lost_everything() {
    let mut server = RedisServer::start();
    let watcher = store(&server);
    let tasks = cluster(&server);
    until_all_are_there(&watcher).await;
    for away in [Duration::ZERO, Duration::from_secs(3), Duration::from_secs(10)] {
        server.kill();
        sleep(away).await;
        server.restart();
        println!("away for {away:?}: all are back after {:?}", until_all_are_there(&watcher).await);
        let falls: u32 = live_servers(&watcher).await.iter().map(|record| record.falls).sum();
        assert_eq!(falls, 0, "nobody was taken for dead");
    }
    drop(tasks);
}

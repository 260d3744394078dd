//! Measures how many journal entries Redis takes, and what each costs it.
//!
//! ```text
//! cargo bench -p pintail-store --bench journal
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement that can't be made fails by panicking")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_core::{Durability, Endpoint, EntryNumber, GameId, GameType, Incarnation, Kind, RoomId, Round, Slot};
use pintail_store::{
    Announcement, GameOrder, Games, JournalWrite, Journals, Owner, PlaceOutcome, RedisOptions, RedisStore, Registry,
    SavedSnapshot, WriteContent, WriteOutcome,
};
use pintail_testkit::{Persistence, RedisServer};
use tokio::task::JoinSet;

const ENTRY_BYTES: usize = 200;

/// After how many entries a game writes a snapshot, as hosts do.
const ENTRIES_PER_SNAPSHOT: u64 = 256;

const SNAPSHOT_BYTES: usize = 4096;

/// For how long each setting is measured.
const MEASURED: Duration = Duration::from_secs(3);

fn game(number: u64) -> GameId {
    GameId { room: RoomId(number), round: Round(1) }
}

fn echo() -> GameType {
    GameType::new("echo").unwrap()
}

fn order(number: u64) -> GameOrder {
    GameOrder {
        id: game(number),
        game_type: echo(),
        durability: Durability::Journaled,
        settings: String::new(),
        players: Vec::new(),
        seed: number,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    }
}

async fn register(store: &RedisStore) {
    let announcement = Announcement {
        kind: Kind::Game,
        endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, 5557),
        incarnation: Incarnation::random(),
        capacity: u32::MAX,
        game_types: vec![echo()],
        version: String::new(),
        admin_port: None,
        http_port: None,
    };
    store.register(&announcement).await.unwrap();
}

/// The write of a game that has written this often.
fn write(game: GameId, owner: Owner, number: u64) -> JournalWrite {
    let number = EntryNumber(number);
    let content = if number.0.is_multiple_of(ENTRIES_PER_SNAPSHOT) {
        let bytes = Bytes::from_static(&[7; SNAPSHOT_BYTES]);
        WriteContent::Snapshot(SavedSnapshot { number, format: 1, bytes })
    } else {
        WriteContent::Entries { first: number, entries: vec![Bytes::from_static(&[7; ENTRY_BYTES])] }
    };
    JournalWrite { game, owner, content }
}

/// One server: writes an entry to each of its games, again and again. Returns how many.
async fn write_on(store: Arc<RedisStore>, games: Vec<(GameId, Owner)>) -> u64 {
    let until = Instant::now() + MEASURED;
    let mut written = 0;
    for number in 1.. {
        let writes: Vec<_> = games.iter().map(|&(game, owner)| write(game, owner, number)).collect();
        let outcomes = store.write_journals(&writes).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == WriteOutcome::Committed));
        written += writes.len() as u64;
        if Instant::now() >= until {
            break;
        }
    }
    written
}

/// The processor time of Redis.
fn cpu(server: &RedisServer) -> f64 {
    let info = server.command("INFO cpu");
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {info}")).trim().parse::<f64>().unwrap()
    };
    value("used_cpu_user:") + value("used_cpu_sys:")
}

async fn measure(persistence: Persistence, servers: u64, batch: u64) {
    let server = RedisServer::start_with(persistence);
    let connect = || {
        let mut options = RedisOptions::new(&server.url()).unwrap();
        // Nobody renews a lease here, and a busy machine may take its time.
        options.periods.lease_ttl = Duration::from_secs(600);
        options.timeout = Duration::from_secs(20);
        Arc::new(RedisStore::connect(options).unwrap())
    };
    let store = connect();
    register(&store).await;
    let mut tasks = JoinSet::new();
    let mut all = Vec::new();
    for number in 0..servers * batch {
        let PlaceOutcome::Placed(owner) = store.place(&order(number)).await.unwrap() else { panic!("not placed") };
        all.push((game(number), owner));
    }
    let (started, cpu_before) = (Instant::now(), cpu(&server));
    for games in all.chunks(usize::try_from(batch).unwrap()) {
        tasks.spawn(write_on(connect(), games.to_vec()));
    }
    let written: u64 = tasks.join_all().await.into_iter().sum();
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu(&server) - cpu_before);
    println!(
        "{persistence:?}, {servers} servers, {batch} games a call: {:.0} entries/s, {:.1} µs of Redis for each",
        written as f64 / seconds,
        used * 1e6 / written as f64
    );
}

/// The least that keeping an entry can cost: pushing it, without asking who may, a hundred with one round trip.
async fn measure_pushing() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let entry = vec![7; ENTRY_BYTES];
    let mut pipeline = redis::Pipeline::new();
    for number in 0..100 {
        pipeline.cmd("RPUSH").arg(number).arg(&entry).ignore();
    }
    let (started, cpu_before, mut pushed) = (Instant::now(), cpu(&server), 0);
    while started.elapsed() < MEASURED {
        pipeline.exec_async(&mut connection).await.unwrap();
        pushed += 100;
    }
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu(&server) - cpu_before);
    let pushed = f64::from(pushed);
    println!("RPUSH alone: {:.0} entries/s, {:.1} µs of Redis for each", pushed / seconds, used * 1e6 / pushed);
}

fn main() {
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure_pushing());
    for persistence in [Persistence::None, Persistence::AppendOnly] {
        for (servers, batch) in [(1, 1), (1, 10), (1, 100), (1, 1000), (4, 1), (4, 10), (4, 100)] {
            runtime.block_on(measure(persistence, servers, batch));
        }
    }
}

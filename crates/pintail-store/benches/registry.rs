//! Measures what each call that a cluster makes all the time costs Redis: scans, renewals, looks for the dead, accusations and
//! placements, with 10, 100 and 1,000 game servers.
//!
//! ```text
//! cargo bench -p pintail-store --bench registry
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement that can't be made fails by panicking")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{
    Charge, Durability, Endpoint, GameId, GameType, Incarnation, Kind, RoomId, Round, SessionId, Slot, Status,
};
use pintail_store::{
    Announcement, EndOutcome, EndReason, GameOrder, Games, Heartbeat, OrderedPlayer, Owner, PlaceOutcome, RedisOptions,
    RedisStore, Registry,
};
use pintail_testkit::RedisServer;

/// For how long each call is measured.
const MEASURED: Duration = Duration::from_secs(2);

/// How many calls are under way at once: as many servers are never in step.
const AT_ONCE: usize = 16;

/// How many players a game has.
const PLAYERS: u64 = 4;

fn echo() -> GameType {
    GameType::new("echo").unwrap()
}

fn announcement(number: u16) -> Announcement {
    let [high, low] = number.to_be_bytes();
    Announcement {
        kind: Kind::Game,
        endpoint: Endpoint::new(Ipv4Addr::new(10, 1, high, low), Kind::Game.default_port()),
        incarnation: Incarnation::random(),
        capacity: u32::MAX,
        game_types: vec![echo()],
        version: "1.2.3".to_owned(),
        admin_port: Some(9557),
        http_port: None,
    }
}

fn order(number: u64) -> GameOrder {
    let player = |session| OrderedPlayer { session: SessionId(session), name: "Ada".parse().unwrap() };
    GameOrder {
        id: GameId { room: RoomId(number), round: Round(1) },
        game_type: echo(),
        durability: Durability::Ephemeral,
        settings: String::new(),
        players: (1..=PLAYERS).map(player).collect(),
        seed: number,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    }
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

/// Makes a call again and again, and tells what one costs.
async fn measure<F: Future<Output = ()>>(server: &RedisServer, what: &str, parts: f64, call: impl Fn(u64) -> F) {
    let (began, cpu_before) = (Instant::now(), cpu(server));
    let mut number = 0;
    while began.elapsed() < MEASURED {
        let calls = (0..AT_ONCE as u64).map(|ahead| call(number + ahead));
        futures_util::future::join_all(calls).await;
        number += AT_ONCE as u64;
    }
    let each = (cpu(server) - cpu_before) * 1e6 / number as f64;
    let rate = number as f64 / began.elapsed().as_secs_f64();
    println!("  {what:<22}{each:>9.1} µs of Redis{:>9.2} µs a slot{rate:>10.0} calls/s here", each / parts);
}

struct Bench {
    server: RedisServer,
    store: Arc<RedisStore>,
    members: Vec<(Slot, Announcement)>,
}

impl Bench {
    async fn of(servers: u16) -> Self {
        let server = RedisServer::start();
        let mut options = RedisOptions::new(&server.url()).unwrap();
        // Only the calls that are measured are made, so nobody renews what is not measured.
        options.periods.lease_ttl = Duration::from_secs(600);
        options.timeout = Duration::from_secs(20);
        let store = Arc::new(RedisStore::connect(options).unwrap());
        let mut members = Vec::new();
        for number in 0..servers {
            let announced = announcement(number);
            members.push((store.register(&announced).await.unwrap().slot, announced));
        }
        Self { server, store, members }
    }

    fn member(&self, number: u64) -> (Slot, &Announcement) {
        let (slot, announced) = &self.members[(number % self.members.len() as u64) as usize];
        (*slot, announced)
    }

    async fn renew(&self, number: u64) {
        let (slot, announced) = self.member(number);
        let beat = Heartbeat { endpoint: announced.endpoint, status: Status::Smooth, cause: String::new(), players: 7 };
        self.store.heartbeat(slot, announced.incarnation, &beat).await.unwrap();
    }

    async fn suspect(&self, number: u64) {
        let (slot, announced) = self.member(number);
        let observer = Slot::new(Kind::Gateway, 0);
        self.store.accuse(slot, announced.incarnation, observer, Charge::Silent).await.unwrap();
        self.store.absolve(slot, announced.incarnation, observer).await.unwrap();
    }

    async fn place(&self, number: u64) -> Owner {
        let PlaceOutcome::Placed(owner) = self.store.place(&order(number)).await.unwrap() else { panic!("not placed") };
        owner
    }

    async fn place_and_end(&self, number: u64) {
        let owner = self.place(number).await;
        let outcome =
            EndOutcome { reason: EndReason::Finished, result: "{}".to_owned(), message: "it is over".to_owned() };
        let id = order(number).id;
        assert!(self.store.end_game(id, owner, &outcome).await.unwrap());
        self.store.settle_game(id).await.unwrap();
    }

    async fn run(&self) {
        let (slots, server) = (self.members.len() as f64, &self.server);
        println!("{slots} game servers:");
        measure(server, "scan", slots, async |_| drop(self.store.scan(Kind::Game).await.unwrap())).await;
        measure(server, "renew", 1.0, |number| self.renew(number)).await;
        measure(server, "reap", 1.0, async |_| {
            self.store.reap().await.unwrap();
        })
        .await;
        measure(server, "sweep", 1.0, async |_| {
            self.store.sweep_orphans(200).await.unwrap();
        })
        .await;
        measure(server, "accuse and absolve", 1.0, |number| self.suspect(number)).await;
        measure(server, "place", 1.0, async |number| {
            self.place(number).await;
        })
        .await;
        measure(server, "place, end, settle", 1.0, |number| self.place_and_end(1 << 40 | number)).await;
    }
}

fn main() {
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for servers in [10, 100, 1000] {
            Bench::of(servers).await.run().await;
        }
    });
}

//! What the journal costs: the same echo with it and without.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use pintail::client::{Address, Client, ClientConfig, CreateRoom, Event, Events};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::process::cpu_time;

/// How long each figure is measured.
const WINDOW: Duration = Duration::from_secs(5);

/// How many bytes an input has.
const PAYLOAD: [u8; 64] = [7; 64];

/// How often each figure is taken; the two kinds take turns, so that the machine's moods concern both.
const RUNS: usize = 3;

struct Bot {
    client: Client,
    events: Events,
    times: Histogram<u64>,
}

/// Measures and prints the price.
pub(crate) async fn run() {
    let cluster = Cluster::start(1);
    println!(
        "\n{:<34} {:>10} {:>10} {:>10} {:>12}",
        "echo of 64 bytes, closed loop", "rate/s", "p50 (us)", "p99 (us)", "CPU us/input"
    );
    println!("{:<34} {:>10} {:>10} {:>10} {:>12}", "", "", "", "", "game + Redis");
    for (clients, in_flight) in [(1, 1), (100, 1), (200, 16)] {
        for game in ["echo", "echo-journaled"] {
            for _ in 0..RUNS {
                measure(&cluster, game, clients, in_flight).await;
            }
        }
    }
}

async fn measure(cluster: &Cluster, game: &'static str, clients: usize, in_flight: usize) {
    let address: Address = cluster.gateways[0].address.to_string().parse().expect("an address");
    let mut bots = JoinSet::new();
    for _ in 0..clients {
        bots.spawn(Bot::start(address.clone(), game));
    }
    let bots = bots.join_all().await;
    let redis = cluster.redis.process_id().expect("Redis runs");
    let servers = [cluster.games[0].program.process_id(), redis];
    let cpu = || servers.map(cpu_time).iter().sum::<Duration>();
    let (cpu_before, began) = (cpu(), Instant::now());
    let until = began + WINDOW;
    let mut playing: JoinSet<Bot> = bots.into_iter().map(|bot| bot.play(until, in_flight)).collect();
    let mut all = Histogram::<u64>::new(3).expect("three digits are possible");
    while let Some(bot) = playing.join_next().await {
        let bot = bot.expect("a bot plays to the end");
        all.add(&bot.times).expect("both have three digits");
        bot.client.logout().await;
    }
    let (took, cpu) = (began.elapsed(), cpu() - cpu_before);
    let rate = all.len() as f64 / took.as_secs_f64();
    let each = cpu.as_secs_f64() * 1e6 / all.len() as f64;
    let name = format!("{game}, {clients} clients x {in_flight}");
    println!(
        "{name:<34} {rate:>10.0} {:>10} {:>10} {each:>12.1}",
        all.value_at_quantile(0.5),
        all.value_at_quantile(0.99)
    );
}

impl Bot {
    async fn start(address: Address, game: &str) -> Self {
        let (client, mut events) =
            Client::connect(ClientConfig::new([address], "bot")).await.expect("the gateway lets bots in");
        let room = CreateRoom { game: game.to_owned(), private: true, ..CreateRoom::default() };
        client.create_room(room).await.expect("a room");
        client.start_game().await.expect("a game server");
        while !matches!(events.next().await.expect("the client goes on"), Event::GameAttached { .. }) {}
        Self { client, events, times: Histogram::new(3).expect("three digits are possible") }
    }

    /// Keeps so many inputs in flight until then.
    async fn play(mut self, until: Instant, in_flight: usize) -> Self {
        let mut sent = std::collections::VecDeque::new();
        while Instant::now() < until || !sent.is_empty() {
            while Instant::now() < until && sent.len() < in_flight {
                sent.push_back(Instant::now());
                self.client.send(&PAYLOAD[..]).await.expect("the game goes on");
            }
            loop {
                match self.events.next().await.expect("the client goes on") {
                    Event::GameMessage { .. } => break,
                    Event::GameEnded { message, .. } => panic!("the game ended: {message}"),
                    _ => {}
                }
            }
            if let Some(at) = sent.pop_front() {
                let micros = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.times.record(micros).expect("the histogram grows");
            }
        }
        self
    }
}

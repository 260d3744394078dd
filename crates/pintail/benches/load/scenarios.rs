//! What is measured.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::{JoinSet, LocalSet};

use crate::bot::Bot;
use crate::cluster::{Cluster, Server};
use crate::trivial;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) duration: Duration,
    pub(crate) idle_clients: usize,
    pub(crate) room_workers: usize,
}

/// The bytes that are echoed.
const PAYLOAD: [u8; 64] = [7; 64];

/// How many clients connect at once.
const CONNECTING: usize = 50;

/// What one measurement gave.
struct Measured {
    count: u64,
    seconds: f64,
    latency: Histogram<u64>,
    /// CPU microseconds per round trip or cycle, for each server.
    cpu: Vec<(&'static str, f64)>,
}

impl Measured {
    fn cpu_total(&self) -> f64 {
        self.cpu.iter().map(|(_, micros)| micros).sum()
    }

    fn print(&self, what: &str, baseline: Option<f64>) {
        let micros = |quantile| self.latency.value_at_quantile(quantile);
        print!(
            "{what:<38} {:>9.0}/s  p50 {:>6} µs  p99 {:>7} µs  CPU s/million: {:.1}",
            self.count as f64 / self.seconds,
            micros(0.5),
            micros(0.99),
            self.cpu_total()
        );
        if self.cpu.len() > 1 {
            let each: Vec<_> = self.cpu.iter().map(|(name, micros)| format!("{name} {micros:.1}")).collect();
            print!(" ({})", each.join(", "));
        }
        match baseline {
            Some(baseline) => println!("  = {:.2} × trivial", self.cpu_total() / baseline),
            None => println!(),
        }
    }
}

/// Measures everything and prints it.
pub(crate) async fn run(plan: Plan) {
    LocalSet::new().run_until(run_local(plan)).await;
}

async fn run_local(plan: Plan) {
    for clients in [1, 100, 1000] {
        let (child, address) = trivial::start();
        let trivial = [Server::new("trivial", child)];
        let bots = connect(clients, &address, Opening::Raw).await;
        let floor = echo(bots, &trivial, plan.duration).await;
        floor.print(&format!("trivial echo, {clients} clients"), None);

        let cluster = Cluster::start();
        let bots = connect(clients, &cluster.gateway, Opening::Play).await;
        let measured = echo(bots, &cluster.servers, plan.duration).await;
        measured.print(&format!("echo, {clients} clients, 64 bytes"), Some(floor.cpu_total()));
    }
    idle(plan).await;
    rooms(plan).await;
}

/// How a bot begins.
#[derive(Debug, Clone, Copy)]
enum Opening {
    Raw,
    LogIn,
    Play,
}

async fn connect(count: usize, address: &str, opening: Opening) -> Vec<Bot> {
    let mut bots = Vec::new();
    while bots.len() < count {
        let mut joining = JoinSet::new();
        for _ in 0..CONNECTING.min(count - bots.len()) {
            let address = address.to_owned();
            joining.spawn_local(async move {
                match opening {
                    Opening::Raw => Bot::connect(&address).await,
                    Opening::LogIn => Bot::log_in(&address).await,
                    Opening::Play => {
                        let mut bot = Bot::log_in(&address).await;
                        bot.play_alone().await;
                        bot
                    }
                }
            });
        }
        bots.extend(joining.join_all().await);
    }
    bots
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("constant bounds")
}

/// Each bot has one message in flight.
async fn echo(bots: Vec<Bot>, servers: &[Server], duration: Duration) -> Measured {
    measure(servers, duration, bots, async |bot: &mut Bot| bot.round_trip(&PAYLOAD).await).await
}

/// Repeats `once` on each bot for a time, and counts what it took.
async fn measure(
    servers: &[Server],
    duration: Duration,
    bots: Vec<Bot>,
    once: impl AsyncFn(&mut Bot) + Copy + 'static,
) -> Measured {
    let stop = Rc::new(Cell::new(false));
    let before: Vec<_> = servers.iter().map(Server::cpu_time).collect();
    let started = Instant::now();
    let mut running = JoinSet::new();
    for mut bot in bots {
        let stop = stop.clone();
        running.spawn_local(async move {
            let mut latency = histogram();
            while !stop.get() {
                let sent = Instant::now();
                once(&mut bot).await;
                latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            (bot, latency)
        });
    }
    tokio::time::sleep(duration).await;
    stop.set(true);
    let seconds = started.elapsed().as_secs_f64();
    let mut latency = histogram();
    // The bots stay connected until the CPU time is read: closing costs the servers too.
    let mut bots = Vec::new();
    while let Some(done) = running.join_next().await {
        let (bot, one) = done.expect("a bot");
        latency.add(one).expect("the same bounds");
        bots.push(bot);
    }
    let count = latency.len();
    let cpu = servers
        .iter()
        .zip(before)
        .map(|(server, before)| (server.name, (server.cpu_time() - before).as_secs_f64() * 1e6 / count as f64))
        .collect();
    Measured { count, seconds, latency, cpu }
}

/// Memory of the gateway for each client that is logged in and silent.
async fn idle(plan: Plan) {
    let cluster = Cluster::start();
    let gateway = &cluster.servers[0];
    // What the first clients cost once is not what each costs.
    let warm = connect(100, &cluster.gateway, Opening::LogIn).await;
    let before = gateway.resident_bytes();
    let bots = connect(plan.idle_clients, &cluster.gateway, Opening::LogIn).await;
    let after = gateway.resident_bytes();
    let each = (after - before) as f64 / bots.len() as f64 / 1024.0;
    println!("{:<38} {each:>9.2} KiB of gateway memory each", format!("{} idle clients over TCP", bots.len()));
    drop((warm, bots));
}

/// Rooms created, started and left, on both stores.
async fn rooms(plan: Plan) {
    let cycle = async |bot: &mut Bot| {
        bot.renew_before(3).await;
        bot.create_room().await;
        bot.start_game().await;
        bot.leave_room().await;
    };
    let (dev, address) = Cluster::start_dev();
    let bots = connect(plan.room_workers, &address, Opening::LogIn).await;
    let measured = measure(&[dev], plan.duration, bots, cycle).await;
    measured.print("rooms created, started, left: embedded", None);

    let cluster = Cluster::start();
    let bots = connect(plan.room_workers, &cluster.gateway, Opening::LogIn).await;
    let measured = measure(&cluster.servers, plan.duration, bots, cycle).await;
    measured.print("rooms created, started, left: Redis", None);
}

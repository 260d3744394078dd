//! Servers come, go, die, stall and lose their connections at random; then the registry must tell the truth.
//!
//! ```text
//! PINTAIL_TEST_SEED=7 PINTAIL_TEST_SECONDS=600 scripts/test -p pintail --test cluster membership
//! ```

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pintail_core::limits::LEASE_TTL;
use pintail_testkit::{Direction, Fault, FaultProxy, RedisServer, free_port};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::support::redis::Peek;
use crate::support::{Player, Server, pintail, play_echo, server, start, until};

/// How long faults are injected, unless `PINTAIL_TEST_SECONDS` says otherwise.
const SECONDS: u64 = 12;

/// How many game servers run at once, at most.
const SERVERS_MAX: usize = 5;

/// How long a slot stays taken by a server that is gone: its lease (2 s), the look at it, and the recycle time of this
/// test (2 s), with room for a busy machine.
const LINGERING: Duration = Duration::from_secs(8);

/// What can happen to the cluster.
#[derive(Debug, Clone, Copy)]
enum Act {
    Start,
    Stop,
    Kill,
    Pause(u64),
    CutLinks(u64),
    CutStore(u64),
    PauseStore(u64),
    RestartStore,
}

impl Act {
    fn any(random: &mut ChaCha8Rng) -> Self {
        let milliseconds = random.random_range(100..4_000);
        match random.random_range(0..100) {
            0..35 => Self::Start,
            35..45 => Self::Stop,
            45..60 => Self::Kill,
            60..72 => Self::Pause(milliseconds),
            72..84 => Self::CutLinks(milliseconds),
            84..94 => Self::CutStore(milliseconds),
            94..98 => Self::PauseStore(milliseconds.min(2_500)),
            _ => Self::RestartStore,
        }
    }
}

/// A game server whose connections all run through proxies.
struct Host {
    server: Server,
    links: FaultProxy,
    store: FaultProxy,
    heals_at: Option<Instant>,
}

impl Host {
    fn start(redis: &RedisServer, serial: u16) -> Self {
        let [high, low] = serial.to_be_bytes();
        let advertised = Ipv4Addr::new(127, 77, high, low);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(advertised)));
        let links = FaultProxy::start_at((advertised, listen.port()).into(), listen).unwrap();
        let store = FaultProxy::start(redis.address());
        let url = format!("redis://{}", store.address());
        let more = format!("--listen {listen} --advertise {advertised} --recycle-after 2s --drain-timeout 1s");
        let server = Server::ready(server("game", &url, &more).start());
        Self { server, links, store, heals_at: None }
    }

    fn heal(&mut self) {
        self.heals_at = None;
        self.links.set(Fault::Pass);
        self.store.set(Fault::Pass);
        self.server.program.signal("CONT");
    }
}

/// The cluster, and when each of its game servers lived.
struct Chaos {
    redis: RedisServer,
    hosts: Vec<Host>,
    started: u16,
    /// How many servers there were, or had been shortly before, at the worst moment.
    lingering_max: usize,
    gone: Vec<Instant>,
}

impl Chaos {
    fn act(&mut self, act: Act, random: &mut ChaCha8Rng) {
        let chosen = (!self.hosts.is_empty()).then(|| random.random_range(0..self.hosts.len()));
        match (act, chosen) {
            (Act::Start, _) if self.hosts.len() < SERVERS_MAX => {
                self.started += 1;
                self.hosts.push(Host::start(&self.redis, self.started));
            }
            (Act::PauseStore(milliseconds), _) => {
                self.redis.pause();
                std::thread::sleep(Duration::from_millis(milliseconds));
                self.redis.resume();
            }
            (Act::RestartStore, _) => self.redis.restart(),
            (Act::Stop, Some(host)) => {
                let mut host = self.hosts.swap_remove(host);
                host.heal();
                host.server.stop();
                self.gone.push(Instant::now());
            }
            (Act::Kill, Some(host)) => {
                self.hosts.swap_remove(host).server.kill();
                self.gone.push(Instant::now());
            }
            (Act::Pause(milliseconds), Some(host)) => {
                self.hosts[host].server.program.signal("STOP");
                self.heals_in(host, milliseconds);
            }
            (Act::CutLinks(milliseconds), Some(host)) => {
                self.hosts[host].links.set(any_cut(random));
                self.heals_in(host, milliseconds);
            }
            (Act::CutStore(milliseconds), Some(host)) => {
                self.hosts[host].store.set(any_cut(random));
                self.heals_in(host, milliseconds);
            }
            _ => {}
        }
        self.gone.retain(|gone| gone.elapsed() < LINGERING);
        self.lingering_max = self.lingering_max.max(self.hosts.len() + self.gone.len());
    }

    fn heals_in(&mut self, host: usize, milliseconds: u64) {
        self.hosts[host].heals_at = Some(Instant::now() + Duration::from_millis(milliseconds));
    }

    fn heal_who_is_due(&mut self) {
        let due = |host: &&mut Host| host.heals_at.is_some_and(|heals_at| heals_at <= Instant::now());
        self.hosts.iter_mut().filter(due).for_each(Host::heal);
    }
}

fn any_cut(random: &mut ChaCha8Rng) -> Fault {
    [Fault::SwallowAll, Fault::Swallow(Direction::ToTarget), Fault::Freeze, Fault::Cut][random.random_range(0..4)]
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_registry_tells_the_truth_after_any_mix_of_faults() {
    let seed = setting("PINTAIL_TEST_SEED", rand::rng().random_range(0..1_000_000));
    let duration = Duration::from_secs(setting("PINTAIL_TEST_SECONDS", SECONDS));
    println!("PINTAIL_TEST_SEED={seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let redis = RedisServer::start();
    let gateways = [start("gateway", &redis), start("gateway", &redis)];
    let _lobby = start("lobby", &redis);
    let mut chaos = Chaos { redis, hosts: Vec::new(), started: 0, lingering_max: 0, gone: Vec::new() };
    let began = Instant::now();
    while began.elapsed() < duration {
        let act = Act::any(&mut random);
        println!("{:>6} ms {act:?}", began.elapsed().as_millis());
        tokio::task::block_in_place(|| chaos.act(act, &mut random));
        chaos.heal_who_is_due();
        tokio::time::sleep(Duration::from_millis(random.random_range(20..400))).await;
    }
    if chaos.hosts.is_empty() {
        tokio::task::block_in_place(|| chaos.act(Act::Start, &mut random));
    }
    chaos.hosts.iter_mut().for_each(Host::heal);

    every_live_server_has_one_slot(&mut chaos).await;
    games_and_players_are_counted(&gateways[0], &chaos).await;
    let length: usize = Peek::at(chaos.redis.address()).one("LLEN Server:Game").unwrap().parse().unwrap();
    assert!(
        length <= chaos.lingering_max + 1,
        "{length} addresses, for at most {} servers at once",
        chaos.lingering_max
    );
}

/// What `pintail status --all` says of each slot.
fn status(redis: &RedisServer) -> Vec<Value> {
    let output = pintail(["status", "--all", "--json", "--redis", &redis.url()]).output();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    report["servers"].as_array().cloned().unwrap_or_default()
}

/// A server that was cut off from the store looks well until its lease ends: the truth is what lasts for longer.
async fn every_live_server_has_one_slot(chaos: &mut Chaos) {
    let mut expected: Vec<u16> = chaos.hosts.iter().map(|host| host.links.address().port()).collect();
    expected.sort_unstable();
    let mut since = Instant::now();
    until("each live server in one slot, up and taking games", async || {
        if !has_one_slot_each(&expected, &status(&chaos.redis)) {
            since = Instant::now();
        }
        since.elapsed() > 2 * LEASE_TTL
    })
    .await;
}

/// Whether the servers that live are those at these ports, each in one slot, up and taking games.
fn has_one_slot_each(expected: &[u16], servers: &[Value]) -> bool {
    let live =
        servers.iter().filter(|server| server["lease"] == true && server["slot"].as_str().unwrap().contains("Game"));
    let mut found = Vec::new();
    let mut incarnations = BTreeMap::new();
    for server in live {
        let endpoint: SocketAddr = server["endpoint"].as_str().unwrap().parse().unwrap();
        found.push(endpoint.port());
        *incarnations.entry(server["incarnation"].to_string()).or_insert(0) += 1;
        if server["health"] != "up" || server["status"] != "smooth" {
            return false;
        }
    }
    found.sort_unstable();
    found == expected && incarnations.values().all(|&slots| slots == 1)
}

async fn games_and_players_are_counted(gateway: &Server, chaos: &Chaos) {
    let mut players = Vec::new();
    for number in 0..4 {
        let mut player = Player::join(&format!("player {number}"), &[gateway]).await;
        play_echo(&mut player).await;
        player.echo("hello").await;
        players.push(player);
    }
    until("the counts of games and players", async || {
        let sum = |field: &str| -> u64 {
            let servers = status(&chaos.redis);
            let games = servers.iter().filter(|server| server["slot"].as_str().unwrap().contains("Game"));
            games.map(|server| server[field].as_u64().unwrap_or_default()).sum()
        };
        sum("games") == 4 && sum("players") == 4
    })
    .await;
}

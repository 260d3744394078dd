//! What a cluster makes of servers that stall, stick, or can't reach each other.

use std::time::{Duration, Instant};

use pintail::client::RoomState;
use pintail_testkit::{Host, Namespaces, RedisServer};

use crate::support::events::Watcher;
use crate::support::redis::Peek;
use crate::support::{PATIENCE, Player, Server, echo_room, server, soon, start, until};

/// How long nothing must happen to count as nothing: a lease, the look at it, and a gateway's scan.
const QUIET: Duration = Duration::from_secs(5);

fn follow(server: &Server) -> Watcher {
    Watcher::follow(server.admin())
}

/// Waits for an event of this server. Blocks the test's thread, and no server.
fn expect(watcher: &mut Watcher, event: &str, slot: &str, since: Instant) {
    let seen = watcher.wait(since, PATIENCE, |seen| seen.event == event && seen.server == slot);
    assert!(seen.is_some(), "no `{event}` of {slot} among {:#?}", watcher.all());
}

fn count(watcher: &mut Watcher, event: &str, slot: &str) -> usize {
    watcher.all().iter().filter(|seen| seen.event == event && seen.server == slot).count()
}

#[tokio::test]
async fn a_server_that_was_stopped_for_a_while_is_found_down_and_then_used_again_in_its_slot() {
    let redis = RedisServer::start();
    let gateways = [start("gateway", &redis), start("gateway", &redis)];
    let (_lobby, stopped, _other) = (start("lobby", &redis), start("game", &redis), start("game", &redis));
    let mut watchers = gateways.each_ref().map(follow);
    let mut peek = Peek::at(redis.address());
    until("the server in placement", async || peek.takes_games("echo", &stopped.slot)).await;

    let since = Instant::now();
    stopped.program.signal("STOP");
    for watcher in &mut watchers {
        expect(watcher, "suspect", &stopped.slot, since);
        expect(watcher, "down", &stopped.slot, since);
    }
    assert!(!peek.takes_games("echo", &stopped.slot));
    assert_eq!(peek.one(&format!("HGET {} status", stopped.slot)).unwrap(), "0");

    let since = Instant::now();
    stopped.program.signal("CONT");
    for watcher in &mut watchers {
        expect(watcher, "up", &stopped.slot, since);
        for event in ["suspect", "down"] {
            assert_eq!(count(watcher, event, &stopped.slot), 1, "each change once: {:#?}", watcher.all());
        }
    }
    until("the server in placement again", async || peek.takes_games("echo", &stopped.slot)).await;
    assert_eq!(peek.one("LLEN Server:Game").unwrap(), "2");
}

#[tokio::test]
async fn a_newer_server_at_the_same_address_wins() {
    let redis = RedisServer::start();
    let start_at = |listen: &str| server("game", &redis.url(), &format!("--advertise 127.0.66.1 --listen {listen}"));
    let mut older = Server::ready(start_at("127.0.0.1:0").start());
    let port = older.address.port();
    let newer = Server::ready(start_at(&format!("127.0.0.2:{port}")).start());
    assert_eq!(newer.slot, older.slot);
    assert!(!older.program.wait_for_end().success());
    let said = older.program.transcript().join("\n");
    assert!(said.contains("a newer server with this address and port"), "{said}");
    newer.stop();
}

#[tokio::test]
async fn a_killed_server_is_out_of_use_at_every_gateway_and_its_place_is_counted_anew() {
    let redis = RedisServer::start();
    let gateways = [start("gateway", &redis), start("gateway", &redis)];
    let (_lobby, killed) = (start("lobby", &redis), start("game", &redis));
    let mut watchers = gateways.each_ref().map(follow);
    let mut player = Player::join("Ann", &[&gateways[0]]).await;
    crate::support::play_echo(&mut player).await;
    let mut peek = Peek::at(redis.address());
    let mut field = |name: &str| peek.one(&format!("HGET Server:Game:0 {name}")).unwrap();
    until("the counts", async || field("games") == "1" && field("players") == "1").await;

    let since = Instant::now();
    killed.kill();
    for watcher in &mut watchers {
        expect(watcher, "down", "Server:Game:0", since);
        let down = watcher.all().iter().find(|seen| seen.event == "down").unwrap();
        assert!(down.cause.contains("refuse"), "{}", down.cause);
    }
    until("the counts without it", async || field("games") == "0" && field("players") == "0").await;
    player.room("the end", |room| room.state() == RoomState::Wait).await;
}

/// A network of hosts with a cluster on it: Redis, two gateways, a lobby server and three game servers.
struct Network {
    gateways: Vec<(Host, Server)>,
    others: Vec<(Host, Server)>,
    redis: RedisServer,
    _network: Namespaces,
    _redis_host: Host,
}

impl Network {
    /// The network, unless the machine allows none.
    fn start() -> Option<Self> {
        let network = Namespaces::new().inspect_err(|reason| println!("skipped: {reason}")).ok()?;
        let redis_host = network.host();
        let redis = RedisServer::builder().on(&redis_host).start();
        let start = |kind: &str| {
            let host = network.host();
            let line = format!("{kind} --redis {} --listen {}:7000 --admin off", redis.url(), host.ip());
            let http = if kind == "gateway" { " --http 127.0.0.1:0 --lame-duck 0s" } else { "" };
            let program = host
                .command(env!("CARGO_BIN_EXE_pintail"))
                .args(format!("{line}{http}").split_whitespace())
                .env("PINTAIL_CLUSTER_SECRET", "a secret for hosts of this test");
            (host.clone(), Server::ready(program.start()))
        };
        let gateways = vec![start("gateway"), start("gateway")];
        let others = ["lobby", "game", "game", "game"].map(start).into();
        Some(Self { gateways, others, redis, _network: network, _redis_host: redis_host })
    }

    async fn linked(&mut self) {
        for (_, gateway) in &mut self.gateways {
            for (_, other) in &self.others {
                gateway.has_said(&[&format!("link up server={}", other.slot)]).await;
            }
        }
    }

    fn is_in_use(&self, slot: &str) -> bool {
        self.redis.command(&format!("HGET {slot} status")) == "$1\r\n1\r\n"
    }
}

fn told(server: &mut Server, event: &str) -> Vec<String> {
    let lines = server.program.transcript().iter();
    lines.filter(|line| line.contains(&format!("event={event} "))).cloned().collect()
}

#[tokio::test]
async fn a_gateway_that_is_cut_off_from_every_server_accuses_nobody() {
    let Some(mut network) = Network::start() else { return };
    network.linked().await;
    let (alone, _) = &network.gateways[0];
    for (host, _) in &network.others {
        alone.lose_packets_to(host);
    }
    network.gateways[0].1.has_said(&["event=cut-off"]).await;
    tokio::time::sleep(QUIET).await;
    for (_, gateway) in &mut network.gateways {
        assert_eq!(told(gateway, "down"), Vec::<String>::new());
    }
    assert!(network.others.iter().all(|(_, other)| network.is_in_use(&other.slot)));

    let (alone, _) = &network.gateways[0];
    for (host, _) in &network.others {
        alone.reach(host);
    }
    network.gateways[0].1.has_said(&["event=reunited"]).await;
}

#[tokio::test]
async fn a_host_that_is_cut_off_is_down_for_every_gateway_and_comes_back_by_itself() {
    let Some(mut network) = Network::start() else { return };
    network.linked().await;
    let (host, slot) = (network.others[3].0.clone(), network.others[3].1.slot.clone());
    host.cut();
    for (_, gateway) in &mut network.gateways {
        gateway.has_said(&[&format!("server={slot} event=suspect"), &format!("server={slot} event=down")]).await;
    }
    assert!(!network.is_in_use(&slot));
    host.heal();
    for (_, gateway) in &mut network.gateways {
        gateway.has_said(&[&format!("server={slot} event=up")]).await;
    }
    until("its slot in use", async || network.is_in_use(&slot)).await;
}

#[tokio::test]
async fn a_server_that_one_gateway_alone_can_not_reach_gets_no_games_and_is_not_down() {
    let Some(mut network) = Network::start() else { return };
    network.linked().await;
    let slot = network.others[3].1.slot.clone();
    network.gateways[0].0.lose_packets_to(&network.others[3].0);
    network.gateways[0].1.has_said(&[&format!("server={slot} event=suspect")]).await;
    let in_placement = |network: &Network| network.redis.command(&format!("ZSCORE Placement:echo {slot}")) != "$-1\r\n";
    until("the server out of placement", async || !in_placement(&network)).await;
    tokio::time::sleep(QUIET).await;
    assert!(network.is_in_use(&slot) && !in_placement(&network));
    for (_, gateway) in &mut network.gateways {
        assert_eq!(told(gateway, "down"), Vec::<String>::new());
    }
    network.gateways[0].0.reach(&network.others[3].0);
    until("the server in placement", async || in_placement(&network)).await;
}

#[tokio::test]
async fn a_gateway_that_was_stopped_accuses_nobody_when_it_goes_on() {
    let redis = RedisServer::start();
    let gateways = [start("gateway", &redis), start("gateway", &redis)];
    let servers = [start("lobby", &redis), start("game", &redis), start("game", &redis)];
    let mut watchers = gateways.each_ref().map(follow);
    for gateway in &gateways {
        gateway.program.signal("STOP");
    }
    tokio::time::sleep(QUIET).await;
    for gateway in &gateways {
        gateway.program.signal("CONT");
    }
    let mut player = Player::join("Ann", &[&gateways[0]]).await;
    until("a room", async || player.client.create_room(echo_room("{}")).await.is_ok()).await;
    until("a game", async || player.client.start_game().await.is_ok()).await;
    player.attached().await;
    soon("room for an input", player.client.send("hello")).await.unwrap();
    for watcher in &mut watchers {
        for server in &servers {
            assert_eq!(count(watcher, "down", &server.slot), 0, "{:#?}", watcher.all());
        }
    }
}

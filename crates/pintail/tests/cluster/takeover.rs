//! A game server is killed, stopped, drained or cut off from Redis, and its journaled games go on with all that happened
//! in them.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use pintail::client::{CreateRoom, Event, GameDetachReason, RoomState};
use pintail_testkit::{Fault, FaultProxy, Persistence, RedisServer, Sentinels, free_port};

use crate::support::events::Watcher;
use crate::support::{Player, Server, pintail, redis_cli, server, soon, start, until};

/// A cluster with two game servers, and a player in a game on one of them.
struct Stage {
    gateway: Server,
    _lobby: Server,
    servers: Vec<Server>,
    player: Player,
}

impl Stage {
    async fn set(url: &str) -> Self {
        Self::of(url, vec![game_server(url), game_server(url)]).await
    }

    async fn of(url: &str, servers: Vec<Server>) -> Self {
        let [gateway, lobby] = ["gateway", "lobby"].map(|kind| Server::ready(server(kind, url, "").start()));
        let mut player = Player::join("Ann", &[&gateway]).await;
        play(&mut player).await;
        Self { gateway, _lobby: lobby, servers, player }
    }
}

/// A player alone in a game of journaled echo.
async fn play(player: &mut Player) {
    let room = CreateRoom { game: "echo-journaled".to_owned(), ..CreateRoom::default() };
    soon("a room", player.client.create_room(room)).await.unwrap();
    until("a game server", async || player.client.start_game().await.is_ok()).await;
    player.room("the start", |room| room.state() == RoomState::Playing).await;
    player.attached().await;
}

/// A Redis that keeps what it acknowledged.
fn redis() -> RedisServer {
    RedisServer::start_with(Persistence::AppendOnly)
}

fn game_server(url: &str) -> Server {
    Server::ready(server("game", url, "").env("PINTAIL_DRAIN_TIMEOUT", "20s").start())
}

/// The server of the only game that there is, taken out of these.
fn take_owner(redis: &RedisServer, servers: &mut Vec<Server>) -> Server {
    let slot = owner_of(redis);
    let index = servers.iter().position(|server| server.slot == slot);
    servers.remove(index.unwrap_or_else(|| panic!("{slot:?} has the game")))
}

/// The slot that the record of the only running game names.
fn owner_of(redis: &RedisServer) -> String {
    redis_cli(redis, &format!("HGET {} slot", game_key(redis)))
}

fn game_key(redis: &RedisServer) -> String {
    let keys = redis_cli(redis, "KEYS Game:*-1");
    keys.lines().next().expect("there is a game").to_owned()
}

/// Inputs that are sent while nobody may be there come back once and in order.
async fn echoes(player: &mut Player, name: &str, count: usize) {
    for number in 0..count {
        soon("room for an input", player.client.send(format!("{name} {number}"))).await.unwrap();
    }
    for number in 0..count {
        assert_eq!(player.message().await, format!("{name} {number}"));
    }
}

/// What a server's admin port says of a metric of its games.
fn metric(server: &Server, name: &str) -> String {
    let mut stream = TcpStream::connect(server.admin()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let name = format!("pintail_game_{name} ");
    let line = answer.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("no {name}: {answer}"));
    line[name.len()..].to_owned()
}

/// Ends the game; how many inputs it has applied, the one that ends it included.
async fn inputs(player: &mut Player) -> u64 {
    player.client.send("end").await.unwrap();
    let pick = |event| match event {
        Event::GameEnded { result, .. } => Some(result),
        _ => None,
    };
    let result: serde_json::Value = serde_json::from_str(&player.next("the end", pick).await).unwrap();
    result["inputs"].as_u64().unwrap()
}

#[tokio::test]
async fn a_game_goes_on_when_its_server_is_killed_and_loses_nothing() {
    let redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    for round in 0..3 {
        echoes(&mut player, &format!("before kill {round}"), 20).await;
        take_owner(&redis, &mut servers).kill();
        echoes(&mut player, &format!("after kill {round}"), 20).await;
        // A game whose servers die one soon after the other is taken for the one that kills them.
        until("the takeover to count as good", async || {
            redis_cli(&redis, &format!("HGET {} attempts", game_key(&redis))).trim_matches('0').is_empty()
        })
        .await;
        servers.push(game_server(&redis.url()));
    }
    assert_eq!(inputs(&mut player).await, 121, "each input was applied once");
}

#[tokio::test]
async fn a_game_without_any_server_waits_for_one() {
    let redis = redis();
    let (gateway, _lobby) = (start("gateway", &redis), start("lobby", &redis));
    let server = game_server(&redis.url());
    let mut player = Player::join("Ann", &[&gateway]).await;
    play(&mut player).await;
    echoes(&mut player, "before", 5).await;
    server.kill();
    player.next("the pause", |event| matches!(event, Event::GamePaused { .. }).then_some(())).await;
    player.client.send("while nobody is there").await.unwrap();
    until("the game to be set aside", async || redis_cli(&redis, "ZCARD Games:orphaned") == "1").await;
    let _server = game_server(&redis.url());
    assert_eq!(player.message().await, "while nobody is there");
    echoes(&mut player, "after", 5).await;
}

/// As one does that kills its server each time that it is run.
#[tokio::test]
async fn a_game_whose_servers_die_as_soon_as_they_have_it_ends_alone_and_is_kept() {
    let redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 5).await;
    let game = game_key(&redis);
    let mut owner = take_owner(&redis, &mut servers);
    servers.remove(0).stop();
    let is_over = || !redis_cli(&redis, &format!("HGET {game} outcome")).is_empty();
    while !is_over() {
        owner.kill();
        owner = game_server(&redis.url());
        until("the next server to have it, or nobody any more", async || {
            is_over() || owner.program.transcript().iter().any(|line| line.contains("game restored"))
        })
        .await;
    }
    let pick = |event| match event {
        Event::GameDetached { reason, .. } => Some(reason),
        _ => None,
    };
    // Nobody runs the game who could tell its end.
    assert_eq!(player.next("the end", pick).await, GameDetachReason::NoSuchGame);
    let kept = pintail(["replay", "--redis", &redis.url()]).output();
    let id = game.trim_start_matches("Game:");
    assert!(String::from_utf8_lossy(&kept.stdout).contains(id), "{id}: {kept:?}");
    // Nothing is wrong with the server that had to end it.
    soon("leaving the room", player.client.leave_room()).await.unwrap();
    play(&mut player).await;
    echoes(&mut player, "another game", 5).await;
}

#[tokio::test]
async fn the_output_of_a_server_that_was_stopped_while_its_games_were_taken_reaches_nobody() {
    let redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 20).await;
    let mut owner = take_owner(&redis, &mut servers);
    owner.program.signal("STOP");
    // These wait in its socket, and it will read them when it goes on: too late.
    echoes(&mut player, "while it is stopped", 20).await;
    owner.program.signal("CONT");
    owner.has_said(&["not ours"]).await;
    echoes(&mut player, "when it is back", 20).await;
    assert_eq!(owner_of(&redis), servers[0].slot);
    // It is as good as any: it gets the game back when the other one dies.
    until("the server is used again", async || {
        !redis_cli(&redis, &format!("ZSCORE Placement:echo-journaled {}", owner.slot)).is_empty()
    })
    .await;
    servers.remove(0).kill();
    echoes(&mut player, "where it began", 20).await;
}

#[tokio::test]
async fn draining_moves_the_games_at_once_and_loses_nothing() {
    let redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 20).await;
    for round in 0..3 {
        let owner = take_owner(&redis, &mut servers);
        owner.program.signal("TERM");
        let began = Instant::now();
        echoes(&mut player, &format!("during drain {round}"), 50).await;
        let mut program = owner.program;
        assert!(program.wait_for_end().success());
        assert!(began.elapsed() < Duration::from_secs(15), "it does not wait for a game that has moved");
        servers.push(game_server(&redis.url()));
    }
    echoes(&mut player, "after", 20).await;
}

#[tokio::test]
async fn a_rolling_restart_of_everything_under_load_loses_nothing() {
    let redis = redis();
    let gateway = |port| Server::ready(server("gateway", &redis.url(), &format!("--listen 127.0.0.1:{port}")).start());
    let mut gateways: VecDeque<_> = (0..2).map(|_| gateway(free_port(Ipv4Addr::LOCALHOST))).collect();
    let mut lobbies = vec![start("lobby", &redis), start("lobby", &redis)];
    let mut games = vec![game_server(&redis.url()), game_server(&redis.url())];
    let mut players = Vec::new();
    for number in 0..4 {
        let mut player = Player::join(&format!("player {number}"), &[&gateways[0], &gateways[1]]).await;
        play(&mut player).await;
        players.push(player);
    }
    let addresses: Vec<_> = gateways.iter().map(|gateway| gateway.address).collect();
    for (round, address) in addresses.into_iter().enumerate() {
        for player in &mut players {
            echoes(player, &format!("round {round}, game server"), 10).await;
        }
        let next = game_server(&redis.url());
        games.remove(0).stop();
        games.push(next);
        for player in &mut players {
            echoes(player, &format!("round {round}, lobby"), 10).await;
        }
        lobbies.remove(0).stop();
        lobbies.push(start("lobby", &redis));
        for player in &mut players {
            echoes(player, &format!("round {round}, gateway"), 10).await;
        }
        gateways.pop_front().unwrap().stop();
        gateways.push_back(gateway(address.port()));
    }
    for player in &mut players {
        echoes(player, "at the end", 10).await;
    }
}

#[tokio::test]
async fn a_gateway_and_a_game_server_die_together() {
    let redis = redis();
    let (first, second, _lobby) = (start("gateway", &redis), start("gateway", &redis), start("lobby", &redis));
    let mut servers = vec![game_server(&redis.url()), game_server(&redis.url())];
    let mut player = Player::join("Ann", &[&first, &second]).await;
    play(&mut player).await;
    echoes(&mut player, "before", 20).await;
    let owner = take_owner(&redis, &mut servers);
    owner.kill();
    first.kill();
    echoes(&mut player, "after", 20).await;
}

#[tokio::test]
async fn games_go_on_without_protection_while_redis_is_away_and_are_protected_again_when_it_is_back() {
    let mut redis = redis();
    let Stage { mut gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 10).await;
    let owner = take_owner(&redis, &mut servers);
    redis.kill();
    // Held at first, then shown although it is kept nowhere.
    echoes(&mut player, "without Redis", 10).await;
    until("the game to count as unprotected", async || metric(&owner, "unprotected_games") == "1").await;
    redis.restart();
    gateway.has_said(&["Redis is back"]).await;
    echoes(&mut player, "with Redis", 10).await;
    until("the game to be protected again", async || metric(&owner, "unprotected_games") == "0").await;
    owner.kill();
    echoes(&mut player, "with another server", 10).await;
    assert_eq!(inputs(&mut player).await, 41);
}

#[tokio::test]
async fn what_happened_without_protection_is_lost_with_its_server_and_the_game_goes_on() {
    let mut redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 10).await;
    let owner = take_owner(&redis, &mut servers);
    redis.kill();
    echoes(&mut player, "without Redis", 10).await;
    owner.kill();
    redis.restart();
    player
        .next("the game", |event| matches!(event, Event::GameResumed { resynchronised: true, .. }).then_some(()))
        .await;
    echoes(&mut player, "after", 10).await;
    assert_eq!(inputs(&mut player).await, 21, "the ten in the middle are lost");
}

#[tokio::test]
async fn a_game_outlives_a_failover_of_redis_and_then_its_server() {
    let mut master = redis();
    let replicas = [(); 2].map(|()| RedisServer::builder().replica_of(&master).start());
    let sentinels = Sentinels::watching(&master).start();
    sentinels.wait_until_ready(2);
    let url = sentinels.url();
    // For as long as it takes, nothing is shown that is not kept.
    let servers = (0..2).map(|_| Server::ready(server("game", &url, "--store-hold 60s").start())).collect();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::of(&url, servers).await;
    echoes(&mut player, "before", 10).await;
    let owner = take_owner(&replicas[0], &mut servers);
    master.kill();
    echoes(&mut player, "with another master", 10).await;
    owner.kill();
    echoes(&mut player, "with another server", 10).await;
    assert_eq!(inputs(&mut player).await, 31);
}

#[tokio::test]
async fn an_emptied_redis_gets_the_games_back_from_their_servers() {
    let redis = redis();
    let Stage { gateway: _gateway, _lobby, mut servers, mut player } = Stage::set(&redis.url()).await;
    echoes(&mut player, "before", 10).await;
    let owner = take_owner(&redis, &mut servers);
    redis_cli(&redis, "FLUSHALL");
    echoes(&mut player, "after", 10).await;
    until("the game is kept again", async || !redis_cli(&redis, "KEYS Game:*-1:snapshot").is_empty()).await;
    until("the other server is back", async || redis_cli(&redis, "SCARD Orphans") == "0").await;
    until("both servers are known", async || {
        redis_cli(&redis, "ZCARD Placement:echo-journaled").parse::<u32>().is_ok_and(|count| count == 2)
    })
    .await;
    owner.kill();
    echoes(&mut player, "with another server", 10).await;
    assert_eq!(inputs(&mut player).await, 31);
}

#[tokio::test]
async fn a_server_that_is_cut_off_from_redis_alone_loses_its_games_to_another() {
    let redis = redis();
    let proxy = FaultProxy::start(redis.address());
    let (gateway, _lobby) = (start("gateway", &redis), start("lobby", &redis));
    let cut_off = Server::ready(server("game", &redis.url_by_way_of(proxy.address()), "").start());
    let mut player = Player::join("Ann", &[&gateway]).await;
    play(&mut player).await;
    echoes(&mut player, "before", 10).await;
    let other = game_server(&redis.url());
    let mut watcher = Watcher::follow(gateway.admin());
    let since = Instant::now();
    proxy.set(Fault::SwallowAll);
    echoes(&mut player, "after", 10).await;
    assert_eq!(owner_of(&redis), other.slot);
    let seen = watcher.wait(since, Duration::from_secs(30), |seen| seen.event == "down" && seen.server == cut_off.slot);
    assert!(seen.is_some(), "its lease ran out");
    echoes(&mut player, "later", 10).await;
}

//! Redis is away, in each of its ways: the games go on, what needs it is refused in time, and all is well again when it
//! is back.

use std::time::{Duration, Instant};

use pintail::client::CallError;
use pintail_testkit::{Fault, FaultProxy, Persistence, RedisServer};

use crate::support::events::Watcher;
use crate::support::{Player, Server, echo_room, play_echo, server, soon, until};

/// How long a call may take that can't succeed: what a gateway waits for a lobby server's answer, and room for a busy
/// machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);

/// How long an outage lasts: longer than a lease, so that every lease runs out.
const OUTAGE: Duration = Duration::from_secs(4);

/// A cluster that reaches its Redis by way of a proxy, a player in a game, and one who is about to make a room.
struct Scene {
    redis: RedisServer,
    proxy: FaultProxy,
    servers: Vec<Server>,
    watcher: Watcher,
    playing: Player,
    idle: Player,
    began: Instant,
}

impl Scene {
    async fn set() -> Self {
        let redis = RedisServer::start_with(Persistence::AppendOnly);
        let proxy = FaultProxy::start(redis.address());
        let url = redis.url_by_way_of(proxy.address());
        let servers: Vec<Server> = ["gateway", "gateway", "lobby", "game", "game"]
            .map(|kind| Server::ready(server(kind, &url, "").start()))
            .into();
        let watcher = Watcher::follow(servers[0].admin());
        let mut playing = Player::join("Ann", &[&servers[0]]).await;
        play_echo(&mut playing).await;
        let idle = Player::join("Bob", &[&servers[0]]).await;
        Self { redis, proxy, servers, watcher, playing, idle, began: Instant::now() }
    }

    /// Plays for as long as an outage lasts.
    async fn play(&mut self) {
        let until = Instant::now() + OUTAGE;
        let mut number = 0;
        while Instant::now() < until {
            self.playing.echo(&format!("input {number}")).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A room can't be made, and whoever wants one is told so in time.
    async fn refuses(&mut self) {
        let call = self.idle.client.create_room(echo_room("{}"));
        let answer = tokio::time::timeout(REFUSED_WITHIN, call).await.expect("an answer in time");
        match answer {
            Err(CallError::Refused { retry, message, .. }) => assert!(retry, "it can succeed later: {message}"),
            other => panic!("it should be refused: {other:?}"),
        }
    }

    /// All that the cluster is for can be done, by those who were there and by someone new.
    async fn is_well(&mut self) {
        self.playing.echo("after").await;
        until("a room", async || self.idle.client.create_room(echo_room("{}")).await.is_ok()).await;
        until("a game", async || self.idle.client.start_game().await.is_ok()).await;
        self.idle.attached().await;
        self.idle.echo("hello").await;
        let mut new = Player::join("Eve", &[&self.servers[1]]).await;
        play_echo(&mut new).await;
        new.echo("hello").await;
        let down: Vec<_> =
            self.watcher.all().iter().filter(|seen| seen.event == "down" && seen.at >= self.began).collect();
        assert!(down.is_empty(), "nobody died: {down:#?}");
    }
}

#[tokio::test]
async fn killed_and_started_again_with_all_that_it_held() {
    let mut scene = Scene::set().await;
    scene.redis.kill();
    scene.play().await;
    scene.refuses().await;
    scene.redis.restart();
    scene.is_well().await;
}

#[tokio::test]
async fn stopped_for_longer_than_a_lease() {
    let mut scene = Scene::set().await;
    scene.redis.pause();
    scene.play().await;
    scene.refuses().await;
    scene.redis.resume();
    scene.is_well().await;
}

#[tokio::test]
async fn out_of_reach() {
    let mut scene = Scene::set().await;
    scene.proxy.set(Fault::SwallowAll);
    scene.play().await;
    scene.refuses().await;
    scene.proxy.set(Fault::Pass);
    scene.is_well().await;
}

#[tokio::test]
async fn read_only() {
    let mut scene = Scene::set().await;
    // A replica of nobody who answers.
    scene.redis.command("REPLICAOF 127.0.0.1 1");
    scene.play().await;
    scene.refuses().await;
    scene.redis.command("REPLICAOF NO ONE");
    scene.is_well().await;
}

#[tokio::test]
async fn out_of_memory() {
    let mut scene = Scene::set().await;
    scene.redis.command("CONFIG SET maxmemory 1");
    scene.play().await;
    scene.refuses().await;
    scene.redis.command("CONFIG SET maxmemory 0");
    scene.is_well().await;
}

#[tokio::test]
async fn slow() {
    let mut scene = Scene::set().await;
    // Far from the second that a call may take: a machine that runs other tests beside this one adds some of its own.
    let half = Duration::from_millis(150);
    scene.proxy.set(Fault::Delay { to_target: half, to_client: half });
    scene.play().await;
    // That long for each command is slow, and no failure.
    let made = soon("a room", scene.idle.client.create_room(echo_room("{}"))).await;
    assert!(made.is_ok(), "{made:?}");
    soon("leaving it", scene.idle.client.leave_room()).await.unwrap();
    scene.proxy.set(Fault::Pass);
    scene.is_well().await;
}

#[tokio::test]
async fn emptied() {
    let mut scene = Scene::set().await;
    scene.redis.command("FLUSHALL");
    scene.play().await;
    let slots: Vec<String> = scene.servers.iter().map(|server| server.slot.clone()).collect();
    for slot in &slots {
        let has_lease = || scene.redis.command(&format!("EXISTS {slot}:lease")) == ":1\r\n";
        until("the registry filled again", async || has_lease()).await;
    }
    scene.is_well().await;
}

impl Drop for Scene {
    /// A test that fails shows what the servers said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in &mut self.servers {
                println!("--- {}\n{}", server.slot, server.program.transcript().join("\n"));
            }
        }
    }
}

//! A cluster of `pintail` processes on a Redis of its own, and players in it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod bench;
pub mod events;
pub mod redis;

use std::net::SocketAddr;
use std::time::Duration;

use pintail::client::{Address, Client, ClientConfig, CreateRoom, Event, Events, Room, RoomState};
use pintail_testkit::{Program, ProgramBuilder, RedisServer};

/// How long anything may take before a test gives up. Far more than it needs, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a future, but not for ever.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A whole cluster in one process on free ports, ready, and where its gateway takes players: over TCP, and over HTTP.
pub fn dev(more: &str) -> (Program, [String; 2]) {
    let ports = "dev --listen 127.0.0.1:0 --http 127.0.0.1:0".split(' ');
    let mut cluster = pintail(ports.chain(more.split_whitespace())).start();
    let line = cluster.wait_for("Server:Gateway:0");
    cluster.wait_for("ready;");
    let column = |column| line.split_whitespace().nth(column).unwrap().to_owned();
    (cluster, [column(1), column(2)])
}

/// A server process that is ready.
pub struct Server {
    pub slot: String,
    pub address: SocketAddr,
    admin: Option<SocketAddr>,
    pub program: Program,
}

impl Server {
    /// Waits for a server to say that it is ready.
    pub fn ready(mut program: Program) -> Self {
        let line = program.wait_for("ready: Server:");
        let mut words = line.split("ready: ").nth(1).unwrap().split([' ', ',']);
        let slot = words.next().unwrap().to_owned();
        let address = |word: &str| word.strip_prefix("tls://").unwrap_or(word).parse().ok();
        let address = words.find_map(address).unwrap_or_else(|| panic!("{line}"));
        let admin = line.split("metrics http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        Self { slot, address, admin, program }
    }

    /// Where its admin port listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin.unwrap_or_else(|| panic!("{} has no admin port", self.slot))
    }

    /// Waits until the server has said all of these, before it was ready or since.
    pub async fn has_said(&mut self, texts: &[&str]) {
        until("what the server should say", async || {
            let said = self.program.transcript().join("\n");
            texts.iter().all(|text| said.contains(text))
        })
        .await;
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.program.signal("KILL");
        self.program.wait_for_end();
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        self.program.signal("TERM");
        assert!(self.program.wait_for_end().success(), "{}: {:?}", self.slot, self.program.transcript());
    }
}

pub fn pintail<'a>(arguments: impl IntoIterator<Item = &'a str>) -> ProgramBuilder {
    Program::new(env!("CARGO_BIN_EXE_pintail")).args(arguments)
}

/// A server of this kind on free ports, about to start.
pub fn server(kind: &str, redis: &str, more: &str) -> ProgramBuilder {
    let ports = if more.contains("--listen") { "" } else { "--listen 127.0.0.1:0" };
    let http = if kind == "gateway" { "--http 127.0.0.1:0" } else { "" };
    let line = format!("{kind} --redis {redis} --admin 127.0.0.1:0 {ports} {http} {more}");
    // Nobody balances loads here, and few tests want to wait for games that have no end.
    pintail(line.split_whitespace()).env("PINTAIL_LAME_DUCK", "0s").env("PINTAIL_DRAIN_TIMEOUT", "1s")
}

/// Starts a server and waits until it is ready.
pub fn start(kind: &str, redis: &RedisServer) -> Server {
    Server::ready(server(kind, &redis.url(), "").start())
}

/// Runs a command on a Redis and gives its answer as text, an element a line.
pub fn redis_cli(redis: &RedisServer, command: &str) -> String {
    let address = redis.address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let output = std::process::Command::new("redis-cli")
        .args(["-h", &host, "-p", &port])
        .args(command.split_whitespace())
        .output()
        .expect("redis-cli comes with redis-server");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A logged-in player.
pub struct Player {
    pub client: Client,
    pub events: Events,
}

impl Player {
    /// Logs in at the first of these gateways; the others are for when it is gone.
    pub async fn join(name: &str, gateways: &[&Server]) -> Self {
        let addresses: Vec<Address> =
            gateways.iter().map(|gateway| gateway.address.to_string().parse().unwrap()).collect();
        let config = ClientConfig { first_address: Some(0), ..ClientConfig::new(addresses, name) };
        let (client, events) = soon("the login", Client::connect(config)).await.unwrap();
        Self { client, events }
    }

    /// The next event that `pick` takes.
    pub async fn next<T>(&mut self, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let event = self.events.next().await.unwrap_or_else(|| panic!("the client ended before {what}"));
                if let Event::Ended(why) = &event {
                    panic!("the client ended before {what}: {why}");
                }
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
    }

    /// Waits until the player's room is as wanted.
    pub async fn room(&mut self, what: &str, mut wanted: impl FnMut(&Room) -> bool) -> Room {
        self.next(what, |event| match event {
            Event::Room(room) if wanted(&room) => Some(room),
            _ => None,
        })
        .await
    }

    pub async fn attached(&mut self) {
        self.next("the game", |event| matches!(event, Event::GameAttached { .. }).then_some(())).await;
    }

    /// Waits for the next reliable message of the game.
    pub async fn message(&mut self) -> bytes::Bytes {
        let pick = |event| match event {
            Event::GameMessage { payload, .. } => Some(payload),
            _ => None,
        };
        self.next("a message", pick).await
    }

    /// Sends a payload to the echo game and waits until it comes back.
    pub async fn echo(&mut self, payload: &str) {
        soon("room for an input", self.client.send(payload.to_owned())).await.unwrap();
        assert_eq!(self.message().await, payload.as_bytes());
    }
}

/// A room for the echo game, all by oneself, started and attached.
pub async fn play_echo(player: &mut Player) -> Room {
    soon("a room", player.client.create_room(echo_room("{}"))).await.unwrap();
    until("a game server", async || player.client.start_game().await.is_ok()).await;
    let room = player.room("the start", |room| room.state() == RoomState::Playing).await;
    player.attached().await;
    room
}

pub fn echo_room(settings: &str) -> CreateRoom {
    CreateRoom { game: "echo".to_owned(), settings: settings.to_owned(), ..CreateRoom::default() }
}

//! Lobby servers on one store, game servers that exist in the registry only, and gateways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use pintail_core::{
    ClusterSecret, Durability, EndOutcome, EndReason, Endpoint, GameCatalog, GameId, GameType, GameTypeInfo,
    Incarnation, Kind, Slot, Status,
};
use pintail_lobby::{LobbyConfig, LobbyServer};
use pintail_net::{Membership, MembershipConfig, RoleError, ServerConfig, Vitals};
use pintail_store::{Announcement, EmbeddedStore, Games, Registry};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::faults::FaultyStore;
use crate::gateway::Gateway;

/// How long anything that must happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const CLUSTER: &str = "test";

pub(crate) struct Cluster {
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) lobbies: Vec<Lobby>,
    gateways: AtomicU32,
    game_ports: AtomicU16,
    away_grace: Duration,
}

pub(crate) struct Lobby {
    pub(crate) endpoint: Endpoint,
    pub(crate) slot: Slot,
    pub(crate) admin: std::net::SocketAddr,
    pub(crate) faults: Arc<FaultyStore>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RoleError>>,
}

impl Lobby {
    /// Ends it as a crash does.
    pub(crate) fn crash(&self) {
        self.task.abort();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits for its end, in good order.
    pub(crate) async fn ended(self) {
        timeout(DEADLINE, self.task).await.expect("it stops in time").unwrap().unwrap();
    }

    /// What its `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await
    }

    /// What a page of its admin port says.
    pub(crate) async fn get(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

pub(crate) fn secret() -> ClusterSecret {
    ClusterSecret::new(b"a secret for tests only")
}

fn catalog() -> Arc<GameCatalog> {
    let mut catalog = GameCatalog::default();
    for (name, players) in [("gomoku", 2..=2), ("arena", 2..=10)] {
        catalog.insert(GameTypeInfo {
            name: GameType::new(name).unwrap(),
            players,
            durability: Durability::Journaled,
            check_settings: Arc::new(|settings| {
                if settings.contains("impossible") { Err("that is impossible".to_owned()) } else { Ok(()) }
            }),
        });
    }
    Arc::new(catalog)
}

impl Cluster {
    pub(crate) async fn of_lobbies(count: usize) -> Self {
        Self::with_grace(count, Duration::from_secs(30)).await
    }

    pub(crate) async fn with_grace(count: usize, away_grace: Duration) -> Self {
        let mut cluster = Self {
            store: Arc::new(EmbeddedStore::new()),
            lobbies: Vec::new(),
            gateways: AtomicU32::new(0),
            game_ports: AtomicU16::new(1),
            away_grace,
        };
        for _ in 0..count {
            cluster.add_lobby().await;
        }
        cluster
    }

    pub(crate) async fn add_lobby(&mut self) {
        let server = ServerConfig {
            timing: pintail_net::Timing::default(),
            cluster: CLUSTER.to_owned(),
            secret: secret(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            admin: Some("127.0.0.1:0".parse().unwrap()),
            admin_token: None,
            otlp: None,
            version: "0".to_owned(),
        };
        let config = LobbyConfig { away_grace: self.away_grace, ..LobbyConfig::new(server, catalog()) };
        let faults = FaultyStore::new(self.store.clone());
        let server = LobbyServer::bind(config, faults.clone()).await.unwrap();
        let (endpoint, admin) = (server.endpoint(), server.admin_addr().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        let slot = eventually("the lobby registers", async || {
            let servers = self.store.scan(Kind::Lobby).await.unwrap();
            servers.into_iter().flatten().find(|server| server.endpoint == endpoint).map(|server| server.slot)
        })
        .await;
        self.lobbies.push(Lobby { endpoint, slot, admin, faults, stop, task });
    }

    /// A gateway with a link to one lobby server.
    pub(crate) async fn gateway(&self, lobby: usize) -> Gateway {
        let index = self.gateways.fetch_add(1, Ordering::Relaxed);
        Gateway::dial(Slot::new(Kind::Gateway, index), &self.lobbies[lobby]).await
    }

    /// A game server as the registry knows it: it takes games and does nothing with them.
    pub(crate) async fn game_server(&self) -> GameServer {
        let endpoint = Endpoint::new([127, 0, 0, 1].into(), self.game_ports.fetch_add(1, Ordering::Relaxed));
        let announcement = Announcement {
            kind: Kind::Game,
            endpoint,
            incarnation: Incarnation::random(),
            capacity: 1000,
            game_types: vec![GameType::new("gomoku").unwrap(), GameType::new("arena").unwrap()],
            version: "0".to_owned(),
            admin_port: None,
            http_port: None,
        };
        let config = MembershipConfig {
            announcement,
            cluster: CLUSTER.to_owned(),
            timing: pintail_net::Timing::default(),
            events: pintail_net::Events::default(),
            cut_off: Arc::default(),
        };
        let vitals =
            || Vitals { status: Status::Smooth, cause: String::new(), pulse: pintail_net::Pulse::Steady, players: 0 };
        let (membership, events) = Membership::start(self.store.clone(), config, vitals);
        eventually("the game server registers", async || membership.identity().borrow().clone()).await;
        GameServer { _membership: membership, events }
    }

    /// Ends a game as its server would.
    pub(crate) async fn end_game(&self, game: GameId) {
        let record = self.store.game(game).await.unwrap().expect("the game is placed");
        let result = r#"{"winner":"ada"}"#.to_owned();
        let outcome = EndOutcome { reason: EndReason::Finished, result, message: String::new() };
        assert!(self.store.end_game(game, record.owner, &outcome).await.unwrap());
    }
}

pub(crate) struct GameServer {
    _membership: Membership,
    events: tokio::sync::mpsc::Receiver<pintail_net::MemberEvent>,
}

impl GameServer {
    /// The next letter that it gets.
    pub(crate) async fn letter(&mut self) -> pintail_store::Letter {
        let letter = async {
            loop {
                let event = self.events.recv().await.expect("the membership lives");
                if let pintail_net::MemberEvent::Notice(pintail_store::Notice::Letter(letter)) = event {
                    return letter;
                }
            }
        };
        timeout(DEADLINE, letter).await.expect("a letter comes")
    }
}

/// Waits until something is there.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, seen).await.unwrap_or_else(|_| panic!("this did not happen: {what}"))
}

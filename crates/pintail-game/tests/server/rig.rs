//! A game server on a store, and a gateway played by the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::LINK_OUTBOX_BYTES_MAX;
use pintail_core::{
    ClusterSecret, Durability, GameId, Incarnation, Kind, PlayerName, RoomId, Round, Seq, SessionId, Slot,
};
use pintail_game::{GameConfig, GameServer, GameTypes};
use pintail_net::{Identity, Outbox, RoleError, ServerConfig, TcpConnection, dial};
use pintail_store::{EmbeddedStore, GameOrder, GameRecord, OrderedPlayer, PlaceOutcome, ServerRecord, SharedStore};
use pintail_wire::client::{GameAttached, GameDetached, GameEnded};
use pintail_wire::deliver::Deliver;
use pintail_wire::link::Attach;
use pintail_wire::{Frame, Message as _, game, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const ANN: SessionId = SessionId(1);
pub(crate) const BOB: SessionId = SessionId(2);
pub(crate) const LOBBY: Slot = Slot::new(Kind::Lobby, 0);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it happens in time")
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    soon(async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

pub(crate) struct Server {
    pub(crate) store: SharedStore,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), RoleError>>,
    pub(crate) endpoint: pintail_core::Endpoint,
    pub(crate) admin: SocketAddr,
}

impl Server {
    pub(crate) async fn start(types: GameTypes) -> Self {
        Self::start_on(Arc::new(EmbeddedStore::new()), types, Duration::ZERO).await
    }

    pub(crate) async fn start_on(store: SharedStore, types: GameTypes, drain_timeout: Duration) -> Self {
        Self::start_with(store, types, |config| config.drain_timeout = drain_timeout).await
    }

    /// A server whose settings the test changes.
    pub(crate) async fn start_with(store: SharedStore, types: GameTypes, change: impl FnOnce(&mut GameConfig)) -> Self {
        let server = ServerConfig {
            timing: pintail_net::Timing::default(),
            cluster: "test".to_owned(),
            secret: ClusterSecret::loopback(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            admin: Some("127.0.0.1:0".parse().unwrap()),
            admin_token: None,
            otlp: None,
            version: "test".to_owned(),
        };
        let mut config = GameConfig::new(server, Arc::new(types));
        config.drain_timeout = Duration::ZERO;
        change(&mut config);
        let server = GameServer::bind(config, store.clone()).await.unwrap();
        let (endpoint, admin) = (server.endpoint(), server.admin_addr().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { store, stop, task, endpoint, admin }
    }

    /// What the registry says of it.
    pub(crate) async fn record(&self) -> ServerRecord {
        self.find_record().await.expect("it is registered")
    }

    pub(crate) async fn find_record(&self) -> Option<ServerRecord> {
        let servers = self.store.scan(Kind::Game).await.unwrap();
        servers.into_iter().flatten().find(|server| server.endpoint == self.endpoint)
    }

    /// A game for Ann and Bob.
    pub(crate) fn order(&self, game_type: &str, room: u64, settings: &str) -> GameOrder {
        let player = |session, name| OrderedPlayer { session, name: PlayerName::new(name).unwrap() };
        GameOrder {
            id: GameId { room: RoomId(room), round: Round(1) },
            game_type: game_type.parse().unwrap(),
            durability: if game_type.ends_with("-journaled") { Durability::Journaled } else { Durability::Ephemeral },
            settings: settings.to_owned(),
            players: vec![player(ANN, "Ann"), player(BOB, "Bob")],
            seed: 3,
            lobby: LOBBY,
            trace: None,
        }
    }

    /// Places a game once the server can take it.
    pub(crate) async fn place(&self, game_type: &str, room: u64) -> GameId {
        self.place_with(game_type, room, "").await
    }

    pub(crate) async fn place_with(&self, game_type: &str, room: u64, settings: &str) -> GameId {
        let order = self.order(game_type, room, settings);
        until(async || match self.store.place(&order).await {
            Ok(PlaceOutcome::Placed(_)) => Some(()),
            _ => None,
        })
        .await;
        order.id
    }

    pub(crate) async fn link(&self) -> Gateway {
        let slot = until(async || self.find_record().await).await.slot;
        let incarnation = Incarnation::random();
        let me = Identity { cluster: "test".to_owned(), slot: Slot::new(Kind::Gateway, 0), incarnation };
        let expected = (slot, None);
        let secret = ClusterSecret::loopback();
        let endpoint = self.endpoint;
        let (connection, _) = until(async || dial::dial(endpoint, &secret, &me, expected).await.ok()).await;
        Gateway { connection, outbox: Outbox::new(LINK_OUTBOX_BYTES_MAX), ready: Vec::new() }
    }

    pub(crate) async fn outcome(&self, id: GameId) -> GameRecord {
        until(async || self.store.game(id).await.unwrap().filter(|record| record.outcome.is_some())).await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// A client frame that came out of a link.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) session: SessionId,
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

pub(crate) struct Gateway {
    pub(crate) connection: TcpConnection,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) ready: Vec<Delivered>,
}

impl Gateway {
    pub(crate) fn send(&self, kind: u8, parts: &[&[u8]]) {
        self.outbox.push(kind, parts).unwrap();
    }

    pub(crate) fn attach(&self, session: SessionId, generation: u64, id: GameId, received: u64) {
        let (room, round) = (id.room.0, id.round.0);
        let attach = Attach { session: session.0, generation, room, round, received, step_seen: 0, acknowledged: 0 };
        self.send(kind::link::ATTACH, &[&attach.encode_to_vec()]);
    }

    pub(crate) fn input(&self, session: SessionId, id: GameId, seq: u64, ack: u64, payload: &[u8]) {
        let header = game::Input::header(id, Seq(seq), Seq(ack));
        self.send(kind::link::INPUT, &[&session.0.to_be_bytes(), &header, payload]);
    }

    /// The next frame of the link itself; None when it is over.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        soon(self.connection.recv(&self.outbox)).await.unwrap()
    }

    /// The next frame for a client. What else the link says does not count.
    pub(crate) async fn delivered(&mut self) -> Delivered {
        while self.ready.is_empty() {
            let frame = self.frame().await.expect("the link is open");
            if matches!(frame.kind, kind::link::GAMES_HERE | kind::link::HEARTBEAT_ANSWER) {
                continue;
            }
            self.take(frame);
        }
        self.ready.remove(0)
    }

    /// Takes the client frames out of a link's.
    pub(crate) fn take(&mut self, frame: Frame) {
        assert_eq!(frame.kind, kind::link::DELIVER);
        let deliver = Deliver::decode(frame.body).unwrap();
        for (session, head) in deliver.recipients() {
            let body = Bytes::from([head, &deliver.shared].concat());
            self.ready.push(Delivered { session, kind: deliver.client_kind, body });
        }
    }

    /// The next frame for a client that is more than an acknowledgement.
    pub(crate) async fn told(&mut self) -> Delivered {
        loop {
            let delivered = self.delivered().await;
            if delivered.kind != kind::client::GAME_ACKED {
                return delivered;
            }
        }
    }

    /// Attaches as often as it takes: the server may be busy, or not have the game yet.
    pub(crate) async fn attach_in_time(
        &mut self,
        session: SessionId,
        generation: u64,
        id: GameId,
        received: u64,
    ) -> GameAttached {
        loop {
            self.attach(session, generation, id, received);
            let delivered = self.told().await;
            match delivered.kind {
                kind::client::GAME_ATTACHED => return GameAttached::decode(delivered.body).unwrap(),
                kind::client::GAME_DETACHED => {
                    assert!(GameDetached::decode(delivered.body).unwrap().retry);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                other => panic!("kind {other}"),
            }
        }
    }

    pub(crate) async fn attached(&mut self) -> GameAttached {
        let delivered = self.told().await;
        assert_eq!(delivered.kind, kind::client::GAME_ATTACHED, "{delivered:?}");
        GameAttached::decode(delivered.body).unwrap()
    }

    /// The next reliable message: for whom, its number, its payload. Acknowledgements alone don't count.
    pub(crate) async fn message(&mut self) -> (SessionId, u64, Bytes) {
        let delivered = self.told().await;
        assert_eq!(delivered.kind, kind::client::GAME_MESSAGE, "{delivered:?}");
        let message = game::Reliable::decode(delivered.body).unwrap();
        (delivered.session, message.seq.0, message.payload)
    }

    pub(crate) async fn ended(&mut self) -> (SessionId, GameEnded) {
        let delivered = self.delivered().await;
        assert_eq!(delivered.kind, kind::client::GAME_ENDED, "{delivered:?}");
        let message = game::Reliable::decode(delivered.body).unwrap();
        (delivered.session, GameEnded::decode(message.payload).unwrap())
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

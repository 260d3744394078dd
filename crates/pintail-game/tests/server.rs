//! A game server as a whole: real links over TCP, the embedded store, and a gateway played by the test.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as sync;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::LINK_OUTBOX_BYTES_MAX;
use pintail_core::{
    ClusterSecret, Durability, GameId, Incarnation, Kind, PlayerName, RoomId, Round, Seq, SessionId, Slot,
};
use pintail_echo::Echo;
use pintail_game::{Context, Game, GameConfig, GameServer, GameTypes, Player, Refusal, Rules};
use pintail_net::{Identity, Outbox, RoleError, ServerConfig, TcpConnection, dial};
use pintail_store::{
    Announcement, EmbeddedStore, EndReason, GameOrder, GameRecord, Letter, OrderedPlayer, PlaceOutcome, SharedStore,
};
use pintail_wire::client::{GameAttached, GameDetachReason, GameDetached, GameEndReason, GameEnded};
use pintail_wire::deliver::Deliver;
use pintail_wire::link::Attach;
use pintail_wire::{Frame, Message as _, game, kind};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);
const ANN: SessionId = SessionId(1);
const BOB: SessionId = SessionId(2);
const LOBBY: Slot = Slot::new(Kind::Lobby, 0);

/// Waits for something that must happen.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it happens in time")
}

/// Looks again and again until there is something to see.
async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
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

struct Server {
    store: SharedStore,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RoleError>>,
    endpoint: pintail_core::Endpoint,
    admin: SocketAddr,
}

impl Server {
    async fn start(types: GameTypes) -> Self {
        let store: SharedStore = Arc::new(EmbeddedStore::new());
        let server = ServerConfig {
            cluster: "test".to_owned(),
            secret: ClusterSecret::loopback(),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            admin: Some("127.0.0.1:0".parse().unwrap()),
            version: "test".to_owned(),
        };
        let mut config = GameConfig::new(server, Arc::new(types));
        config.drain_timeout = Duration::ZERO;
        let server = GameServer::bind(config, store.clone()).await.unwrap();
        let (endpoint, admin) = (server.endpoint(), server.admin_addr().unwrap());
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { store, stop, task, endpoint, admin }
    }

    /// Places a game for Ann and Bob once the server can take it.
    async fn place(&self, game_type: &str, room: u64) -> GameId {
        let player = |session, name| OrderedPlayer { session, name: PlayerName::new(name).unwrap() };
        let id = GameId { room: RoomId(room), round: Round(1) };
        let order = GameOrder {
            id,
            game_type: game_type.parse().unwrap(),
            durability: Durability::Ephemeral,
            settings: String::new(),
            players: vec![player(ANN, "Ann"), player(BOB, "Bob")],
            seed: 3,
            lobby: LOBBY,
        };
        until(async || match self.store.place(&order).await.unwrap() {
            PlaceOutcome::Placed(_) => Some(()),
            _ => None,
        })
        .await;
        id
    }

    async fn link(&self) -> Gateway {
        let incarnation = Incarnation::random();
        let me = Identity { cluster: "test".to_owned(), slot: Slot::new(Kind::Gateway, 0), incarnation };
        let expected = (Slot::new(Kind::Game, 0), None);
        let secret = ClusterSecret::loopback();
        let endpoint = self.endpoint;
        let (connection, _) = until(async || dial::dial(endpoint, &secret, &me, expected).await.ok()).await;
        Gateway { connection, outbox: Outbox::new(LINK_OUTBOX_BYTES_MAX), ready: Vec::new() }
    }

    async fn outcome(&self, id: GameId) -> GameRecord {
        until(async || self.store.game(id).await.unwrap().filter(|record| record.outcome.is_some())).await
    }

    async fn stop(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap().unwrap();
    }
}

/// A client frame that came out of a link.
#[derive(Debug)]
struct Delivered {
    session: SessionId,
    kind: u8,
    body: Bytes,
}

struct Gateway {
    connection: TcpConnection,
    outbox: Arc<Outbox>,
    ready: Vec<Delivered>,
}

impl Gateway {
    fn send(&self, kind: u8, parts: &[&[u8]]) {
        self.outbox.push(kind, parts).unwrap();
    }

    fn attach(&self, session: SessionId, generation: u64, id: GameId, received: u64) {
        let (room, round) = (id.room.0, id.round.0);
        let attach = Attach { session: session.0, generation, room, round, received, step_seen: 0 };
        self.send(kind::link::ATTACH, &[&attach.encode_to_vec()]);
    }

    fn input(&self, session: SessionId, id: GameId, seq: u64, ack: u64, payload: &[u8]) {
        let header = game::Input::header(id, Seq(seq), Seq(ack));
        self.send(kind::link::INPUT, &[&session.0.to_be_bytes(), &header, payload]);
    }

    /// The next frame of the link itself; None when it is over.
    async fn frame(&mut self) -> Option<Frame> {
        soon(self.connection.recv(&self.outbox)).await.unwrap()
    }

    /// The next frame for a client.
    async fn delivered(&mut self) -> Delivered {
        while self.ready.is_empty() {
            let frame = self.frame().await.expect("the link is open");
            assert_eq!(frame.kind, kind::link::DELIVER);
            let deliver = Deliver::decode(frame.body).unwrap();
            for (session, head) in deliver.recipients() {
                let body = Bytes::from([head, &deliver.shared].concat());
                self.ready.push(Delivered { session, kind: deliver.client_kind, body });
            }
        }
        self.ready.remove(0)
    }

    async fn attached(&mut self) -> GameAttached {
        let delivered = self.delivered().await;
        assert_eq!(delivered.kind, kind::client::GAME_ATTACHED, "{delivered:?}");
        GameAttached::decode(delivered.body).unwrap()
    }

    /// The next reliable message: for whom, its number, its payload.
    async fn message(&mut self) -> (SessionId, u64, Bytes) {
        let delivered = self.delivered().await;
        assert_eq!(delivered.kind, kind::client::GAME_MESSAGE, "{delivered:?}");
        let message = game::Reliable::decode(delivered.body).unwrap();
        (delivered.session, message.seq.0, message.payload)
    }

    async fn ended(&mut self) -> (SessionId, GameEnded) {
        let delivered = self.delivered().await;
        assert_eq!(delivered.kind, kind::client::GAME_ENDED, "{delivered:?}");
        let message = game::Reliable::decode(delivered.body).unwrap();
        (delivered.session, GameEnded::decode(message.payload).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_from_its_order_to_its_end() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let id = server.place("echo", 1).await;
    let mut lobby = server.store.subscribe(Some(LOBBY));
    let mut gateway = server.link().await;

    gateway.attach(ANN, 1, id, 0);
    let attached = gateway.attached().await;
    assert_eq!((attached.received, attached.next, attached.game.as_str()), (0, 1, "echo"));
    gateway.input(ANN, id, 1, 0, b"hello");
    assert_eq!(gateway.message().await, (ANN, 1, Bytes::from("hello")));
    gateway.attach(BOB, 1, id, 0);
    gateway.attached().await;
    gateway.input(BOB, id, 1, 0, b"end");
    let mut ended = [gateway.ended().await, gateway.ended().await];
    ended.sort_by_key(|(session, _)| *session);
    assert_eq!(ended.each_ref().map(|(session, _)| *session), [ANN, BOB]);
    assert_eq!(ended[0].1.reason(), GameEndReason::Finished);
    assert_eq!(ended[0].1.result, r#"{"inputs":2}"#);

    let outcome = server.outcome(id).await.outcome.unwrap();
    assert_eq!((outcome.reason, outcome.result.as_str()), (EndReason::Finished, r#"{"inputs":2}"#));
    let is_news = |notice: pintail_store::Notice| notice == pintail_store::Notice::Letter(Letter::GameOver(id));
    while !is_news(soon(lobby.next()).await.unwrap()) {}
    drop(gateway);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_go_on_over_a_new_link() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let id = server.place("echo", 1).await;
    let mut first = server.link().await;
    first.attach(ANN, 1, id, 0);
    first.attached().await;
    first.input(ANN, id, 1, 0, b"one");
    first.input(ANN, id, 2, 0, b"two");
    assert_eq!(first.message().await.2, "one");
    assert_eq!(first.message().await.2, "two");
    // The connection breaks after "one" was shown to the client and "two" was not.
    drop(first);
    let mut second = server.link().await;
    second.attach(ANN, 2, id, 1);
    let attached = second.attached().await;
    assert_eq!((attached.received, attached.next), (2, 2));
    assert_eq!(second.message().await, (ANN, 2, Bytes::from("two")));
    second.input(ANN, id, 2, 2, b"two");
    second.input(ANN, id, 3, 2, b"three");
    assert_eq!(second.message().await, (ANN, 3, Bytes::from("three")), "the second \"two\" counts for nothing");
    drop(second);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_ends_its_games_says_goodbye_and_leaves_the_registry() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let id = server.place("echo", 1).await;
    let mut gateway = server.link().await;
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    server.stop.cancel();
    let (session, ended) = gateway.ended().await;
    assert_eq!((session, ended.reason()), (ANN, GameEndReason::ServerStopped));
    let ack = game::Ack { game: id, ack: Seq(1) };
    gateway.send(kind::link::ACK, &[&ANN.0.to_be_bytes(), &ack.encode()]);
    let frame = gateway.frame().await.expect("a goodbye comes before the end");
    assert_eq!(frame.kind, kind::link::SERVER_GOODBYE);
    assert_eq!(gateway.frame().await, None);
    drop(gateway);
    soon(server.task).await.unwrap().unwrap();
    let record = server.store.game(id).await.unwrap().unwrap();
    assert_eq!(record.outcome.unwrap().reason, EndReason::ServerStopped);
    assert!(server.store.scan(Kind::Game).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_game_is_denied_and_the_admin_port_tells() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let id = server.place("echo", 1).await;
    let mut gateway = server.link().await;
    gateway.attach(ANN, 1, GameId { room: RoomId(404), ..id }, 0);
    let delivered = gateway.delivered().await;
    assert_eq!(delivered.kind, kind::client::GAME_DETACHED);
    assert_eq!(GameDetached::decode(delivered.body).unwrap().reason(), GameDetachReason::NoSuchGame);
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;

    let admin = server.admin;
    let page =
        until(async || Some(get(admin, "/metrics").await).filter(|page| page.contains("pintail_game_games 1"))).await;
    for line in
        ["pintail_game_games_started_total 1", "pintail_game_panics_total 0", "pintail_game_turn_seconds_bucket"]
    {
        assert!(page.contains(line), "{line} in {page}");
    }
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 200"));
    drop(gateway);
    server.stop().await;
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_slot_a_newer_one_took_stops_and_says_so() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    server.place("echo", 1).await;
    let newer = Announcement {
        kind: Kind::Game,
        endpoint: server.endpoint,
        incarnation: Incarnation::random(),
        capacity: 1,
        game_types: Vec::new(),
        version: "newer".to_owned(),
        admin_port: None,
        http_port: None,
    };
    server.store.register(&newer).await.unwrap();
    assert!(matches!(soon(server.task).await.unwrap(), Err(RoleError::Superseded)));
}

/// A game whose handler hangs until the test lets it go on.
#[derive(Serialize, Deserialize)]
struct Stuck;

static STUCK: std::sync::Mutex<Option<(sync::Sender<()>, sync::Receiver<()>)>> = std::sync::Mutex::new(None);

impl Game for Stuck {
    const NAME: &'static str = "stuck";
    const RULES: Rules = Rules::ephemeral();
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {
        let (entered, go_on) = STUCK.lock().unwrap().take().unwrap();
        entered.send(()).unwrap();
        go_on.recv_timeout(DEADLINE).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_game_fails_the_heartbeats_of_its_server() {
    let server = Server::start(GameTypes::new().with::<Stuck>()).await;
    let id = server.place("stuck", 1).await;
    let mut gateway = server.link().await;
    gateway.send(kind::link::HEARTBEAT, &[b"before  "]);
    let answer = gateway.frame().await.unwrap();
    assert_eq!((answer.kind, answer.body), (kind::link::HEARTBEAT_ANSWER, Bytes::from("before  ")));

    let (entered_tx, entered) = sync::channel();
    let (go_on, go_on_rx) = sync::channel();
    *STUCK.lock().unwrap() = Some((entered_tx, go_on_rx));
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    gateway.input(ANN, id, 1, 0, b"x");
    // One call of recv also sends what is queued.
    let silence = timeout(Duration::from_millis(100), gateway.connection.recv(&gateway.outbox)).await;
    assert!(silence.is_err());
    tokio::task::spawn_blocking(move || entered.recv_timeout(DEADLINE).unwrap()).await.unwrap();
    gateway.send(kind::link::HEARTBEAT, &[b"stuck   "]);
    let silence = timeout(Duration::from_millis(300), gateway.connection.recv(&gateway.outbox)).await;
    assert!(silence.is_err(), "nobody answers for a loop that is stuck");
    go_on.send(()).unwrap();
    // The acknowledgement of the input may come first.
    while gateway.frame().await.unwrap().kind != kind::link::HEARTBEAT_ANSWER {}
    drop(gateway);
    server.stop().await;
}

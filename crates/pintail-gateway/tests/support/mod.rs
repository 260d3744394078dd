//! A gateway on real sockets, clients that speak the protocol byte by byte, and servers that do what a test says.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pintail_core::{ClusterSecret, Incarnation, Kind, Slot};
use pintail_gateway::{GatewayConfig, GatewayServer};
use pintail_net::{Identity, LinkEvent, LinkId, LinkListener, Outbox, ServerConfig};
use pintail_store::{Announcement, EmbeddedStore, SharedStore};
use pintail_wire::client::{Error, Login, Welcome};
use pintail_wire::kind::client as kind;
use pintail_wire::kind::link as link_kind;
use pintail_wire::{CLIENT_VERSION, Decoder, Frame, Message, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a future, but not for ever.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub fn server_config() -> ServerConfig {
    ServerConfig {
        cluster: "test".to_owned(),
        secret: ClusterSecret::loopback(),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        admin: Some("127.0.0.1:0".parse().unwrap()),
        version: "test".to_owned(),
    }
}

pub struct TestGateway {
    pub tcp: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub store: SharedStore,
    pub stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TestGateway {
    pub async fn start() -> Self {
        Self::start_on(Arc::new(EmbeddedStore::new())).await
    }

    pub async fn start_on(store: SharedStore) -> Self {
        let config =
            GatewayConfig { server: server_config(), http: Some("127.0.0.1:0".parse().unwrap()), capacity: 1000 };
        let gateway = GatewayServer::bind(config, store.clone()).await.unwrap();
        let (tcp, http) = (gateway.local_addr(), gateway.http_addr().unwrap());
        let admin = gateway.admin_addr().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { gateway.run(token).await.unwrap() });
        let scanned = store.clone();
        until("the gateway's registration", async || {
            let entries = scanned.scan(Kind::Gateway).await.unwrap();
            entries.iter().flatten().any(|record| record.endpoint.port == tcp.port())
        })
        .await;
        Self { tcp, http, admin, store, stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon("the gateway's end", self.task).await.unwrap();
    }

    /// A metric's value.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = http_get(self.admin, "/metrics").await;
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }
}

pub async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon("an HTTP answer", stream.read_to_string(&mut text)).await.unwrap();
    text
}

/// A client that sends whatever a test wants it to.
pub struct RawClient {
    pub stream: TcpStream,
    buffer: BytesMut,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: BytesMut::new() }
    }

    pub async fn log_in(address: SocketAddr, name: &str) -> (Self, Welcome) {
        let mut client = Self::connect(address).await;
        client.send(kind::LOGIN, &login(name, "")).await;
        let welcome = client.welcome().await;
        (client, welcome)
    }

    pub async fn resume(address: SocketAddr, token: &str) -> (Self, Welcome) {
        let mut client = Self::connect(address).await;
        client.send(kind::LOGIN, &login("", token)).await;
        let welcome = client.welcome().await;
        (client, welcome)
    }

    async fn welcome(&mut self) -> Welcome {
        let frame = self.recv().await.expect("a welcome");
        assert_eq!(frame.kind, kind::WELCOME, "{:?}", Error::decode(frame.body));
        Welcome::decode(frame.body).unwrap()
    }

    pub async fn send(&mut self, kind: u8, body: &[u8]) {
        let mut frame = BytesMut::new();
        encode_frame(&mut frame, kind, body);
        self.write(&frame).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` when the gateway has closed the connection.
    pub async fn recv(&mut self) -> Option<Frame> {
        soon("a frame", async {
            loop {
                if let Some(frame) = Decoder::new(1 << 20).decode(&mut self.buffer).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    /// The next frame of this kind.
    pub async fn recv_kind(&mut self, kind: u8) -> Bytes {
        loop {
            let frame = self.recv().await.unwrap_or_else(|| panic!("closed while waiting for a frame of kind {kind}"));
            if frame.kind == kind {
                return frame.body;
            }
        }
    }

    /// The error that ends the connection.
    pub async fn last_error(&mut self) -> Error {
        let error = Error::decode(self.recv_kind(kind::ERROR).await).unwrap();
        assert!(self.recv().await.is_none(), "the connection closes after an error");
        error
    }
}

pub fn login(name: &str, resume_token: &str) -> Vec<u8> {
    Login {
        version: CLIENT_VERSION,
        name: name.to_owned(),
        resume_token: resume_token.to_owned(),
        client: "test".to_owned(),
    }
    .encode_to_vec()
}

/// A lobby or game server that greets, answers heartbeats, and hands everything else to the test.
pub struct FakeServer {
    pub slot: Slot,
    pub incarnation: Incarnation,
    pub events: mpsc::Receiver<(LinkId, Frame)>,
    pub links: watch::Receiver<Vec<(Slot, Arc<Outbox>)>>,
    store: SharedStore,
    stop: CancellationToken,
}

impl FakeServer {
    pub async fn start(kind: Kind, store: SharedStore) -> Self {
        let listener = LinkListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let incarnation = Incarnation::random();
        let endpoint = pintail_net::address::advertised(listener.local_addr(), None).unwrap();
        let announcement = Announcement {
            kind,
            endpoint,
            incarnation,
            capacity: 100,
            game_types: vec!["echo".parse().unwrap()],
            version: "test".to_owned(),
            admin_port: None,
            http_port: None,
        };
        let slot = store.register(&announcement).await.unwrap().slot;
        let identity = Identity { cluster: "test".to_owned(), slot, incarnation };
        let (_, identity) = watch::channel(Some(identity));
        let (events_tx, link_events) = mpsc::channel(1024);
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(ClusterSecret::loopback(), identity, events_tx, stop.clone()));
        let (frames_tx, events) = mpsc::channel(4096);
        let (links_tx, links) = watch::channel(Vec::new());
        tokio::spawn(relay(link_events, frames_tx, links_tx));
        tokio::spawn(keep_alive(store.clone(), slot, incarnation, endpoint, stop.clone()));
        Self { slot, incarnation, events, links, store, stop }
    }

    /// The next frame that is not a heartbeat.
    pub async fn recv(&mut self) -> Frame {
        soon("a link frame", self.events.recv()).await.expect("the server runs").1
    }

    pub async fn recv_kind(&mut self, kind: u8) -> Bytes {
        loop {
            let frame = self.recv().await;
            if frame.kind == kind {
                return frame.body;
            }
        }
    }

    /// Waits for a link and gives what is sent over it.
    pub async fn linked(&mut self) -> Arc<Outbox> {
        soon("a link", self.links.wait_for(|links| !links.is_empty())).await.unwrap();
        self.links.borrow()[0].1.clone()
    }

    /// Stops at once: links close, the registry is told.
    pub async fn stop(self) {
        self.stop.cancel();
        self.store.deregister(self.slot, self.incarnation).await.unwrap();
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn keep_alive(
    store: SharedStore,
    slot: Slot,
    incarnation: Incarnation,
    endpoint: pintail_core::Endpoint,
    stop: CancellationToken,
) {
    let heartbeat = pintail_store::Heartbeat { status: pintail_core::Status::Smooth, players: 0, endpoint };
    while !stop.is_cancelled() {
        store.heartbeat(slot, incarnation, &heartbeat).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn relay(
    mut events: mpsc::Receiver<LinkEvent>,
    frames: mpsc::Sender<(LinkId, Frame)>,
    links: watch::Sender<Vec<(Slot, Arc<Outbox>)>>,
) {
    let mut open: Vec<(LinkId, Slot, Arc<Outbox>)> = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Opened { link, gateway, outbox } => open.push((link, gateway, outbox)),
            LinkEvent::Closed { link } => open.retain(|&(id, ..)| id != link),
            LinkEvent::Frames { link, frames: batch } => {
                for frame in batch {
                    if frame.kind != link_kind::HEARTBEAT {
                        let _ = frames.send((link, frame)).await;
                    } else if let Some((.., outbox)) = open.iter().find(|&&(id, ..)| id == link) {
                        let _ = outbox.push(link_kind::HEARTBEAT_ANSWER, &[&frame.body]);
                    }
                }
            }
        }
        links.send_replace(open.iter().map(|(_, slot, outbox)| (*slot, outbox.clone())).collect());
    }
}

//! A gateway on real sockets, and clients that speak the protocol byte by byte.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs, clippy::unwrap_used)]

pub mod server;
pub mod trouble;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pintail_core::{ClusterSecret, Health, Kind, Slot};
use pintail_gateway::{GatewayConfig, GatewayServer};
use pintail_net::ServerConfig;
use pintail_store::{EmbeddedStore, SharedStore};
use pintail_testkit::Certificates;
use pintail_tls::{ServerIdentity, Stream, Trust};
use pintail_wire::client::{Error, Login, Welcome};
use pintail_wire::kind::client as kind;
use pintail_wire::{CLIENT_VERSION, Decoder, Frame, Message, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use server::FakeServer;

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
        timing: pintail_net::Timing::default(),
        cluster: "test".to_owned(),
        secret: ClusterSecret::loopback(),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
        admin: Some("127.0.0.1:0".parse().unwrap()),
        admin_token: None,
        otlp: None,
        version: "test".to_owned(),
    }
}

/// A gateway that stops as soon as it is told to.
pub fn gateway_config() -> GatewayConfig {
    GatewayConfig {
        http: Some("127.0.0.1:0".parse().unwrap()),
        lame_duck: Duration::ZERO,
        ..GatewayConfig::new(server_config(), 1000)
    }
}

/// What a gateway shows that has these certificates.
pub fn identity(certificates: &Certificates) -> ServerIdentity {
    ServerIdentity::read(&certificates.server_certificate(), &certificates.server_key()).unwrap()
}

/// A connection with TLS, by someone who trusts these.
pub async fn dial_tls(address: SocketAddr, certificates: &Certificates) -> Result<Stream, pintail_tls::HandshakeError> {
    let trust = Trust::in_file(&certificates.ca_file()).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    soon("a TLS handshake", trust.connect("127.0.0.1", socket)).await
}

pub struct TestGateway {
    pub slot: Slot,
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
        Self::start_with(gateway_config(), store).await
    }

    pub async fn start_with(config: GatewayConfig, store: SharedStore) -> Self {
        let gateway = GatewayServer::bind(config, store.clone()).await.unwrap();
        let (tcp, http) = (gateway.local_addr(), gateway.http_addr().unwrap());
        let admin = gateway.admin_addr().unwrap();
        let stop = CancellationToken::new();
        let token = stop.clone();
        let task = tokio::spawn(async move { gateway.run(token).await.unwrap() });
        let mut slot = None;
        until("the gateway's registration", async || {
            let entries = store.scan(Kind::Gateway).await.unwrap();
            let own = entries.iter().flatten().find(|record| record.endpoint.port == tcp.port());
            slot = own.map(|record| record.slot);
            slot.is_some()
        })
        .await;
        Self { slot: slot.unwrap(), tcp, http, admin, store, stop, task }
    }

    /// What the gateway says of itself in the registry.
    pub async fn record(&self) -> pintail_store::ServerRecord {
        record_of(&self.store, self.slot).await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(self) {
        soon("the gateway's end", self.task).await.unwrap();
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon("the gateway's end", self.task).await.unwrap();
    }

    /// The sum of a metric's values over all its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = http_get(self.admin, "/metrics").await;
        let lines = text.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// How a server looks to the gateway: up is one that is linked and of which nothing else is said.
    pub async fn health(&self, slot: Slot) -> Option<Health> {
        let text = http_get(self.admin, "/metrics").await;
        let shows = |health: Health| {
            let line = format!("pintail_gateway_server_unwell{{server=\"{slot}\",health=\"{health}\"}} 1");
            text.lines().any(|there| there == line)
        };
        let shown: Vec<_> = [Health::Up, Health::Suspect, Health::Down].into_iter().filter(|&it| shows(it)).collect();
        assert!(shown.len() <= 1, "{shown:?}");
        if let Some(unwell) = shown.first() {
            return Some(*unwell);
        }
        self.link_age(slot).await.map(|_| Health::Up)
    }

    /// For how long the link to a server has been open, if it is.
    pub async fn link_age(&self, slot: Slot) -> Option<Duration> {
        let tasks = http_get(self.admin, "/debug/tasks").await;
        let (_, body) = tasks.split_once("\r\n\r\n").unwrap();
        let tasks: serde_json::Value = serde_json::from_str(body).unwrap();
        let link = tasks["links"].as_array().unwrap().iter().find(|link| link["server"] == slot.to_string())?;
        Some(Duration::from_secs_f64(link["age_seconds"].as_f64().unwrap()))
    }

    pub async fn until_health(&self, slot: Slot, health: Health) {
        until(&format!("{slot} to be {health}"), async || self.health(slot).await == Some(health)).await;
    }

    /// What has happened to a server, and why, as this gateway tells it.
    pub async fn events(&self, slot: Slot) -> Vec<(String, String)> {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let mut text = String::new();
        // The stream never ends; what has happened comes at once.
        let quiet = Duration::from_millis(150);
        let mut chunk = [0; 4096];
        while let Ok(read) = tokio::time::timeout(quiet, stream.read(&mut chunk)).await {
            match read.unwrap() {
                0 => break,
                count => text.push_str(&String::from_utf8_lossy(&chunk[..count])),
            }
        }
        let of_slot = |event: serde_json::Value| {
            let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (field("server") == slot.to_string()).then(|| (field("event"), field("cause")))
        };
        text.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).filter_map(of_slot).collect()
    }
}

pub async fn record_of(store: &SharedStore, slot: Slot) -> pintail_store::ServerRecord {
    let entries = store.scan(slot.kind).await.unwrap();
    entries.into_iter().flatten().find(|record| record.slot == slot).expect("the slot is in the registry")
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
    pub stream: Stream,
    buffer: BytesMut,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap().into())
    }

    pub fn over(stream: Stream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Logs in over a stream that is there already.
    pub async fn log_in_over(stream: Stream, name: &str) -> (Self, Welcome) {
        let mut client = Self::over(stream);
        client.send(kind::LOGIN, &login(name, "")).await;
        let welcome = client.welcome().await;
        (client, welcome)
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
        self.stream.flush().await.unwrap();
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

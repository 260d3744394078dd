//! Traces, as a collector gets them: one follows a room's start from server to server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use pintail_testkit::RedisServer;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Player, Server, play_echo, server, until};

/// What is read of opentelemetry-proto 1, written down here once more: a collector knows nothing of Pintail's own.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request {
        #[prost(message, repeated, tag = "1")]
        pub(super) resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        pub(super) resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(super) scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Resource {
        #[prost(message, repeated, tag = "1")]
        pub(super) attributes: Vec<KeyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ScopeSpans {
        #[prost(message, repeated, tag = "2")]
        pub(super) spans: Vec<Span>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct KeyValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct AnyValue {
        #[prost(string, tag = "1")]
        pub(super) string_value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        pub(super) span_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub(super) parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        pub(super) name: String,
        #[prost(fixed64, tag = "7")]
        pub(super) start: u64,
        #[prost(fixed64, tag = "8")]
        pub(super) end: u64,
        #[prost(message, repeated, tag = "9")]
        pub(super) attributes: Vec<KeyValue>,
    }
}

/// A span, and the server that tells it.
#[derive(Debug, Clone)]
struct Told {
    service: String,
    span: proto::Span,
}

/// A collector that keeps what it is told.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Told>>>);

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let told = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(told.clone().take(stream));
            }
        });
        (collector, address)
    }

    async fn take(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            head += &line;
        }
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        for spans in proto::Request::decode(&*body).unwrap().resource_spans {
            let attributes = spans.resource.unwrap().attributes;
            let service = value_of(&attributes, "service.name").unwrap();
            let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let told = spans.map(|span| Told { service: service.clone(), span });
            self.0.lock().unwrap().extend(told);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
    }

    /// The trace that ends with the first step of a game, by name of span.
    fn start_of_a_game(&self) -> Option<BTreeMap<String, Told>> {
        let told = self.0.lock().unwrap();
        let last = told.iter().find(|told| told.span.name == "start game")?;
        let of_trace = told.iter().filter(|told| told.span.trace_id == last.span.trace_id);
        Some(of_trace.map(|told| (told.span.name.clone(), told.clone())).collect())
    }
}

fn value_of(attributes: &[proto::KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(attribute.value.clone()?.string_value)
}

fn cluster(redis: &RedisServer, collector: SocketAddr) -> Vec<Server> {
    cluster_that_tells(redis, collector, &["game", "lobby", "gateway"])
}

/// A cluster in which servers of these kinds tell the collector.
fn cluster_that_tells(redis: &RedisServer, collector: SocketAddr, telling: &[&str]) -> Vec<Server> {
    let otlp = format!("--otlp http://{collector}");
    let start = |kind: &str| {
        let more = if telling.contains(&kind) { otlp.as_str() } else { "" };
        Server::ready(server(kind, &redis.url(), more).start())
    };
    ["game", "lobby", "gateway"].map(start).into()
}

#[tokio::test]
async fn one_trace_follows_a_start_from_the_request_to_the_first_step() {
    let redis = RedisServer::start();
    let (collector, address) = Collector::start().await;
    let servers = cluster(&redis, address);
    let mut player = Player::join("Ann", &[&servers[2]]).await;
    play_echo(&mut player).await;
    let mut trace = BTreeMap::new();
    until("the whole trace", async || {
        trace = collector.start_of_a_game().unwrap_or_default();
        trace.len() == 4
    })
    .await;
    let of = |name: &str| trace[name].clone();
    let chain = ["lobby request", "lobby", "place game", "start game"].map(of);
    let services = chain.each_ref().map(|told| told.service.as_str());
    assert_eq!(services, ["pintail-gateway", "pintail-lobby", "pintail-lobby", "pintail-game"]);
    assert!(chain[0].span.parent_span_id.is_empty(), "it begins with the player's request");
    for pair in chain.windows(2) {
        let (parent, child) = (&pair[0].span, &pair[1].span);
        assert_eq!(child.parent_span_id, parent.span_id, "{} is the cause of {}", parent.name, child.name);
        // All servers are on this machine, and have its clock.
        assert!(child.start >= parent.start, "{} begins after {}", child.name, parent.name);
    }
    assert!(chain.iter().all(|told| told.span.end >= told.span.start && told.span.span_id.len() == 8));
    assert_eq!(value_of(&chain[1].span.attributes, "pintail.request").as_deref(), Some("start_game"));
    assert_eq!(value_of(&chain[3].span.attributes, "pintail.game_type").as_deref(), Some("echo"));
    drop(player);
    servers.into_iter().for_each(Server::stop);
}

#[tokio::test]
async fn a_server_without_a_collector_is_left_out_of_a_trace_and_does_not_cut_it() {
    let redis = RedisServer::start();
    let (collector, address) = Collector::start().await;
    let servers = cluster_that_tells(&redis, address, &["game", "gateway"]);
    let mut player = Player::join("Ann", &[&servers[2]]).await;
    play_echo(&mut player).await;
    let mut trace = BTreeMap::new();
    until("the whole trace", async || {
        trace = collector.start_of_a_game().unwrap_or_default();
        trace.len() == 2
    })
    .await;
    assert_eq!(trace["start game"].span.parent_span_id, trace["lobby request"].span.span_id);
    drop(player);
    servers.into_iter().for_each(Server::stop);
}

#[tokio::test]
async fn without_its_collector_a_cluster_plays_on() {
    let redis = RedisServer::start();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut servers = cluster(&redis, nobody);
    let mut player = Player::join("Ann", &[&servers[2]]).await;
    play_echo(&mut player).await;
    player.echo("who cares").await;
    servers[2].has_said(&["the collector takes no traces"]).await;
    let answer = crate::http::get(servers[2].admin(), "/metrics", "").await;
    let dropped =
        answer.text().lines().find_map(|line| line.strip_prefix("pintail_gateway_trace_spans_dropped_total "));
    assert!(dropped.is_some_and(|count| count.parse::<u64>().unwrap() > 0), "{dropped:?}");
    drop(player);
    servers.into_iter().for_each(Server::stop);
}

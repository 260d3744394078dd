//! Clients over TLS.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use pintail_gateway::GatewayConfig;
use pintail_store::EmbeddedStore;
use pintail_testkit::Certificates;
use pintail_tls::{HandshakeError, Refresh, ServerIdentity, Stream};
use pintail_wire::client::{ErrorCode, Goodbye, GoodbyeReason};
use pintail_wire::kind::client as kind;
use pintail_wire::{Message, encode_frame};
use support::{RawClient, TestGateway, dial_tls, gateway_config, identity, login, soon, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message as WsMessage};

async fn start(identity: ServerIdentity) -> TestGateway {
    let config = GatewayConfig { tls: Some(identity), ..gateway_config() };
    TestGateway::start_with(config, Arc::new(EmbeddedStore::new())).await
}

async fn log_in(address: SocketAddr, certificates: &Certificates, name: &str) -> RawClient {
    RawClient::log_in_over(dial_tls(address, certificates).await.unwrap(), name).await.0
}

async fn is_there(client: &mut RawClient) {
    client.send(kind::PING, b"there?").await;
    assert_eq!(client.recv_kind(kind::PONG).await, "there?");
}

/// Everything that an address answers until it closes the connection.
async fn answer(mut stream: Stream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut off may end without a word.
    let _ = soon("the end", stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test]
async fn both_ports_speak_tls_and_players_are_told_goodbye_over_it() {
    let certificates = Certificates::new();
    let gateway = start(identity(&certificates)).await;
    let mut player = log_in(gateway.tcp, &certificates, "tcp").await;
    is_there(&mut player).await;

    let stream = dial_tls(gateway.http, &certificates).await.unwrap();
    let health = answer(stream, b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(health.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&health));

    let stream = dial_tls(gateway.http, &certificates).await.unwrap();
    let builder = ClientBuilder::new().uri("wss://127.0.0.1/ws").unwrap();
    let (mut socket, _) = soon("the WebSocket", builder.connect_on(stream)).await.unwrap();
    let hello = [&[kind::LOGIN][..], &login("wss", "")].concat();
    socket.send(WsMessage::binary(hello)).await.unwrap();
    let welcome = soon("a welcome", socket.next()).await.unwrap().unwrap().into_payload();
    assert_eq!(welcome[0], kind::WELCOME);
    assert_eq!(gateway.metric("pintail_gateway_tls_handshakes_total").await, 3.0);

    gateway.stop().await;
    let goodbye = Goodbye::decode(player.recv_kind(kind::GOODBYE).await).unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
    let mut rest = Vec::new();
    soon("the end", player.stream.read_to_end(&mut rest)).await.expect("the end is said over TLS, too");
    let message = soon("a goodbye", socket.next()).await.unwrap().unwrap().into_payload();
    assert_eq!(message[0], kind::GOODBYE);
}

#[tokio::test]
async fn what_is_no_tls_costs_that_connection_and_no_other() {
    let certificates = Certificates::new();
    let gateway = start(identity(&certificates)).await;
    let mut bystander = log_in(gateway.tcp, &certificates, "bystander").await;
    let mut hello = bytes::BytesMut::new();
    encode_frame(&mut hello, kind::LOGIN, &login("plain", ""));
    let rubbish = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), hello.to_vec(), vec![0x16; 70_000], vec![0; 3]];
    let before = gateway.metric("pintail_gateway_tls_handshakes_total").await;
    for (port, bytes) in
        [gateway.tcp, gateway.http].into_iter().flat_map(|port| rubbish.iter().map(move |it| (port, it)))
    {
        let mut stream = TcpStream::connect(port).await.unwrap();
        // It may be cut off before all is written.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        assert!(answer.first().is_none_or(|&first| first == 0x15), "an alert of TLS at most: {answer:?}");
    }
    until("all to be counted", async || gateway.metric("pintail_gateway_tls_handshakes_total").await == before + 8.0)
        .await;
    is_there(&mut bystander).await;
    gateway.stop().await;
}

#[tokio::test]
async fn rubbish_inside_tls_is_answered_with_its_code() {
    let certificates = Certificates::new();
    let gateway = start(identity(&certificates)).await;
    let mut bystander = log_in(gateway.tcp, &certificates, "bystander").await;
    for (bytes, code) in [
        (&b"\xff\xff\xff\xff\x01"[..], ErrorCode::FrameTooLarge),
        (b"\0\0\0\0", ErrorCode::Malformed),
        (b"\0\0\0\x03\x01\xff\xff", ErrorCode::Malformed),
        (b"\0\0\0\x01\x10", ErrorCode::NotLoggedIn),
        (b"GET / HTTP/1.1\r\n\r\n", ErrorCode::FrameTooLarge),
    ] {
        let mut client = RawClient::over(dial_tls(gateway.tcp, &certificates).await.unwrap());
        client.write(bytes).await;
        assert_eq!(client.last_error().await.code(), code);
    }
    // What is broken on its way is an end without a word.
    let mut tampered = log_in(gateway.tcp, &certificates, "tampered").await;
    let record = [&[0x17, 3, 3, 0, 20][..], &[0xaa; 20]].concat();
    assert_eq!(tampered.stream.tcp().try_write(&record).unwrap(), record.len());
    assert!(tampered.recv().await.is_none());
    is_there(&mut bystander).await;
    gateway.stop().await;
}

/// A certificate's files, to be replaced.
struct Files(TempDir);

impl Files {
    fn put(&self, certificates: &Certificates) {
        for (from, to) in [(certificates.server_certificate(), "tls.crt"), (certificates.server_key(), "tls.key")] {
            let new = self.0.path().join("new");
            std::fs::copy(from, &new).unwrap();
            std::fs::rename(new, self.0.path().join(to)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_while_players_are_connected() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let files = Files(TempDir::new().unwrap());
    files.put(&old);
    let identity = ServerIdentity::read(&files.0.path().join("tls.crt"), &files.0.path().join("tls.key")).unwrap();
    let gateway = start(identity.clone()).await;
    let mut early = log_in(gateway.tcp, &old, "early").await;
    files.put(&new);
    // As the gateway does by itself once a minute.
    assert!(matches!(identity.refresh(), Refresh::Replaced));
    is_there(&mut early).await;
    let refused = dial_tls(gateway.tcp, &old).await;
    assert!(matches!(refused, Err(HandshakeError::Untrusted(_))), "{refused:?}");
    for port in [gateway.tcp, gateway.http] {
        assert!(dial_tls(port, &new).await.is_ok());
    }
    let mut late = log_in(gateway.tcp, &new, "late").await;
    for client in [&mut early, &mut late] {
        is_there(client).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn handshakes_that_are_never_finished_keep_no_player_out() {
    let certificates = Certificates::new();
    let gateway = start(identity(&certificates)).await;
    let mut halves = Vec::new();
    for number in 0..1500 {
        let mut stream = TcpStream::connect(gateway.tcp).await.unwrap();
        // The beginning of a client's first message, or nothing at all.
        if number % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
        }
        halves.push(stream);
    }
    let mut player = log_in(gateway.tcp, &certificates, "player").await;
    is_there(&mut player).await;
    assert!(gateway.metric("pintail_gateway_tls_handshakes_total").await > 1.0, "some had to make room");
    drop(halves);
    gateway.stop().await;
}

//! What a gateway does with clients, good and bad.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, SinkExt, StreamExt};
use pintail_core::limits::{HANDSHAKE_TIMEOUT, LOBBY_REQUEST_BYTES_MAX};
use pintail_gateway::GatewayConfig;
use pintail_store::EmbeddedStore;
use pintail_wire::client::{ErrorCode, GameAttach, Goodbye, GoodbyeReason, LobbyReply, Login, Welcome, lobby_reply};
use pintail_wire::kind::client as kind;
use pintail_wire::{CLIENT_VERSION, Message};
use support::{RawClient, TestGateway, http_get, login, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Message as WsMessage};

/// Every kind of rubbish: what is sent after connecting, and the code that must come back.
#[tokio::test]
async fn rubbish_is_answered_with_its_code_and_others_feel_nothing() {
    let gateway = TestGateway::start().await;
    let (mut bystander, _) = RawClient::log_in(gateway.tcp, "bystander").await;

    let logged_out: [(&str, Vec<u8>, ErrorCode); 8] = [
        ("a giant frame", b"\xff\xff\xff\xff\x01".to_vec(), ErrorCode::FrameTooLarge),
        ("an empty frame", b"\0\0\0\0".to_vec(), ErrorCode::Malformed),
        ("no protobuf", b"\0\0\0\x03\x01\xff\xff".to_vec(), ErrorCode::Malformed),
        ("a frame before the login", b"\0\0\0\x01\x10".to_vec(), ErrorCode::NotLoggedIn),
        ("another version", framed(kind::LOGIN, &Login { version: 99, ..proper() }), ErrorCode::UnsupportedVersion),
        ("no name", framed(kind::LOGIN, &Login { name: " ".to_owned(), ..proper() }), ErrorCode::BadName),
        (
            "no token",
            framed(kind::LOGIN, &Login { resume_token: "x".to_owned(), ..proper() }),
            ErrorCode::BadResumeToken,
        ),
        ("an HTTP request", b"GET / HTTP/1.1\r\n\r\n".to_vec(), ErrorCode::FrameTooLarge),
    ];
    for (what, bytes, code) in logged_out {
        let mut client = RawClient::connect(gateway.tcp).await;
        client.write(&bytes).await;
        let error = client.last_error().await;
        assert_eq!(error.code(), code, "{what}: {}", error.message);
        assert!(!error.message.is_empty());
    }

    let logged_in: [(&str, Vec<u8>, ErrorCode); 6] = [
        ("an unknown kind", b"\0\0\0\x01\x7f".to_vec(), ErrorCode::UnknownKind),
        ("a gateway's kind", b"\0\0\0\x01\x81".to_vec(), ErrorCode::UnknownKind),
        ("a second login", framed(kind::LOGIN, &proper()), ErrorCode::AlreadyLoggedIn),
        ("a request without an id", b"\0\0\0\x04\x10abc".to_vec(), ErrorCode::Malformed),
        ("a short game header", b"\0\0\0\x04\x21abc".to_vec(), ErrorCode::Malformed),
        ("a long ping", [b"\0\0\0\x42\x02".as_slice(), &[0; 65]].concat(), ErrorCode::Malformed),
    ];
    for (what, bytes, code) in logged_in {
        let (mut client, _) = RawClient::log_in(gateway.tcp, "rude").await;
        client.write(&bytes).await;
        let error = client.last_error().await;
        assert_eq!(error.code(), code, "{what}: {}", error.message);
    }

    bystander.send(kind::PING, b"still here?").await;
    assert_eq!(bystander.recv_kind(kind::PONG).await, "still here?");
    gateway.stop().await;
}

fn proper() -> Login {
    Login { version: CLIENT_VERSION, name: "x".to_owned(), ..Login::default() }
}

fn framed(kind: u8, message: &impl Message) -> Vec<u8> {
    let mut frame = bytes::BytesMut::new();
    pintail_wire::encode_frame(&mut frame, kind, &message.encode_to_vec());
    frame.to_vec()
}

#[tokio::test]
async fn a_frame_cut_short_is_told() {
    let gateway = TestGateway::start().await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "short").await;
    client.write(b"\0\0\0\x20\x10half").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.last_error().await.code(), ErrorCode::Malformed);
    gateway.stop().await;
}

#[tokio::test]
async fn the_newer_connection_of_a_player_wins_on_one_gateway_and_across_two() {
    let here = TestGateway::start().await;
    let there = TestGateway::start_on(here.store.clone()).await;
    let (mut first, welcome) = RawClient::log_in(here.tcp, "twice").await;
    assert!(!welcome.resumed);

    let (mut second, resumed) = RawClient::resume(here.tcp, &welcome.resume_token).await;
    assert!(resumed.resumed);
    assert_eq!((resumed.session, resumed.name.as_str()), (welcome.session, "twice"));
    assert_replaced(&mut first).await;

    let (mut third, _) = RawClient::resume(there.tcp, &welcome.resume_token).await;
    assert_replaced(&mut second).await;

    third.send(kind::PING, b"current").await;
    assert_eq!(third.recv_kind(kind::PONG).await, "current");
    here.stop().await;
    there.stop().await;
}

/// The gateway hangs, a client waits in vain for its login's answer, and goes to another one. All here is one thread, so
/// the gateway finds the login and the end of the connection at once, as it does when it goes on.
#[tokio::test]
async fn a_login_whose_client_is_gone_ends_nobody_else_s_connection() {
    let gateway = TestGateway::start().await;
    let (mut player, welcome) = RawClient::log_in(gateway.tcp, "player").await;
    let hello = login("", &welcome.resume_token);
    let mut given_up = std::net::TcpStream::connect(gateway.tcp).unwrap();
    let mut frame = bytes::BytesMut::new();
    pintail_wire::encode_frame(&mut frame, kind::LOGIN, &hello);
    std::io::Write::write_all(&mut given_up, &frame).unwrap();
    drop(given_up);
    until("its end over TCP", async || gateway.metric("pintail_gateway_connections_closed_total").await == 1.0).await;

    let uri = format!("ws://{}/ws", gateway.http);
    let (mut given_up, _) = soon("the handshake", ClientBuilder::new().uri(&uri).unwrap().connect()).await.unwrap();
    let hello = [&[kind::LOGIN], &hello[..]].concat();
    given_up.send(WsMessage::binary(hello)).now_or_never().expect("there is room for it").unwrap();
    drop(given_up);
    until("its end", async || gateway.metric("pintail_gateway_connections_closed_total").await == 2.0).await;

    player.send(kind::PING, b"still here?").await;
    assert_eq!(player.recv().await.unwrap().kind, kind::PONG, "its session is nobody else's");
    gateway.stop().await;
}

/// Each attach may cost a look into the store, and each request the lobby's time.
#[tokio::test]
async fn who_asks_for_more_than_anyone_needs_is_cut_off() {
    let gateway = TestGateway::start().await;
    let attach = |room: u64| framed(kind::GAME_ATTACH, &GameAttach { room, round: 1, ..GameAttach::default() });
    let request = |id: u64| [b"\0\0\0\x09\x10".as_slice(), &id.to_be_bytes()].concat();
    let attaches: Vec<_> = (0..10).flat_map(attach).collect();
    let requests: Vec<_> = (0..40).flat_map(request).collect();
    for asks in [attaches, requests] {
        let (mut client, _) = RawClient::log_in(gateway.tcp, "greedy").await;
        client.write(&asks).await;
        client.send(kind::PING, b"").await;
        client.recv_kind(kind::PONG).await;
        client.write(&asks).await;
        let error = client.last_error().await;
        assert_eq!((error.code(), error.retry), (ErrorCode::TooManyRequests, true), "{}", error.message);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_lobby_request_that_is_too_large_is_refused_and_nothing_else() {
    let gateway = TestGateway::start().await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "verbose").await;
    let ask = |bytes: usize| [&7_u64.to_be_bytes()[..], &vec![0; bytes]].concat();
    client.send(kind::LOBBY_REQUEST, &ask(LOBBY_REQUEST_BYTES_MAX + 1)).await;
    let body = client.recv_kind(kind::LOBBY_REPLY).await;
    assert_eq!(body[..8], 7_u64.to_be_bytes());
    let reply = LobbyReply::decode(&body[8..]).unwrap().reply.unwrap();
    let lobby_reply::Reply::Error(error) = reply else { panic!("{reply:?}") };
    assert_eq!((error.code(), error.retry), (ErrorCode::BadRequest, false), "{}", error.message);
    client.send(kind::LOBBY_REQUEST, &ask(LOBBY_REQUEST_BYTES_MAX)).await;
    client.send(kind::PING, b"").await;
    assert_eq!(client.recv().await.unwrap().kind, kind::PONG);
    gateway.stop().await;
}

async fn assert_replaced(client: &mut RawClient) {
    let goodbye = Goodbye::decode(client.recv_kind(kind::GOODBYE).await).unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::Replaced);
    assert!(!goodbye.reconnect && !goodbye.message.is_empty());
    assert!(client.recv().await.is_none());
}

#[tokio::test]
async fn a_token_is_needed_to_be_someone() {
    let gateway = TestGateway::start().await;
    let (_client, welcome) = RawClient::log_in(gateway.tcp, "someone").await;
    let forged = format!("{}.{}", welcome.resume_token.split('.').next().unwrap(), "0".repeat(32));
    let mut thief = RawClient::connect(gateway.tcp).await;
    thief.send(kind::LOGIN, &login("", &forged)).await;
    assert_eq!(thief.last_error().await.code(), ErrorCode::BadResumeToken);
    gateway.stop().await;
}

#[tokio::test]
async fn a_websocket_client_speaks_frames_without_a_length() {
    let gateway = TestGateway::start().await;
    let uri = format!("ws://{}/ws", gateway.http);
    let (mut socket, _) = soon("the handshake", ClientBuilder::new().uri(&uri).unwrap().connect()).await.unwrap();
    let hello = [&[kind::LOGIN], &login("browser", "")[..]].concat();
    socket.send(WsMessage::binary(hello)).await.unwrap();
    let answer = soon("a welcome", socket.next()).await.unwrap().unwrap().into_payload();
    assert_eq!(answer[0], kind::WELCOME);
    assert_eq!(Welcome::decode(&answer[1..]).unwrap().name, "browser");

    socket.send(WsMessage::text("hello")).await.unwrap();
    let answer = soon("an error", socket.next()).await.unwrap().unwrap().into_payload();
    assert_eq!(answer[0], kind::ERROR);
    let error = pintail_wire::client::Error::decode(&answer[1..]).unwrap();
    assert_eq!(error.code(), ErrorCode::Malformed);
    gateway.stop().await;
}

#[tokio::test]
async fn the_http_port_answers_people_and_load_balancers() {
    let gateway = TestGateway::start().await;
    assert!(http_get(gateway.http, "/").await.contains("Pintail gateway"));
    assert!(http_get(gateway.http, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(http_get(gateway.http, "/readyz").await.starts_with("HTTP/1.1 503"), "no lobby server is linked");
    assert!(http_get(gateway.http, "/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(http_get(gateway.http, "/ws").await.starts_with("HTTP/1.1 426"));
    assert!(http_get(gateway.admin, "/healthz").await.starts_with("HTTP/1.1 200"));
    let _lobby = support::FakeServer::start(pintail_core::Kind::Lobby, gateway.store.clone()).await;
    until("readiness", async || http_get(gateway.http, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    gateway.stop().await;
}

#[tokio::test]
async fn stopping_tells_the_clients_and_leaves_the_registry() {
    let gateway = TestGateway::start().await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "someone").await;
    let store = gateway.store.clone();
    gateway.stop().await;
    let goodbye = Goodbye::decode(client.recv_kind(kind::GOODBYE).await).unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
    assert!(goodbye.reconnect);
    assert!(client.recv().await.is_none());
    let records = store.scan(pintail_core::Kind::Gateway).await.unwrap();
    assert!(records.iter().flatten().all(|record| !record.is_live()), "{records:?}");
}

/// Connections that say nothing, or stop in the middle, on every port.
#[tokio::test]
async fn nobody_holds_up_a_stop() {
    let gateway = TestGateway::start().await;
    let mut held = Vec::new();
    for address in [gateway.tcp, gateway.http, gateway.admin] {
        for words in [&b""[..], b"\0", b"GET /heal"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(words).await.unwrap();
            held.push(stream);
        }
    }
    // Those above were accepted before this one is answered.
    http_get(gateway.http, "/healthz").await;
    http_get(gateway.admin, "/healthz").await;
    let began = Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < HANDSHAKE_TIMEOUT, "{:?}", began.elapsed());
}

#[tokio::test]
async fn logging_out_ends_the_session() {
    let gateway = TestGateway::start().await;
    let (mut client, welcome) = RawClient::log_in(gateway.tcp, "leaver").await;
    client.send(kind::LOGOUT, b"").await;
    let goodbye = Goodbye::decode(client.recv_kind(kind::GOODBYE).await).unwrap();
    assert_eq!(goodbye.reason(), GoodbyeReason::LoggedOut);
    until("the session's end", async || {
        let mut again = RawClient::connect(gateway.tcp).await;
        again.send(kind::LOGIN, &login("", &welcome.resume_token)).await;
        again.recv().await.is_some_and(|frame| frame.kind == kind::ERROR)
    })
    .await;
    gateway.stop().await;
}

/// Few descriptors, for a test; it goes the same way with a million: whoever is in stays, and whoever is not waits.
#[tokio::test]
async fn clients_are_let_in_as_long_as_there_are_descriptors_for_them() {
    let descriptors = 76;
    let places = pintail_net::descriptors::clients_max(descriptors);
    let config = GatewayConfig { descriptors: Some(descriptors), ..support::gateway_config() };
    let gateway = TestGateway::start_with(config, Arc::new(EmbeddedStore::new())).await;
    let mut inside = Vec::new();
    for number in 0..places {
        inside.push(RawClient::log_in(gateway.tcp, &format!("player {number}")).await.0);
    }
    let mut waiting = RawClient::connect(gateway.tcp).await;
    waiting.send(kind::LOGIN, &login("one too many", "")).await;
    until("the door to be shut", async || gateway.metric("pintail_gateway_accept_pauses_total").await == 1.0).await;
    assert_eq!(gateway.metric("pintail_gateway_sessions").await, places as f64);
    for client in &mut inside {
        client.send(kind::PING, b"still in?").await;
        assert_eq!(client.recv_kind(kind::PONG).await, "still in?");
    }
    inside.pop();
    let began = Instant::now();
    assert_eq!(waiting.recv().await.unwrap().kind, kind::WELCOME);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    gateway.stop().await;
}

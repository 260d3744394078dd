//! Logging in, coming back and ending, over real sockets.

use std::time::Duration;

use crate::gateway::{ALL, DEADLINE, Gateway, Peer, Protocol, event, playing_room};
use pintail_client::{
    CallError, Client, ClientConfig, Disconnect, Ended, ErrorCode, Event, Events, GoodbyeReason, ResumeToken,
};
use pintail_wire::client::{Error, Goodbye, lobby_request};
use pintail_wire::kind;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// A client that is logged in, its gateway, and the gateway's end of the connection.
async fn connected(protocol: Protocol) -> (Client, Events, Gateway, Peer, ResumeToken) {
    let gateway = Gateway::start(protocol).await;
    let token = ResumeToken::random();
    let (client, (peer, _)) = tokio::join!(Client::connect(gateway.config()), gateway.welcome(&token));
    let (client, mut events) = client.unwrap();
    let connected = Event::Connected { resumed: false, gateway: "Server:Gateway:0".to_owned() };
    assert_eq!(event(&mut events).await, connected);
    (client, events, gateway, peer, token)
}

#[tokio::test]
async fn a_client_logs_in_and_knows_who_it_is() {
    for protocol in ALL {
        let (client, _events, _gateway, mut peer, token) = connected(protocol).await;
        assert_eq!(client.session(), token.session());
        assert_eq!(client.name(), "Ada");
        assert_eq!(client.resume_token(), token);
        assert_eq!(client.ended(), None);
        let ((), closed) = tokio::join!(client.close(), peer.next());
        assert_eq!(closed, None, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_refused_login_is_an_error_of_connect() {
    for protocol in ALL {
        let gateway = Gateway::start(protocol).await;
        let refuse = async {
            let mut peer = gateway.accept().await;
            peer.expect(kind::client::LOGIN).await;
            let error = Error { code: ErrorCode::BadName.into(), message: "too rude".to_owned(), retry: false };
            peer.send_message(kind::client::ERROR, &error).await;
            peer
        };
        let (client, _peer) = tokio::join!(Client::connect(gateway.config()), refuse);
        let refused = Ended::LoginRefused { code: ErrorCode::BadName, message: "too rude".to_owned() };
        assert_eq!(client.err(), Some(refused));
    }
}

#[tokio::test]
async fn connecting_to_nobody_fails_in_time_and_says_what_it_met() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for scheme in ["tcp", "ws", "tls", "wss"] {
        let mut config = ClientConfig::new([format!("{scheme}://{free}").parse().unwrap()], "Ada");
        config.trust = Gateway::start(Protocol::Tls).await.config().trust;
        config.connect_timeout = Duration::from_millis(300);
        let failed = timeout(DEADLINE, Client::connect(config)).await.unwrap().err();
        let Some(Ended::GaveUp { last: Disconnect::Unreachable { .. }, .. }) = failed else { panic!("{failed:?}") };
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_trusted_is_refused_with_what_to_do() {
    for protocol in [Protocol::Tls, Protocol::WebSocketTls] {
        let (gateway, other) = (Gateway::start(protocol).await, Gateway::start(protocol).await);
        let mut config = gateway.config();
        config.trust = other.config().trust;
        config.connect_timeout = Duration::from_millis(300);
        let server = async {
            loop {
                gateway.turned_down().await;
            }
        };
        let failed = tokio::select! {
            client = Client::connect(config) => client.err(),
            () = server => unreachable!(),
        };
        let Some(Ended::GaveUp { last: Disconnect::Tls { cause, .. }, .. }) = failed else { panic!("{failed:?}") };
        assert!(cause.contains("not trusted") && cause.contains("CA file"), "{cause}");
    }
}

#[tokio::test]
async fn after_a_cut_the_client_resumes_and_its_call_is_answered() {
    for protocol in ALL {
        let (client, mut events, gateway, mut peer, token) = connected(protocol).await;
        let server = async {
            let (id, request) = peer.request().await;
            drop(peer);
            let (mut peer, login) = gateway.welcome(&token).await;
            assert_eq!(login.resume_token, token.to_string());
            assert_eq!(peer.request().await, (id, request), "the same request, under the same id");
            let (check, request) = peer.request().await;
            assert!(matches!(request.request, Some(lobby_request::Request::GetRoom(_))));
            peer.reply(id, Some(playing_room())).await;
            peer.reply(check, Some(playing_room())).await;
            peer
        };
        let (room, _peer) = tokio::join!(client.quick_match("echo", ""), server);
        assert_eq!(room, Ok(playing_room()));
        assert!(matches!(event(&mut events).await, Event::Disconnected { .. }), "{protocol:?}");
        assert!(matches!(event(&mut events).await, Event::Connected { resumed: true, .. }));
        assert_eq!(event(&mut events).await, Event::Room(playing_room()));
    }
}

#[tokio::test]
async fn a_client_turns_to_the_next_gateway() {
    let [first, second] = [Gateway::start(Protocol::Tcp).await, Gateway::start(Protocol::WebSocket).await];
    let token = ResumeToken::random();
    let mut config = first.config();
    config.addresses.push(second.address());
    config.first_address = Some(0);
    let (client, (mut peer, _)) = tokio::join!(Client::connect(config), first.welcome(&token));
    let (_client, mut events) = client.unwrap();
    let stops = Goodbye { reason: GoodbyeReason::Shutdown.into(), message: "draining".to_owned(), reconnect: true };
    peer.send_message(kind::client::GOODBYE, &stops).await;
    let (_peer, login) = second.welcome(&token).await;
    assert_eq!(login.resume_token, token.to_string());
    assert!(matches!(event(&mut events).await, Event::Connected { resumed: false, .. }));
    let why = Disconnect::Goodbye { reason: GoodbyeReason::Shutdown, message: "draining".to_owned() };
    assert_eq!(event(&mut events).await, Event::Disconnected { why });
    assert!(matches!(event(&mut events).await, Event::Connected { resumed: true, .. }));
}

#[tokio::test]
async fn a_restarted_program_resumes_with_its_token() {
    let gateway = Gateway::start(Protocol::Tcp).await;
    let token = ResumeToken::random();
    let config = gateway.config().resuming(token.clone());
    let (client, (mut peer, login)) = tokio::join!(Client::connect(config), gateway.welcome(&token));
    assert_eq!(login.resume_token, token.to_string());
    let (client, _events) = client.unwrap();
    let (check, _) = peer.request().await;
    peer.reply(check, Some(playing_room())).await;
    peer.attach(57, 1).await;
    client.send("x").await.unwrap();
    assert_eq!(peer.input().await.seq.0, 58, "the game has 57 inputs of the earlier life");
}

#[tokio::test]
async fn a_replaced_client_ends_and_so_do_its_calls() {
    let (client, mut events, _gateway, mut peer, _) = connected(Protocol::Tcp).await;
    let server = async {
        peer.request().await;
        let replaced = Goodbye { reason: GoodbyeReason::Replaced.into(), message: String::new(), reconnect: false };
        peer.send_message(kind::client::GOODBYE, &replaced).await;
        assert_eq!(peer.next().await, None);
    };
    let (answer, ()) = tokio::join!(client.room(), server);
    assert_eq!(answer, Err(CallError::Ended(Ended::Replaced)));
    assert_eq!(event(&mut events).await, Event::Ended(Ended::Replaced));
    assert_eq!(timeout(DEADLINE, events.next()).await, Ok(None));
    assert_eq!(client.room().await, Err(CallError::Ended(Ended::Replaced)));
    assert_eq!(client.ended(), Some(Ended::Replaced));
    client.close().await;
}

#[tokio::test]
async fn what_is_no_protocol_costs_the_connection_only() {
    for (protocol, bytes) in [
        (Protocol::Tcp, &b"\xff\xff\xff\xff"[..]),
        (Protocol::Tcp, b"\0\0\0\0"),
        (Protocol::Tcp, b"\0\0\0\x02\x01x"),
        (Protocol::Tcp, b"\0\0\0\x02\xa1x"),
        (Protocol::WebSocket, b"hello"),
        (Protocol::Tls, b"\0\0\0\0"),
        (Protocol::WebSocketTls, b"hello"),
    ] {
        let (_client, mut events, gateway, mut peer, token) = connected(protocol).await;
        peer.send_raw(bytes).await;
        let lost = event(&mut events).await;
        assert!(matches!(lost, Event::Disconnected { why: Disconnect::Malformed(_) }), "{lost:?}");
        let _peer = gateway.welcome(&token).await;
        assert!(matches!(event(&mut events).await, Event::Connected { resumed: true, .. }));
    }
}

#[tokio::test]
async fn a_server_that_is_no_gateway_is_an_error_of_connect() {
    let gateway = Gateway::start(Protocol::Tcp).await;
    let mut config = gateway.config();
    config.connect_timeout = Duration::from_millis(500);
    let server = async {
        loop {
            let mut peer = gateway.accept().await;
            peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    };
    let failed = tokio::select! {
        client = Client::connect(config) => client.err(),
        () = server => unreachable!(),
    };
    let Some(Ended::GaveUp { last: Disconnect::Malformed(_), .. }) = failed else { panic!("{failed:?}") };
}

#[tokio::test]
async fn a_gateway_that_falls_silent_is_left() {
    let gateway = Gateway::start(Protocol::Tcp).await;
    let token = ResumeToken::random();
    let mut config = gateway.config();
    config.ping_interval = Duration::from_millis(100);
    let (client, (mut peer, _)) = tokio::join!(Client::connect(config), gateway.welcome(&token));
    let (_client, mut events) = client.unwrap();
    event(&mut events).await;
    for _ in 0..4 {
        let ping = peer.expect(kind::client::PING).await;
        peer.send(kind::client::PONG, &ping).await;
    }
    let lost = event(&mut events).await;
    assert!(matches!(lost, Event::Disconnected { why: Disconnect::Silent(_) }), "{lost:?}");
    let _peer = gateway.welcome(&token).await;
    assert!(matches!(event(&mut events).await, Event::Connected { resumed: true, .. }));
}

#[tokio::test]
async fn a_call_that_nobody_answers_times_out() {
    let gateway = Gateway::start(Protocol::Tcp).await;
    let mut config = gateway.config();
    config.call_timeout = Duration::from_millis(100);
    let token = ResumeToken::random();
    let (client, _peer) = tokio::join!(Client::connect(config), gateway.welcome(&token));
    let (client, _events) = client.unwrap();
    assert_eq!(timeout(DEADLINE, client.chat("hello?")).await, Ok(Err(CallError::Timeout)));
}

#[tokio::test]
async fn a_logout_reaches_the_gateway() {
    for protocol in ALL {
        let (client, mut events, _gateway, mut peer, _) = connected(protocol).await;
        let server = async {
            peer.expect(kind::client::LOGOUT).await;
            let bye = Goodbye { reason: GoodbyeReason::LoggedOut.into(), message: String::new(), reconnect: false };
            peer.send_message(kind::client::GOODBYE, &bye).await;
        };
        tokio::join!(client.logout(), server);
        assert_eq!(event(&mut events).await, Event::Ended(Ended::LoggedOut));
    }
}

#[tokio::test]
async fn a_dropped_client_lets_go_of_its_connection() {
    let (client, mut events, _gateway, mut peer, _) = connected(Protocol::Tcp).await;
    drop(client);
    assert_eq!(peer.next().await, None);
    assert_eq!(timeout(DEADLINE, events.next()).await, Ok(None));
}

//! Playing a game over real sockets.

use std::time::Duration;

use crate::gateway::{ALL, DEADLINE, GAME, Gateway, Peer, Protocol, event, playing_room};
use pintail_client::{Client, Event, Events, GameDetachReason, GameEndReason, PauseReason, ResumeToken, SendError};
use pintail_core::limits::PENDING_INPUTS_MAX;
use pintail_wire::client::{GameDetached, GameEnded};
use pintail_wire::{Message, kind};
use tokio::time::timeout;

struct Table {
    client: Client,
    events: Events,
    gateway: Gateway,
    peer: Peer,
    token: ResumeToken,
}

/// A client whose stream to its game is open.
async fn playing(protocol: Protocol) -> Table {
    let gateway = Gateway::start(protocol).await;
    let token = ResumeToken::random();
    let (client, (mut peer, _)) = tokio::join!(Client::connect(gateway.config()), gateway.welcome(&token));
    let (client, mut events) = client.unwrap();
    let server = async {
        let (id, _) = peer.request().await;
        peer.reply(id, Some(playing_room())).await;
        peer.attach(0, 1).await;
    };
    let (room, ()) = tokio::join!(client.start_game(), server);
    assert_eq!(room, Ok(playing_room()));
    assert!(matches!(event(&mut events).await, Event::Connected { .. }));
    assert_eq!(event(&mut events).await, Event::Room(playing_room()));
    assert!(matches!(event(&mut events).await, Event::GameAttached { game: GAME, resynchronised: false, .. }));
    Table { client, events, gateway, peer, token }
}

async fn payload(events: &mut Events) -> String {
    loop {
        if let Event::GameMessage { payload, .. } = event(events).await {
            return String::from_utf8(payload.to_vec()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_game_survives_a_cut_and_ends() {
    for protocol in ALL {
        let Table { client, mut events, gateway, mut peer, token } = playing(protocol).await;
        client.send("one").await.unwrap();
        client.send("two").await.unwrap();
        assert_eq!(peer.input().await.payload, "one");
        peer.game_message(kind::client::GAME_MESSAGE, 1, 1, b"first").await;
        assert_eq!(payload(&mut events).await, "first");
        drop(peer);

        let (mut peer, _) = gateway.welcome(&token).await;
        let (check, _) = peer.request().await;
        let attach = peer.attach(1, 2).await;
        assert_eq!((attach.received, attach.step_seen), (1, 1));
        peer.reply(check, Some(playing_room())).await;
        let input = peer.input().await;
        assert_eq!((input.seq.0, &input.payload[..]), (2, &b"two"[..]));
        peer.game_message(kind::client::GAME_MESSAGE, 1, 2, b"first").await;
        peer.game_message(kind::client::GAME_MESSAGE, 2, 2, b"second").await;
        assert_eq!(payload(&mut events).await, "second", "the first is not told again");

        let end = GameEnded { reason: GameEndReason::Finished.into(), result: "{}".to_owned(), message: String::new() };
        peer.game_message(kind::client::GAME_ENDED, 3, 2, &end.encode_to_vec()).await;
        let ended = event(&mut events).await;
        assert!(matches!(ended, Event::GameEnded { reason: GameEndReason::Finished, .. }), "{ended:?}");
        peer.expect(kind::client::GAME_ACK).await;
        assert_eq!(client.send("late").await, Err(SendError::NoGame));
        client.close().await;
    }
}

#[tokio::test]
async fn the_application_hears_of_a_pause_and_its_end() {
    let Table { client: _client, mut events, gateway, mut peer, token } = playing(Protocol::Tcp).await;
    let detached = GameDetached {
        room: GAME.room.0,
        round: GAME.round.0,
        reason: GameDetachReason::ServerUnreachable.into(),
        message: "lost".to_owned(),
        retry: true,
    };
    peer.send_message(kind::client::GAME_DETACHED, &detached).await;
    let why = PauseReason::Detached { reason: GameDetachReason::ServerUnreachable, message: "lost".to_owned() };
    assert_eq!(event(&mut events).await, Event::GamePaused { game: GAME, why });
    peer.attach(0, 1).await;
    let resumed = Event::GameResumed { game: GAME, resynchronised: false };
    assert_eq!(event(&mut events).await, resumed);

    drop(peer);
    assert!(matches!(event(&mut events).await, Event::Disconnected { .. }));
    let why = PauseReason::Disconnected;
    assert_eq!(event(&mut events).await, Event::GamePaused { game: GAME, why });
    let (mut peer, _) = gateway.welcome(&token).await;
    peer.request().await;
    peer.attach(0, 1).await;
    assert!(matches!(event(&mut events).await, Event::Connected { resumed: true, .. }));
    assert_eq!(event(&mut events).await, resumed);
}

#[tokio::test]
async fn an_application_that_does_not_listen_stops_the_gateway_and_loses_nothing() {
    for protocol in ALL {
        let mut table = playing(protocol).await;
        let large = "x".repeat(16 * 1024);
        let mut sent = 0_u64;
        loop {
            sent += 1;
            assert!(sent < 10_000, "160 MB went somewhere without being taken");
            let text = format!("{sent} {large}");
            let message = table.peer.game_message(kind::client::GAME_MESSAGE, sent, 0, text.as_bytes());
            if timeout(Duration::from_millis(500), message).await.is_err() {
                break;
            }
        }
        for number in 1..sent {
            assert!(payload(&mut table.events).await.starts_with(&format!("{number} ")), "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn sending_waits_while_the_game_acknowledges_nothing() {
    let Table { client, events: _events, mut peer, .. } = playing(Protocol::Tcp).await;
    for _ in 0..PENDING_INPUTS_MAX {
        client.send("x").await.unwrap();
    }
    let mut waiting = std::pin::pin!(async { tokio::join!(client.send("y"), client.send("z")) });
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err());
    peer.game_message(kind::client::GAME_MESSAGE, 1, 2, b"").await;
    assert_eq!(timeout(DEADLINE, waiting).await, Ok((Ok(()), Ok(()))));
    for _ in 0..PENDING_INPUTS_MAX {
        assert_eq!(peer.input().await.payload, "x");
    }
    assert_eq!(peer.input().await.payload, "y");
    assert_eq!(peer.input().await.payload, "z");
}

#[tokio::test]
async fn a_payload_must_fit_a_frame() {
    let Table { client, events: _events, mut peer, .. } = playing(Protocol::WebSocket).await;
    let limit = 64 * 1024 - 36;
    let large = SendError::TooLarge { bytes: limit + 1, limit };
    assert_eq!(client.send(vec![0; limit + 1]).await, Err(large));
    client.send(vec![0; limit]).await.unwrap();
    assert_eq!(peer.input().await.payload.len(), limit);
    client.send_json(&[1, 2]).await.unwrap();
    assert_eq!(peer.input().await.payload, "[1,2]");
}

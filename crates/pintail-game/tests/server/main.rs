//! A game server as a whole: real links over TCP, real stores, and a gateway played by the test.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod disturbed;
mod health;
mod leases;
mod registry;
mod rig;
mod takeover;

use bytes::Bytes;
use pintail_core::{GameId, Incarnation, Kind, RoomId, Seq, Status};
use pintail_echo::Echo;
use pintail_game::GameTypes;
use pintail_net::RoleError;
use pintail_store::{Announcement, EndReason, Letter};
use pintail_wire::client::{GameDetachReason, GameDetached, GameEndReason};
use pintail_wire::{Message as _, game, kind};

use rig::{ANN, BOB, LOBBY, Server, get, soon, until};

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
    let record = server.store.scan(Kind::Game).await.unwrap().remove(0).unwrap();
    assert_eq!((record.status, record.lease), (Status::Unused, false));
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

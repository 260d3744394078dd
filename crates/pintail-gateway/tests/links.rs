//! What a gateway does with servers, good and bad.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use pintail_core::{Durability, GameId, Incarnation, Kind, RoomId, Round, Seq, SessionId, Step};
use pintail_store::{GameOrder, OrderedPlayer};
use pintail_wire::Message;
use pintail_wire::client::{
    ErrorCode, GameAttach, GameDetachReason, GameDetached, LobbyReply, LobbyRequest, lobby_reply,
};
use pintail_wire::deliver::encode_deliver;
use pintail_wire::game::{Input, Reliable, shared_header};
use pintail_wire::kind::{client as kind, link as link_kind};
use pintail_wire::link::{Attach, Detach, LobbyForward, SessionPresence, session_presence};
use support::{FakeServer, RawClient, TestGateway, soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

fn order(players: &[u64], lobby: pintail_core::Slot) -> GameOrder {
    GameOrder {
        id: GAME,
        game_type: "echo".parse().unwrap(),
        durability: Durability::Ephemeral,
        settings: "{}".to_owned(),
        players: players
            .iter()
            .map(|&session| OrderedPlayer { session: SessionId(session), name: "p".parse().unwrap() })
            .collect(),
        seed: 1,
        lobby,
        trace: None,
    }
}

fn attach() -> Vec<u8> {
    GameAttach { room: GAME.room.0, round: GAME.round.0, received: 0, step_seen: 0, acknowledged: 0 }.encode_to_vec()
}

#[tokio::test]
async fn a_lobby_request_survives_its_lobby() {
    let gateway = TestGateway::start().await;
    let mut lobbies = [
        FakeServer::start(Kind::Lobby, gateway.store.clone()).await,
        FakeServer::start(Kind::Lobby, gateway.store.clone()).await,
    ];
    for lobby in &mut lobbies {
        lobby.linked().await;
    }
    until("both links", async || gateway.metric("pintail_gateway_links").await == 2.0).await;
    let (mut client, welcome) = RawClient::log_in(gateway.tcp, "asker").await;
    let request = LobbyRequest::default().encode_to_vec();
    client.send(kind::LOBBY_REQUEST, &[&77_u64.to_be_bytes()[..], &request].concat()).await;

    // Whichever has it, dies with it.
    let [mut a, mut b] = lobbies;
    let (asked, mut other) = tokio::select! {
        body = a.recv_kind(link_kind::LOBBY_FORWARD) => { a.stop().await; (body, b) }
        body = b.recv_kind(link_kind::LOBBY_FORWARD) => { b.stop().await; (body, a) }
    };
    let again = other.recv_kind(link_kind::LOBBY_FORWARD).await;
    assert_eq!(asked, again, "the same request, under the same id");
    let forward = LobbyForward::decode(again).unwrap();
    assert_eq!((forward.session, forward.request_id, forward.name.as_str()), (welcome.session, 77, "asker"));

    let outbox = other.linked().await;
    let reply = LobbyReply { reply: Some(lobby_reply::Reply::Room(Default::default())) }.encode_to_vec();
    let recipients = [(SessionId(welcome.session), &[][..])];
    let shared = [&77_u64.to_be_bytes()[..], &reply];
    outbox.push_with(|buffer| encode_deliver(buffer, kind::LOBBY_REPLY, recipients.into_iter(), &shared)).unwrap();
    let body = client.recv_kind(kind::LOBBY_REPLY).await;
    assert_eq!(&body[..8], 77_u64.to_be_bytes());
    assert_eq!(gateway.metric("pintail_gateway_lobby_requests_retried_total").await, 1.0);
    gateway.stop().await;
}

#[tokio::test]
async fn too_many_unanswered_requests_are_refused() {
    let gateway = TestGateway::start().await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "asker").await;
    for request in 0..=pintail_core::limits::LOBBY_REQUESTS_IN_FLIGHT_MAX as u64 {
        client.send(kind::LOBBY_REQUEST, &request.to_be_bytes()).await;
    }
    let body = client.recv_kind(kind::LOBBY_REPLY).await;
    let reply = LobbyReply::decode(&body[8..]).unwrap().reply.unwrap();
    assert!(
        matches!(reply, lobby_reply::Reply::Error(error) if error.code() == ErrorCode::TooManyRequests && error.retry)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn presence_is_told_to_the_lobby() {
    let gateway = TestGateway::start().await;
    let mut lobby = FakeServer::start(Kind::Lobby, gateway.store.clone()).await;
    lobby.linked().await;
    until("the link", async || gateway.metric("pintail_gateway_links").await == 1.0).await;
    let (client, welcome) = RawClient::log_in(gateway.tcp, "comes and goes").await;
    drop(client);
    let presence = async |lobby: &mut FakeServer| {
        let presence = SessionPresence::decode(lobby.recv_kind(link_kind::SESSION_PRESENCE).await).unwrap();
        assert_eq!(presence.session, welcome.session);
        (presence.presence(), presence.generation)
    };
    assert_eq!(presence(&mut lobby).await, (session_presence::Presence::Away, 1));
    let (mut client, _) = RawClient::resume(gateway.tcp, &welcome.resume_token).await;
    assert_eq!(presence(&mut lobby).await, (session_presence::Presence::Back, 2));
    client.send(kind::LOGOUT, b"").await;
    assert_eq!(presence(&mut lobby).await, (session_presence::Presence::Gone, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn a_broadcast_crosses_the_link_once_and_reaches_every_player() {
    let gateway = TestGateway::start().await;
    let mut game = FakeServer::start(Kind::Game, gateway.store.clone()).await;
    let outbox = game.linked().await;
    let (mut ann, ann_is) = RawClient::log_in(gateway.tcp, "ann").await;
    let (mut bob, bob_is) = RawClient::log_in(gateway.tcp, "bob").await;
    gateway.store.place(&order(&[ann_is.session, bob_is.session], game.slot)).await.unwrap();

    until("the attach", async || {
        ann.send(kind::GAME_ATTACH, &attach()).await;
        tokio::time::timeout(std::time::Duration::from_millis(200), game.events.recv()).await.is_ok()
    })
    .await;
    bob.send(kind::GAME_ATTACH, &attach()).await;
    loop {
        let attach = Attach::decode(game.recv_kind(link_kind::ATTACH).await).unwrap();
        if attach.session == bob_is.session {
            break;
        }
    }

    let input = [&Input::header(GAME, Seq(1), Seq(0))[..], b"opaque"].concat();
    bob.send(kind::GAME_INPUT, &input).await;
    let carried = game.recv_kind(link_kind::INPUT).await;
    assert_eq!(&carried[..8], bob_is.session.to_be_bytes());
    assert_eq!(&carried[8..], input, "the gateway changes nothing");

    let heads = [Reliable::head(Seq(1), Seq(0)), Reliable::head(Seq(9), Seq(1))];
    let recipients = [(SessionId(ann_is.session), &heads[0][..]), (SessionId(bob_is.session), &heads[1][..])];
    let shared = shared_header(GAME, Step(3));
    outbox
        .push_with(|buffer| encode_deliver(buffer, kind::GAME_MESSAGE, recipients.into_iter(), &[&shared, b"to all"]))
        .unwrap();
    for (client, seq) in [(&mut ann, 1), (&mut bob, 9)] {
        let message = Reliable::decode(client.recv_kind(kind::GAME_MESSAGE).await).unwrap();
        assert_eq!((message.seq, message.game, message.step), (Seq(seq), GAME, Step(3)));
        assert_eq!(message.payload, "to all");
    }

    drop(bob);
    let detach = Detach::decode(game.recv_kind(link_kind::DETACH).await).unwrap();
    assert_eq!(detach.session, bob_is.session);

    // The game server goes: the client keeps its connection and is told to attach again.
    game.stop().await;
    let detached = GameDetached::decode(ann.recv_kind(kind::GAME_DETACHED).await).unwrap();
    assert_eq!(detached.reason(), GameDetachReason::ServerUnreachable);
    assert!(detached.retry);
    gateway.stop().await;
}

/// The player is back on the same gateway and stays in the lobby: the game must not go on talking to nobody.
#[tokio::test]
async fn a_game_hears_that_the_connection_that_played_was_replaced() {
    let gateway = TestGateway::start().await;
    let mut game = FakeServer::start(Kind::Game, gateway.store.clone()).await;
    game.linked().await;
    until("the link", async || gateway.metric("pintail_gateway_links").await == 1.0).await;
    let (mut ann, welcome) = RawClient::log_in(gateway.tcp, "ann").await;
    gateway.store.place(&order(&[welcome.session], game.slot)).await.unwrap();
    ann.send(kind::GAME_ATTACH, &attach()).await;
    game.recv_kind(link_kind::ATTACH).await;

    let (_again, _) = RawClient::resume(gateway.tcp, &welcome.resume_token).await;
    let detach = Detach::decode(game.recv_kind(link_kind::DETACH).await).unwrap();
    assert_eq!((detach.session, detach.generation), (welcome.session, welcome.generation));
    gateway.stop().await;
}

#[tokio::test]
async fn a_game_that_is_not_there_is_told() {
    let gateway = TestGateway::start().await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "lost").await;
    client.send(kind::GAME_ATTACH, &attach()).await;
    let detached = GameDetached::decode(client.recv_kind(kind::GAME_DETACHED).await).unwrap();
    assert_eq!(detached.reason(), GameDetachReason::NoSuchGame);
    assert!(!detached.retry);
    gateway.stop().await;
}

#[tokio::test]
async fn who_does_not_speak_the_link_protocol_is_dialled_but_gets_nothing() {
    let gateway = TestGateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = pintail_net::address::advertised(listener.local_addr().unwrap(), None).unwrap();
    let announcement = pintail_store::Announcement {
        kind: Kind::Lobby,
        endpoint,
        incarnation: Incarnation::random(),
        capacity: 1,
        game_types: Vec::new(),
        version: String::new(),
        admin_port: None,
        http_port: None,
    };
    gateway.store.register(&announcement).await.unwrap();
    let (mut stream, _) = soon("the gateway's call", listener.accept()).await.unwrap();
    stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    drop(stream);
    // It is called again, later; meanwhile nothing counts as a link.
    let (stream, _) = soon("the gateway's second call", listener.accept()).await.unwrap();
    drop(stream);
    assert_eq!(gateway.metric("pintail_gateway_links").await, 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_sends_rubbish_loses_its_link_and_gets_a_new_one() {
    let gateway = TestGateway::start().await;
    let mut lobby = FakeServer::start(Kind::Lobby, gateway.store.clone()).await;
    let first = lobby.linked().await;
    first.push(200, &[b"a kind of a newer version is passed over"]).unwrap();
    first.push(link_kind::DELIVER, &[b"rubbish"]).unwrap();
    let again =
        |links: &Vec<(_, Arc<pintail_net::Outbox>)>| links.iter().any(|(_, outbox)| !Arc::ptr_eq(outbox, &first));
    soon("a new link", lobby.links.wait_for(again)).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_player_who_was_away_at_the_end_is_sent_to_the_server_that_still_has_the_last_words() {
    let gateway = TestGateway::start().await;
    let mut game = FakeServer::start(Kind::Game, gateway.store.clone()).await;
    game.linked().await;
    until("the link", async || gateway.metric("pintail_gateway_links").await == 1.0).await;
    let (mut ann, welcome) = RawClient::log_in(gateway.tcp, "ann").await;
    let order = order(&[welcome.session], game.slot);
    let pintail_store::PlaceOutcome::Placed(owner) = gateway.store.place(&order).await.unwrap() else { panic!() };
    let outcome = pintail_core::EndOutcome {
        reason: pintail_core::EndReason::Finished,
        result: String::new(),
        message: String::new(),
    };
    assert!(gateway.store.end_game(order.id, owner, &outcome).await.unwrap());
    ann.send(kind::GAME_ATTACH, &attach()).await;
    game.recv_kind(link_kind::ATTACH).await;
    gateway.stop().await;
}

//! Lobby servers that die, players that vanish, and what finds them.

use std::time::Duration;

use pintail_core::limits::LOBBY_REQUEST_TIMEOUT;
use pintail_core::secret::ResumeToken;
use pintail_core::{GameId, Generation, Incarnation, Kind, PlayerName, RoomId, Round, SessionId, Slot};
use pintail_store::{Games, Login, LoginMode, Sessions};
use pintail_wire::client::{ErrorCode, RoomLeftReason, RoomState, lobby_event};
use pintail_wire::kind::link;
use pintail_wire::link::session_presence::Presence;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cluster::{Cluster, eventually};
use crate::faults::Fault;
use crate::gateway::{create, fresh, join, leave, ready, sessions, start};

#[tokio::test]
async fn a_start_whose_lobby_server_died_is_finished_by_another() {
    let cluster = Cluster::of_lobbies(2).await;
    let mut game_server = cluster.game_server().await;
    let (doomed, other) = (cluster.gateway(0).await, cluster.gateway(1).await);
    let [ada, bob] = [1, 2].map(|session| doomed.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    bob.via(&other).room(ready(true)).await;
    cluster.lobbies[0].faults.set(Fault::SilentAfterStart);
    let request = pintail_wire::client::LobbyRequest { request: Some(start()) };
    ada.send(fresh(), pintail_wire::Message::encode_to_vec(&request).into());
    eventually("the room is starting", async || {
        bob.via(&other).look().await.filter(|room| room.state() == RoomState::Starting)
    })
    .await;
    cluster.lobbies[0].crash();
    doomed.closed().await;
    bob.via(&other).sees(RoomState::Playing, 1).await;
    let game = GameId { room: RoomId(room.id), round: Round(1) };
    assert_eq!(game_server.letter().await, pintail_store::Letter::GamePlaced(game));
    assert!(cluster.store.game(game).await.unwrap().is_some());
}

#[tokio::test]
async fn a_retried_start_does_not_wait_for_the_sweep() {
    let cluster = Cluster::of_lobbies(2).await;
    let _game_server = cluster.game_server().await;
    let (doomed, other) = (cluster.gateway(0).await, cluster.gateway(1).await);
    let [ada, bob] = [1, 2].map(|session| doomed.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    bob.room(ready(true)).await;
    cluster.lobbies[0].faults.set(Fault::SilentAfterStart);
    let (id, request) = (fresh(), pintail_wire::client::LobbyRequest { request: Some(start()) });
    ada.send(id, pintail_wire::Message::encode_to_vec(&request).into());
    eventually("the room is starting", async || {
        bob.via(&other).look().await.filter(|room| room.state() == RoomState::Starting)
    })
    .await;
    cluster.lobbies[0].crash();
    let retried = ada.via(&other).ask_as(id, start()).await;
    let pintail_wire::client::lobby_reply::Reply::Room(reply) = retried else { panic!("{retried:?}") };
    assert_eq!(reply.room.map(|room| (room.state(), room.round)), Some((RoomState::Playing, 1)));
}

#[tokio::test]
async fn presence_is_shown_and_holds_up_a_start() {
    let cluster = Cluster::of_lobbies(2).await;
    let (near, far) = (cluster.gateway(0).await, cluster.gateway(1).await);
    let [ada, bob] = [1, 2].map(|session| near.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    bob.room(ready(true)).await;
    let away = async |expected: bool| {
        eventually("the presence changes", async || ada.look().await.filter(|room| room.members[1].away == expected))
            .await;
    };
    bob.presence(Presence::Away);
    away(true).await;
    assert_eq!(ada.code(start()).await, ErrorCode::NotReady);
    let bob_again = bob.reconnected(&far);
    bob_again.presence(Presence::Back);
    away(false).await;
    bob.presence(Presence::Away);
    // A request over the same link: the news of the former connection was dealt with before it is answered.
    let seen = bob.look().await.unwrap();
    assert!(!seen.members[1].away, "a former connection's end says nothing about the present one");
    bob_again.presence(Presence::Gone);
    let alone = eventually("bob is gone", async || ada.look().await.filter(|room| room.members.len() == 1)).await;
    assert_eq!(sessions(&alone), [1]);
}

fn bobs_login() -> Login {
    Login {
        session: SessionId(2),
        token: ResumeToken::random().hash(),
        mode: LoginMode::New(PlayerName::new("player 2").unwrap()),
        gateway: Slot::new(Kind::Gateway, 0),
        incarnation: Incarnation::random(),
    }
}

/// And whose gateway has said so by then.
#[tokio::test]
async fn who_comes_back_in_the_moment_of_being_found_away_is_back() {
    let cluster = Cluster::with_grace(1, Duration::from_millis(300)).await;
    let gateway = cluster.gateway(0).await;
    let [ada, bob] = [1, 2].map(|session| gateway.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    let login = bobs_login();
    cluster.store.login(&login).await.unwrap();
    let faults = &cluster.lobbies[0].faults;
    faults.set(Fault::HeldCommits);
    cluster.store.session_away(SessionId(2), Generation(1)).await.unwrap();
    eventually("the sweep has found bob", async || faults.has_held().then_some(())).await;
    cluster.store.login(&Login { mode: LoginMode::Resume(None), ..login }).await.unwrap();
    faults.set(Fault::None);
    let is_marked = |event: &lobby_event::Event| match event {
        lobby_event::Event::RoomChanged(room) => room.members[1].away,
        _ => false,
    };
    ada.event("the mark", is_marked).await;
    eventually("bob is there", async || ada.look().await.filter(|room| !room.members[1].away)).await;
}

#[tokio::test]
async fn who_stays_away_loses_the_place() {
    let cluster = Cluster::with_grace(1, Duration::from_millis(300)).await;
    let gateway = cluster.gateway(0).await;
    let [ada, bob] = [1, 2].map(|session| gateway.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    cluster.store.login(&bobs_login()).await.unwrap();
    // No gateway says that the session is away, as when its gateway died with it: the store alone knows.
    cluster.store.session_away(SessionId(2), Generation(1)).await.unwrap();
    let event = bob.event("the removal", |event| matches!(event, lobby_event::Event::RoomLeft(_))).await;
    let lobby_event::Event::RoomLeft(left) = event else { unreachable!("it was checked") };
    assert_eq!((left.room, left.reason()), (room.id, RoomLeftReason::AwayTooLong));
    assert_eq!(sessions(&ada.look().await.unwrap()), [1]);
    eventually("the absence is settled", async || {
        cluster.store.sessions_away(0, 10).await.unwrap().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_orderly_stop_answers_first_and_says_goodbye() {
    let mut cluster = Cluster::of_lobbies(1).await;
    let gateway = cluster.gateway(0).await;
    let ada = gateway.player(1);
    let lobby = cluster.lobbies.remove(0);
    lobby.faults.set(Fault::SlowCommits);
    let (id, from) = (fresh(), gateway.arrived());
    let request = pintail_wire::client::LobbyRequest { request: Some(create("gomoku")) };
    ada.send(id, pintail_wire::Message::encode_to_vec(&request).into());
    // An answered heartbeat: the request has begun.
    gateway.heartbeat().await;
    lobby.stop().await;
    let reply = ada.reply(id, from).await;
    assert!(matches!(reply, pintail_wire::client::lobby_reply::Reply::Room(_)), "{reply:?}");
    gateway.closed().await;
    assert_eq!(gateway.frames().last().map(|frame| frame.kind), Some(link::SERVER_GOODBYE));
    let servers = pintail_store::Registry::scan(&*cluster.store, Kind::Lobby).await.unwrap();
    let lobby = servers[0].as_ref().unwrap();
    assert_eq!((lobby.status, lobby.lease), (pintail_core::Status::Unused, false));
}

#[tokio::test]
async fn an_operator_drains_a_lobby_server_which_finishes_what_it_has_begun() {
    let mut cluster = Cluster::of_lobbies(2).await;
    let gateway = cluster.gateway(0).await;
    let ada = gateway.player(1);
    let lobby = cluster.lobbies.remove(0);
    lobby.faults.set(Fault::SlowCommits);
    let (id, from) = (fresh(), gateway.arrived());
    let request = pintail_wire::client::LobbyRequest { request: Some(create("gomoku")) };
    ada.send(id, pintail_wire::Message::encode_to_vec(&request).into());
    gateway.heartbeat().await;
    assert!(lobby.get("/readyz").await.starts_with("HTTP/1.1 200"));
    pintail_store::Registry::ask_to_drain(&*cluster.store, lobby.slot).await.unwrap();
    let seen = eventually("it drains", async || {
        let servers = pintail_store::Registry::scan(&*cluster.store, Kind::Lobby).await.unwrap();
        servers.into_iter().flatten().find(|server| server.slot == lobby.slot && server.cause == "draining")
    })
    .await;
    assert!(seen.status == pintail_core::Status::Unused && seen.is_live(), "{seen:?}");
    assert!(lobby.get("/readyz").await.starts_with("HTTP/1.1 503"));
    let reply = ada.reply(id, from).await;
    assert!(matches!(reply, pintail_wire::client::lobby_reply::Reply::Room(_)), "{reply:?}");
    gateway.closed().await;
    lobby.ended().await;
}

#[tokio::test]
async fn the_admin_port_tells_what_happened_to_the_servers() {
    let cluster = Cluster::of_lobbies(1).await;
    let lobby = &cluster.lobbies[0];
    let mut events = tokio::net::TcpStream::connect(lobby.admin).await.unwrap();
    events.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut told = String::new();
    let wanted = format!(r#""event":"on","server":"{}""#, lobby.slot);
    let reading = async {
        while !told.contains(&wanted) {
            let mut bytes = [0; 4096];
            let count = events.read(&mut bytes).await.unwrap();
            assert!(count > 0, "it ended after {told}");
            told.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    };
    tokio::time::timeout(crate::cluster::DEADLINE, reading).await.expect("the registration is told");
    assert!(lobby.metrics().await.contains("pintail_lobby_lease_held 1"));
}

#[tokio::test]
async fn a_store_that_is_silent_holds_up_no_heartbeat() {
    let cluster = Cluster::of_lobbies(1).await;
    let gateway = cluster.gateway(0).await;
    cluster.lobbies[0].faults.set(Fault::RoomsSilent);
    let ask = |request| {
        let ada = gateway.player(1);
        tokio::spawn(async move { ada.code(request).await })
    };
    // The second one waits for its turn behind the first.
    let patience = tokio::time::Instant::now() + LOBBY_REQUEST_TIMEOUT;
    let asked = [ask(leave()), ask(create("gomoku"))];
    gateway.heartbeat().await;
    assert!(asked.iter().all(|asked| !asked.is_finished()));
    for asked in asked {
        let answer = tokio::time::timeout_at(patience, asked).await;
        let answer = answer.expect("the player is answered before the gateway gives up").unwrap();
        assert_eq!(answer, ErrorCode::Unavailable);
    }
}

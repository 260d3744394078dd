//! Two lobby servers on one store: events, retries, races.

use std::collections::HashSet;

use pintail_core::{Kind, Slot};
use pintail_wire::Message;
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{ErrorCode, ListRooms, LobbyRequest, RoomState, lobby_event, lobby_reply};

use crate::cluster::{Cluster, eventually};
use crate::faults::Fault;
use crate::gateway::{Gateway, Player, chat, create, fresh, join, kick, leave, quick_match, ready, sessions, start};

/// The same request through both lobby servers, as a gateway sends it whose first link broke before the answer.
async fn twice(player: &Player, through: [&Gateway; 2], request: Request) -> [lobby_reply::Reply; 2] {
    let id = fresh();
    let first = player.via(through[0]).ask_as(id, request.clone()).await;
    [first, player.via(through[1]).ask_as(id, request).await]
}

/// A gateway with a link to each of two lobby servers, as in a real cluster.
async fn both_links(cluster: &Cluster, index: u32) -> [Gateway; 2] {
    let slot = Slot::new(Kind::Gateway, index);
    [Gateway::dial(slot, &cluster.lobbies[0]).await, Gateway::dial(slot, &cluster.lobbies[1]).await]
}

#[tokio::test]
async fn a_retry_through_another_lobby_server_has_no_second_effect() {
    let cluster = Cluster::of_lobbies(2).await;
    let _game_server = cluster.game_server().await;
    let gateway = both_links(&cluster, 0).await;
    let through = [&gateway[0], &gateway[1]];
    let [ada, bob, cleo] = [1, 2, 3].map(|session| through[0].player(session));
    let same = |what: &str, [first, second]: [lobby_reply::Reply; 2]| {
        let room = |reply| match reply {
            lobby_reply::Reply::Room(reply) => reply.room,
            other => panic!("{what}: {other:?}"),
        };
        let (first, second) = (room(first), room(second));
        assert_eq!(first, second, "{what}: not even its version has changed");
        second
    };

    let room = same("create", twice(&ada, through, create("arena")).await).unwrap();
    same("join", twice(&bob, through, join(&room)).await);
    same("quick match", twice(&cleo, through, quick_match("arena", "")).await);
    same("ready", twice(&bob, through, ready(true)).await);
    same("chat", twice(&bob, through, chat("once")).await);
    same("look", twice(&bob, through, Request::GetRoom(Default::default())).await);
    same("kick", twice(&ada, through, kick(3)).await);
    let playing = same("start", twice(&ada, through, start()).await).unwrap();
    assert_eq!((playing.state(), playing.round), (RoomState::Playing, 1));
    assert_eq!(same("leave", twice(&bob, through, leave()).await), None);

    let both = through.map(|gateway| ada.via(gateway).events());
    let chats = both.iter().flatten().filter(|event| matches!(event, lobby_event::Event::Chat(_))).count();
    assert_eq!(chats, 1, "a chat is posted once");
    let rooms = ada.rooms(Default::default()).await.rooms;
    assert_eq!(rooms.len(), 1, "a room is created once: {rooms:?}");
}

#[tokio::test]
async fn members_behind_different_gateways_and_lobby_servers_hear_each_other() {
    let cluster = Cluster::of_lobbies(2).await;
    let ([near, far], [far_away, home]) = (both_links(&cluster, 0).await, both_links(&cluster, 1).await);
    let (ada, bob) = (near.player(1), home.player(2));
    let room = ada.create("arena").await;
    bob.room(join(&room)).await;
    let right = |event: &lobby_event::Event| match event {
        lobby_event::Event::RoomChanged(room) => sessions(room) == [1, 2],
        _ => false,
    };
    // Bob's lobby server publishes over its own link to Ada's gateway.
    ada.via(&far).event("bob's coming", right).await;
    bob.room(ready(true)).await;
    ada.room(chat("hi")).await;
    bob.via(&far_away).event("ada's chat", |event| matches!(event, lobby_event::Event::Chat(_))).await;
}

/// The lobby server died between the change and the news of it: whoever repeats the request tells the others.
#[tokio::test]
async fn a_retry_tells_what_a_lobby_server_took_to_its_grave() {
    let cluster = Cluster::of_lobbies(2).await;
    let [doomed, other] = both_links(&cluster, 0).await;
    let (ada, bob) = (doomed.player(1), doomed.player(2));
    let room = ada.create("arena").await;
    cluster.lobbies[0].faults.set(Fault::SilentAfterCommit);
    let (id, request) = (fresh(), LobbyRequest { request: Some(join(&room)) });
    bob.send(id, request.encode_to_vec().into());
    eventually("bob is in", async || bob.via(&other).look().await).await;
    cluster.lobbies[0].crash();
    doomed.closed().await;
    let here =
        |event: &lobby_event::Event| matches!(event, lobby_event::Event::RoomChanged(room) if sessions(room) == [1, 2]);
    let told = [&doomed, &other].map(|gateway| ada.via(gateway).events().iter().any(here));
    assert_eq!(told, [false, false], "nobody has told ada");
    bob.via(&other).ask_as(id, join(&room)).await;
    ada.via(&other).event("bob's coming", here).await;
}

#[tokio::test]
async fn fifty_who_want_ten_places_fill_them_exactly() {
    let cluster = Cluster::of_lobbies(2).await;
    let gateways = [cluster.gateway(0).await, cluster.gateway(1).await];
    let room = gateways[0].player(1).create("arena").await;
    let mut joins = tokio::task::JoinSet::new();
    for session in 2..=51 {
        let (player, request) = (gateways[session as usize % 2].player(session), join(&room));
        joins.spawn(async move { (player.session, player.ask(request).await) });
    }
    let mut inside = HashSet::from([1]);
    for (session, reply) in joins.join_all().await {
        match reply {
            lobby_reply::Reply::Room(_) => assert!(inside.insert(session)),
            lobby_reply::Reply::Error(error) => assert_eq!(error.code(), ErrorCode::RoomFull, "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
    let room = gateways[1].player(1).look().await.unwrap();
    assert_eq!(room.members.len(), 10);
    assert_eq!(sessions(&room).into_iter().collect::<HashSet<_>>(), inside);
}

#[tokio::test]
async fn quick_matches_that_race_find_each_a_place() {
    let cluster = Cluster::of_lobbies(2).await;
    let gateways = [cluster.gateway(0).await, cluster.gateway(1).await];
    let mut matches = tokio::task::JoinSet::new();
    for session in 1..=40 {
        let player = gateways[session as usize % 2].player(session);
        matches.spawn(async move { (player.session, player.room(quick_match("arena", "")).await) });
    }
    for (session, room) in matches.join_all().await {
        assert!(room.members.len() <= 10 && sessions(&room).contains(&session), "{room:?}");
    }
    let rooms = gateways[0].player(99).rooms(ListRooms { limit: 100, ..ListRooms::default() }).await.rooms;
    assert_eq!(rooms.iter().map(|room| room.players).sum::<u32>(), 40, "each session has one place");
}

#[tokio::test]
async fn a_hundred_racing_starts_make_one_game() {
    let cluster = Cluster::of_lobbies(2).await;
    let mut game_server = cluster.game_server().await;
    let gateways = [cluster.gateway(0).await, cluster.gateway(1).await];
    let (ada, bob) = (gateways[0].player(1), gateways[1].player(2));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    bob.room(ready(true)).await;
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..100 {
        let player = ada.via(&gateways[number % 2]);
        starts.spawn(async move { player.ask(start()).await });
    }
    for reply in starts.join_all().await {
        match reply {
            lobby_reply::Reply::Room(reply) => assert_eq!(reply.room.map(|room| room.round), Some(1)),
            lobby_reply::Reply::Error(error) => {
                let refused = [ErrorCode::GameRunning, ErrorCode::TooManyRequests];
                assert!(refused.contains(&error.code()), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let room = ada.look().await.unwrap();
    assert_eq!((room.state(), room.round), (RoomState::Playing, 1));
    let game = format!("game-placed {:016x}-1", room.id);
    assert_eq!(game_server.letter().await.to_string(), game);
    let started: u32 = {
        let mut sum = 0;
        for lobby in &cluster.lobbies {
            let metrics = lobby.metrics().await;
            let line = metrics.lines().find(|line| line.starts_with("pintail_lobby_games_started_total")).unwrap();
            sum += line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        }
        sum
    };
    assert_eq!(started, 1);
}

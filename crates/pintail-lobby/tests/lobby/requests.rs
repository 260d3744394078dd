//! Every request, and every reason to refuse one.

use pintail_core::limits::CHAT_CHARACTERS_MAX;
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{CreateRoom, ErrorCode, ListRooms, RoomLeftReason, RoomState, lobby_event, lobby_reply};
use pintail_wire::kind::link;

use crate::cluster::{Cluster, eventually};
use crate::faults::Fault;
use crate::gateway::{Player, chat, create, fresh, join, join_by, kick, leave, quick_match, ready, sessions, start};

async fn players<const N: usize>(cluster: &Cluster) -> [Player; N] {
    let gateway = cluster.gateway(0).await;
    std::array::from_fn(|index| gateway.player(index as u64 + 1))
}

fn private(game: &str) -> Request {
    Request::CreateRoom(CreateRoom { game: game.to_owned(), private: true, ..CreateRoom::default() })
}

#[tokio::test]
async fn a_room_from_its_creation_to_its_end() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob] = players(&cluster).await;
    let settings = r#"{ "b": 1, "a": 2 }"#.to_owned();
    let asked =
        CreateRoom { name: " Den ".to_owned(), game: "arena".to_owned(), settings, players_max: 4, private: false };
    let room = ada.room(Request::CreateRoom(asked)).await;
    assert_eq!((room.name.as_str(), room.settings.as_str(), room.players_max), ("Den", r#"{"a":2,"b":1}"#, 4));
    assert_eq!((room.state(), room.owner, room.round, room.version), (RoomState::Wait, 1, 0, 1));

    let joined = bob.room(join(&room)).await;
    assert_eq!((sessions(&joined), joined.version), (vec![1, 2], 2));
    assert_eq!(ada.look().await, Some(joined));
    let is_ready = bob.room(ready(true)).await;
    assert!(is_ready.members[1].ready && !is_ready.members[0].ready);

    bob.room(chat(" gl hf ")).await;
    for player in [&ada, &bob] {
        let heard = player.event("the chat", |event| matches!(event, lobby_event::Event::Chat(_))).await;
        let lobby_event::Event::Chat(message) = heard else { unreachable!("it was checked") };
        assert_eq!((message.room, message.session, message.text.as_str()), (room.id, 2, "gl hf"));
        assert_eq!(message.name, bob.name());
    }

    assert_eq!(ada.room_after(leave()).await, None);
    let owned = bob.look().await.unwrap();
    assert_eq!((sessions(&owned), owned.owner), (vec![2], 2));
    assert_eq!(bob.room_after(leave()).await, None);
    assert_eq!(bob.look().await, None);
    assert_eq!(bob.room_after(leave()).await, None, "leaving twice is as good as once");
    assert_eq!(ada.code(join(&room)).await, ErrorCode::RoomNotFound, "the last one out deletes the room");
}

#[tokio::test]
async fn every_request_is_refused_for_its_reason() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob, eve] = players(&cluster).await;
    let asks = |change: fn(&mut CreateRoom)| {
        let mut asked = CreateRoom { game: "gomoku".to_owned(), ..CreateRoom::default() };
        change(&mut asked);
        Request::CreateRoom(asked)
    };
    for (request, code) in [
        (asks(|asked| asked.game = "chess".to_owned()), ErrorCode::UnknownGame),
        (asks(|asked| asked.settings = "[]".to_owned()), ErrorCode::BadSettings),
        (asks(|asked| asked.settings = r#"{"impossible":1}"#.to_owned()), ErrorCode::BadSettings),
        (asks(|asked| asked.players_max = 3), ErrorCode::BadPlayerCount),
        (asks(|asked| asked.name = "a\u{1b}b".to_owned()), ErrorCode::BadRequest),
        (quick_match("chess", ""), ErrorCode::UnknownGame),
        (quick_match("gomoku", "x"), ErrorCode::BadSettings),
        (join_by("ABCDEF"), ErrorCode::RoomNotFound),
        (join_by("no code"), ErrorCode::RoomNotFound),
        (Request::JoinRoom(Default::default()), ErrorCode::BadRequest),
        (Request::ListRooms(ListRooms { game: "chess".to_owned(), ..Default::default() }), ErrorCode::UnknownGame),
        (Request::ListRooms(ListRooms { page: "x".repeat(200), ..Default::default() }), ErrorCode::BadRequest),
        (ready(true), ErrorCode::NotInRoom),
        (kick(2), ErrorCode::NotInRoom),
        (chat("hi"), ErrorCode::NotInRoom),
        (start(), ErrorCode::NotInRoom),
    ] {
        let error = ada.error(request.clone()).await;
        assert_eq!(error.code(), code, "{request:?}");
        assert!(!error.retry && !error.message.is_empty(), "{error:?}");
    }

    for (request, said) in [
        (quick_match("chess", ""), "this lobby server's program has: "),
        (join_by("ABCDEF"), "no room has this invite code"),
        (join_by("no code"), "no room has this invite code"),
        (join(&Default::default()), "there is no such room"),
    ] {
        let error = ada.error(request.clone()).await;
        assert!(error.message.contains(said), "{request:?}: {error:?}");
    }

    let room = ada.room(private("gomoku")).await;
    assert_eq!((room.players_min, room.players_max), (2, 2), "who waits there knows for how many");
    assert_eq!(bob.code(join(&room)).await, ErrorCode::RoomNotFound, "a private room is joined by its code");
    assert_eq!(ada.code(start()).await, ErrorCode::TooFewPlayers);
    assert_eq!(sessions(&bob.room(join_by(&room.invite.to_lowercase())).await), [1, 2]);
    assert_eq!(eve.code(join_by(&room.invite)).await, ErrorCode::RoomFull);
    for request in [create("gomoku"), quick_match("gomoku", "")] {
        assert_eq!(bob.code(request).await, ErrorCode::AlreadyInRoom);
    }
    let other = eve.create("gomoku").await;
    assert_eq!(bob.code(join(&other)).await, ErrorCode::AlreadyInRoom);
    assert_eq!(bob.code(kick(1)).await, ErrorCode::NotOwner);
    assert_eq!(bob.code(start()).await, ErrorCode::NotOwner);
    assert_eq!(ada.code(kick(1)).await, ErrorCode::BadRequest);
    assert_eq!(ada.code(kick(3)).await, ErrorCode::UnknownPlayer);
    assert_eq!(ada.code(chat(&"x".repeat(CHAT_CHARACTERS_MAX + 1))).await, ErrorCode::BadRequest);
    let not_ready = ada.error(start()).await;
    assert_eq!((not_ready.code(), not_ready.retry), (ErrorCode::NotReady, true));
    assert!(not_ready.message.contains(&bob.name()), "{}", not_ready.message);

    bob.room(ready(true)).await;
    let _game_server = cluster.game_server().await;
    assert_eq!(ada.room(start()).await.state(), RoomState::Playing);
    for (player, request) in [(&ada, start()), (&bob, ready(false))] {
        assert_eq!(player.code(request).await, ErrorCode::GameRunning);
    }
    eve.room_after(leave()).await;
    assert_eq!(eve.code(join_by(&room.invite)).await, ErrorCode::GameRunning);
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_and_the_link_stays() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada] = players(&cluster).await;
    for rubbish in [&b"\xff\xff\xff"[..], b"", b"\xfa\x7f\x00"] {
        let (id, from) = (fresh(), ada.gateway.arrived());
        ada.send(id, bytes::Bytes::copy_from_slice(rubbish));
        let lobby_reply::Reply::Error(error) = ada.reply(id, from).await else { panic!("no error") };
        assert_eq!(error.code(), ErrorCode::BadRequest, "{rubbish:?}");
    }
    ada.create("gomoku").await;
}

#[tokio::test]
async fn a_gateway_that_sends_rubbish_loses_its_link_and_nobody_else_does() {
    let cluster = Cluster::of_lobbies(1).await;
    let (broken, sound) = (cluster.gateway(0).await, cluster.gateway(0).await);
    broken.outbox.push(link::LOBBY_FORWARD, &[b"\xff\xff"]).unwrap();
    broken.closed().await;
    let strange = cluster.gateway(0).await;
    strange.outbox.push(99, &[]).unwrap();
    strange.closed().await;
    sound.player(1).create("gomoku").await;
}

#[tokio::test]
async fn the_kicked_one_is_told_and_may_come_again() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob] = players(&cluster).await;
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    assert_eq!(sessions(&ada.room(kick(2)).await), [1]);
    let event = bob.event("the kick", |event| matches!(event, lobby_event::Event::RoomLeft(_))).await;
    let lobby_event::Event::RoomLeft(left) = event else { unreachable!("it was checked") };
    assert_eq!((left.room, left.reason()), (room.id, RoomLeftReason::Kicked));
    assert_eq!(bob.look().await, None);
    bob.room(join(&room)).await;
}

#[tokio::test]
async fn lists_filter_and_page() {
    let cluster = Cluster::of_lobbies(1).await;
    let gateway = cluster.gateway(0).await;
    for session in 1..=30 {
        let game = if session % 3 == 0 { "arena" } else { "gomoku" };
        let name = format!("Room {session:02}");
        let asked = CreateRoom { name, game: game.to_owned(), private: session == 30, ..CreateRoom::default() };
        gateway.player(session).room(Request::CreateRoom(asked)).await;
    }
    let reader = gateway.player(99);
    let names = async |list: ListRooms| {
        let (mut names, mut page, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let read = reader.rooms(ListRooms { page, ..list.clone() }).await;
            assert!(read.rooms.len() <= list.limit as usize);
            names.extend(read.rooms.into_iter().map(|room| room.name));
            (page, pages) = (read.next_page, pages + 1);
            if page.is_empty() {
                return (names, pages);
            }
        }
    };
    let expected = |keep: fn(u64) -> bool| -> Vec<String> {
        (1..30).rev().filter(|&session| keep(session)).map(|session| format!("Room {session:02}")).collect()
    };
    let (all, pages) = names(ListRooms { limit: 4, ..Default::default() }).await;
    assert_eq!(all, expected(|_| true), "newest first, each once, private ones left out");
    assert!(pages >= 8, "{pages}");
    let arena = || ListRooms { game: "arena".to_owned(), limit: 4, ..Default::default() };
    assert_eq!(names(arena()).await.0, expected(|session| session % 3 == 0));
    assert_eq!(names(ListRooms { open_only: true, ..arena() }).await.0, expected(|session| session % 3 == 0));
    let named = ListRooms { name_contains: "OOM 1".to_owned(), limit: 100, ..Default::default() };
    assert_eq!(names(named).await.0, expected(|session| (10..20).contains(&session)));

    let full = reader.rooms(ListRooms { name_contains: "room 01".to_owned(), ..Default::default() }).await;
    gateway.player(40).room(join_by(&gateway.player(1).look().await.unwrap().invite)).await;
    assert_eq!((full.rooms[0].players, full.rooms[0].owner.as_str()), (1, "player 1"));
    let open = ListRooms { open_only: true, limit: 100, ..Default::default() };
    assert_eq!(names(open).await.0, expected(|session| session != 1), "a full room is not open");
}

#[tokio::test]
async fn quick_match_fills_rooms_of_the_same_settings() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob, cleo, dan] = players(&cluster).await;
    let private_room = dan.room(private("gomoku")).await;
    let first = ada.room(quick_match("gomoku", r#"{"size": 15}"#)).await;
    let other = bob.room(quick_match("gomoku", r#"{"size": 19}"#)).await;
    let matched = cleo.room(quick_match("gomoku", r#" {"size":15} "#)).await;
    assert_ne!(first.id, other.id);
    assert_ne!(first.id, private_room.id);
    assert_eq!((matched.id, sessions(&matched)), (first.id, vec![1, 3]));
}

#[tokio::test]
async fn trouble_with_the_store_is_told_and_passes() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada] = players(&cluster).await;
    cluster.lobbies[0].faults.set(Fault::RoomsUnavailable);
    let error = ada.error(create("gomoku")).await;
    assert_eq!((error.code(), error.retry), (ErrorCode::Unavailable, true));
    assert!(!error.message.contains("on demand"), "what the store says is not for players: {}", error.message);
    cluster.lobbies[0].faults.set(Fault::None);
    ada.create("gomoku").await;
}

#[tokio::test]
async fn a_flood_of_requests_of_one_session_is_refused_and_others_are_served() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob] = players(&cluster).await;
    ada.create("gomoku").await;
    let from = ada.gateway.arrived();
    let ids: Vec<_> = (0..500).map(|_| fresh()).collect();
    let request = pintail_wire::client::LobbyRequest { request: Some(chat("spam")) };
    let request = bytes::Bytes::from(pintail_wire::Message::encode_to_vec(&request));
    ids.iter().for_each(|&id| ada.send(id, request.clone()));
    bob.create("gomoku").await;
    let mut refused = 0;
    for id in ids {
        match ada.reply(id, from).await {
            lobby_reply::Reply::Error(error) => {
                assert_eq!((error.code(), error.retry), (ErrorCode::TooManyRequests, true));
                refused += 1;
            }
            other => assert!(matches!(other, lobby_reply::Reply::Room(_)), "{other:?}"),
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn metrics_tell_what_was_asked() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada] = players(&cluster).await;
    ada.create("gomoku").await;
    ada.code(start()).await;
    let metrics = eventually("the metrics", async || {
        let text = cluster.lobbies[0].metrics().await;
        text.contains("TOO_FEW_PLAYERS").then_some(text)
    })
    .await;
    for line in [
        r#"pintail_lobby_requests_total{kind="create_room",outcome="ok"} 1"#,
        r#"pintail_lobby_requests_total{kind="start_game",outcome="TOO_FEW_PLAYERS"} 1"#,
        "pintail_lobby_rooms_created_total 1",
        "pintail_lobby_links 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

//! How sessions come to their games while the games change servers.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pintail_core::limits::ATTACH_WAIT;
use pintail_core::{Durability, GameId, Health, Kind, RoomId, Round, Seq, SessionId, Status, Step};
use pintail_net::Outbox;
use pintail_store::{GameOrder, Games, OrderedPlayer, SharedStore};
use pintail_wire::client::{GameAttach, GameDetachReason, GameDetached, LobbyEvent, Welcome};
use pintail_wire::deliver::encode_deliver;
use pintail_wire::game::{Input, Reliable, shared_header};
use pintail_wire::heartbeat::StoreSight;
use pintail_wire::kind::{client as kind, link as link_kind};
use pintail_wire::link::{Attach, Detach};
use pintail_wire::{Message, games_here};
use support::server::Voice;
use support::trouble::{Lookups, TroubledStore, WatchedStore};
use support::{FakeServer, RawClient, TestGateway, gateway_config, soon, until};
use tokio_util::sync::CancellationToken;

const GAME: GameId = game(7);

const fn game(room: u64) -> GameId {
    GameId { room: RoomId(room), round: Round(1) }
}

fn order(id: GameId, player: u64) -> GameOrder {
    GameOrder {
        id,
        game_type: "echo".parse().unwrap(),
        durability: Durability::Journaled,
        settings: "{}".to_owned(),
        players: vec![OrderedPlayer { session: SessionId(player), name: "p".parse().unwrap() }],
        seed: 1,
        lobby: pintail_core::Slot::new(Kind::Lobby, 0),
        trace: None,
    }
}

/// A player who speaks the protocol byte by byte.
struct Player {
    client: RawClient,
    welcome: Welcome,
}

impl Player {
    async fn join(gateway: &TestGateway) -> Self {
        let (client, welcome) = RawClient::log_in(gateway.tcp, "ann").await;
        Self { client, welcome }
    }

    async fn attach(&mut self, game: GameId, step_seen: u64) {
        let attach = GameAttach { room: game.room.0, round: game.round.0, received: 0, step_seen, acknowledged: 0 };
        self.client.send(kind::GAME_ATTACH, &attach.encode_to_vec()).await;
    }

    async fn detached(&mut self) -> GameDetached {
        GameDetached::decode(self.client.recv_kind(kind::GAME_DETACHED).await).unwrap()
    }

    /// Hears that the game's server is lost.
    async fn lost(&mut self) {
        let detached = self.detached().await;
        assert_eq!((detached.reason(), detached.retry), (GameDetachReason::ServerUnreachable, true));
    }
}

/// The next attach that a server is sent.
async fn attach_at(server: &mut FakeServer) -> Attach {
    Attach::decode(server.recv_kind(link_kind::ATTACH).await).unwrap()
}

/// A gateway whose store is watched, and linked game servers.
async fn cluster(servers: usize) -> (Arc<WatchedStore>, TestGateway, Vec<FakeServer>) {
    let store = WatchedStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let mut linked = Vec::new();
    for _ in 0..servers {
        linked.push(FakeServer::start(Kind::Game, store.clone()).await);
    }
    for server in &mut linked {
        server.linked().await;
    }
    links(&gateway, servers).await;
    (store, gateway, linked)
}

async fn links(gateway: &TestGateway, count: usize) {
    until("the links", async || gateway.metric("pintail_gateway_links").await == count as f64).await;
}

async fn waiting(gateway: &TestGateway, count: usize) {
    until("the wait", async || gateway.metric("pintail_gateway_game_attaches_waiting").await == count as f64).await;
}

/// Places a game, and takes the server that has it out of these.
async fn place(store: &dyn pintail_store::Store, order: &GameOrder, servers: &mut Vec<FakeServer>) -> FakeServer {
    let outcome = store.place(order).await.unwrap();
    let pintail_store::PlaceOutcome::Placed(owner) = outcome else { panic!("{outcome:?}") };
    let index = servers.iter().position(|server| server.slot == owner.slot).unwrap();
    servers.remove(index)
}

fn deliver(from: &Outbox, client_kind: u8, to: &Welcome, text: &[u8]) {
    let head = Reliable::head(Seq(1), Seq(0));
    let recipients = [(SessionId(to.session), &head[..])];
    let shared = shared_header(GAME, Step(3));
    from.push_with(|buffer| encode_deliver(buffer, client_kind, recipients.into_iter(), &[&shared, text])).unwrap();
}

#[tokio::test]
async fn who_waits_is_sent_to_the_server_that_says_it_has_the_game_without_a_question() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    store.lookups.send_replace(Lookups::Stalled);
    owner.kill();
    ann.lost().await;
    ann.attach(GAME, 44).await;
    waiting(&gateway, 1).await;

    let successor = &mut servers[0];
    let taken = [game(1), GAME, game(2)];
    successor.linked().await.push(link_kind::GAMES_HERE, &[&games_here::encode(&taken)]).unwrap();
    let attach = attach_at(successor).await;
    assert_eq!((attach.session, attach.step_seen), (ann.welcome.session, 44));
    assert_eq!(gateway.metric("pintail_gateway_game_attaches_waiting").await, 0.0);
    let link = successor.linked().await;
    deliver(&link, kind::GAME_MESSAGE, &ann.welcome, b"on we go");
    assert_eq!(Reliable::decode(ann.client.recv_kind(kind::GAME_MESSAGE).await).unwrap().payload, "on we go");
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

/// A player's answer takes its time, and the games may be there before.
#[tokio::test]
async fn who_comes_after_the_word_that_the_game_is_there_needs_no_question_either() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    store.lookups.send_replace(Lookups::Stalled);
    let successor = &mut servers[0];
    let link = successor.linked().await;
    owner.kill();
    ann.lost().await;
    link.push(link_kind::GAMES_HERE, &[&games_here::encode(&[GAME])]).unwrap();
    // What follows it on the link is delivered after it was read.
    deliver(&link, kind::LOBBY_EVENT, &ann.welcome, &LobbyEvent::default().encode_to_vec());
    ann.client.recv_kind(kind::LOBBY_EVENT).await;
    ann.attach(GAME, 0).await;
    assert_eq!(attach_at(successor).await.session, ann.welcome.session);
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

/// The former server is stuck, and nobody here has noticed yet.
#[tokio::test]
async fn who_plays_on_a_server_that_lost_the_game_is_sent_to_the_one_that_has_it() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut former = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut former).await;
    store.lookups.send_replace(Lookups::Stalled);
    let successor = &mut servers[0];
    successor.linked().await.push(link_kind::GAMES_HERE, &[&games_here::encode(&[GAME])]).unwrap();
    ann.lost().await;
    let detach = Detach::decode(former.recv_kind(link_kind::DETACH).await).unwrap();
    assert_eq!(detach.session, ann.welcome.session);
    ann.attach(GAME, 0).await;
    assert_eq!(attach_at(successor).await.session, ann.welcome.session);
    // Who plays there already is left alone.
    let link = successor.linked().await;
    link.push(link_kind::GAMES_HERE, &[&games_here::encode(&[GAME])]).unwrap();
    deliver(&link, kind::GAME_MESSAGE, &ann.welcome, b"on we go");
    assert_eq!(ann.client.recv().await.unwrap().kind, kind::GAME_MESSAGE);
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

#[tokio::test]
async fn who_waits_is_sent_on_when_the_link_opens() {
    let store = WatchedStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let awake = CancellationToken::new();
    let ready = awake.clone().cancelled_owned();
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut server = FakeServer::start_when(ready, listen, Kind::Game, store.clone()).await;
    let mut ann = Player::join(&gateway).await;
    store.place(&order(GAME, ann.welcome.session)).await.unwrap();
    ann.attach(GAME, 0).await;
    until("the first look", async || store.looked_up(GAME) == 2).await;
    store.lookups.send_replace(Lookups::Stalled);
    until("the store to say no more", async || store.looked_up(GAME) == 3).await;
    waiting(&gateway, 1).await;
    awake.cancel();
    assert_eq!(attach_at(&mut server).await.session, ann.welcome.session);
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

#[tokio::test]
async fn who_waits_is_sent_on_when_the_store_shows_another_owner() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    owner.kill();
    ann.lost().await;
    ann.attach(GAME, 0).await;
    waiting(&gateway, 1).await;
    let successor = &mut servers[0];
    store.take_over(GAME, successor.slot, successor.incarnation);
    assert_eq!(attach_at(successor).await.session, ann.welcome.session);
    gateway.stop().await;
}

/// A game with 40 players here, of a server that is killed.
#[tokio::test]
async fn a_lost_server_costs_the_store_a_question_for_each_game_and_look_and_not_for_each_player() {
    const PLAYERS: usize = 40;
    let (store, gateway, mut servers) = cluster(2).await;
    let mut players = Vec::new();
    for _ in 0..PLAYERS {
        players.push(Player::join(&gateway).await);
    }
    let mut owner = place(&*store, &order(GAME, players[0].welcome.session), &mut servers).await;
    store.lookups.send_replace(Lookups::Stalled);
    for player in &mut players {
        player.attach(GAME, 0).await;
    }
    waiting(&gateway, PLAYERS).await;
    assert_eq!(store.looked_up(GAME), 1, "who comes while a question is under way waits for its answer");
    store.lookups.send_replace(Lookups::Answered);
    for _ in 0..PLAYERS {
        attach_at(&mut owner).await;
    }

    let (before, began) = (store.looked_up(GAME), Instant::now());
    owner.kill();
    for player in &mut players {
        player.lost().await;
        player.attach(GAME, 0).await;
    }
    waiting(&gateway, PLAYERS).await;
    let asked = store.looked_up(GAME) - before;
    let looks = began.elapsed().as_millis() / 250 + 1;
    assert!(u128::from(asked) <= looks, "{asked} questions in {looks} looks");
    players.truncate(PLAYERS / 2);
    waiting(&gateway, PLAYERS / 2).await;
    let successor = &mut servers[0];
    store.take_over(GAME, successor.slot, successor.incarnation);
    for _ in 0..PLAYERS / 2 {
        attach_at(successor).await;
    }
    waiting(&gateway, 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn only_the_newest_wish_of_a_session_counts_and_none_of_who_is_gone() {
    let (store, gateway, mut servers) = cluster(1).await;
    let mut ann = Player::join(&gateway).await;
    store.place(&order(GAME, ann.welcome.session)).await.unwrap();
    store.lookups.send_replace(Lookups::Stalled);
    ann.attach(GAME, 1).await;
    waiting(&gateway, 1).await;
    ann.attach(game(8), 2).await;
    ann.attach(GAME, 3).await;
    until("the second question", async || store.looked_up(game(8)) == 1).await;
    let (mut again, _) = RawClient::resume(gateway.tcp, &ann.welcome.resume_token).await;
    waiting(&gateway, 0).await;
    let attach = GameAttach { room: 7, round: 1, received: 0, step_seen: 5, acknowledged: 0 };
    again.send(kind::GAME_ATTACH, &attach.encode_to_vec()).await;
    waiting(&gateway, 1).await;
    store.lookups.send_replace(Lookups::Answered);
    let attach = attach_at(&mut servers[0]).await;
    assert_eq!((attach.generation, attach.step_seen), (2, 5));

    let gone = Player::join(&gateway).await;
    store.lookups.send_replace(Lookups::Stalled);
    let mut gone = gone;
    gone.attach(GAME, 0).await;
    waiting(&gateway, 1).await;
    drop(gone);
    waiting(&gateway, 0).await;
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

/// The game that it wants instead is found without a wait, so nothing takes the place of the first wish.
#[tokio::test]
async fn who_turns_to_another_game_waits_no_more_for_the_first() {
    let (store, gateway, mut servers) = cluster(1).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    owner.linked().await.push(link_kind::DELIVER, &[b"rubbish"]).unwrap();
    ann.lost().await;
    links(&gateway, 1).await;
    store.lookups.send_replace(Lookups::Stalled);
    ann.attach(game(8), 0).await;
    waiting(&gateway, 1).await;
    ann.attach(GAME, 2).await;
    assert_eq!(attach_at(&mut owner).await.step_seen, 2);
    assert_eq!(gateway.metric("pintail_gateway_game_attaches_waiting").await, 0.0, "it would be told of it");
    store.lookups.send_replace(Lookups::Answered);
    gateway.stop().await;
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_to_try_again() {
    let (store, gateway, mut servers) = cluster(1).await;
    let mut ann = Player::join(&gateway).await;
    store.place(&order(GAME, ann.welcome.session)).await.unwrap();
    store.take_over(GAME, servers[0].slot, pintail_core::Incarnation(99));
    let mut bob = Player::join(&gateway).await;
    store.place(&order(game(8), bob.welcome.session)).await.unwrap();
    let began = Instant::now();
    ann.attach(GAME, 0).await;
    ann.lost().await;
    let waited = began.elapsed();
    assert!(waited >= ATTACH_WAIT && waited < ATTACH_WAIT + Duration::from_secs(2), "{waited:?}");
    store.lookups.send_replace(Lookups::Failing);
    bob.attach(game(8), 0).await;
    until("some questions", async || store.looked_up(game(8)) > 2).await;
    store.lookups.send_replace(Lookups::Answered);
    assert_eq!(attach_at(&mut servers[0]).await.session, bob.welcome.session, "a store that is away is waited for");
    gateway.stop().await;
}

#[tokio::test]
async fn while_the_store_is_away_sessions_come_back_to_where_they_played() {
    let (store, gateway, mut servers) = cluster(1).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    store.lookups.send_replace(Lookups::Failing);
    ann.attach(GAME, 1).await;
    assert_eq!(attach_at(&mut owner).await.step_seen, 1, "over the link that is open");
    // The link breaks, and the server lives.
    owner.linked().await.push(link_kind::DELIVER, &[b"rubbish"]).unwrap();
    ann.lost().await;
    ann.attach(GAME, 2).await;
    assert_eq!(attach_at(&mut owner).await.step_seen, 2, "over the link that is open again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_game_that_moved_is_followed_and_its_former_server_hears_of_it() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut former = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut former).await;
    let successor = &mut servers[0];
    store.take_over(GAME, successor.slot, successor.incarnation);
    let moved = GameDetached { retry: true, room: 7, round: 1, ..GameDetached::default() }.encode_to_vec();
    let recipients = [(SessionId(ann.welcome.session), &[][..])];
    let outbox = former.linked().await;
    outbox.push_with(|buffer| encode_deliver(buffer, kind::GAME_DETACHED, recipients.into_iter(), &[&moved])).unwrap();
    assert!(ann.detached().await.retry);
    ann.attach(GAME, 9).await;
    assert_eq!(attach_at(successor).await.step_seen, 9);
    let detach = Detach::decode(former.recv_kind(link_kind::DETACH).await).unwrap();
    assert_eq!(detach.session, ann.welcome.session);
    gateway.stop().await;
}

/// Two servers that both believe that they run the game.
#[tokio::test]
async fn only_the_server_that_a_session_plays_on_is_heard() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    let mut other = servers.remove(0);
    let (here, elsewhere) = (owner.linked().await, other.linked().await);
    deliver(&here, kind::GAME_MESSAGE, &ann.welcome, b"too early");
    until("the fence", async || gateway.metric("pintail_gateway_client_frames_fenced_total").await == 1.0).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    let kinds = [kind::GAME_ATTACHED, kind::GAME_MESSAGE, kind::GAME_STATE, kind::GAME_ACKED, kind::GAME_DETACHED];
    for client_kind in kinds.into_iter().chain([kind::GAME_ENDED]) {
        deliver(&elsewhere, client_kind, &ann.welcome, b"by mistake");
    }
    // What is no game's may come from anywhere.
    deliver(&elsewhere, kind::LOBBY_EVENT, &ann.welcome, &LobbyEvent::default().encode_to_vec());
    ann.client.recv_kind(kind::LOBBY_EVENT).await;
    assert_eq!(gateway.metric("pintail_gateway_client_frames_fenced_total").await, 7.0);
    deliver(&here, kind::GAME_MESSAGE, &ann.welcome, b"the game");
    let frame = ann.client.recv().await.unwrap();
    assert_eq!((frame.kind, Reliable::decode(frame.body).unwrap().payload), (kind::GAME_MESSAGE, "the game".into()));

    // It moves: now the former owner is the one that is not heard.
    store.take_over(GAME, other.slot, other.incarnation);
    ann.attach(GAME, 0).await;
    attach_at(&mut other).await;
    deliver(&here, kind::GAME_MESSAGE, &ann.welcome, b"late");
    until("the fence", async || gateway.metric("pintail_gateway_client_frames_fenced_total").await == 8.0).await;
    deliver(&elsewhere, kind::GAME_MESSAGE, &ann.welcome, b"moved");
    let frame = ann.client.recv().await.unwrap();
    assert_eq!((frame.kind, Reliable::decode(frame.body).unwrap().payload), (kind::GAME_MESSAGE, "moved".into()));
    gateway.stop().await;
}

/// As a stopped process does: its sockets stand, and it says nothing.
#[tokio::test]
async fn a_server_that_is_down_loses_its_sessions_while_its_connection_stands() {
    let mut config = gateway_config();
    config.server.timing.link_silence_max = Duration::from_secs(3600);
    let store: SharedStore = WatchedStore::new();
    let gateway = TestGateway::start_with(config, store.clone()).await;
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(FakeServer::start(Kind::Game, store.clone()).await);
    }
    links(&gateway, 3).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    owner.voice.send_replace(Voice::Mute);
    owner.lose_lease();
    ann.lost().await;
    assert_eq!(gateway.health(owner.slot).await, Some(Health::Down));
    links(&gateway, 2).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_drains_keeps_its_players() {
    let (store, gateway, mut servers) = cluster(2).await;
    let mut ann = Player::join(&gateway).await;
    let mut owner = place(&*store, &order(GAME, ann.welcome.session), &mut servers).await;
    ann.attach(GAME, 0).await;
    attach_at(&mut owner).await;
    let link = owner.linked().await;
    owner.status.send_replace(Status::Unused);
    until("the news", async || {
        let events = gateway.events(owner.slot).await;
        events.last().is_some_and(|(event, _)| event == "draining")
    })
    .await;
    let input = [&Input::header(GAME, Seq(1), Seq(0))[..], b"still here"].concat();
    ann.client.send(kind::GAME_INPUT, &input).await;
    assert!(owner.recv_kind(link_kind::INPUT).await.ends_with(b"still here"));
    assert!(!link.is_closed());
    gateway.stop().await;
}

#[tokio::test]
async fn heartbeats_say_whether_the_gateway_reaches_the_store() {
    let store = TroubledStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let mut server = FakeServer::start(Kind::Lobby, store.clone()).await;
    soon("a heartbeat", server.sight.wait_for(|sight| *sight == Some(StoreSight::Reached))).await.unwrap();
    store.is_away.store(true, Ordering::SeqCst);
    soon("the outage", server.sight.wait_for(|sight| *sight == Some(StoreSight::Away))).await.unwrap();
    store.is_away.store(false, Ordering::SeqCst);
    soon("its end", server.sight.wait_for(|sight| *sight == Some(StoreSight::Reached))).await.unwrap();
    assert!(gateway.metric("pintail_gateway_heartbeat_round_trip_seconds_count").await > 0.0, "they come back");
    gateway.stop().await;
}

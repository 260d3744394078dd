//! Journaled games on their way from server to server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::{GameId, Incarnation, Kind, SessionId};
use pintail_echo::{Echo, JournaledEcho};
use pintail_game::GameTypes;
use pintail_net::RoleError;
use pintail_store::{Announcement, Charge, EmbeddedStore, EndReason, PlaceOutcome, SharedStore, Verdict};
use pintail_wire::client::{GameDetachReason, GameDetached, GameEndReason};
use pintail_wire::{Message as _, games_here, kind};
use tokio::time::Instant;

use crate::rig::{ANN, BOB, DEADLINE, Gateway, LOBBY, Server, get, soon, until};

fn types() -> GameTypes {
    GameTypes::new().with::<Echo>().with::<JournaledEcho>()
}

/// A server that gives its games all the time there is when it drains.
pub(crate) async fn server(store: &SharedStore) -> Server {
    Server::start_on(store.clone(), types(), DEADLINE).await
}

/// Waits until the store would place or hand over games to this server.
async fn is_open(server: &Server) {
    until(async || server.find_record().await.filter(|record| record.lease)).await;
}

impl Server {
    /// The process dies, and a gateway finds its port closed.
    pub(crate) async fn crash(self) {
        let record = self.record().await;
        self.task.abort();
        assert!(soon(self.task).await.unwrap_err().is_cancelled());
        let accused = self.store.accuse(record.slot, record.incarnation.unwrap(), LOBBY, Charge::Refused).await;
        assert_eq!(accused.unwrap(), Verdict::Down);
    }

    /// One of its metrics.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = get(self.admin, "/metrics").await;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until one of its metrics is this.
    pub(crate) async fn shows(&self, name: &str, value: f64) {
        until(async || self.metric(name).await.filter(|shown| (shown - value).abs() < 0.5)).await;
    }
}

impl Gateway {
    /// Waits until the server tells that these games are here.
    async fn hears_of(&mut self, games: &BTreeSet<GameId>) {
        let mut told = BTreeSet::new();
        while !games.is_subset(&told) {
            let frame = self.frame().await.expect("the link is open");
            if frame.kind == kind::link::GAMES_HERE {
                told.extend(games_here::decode(frame.body).unwrap());
            }
        }
    }

    /// Sends inputs from this one on and takes their echoes.
    pub(crate) async fn echoes(&mut self, id: GameId, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            self.input(ANN, id, seq, seq - 1, format!("input {seq}").as_bytes());
            assert_eq!(self.message().await, (ANN, seq, Bytes::from(format!("input {seq}"))));
        }
    }

    /// Ann ends the game; how many inputs it has counted.
    pub(crate) async fn end(&mut self, id: GameId, seq: u64) -> String {
        self.input(ANN, id, seq, seq - 1, b"end");
        loop {
            let delivered = self.delivered().await;
            if delivered.kind == kind::client::GAME_ENDED {
                let message = pintail_wire::game::Reliable::decode(delivered.body).unwrap();
                return pintail_wire::client::GameEnded::decode(message.payload).unwrap().result;
            }
        }
    }
}

/// A game that Ann plays on one server, with another beside it.
struct Played {
    owner: Server,
    other: Server,
    id: GameId,
    gateway: Gateway,
}

impl Played {
    async fn start() -> Self {
        let store: SharedStore = Arc::new(EmbeddedStore::new());
        let owner = server(&store).await;
        let id = owner.place("echo-journaled", 1).await;
        let other = server(&store).await;
        is_open(&other).await;
        let mut gateway = owner.link().await;
        gateway.attach(ANN, 1, id, 0);
        assert_eq!(gateway.attached().await.received, 0);
        Self { owner, other, id, gateway }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_whose_server_dies_goes_on_elsewhere_where_it_was() {
    let Played { owner, other, id, mut gateway } = Played::start().await;
    gateway.echoes(id, 1..=3).await;
    let mut second = other.link().await;
    owner.crash().await;
    second.hears_of(&[id].into()).await;

    // The third echo did not reach the client, and neither did the acknowledgement of the third input.
    second.attach(ANN, 2, id, 2);
    let attached = second.attached().await;
    assert_eq!((attached.received, attached.next), (3, 3));
    assert_eq!(second.message().await, (ANN, 3, Bytes::from("input 3")));
    second.input(ANN, id, 3, 3, b"input 3");
    second.echoes(id, 4..=5).await;
    assert_eq!(second.end(id, 6).await, r#"{"inputs":6}"#);
    assert_eq!(other.outcome(id).await.outcome.unwrap().reason, EndReason::Finished);
    other.shows("pintail_game_takeovers_total", 1.0).await;
    drop(second);
    other.stop().await;
}

/// Takes the server that has the game out of these.
async fn take_owner(id: GameId, servers: &mut Vec<Server>) -> Server {
    let owner = servers[0].store.game(id).await.unwrap().unwrap().owner;
    for index in 0..servers.len() {
        if servers[index].record().await.incarnation == Some(owner.incarnation) {
            return servers.swap_remove(index);
        }
    }
    panic!("{owner:?} is gone")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_outlives_any_number_of_servers() {
    let Played { owner, other, id, mut gateway } = Played::start().await;
    let (store, mut servers, mut owner, mut seen) = (owner.store.clone(), vec![other], owner, 0);
    for epoch in 2..=5 {
        gateway.echoes(id, seen + 1..=seen + 10).await;
        seen += 10;
        servers.push(server(&store).await);
        is_open(&servers[1]).await;
        owner.crash().await;
        until(async || (store.game(id).await.unwrap().unwrap().owner.epoch.0 == epoch).then_some(())).await;
        owner = take_owner(id, &mut servers).await;
        gateway = owner.link().await;
        let attached = gateway.attach_in_time(ANN, epoch, id, seen).await;
        assert_eq!((attached.received, attached.next), (seen, seen + 1));
        // A game whose servers die as soon as they have it would be taken for the cause.
        until(async || (store.saved_game(id).await.unwrap().unwrap().attempts == 0).then_some(())).await;
    }
    assert_eq!(gateway.end(id, seen + 1).await, r#"{"inputs":41}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_hands_its_games_over_and_is_gone_at_once() {
    let Played { owner, other, id, mut gateway } = Played::start().await;
    let mut games = BTreeSet::from([id]);
    // The other server has none yet, so that some of these are placed there.
    for room in 2..=60 {
        games.insert(owner.place("echo-journaled", room).await);
    }
    gateway.echoes(id, 1..=3).await;
    let mine = owner.store.hosted(owner.record().await.slot, owner.record().await.incarnation.unwrap()).await.unwrap();
    let mut second = other.link().await;
    let asked = Instant::now();
    owner.stop.cancel();
    second.hears_of(&mine.into_iter().collect()).await;
    loop {
        let delivered = gateway.delivered().await;
        if delivered.kind == kind::client::GAME_DETACHED {
            let detached = GameDetached::decode(delivered.body).unwrap();
            assert_eq!((detached.reason(), detached.retry), (GameDetachReason::ServerUnreachable, true));
            break;
        }
    }
    let attached = second.attach_in_time(ANN, 2, id, 3).await;
    assert_eq!((attached.received, attached.next), (3, 4));
    second.echoes(id, 4..=5).await;
    drop(gateway);
    soon(owner.task).await.unwrap().unwrap();
    assert!(asked.elapsed() < DEADLINE / 2, "it does not wait for games that others have: {:?}", asked.elapsed());
    other.shows("pintail_game_games", 60.0).await;
    let hosted =
        other.store.hosted(other.record().await.slot, other.record().await.incarnation.unwrap()).await.unwrap();
    assert_eq!(hosted.into_iter().collect::<BTreeSet<_>>(), games);
    assert_eq!(other.metric("pintail_game_takeovers_total").await, Some(0.0), "nobody died");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_moves_the_journaled_games_at_once_and_lets_the_others_end() {
    let Played { owner, other, id, mut gateway } = Played::start().await;
    let mut ephemeral = None;
    for room in 2..100 {
        let placed = owner.place("echo", room).await;
        let runs_on = owner.store.game(placed).await.unwrap().unwrap().owner.incarnation;
        if Some(runs_on) == owner.record().await.incarnation {
            ephemeral = Some(placed);
            break;
        }
    }
    let ephemeral = ephemeral.expect("both servers are given games");
    let mut second = other.link().await;
    owner.stop.cancel();
    second.hears_of(&[id].into()).await;
    gateway.attach(BOB, 1, ephemeral, 0);
    let detached = gateway.told().await;
    assert_eq!((detached.kind, detached.session), (kind::client::GAME_DETACHED, ANN));
    gateway.attached().await;
    gateway.input(BOB, ephemeral, 1, 0, b"still here");
    assert_eq!(gateway.message().await, (BOB, 1, Bytes::from("still here")));
    gateway.input(BOB, ephemeral, 2, 1, b"end");
    assert_eq!(gateway.ended().await.1.reason(), GameEndReason::Finished);
    drop(gateway);
    soon(owner.task).await.unwrap().unwrap();
    assert_eq!(second.attach_in_time(ANN, 2, id, 0).await.received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_slot_a_newer_one_took_ends_none_of_its_journaled_games() {
    let Played { owner, other, id, mut gateway } = Played::start().await;
    gateway.echoes(id, 1..=3).await;
    let newer = Announcement {
        kind: Kind::Game,
        endpoint: owner.endpoint,
        incarnation: Incarnation::random(),
        capacity: 1,
        game_types: Vec::new(),
        version: "newer".to_owned(),
        admin_port: None,
        http_port: None,
    };
    owner.store.register(&newer).await.unwrap();
    drop(gateway);
    assert!(matches!(soon(owner.task).await.unwrap(), Err(RoleError::Superseded)));
    let mut second = other.link().await;
    assert_eq!(second.attach_in_time(ANN, 2, id, 3).await.received, 3);
    second.echoes(id, 4..=4).await;
    assert_eq!(other.store.game(id).await.unwrap().unwrap().outcome, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_can_take_waits_in_the_store_and_goes_on_with_the_next() {
    let store: SharedStore = Arc::new(EmbeddedStore::new());
    let only = Server::start_on(store.clone(), types(), Duration::ZERO).await;
    let id = only.place("echo-journaled", 1).await;
    let ephemeral = only.place("echo", 2).await;
    let mut gateway = only.link().await;
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    gateway.echoes(id, 1..=3).await;
    only.stop.cancel();
    // The gateway stays until the goodbye.
    while let Some(frame) = gateway.frame().await {
        assert_ne!(frame.kind, kind::link::GAMES_HERE);
    }
    drop(gateway);
    soon(only.task).await.unwrap().unwrap();
    assert_eq!(store.game(ephemeral).await.unwrap().unwrap().outcome.unwrap().reason, EndReason::ServerStopped);
    assert_eq!(store.game(id).await.unwrap().unwrap().outcome, None);

    let next = server(&store).await;
    let mut gateway = next.link().await;
    assert_eq!(gateway.attach_in_time(ANN, 2, id, 3).await.received, 3);
    gateway.echoes(id, 4..=4).await;
}

/// Every game has its own player, and all play at once.
#[tokio::test(flavor = "multi_thread")]
async fn many_games_are_committed_together_and_taken_over_together() {
    let store: SharedStore = Arc::new(EmbeddedStore::new());
    let owner = server(&store).await;
    is_open(&owner).await;
    let players: Vec<(GameId, SessionId)> = (1..=300).map(|room| (rig_game(room), SessionId(1000 + room))).collect();
    for (id, session) in &players {
        let mut order = owner.order("echo-journaled", id.room.0, "");
        order.players.truncate(1);
        order.players[0].session = *session;
        assert!(matches!(store.place(&order).await.unwrap(), PlaceOutcome::Placed(_)));
    }
    let mut gateway = owner.link().await;
    for (id, session) in &players {
        gateway.attach(*session, 1, *id, 0);
    }
    for _ in &players {
        gateway.attached().await;
    }
    play(&mut gateway, &players, 1..=5).await;
    let writes = owner.metric(r#"pintail_game_journal_writes_total{outcome="committed"}"#).await.unwrap();
    let batches = owner.metric("pintail_game_journal_batch_writes_count").await.unwrap();
    assert!(writes >= 600.0 && batches < writes / 2.0, "{writes} writes in {batches} batches");

    let other = server(&store).await;
    is_open(&other).await;
    let mut second = other.link().await;
    owner.crash().await;
    second.hears_of(&players.iter().map(|(id, _)| *id).collect()).await;
    for (id, session) in &players {
        second.attach(*session, 2, *id, 5);
    }
    for _ in &players {
        assert_eq!(second.attached().await.received, 5);
    }
    play(&mut second, &players, 6..=7).await;
    other.shows("pintail_game_takeovers_total", 300.0).await;
}

fn rig_game(room: u64) -> GameId {
    GameId { room: pintail_core::RoomId(room), round: pintail_core::Round(1) }
}

/// All of them send an input, and each has its echo before the next.
async fn play(gateway: &mut Gateway, players: &[(GameId, SessionId)], seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        for (id, session) in players {
            gateway.input(*session, *id, seq, seq - 1, b"x");
        }
        let mut waited_for: BTreeSet<_> = players.iter().map(|(_, session)| *session).collect();
        while !waited_for.is_empty() {
            let (session, number, _) = gateway.message().await;
            assert_eq!(number, seq);
            assert!(waited_for.remove(&session), "{session} twice");
        }
    }
}

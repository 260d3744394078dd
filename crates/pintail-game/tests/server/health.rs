//! What a game server says of itself: stuck, congested, draining.

use std::collections::BTreeMap;
use std::sync::mpsc as sync;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pintail_core::Status;
use pintail_core::limits::{LEASE_RENEWAL, LINK_HEARTBEAT, SUSPECT_AFTER};
use pintail_echo::Echo;
use pintail_game::{Context, Game, GameTypes, Player, Refusal, Rules};
use pintail_store::{DrainRequest, EmbeddedStore, EndReason, PlaceOutcome};
use pintail_wire::client::GameEndReason;
use pintail_wire::kind;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::rig::{ANN, BOB, DEADLINE, Gateway, Server, get, soon, until};

/// A game whose handler hangs until the test lets it go on.
#[derive(Serialize, Deserialize)]
struct Stuck;

static STUCK: Mutex<Option<(sync::Sender<()>, sync::Receiver<()>)>> = Mutex::new(None);

impl Game for Stuck {
    const NAME: &'static str = "stuck";
    const RULES: Rules = Rules::ephemeral();
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {
        let (entered, go_on) = STUCK.lock().unwrap().take().unwrap();
        entered.send(()).unwrap();
        go_on.recv_timeout(DEADLINE).unwrap();
    }
}

impl Gateway {
    /// Sends a heartbeat and waits for its answer; how long it took.
    async fn heartbeat(&mut self) -> Duration {
        let sent = Instant::now();
        let body = Bytes::from(format!("{:8}", sent.elapsed().as_micros()));
        self.send(kind::link::HEARTBEAT, &[&body]);
        loop {
            let frame = self.frame().await.expect("the link is open");
            if frame.kind == kind::link::HEARTBEAT_ANSWER {
                assert_eq!(frame.body, body);
                return sent.elapsed();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_game_makes_its_server_accuse_itself_until_it_goes_on() {
    let server = Server::start(GameTypes::new().with::<Stuck>()).await;
    let id = server.place("stuck", 1).await;
    let mut gateway = server.link().await;
    gateway.heartbeat().await;

    let (entered_tx, entered) = sync::channel();
    let (go_on, go_on_rx) = sync::channel();
    *STUCK.lock().unwrap() = Some((entered_tx, go_on_rx));
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    gateway.input(ANN, id, 1, 0, b"x");
    // One call of recv also sends what is queued.
    let silence = timeout(Duration::from_millis(100), gateway.connection.recv(&gateway.outbox)).await;
    assert!(silence.is_err());
    tokio::task::spawn_blocking(move || entered.recv_timeout(DEADLINE).unwrap()).await.unwrap();
    let stuck_since = Instant::now();
    let slot = server.record().await.slot;
    until(async || (server.record().await.accusers == [slot]).then_some(())).await;
    assert!(stuck_since.elapsed() >= SUSPECT_AFTER / 2, "no sooner than a gateway would");
    until(async || (!server.record().await.lease).then_some(())).await;
    gateway.send(kind::link::HEARTBEAT, &[b"stuck   "]);
    let silence = timeout(Duration::from_millis(100), gateway.connection.recv(&gateway.outbox)).await;
    assert!(silence.is_err(), "nobody answers for a loop that is stuck");

    go_on.send(()).unwrap();
    // The acknowledgement of the input may come first.
    while gateway.frame().await.unwrap().kind != kind::link::HEARTBEAT_ANSWER {}
    until(async || Some(server.record().await).filter(|record| record.lease && record.accusers.is_empty())).await;
    gateway.heartbeat().await;
    drop(gateway);
    server.stop().await;
}

/// A game whose steps take longer than there is time for all of them.
#[derive(Serialize, Deserialize)]
struct Slow {
    number: u64,
}

/// How many steps each has taken.
static SLOW_STEPS: Mutex<BTreeMap<u64, u32>> = Mutex::new(BTreeMap::new());

const SLOW_STEP: Duration = Duration::from_millis(40);

impl Game for Slow {
    const NAME: &'static str = "slow";
    const RULES: Rules = Rules::ephemeral().fixed_steps(10);
    type Settings = u64;
    type Input = Bytes;
    type Output = Bytes;

    fn new(number: u64, _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self { number })
    }

    fn input(&mut self, _: &mut Context<'_, Self>, _: Player, _: Bytes) {}

    fn step(&mut self, _: &mut Context<'_, Self>) {
        *SLOW_STEPS.lock().unwrap().entry(self.number).or_default() += 1;
        std::thread::sleep(SLOW_STEP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_games_congest_their_server_and_do_not_make_it_silent() {
    let server = Server::start(GameTypes::new().with::<Slow>()).await;
    let games = 10;
    for number in 1..=games {
        server.place_with("slow", number, &number.to_string()).await;
    }
    let mut gateway = server.link().await;
    let congested =
        async { until(async || Some(server.record().await).filter(|record| record.status == Status::Congested)).await };
    let answers = async {
        loop {
            let took = gateway.heartbeat().await;
            assert!(took < SUSPECT_AFTER, "answered after {took:?}");
            tokio::time::sleep(LINK_HEARTBEAT.saturating_sub(took)).await;
        }
    };
    let record = tokio::select! {
        record = congested => record,
        () = answers => unreachable!("it never ends"),
    };
    assert!(record.cause.contains("% of steps late"), "{record:?}");
    assert!(record.accusers.is_empty() && record.lease, "{record:?}");
    let steps: Vec<u32> = SLOW_STEPS.lock().unwrap().values().copied().collect();
    let (fewest, most) = (steps.iter().min().unwrap(), steps.iter().max().unwrap());
    assert!(steps.len() as u64 == games && *fewest >= 2 && most - fewest <= 6, "none starves: {steps:?}");
    drop(gateway);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_players_of_a_gateway_that_crashed_are_gone_within_a_heartbeat() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let id = server.place("echo", 1).await;
    let (mut one, mut other) = (server.link().await, server.link().await);
    one.attach(ANN, 1, id, 0);
    one.attached().await;
    other.attach(BOB, 1, id, 0);
    other.attached().await;
    until(async || (server.record().await.players == 2).then_some(())).await;
    drop(one);
    let crashed = Instant::now();
    until(async || (server.record().await.players == 1).then_some(())).await;
    let most = LINK_HEARTBEAT + LEASE_RENEWAL * 11 / 10 + Duration::from_millis(250);
    assert!(crashed.elapsed() < most, "{:?}", crashed.elapsed());
    drop(other);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_drains_a_server_which_plays_its_games_to_their_end() {
    let store = Arc::new(EmbeddedStore::new());
    let server = Server::start_on(store, GameTypes::new().with::<Echo>(), DEADLINE).await;
    let id = server.place("echo", 1).await;
    let mut gateway = server.link().await;
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    let slot = server.record().await.slot;
    assert!(matches!(server.store.ask_to_drain(slot).await.unwrap(), DrainRequest::Asked(_)));
    let record = until(async || Some(server.record().await).filter(|record| record.status == Status::Unused)).await;
    assert_eq!(record.cause, "draining");
    assert!(record.is_live(), "{record:?}");
    assert!(get(server.admin, "/readyz").await.starts_with("HTTP/1.1 503"));
    let order = server.order("echo", 2, "");
    assert_eq!(server.store.place(&order).await.unwrap(), PlaceOutcome::NoServer);

    gateway.input(ANN, id, 1, 0, b"still here");
    assert_eq!(gateway.message().await.2, "still here");
    gateway.input(ANN, id, 2, 1, b"end");
    let (_, ended) = gateway.ended().await;
    assert_eq!(ended.reason(), GameEndReason::Finished);
    drop(gateway);
    soon(server.task).await.unwrap().unwrap();
    assert_eq!(server.store.game(id).await.unwrap().unwrap().outcome.unwrap().reason, EndReason::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_what_is_left_when_its_time_is_over() {
    let (store, patience) = (Arc::new(EmbeddedStore::new()), Duration::from_millis(500));
    let server = Server::start_on(store, GameTypes::new().with::<Echo>(), patience).await;
    let id = server.place("echo", 1).await;
    let mut gateway = server.link().await;
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;
    let asked = Instant::now();
    server.store.ask_to_drain(server.record().await.slot).await.unwrap();
    let (_, ended) = gateway.ended().await;
    assert_eq!(ended.reason(), GameEndReason::ServerStopped);
    assert!(asked.elapsed() >= patience);
    drop(gateway);
    soon(server.task).await.unwrap().unwrap();
}

/// Its games are over, and a gateway takes its time to close the link.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_its_links_to_close_is_not_stuck() {
    let server = Server::start(GameTypes::new().with::<Echo>()).await;
    let mut gateway = server.link().await;
    server.stop.cancel();
    assert_eq!(gateway.frame().await.map(|frame| frame.kind), Some(kind::link::SERVER_GOODBYE));
    let said_goodbye = Instant::now();
    let look = async || {
        let record = server.record().await;
        assert!(record.accusers.is_empty() && record.lease == record.incarnation.is_some(), "{record:?}");
        server.task.is_finished().then_some(())
    };
    until(look).await;
    assert!(
        said_goodbye.elapsed() > SUSPECT_AFTER,
        "long enough for a loop that does not come round to be found stuck"
    );
    drop(gateway);
    soon(server.task).await.unwrap().unwrap();
}

/// A game that is placed in the moment before the store hears of the drain is played and not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_is_placed_while_the_drain_begins_is_played() {
    let store = Arc::new(EmbeddedStore::new());
    let server = Server::start_on(store, GameTypes::new().with::<Echo>(), DEADLINE).await;
    let mut placed = vec![server.place("echo", 1).await];
    server.stop.cancel();
    for room in 2.. {
        let order = server.order("echo", room, "");
        match server.store.place(&order).await.unwrap() {
            PlaceOutcome::Placed(_) => placed.push(order.id),
            _ => break,
        }
    }
    let mut gateway = server.link().await;
    for id in &placed {
        gateway.attach(ANN, 1, *id, 0);
        gateway.attached().await;
        gateway.input(ANN, *id, 1, 0, b"end");
        gateway.ended().await;
    }
    drop(gateway);
    soon(server.task).await.unwrap().unwrap();
    for id in placed {
        let outcome = server.store.game(id).await.unwrap().unwrap().outcome.unwrap();
        assert_eq!(outcome.reason, EndReason::Finished, "{id}");
    }
}

//! A server whose store is away, or that was held up: what it says, and what it keeps to itself.

use std::sync::atomic::Ordering;
use std::sync::mpsc as sync;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use pintail_core::{GameId, Status};
use pintail_echo::{Echo, JournaledEcho};
use pintail_game::server::WhenStuck;
use pintail_game::{Context, Game, GameConfig, GameTypes, Player, Refusal, Rules};
use pintail_store::{EmbeddedStore, Journals, Lineage, SharedStore};
use pintail_wire::heartbeat::{Heartbeat, StoreSight};
use pintail_wire::kind;
use serde::{Deserialize, Serialize};

use crate::disturbed::Disturbed;
use crate::rig::{ANN, BOB, DEADLINE, Gateway, Server, soon, until};

const HOLD: Duration = Duration::from_millis(200);

/// A game that Ann plays on a server whose store can be taken away.
struct Played {
    store: Arc<Disturbed>,
    inner: Arc<EmbeddedStore>,
    server: Server,
    id: GameId,
    gateway: Gateway,
}

impl Played {
    async fn start() -> Self {
        let inner = Arc::new(EmbeddedStore::new());
        let store = Disturbed::new(inner.clone());
        let types = GameTypes::new().with::<JournaledEcho>();
        let hold = |config: &mut GameConfig| config.journal.hold_max = HOLD;
        let server = Server::start_with(store.clone(), types, hold).await;
        let id = server.place("echo-journaled", 1).await;
        let mut gateway = server.link().await;
        gateway.attach(ANN, 1, id, 0);
        gateway.attached().await;
        gateway.echoes(id, 1..=3).await;
        Self { store, inner, server, id, gateway }
    }

    /// The store is out of the server's reach, and its lease has run out.
    async fn take_store_away(&self) {
        self.store.away.store(true, Ordering::Relaxed);
        self.server.shows("pintail_game_lease_held", 0.0).await;
    }
}

impl Gateway {
    /// Says whether it reaches the store, and waits for the answer; whether anything was delivered before that.
    async fn sees_store(&mut self, store: StoreSight) -> bool {
        self.send(kind::link::HEARTBEAT, &[&Heartbeat { clock: 7, store }.to_bytes()]);
        let mut delivered = false;
        loop {
            let frame = self.frame().await.expect("the link is open");
            match frame.kind {
                kind::link::HEARTBEAT_ANSWER => return delivered,
                kind::link::DELIVER => {
                    delivered = true;
                    self.take(frame);
                }
                _ => {}
            }
        }
    }

    /// The same again and again, as a gateway does, until something is delivered.
    async fn sees_store_until_delivered(&mut self, store: StoreSight) {
        soon(async {
            while !self.sees_store(store).await {
                tokio::time::sleep(HOLD / 10).await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_for_all_games_go_on_unprotected_and_are_protected_again() {
    let Played { store, inner, server, id, mut gateway } = {
        let mut played = Played::start().await;
        played.gateway.sees_store(StoreSight::Away).await;
        played.take_store_away().await;
        played
    };
    gateway.input(ANN, id, 4, 3, b"held");
    gateway.sees_store_until_delivered(StoreSight::Away).await;
    assert_eq!(gateway.message().await, (ANN, 4, Bytes::from("held")));
    server.shows("pintail_game_unprotected_games", 1.0).await;
    assert_eq!(server.metric("pintail_game_went_unprotected_total").await, Some(1.0));
    gateway.input(ANN, id, 5, 4, b"unprotected");
    gateway.sees_store_until_delivered(StoreSight::Away).await;
    assert_eq!(gateway.message().await.1, 5);

    store.away.store(false, Ordering::Relaxed);
    gateway.sees_store(StoreSight::Reached).await;
    server.shows("pintail_game_unprotected_games", 0.0).await;
    until(async || Some(server.record().await).filter(|record| record.status == Status::Smooth)).await;
    gateway.echoes(id, 6..=6).await;
    assert!(inner.saved_game(id).await.unwrap().unwrap().journal.snapshot.is_some());

    // All of it is safe again, also what was played without protection.
    let other_store: SharedStore = inner;
    let other = super::takeover::server(&other_store).await;
    let mut second = other.link().await;
    server.crash().await;
    assert_eq!(second.attach_in_time(ANN, 2, id, 6).await.received, 6);
    assert_eq!(second.end(id, 7).await, r#"{"inputs":7}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_alone_is_cut_off_from_the_store_keeps_to_itself_what_its_games_say() {
    let Played { store, server, id, mut gateway, .. } = Played::start().await;
    store.away.store(true, Ordering::Relaxed);
    soon(async {
        while server.metric("pintail_game_lease_held").await != Some(0.0) {
            gateway.sees_store(StoreSight::Reached).await;
        }
    })
    .await;
    gateway.input(ANN, id, 4, 3, b"held");
    for _ in 0..40 {
        assert!(!gateway.sees_store(StoreSight::Reached).await, "nobody may hear it");
        tokio::time::sleep(HOLD / 10).await;
    }
    assert_eq!(server.metric("pintail_game_unprotected_games").await, Some(0.0));
    store.away.store(false, Ordering::Relaxed);
    gateway.sees_store_until_delivered(StoreSight::Reached).await;
    assert_eq!(gateway.message().await, (ANN, 4, Bytes::from("held")));
    gateway.echoes(id, 5..=5).await;
    drop(gateway);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_are_repeated_and_count_once() {
    let Played { store, server, id, mut gateway, .. } = Played::start().await;
    store.writes_fail.store(true, Ordering::Relaxed);
    let before = store.writes.load(Ordering::Relaxed);
    gateway.input(ANN, id, 4, 3, b"input 4");
    soon(async {
        while store.writes.load(Ordering::Relaxed) < before + 3 {
            assert!(!gateway.sees_store(StoreSight::Reached).await, "it is not safe yet");
            tokio::time::sleep(HOLD / 10).await;
        }
    })
    .await;
    store.answers_get_lost.store(true, Ordering::Relaxed);
    store.writes_fail.store(false, Ordering::Relaxed);
    assert_eq!(gateway.message().await, (ANN, 4, Bytes::from("input 4")));
    gateway.echoes(id, 5..=8).await;
    assert_eq!(gateway.end(id, 9).await, r#"{"inputs":9}"#);
    assert!(server.metric(r#"pintail_game_journal_writes_total{outcome="failed"}"#).await.unwrap() >= 3.0);
    store.answers_get_lost.store(false, Ordering::Relaxed);
    drop(gateway);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_have_forgotten_something_is_told_all_of_it_again() {
    let Played { store, inner, server, id, mut gateway } = Played::start().await;
    assert_eq!(server.metric("pintail_game_snapshots_total").await, Some(0.0));
    store.lineage.send_replace(Lineage(1));
    server.shows("pintail_game_snapshots_total", 1.0).await;
    let journal = until(async || {
        let journal = inner.saved_game(id).await.unwrap().unwrap().journal;
        journal.snapshot.is_some().then_some(journal)
    })
    .await;
    assert!(journal.entries.is_empty(), "the snapshot contains them");
    gateway.echoes(id, 4..=4).await;
    drop(gateway);
    server.stop().await;
}

/// A journaled game whose handler hangs until the test lets it go on.
#[derive(Serialize, Deserialize)]
struct Held;

static HELD: Mutex<Option<(sync::Sender<()>, sync::Receiver<()>)>> = Mutex::new(None);

impl Game for Held {
    const NAME: &'static str = "held-journaled";
    const RULES: Rules = Rules::journaled();
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Bytes) {
        ctx.send(player, input);
        let taken = HELD.lock().unwrap().take();
        if let Some((entered, go_on)) = taken {
            entered.send(()).unwrap();
            go_on.recv_timeout(DEADLINE).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_says_in_which_game_and_tells_nobody_what_is_no_longer_sure() {
    let (stuck_tx, stuck) = sync::channel();
    let when_stuck = WhenStuck::new(Duration::from_millis(400), move |stuck| stuck_tx.send(stuck.clone()).unwrap());
    let types = GameTypes::new().with::<Held>().with::<Echo>();
    let store: SharedStore = Arc::new(EmbeddedStore::new());
    let server = Server::start_with(store, types, |config| config.when_stuck = Some(when_stuck)).await;
    let id = server.place("held-journaled", 1).await;
    let ephemeral = server.place("echo", 2).await;
    let mut gateway = server.link().await;
    gateway.attach(ANN, 1, id, 0);
    gateway.attached().await;

    let (entered_tx, entered) = sync::channel();
    let (go_on, go_on_rx) = sync::channel();
    *HELD.lock().unwrap() = Some((entered_tx, go_on_rx));
    // Both arrive together, so the answer to the second comes out of the turn in which the game hangs, unless the machine
    // hangs just before: what was said before that turn is no longer under way once the game has been stuck for so long.
    gateway.input(ANN, id, 1, 0, b"x");
    gateway.attach(BOB, 1, ephemeral, 0);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let rest_of_the_link = tokio::spawn(async move {
        while let Ok(Some(frame)) = gateway.connection.recv(&gateway.outbox).await {
            hears.lock().unwrap().push(frame.kind);
        }
    });
    let said = tokio::task::spawn_blocking(move || {
        entered.recv_timeout(DEADLINE).unwrap();
        stuck.recv_timeout(DEADLINE).unwrap()
    });
    let said = soon(said).await.unwrap();
    heard.lock().unwrap().clear();
    assert_eq!(said.game, Some((id, "held-journaled".parse().unwrap())));
    assert!(said.to_string().contains(&format!("in game {id} of type held-journaled")), "{said}");

    until(async || (!server.record().await.lease).then_some(())).await;
    go_on.send(()).unwrap();
    soon(rest_of_the_link).await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [0_u8; 0], "the link is closed without a further word");
    let mut gateway = server.link().await;
    let attached = gateway.attach_in_time(ANN, 2, id, 0).await;
    if attached.received == 0 {
        gateway.input(ANN, id, 1, 0, b"x");
    }
    assert_eq!(gateway.message().await, (ANN, 1, Bytes::from("x")));
    drop(gateway);
    server.stop().await;
}

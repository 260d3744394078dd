//! What becomes of a server's games when the registry lost sight of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::{EndOutcome, GameId, Incarnation, Kind, Slot};
use pintail_echo::Echo;
use pintail_game::GameTypes;
use pintail_store::{
    Announcement, Charge, EmbeddedStore, EndReason, GameOrder, GameRecord, Games, Owner, Periods, PlaceOutcome,
    RedisOptions, RedisStore, Registry, RestoreOutcome, Result, SavedSnapshot, SharedStore, Verdict,
};
use pintail_testkit::RedisServer;
use pintail_wire::Message as _;
use pintail_wire::client::{GameDetachReason, GameDetached};
use pintail_wire::kind;

use crate::rig::{ANN, Gateway, LOBBY, Server, until};

/// A store in which nobody deals with what is left, unless the test does.
struct Unswept {
    inner: Arc<EmbeddedStore>,
}

#[async_trait]
impl Games for Unswept {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        self.inner.place(order).await
    }
    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        self.inner.game(id).await
    }
    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        self.inner.hosted(slot, incarnation).await
    }
    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome> {
        self.inner.restore_game(order, owner, snapshot).await
    }
    async fn end_game(&self, id: GameId, owner: Owner, outcome: &EndOutcome) -> Result<bool> {
        self.inner.end_game(id, owner, outcome).await
    }
    async fn unsettled_games(&self, min_age_ms: u64, limit: u32) -> Result<Vec<GameId>> {
        self.inner.unsettled_games(min_age_ms, limit).await
    }
    async fn settle_game(&self, id: GameId) -> Result<()> {
        self.inner.settle_game(id).await
    }
    async fn sweep_orphans(&self, _: u32) -> Result<u32> {
        Ok(0)
    }
}

pintail_testkit::hand_on!(Unswept.inner: Registry, Rooms, Journals, Sessions, Mail, Upkeep);

/// A server with a game that Ann plays.
struct Played {
    server: Server,
    gateway: Gateway,
    id: GameId,
}

impl Played {
    async fn on(store: SharedStore) -> Self {
        let server = Server::start_on(store, GameTypes::new().with::<Echo>(), Duration::ZERO).await;
        let id = server.place("echo", 1).await;
        let mut gateway = server.link().await;
        gateway.attach(ANN, 1, id, 0);
        gateway.attached().await;
        let mut played = Self { server, gateway, id };
        played.goes_on(1).await;
        played
    }

    /// Ann sends her next input and is answered.
    async fn goes_on(&mut self, seq: u64) {
        self.gateway.input(ANN, self.id, seq, seq - 1, b"still here");
        assert_eq!(self.gateway.message().await, (ANN, seq, "still here".into()));
    }

    /// Ann hears that the game is no longer here.
    async fn is_detached(&mut self) {
        loop {
            let delivered = self.gateway.delivered().await;
            if delivered.kind == kind::client::GAME_DETACHED {
                let detached = GameDetached::decode(delivered.body).unwrap();
                assert_eq!((detached.reason(), detached.retry), (GameDetachReason::ServerUnreachable, true));
                return;
            }
        }
    }

    /// An observer is wrong about the server.
    async fn switch_off(&self) -> (Slot, Incarnation) {
        let record = self.server.record().await;
        let (slot, incarnation) = (record.slot, record.incarnation.unwrap());
        let verdict = self.server.store.accuse(slot, incarnation, LOBBY, Charge::Refused).await.unwrap();
        assert_eq!(verdict, Verdict::Down);
        (slot, incarnation)
    }

    async fn end(self) {
        drop(self.gateway);
        self.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_switched_off_by_mistake_keeps_its_games() {
    let inner = Arc::new(EmbeddedStore::new());
    let mut played = Played::on(Arc::new(Unswept { inner })).await;
    let (slot, incarnation) = played.switch_off().await;
    until(async || Some(played.server.record().await).filter(|record| record.lease)).await;
    let record = played.server.record().await;
    assert_eq!((record.slot, record.incarnation, record.games), (slot, Some(incarnation), 1));
    assert_eq!(played.server.store.hosted(slot, incarnation).await.unwrap(), [played.id]);
    played.goes_on(2).await;
    played.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_gone_for_too_long_drops_what_others_have_ended() {
    let inner = Arc::new(EmbeddedStore::new());
    let mut played = Played::on(Arc::new(Unswept { inner: inner.clone() })).await;
    let (slot, incarnation) = played.switch_off().await;
    assert_eq!(inner.sweep_orphans(9).await.unwrap(), 1, "its ephemeral game ends with it");
    until(async || Some(played.server.record().await).filter(|record| record.lease)).await;
    played.is_detached().await;
    assert!(played.server.store.hosted(slot, incarnation).await.unwrap().is_empty());
    assert_eq!(played.server.outcome(played.id).await.outcome.unwrap().reason, EndReason::ServerLost);
    played.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_slot_another_took_comes_back_elsewhere_without_what_it_had() {
    let periods = Periods { recycle_after: Duration::ZERO, ..Periods::default() };
    let inner = Arc::new(EmbeddedStore::with_periods(periods));
    let mut played = Played::on(Arc::new(Unswept { inner: inner.clone() })).await;
    let (slot, incarnation) = played.switch_off().await;
    let other = Announcement {
        kind: Kind::Game,
        endpoint: pintail_core::Endpoint::new([127, 0, 0, 1].into(), 1),
        incarnation: Incarnation::random(),
        capacity: 1,
        game_types: Vec::new(),
        version: "other".to_owned(),
        admin_port: None,
        http_port: None,
    };
    assert_eq!(inner.register(&other).await.unwrap().slot, slot);
    let record = until(async || {
        let servers = played.server.store.scan(Kind::Game).await.unwrap();
        let own = |record: &pintail_store::ServerRecord| record.endpoint == played.server.endpoint && record.lease;
        servers.into_iter().flatten().find(own)
    })
    .await;
    assert_ne!(record.slot, slot);
    assert_eq!(record.incarnation, Some(incarnation));
    // The game is its former slot's, which nobody may serve from any more.
    played.is_detached().await;
    until(async || (played.server.record().await.games == 0).then_some(())).await;
    played.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_gets_the_games_back() {
    let mut redis = RedisServer::start();
    let store = RedisStore::connect(RedisOptions::new(&redis.url()).unwrap()).unwrap();
    let mut played = Played::on(Arc::new(store)).await;
    redis.restart();
    let store = &played.server.store;
    let record = until(async || store.game(played.id).await.ok().flatten()).await;
    assert!(record.outcome.is_none());
    assert_eq!(store.hosted(record.owner.slot, record.owner.incarnation).await.unwrap(), [played.id]);
    played.goes_on(2).await;
    played.end().await;
}

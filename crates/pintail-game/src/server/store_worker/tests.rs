use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use pintail_core::{Durability, Kind, RoomId, Round};
use pintail_store::{
    EmbeddedStore, FailedGame, Games, HandOverOutcome, JournalWrite, Journals, RestoreOutcome, SavedGame, WriteOutcome,
};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;

/// A store whose journals are all damaged.
struct Damaged {
    inner: Arc<EmbeddedStore>,
}

#[async_trait]
impl Journals for Damaged {
    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>, StoreError> {
        Err(StoreError::Corrupt { key: format!("Game:{id}"), problem: "the test says so".to_owned() })
    }
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.inner.write_journals(writes).await
    }
    async fn claim_games(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.inner.claim_games(claim).await
    }
    async fn hand_over(
        &self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> Result<HandOverOutcome, StoreError> {
        self.inner.hand_over(id, owner, snapshot, without_server).await
    }
    async fn failed_games(&self, limit: u32) -> Result<Vec<FailedGame>, StoreError> {
        self.inner.failed_games(limit).await
    }
}

pintail_testkit::hand_on!(Damaged.inner: Registry, Rooms, Games, Sessions, Mail, Upkeep);

fn worker(store: SharedStore) -> Worker {
    Worker { store, in_trouble: AtomicBool::new(false) }
}

#[tokio::test]
async fn the_record_of_a_damaged_game_says_whose_it_is() {
    let inner = Arc::new(EmbeddedStore::new());
    let id = GameId { room: RoomId(1), round: Round(1) };
    let worker = worker(Arc::new(Damaged { inner: inner.clone() }));
    let HostEvent::Damaged(_, None, _) = worker.load(id).await else { panic!("there is no such game") };
    let order = GameOrder {
        id,
        game_type: "echo".parse().unwrap(),
        durability: Durability::Journaled,
        settings: String::new(),
        players: Vec::new(),
        seed: 1,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    };
    let announcement = pintail_store::Announcement {
        kind: Kind::Game,
        endpoint: pintail_core::Endpoint::new(std::net::Ipv4Addr::LOCALHOST, 1),
        incarnation: Incarnation(9),
        capacity: 1,
        game_types: Vec::new(),
        version: "test".to_owned(),
        admin_port: None,
        http_port: None,
    };
    let slot = pintail_store::Registry::register(&*inner, &announcement).await.unwrap().slot;
    let owner = Owner { slot, incarnation: Incarnation(9), epoch: pintail_core::Epoch(3) };
    assert_eq!(inner.restore_game(&order, owner, None).await.unwrap(), RestoreOutcome::Restored);
    let HostEvent::Damaged(damaged, Some(record), problem) = worker.load(id).await else { panic!("it is damaged") };
    assert_eq!((damaged, record.owner, record.outcome), (id, owner, None));
    assert!(problem.contains("the test says so"), "{problem}");
}

/// Counts the lines that an operator sees.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_store_that_is_away_is_one_line_however_many_calls_fail() {
    let worker = worker(Arc::new(EmbeddedStore::new()));
    let lines = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Lines(lines.clone()), || {
        for _ in 0..100 {
            let away = StoreError::Unavailable("the test says so".to_owned());
            assert_eq!(worker.answer::<()>("load a game", Err(away)), Err(StoreFailed::Away));
        }
        assert_eq!(lines.load(Ordering::Relaxed), 1);
        assert_eq!(worker.answer("load a game", Ok(7)), Ok(7));
        assert_eq!(worker.answer("load a game", Ok(8)), Ok(8));
    });
    assert_eq!(lines.load(Ordering::Relaxed), 2, "and one that it is back");
}

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pintail_core::{EntryNumber, Epoch, GameId, Incarnation, Kind, RoomId, Round, Slot};
use pintail_store::{
    Claim, Claimed, EmbeddedStore, FailedGame, HandOverOutcome, Journals, Owner, SavedGame, SavedSnapshot,
    WithoutServer,
};
use tokio::time::timeout;

use super::*;

/// A store whose writes do what the test says, one call at a time.
struct Scripted {
    inner: Arc<EmbeddedStore>,
    /// The games of each call.
    calls: Mutex<Vec<Vec<u64>>>,
    /// Each call waits for one.
    go_on: Semaphore,
    /// The store refuses every call that writes this game.
    poison: Option<u64>,
    /// The store can't be reached.
    away: AtomicBool,
}

impl Scripted {
    fn new(poison: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(EmbeddedStore::new()),
            calls: Mutex::default(),
            go_on: Semaphore::new(0),
            poison,
            away: AtomicBool::new(false),
        })
    }

    fn calls(&self) -> Vec<Vec<u64>> {
        self.calls.lock().unwrap().clone()
    }

    async fn until_calls(&self, count: usize) {
        timeout(DEADLINE, async {
            while self.calls().len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the calls are made");
    }
}

#[async_trait]
impl Journals for Scripted {
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let games: Vec<_> = writes.iter().map(|write| write.game.room.0).collect();
        self.calls.lock().unwrap().push(games.clone());
        self.go_on.acquire().await.unwrap().forget();
        if self.away.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the test says so".to_owned()));
        }
        if self.poison.is_some_and(|poison| games.contains(&poison)) {
            return Err(StoreError::Refused("the test says so".to_owned()));
        }
        // So that each answer is known by its game.
        let odd = |game: &u64| if game % 2 == 1 { WriteOutcome::Committed } else { WriteOutcome::Gap };
        Ok(games.iter().map(odd).collect())
    }
    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>, StoreError> {
        self.inner.saved_game(id).await
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

pintail_testkit::hand_on!(Scripted.inner: Registry, Rooms, Games, Sessions, Mail, Upkeep);

const DEADLINE: Duration = Duration::from_secs(20);

fn write(room: u64, bytes: usize) -> Handed {
    let slot = Slot::new(Kind::Game, 0);
    Handed::new(JournalWrite {
        game: GameId { room: RoomId(room), round: Round(1) },
        owner: Owner { slot, incarnation: Incarnation::random(), epoch: Epoch(1) },
        content: WriteContent::Entries { first: EntryNumber(room * 10), entries: vec![Bytes::from(vec![0; bytes]); 2] },
    })
}

struct Rig {
    store: Arc<Scripted>,
    writes: mpsc::Sender<Handed>,
    commits: mpsc::Receiver<Commits>,
    worker: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn start(store: Arc<Scripted>) -> Self {
        let (writes, writes_rx) = mpsc::channel(WRITES_MAX);
        let (commits_tx, commits) = mpsc::channel(COMMITS_MAX);
        let worker = tokio::spawn(run(store.clone(), writes_rx, commits_tx, JournalMetrics::new()));
        Self { store, writes, commits, worker }
    }

    /// The answers of the next batch: game, number and what became of it.
    async fn answers(&mut self) -> Vec<(u64, u64, Answer<WriteOutcome>)> {
        let commits = timeout(DEADLINE, self.commits.recv()).await.unwrap().unwrap();
        let answer = |event| match event {
            HostEvent::Written(game, _, number, answer) => (game.room.0, number.0, answer),
            other => panic!("no answer to a write: {other:?}"),
        };
        commits.into_iter().map(answer).collect()
    }
}

#[tokio::test]
async fn what_comes_while_batches_are_under_way_goes_together_in_the_next() {
    let mut rig = Rig::start(Scripted::new(None));
    for (room, calls) in [(1, 1), (2, 2)] {
        rig.writes.try_send(write(room, 8)).unwrap();
        rig.store.until_calls(calls).await;
    }
    for room in 3..=9 {
        rig.writes.try_send(write(room, 8)).unwrap();
    }
    rig.store.go_on.add_permits(1);
    assert_eq!(rig.answers().await, [(1, 11, Ok(WriteOutcome::Committed))]);
    rig.store.until_calls(3).await;
    assert_eq!(rig.store.calls(), [vec![1], vec![2], (3..=9).collect()]);
    rig.store.go_on.add_permits(2);
    assert_eq!(rig.answers().await, [(2, 21, Ok(WriteOutcome::Gap))]);
    let answers = rig.answers().await;
    assert_eq!(answers.len(), 7, "all answers of a batch come at once");
    assert_eq!(answers[4], (7, 71, Ok(WriteOutcome::Committed)));
    drop(rig.writes);
    timeout(DEADLINE, rig.worker).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_batch_is_bounded_in_writes_and_in_bytes() {
    let mut rig = Rig::start(Scripted::new(None));
    rig.store.go_on.add_permits(100);
    for room in 0..BATCH_WRITES_MAX as u64 + 1 {
        rig.writes.try_send(write(room, 8)).unwrap();
    }
    assert_eq!(rig.answers().await.len() + rig.answers().await.len(), BATCH_WRITES_MAX + 1);
    // Each has two entries, so the second reaches the limit.
    for room in 0..3 {
        rig.writes.try_send(write(room, BATCH_BYTES_MAX / 4)).unwrap();
    }
    assert_eq!(rig.answers().await.len() + rig.answers().await.len(), 3);
    let sizes: Vec<_> = rig.store.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [BATCH_WRITES_MAX, 1, 2, 1]);
}

#[tokio::test]
async fn a_heavy_write_goes_alone_and_leaves_the_way_free_for_the_others() {
    let mut rig = Rig::start(Scripted::new(None));
    for (room, bytes) in [(1, BATCH_BYTES_MAX), (2, BATCH_BYTES_MAX), (3, 8), (4, 8)] {
        rig.writes.try_send(write(room, bytes)).unwrap();
    }
    rig.store.until_calls(2).await;
    rig.writes.try_send(write(5, 8)).unwrap();
    rig.store.until_calls(3).await;
    assert_eq!(rig.store.calls(), [vec![1], vec![3, 4], vec![5]], "the second heavy one waits for the first");
    rig.store.go_on.add_permits(1);
    assert_eq!(rig.answers().await, [(1, 11, Ok(WriteOutcome::Committed))]);
    rig.store.until_calls(4).await;
    assert_eq!(rig.store.calls()[3], [2]);
}

#[tokio::test]
async fn a_game_whose_write_the_store_refuses_does_not_hold_the_others_up() {
    let mut rig = Rig::start(Scripted::new(Some(3)));
    rig.store.go_on.add_permits(100);
    for room in [1, 3, 5] {
        rig.writes.try_send(write(room, 8)).unwrap();
    }
    let committed = |room| (room, room * 10 + 1, Ok(WriteOutcome::Committed));
    assert_eq!(rig.answers().await, [committed(1), (3, 31, Err(StoreFailed::Away)), committed(5)]);
}

#[tokio::test]
async fn while_the_store_is_away_each_write_fails_and_is_not_tried_alone() {
    let mut rig = Rig::start(Scripted::new(None));
    rig.store.go_on.add_permits(100);
    rig.store.away.store(true, Ordering::Relaxed);
    for room in [1, 2] {
        rig.writes.try_send(write(room, 8)).unwrap();
    }
    assert_eq!(rig.answers().await, [(1, 11, Err(StoreFailed::Away)), (2, 21, Err(StoreFailed::Away))]);
    assert_eq!(rig.store.calls(), [[1, 2]]);
    assert_eq!(
        write(1, 8).refused(),
        HostEvent::Written(
            write(1, 8).write.game,
            write(1, 8).write.owner.epoch,
            EntryNumber(11),
            Err(StoreFailed::Away)
        )
    );
}

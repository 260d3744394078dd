//! Stores, calls and logs to test with.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use pintail_core::{
    Durability, Endpoint, EntryNumber, GameId, GameType, Incarnation, Kind, ResumeToken, RoomId, Round, Slot,
};
use pintail_store::{
    Announcement, GameOrder, Games, JournalWrite, Journals, Login, LoginMode, Mail, Notice, Owner, PlaceOutcome,
    RedisOptions, RedisStore, Registry, Result, Sessions, StoreError, Subscription, WaitReplicas, WriteContent,
    WriteOutcome,
};
use pintail_testkit::RedisServer;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How much longer than planned something may take: other tests keep the machine busy.
pub(crate) const MARGIN: Duration = Duration::from_millis(1500);

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A store with the limits that servers have.
pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::connect(RedisOptions::new(url).unwrap()).unwrap()
}

/// A store whose calls may take as long as a test waits.
pub(crate) fn patient_store(url: &str) -> RedisStore {
    let mut options = RedisOptions::new(url).unwrap();
    options.timeout = PATIENCE;
    RedisStore::connect(options).unwrap()
}

/// A store whose changes wait for this many replicas.
pub(crate) fn waiting_store(url: &str, wait_replicas: WaitReplicas) -> RedisStore {
    let mut options = RedisOptions::new(url).unwrap();
    options.wait_replicas = wait_replicas;
    RedisStore::connect(options).unwrap()
}

/// Waits until a master has this many replicas that are up to date.
pub(crate) async fn until_replicated(master: &RedisServer, replicas: usize) {
    let info = || master.command("INFO replication");
    // The offset is what the replica has acknowledged: it has copied everything, and follows.
    let follows = |line: &&str| line.contains("state=online") && !line.contains("offset=0,");
    let count = || info().lines().filter(follows).count();
    eventually("the replicas are up to date", async || (count() == replicas).then_some(())).await;
}

/// A journaled game in the store. Its entries are their own numbers.
pub(crate) struct Journal {
    game: GameId,
    owner: Owner,
}

impl Journal {
    /// A game on a server of its own.
    pub(crate) async fn start(store: &RedisStore) -> Self {
        let game_type = GameType::new("echo").unwrap();
        let announcement = Announcement {
            kind: Kind::Game,
            endpoint: Endpoint::new([10, 0, 0, 1].into(), 5557),
            incarnation: Incarnation::random(),
            capacity: 100,
            game_types: vec![game_type.clone()],
            version: "1.2.3".to_owned(),
            admin_port: None,
            http_port: None,
        };
        eventually("the server is registered", async || store.register(&announcement).await.ok()).await;
        let order = GameOrder {
            id: GameId { room: RoomId(1), round: Round(1) },
            game_type,
            durability: Durability::Journaled,
            settings: "null".to_owned(),
            players: Vec::new(),
            seed: 1,
            lobby: Slot::new(Kind::Lobby, 0),
            trace: None,
        };
        match store.place(&order).await.unwrap() {
            PlaceOutcome::Placed(owner) => Self { game: order.id, owner },
            other => panic!("not placed: {other:?}"),
        }
    }

    /// Writes the entry with this number, once.
    pub(crate) async fn write(&self, store: &RedisStore, number: u64) -> Result<WriteOutcome> {
        let entries = vec![number.to_string().into()];
        let content = WriteContent::Entries { first: EntryNumber(number), entries };
        let write = JournalWrite { game: self.game, owner: self.owner, content };
        store.write_journals(&[write]).await.map(|outcomes| outcomes[0])
    }

    /// Writes it until the store says what became of it.
    pub(crate) async fn write_at_last(&self, store: &RedisStore, number: u64) -> WriteOutcome {
        eventually("a write is answered", async || self.write(store, number).await.ok()).await
    }

    /// The number of the last entry that the store has, after all those before it.
    pub(crate) async fn last(&self, store: &RedisStore) -> u64 {
        let saved = eventually("a game is read", async || store.saved_game(self.game).await.ok()).await;
        let entries = saved.map(|saved| saved.journal.entries).unwrap_or_default();
        let expected: Vec<_> = (1..=entries.len()).map(|number| number.to_string().into_bytes()).collect();
        assert_eq!(entries, expected);
        entries.len() as u64
    }
}

/// A call that writes, by a script.
pub(crate) async fn write(store: &RedisStore) -> Result<()> {
    let token = ResumeToken::random();
    let login = Login {
        session: token.session(),
        token: token.hash(),
        mode: LoginMode::New("Ada".parse().unwrap()),
        gateway: Slot::new(Kind::Gateway, 0),
        incarnation: Incarnation::random(),
    };
    store.login(&login).await.map(|_| ())
}

/// Calls `probe` until it returns something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(ms(10)).await;
    }
}

/// Waits until calls that write succeed, and says how long it took.
pub(crate) async fn until_it_works(store: &RedisStore) -> Duration {
    let started = Instant::now();
    eventually("calls work", async || write(store).await.ok()).await;
    started.elapsed()
}

/// Waits until a call fails for this reason, as one that can be repeated.
pub(crate) async fn until_refused(store: &RedisStore, reason: &str) -> String {
    let mut last = None;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            match write(store).await {
                Err(StoreError::Unavailable(why)) if why.contains(reason) => return why,
                other => last = Some(other),
            }
            tokio::time::sleep(ms(10)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("no call failed because of `{reason}`, but: {last:?}"))
}

/// The next notice.
pub(crate) async fn next(subscription: &mut Subscription) -> Notice {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a notice comes").expect("the store is there")
}

/// A subscription that listens.
pub(crate) async fn subscribe(store: &RedisStore) -> Subscription {
    let mut subscription = store.subscribe(None);
    assert_eq!(next(&mut subscription).await, Notice::Rescan, "the first notice says that the store listens");
    subscription
}

/// Waits until what `publish` announces is heard, past notices of gaps.
pub(crate) async fn until_heard(subscription: &mut Subscription, publish: impl Fn()) {
    let expected = Notice::ServerOn(Slot::new(Kind::Game, 7));
    eventually("an announcement is heard", async || {
        publish();
        let heard = tokio::time::timeout(ms(100), subscription.next()).await.ok()??;
        (heard == expected).then_some(())
    })
    .await;
}

/// What [`until_heard`] waits for.
pub(crate) const ANNOUNCEMENT: &str = "PUBLISH ServerOn Server:Game:7";

/// What is logged on this thread, that is by a test and its store, from now on.
pub(crate) struct Log {
    text: Arc<Mutex<Vec<u8>>>,
}

thread_local! {
    /// Where this thread's log goes.
    static PAGE: RefCell<Option<Arc<Mutex<Vec<u8>>>>> = const { RefCell::new(None) };
}

/// Writes to the page of the thread that logs. One for all threads: subscribers that come and go with tests would
/// make `tracing` forget that someone listens.
struct Pen;

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        PAGE.with_borrow(|page| page.as_ref().map_or(Ok(bytes.len()), |page| page.lock().unwrap().write(bytes)))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> Self {
        static PEN: Once = Once::new();
        PEN.call_once(|| tracing_subscriber::fmt().with_writer(|| Pen).with_ansi(false).init());
        let text = Arc::<Mutex<Vec<u8>>>::default();
        PAGE.set(Some(Arc::clone(&text)));
        Self { text }
    }

    /// The lines until now.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    /// How many lines contain this text.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }
}

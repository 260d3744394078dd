//! Stores, calls and logs to test with.

use std::cell::RefCell;
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use pintail_core::{Incarnation, Kind, ResumeToken, Slot};
use pintail_store::{
    Login, LoginMode, Mail, Notice, RedisOptions, RedisStore, Result, Sessions, StoreError, Subscription,
};

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

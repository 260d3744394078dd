//! Where the master is: in the URL, or known to sentinels.
//!
//! Each sentinel has a task and a connection. It is asked each second, and at once when it publishes `+switch-master` or
//! when the master turned out not to be one. So a failover is followed within milliseconds of its end if messages come
//! through, and within a second if they don't. What follows from the answers is decided in [`opinions`].

mod opinions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{FromRedisValue, Pipeline, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connection::retry_delay;
use super::dial::{Dialer, Link, Listener, STEP_TIMEOUT, Trouble, is_broken};
use super::url::Address;
pub(super) use opinions::Place;
use opinions::{Naming, Opinions, Word};

/// How often a sentinel is asked.
const ASK_PERIOD: Duration = Duration::from_secs(1);

/// Knows where the master is. Clones share what they know.
#[derive(Debug, Clone)]
pub(super) struct Locator {
    place: watch::Receiver<Place>,
    /// Wakes those who ask the sentinels.
    ask: Arc<Notify>,
    askers: Arc<Vec<AbortOnDropHandle<()>>>,
}

impl Locator {
    /// The master is always there.
    pub(super) fn fixed(address: Address) -> Self {
        let (_, place) = watch::channel(Place::At(address));
        Self { place, ask: Arc::default(), askers: Arc::default() }
    }

    /// The master is where these sentinels say. Starts to ask them.
    pub(super) fn sentinels(sentinels: Vec<Address>, master_name: &str, dialer: &Dialer) -> Self {
        let opinions = Opinions::new(master_name.to_owned(), sentinels.len());
        let (place_tx, place) = watch::channel(opinions.place());
        let board = Arc::new(Board { opinions: Mutex::new(opinions), place_tx, ask: Arc::default() });
        let ask = Arc::clone(&board.ask);
        let askers = sentinels.into_iter().enumerate().map(|(index, address)| {
            let (dialer, master_name, board) = (dialer.clone(), master_name.to_owned(), Arc::clone(&board));
            let asker = Asker { index, address, master_name, dialer, board };
            AbortOnDropHandle::new(tokio::spawn(asker.run()))
        });
        Self { place, ask, askers: Arc::new(askers.collect()) }
    }

    /// Where the master is: at once if that is known, else after a moment in which the sentinels may say it.
    pub(super) async fn place(&self) -> Place {
        let mut place = self.place.clone();
        // What it is in the end, is told below.
        let _ = timeout(retry_delay(), place.wait_for(|place| matches!(place, Place::At(_)))).await;
        place.borrow_and_update().clone()
    }

    /// Whether a master that can't be used may be replaced by itself.
    pub(super) fn may_move(&self) -> bool {
        !self.askers.is_empty()
    }

    /// Waits until the master is not there any more. Cancel-safe.
    pub(super) async fn moved_from(&self, address: &Address) {
        let elsewhere = |place: &Place| !matches!(place, Place::At(there) if there == address);
        if self.place.clone().wait_for(elsewhere).await.is_err() {
            // A place from the URL never changes.
            std::future::pending::<()>().await;
        }
    }

    /// The master can't be used: the sentinels may know more by now.
    pub(super) fn ask_again(&self) {
        self.ask.notify_waiters();
    }
}

/// Where the sentinels' words come together.
#[derive(Debug)]
struct Board {
    opinions: Mutex<Opinions>,
    place_tx: watch::Sender<Place>,
    ask: Arc<Notify>,
}

impl Board {
    fn hear(&self, sentinel: usize, word: Word) {
        // Whoever panicked while holding it would have left it whole: it is changed in one call.
        let mut opinions = self.opinions.lock().unwrap_or_else(PoisonError::into_inner);
        opinions.hear(sentinel, word);
        let place = opinions.place();
        self.place_tx.send_if_modified(|current| {
            let changed = *current != place;
            if let (true, Place::At(from), Place::At(to)) = (changed, &*current, &place) {
                tracing::warn!(%from, %to, "the sentinels name another master of Redis");
            }
            *current = place;
            changed
        });
    }
}

/// Asks one sentinel, for as long as the store lives.
#[derive(Debug)]
struct Asker {
    index: usize,
    address: Address,
    master_name: String,
    dialer: Dialer,
    board: Arc<Board>,
}

impl Asker {
    async fn run(self) {
        loop {
            let Err(trouble) = self.follow().await;
            tracing::debug!(sentinel = %self.address, %trouble, "a sentinel can't be asked");
            self.board.hear(self.index, Word::Trouble(format!("{} {trouble}", self.address)));
            tokio::time::sleep(retry_delay()).await;
        }
    }

    /// Asks again and again, until the sentinel does not answer.
    async fn follow(&self) -> Result<std::convert::Infallible, Trouble> {
        let switched = Arc::new(Notify::new());
        let link = self.dialer.dial(&self.address, Some(wake(&switched))).await.map_err(|error| error.trouble)?;
        let mut commands = link.commands.clone();
        in_time(commands.subscribe("+switch-master")).await?;
        loop {
            let word = in_time(self.ask(&link)).await?;
            self.board.hear(self.index, word);
            tokio::select! {
                () = tokio::time::sleep(ASK_PERIOD) => {}
                () = switched.notified() => {}
                () = self.board.ask.notified() => {}
            }
        }
    }

    async fn ask(&self, link: &Link) -> RedisResult<Word> {
        // The first names the new master from the moment on when it is promoted, the second only after that, but it
        // alone tells the epoch.
        let mut questions = Pipeline::with_capacity(2);
        questions.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master_name);
        questions.cmd("SENTINEL").arg("MASTER").arg(&self.master_name);
        let answers = link.commands.clone().send_packed_commands(&questions, 0, 2).await?;
        read_word(answers)
    }
}

fn read_word(answers: Vec<Value>) -> RedisResult<Word> {
    let mut answers = answers.into_iter().map(Value::extract_error);
    let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
    let Some((host, port)) = Option::<(String, u16)>::from_redis_value(next()?)? else {
        return Ok(Word::UnknownName);
    };
    let fields: HashMap<String, String> = HashMap::from_redis_value(next()?)?;
    let epoch = fields.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Ok(Word::Named(Naming { master: Address { host, port }, epoch }))
}

/// Wakes the asker with each message, whatever it says: the answer to the question is the truth.
fn wake(switched: &Arc<Notify>) -> Listener {
    let switched = Arc::clone(switched);
    Arc::new(move |push: PushInfo| {
        if push.kind == PushKind::Message {
            switched.notify_one();
        }
        Ok::<(), redis::aio::SendError>(())
    })
}

async fn in_time<T>(answer: impl Future<Output = RedisResult<T>>) -> Result<T, Trouble> {
    match timeout(STEP_TIMEOUT, answer).await {
        Ok(Err(error)) if is_broken(&error) => Err(Trouble::Cut(error.to_string())),
        Ok(answer) => answer.map_err(|error| Trouble::Refuses(error.to_string())),
        Err(_) => Err(Trouble::Silent { step: "question for the master", limit: STEP_TIMEOUT }),
    }
}

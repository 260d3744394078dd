//! The connection that calls share, kept up by a task of its own.
//!
//! redis-rs has a `ConnectionManager`; this is not it, because a call must be able to tell "there is no connection"
//! from "there was no answer", because that one gives up for good on some errors (a wrong password that is put right
//! later) unless it retries without end, and then hides every reason, and because it does not follow a master that moves.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use redis::aio::MultiplexedConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Dialer, Link, Role, STEP_TIMEOUT, Trouble, role};
use super::sentinel::{Locator, Place};
use super::upkeep::Inspector;
use super::url::Address;
use crate::Lineage;

/// The longest wait between attempts to connect.
const RETRY_DELAY_MAX: Duration = Duration::from_millis(500);

/// How often a connection is tried while nobody complains, so that it is up when it is needed.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// How long the answer to that may take before the connection counts as lost. With the period, whatever went silent is
/// noticed within 3 s; a Redis that takes 500 ms for each command is not lost.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an outage can be that calls wait for, each as long as it may take: a restart, or a failover by sentinels.
/// In a longer one they fail at once, so that whoever asks is told so, and nothing piles up behind calls that wait.
const BLIP_MAX: Duration = Duration::from_secs(5);

/// How many reasons of one outage are logged: a reason that comes back is not news.
const REASONS_MAX: usize = 8;

/// A connection that comes back by itself.
#[derive(Debug)]
pub(super) struct Connection {
    state: watch::Receiver<State>,
    lineage: watch::Receiver<Lineage>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
enum State {
    Up(Line),
    Down {
        reason: Arc<str>,
        /// Until when a call hopes for a connection; from then on it fails at once.
        hope_until: Instant,
    },
}

/// What a call uses: a way to send commands, and to tell what it finds wrong.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) commands: MultiplexedConnection,
    /// Where they go.
    pub(super) address: Address,
    doubts: Arc<Doubts>,
    has_had_replica: Arc<AtomicBool>,
}

/// What calls found wrong with a link.
#[derive(Debug, Default)]
struct Doubts {
    broken: Notify,
    read_only: Notify,
}

impl Line {
    fn of(link: &Link, address: &Address) -> Self {
        let (commands, address) = (link.commands.clone(), address.clone());
        Self { commands, address, doubts: Arc::default(), has_had_replica: Arc::default() }
    }

    /// A call found the connection broken: it is looked at without waiting for the next check.
    pub(super) fn is_broken(&self) {
        self.doubts.broken.notify_one();
    }

    /// A call was told that its server is a replica: the connection is given up.
    pub(super) fn is_read_only(&self) {
        self.doubts.read_only.notify_one();
    }

    /// Whether both are of one connection, and not of one that came after the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.doubts, &other.doubts)
    }

    /// Whether the server has had a replica since this connection was made.
    pub(super) fn has_had_replica(&self) -> bool {
        self.has_had_replica.load(Ordering::Relaxed)
    }

    /// Takes note of how many replicas the server has.
    fn has_replicas(&self, count: u32) {
        self.has_had_replica.fetch_or(count > 0, Ordering::Relaxed);
    }
}

impl Connection {
    /// Starts to connect, in the background.
    pub(super) fn start(dialer: Dialer, locator: Locator, inspector: Inspector) -> Self {
        let down_since = Instant::now();
        let not_yet = State::Down { reason: "not connected yet".into(), hope_until: down_since + BLIP_MAX };
        let (state_tx, state) = watch::channel(not_yet);
        let lineage = inspector.lineage();
        let keeper = Keeper { dialer, locator, inspector, state: state_tx, down_since, diary: Diary::default() };
        Self { state, lineage, _keeper: AbortOnDropHandle::new(tokio::spawn(keeper.run())) }
    }

    /// The connection, once there is one; why there is none, once nobody can hope for one any more. Cancel-safe.
    pub(super) async fn get(&self) -> Result<Line, Arc<str>> {
        let mut state = self.state.clone();
        loop {
            let (reason, hope_until) = match &*state.borrow_and_update() {
                State::Up(line) => return Ok(line.clone()),
                State::Down { reason, hope_until } => (Arc::clone(reason), *hope_until),
            };
            // The keeper ends only with the runtime, and so does whoever waits here.
            if !matches!(timeout_at(hope_until, state.changed()).await, Ok(Ok(()))) {
                return Err(reason);
            }
        }
    }

    /// The history that the data at the other end belongs to. It changes before a call can go to another.
    pub(super) fn lineage(&self) -> watch::Receiver<Lineage> {
        self.lineage.clone()
    }

    /// Why there is no connection; `None` if there is one.
    pub(super) fn why_down(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            State::Up(_) => None,
            State::Down { reason, .. } => Some(Arc::clone(reason)),
        }
    }
}

/// A random wait before the next attempt, so that the servers of a cluster don't come to a restarted Redis in one burst:
/// they spread over the whole of it. It does not grow with the length of an outage: two attempts a second cost a dead
/// server nothing, and a Redis that is back has everyone again within half a second.
pub(super) fn retry_delay() -> Duration {
    RETRY_DELAY_MAX.mul_f64(rand::rng().random::<f64>())
}

#[derive(Debug)]
struct Keeper {
    dialer: Dialer,
    locator: Locator,
    inspector: Inspector,
    state: watch::Sender<State>,
    /// When there was a connection last, or when it was tried for the first time.
    down_since: Instant,
    diary: Diary,
}

/// Why there is no connection, or none any more.
#[derive(Debug)]
struct Setback {
    reason: String,
    /// Whether it lasts until someone does something about it.
    lasts: bool,
}

impl Setback {
    /// Something that may be over in a moment.
    fn passing(reason: String) -> Self {
        Self { reason, lasts: false }
    }
}

impl Keeper {
    async fn run(mut self) {
        loop {
            match self.locator.place().await {
                Place::At(address) => {
                    let setback = self.serve(&address).await;
                    self.go_down(setback);
                    self.locator.ask_again();
                    tokio::time::sleep(retry_delay()).await;
                }
                Place::Nowhere(reason) => self.go_down(Setback::passing(reason)),
            }
        }
    }

    fn go_down(&mut self, Setback { reason, lasts }: Setback) {
        self.diary.down(&reason);
        let now = Instant::now();
        if matches!(*self.state.borrow(), State::Up(_)) {
            self.down_since = now;
        }
        let hope_until = if lasts { now } else { self.down_since + BLIP_MAX };
        self.state.send_replace(State::Down { reason: reason.into(), hope_until });
    }

    /// Connects, and offers the connection for as long as it is good. Returns why it is not, or not any more.
    async fn serve(&mut self, address: &Address) -> Setback {
        let locator = self.locator.clone();
        let connected = async {
            let link = self.dialer.master(address, None).await?;
            let line = Line::of(&link, address);
            let offered = self.offer(&link, &line).await;
            offered.map_err(|trouble| trouble.at(address))
        };
        // Either ends the link: dropping it closes its socket, whoever still waits for an answer.
        tokio::select! {
            Err(error) = connected => {
                // Until the sentinels agree on another master, the one that they name may be none.
                let passes = error.trouble == Trouble::Replica && locator.may_move();
                Setback { reason: error.to_string(), lasts: error.trouble.lasts() && !passes }
            }
            () = locator.moved_from(address) => {
                Setback::passing(format!("{address} is not the master any more, say the sentinels"))
            }
        }
    }

    /// Offers a link to the calls for as long as it is good. It is looked at first, so that whoever writes to a Redis that
    /// is not what it was can know it.
    async fn offer(&mut self, link: &Link, line: &Line) -> Result<Infallible, Trouble> {
        line.has_replicas(self.inspector.look(&link.commands, STEP_TIMEOUT).await?);
        self.diary.up(&line.address);
        self.state.send_replace(State::Up(line.clone()));
        loop {
            next_check(link, &line.doubts).await?;
            line.has_replicas(self.inspector.look(&link.commands, CHECK_TIMEOUT).await?);
        }
    }
}

/// Returns once the link is not good any more.
pub(super) async fn watch_over(link: &Link) -> Trouble {
    let nobody_doubts = Doubts::default();
    loop {
        if let Err(trouble) = next_check(link, &nobody_doubts).await {
            return trouble;
        }
    }
}

/// Looks at the link when it is time to, or somebody has doubts.
async fn next_check(link: &Link, doubts: &Doubts) -> Result<(), Trouble> {
    tokio::select! {
        () = tokio::time::sleep(CHECK_PERIOD) => {}
        () = doubts.broken.notified() => {}
        () = doubts.read_only.notified() => return Err(Trouble::Replica),
    }
    // A live socket proves nothing: a master that was replaced goes on taking writes until it is told.
    match role(&link.commands, CHECK_TIMEOUT).await {
        Ok(Role::Master | Role::Unknown) => Ok(()),
        Ok(Role::Replica) => Err(Trouble::Replica),
        Err(Trouble::Closed(reason)) => Err(Trouble::Cut(reason)),
        Err(trouble) => Err(trouble),
    }
}

/// Logs each change once.
#[derive(Debug, Default)]
struct Diary {
    /// Since when there is no connection, after there was one.
    down_since: Option<Instant>,
    was_up: bool,
    told: Vec<String>,
}

impl Diary {
    fn up(&mut self, address: &Address) {
        match self.down_since.take() {
            Some(since) => tracing::info!(%address, after_ms = since.elapsed().as_millis(), "Redis is back"),
            None => tracing::info!(%address, "connected to Redis"),
        }
        self.was_up = true;
        self.told.clear();
    }

    fn down(&mut self, reason: &str) {
        if self.is_old(reason) {
            return;
        }
        if self.was_up && self.down_since.is_none() {
            self.down_since = Some(Instant::now());
            tracing::warn!(reason, "the connection to Redis is lost; trying until it is back");
        } else {
            tracing::warn!(reason, "Redis can't be used; trying until it can");
        }
    }

    /// Whether this was told already in this outage. Takes note of it.
    fn is_old(&mut self, reason: &str) -> bool {
        if self.told.len() >= REASONS_MAX || self.told.iter().any(|told| told == reason) {
            return true;
        }
        self.told.push(reason.to_owned());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_an_outage_is_told_once() {
        let mut diary = Diary::default();
        let news: Vec<bool> =
            ["cut", "refused", "refused", "cut", "refused"].map(|reason| !diary.is_old(reason)).into();
        assert_eq!(news, [true, true, false, false, false]);
        diary.up(&Address { host: "host".to_owned(), port: 1 });
        assert!(!diary.is_old("cut"), "the next outage is news");
        let many = (0..100).filter(|number| !diary.is_old(&number.to_string())).count();
        assert_eq!(many, REASONS_MAX - 1);
    }

    fn connection(state: &watch::Sender<State>) -> Connection {
        let keeper = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
        Connection { state: state.subscribe(), lineage: watch::channel(Lineage::default()).1, _keeper: keeper }
    }

    fn down(reason: &str, hope_until: Instant) -> State {
        State::Down { reason: reason.into(), hope_until }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_while_there_is_hope() {
        let started = Instant::now();
        let state = watch::Sender::new(down("refused", started + BLIP_MAX));
        let connection = connection(&state);
        assert_eq!(&*connection.get().await.unwrap_err(), "refused");
        assert_eq!(started.elapsed(), BLIP_MAX);
        assert_eq!(&*connection.get().await.unwrap_err(), "refused");
        assert_eq!(started.elapsed(), BLIP_MAX, "who comes later is told at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_is_told_as_soon_as_there_is_no_hope_left() {
        let started = Instant::now();
        let state = watch::Sender::new(down("cut", started + BLIP_MAX));
        let connection = connection(&state);
        let worse = async {
            for reason in ["refused", "closed"] {
                tokio::time::sleep(BLIP_MAX / 4).await;
                state.send_replace(down(reason, started + BLIP_MAX));
            }
            tokio::time::sleep(BLIP_MAX / 4).await;
            state.send_replace(down("wrong password", Instant::now()));
        };
        let (outcome, ()) = tokio::join!(connection.get(), worse);
        assert_eq!(&*outcome.unwrap_err(), "wrong password");
        assert_eq!(started.elapsed(), BLIP_MAX * 3 / 4);
    }

    #[test]
    fn attempts_spread_over_the_whole_wait() {
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            tenths[(retry_delay().as_micros() * 10 / RETRY_DELAY_MAX.as_micros()).min(9) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }
}

//! The store as processes reach it: the real [`EmbeddedStore`] behind a network that loses, delays and repeats, and a
//! history that can be rolled back.
//!
//! The store itself runs on a paused tokio clock, which is advanced to the simulated time before each call. Every call
//! that was applied is kept with its time, so an earlier state is had by making the first of them again on a new store.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use pintail_core::limits::STORE_TIMEOUT;
use pintail_core::{Charge, GameId, Incarnation, Kind, SessionId, Slot, Verdict};
use pintail_game::runtime::Now;
use pintail_store::{
    Announcement, Claim, Claimed, EmbeddedStore, EndOutcome, GameOrder, GameRecord, Games as _, HandOverOutcome,
    Heartbeat, HeartbeatOutcome, HeldSession, JournalWrite, Journals as _, Letter, Login, LoginOutcome, Mail as _,
    Notice, Owner, PlaceOutcome, Registration, Registry as _, RestoreOutcome, Result, SavedGame, SavedSnapshot,
    ScanEntry, Sessions as _, StoreError, Subscription, WithoutServer, WriteOutcome,
};
use tokio::runtime::Runtime;

use crate::env::{Env, Event, ms};
use crate::network::{Node, Process};

/// A call to the store.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the call of that name")]
pub enum Call {
    Register(Announcement),
    Heartbeat(Slot, Incarnation, Heartbeat),
    Deregister(Slot, Incarnation),
    Scan(Kind),
    Reap,
    Accuse { slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge },
    AskToDrain(Slot),
    Login(Login),
    Hold(Slot, Incarnation, Vec<HeldSession>),
    Place(GameOrder),
    Game(GameId),
    Saved(GameId),
    Hosted(Slot, Incarnation, Now),
    Restore(GameOrder, Owner, Option<SavedSnapshot>),
    End(GameId, Owner, EndOutcome),
    Sweep,
    Write(Vec<JournalWrite>),
    Claim(Claim),
    HandOver(GameId, Owner, SavedSnapshot, WithoutServer),
    Send(Slot, Letter),
}

/// What a call came to.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is what the call of that name returns")]
pub enum Reply {
    Done,
    Registered(Registration),
    Heartbeat(HeartbeatOutcome),
    Scanned(Vec<ScanEntry>),
    Verdict(Verdict),
    Login(LoginOutcome),
    Held(Vec<SessionId>),
    Placed(PlaceOutcome),
    Game(Option<GameRecord>),
    Saved(Option<SavedGame>),
    Hosted(Vec<GameId>),
    Restored(RestoreOutcome),
    Ended(bool),
    Written(Vec<WriteOutcome>),
    Claimed(Claimed),
    HandedOver(HandOverOutcome),
}

/// A call with its answer, as its caller gets it back.
#[derive(Debug)]
pub struct Answered {
    /// What was asked.
    pub call: Call,
    /// What the caller wanted to remember.
    pub tag: u64,
    /// When it was asked.
    pub asked: Now,
    /// The answer.
    pub reply: Result<Reply>,
}

/// A call on its way.
#[derive(Debug)]
struct Pending {
    by: Process,
    call: Call,
    tag: u64,
    asked: Now,
    /// Whether the answer gets lost.
    is_mute: bool,
}

/// The store, its clock and its history.
pub struct SimStore {
    runtime: Runtime,
    store: EmbeddedStore,
    /// How far the store's clock is.
    clock: Now,
    history: Vec<(Now, Call)>,
    pending: BTreeMap<u64, Pending>,
    next: u64,
    subscriptions: BTreeMap<Process, (Option<Slot>, Subscription)>,
    /// Nobody reaches it.
    pub is_away: bool,
    /// When it came back last.
    pub back_since: Now,
    /// How often it lost what it had acknowledged.
    pub lineage: u64,
}

impl std::fmt::Debug for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimStore").field("clock", &self.clock).finish_non_exhaustive()
    }
}

fn paused_runtime() -> Runtime {
    let builder = &mut tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime without IO needs nothing of the system")
}

impl SimStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let runtime = paused_runtime();
        let store = runtime.block_on(async { EmbeddedStore::new() });
        Self {
            runtime,
            store,
            clock: Now::default(),
            history: Vec::new(),
            pending: BTreeMap::new(),
            next: 0,
            subscriptions: BTreeMap::new(),
            is_away: false,
            back_since: Now::default(),
            lineage: 0,
        }
    }

    /// Makes a call at a time that is not before any other's.
    pub fn apply(&mut self, now: Now, call: &Call) -> Result<Reply> {
        let reply = self.make(now, call);
        if !matches!(call, Call::Scan(_) | Call::Game(_) | Call::Saved(_) | Call::Hosted(..)) {
            self.history.push((now, call.clone()));
        }
        reply
    }

    fn make(&mut self, now: Now, call: &Call) -> Result<Reply> {
        let passed = now.since(self.clock);
        self.clock = self.clock.max(now);
        let store = &self.store;
        self.runtime.block_on(async {
            if passed > Duration::ZERO {
                tokio::time::advance(passed).await;
            }
            make(store, call).await
        })
    }

    /// Forgets everything that happened after a time, but for the time itself.
    pub fn roll_back(&mut self, to: Now, now: Now) {
        self.history.retain(|(at, _)| *at <= to);
        self.runtime = paused_runtime();
        self.store = self.runtime.block_on(async { EmbeddedStore::new() });
        self.clock = Now::default();
        for (at, call) in std::mem::take(&mut self.history) {
            // What it came to then is what it comes to now.
            let _ = self.make(at, &call);
            self.history.push((at, call));
        }
        // The answer is of no interest, only that the clock moves on.
        let _ = self.make(now, &Call::Reap);
        self.lineage += 1;
        for (mailbox, subscription) in self.subscriptions.values_mut() {
            *subscription = self.runtime.block_on(async { self.store.subscribe(*mailbox) });
        }
    }

    /// Hears the store's news, with the letters for a mailbox.
    pub fn subscribe(&mut self, process: Process, mailbox: Option<Slot>) {
        let subscription = self.runtime.block_on(async { self.store.subscribe(mailbox) });
        self.subscriptions.insert(process, (mailbox, subscription));
    }

    /// Hears nothing more.
    pub fn unsubscribe(&mut self, process: Process) {
        self.subscriptions.remove(&process);
    }

    fn take_news(&mut self) -> Vec<(Process, Notice)> {
        let mut news = Vec::new();
        for (process, (_, subscription)) in &mut self.subscriptions {
            while let Some(Some(notice)) = subscription.next().now_or_never() {
                news.push((*process, notice));
            }
        }
        news
    }

    /// How many calls of a process are on their way that pass a test.
    #[must_use]
    pub fn under_way(&self, by: Process) -> usize {
        self.pending.values().filter(|pending| pending.by == by).count()
    }
}

impl Default for SimStore {
    fn default() -> Self {
        Self::new()
    }
}

async fn make(store: &EmbeddedStore, call: &Call) -> Result<Reply> {
    /// As many as a server's membership sweeps at once.
    const SWEEP: u32 = 200;
    Ok(match call {
        Call::Register(announcement) => Reply::Registered(store.register(announcement).await?),
        Call::Heartbeat(slot, incarnation, heartbeat) => {
            Reply::Heartbeat(store.heartbeat(*slot, *incarnation, heartbeat).await?)
        }
        Call::Deregister(slot, incarnation) => {
            store.deregister(*slot, *incarnation).await?;
            Reply::Done
        }
        Call::Scan(kind) => Reply::Scanned(store.scan(*kind).await?),
        Call::Reap => {
            store.reap().await?;
            Reply::Done
        }
        Call::Accuse { slot, incarnation, observer, charge } => {
            Reply::Verdict(store.accuse(*slot, *incarnation, *observer, *charge).await?)
        }
        Call::AskToDrain(slot) => {
            store.ask_to_drain(*slot).await?;
            Reply::Done
        }
        Call::Login(login) => Reply::Login(store.login(login).await?),
        Call::Hold(slot, incarnation, held) => Reply::Held(store.hold_sessions(*slot, *incarnation, held).await?),
        Call::Place(order) => Reply::Placed(store.place(order).await?),
        Call::Game(id) => Reply::Game(store.game(*id).await?),
        Call::Saved(id) => Reply::Saved(store.saved_game(*id).await?),
        Call::Hosted(slot, incarnation, _) => Reply::Hosted(store.hosted(*slot, *incarnation).await?),
        Call::Restore(order, owner, snapshot) => {
            Reply::Restored(store.restore_game(order, *owner, snapshot.as_ref()).await?)
        }
        Call::End(id, owner, outcome) => Reply::Ended(store.end_game(*id, *owner, outcome).await?),
        Call::Sweep => {
            store.sweep_orphans(SWEEP).await?;
            Reply::Done
        }
        Call::Write(writes) => Reply::Written(store.write_journals(writes).await?),
        Call::Claim(claim) => Reply::Claimed(store.claim_games(claim).await?),
        Call::HandOver(id, owner, snapshot, without) => {
            Reply::HandedOver(store.hand_over(*id, *owner, snapshot, *without).await?)
        }
        Call::Send(slot, letter) => {
            store.send(*slot, *letter).await?;
            Reply::Done
        }
    })
}

/// What becomes of a call, by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// It fails at once, and nothing was done.
    Refused,
    /// It never gets there.
    Lost,
    /// It is done, and nobody hears of it.
    Mute,
    /// It takes its time.
    Slow,
}

impl Env {
    /// Asks the store. The answer comes as an [`Event::Answer`], with an error after the time that a call may take.
    pub fn ask(&mut self, by: Process, call: Call, tag: u64) {
        let fate = self.choose_fate(by);
        let asked = self.now;
        let latency = self.latency(by.node, Node::Store);
        if fate == Fate::Refused {
            let reply = Err(StoreError::Unavailable("simulated".to_owned()));
            return self.after(latency, Event::Answer(by, Box::new(Answered { call, tag, asked, reply })));
        }
        if fate == Fate::Lost {
            self.tally.lost_calls += 1;
            return self.time_out(by, call, tag, asked);
        }
        let delay = if fate == Fate::Slow { self.between(ms(50), ms(3000)) } else { latency };
        self.store.next += 1;
        let number = self.store.next;
        self.store.pending.insert(number, Pending { by, call, tag, asked, is_mute: fate == Fate::Mute });
        self.after(delay, Event::Apply(number));
    }

    fn choose_fate(&mut self, by: Process) -> Fate {
        if self.store.is_away && self.chance(0.5) {
            return Fate::Refused;
        }
        if self.store.is_away || self.net.is_blocked(by.node, Node::Store) {
            return Fate::Lost;
        }
        let trouble = self.plan.store_trouble;
        if !self.chance(trouble) {
            return Fate::Good;
        }
        [Fate::Refused, Fate::Lost, Fate::Mute, Fate::Slow][self.below(4)]
    }

    fn time_out(&mut self, by: Process, call: Call, tag: u64, asked: Now) {
        let reply = Err(StoreError::Timeout(STORE_TIMEOUT));
        self.at(asked + STORE_TIMEOUT, Event::Answer(by, Box::new(Answered { call, tag, asked, reply })));
    }

    /// A call reaches the store.
    pub fn apply_call(&mut self, number: u64) {
        let Some(Pending { by, call, tag, asked, is_mute }) = self.store.pending.remove(&number) else { return };
        if self.store.is_away {
            return self.time_out(by, call, tag, asked);
        }
        let made = self.make_some(call.clone(), is_mute);
        let reply = self.store.apply(self.now, &made);
        self.note_call(by, &made, &reply);
        self.watch_call(by, &made, &reply);
        self.spread_news();
        let back = self.latency(Node::Store, by.node);
        let is_late = self.now + back >= asked + STORE_TIMEOUT;
        if is_mute || is_late || self.net.is_blocked(Node::Store, by.node) {
            self.tally.lost_calls += 1;
            return self.time_out(by, call, tag, asked);
        }
        self.after(back, Event::Answer(by, Box::new(Answered { call, tag, asked, reply })));
    }

    /// A batch whose answer is lost may have been lost half way.
    fn make_some(&mut self, call: Call, is_mute: bool) -> Call {
        match call {
            Call::Write(mut writes) if is_mute && writes.len() > 1 => {
                let kept = 1 + self.below(writes.len());
                writes.truncate(kept);
                Call::Write(writes)
            }
            other => other,
        }
    }

    fn note_call(&mut self, by: Process, call: &Call, reply: &Result<Reply>) {
        let game = call.game();
        let text = || {
            let asked = format!("{call:?}").chars().take(160).collect::<String>();
            let answered = format!("{reply:?}").chars().take(160).collect::<String>();
            format!("store: {:?}#{} {asked} -> {answered}", by.node, by.life)
        };
        let numbers = [7, u64::from(by.life), call.number(), u64::from(reply.is_ok())];
        let is_routine = match (call, reply) {
            (Call::Heartbeat(..) | Call::Scan(_) | Call::Reap | Call::Hosted(..) | Call::Sweep | Call::Hold(..), _) => {
                reply.is_err()
            }
            (Call::Claim(_), Ok(Reply::Claimed(claimed))) => claimed.games.is_empty(),
            (Call::Game(_), _) => by.node == Node::Store,
            _ => false,
        };
        if !is_routine {
            self.trace.note(self.now, game, &numbers, text);
        }
    }

    /// Brings what the store has to tell on its way. News can be lost; then the subscriber is told to scan.
    pub fn spread_news(&mut self) {
        for (process, notice) in self.store.take_news() {
            let is_lost = self.chance(self.plan.lost_news) || self.net.is_blocked(Node::Store, process.node);
            let delay = self.latency(Node::Store, process.node);
            if is_lost {
                self.after(ms(700), Event::Notice(process, Notice::Rescan));
            } else {
                self.after(delay, Event::Notice(process, notice));
            }
        }
    }
}

impl Call {
    /// The game that it is about, if it is one.
    #[must_use]
    pub fn game(&self) -> Option<GameId> {
        match self {
            Self::Place(order) | Self::Restore(order, ..) => Some(order.id),
            Self::Game(id) | Self::Saved(id) | Self::End(id, ..) | Self::HandOver(id, ..) => Some(*id),
            Self::Write(writes) if writes.len() == 1 => writes.first().map(|write| write.game),
            _ => None,
        }
    }

    fn number(&self) -> u64 {
        match self {
            Self::Write(writes) => writes.iter().map(|write| write.last().0).sum(),
            Self::Claim(claim) => u64::from(claim.limit),
            _ => self.game().map_or(0, |id| id.room.0),
        }
    }
}

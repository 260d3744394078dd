//! The store of a cluster: the real one on a clock that is made up, with each call counted.

use std::fmt;
use std::time::Duration;

use futures_util::FutureExt as _;
use pintail_core::{Charge, Incarnation, Kind, Slot, Verdict};
use pintail_store::{
    Announcement, EmbeddedStore, GameOrder, Games as _, Heartbeat, HeartbeatOutcome, Mail as _, Notice, PlaceOutcome,
    Registration, Registry as _, ServerRecord, Subscription,
};
use tokio::runtime::Runtime;

/// As many orphans as one look of a server's membership deals with.
const ORPHANS_PER_SWEEP: u32 = 200;

/// How often the store was called, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Registrations.
    pub registrations: u64,
    /// Renewals of leases.
    pub renewals: u64,
    /// Looks for leases that ran out, and for what was left behind: two calls each.
    pub looks: u64,
    /// Scans of one kind of server.
    pub scans: u64,
    /// The slots that scans have read: a hash and a lease each.
    pub slots_read: u64,
    /// Accusations.
    pub accusations: u64,
    /// Accusations that were taken back.
    pub absolutions: u64,
    /// Placements.
    pub placements: u64,
    /// Announcements that were sent to a gateway: one to each gateway for each server that comes or goes.
    pub notices: u64,
}

impl Calls {
    /// The calls since an earlier count.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            registrations: self.registrations - earlier.registrations,
            renewals: self.renewals - earlier.renewals,
            looks: self.looks - earlier.looks,
            scans: self.scans - earlier.scans,
            slots_read: self.slots_read - earlier.slots_read,
            accusations: self.accusations - earlier.accusations,
            absolutions: self.absolutions - earlier.absolutions,
            placements: self.placements - earlier.placements,
            notices: self.notices - earlier.notices,
        }
    }
}

/// The store.
pub struct Ledger {
    runtime: Runtime,
    store: EmbeddedStore,
    news: Subscription,
    clock: Duration,
    /// What was asked of it.
    pub calls: Calls,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("clock", &self.clock).field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Ledger {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        let runtime =
            builder.enable_time().start_paused(true).build().expect("a runtime without IO needs nothing of the system");
        let (store, news) = runtime.block_on(async {
            let store = EmbeddedStore::new();
            let news = store.subscribe(None);
            (store, news)
        });
        Self { runtime, store, news, clock: Duration::ZERO, calls: Calls::default() }
    }

    /// Makes a call at this time, which is not before any other's.
    fn call<T>(&mut self, now: Duration, call: impl AsyncFnOnce(&EmbeddedStore) -> pintail_store::Result<T>) -> T {
        let passed = now.saturating_sub(self.clock);
        self.clock = now;
        let store = &self.store;
        let answer = self.runtime.block_on(async {
            if !passed.is_zero() {
                tokio::time::advance(passed).await;
            }
            call(store).await
        });
        answer.expect("a store in memory is never away")
    }

    /// A server registers.
    pub fn register(&mut self, now: Duration, announcement: &Announcement) -> Registration {
        self.calls.registrations += 1;
        self.call(now, async |store| store.register(announcement).await)
    }

    /// A server renews its lease.
    pub fn renew(&mut self, now: Duration, who: (Slot, Incarnation), heartbeat: &Heartbeat) -> HeartbeatOutcome {
        self.calls.renewals += 1;
        self.call(now, async |store| store.heartbeat(who.0, who.1, heartbeat).await)
    }

    /// A server looks for others that are gone, and for what they left behind; whom it has switched off.
    pub fn look(&mut self, now: Duration) -> Vec<Slot> {
        self.calls.looks += 1;
        self.call(now, async |store| {
            let gone = store.reap().await?;
            store.sweep_orphans(ORPHANS_PER_SWEEP).await?;
            Ok(gone)
        })
    }

    /// A gateway reads every slot of a kind.
    pub fn scan(&mut self, now: Duration, kind: Kind) -> Vec<ServerRecord> {
        let records = self.look_at(now, kind);
        self.calls.scans += 1;
        self.calls.slots_read += records.len() as u64;
        records
    }

    /// Every slot of a kind, for the checks: nobody has asked for it.
    pub fn look_at(&mut self, now: Duration, kind: Kind) -> Vec<ServerRecord> {
        let entries = self.call(now, async |store| store.scan(kind).await);
        entries.into_iter().map(|entry| entry.expect("the store in memory has no broken entries")).collect()
    }

    /// A gateway accuses a server.
    pub fn accuse(&mut self, now: Duration, who: (Slot, Incarnation), observer: Slot, charge: Charge) -> Verdict {
        self.calls.accusations += 1;
        self.call(now, async |store| store.accuse(who.0, who.1, observer, charge).await)
    }

    /// It takes that back.
    pub fn absolve(&mut self, now: Duration, who: (Slot, Incarnation), observer: Slot) {
        self.calls.absolutions += 1;
        self.call(now, async |store| store.absolve(who.0, who.1, observer).await);
    }

    /// A lobby server places a game.
    pub fn place(&mut self, now: Duration, order: &GameOrder) -> PlaceOutcome {
        self.calls.placements += 1;
        self.call(now, async |store| store.place(order).await)
    }

    /// The kinds of servers that came or went since the last call, one for each announcement.
    pub fn take_news(&mut self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        while let Some(Some(notice)) = self.news.next().now_or_never() {
            match notice {
                Notice::ServerOn(slot) | Notice::ServerOff(slot) => kinds.push(slot.kind),
                Notice::Rescan => kinds.extend([Kind::Lobby, Kind::Game]),
                Notice::Letter(_) => {}
            }
        }
        kinds
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

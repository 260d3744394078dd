//! The store in memory, for one process.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `registry`, `server` | servers by slot, their leases |
//! | `watch` | accusations, and whose lease ran out |
//! | `games` | placement, game records, orphans |
//! | `journal`, `claims` | what is kept of journaled games; who takes them over |
//! | `sessions` | sessions and who is away |
//! | `rooms` | rooms, invite codes, labels |
//! | `mail` | the subscribers |
//! | `expiring`, `timeline` | maps whose entries end by time |
//!
//! All of it is one value behind one mutex: a call locks it, changes it without waiting for anything, and unlocks it.
//! That makes every change atomic. The clock is handed in, so what a call does depends on nothing else.

mod claims;
mod expiring;
mod games;
mod journal;
mod mail;
mod registry;
mod rooms;
mod server;
mod sessions;
mod timeline;
mod upkeep;
mod watch;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pintail_core::{Incarnation, Slot};
use tokio::sync::watch as watch_channel;
use tokio::time::Instant;

use crate::{Lineage, Periods};
use games::GameState;
use mail::MailState;
use registry::RegistryState;
use rooms::RoomsState;
use sessions::SessionsState;
use watch::Watch;

/// How often what has expired is looked for and removed. It costs one pass over everything, so it is rare; until then
/// an expired entry takes memory and is otherwise as good as gone.
const PURGE_PERIOD: Duration = Duration::from_secs(10);

/// The store in memory, for one process.
pub struct EmbeddedStore {
    state: Mutex<State>,
    lineage: watch_channel::Sender<Lineage>,
}

impl EmbeddedStore {
    /// An empty store with the default periods.
    #[must_use]
    pub fn new() -> Self {
        Self::with_periods(Periods::default())
    }

    /// An empty store with these periods.
    #[must_use]
    pub fn with_periods(periods: Periods) -> Self {
        Self { state: Mutex::new(State::new(periods, Instant::now())), lineage: watch_channel::Sender::default() }
    }

    /// Everything that the store knows now.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(Box::new(self.run(|state, _| state.without_subscribers())))
    }

    /// Forgets everything that was changed since the checkpoint was taken, whatever was promised since. So tests find out
    /// what becomes of a cluster whose Redis does that: in a failover, or when it comes back from its disk.
    pub fn roll_back(&self, to: &Checkpoint) {
        self.run(|state, _| {
            let mail = std::mem::take(&mut state.mail);
            *state = State { mail, ..to.0.without_subscribers() };
        });
        self.lineage.send_modify(|lineage| lineage.0 += 1);
    }

    /// Runs one call, alone.
    fn run<T>(&self, call: impl FnOnce(&mut State, Instant) -> T) -> T {
        // Nothing in a call leaves the state half changed when it panics, short of running out of memory.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.purge_if_due(now);
        call(&mut state, now)
    }
}

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

/// Everything that an [`EmbeddedStore`] knew at one moment.
pub struct Checkpoint(Box<State>);

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").finish_non_exhaustive()
    }
}

/// Everything that the store knows.
struct State {
    periods: Periods,
    purge_at: Instant,
    registry: RegistryState,
    watch: Watch,
    games: GameState,
    sessions: SessionsState,
    rooms: RoomsState,
    mail: MailState,
    /// Incarnations that have lost their slot and may have left games or sessions behind.
    orphans: BTreeSet<(Slot, Incarnation)>,
}

impl State {
    fn new(periods: Periods, now: Instant) -> Self {
        Self {
            periods,
            purge_at: now + PURGE_PERIOD,
            registry: RegistryState::default(),
            watch: Watch::default(),
            games: GameState::default(),
            sessions: SessionsState::default(),
            rooms: RoomsState::default(),
            mail: MailState::default(),
            orphans: BTreeSet::new(),
        }
    }

    fn without_subscribers(&self) -> Self {
        Self {
            periods: self.periods,
            purge_at: self.purge_at,
            registry: self.registry.clone(),
            watch: self.watch.clone(),
            games: self.games.clone(),
            sessions: self.sessions.clone(),
            rooms: self.rooms.clone(),
            mail: MailState::default(),
            orphans: self.orphans.clone(),
        }
    }

    fn purge_if_due(&mut self, now: Instant) {
        if now < self.purge_at {
            return;
        }
        self.purge_at = now + PURGE_PERIOD;
        self.games.purge(now, self.periods.room_idle_ttl, self.periods.failed_game_ttl);
        self.sessions.purge(now, self.periods.session_ttl);
        self.rooms.purge(now);
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{GameId, RoomId, Round, SessionId};

    use super::*;
    use crate::{RoomChange, RoomState, Rooms, Version};

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_takes_no_memory() {
        let store = EmbeddedStore::new();
        for number in 0..100 {
            let state = RoomState {
                body: "{}".to_owned(),
                invite: number.to_string(),
                labels: vec!["public".to_owned(), format!("only:{number}")],
            };
            let enter = vec![SessionId(number)];
            let change = RoomChange { id: RoomId(number), from: Version(0), to: Some(state), enter, leave: Vec::new() };
            store.commit_room(&change).await.unwrap();
        }
        assert_eq!(store.run(|state, _| state.rooms.entry_count()), 100 + 100 + 100 + 200);
        tokio::time::advance(Periods::default().session_ttl + PURGE_PERIOD).await;
        assert_eq!(store.run(|state, _| state.rooms.entry_count()), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_that_nobody_settles_are_forgotten_with_their_rooms() {
        let store = EmbeddedStore::new();
        let id = GameId { room: RoomId(1), round: Round(1) };
        store.run(|state, now| state.games.unsettled.insert(id, now));
        tokio::time::advance(Periods::default().room_idle_ttl).await;
        assert_eq!(store.run(|state, now| state.games.unsettled.older_than(now, Duration::ZERO, 9)), [id]);
        tokio::time::advance(PURGE_PERIOD).await;
        assert!(store.run(|state, now| state.games.unsettled.older_than(now, Duration::ZERO, 9)).is_empty());
    }
}

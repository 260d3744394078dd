//! A store whose calls are watched: which was made, how long it took, and what came of it.
//!
//! Every server looks at its store through one, so that there is one place where calls are counted, whatever the
//! implementation behind it and whoever makes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pintail_core::{Charge, EndOutcome, GameId, Generation, Incarnation, Kind, RoomId, SessionId, Slot, Verdict};
use tokio::sync::watch;

use crate::{
    Announcement, Claim, Claimed, CommitOutcome, DrainRequest, FailedGame, GameOrder, GameRecord, Games,
    HandOverOutcome, Hazard, Heartbeat, HeartbeatOutcome, HeldSession, JournalWrite, Journals, Letter, Lineage, Login,
    LoginOutcome, Mail, Owner, PlaceOutcome, Registration, Registry, RestoreOutcome, Result, RoomChange, RoomDocument,
    RoomPage, Rooms, SavedGame, SavedSnapshot, ScanEntry, Sessions, SharedStore, StoreError, Subscription, Upkeep,
    WithoutServer, WriteOutcome,
};

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The store answered.
    Answered,
    /// [`StoreError::Unavailable`].
    Unavailable,
    /// [`StoreError::Timeout`].
    TimedOut,
    /// [`StoreError::NotReplicated`].
    NotReplicated,
    /// [`StoreError::Overloaded`].
    Overloaded,
    /// [`StoreError::Corrupt`].
    Corrupt,
    /// [`StoreError::Refused`].
    Refused,
    /// Whoever made the call no longer waited for the answer.
    Abandoned,
}

impl CallOutcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Unavailable,
        Self::TimedOut,
        Self::NotReplicated,
        Self::Overloaded,
        Self::Corrupt,
        Self::Refused,
        Self::Abandoned,
    ];

    /// As a label has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timeout",
            Self::NotReplicated => "not_replicated",
            Self::Overloaded => "overloaded",
            Self::Corrupt => "corrupt",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }

    const fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable,
            StoreError::Timeout(_) => Self::TimedOut,
            StoreError::NotReplicated { .. } => Self::NotReplicated,
            StoreError::Overloaded(_) => Self::Overloaded,
            StoreError::Corrupt { .. } => Self::Corrupt,
            StoreError::Refused(_) => Self::Refused,
        }
    }
}

/// Hears of every call when it is over. It is called on the task that made the call, so it must be quick.
pub trait CallObserver: Send + Sync + 'static {
    /// A call is over, one way or another.
    fn call_ended(&self, call: Call, took: Duration, outcome: CallOutcome);
}

/// A store that tells an observer of each call.
pub struct ObservedStore {
    inner: SharedStore,
    observer: Arc<dyn CallObserver>,
}

impl ObservedStore {
    /// This store, watched.
    #[must_use]
    pub fn new(inner: SharedStore, observer: Arc<dyn CallObserver>) -> Self {
        Self { inner, observer }
    }

    async fn observe<T>(&self, call: Call, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let mut ongoing =
            Ongoing { observer: &*self.observer, call, began: Instant::now(), outcome: CallOutcome::Abandoned };
        let answer = answer.await;
        ongoing.outcome = answer.as_ref().map_or_else(CallOutcome::of, |_| CallOutcome::Answered);
        answer
    }
}

/// A call that is under way. Whoever stops waiting for it drops it, and then it is told as abandoned.
struct Ongoing<'a> {
    observer: &'a dyn CallObserver,
    call: Call,
    began: Instant,
    outcome: CallOutcome,
}

impl Drop for Ongoing<'_> {
    fn drop(&mut self) {
        self.observer.call_ended(self.call, self.began.elapsed(), self.outcome);
    }
}

/// Names every call of the store once, and hands each on while it is watched.
macro_rules! calls {
    ($($trait:ident {
        $($variant:ident = $call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
        $(|$plain:ident($($plain_argument:ident: $plain_type:ty),*) -> $plain_answer:ty;)*
    })+) => {
        /// A call of the store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is the call of its name")]
        pub enum Call {
            $($($variant,)+)+
        }

        impl Call {
            /// Every call.
            pub const ALL: &[Self] = &[$($(Self::$variant,)+)+];

            /// As a label has it: the name of the call.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$variant => stringify!($call),)+)+
                }
            }
        }

        $(
            #[async_trait]
            impl $trait for ObservedStore {
                $(async fn $call(&self, $($argument: $type),*) -> Result<$answer> {
                    self.observe(Call::$variant, self.inner.$call($($argument),*)).await
                })+
                $(fn $plain(&self, $($plain_argument: $plain_type),*) -> $plain_answer {
                    self.inner.$plain($($plain_argument),*)
                })*
            }
        )+
    };
}

calls! {
    Registry {
        Register = register(announcement: &Announcement) -> Registration;
        Heartbeat = heartbeat(slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> HeartbeatOutcome;
        Deregister = deregister(slot: Slot, incarnation: Incarnation) -> ();
        Scan = scan(kind: Kind) -> Vec<ScanEntry>;
        Reap = reap() -> Vec<Slot>;
        Accuse = accuse(slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Verdict;
        Absolve = absolve(slot: Slot, incarnation: Incarnation, observer: Slot) -> ();
        AskToDrain = ask_to_drain(slot: Slot) -> DrainRequest;
    }
    Rooms {
        CommitRoom = commit_room(change: &RoomChange) -> CommitOutcome;
        Room = room(id: RoomId) -> Option<RoomDocument>;
        RoomOf = room_of(session: SessionId) -> Option<RoomDocument>;
        RoomByInvite = room_by_invite(invite: &str) -> Option<RoomDocument>;
        RoomsLabelled = rooms_labelled(label: &str, page: Option<&str>, limit: u32) -> RoomPage;
        TouchRoom = touch_room(id: RoomId) -> ();
    }
    Games {
        Place = place(order: &GameOrder) -> PlaceOutcome;
        Game = game(id: GameId) -> Option<GameRecord>;
        Hosted = hosted(slot: Slot, incarnation: Incarnation) -> Vec<GameId>;
        RestoreGame = restore_game(order: &GameOrder, owner: Owner, snapshot: Option<&SavedSnapshot>) -> RestoreOutcome;
        EndGame = end_game(id: GameId, owner: Owner, outcome: &EndOutcome) -> bool;
        UnsettledGames = unsettled_games(min_age_ms: u64, limit: u32) -> Vec<GameId>;
        SettleGame = settle_game(id: GameId) -> ();
        SweepOrphans = sweep_orphans(limit: u32) -> u32;
    }
    Journals {
        WriteJournals = write_journals(writes: &[JournalWrite]) -> Vec<WriteOutcome>;
        SavedGame = saved_game(id: GameId) -> Option<SavedGame>;
        ClaimGames = claim_games(claim: &Claim) -> Claimed;
        HandOver = hand_over(id: GameId, owner: Owner, snapshot: &SavedSnapshot, without_server: WithoutServer)
            -> HandOverOutcome;
        FailedGames = failed_games(limit: u32) -> Vec<FailedGame>;
    }
    Sessions {
        Login = login(login: &Login) -> LoginOutcome;
        SessionAway = session_away(session: SessionId, generation: Generation) -> ();
        Logout = logout(session: SessionId, generation: Generation) -> bool;
        HoldSessions = hold_sessions(gateway: Slot, incarnation: Incarnation, sessions: &[HeldSession])
            -> Vec<SessionId>;
        SessionsAway = sessions_away(min_age_ms: u64, limit: u32) -> Vec<SessionId>;
        SettleAway = settle_away(session: SessionId) -> ();
    }
    Mail {
        Send = send(to: Slot, letter: Letter) -> ();
        |subscribe(mailbox: Option<Slot>) -> Subscription;
    }
    Upkeep {
        Hazards = hazards() -> Vec<Hazard>;
        |lineage() -> watch::Receiver<Lineage>;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;

    use super::*;
    use crate::EmbeddedStore;

    #[derive(Default)]
    struct Notes(Mutex<Vec<(Call, CallOutcome)>>);

    impl CallObserver for Notes {
        fn call_ended(&self, call: Call, _: Duration, outcome: CallOutcome) {
            self.0.lock().unwrap().push((call, outcome));
        }
    }

    #[tokio::test]
    async fn each_call_is_told_once_with_what_came_of_it() {
        let notes = Arc::new(Notes::default());
        let store = ObservedStore::new(Arc::new(EmbeddedStore::new()), notes.clone());
        assert_eq!(store.room(RoomId(1)).await, Ok(None));
        let failed: Result<()> = store.observe(Call::Place, async { Err(StoreError::Overloaded(3)) }).await;
        assert_eq!(failed, Err(StoreError::Overloaded(3)));
        assert!(store.observe(Call::Scan, std::future::pending::<Result<()>>()).now_or_never().is_none());
        let told = std::mem::take(&mut *notes.0.lock().unwrap());
        let expected = [
            (Call::Room, CallOutcome::Answered),
            (Call::Place, CallOutcome::Overloaded),
            (Call::Scan, CallOutcome::Abandoned),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn labels_differ() {
        let calls: std::collections::BTreeSet<_> = Call::ALL.iter().map(|call| call.as_str()).collect();
        assert_eq!(calls.len(), Call::ALL.len());
        let outcomes: std::collections::BTreeSet<_> = CallOutcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        assert_eq!(outcomes.len(), CallOutcome::ALL.len());
    }
}

//! Stores of tests: one that works behind, with some of its calls made to misbehave.

#[doc(hidden)]
pub use async_trait::async_trait;
#[doc(hidden)]
pub use tokio::sync::watch;
#[doc(hidden)]
pub use {pintail_core as core, pintail_store as store};

/// Implements whole traits of the store for a type, by handing every call on to one of its fields, a pointer to a store. A test's store
/// writes out only the trait whose calls it wants to disturb.
///
/// ```
/// use std::sync::Arc;
///
/// use pintail_store::{EmbeddedStore, Store};
///
/// struct Disturbed {
///     inner: Arc<EmbeddedStore>,
/// }
///
/// pintail_testkit::hand_on!(Disturbed.inner: Registry, Rooms, Games, Journals, Sessions, Mail, Upkeep);
///
/// let store: &dyn Store = &Disturbed { inner: Arc::new(EmbeddedStore::new()) };
/// ```
#[macro_export]
macro_rules! hand_on {
    ($store:ident.$inner:ident: $($name:ident),+) => {
        $($crate::hand_on_one!($name, $store, $inner);)+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! hand_on_one {
    (Registry, $store:ident, $inner:ident) => {
        $crate::hand_on_calls!(Registry, $store, $inner, {
            register(announcement: &$crate::hand_on::store::Announcement) -> $crate::hand_on::store::Registration;
            heartbeat(
                slot: $crate::hand_on::core::Slot,
                incarnation: $crate::hand_on::core::Incarnation,
                heartbeat: &$crate::hand_on::store::Heartbeat
            ) -> $crate::hand_on::store::HeartbeatOutcome;
            deregister(slot: $crate::hand_on::core::Slot, incarnation: $crate::hand_on::core::Incarnation) -> ();
            scan(kind: $crate::hand_on::core::Kind) -> Vec<$crate::hand_on::store::ScanEntry>;
            reap() -> Vec<$crate::hand_on::core::Slot>;
            accuse(
                slot: $crate::hand_on::core::Slot,
                incarnation: $crate::hand_on::core::Incarnation,
                observer: $crate::hand_on::core::Slot,
                charge: $crate::hand_on::store::Charge
            ) -> $crate::hand_on::store::Verdict;
            absolve(
                slot: $crate::hand_on::core::Slot,
                incarnation: $crate::hand_on::core::Incarnation,
                observer: $crate::hand_on::core::Slot
            ) -> ();
            ask_to_drain(slot: $crate::hand_on::core::Slot) -> $crate::hand_on::store::DrainRequest;
        });
    };
    (Rooms, $store:ident, $inner:ident) => {
        $crate::hand_on_calls!(Rooms, $store, $inner, {
            commit_room(change: &$crate::hand_on::store::RoomChange) -> $crate::hand_on::store::CommitOutcome;
            room(id: $crate::hand_on::core::RoomId) -> Option<$crate::hand_on::store::RoomDocument>;
            room_of(session: $crate::hand_on::core::SessionId) -> Option<$crate::hand_on::store::RoomDocument>;
            room_by_invite(invite: &str) -> Option<$crate::hand_on::store::RoomDocument>;
            rooms_labelled(label: &str, page: Option<&str>, limit: u32) -> $crate::hand_on::store::RoomPage;
            touch_room(id: $crate::hand_on::core::RoomId) -> ();
        });
    };
    (Games, $store:ident, $inner:ident) => {
        $crate::hand_on_calls!(Games, $store, $inner, {
            place(order: &$crate::hand_on::store::GameOrder) -> $crate::hand_on::store::PlaceOutcome;
            game(id: $crate::hand_on::core::GameId) -> Option<$crate::hand_on::store::GameRecord>;
            hosted(
                slot: $crate::hand_on::core::Slot,
                incarnation: $crate::hand_on::core::Incarnation
            ) -> Vec<$crate::hand_on::core::GameId>;
            restore_game(
                order: &$crate::hand_on::store::GameOrder,
                owner: $crate::hand_on::store::Owner,
                snapshot: Option<&$crate::hand_on::store::SavedSnapshot>
            ) -> $crate::hand_on::store::RestoreOutcome;
            end_game(
                id: $crate::hand_on::core::GameId,
                owner: $crate::hand_on::store::Owner,
                outcome: &$crate::hand_on::core::EndOutcome
            ) -> bool;
            unsettled_games(min_age_ms: u64, limit: u32) -> Vec<$crate::hand_on::core::GameId>;
            settle_game(id: $crate::hand_on::core::GameId) -> ();
            sweep_orphans(limit: u32) -> u32;
        });
    };
    (Journals, $store:ident, $inner:ident) => {
        $crate::hand_on_calls!(Journals, $store, $inner, {
            write_journals(writes: &[$crate::hand_on::store::JournalWrite]) -> Vec<$crate::hand_on::store::WriteOutcome>;
            saved_game(id: $crate::hand_on::core::GameId) -> Option<$crate::hand_on::store::SavedGame>;
            claim_games(claim: &$crate::hand_on::store::Claim) -> $crate::hand_on::store::Claimed;
            hand_over(
                id: $crate::hand_on::core::GameId,
                owner: $crate::hand_on::store::Owner,
                snapshot: &$crate::hand_on::store::SavedSnapshot,
                without_server: $crate::hand_on::store::WithoutServer
            ) -> $crate::hand_on::store::HandOverOutcome;
            failed_games(limit: u32) -> Vec<$crate::hand_on::store::FailedGame>;
        });
    };
    (Upkeep, $store:ident, $inner:ident) => {
        #[$crate::hand_on::async_trait]
        impl $crate::hand_on::store::Upkeep for $store {
            async fn hazards(&self) -> $crate::hand_on::store::Result<Vec<$crate::hand_on::store::Hazard>> {
                $crate::hand_on::store::Upkeep::hazards(&*self.$inner).await
            }

            fn lineage(&self) -> $crate::hand_on::watch::Receiver<$crate::hand_on::store::Lineage> {
                $crate::hand_on::store::Upkeep::lineage(&*self.$inner)
            }
        }
    };
    (Sessions, $store:ident, $inner:ident) => {
        $crate::hand_on_calls!(Sessions, $store, $inner, {
            login(login: &$crate::hand_on::store::Login) -> $crate::hand_on::store::LoginOutcome;
            session_away(
                session: $crate::hand_on::core::SessionId,
                generation: $crate::hand_on::core::Generation
            ) -> ();
            logout(session: $crate::hand_on::core::SessionId, generation: $crate::hand_on::core::Generation) -> bool;
            hold_sessions(
                gateway: $crate::hand_on::core::Slot,
                incarnation: $crate::hand_on::core::Incarnation,
                sessions: &[$crate::hand_on::store::HeldSession]
            ) -> Vec<$crate::hand_on::core::SessionId>;
            sessions_away(min_age_ms: u64, limit: u32) -> Vec<$crate::hand_on::core::SessionId>;
            settle_away(session: $crate::hand_on::core::SessionId) -> ();
        });
    };
    (Mail, $store:ident, $inner:ident) => {
        #[$crate::hand_on::async_trait]
        impl $crate::hand_on::store::Mail for $store {
            fn subscribe(&self, mailbox: Option<$crate::hand_on::core::Slot>) -> $crate::hand_on::store::Subscription {
                $crate::hand_on::store::Mail::subscribe(&*self.$inner, mailbox)
            }

            async fn send(
                &self,
                to: $crate::hand_on::core::Slot,
                letter: $crate::hand_on::store::Letter,
            ) -> $crate::hand_on::store::Result<()> {
                $crate::hand_on::store::Mail::send(&*self.$inner, to, letter).await
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! hand_on_calls {
    ($trait:ident, $store:ident, $inner:ident, {
        $($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+
    }) => {
        #[$crate::hand_on::async_trait]
        impl $crate::hand_on::store::$trait for $store {
            $(async fn $call(&self, $($argument: $type),*) -> $crate::hand_on::store::Result<$answer> {
                $crate::hand_on::store::$trait::$call(&*self.$inner, $($argument),*).await
            })+
        }
    };
}

//! The store: what the servers of a cluster share. Registry, rooms, games, journals, sessions and mail.
//!
//! One interface, two implementations that pass one conformance suite:
//! [`EmbeddedStore`] in memory for one process, and [`RedisStore`]. No other crate knows Redis.
//!
//! | trait | what it keeps |
//! | --- | --- |
//! | [`Registry`] | which servers there are: slots, leases, `ServerOn`/`ServerOff` |
//! | [`Rooms`] | rooms as opaque documents that change by compare-and-set, with labels to list them by |
//! | [`Games`] | placement, who owns which game, how it ended |
//! | [`Journals`] | what is kept of journaled games, and their way from owner to owner |
//! | [`Sessions`] | who is logged in, where, and which connection is the current one |
//! | [`Mail`] | short hints from server to server; they may be lost, so each has a scan that finds what it missed |
//! | [`Upkeep`] | what can be lost by the way the store itself is set up |
//!
//! Every call is bounded in time by the implementation. Every change is atomic and can be repeated: an attempt whose
//! outcome is unknown (a timeout) is sent again as it was.

mod embedded;
mod error;
pub mod games;
pub mod journal;
pub mod mail;
pub mod observed;
mod periods;
mod redis;
pub mod registry;
pub mod rooms;
pub mod sessions;
pub mod upkeep;

use std::sync::Arc;

pub use embedded::{Checkpoint, EmbeddedStore};
pub use error::StoreError;
pub use games::{
    EndOutcome, EndReason, GameOrder, GameRecord, Games, OrderedPlayer, Owner, PlaceOutcome, RestoreOutcome,
};
pub use journal::{
    Claim, Claimed, ClaimedGame, FailedGame, HandOverOutcome, JournalWrite, Journals, SavedGame, SavedJournal,
    SavedSnapshot, WithoutServer, WriteContent, WriteOutcome,
};
pub use mail::{Letter, Mail, Notice, Subscription};
pub use observed::ObservedStore;
pub use periods::Periods;
pub use pintail_core::{Charge, Verdict};
pub use redis::{BadRedisTls, BadRedisUrl, RedisOptions, RedisStore, WaitReplicas};
pub use registry::{
    Announcement, BrokenEntry, DrainRequest, Heartbeat, HeartbeatOutcome, Registration, Registry, ScanEntry,
    ServerRecord, SlotOrigin,
};
pub use rooms::{CommitOutcome, RoomChange, RoomDocument, RoomPage, RoomState, Rooms, Version};
pub use sessions::{HeldSession, Login, LoginMode, LoginOutcome, Sessions};
pub use upkeep::{Hazard, Lineage, Upkeep};

/// The whole store.
pub trait Store: Registry + Rooms + Games + Journals + Sessions + Mail + Upkeep {}

impl<T: Registry + Rooms + Games + Journals + Sessions + Mail + Upkeep> Store for T {}

impl std::fmt::Debug for dyn Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// A store that tasks share.
pub type SharedStore = Arc<dyn Store>;

/// What every call returns.
pub type Result<T> = std::result::Result<T, StoreError>;

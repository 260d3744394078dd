//! Rooms as opaque documents that change by compare-and-set.

use std::fmt;

use async_trait::async_trait;
use pintail_core::{RoomId, SessionId};

use crate::Result;

/// A room document's version; the first is 1, and 0 means "not there".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub u64);

/// A room as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomDocument {
    /// Its id.
    pub id: RoomId,
    /// One more at each change.
    pub version: Version,
    /// The lobby's own text (JSON); the store does not look into it.
    pub body: String,
}

/// One atomic change of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomChange {
    /// The room.
    pub id: RoomId,
    /// The version that the change was made from; 0 to create the room.
    pub from: Version,
    /// What the room becomes; `None` deletes it.
    pub to: Option<RoomState>,
    /// Sessions that enter. Each may be in one room only.
    pub enter: Vec<SessionId>,
    /// Sessions that leave.
    pub leave: Vec<SessionId>,
}

/// What a room becomes by a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomState {
    /// The lobby's own text.
    pub body: String,
    /// The invite code, unique among rooms. It never changes while the room lives: that of the creation counts.
    pub invite: String,
    /// The lists that the room stands in, such as `public` or `open:gomoku`; at most 8.
    pub labels: Vec<String>,
}

/// How a change went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It happened; the room's new version (0 if it was deleted).
    Committed(Version),
    /// The room is not at the version that the change was made from: load it and decide again.
    Conflict,
    /// A session that should enter is in another room that still exists.
    Elsewhere {
        /// The session.
        session: SessionId,
        /// Its room.
        room: RoomId,
    },
    /// The invite code of the room to be created is taken.
    InviteTaken,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomPage {
    /// The rooms, newest first.
    pub rooms: Vec<RoomDocument>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<String>,
}

/// Where a page of a list ends: at this room. Lists are ordered by it, so a page starts where the last one ended
/// whatever came and went in between. Written `<created>:<room>`, of fixed length, so that the texts sort alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageMark {
    /// When the room was created, by the store's own measure.
    pub(crate) created: u64,
    /// The room.
    pub(crate) room: RoomId,
}

impl PageMark {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (created, room) = text.split_once(':')?;
        if created.len() != 16 || !created.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { created: created.parse().ok()?, room: room.parse().ok()? })
    }
}

impl fmt::Display for PageMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}:{}", self.created, self.room)
    }
}

/// The rooms of the lobby servers.
#[async_trait]
pub trait Rooms: Send + Sync + 'static {
    /// Changes a room, its invite code, its labels and the rooms of the sessions concerned, in one atomic step, and
    /// starts its idle time anew.
    async fn commit_room(&self, change: &RoomChange) -> Result<CommitOutcome>;

    /// The room, if it exists.
    async fn room(&self, id: RoomId) -> Result<Option<RoomDocument>>;

    /// The room that a session is in, if it still exists.
    async fn room_of(&self, session: SessionId) -> Result<Option<RoomDocument>>;

    /// The room with this invite code.
    async fn room_by_invite(&self, invite: &str) -> Result<Option<RoomDocument>>;

    /// Rooms with this label, newest first, from where `page` says (`None`: the start), at most `limit`. A page may
    /// be shorter than `limit` and yet not the last one. A `page` that no list gave is treated as the start.
    async fn rooms_labelled(&self, label: &str, page: Option<&str>, limit: u32) -> Result<RoomPage>;

    /// Keeps a room from expiring that changes rarely (a long game).
    async fn touch_room(&self, id: RoomId) -> Result<()>;
}

//! What a lobby request does to a room.
//!
//! A room is a document (JSON) in the store and a pure state machine: each change takes the room as it is and says
//! what it becomes, who hears of it, and what has to be done besides. The shell commits it by compare-and-set and,
//! if another lobby server was faster, loads the room and decides again.
//!
//! ```text
//!            start                 game placed
//!   ┌──────┐ ─────▶ ┌──────────┐ ─────────────▶ ┌─────────┐
//!   │ WAIT │        │ STARTING │                │ PLAYING │
//!   └──────┘ ◀───── └──────────┘                └─────────┘
//!      ▲     no game server      game over           │
//!      └─────────────────────────────────────────────┘
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`request`] | what can be asked, what comes of it, why it is refused |
//! | [`choice`] | which game with which settings a room is for |
//! | [`invite`] | invite codes |
//! | `change` | what each request does |
//! | `course` | how a game starts and ends, and how members come and go by themselves |

mod change;
pub mod choice;
mod course;
pub mod invite;
pub mod request;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

use pintail_core::limits::LOBBY_REQUESTS_IN_FLIGHT_MAX;
use pintail_core::{
    EndOutcome, GameId, GameType, Generation, PlayerName, RequestId, RoomId, RoomName, Round, SessionId, Slot,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use choice::GameChoice;
pub use invite::InviteCode;
pub use request::{Actor, Applied, ChatText, Effect, Event, JoinBy, LeftReason, NewRoom, Presence, Request, RoomError};

/// How many requests of a member a room remembers. A gateway whose lobby server is lost sends everything again that
/// was not answered, and that is at most so many requests of one session.
const REMEMBERED_REQUESTS: usize = LOBBY_REQUESTS_IN_FLIGHT_MAX;

/// The label of rooms that everyone may see.
pub const LABEL_PUBLIC: &str = "public";

/// The label of rooms whose start is under way.
pub const LABEL_STARTING: &str = "starting";

/// The label of rooms whose game runs.
pub const LABEL_PLAYING: &str = "playing";

/// The label of public rooms of this game that wait and have a place.
#[must_use]
pub fn label_open(game: &GameType) -> String {
    format!("open:{game}")
}

/// A room. It has at least one member, its owner among them, and never more than its game choice allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    id: RoomId,
    name: RoomName,
    choice: GameChoice,
    visibility: Visibility,
    invite: InviteCode,
    owner: SessionId,
    /// In the order in which they came: the first one present is the next owner.
    members: Vec<Member>,
    /// One more at each start, whether it succeeds or not.
    round: Round,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_end: Option<RoundEnd>,
}

/// Who can find a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everyone: it is listed, and quick match fills it.
    Public,
    /// Whoever knows the invite code.
    Private,
}

/// A session in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// What the player is called.
    pub name: PlayerName,
    /// Whether the player wants the game to start. The owner need not say so.
    pub ready: bool,
    /// Whether the connection is lost; the place is kept for a while.
    pub away: bool,
    /// The gateway over which the member was last heard of: where events for the member go.
    pub gateway: Slot,
    /// Which connection of the session that was.
    pub generation: Generation,
    /// The latest requests that changed something, so that a repeated one is done once.
    requests: VecDeque<RequestId>,
}

/// Where a room stands between two games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Players gather.
    Wait,
    /// The game is ordered and not known to be placed yet.
    Starting(Start),
    /// The game of the room's round runs.
    Playing,
}

/// Everything that a game's order is made from, fixed at the start, so that whoever continues it orders the same game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Where the game's randomness starts.
    pub seed: u64,
    /// Who plays, in the order of their seats.
    pub seats: Vec<Seat>,
    /// The owner who started it, and by which request: forgotten if it fails, so that it can be sent again.
    starter: SessionId,
    request: RequestId,
}

/// A player of a game that starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The player's session.
    pub session: SessionId,
    /// The player's name.
    pub name: PlayerName,
}

/// How one of the room's games ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundEnd {
    /// Which of them.
    pub round: Round,
    /// How.
    pub outcome: EndOutcome,
}

/// A stored text that is no room.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the stored text is no room ({0}); delete its key, or find what else writes there")]
pub struct CorruptRoom(String);

impl Room {
    /// Reads a room as the store has it.
    ///
    /// # Errors
    /// If the text is no room, or one that no lobby server would have written.
    pub fn from_json(text: &str) -> Result<Self, CorruptRoom> {
        let room: Self = serde_json::from_str(text).map_err(|error| CorruptRoom(error.to_string()))?;
        let sessions: HashSet<_> = room.members.iter().map(|member| member.session).collect();
        if !sessions.contains(&room.owner) {
            return Err(CorruptRoom("its owner is no member".to_owned()));
        }
        if sessions.len() != room.members.len() {
            return Err(CorruptRoom("a session is in it twice".to_owned()));
        }
        Ok(room)
    }

    /// The room as the store keeps it.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a room has only text keys")
    }

    /// The lists that the room stands in.
    #[must_use]
    pub fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        if self.visibility == Visibility::Public {
            labels.push(LABEL_PUBLIC.to_owned());
            if self.is_open() {
                labels.push(label_open(&self.choice.game));
            }
        }
        match self.phase {
            Phase::Wait => {}
            Phase::Starting(_) => labels.push(LABEL_STARTING.to_owned()),
            Phase::Playing => labels.push(LABEL_PLAYING.to_owned()),
        }
        labels
    }

    /// Whether it waits and has a place.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Wait && self.members.len() < self.choice.places()
    }

    /// The game that starts or runs in the room.
    #[must_use]
    pub fn game(&self) -> Option<GameId> {
        (self.phase != Phase::Wait).then_some(GameId { room: self.id, round: self.round })
    }

    /// The member that this session is.
    #[must_use]
    pub fn member(&self, session: SessionId) -> Option<&Member> {
        self.members.iter().find(|member| member.session == session)
    }

    /// Whether the room remembers this request of one of its members.
    #[must_use]
    pub fn remembers(&self, session: SessionId, request: RequestId) -> bool {
        self.member(session).is_some_and(|member| member.requests.contains(&request))
    }

    /// The room's id.
    #[must_use]
    pub const fn id(&self) -> RoomId {
        self.id
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &RoomName {
        &self.name
    }

    /// The game it is for.
    #[must_use]
    pub const fn choice(&self) -> &GameChoice {
        &self.choice
    }

    /// Who can find it.
    #[must_use]
    pub const fn visibility(&self) -> Visibility {
        self.visibility
    }

    /// What friends type to join.
    #[must_use]
    pub const fn invite(&self) -> &InviteCode {
        &self.invite
    }

    /// The member who starts games and kicks.
    #[must_use]
    pub const fn owner(&self) -> SessionId {
        self.owner
    }

    /// Its members, in the order in which they came.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many games it has started.
    #[must_use]
    pub const fn round(&self) -> Round {
        self.round
    }

    /// Where it stands between two games.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// How its last game ended.
    #[must_use]
    pub const fn last_end(&self) -> Option<&RoundEnd> {
        self.last_end.as_ref()
    }
}

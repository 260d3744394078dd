//! What can be asked of a room, what comes of it, and why it is refused.

use pintail_core::limits::CHAT_CHARACTERS_MAX;
use pintail_core::{
    Fault, GameCatalog, GameId, GameType, Generation, NameError, PlayerName, Retry, RoomId, RoomName, SessionId, Slot,
};
use thiserror::Error;

use super::{GameChoice, InviteCode, Member, Room, Visibility};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The session.
    pub session: SessionId,
    /// What the player is called now.
    pub name: PlayerName,
    /// The gateway that the request came from.
    pub gateway: Slot,
    /// Which connection of the session it came over: a smaller one than before is a former one.
    pub generation: Generation,
}

/// What a session asks of a room that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The room as it is. The session must be a member.
    Look,
    /// Become a member.
    Join(JoinBy),
    /// Be a member no longer.
    Leave,
    /// Want the game to start, or not yet.
    SetReady(bool),
    /// Remove another member. The owner's only.
    Kick(SessionId),
    /// Say something to everyone in the room.
    Chat(ChatText),
    /// Start the game with this seed. The owner's only.
    Start {
        /// Where the game's randomness starts.
        seed: u64,
    },
}

/// How a session knows the room that it wants to join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinBy {
    /// From a list: public rooms only.
    Id,
    /// By its invite code.
    Invite,
}

/// What a chat message says: one line, printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatText(String);

impl ChatText {
    /// Checks a message, without the white space around it.
    ///
    /// # Errors
    /// If it is empty, too long, or has characters that would spoil a terminal.
    pub fn new(text: &str) -> Result<Self, RoomError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RoomError::BadChat("a message can't be empty".to_owned()));
        }
        if text.chars().count() > CHAT_CHARACTERS_MAX {
            return Err(RoomError::BadChat(format!("a message has at most {CHAT_CHARACTERS_MAX} characters")));
        }
        // Joiners inside a word stay: some scripts and most emoji need them.
        let spoils = |character: char| {
            character.is_control()
                || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        if text.contains(spoils) {
            return Err(RoomError::BadChat("a message is one line without control characters".to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The message.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoom {
    /// Its id.
    pub id: RoomId,
    /// What it is called; `None` names it after its owner.
    pub name: Option<RoomName>,
    /// Its game.
    pub choice: GameChoice,
    /// Who can find it.
    pub visibility: Visibility,
    /// What friends type to join.
    pub invite: InviteCode,
}

/// What a gateway says of a session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is there, perhaps through another gateway.
    Back,
    /// It is lost; the place is kept for a while.
    Away,
    /// The player logged out; the place is free.
    Gone,
}

/// What comes of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The room as it becomes; `None` if nobody is left, which deletes it.
    pub room: Option<Room>,
    /// Whether there is anything to commit.
    pub changed: bool,
    /// Who hears what, once the change is committed, or at once if there is nothing to commit.
    pub events: Vec<Event>,
    /// What is to be done besides, once the change is committed.
    pub effects: Vec<Effect>,
}

/// Who hears what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The room looks different now: for every member but the one who is answered anyway.
    Changed {
        /// The one who is answered.
        except: Option<SessionId>,
    },
    /// Somebody said something: for every member.
    Chat {
        /// The speaker.
        session: SessionId,
        /// The speaker's name.
        name: PlayerName,
        /// What was said.
        text: ChatText,
    },
    /// For someone who was a member and is none any more.
    Left {
        /// The member that was.
        member: Member,
        /// Why.
        reason: LeftReason,
    },
}

/// Why a member is none any more without having asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftReason {
    /// The owner removed it.
    Kicked,
    /// Its connection was lost for too long.
    AwayTooLong,
}

/// What is to be done besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Place the game of the room's start, or find that it is placed.
    Start(GameId),
    /// Tell the game's server that a player left.
    PlayerLeft(GameId, SessionId),
}

/// Why a request is refused, as a sentence for the player.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RoomError {
    /// No such room, or a private one asked for by its id.
    #[error("there is no such room; it may be gone, or private and joined by its invite code")]
    NotFound,
    /// No room has this invite code.
    #[error("no room has this invite code; it may be mistyped, or the room is gone")]
    UnknownInvite,
    /// No place left.
    #[error("the room is full: it takes {places} players")]
    Full {
        /// How many it takes.
        places: u32,
    },
    /// Only the owner may do that.
    #[error("only the room's owner can do that")]
    NotOwner,
    /// Not everyone is ready.
    #[error("not ready yet: {}", .0.iter().map(PlayerName::as_str).collect::<Vec<_>>().join(", "))]
    NotReady(Vec<PlayerName>),
    /// Too few members to start.
    #[error("the game needs {least} players; the room has {present}")]
    TooFewPlayers {
        /// How many the game needs.
        least: u32,
        /// How many there are.
        present: usize,
    },
    /// The game is not for so many.
    #[error("{game} is for {least} to {most} players, not {asked}")]
    BadPlayerCount {
        /// The game.
        game: GameType,
        /// The fewest.
        least: u32,
        /// The most.
        most: u32,
        /// What was asked for.
        asked: u32,
    },
    /// No such game here. Another lobby server may be another program.
    #[error("there is no such game; this lobby server's program has: {known}")]
    UnknownGame {
        /// The games that there are.
        known: String,
    },
    /// The settings are no JSON object, or the game refuses them.
    #[error("the settings are refused: {0}")]
    BadSettings(String),
    /// The room's name is refused.
    #[error(transparent)]
    BadName(#[from] NameError),
    /// The chat message is refused.
    #[error("{0}")]
    BadChat(String),
    /// The session is in a room already.
    #[error("you are in a room already; leave it first")]
    AlreadyInRoom,
    /// The session is in no room.
    #[error("you are in no room")]
    NotInRoom,
    /// Not while a game starts or runs.
    #[error("the room's game is running; wait for its end")]
    GameRunning,
    /// Not a member.
    #[error("that player is not in the room")]
    UnknownPlayer,
    /// Owners leave; they do not kick themselves.
    #[error("you can't kick yourself; leave the room instead")]
    KickedOneself,
}

impl RoomError {
    /// The refusal of a game that is not in this catalog.
    #[must_use]
    pub fn unknown_game(catalog: &GameCatalog) -> Self {
        let known = catalog.iter().map(|info| info.name.as_str()).collect::<Vec<_>>().join(", ");
        Self::UnknownGame { known }
    }

    /// Whose fault it is: always the one's who asked.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Caller
    }

    /// Whether the same request can succeed later, by what others do.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Full { .. } | Self::NotReady(_) | Self::TooFewPlayers { .. } | Self::GameRunning => Retry::Later,
            _ => Retry::Never,
        }
    }
}

//! What a client tells its application.

use bytes::Bytes;
use pintail_core::{GameId, RoomId, Step};
use pintail_wire::client::{ChatMessage, GameDetachReason, GameEndReason, Room, RoomLeftReason};

use crate::{Disconnect, Ended};

/// Something that happened. All events of one client come in the order in which they happened; a
/// [`GameState`](Event::GameState) that was not taken yet is replaced by the next one.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The client is logged in, for the first time or again.
    Connected {
        /// Whether the session was there before.
        resumed: bool,
        /// The gateway's slot, such as `Server:Gateway:0`.
        gateway: String,
    },
    /// The connection is lost. The client connects again by itself; calls and inputs are kept meanwhile.
    Disconnected {
        /// Why.
        why: Disconnect,
    },
    /// The room that the session is in, whenever a newer version of it becomes known, be it by this client's own calls.
    Room(Room),
    /// Someone in the room said something.
    Chat(ChatMessage),
    /// The session is no longer in this room.
    RoomLeft {
        /// The room.
        room: RoomId,
        /// Why; [`RoomLeftReason::Unspecified`] when it was found out after a reconnect.
        reason: RoomLeftReason,
    },
    /// The stream to a game is open for the first time.
    GameAttached {
        /// The game.
        game: GameId,
        /// The game's type, such as `gomoku`.
        game_type: String,
        /// Whether the messages since the last one that an earlier life of this session had were given up: what follows
        /// brings the player up to date.
        resynchronised: bool,
    },
    /// Nothing comes from the game for a moment. The client opens the stream again by itself, and keeps the player's
    /// inputs meanwhile, so an application says no more than that, and plays on as soon as the pause is over:
    /// [`GameResumed`](Self::GameResumed). It comes once, however long the pause is and whatever else fails in it.
    GamePaused {
        /// The game.
        game: GameId,
        /// Why.
        why: PauseReason,
    },
    /// The game goes on where it was: every input that was sent has arrived or does now, and each message once, unless it is
    /// resynchronised.
    GameResumed {
        /// The game.
        game: GameId,
        /// Whether messages were given up because the player was too far behind, or because several failures at once cost the
        /// game more than it can bring back: what follows brings the player up to date.
        resynchronised: bool,
    },
    /// A reliable message of the game: exactly once, in order.
    GameMessage {
        /// The game.
        game: GameId,
        /// The step that sent it.
        step: Step,
        /// The game's own bytes.
        payload: Bytes,
    },
    /// The newest state message of the game; older ones that were not taken are gone. Its step never goes back: after a
    /// pause, a state older than one that was shown is passed over.
    GameState {
        /// The game.
        game: GameId,
        /// The step that sent it.
        step: Step,
        /// The game's own bytes.
        payload: Bytes,
    },
    /// The game is over. It is its last event.
    GameEnded {
        /// The game.
        game: GameId,
        /// The last step.
        step: Step,
        /// Why.
        reason: GameEndReason,
        /// What the game says about its end, as JSON; empty unless it finished.
        result: String,
        /// A sentence for people; empty when it finished.
        message: String,
    },
    /// The stream to the game is closed for good. It is the game's last event.
    GameDetached {
        /// The game.
        game: GameId,
        /// Why.
        reason: GameDetachReason,
        /// A sentence for people.
        message: String,
    },
    /// The client has ended for good. It is the last event.
    Ended(Ended),
}

/// Why a game pauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseReason {
    /// The connection to the gateway is lost; [`Event::Disconnected`] came just before.
    Disconnected,
    /// The stream was interrupted behind the gateway.
    Detached {
        /// Why: mostly [`GameDetachReason::ServerUnreachable`], when the game's server is being replaced.
        reason: GameDetachReason,
        /// A sentence for people.
        message: String,
    },
}

//! Placement, who owns which game, and how it ended.

use async_trait::async_trait;
use pintail_core::{Durability, Epoch, GameId, GameType, Incarnation, PlayerName, SessionId, Slot, TraceParent};
pub use pintail_core::{EndOutcome, EndReason};
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use crate::WriteContent;
use crate::{Result, SavedSnapshot};

/// A game to be run: everything that its server needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameOrder {
    /// The game, by room and round: the same order again is the same game.
    pub id: GameId,
    /// Its type.
    pub game_type: GameType,
    /// Whether it outlives its server.
    #[serde(with = "durability_as_text")]
    pub durability: Durability,
    /// The room's settings, JSON.
    pub settings: String,
    /// Who plays, in the order of their seats.
    pub players: Vec<OrderedPlayer>,
    /// Where the game's randomness starts.
    pub seed: u64,
    /// The lobby server that is told first how the game ended.
    pub lobby: Slot,
    /// The span of the start, if it is traced. It says nothing of the game, and two orders that differ by it alone are for
    /// the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

/// A player of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedPlayer {
    /// The player's session.
    pub session: SessionId,
    /// The player's name.
    pub name: PlayerName,
}

mod durability_as_text {
    use pintail_core::Durability;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(durability: &Durability, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match durability {
            Durability::Ephemeral => "ephemeral",
            Durability::Journaled => "journaled",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Durability, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        match &*text {
            "ephemeral" => Ok(Durability::Ephemeral),
            "journaled" => Ok(Durability::Journaled),
            other => Err(serde::de::Error::unknown_variant(other, &["ephemeral", "journaled"])),
        }
    }
}

/// Who runs a game. The token that fences a former owner is (epoch, incarnation), compared for equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The game server's slot.
    pub slot: Slot,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// One more at each change of owner.
    pub epoch: Epoch,
}

/// What is said of an ephemeral game whose server is gone.
pub(crate) fn server_lost() -> EndOutcome {
    EndOutcome {
        reason: EndReason::ServerLost,
        result: String::new(),
        message: "the game's server was lost, and games of this type end with their server".to_owned(),
    }
}

/// What is said of a journaled game that no server has taken over.
pub(crate) fn unclaimed() -> EndOutcome {
    EndOutcome {
        reason: EndReason::ServerLost,
        result: String::new(),
        message: "the game's server was lost, and no other could take the game over in time".to_owned(),
    }
}

/// The most games that failed and are kept: the newest. A type of game that fails whenever it is started must not fill the
/// store with journals.
pub(crate) const FAILED_GAMES_MAX: usize = 1000;

/// A game as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameRecord {
    /// What was ordered.
    pub order: GameOrder,
    /// Who runs it, or ran it last.
    pub owner: Owner,
    /// How it ended; `None` while it runs.
    pub outcome: Option<EndOutcome>,
}

/// How a placement went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOutcome {
    /// The game is placed, by this call or by an earlier one with the same order.
    Placed(Owner),
    /// No live `smooth` game server that hosts this type has a free place.
    NoServer,
    /// The game was placed before and is over.
    Over(EndOutcome),
}

/// The most games and sessions that one [`Games::sweep_orphans`] deals with: it is one atomic step, and everyone else
/// waits for its end.
pub const SWEEP_MAX: u32 = 256;

/// How putting a game back went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// The store knows the game as this owner's and running.
    Restored,
    /// The game is over, or another owner's.
    Taken,
    /// The owner does not hold its slot: the store lost that, too. Register first.
    Unregistered,
}

/// The games of the game servers.
#[async_trait]
pub trait Games: Send + Sync + 'static {
    /// Chooses a server for a new game and counts it there, in one atomic step: among live `smooth` game servers with
    /// free capacity that host the type, the one with the fewest games by share of its capacity. Sends the server
    /// [`Letter::GamePlaced`](crate::Letter::GamePlaced). Placing a placed game again changes nothing.
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome>;

    /// The game, if the store knows it.
    async fn game(&self, id: GameId) -> Result<Option<GameRecord>>;

    /// The games of this incarnation that have not ended: what it should be running.
    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>>;

    /// Puts a running game back into a store that lost it (a Redis that came back empty), if the store knows nothing
    /// of it and the owner holds its slot; a game that the store knows is left as it is. A journaled game comes with a
    /// snapshot that contains all of it, in the same step: without one it would begin again with its next owner. To a game
    /// that the store knows with this token or an older epoch, the snapshot is [written](WriteContent::Snapshot).
    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome>;

    /// Ends a game, if it is still this owner's (or the store has lost the claim by which it is) and has not ended: keeps the outcome for [`GAME_RECORD_TTL`](pintail_core::limits::GAME_RECORD_TTL),
    /// counts the game down, lists it as unsettled, and sends its lobby [`Letter::GameOver`](crate::Letter::GameOver).
    /// Its journal goes, unless it ended as [`EndReason::Crashed`]: then record and journal are kept for
    /// [`Periods::failed_game_ttl`](crate::Periods). Returns whether the game is over with this owner (also if an earlier call did it).
    async fn end_game(&self, id: GameId, owner: Owner, outcome: &EndOutcome) -> Result<bool>;

    /// Games that ended at least `min_age_ms` ago and whose rooms nobody has settled yet, oldest first.
    async fn unsettled_games(&self, min_age_ms: u64, limit: u32) -> Result<Vec<GameId>>;

    /// The game's room knows how it ended.
    async fn settle_game(&self, id: GameId) -> Result<()>;

    /// Deals with up to `limit` games and sessions of incarnations that are gone, at most [`SWEEP_MAX`]: ends their
    /// ephemeral games as [`EndReason::ServerLost`], sets their journaled games aside for
    /// [`Journals::claim_games`](crate::Journals::claim_games), and marks their sessions away. Ends games that were set aside for
    /// longer than [`Periods::orphan_ttl`](crate::Periods), of which only a time counts in which servers were heard without a
    /// gap: while the store was away, nobody could claim them. Returns how many it dealt with. Any server may call it at any time.
    async fn sweep_orphans(&self, limit: u32) -> Result<u32>;
}

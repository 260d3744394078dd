//! What happens to a game server.

use pintail_core::{EntryNumber, Epoch, GameId, SessionId, Slot};
use pintail_net::LinkId;
use pintail_store::{Claimed, GameRecord, HandOverOutcome, Owner, RestoreOutcome, SavedGame, WriteOutcome};
use pintail_wire::Frame;

use crate::runtime::Now;

/// Why there is no answer of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFailed {
    /// It could not be asked, or did not answer in time: ask again.
    Away,
    /// What it holds of the game can't be used; the sentence says why. Asking again won't help.
    Damaged(String),
}

/// What a store call came to.
pub type Answer<T> = Result<T, StoreFailed>;

/// Something that happens to a game server.
#[derive(Debug, Clone, PartialEq)]
pub enum HostEvent {
    /// The server is registered in this slot.
    Joined(Slot),
    /// A frame arrived on a link.
    Frame(LinkId, Frame),
    /// A link is gone, or is too slow to be of use.
    LinkClosed(LinkId),
    /// A letter: the game was placed here.
    Placed(GameId),
    /// A letter: the player left the room.
    PlayerLeft(GameId, SessionId),
    /// A scan of the store: the games that this server should be running, as asked at that time.
    Hosted {
        /// The games that have not ended as far as the store knows.
        games: Vec<GameId>,
        /// When the store was asked.
        asked: Now,
    },
    /// Answers [`Command::Load`](crate::runtime::Command::Load).
    Loaded(GameId, Answer<Option<SavedGame>>),
    /// Answers [`Command::Load`](crate::runtime::Command::Load) of a game of which the store has nothing that can be used:
    /// its record, if that can be read, and what is wrong with the rest.
    Damaged(GameId, Option<GameRecord>, String),
    /// Answers [`Command::End`](crate::runtime::Command::End): whether the game is over with the owner of this epoch.
    EndAnswered(GameId, Epoch, Answer<bool>),
    /// Answers [`Command::Restore`](crate::runtime::Command::Restore).
    Restored(GameId, Owner, Answer<RestoreOutcome>),
    /// Answers [`Command::Write`](crate::runtime::Command::Write): what became of the write whose last entry has
    /// this number, and that was made under this epoch.
    Written(GameId, Epoch, EntryNumber, Answer<WriteOutcome>),
    /// Answers [`Command::Claim`](crate::runtime::Command::Claim).
    Claimed(Answer<Claimed>),
    /// Answers [`Command::HandOver`](crate::runtime::Command::HandOver) of an owner with this epoch.
    HandedOver(GameId, Epoch, Answer<HandOverOutcome>),
    /// Games may wait for an owner: a server is gone, or it is time to look.
    LookForOrphans,
    /// The server holds its lease for certain until this time. A time that is past says that it is lost.
    Lease(Now),
    /// The store may have lost what it acknowledged: every journaled game is written anew.
    StoreDoubted,
    /// Journaled games are to be handed over to other servers, the others to go on until they end: the server drains.
    Drain,
    /// Ends every game that is not journaled, and sets those aside that are: the server stops.
    Stop,
}

//! What is kept of journaled games, and who takes them over.
//!
//! A journaled game is rebuilt from its last snapshot and the journal entries after it. Entries are numbered from 1
//! without gaps. Every write names its owner, and the store takes it only if the game's record has the same token
//! (epoch and incarnation): so a former owner changes nothing. A write whose outcome is unknown is repeated as it was.

use async_trait::async_trait;
use bytes::Bytes;
use pintail_core::{EntryNumber, GameId, GameType, Incarnation, Slot};

use crate::games::{GameRecord, Owner};
use crate::{EndOutcome, EndReason, Result};

/// Everything that a game is, up to one of its journal's entries. Its content is the game server's affair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSnapshot {
    /// The last entry that it contains; 0 if it was taken before there was one.
    pub number: EntryNumber,
    /// The version of its format, and of that of the entries after it. A server that can't read it does not claim the game.
    pub format: u32,
    /// The snapshot.
    pub bytes: Bytes,
}

/// What is kept of a game.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavedJournal {
    /// The last snapshot; none before the first.
    pub snapshot: Option<SavedSnapshot>,
    /// The entries after it, from number `snapshot.number + 1` on (1 without one), without gaps.
    pub entries: Vec<Bytes>,
}

impl SavedJournal {
    /// The number of the last entry that it holds or that its snapshot contains.
    #[must_use]
    pub fn last(&self) -> EntryNumber {
        let before = self.snapshot.as_ref().map_or(0_u64, |snapshot| snapshot.number.0);
        EntryNumber(before.saturating_add(self.entries.len() as u64))
    }
}

/// A game with what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedGame {
    /// Its record.
    pub record: GameRecord,
    /// How often it was claimed since an owner last proved that it can be run; 0 for a game that was never taken over.
    pub attempts: u32,
    /// Its journal; empty if it is ephemeral.
    pub journal: SavedJournal,
}

/// A write to a game's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalWrite {
    /// The game.
    pub game: GameId,
    /// Who writes. Epoch and incarnation are compared.
    pub owner: Owner,
    /// What is written.
    pub content: WriteContent,
}

/// What is written to a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteContent {
    /// Consecutive entries. Those that are there already are left as they are.
    Entries {
        /// The number of the first.
        first: EntryNumber,
        /// At least one, each of at most [`JOURNAL_ENTRY_BYTES_MAX`](pintail_core::limits::JOURNAL_ENTRY_BYTES_MAX).
        entries: Vec<Bytes>,
    },
    /// A snapshot in the place of every entry up to its number, written or not. It also mends a journal that lost entries, and a
    /// claim that the store lost: an older epoch than the writer's gives way to it.
    Snapshot(SavedSnapshot),
}

impl JournalWrite {
    /// The last entry that it brings to safety.
    #[must_use]
    pub fn last(&self) -> EntryNumber {
        match &self.content {
            WriteContent::Entries { first, entries } => EntryNumber((first.0 + entries.len() as u64).saturating_sub(1)),
            WriteContent::Snapshot(snapshot) => snapshot.number,
        }
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Everything up to its last entry is kept, by this call or an earlier one.
    Committed,
    /// The game is another owner's now, or is over. Nothing was changed.
    Fenced,
    /// The store has lost entries or the claim that went before, so these would leave a gap. Nothing was changed: write a
    /// snapshot, which mends it.
    Gap,
    /// The store knows nothing of the game: put it back ([`Games::restore_game`](crate::Games::restore_game)).
    Unknown,
}

/// A server that could take games over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its slot.
    pub slot: Slot,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// How many games it takes at most, at most [`CLAIM_MAX`]. The store gives it no more than its share.
    pub limit: u32,
    /// How many of them may be suspects, games whose last owner died soon after it had claimed them: they are tried together.
    pub suspects: u32,
    /// The newest format of snapshots that it reads.
    pub format: u32,
}

/// The most games that one [`Journals::claim_games`] gives: it is one atomic step.
pub const CLAIM_MAX: u32 = 64;

/// A game that was claimed. What is kept of it is asked for with [`Journals::saved_game`].
///
/// A store that has forgotten a claim may give a game to a server that runs it still, with the same epoch: then nobody else
/// can have gone on with it, and what the server has of the game is more than the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedGame {
    /// The game.
    pub id: GameId,
    /// The claimer as its owner.
    pub owner: Owner,
    /// How often it was claimed since an owner last proved that it can be run, this time included: over 1, it is a suspect.
    pub attempts: u32,
}

/// What is said of a game that nobody tries to run again.
pub(crate) fn poisoned() -> EndOutcome {
    EndOutcome {
        reason: EndReason::Crashed,
        result: String::new(),
        message:
            "every server that took this game over was lost right after, the last while it tried no other such game, \
                  so it was ended; it is kept for whoever looks into it"
                .to_owned(),
    }
}

/// What a claim came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// The games that are the claimer's now.
    pub games: Vec<ClaimedGame>,
    /// About how many more it could be given with the same claim; 0 if it is full. Games that it may not be given (suspects
    /// beyond those it asked for, formats that it can't read) don't count.
    pub waiting: u32,
}

/// What to do with a game that no other server can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutServer {
    /// It stays where it is.
    Keep,
    /// It waits in the store until a server claims it.
    SetAside,
}

/// What became of a game that was to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOverOutcome {
    /// It is this owner's now, by this call or an earlier one. Its server was sent [`Letter::GamePlaced`](crate::Letter::GamePlaced).
    To(Owner),
    /// It waits in the store, by this call or an earlier one.
    SetAside,
    /// No other server can take it, or entries were committed that the snapshot does not contain, as it is a late repeat.
    /// Nothing was changed.
    NoServer,
    /// The game is another owner's, or is over. Nothing was changed.
    Fenced,
    /// The store knows nothing of the game.
    Unknown,
}

/// A game that failed, and is kept for those who want to know why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedGame {
    /// The game.
    pub id: GameId,
    /// Its type.
    pub game_type: GameType,
    /// How long ago it ended, in milliseconds.
    pub age_ms: u64,
    /// How it ended.
    pub outcome: EndOutcome,
}

/// The journals of journaled games, and their way from owner to owner.
#[async_trait]
pub trait Journals: Send + Sync + 'static {
    /// Makes these writes, of different games, in one go; each is atomic. Returns what became of each, in order. An error
    /// means that each may have been made or not: repeat them.
    ///
    /// A write of an owner that claimed its game at least [`PROVEN_AFTER`](pintail_core::limits::PROVEN_AFTER) ago proves that the game
    /// can be run, and clears its attempts.
    ///
    /// A game that was set aside because its owner was taken for dead is its owner's again with the next write, if the owner
    /// holds its lease and nobody has claimed the game. Without a lease it goes on waiting, and who claims it finds what was
    /// written.
    async fn write_journals(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>>;

    /// A game with what is kept of it, as of one moment.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`](crate::StoreError::Corrupt) if snapshot and entries don't fit together.
    async fn saved_game(&self, id: GameId) -> Result<Option<SavedGame>>;

    /// Claims games that wait for an owner ([`Games::sweep_orphans`](crate::Games::sweep_orphans) sets them aside), if the server is live,
    /// does not drain and has free places: at most its share among the servers that could take them. The longest waiting
    /// come first. A claimed game has the next epoch and one more attempt.
    ///
    /// A server that is congested, accused or on probation is given games only if no other server could take them.
    ///
    /// A suspect that is tried together with others has one more attempt; one that is tried alone (because one was asked for,
    /// or one was found) has [`CLAIM_ATTEMPTS_MAX`](pintail_core::limits::CLAIM_ATTEMPTS_MAX), for there is no other to blame. One
    /// whose next attempt is that is only tried alone, so that nobody ends innocent ones with a guilty one. A game that
    /// waits with that many attempts is not given to anyone: it is ended as [`EndReason::Crashed`] and kept.
    async fn claim_games(&self, claim: &Claim) -> Result<Claimed>;

    /// Hands a game over to the server with the fewest games by share of its capacity, other than the owner's, with a
    /// snapshot that contains all of it. It counts as no attempt. A server that said with its last claim that it can't read
    /// the snapshot's format is passed over. A game that is set aside has the next epoch, too: nobody writes to it.
    async fn hand_over(
        &self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> Result<HandOverOutcome>;

    /// Games that ended as [`EndReason::Crashed`], newest first. They are kept, journals included, for
    /// [`Periods::failed_game_ttl`](crate::Periods).
    async fn failed_games(&self, limit: u32) -> Result<Vec<FailedGame>>;
}

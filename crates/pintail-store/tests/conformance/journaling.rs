//! What owners of journaled games do.

use bytes::Bytes;
use pintail_core::{Durability, EntryNumber, GameId, Kind};
use pintail_store::{
    Announcement, Charge, Claim, Claimed, GameOrder, JournalWrite, Owner, SavedGame, SavedSnapshot, Store, Verdict,
    WriteContent, WriteOutcome,
};

use crate::fixture::{Server, announcement, gateway, order, placed};

/// The format of all snapshots unless said otherwise.
pub(crate) const FORMAT: u32 = 3;

/// A journaled game.
pub(crate) fn journaled(number: u64) -> GameOrder {
    GameOrder { durability: Durability::Journaled, ..order(number) }
}

/// The id of that game.
pub(crate) fn game(number: u64) -> GameId {
    order(number).id
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A snapshot with this text.
pub(crate) fn snapshot(number: u64, text: &str) -> SavedSnapshot {
    SavedSnapshot { number: EntryNumber(number), format: FORMAT, bytes: bytes(text) }
}

/// A write of entries; each word is one.
pub(crate) fn entries(game: GameId, owner: Owner, first: u64, words: &str) -> JournalWrite {
    let entries = words.split_whitespace().map(bytes).collect();
    JournalWrite { game, owner, content: WriteContent::Entries { first: EntryNumber(first), entries } }
}

/// A write of a snapshot.
pub(crate) fn whole(game: GameId, owner: Owner, number: u64, text: &str) -> JournalWrite {
    JournalWrite { game, owner, content: WriteContent::Snapshot(snapshot(number, text)) }
}

/// Makes one write.
pub(crate) async fn wrote(store: &dyn Store, write: JournalWrite) -> WriteOutcome {
    let outcomes = store.write_journals(&[write]).await.unwrap();
    let [outcome] = outcomes[..] else { panic!("one write has one outcome: {outcomes:?}") };
    outcome
}

/// A game with what is kept of it.
pub(crate) async fn saved(store: &dyn Store, game: GameId) -> SavedGame {
    store.saved_game(game).await.unwrap().expect("the store knows the game")
}

/// What is kept of a game as words: the snapshot with its number, and the entries.
pub(crate) async fn kept(store: &dyn Store, game: GameId) -> String {
    let journal = saved(store, game).await.journal;
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let snapshot = journal.snapshot.iter().map(|snapshot| format!("{}:{}", snapshot.number, text(&snapshot.bytes)));
    snapshot.chain(journal.entries.iter().map(text)).collect::<Vec<_>>().join(" ")
}

/// A game server and a journaled game on it.
pub(crate) async fn owned(store: &dyn Store, number: u8, game: u64) -> (Server, Owner) {
    let server = Server::game(store, number, 100).await;
    let owner = placed(store, &journaled(game)).await;
    assert_eq!(owner.incarnation, server.incarnation(), "nobody else is there");
    (server, owner)
}

impl Server {
    /// A game server that hosts these types.
    pub(crate) async fn hosting(store: &dyn Store, number: u8, types: &[&str]) -> Self {
        let game_types = types.iter().map(|name| name.parse().unwrap()).collect();
        Self::register(store, Announcement { game_types, ..announcement(Kind::Game, number) }).await
    }

    /// It is taken for dead, and what it hosted is dealt with. It knows nothing of it.
    pub(crate) async fn lost(&self, store: &dyn Store) {
        assert_eq!(self.accused(store, gateway(0), Charge::Refused).await, Verdict::Down);
        while store.sweep_orphans(100).await.unwrap() > 0 {}
    }

    /// What it asks for when it would take anything.
    pub(crate) fn claim(&self) -> Claim {
        Claim { slot: self.slot, incarnation: self.incarnation(), limit: 64, suspects: 64, format: FORMAT }
    }

    pub(crate) async fn claims(&self, store: &dyn Store) -> Claimed {
        store.claim_games(&self.claim()).await.unwrap()
    }

    /// Claims the one game that waits.
    pub(crate) async fn claims_one(&self, store: &dyn Store) -> Owner {
        let claimed = self.claims(store).await;
        let [game] = claimed.games[..] else { panic!("one game waits: {claimed:?}") };
        game.owner
    }
}

//! What owners and servers do in a history.

use bytes::Bytes;
use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{EntryNumber, GameId};
use pintail_store::{
    Charge, Claim, HandOverOutcome, HeartbeatOutcome, JournalWrite, Owner, RestoreOutcome, SavedSnapshot,
    WithoutServer, WriteContent, WriteOutcome,
};

use super::model::{Model, Standing, token};
use super::{History, SENT_MAX};
use crate::fixture::{Server, gateway};
use crate::journaling::{FORMAT, journaled};

/// A game as one of its owners has it, or believes to.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) game: GameId,
    pub(super) owner: Owner,
    pub(super) entries: Vec<Bytes>,
    /// How many of the entries were committed.
    pub(super) committed: usize,
    /// The store wants a snapshot.
    pub(super) has_gap: bool,
}

impl View {
    fn snapshot(&self) -> SavedSnapshot {
        let number = EntryNumber(self.entries.len() as u64);
        SavedSnapshot { number, format: FORMAT, bytes: self.entries.concat().into() }
    }

    fn write_of(&self, content: WriteContent) -> JournalWrite {
        JournalWrite { game: self.game, owner: self.owner, content }
    }
}

impl History<'_> {
    /// An owner writes what it has not seen committed, perhaps with more behind.
    pub(super) async fn write(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let at = self.pick(self.views.len());
        for _ in 0..self.pick(3) {
            self.entry_count += 1;
            self.views[at].entries.push(Bytes::copy_from_slice(&self.entry_count.to_be_bytes()));
        }
        let wants_snapshot = self.views[at].has_gap || self.one_in(5);
        let view = &self.views[at];
        let content = if wants_snapshot || view.entries.len() == view.committed {
            WriteContent::Snapshot(view.snapshot())
        } else {
            let first = EntryNumber(view.committed as u64 + 1);
            WriteContent::Entries { first, entries: view.entries[view.committed..].to_vec() }
        };
        let write = view.write_of(content);
        self.sent.push(write.clone());
        if self.sent.len() > SENT_MAX {
            self.sent.remove(0);
        }
        if self.one_in(6) {
            // The store never gets it.
            return;
        }
        let outcome = self.made(&write).await;
        if self.one_in(6) {
            // Its answer is lost.
            return;
        }
        self.learn(at, &write, outcome).await;
    }

    /// Makes a write, and compares with what the model says to it.
    async fn made(&mut self, write: &JournalWrite) -> WriteOutcome {
        let outcomes = self.store.write_journals(std::slice::from_ref(write)).await.unwrap();
        let outcome = outcomes[0];
        let expected = self.models.get_mut(&write.game).map_or(WriteOutcome::Unknown, |model| {
            let is_snapshot = matches!(write.content, WriteContent::Snapshot(_));
            if is_snapshot && model.standing(write.owner) == Standing::Ahead {
                // What was committed to another since the store forgot the claim is given up with that claim.
                self.acknowledged.retain(|(game, _), _| *game != write.game);
            }
            model.write(write)
        });
        assert_eq!(outcome, expected, "{write:?}");
        if outcome == WriteOutcome::Committed {
            let owner = write.owner;
            let committer = self.committers.entry((write.game, owner.epoch)).or_insert(owner.incarnation);
            assert_eq!(*committer, owner.incarnation, "two owners in one epoch");
        }
        outcome
    }

    async fn learn(&mut self, at: usize, write: &JournalWrite, outcome: WriteOutcome) {
        let view = &mut self.views[at];
        match outcome {
            WriteOutcome::Committed => {
                view.has_gap = false;
                view.committed = view.committed.max(usize::try_from(write.last().0).unwrap());
                for (number, entry) in view.entries[..view.committed].iter().enumerate() {
                    self.acknowledged.insert((view.game, number), entry.clone());
                }
            }
            WriteOutcome::Gap => view.has_gap = true,
            WriteOutcome::Fenced => {
                self.views.remove(at);
            }
            WriteOutcome::Unknown => self.restore(at).await,
        }
    }

    async fn restore(&mut self, at: usize) {
        let view = &mut self.views[at];
        let number = view.game.room.0;
        let outcome = self.store.restore_game(&journaled(number), view.owner, Some(&view.snapshot())).await.unwrap();
        match outcome {
            RestoreOutcome::Restored => {
                view.committed = view.entries.len();
                let model = Model::new(view.owner, view.entries.clone());
                self.models.insert(view.game, model);
            }
            RestoreOutcome::Taken => panic!("the store knew nothing of it"),
            RestoreOutcome::Unregistered => {
                if let Some(server) = self.servers.iter().find(|server| server.incarnation() == view.owner.incarnation)
                {
                    let registered = self.store.register(&server.announcement).await.unwrap();
                    view.owner.slot = registered.slot;
                } else {
                    self.views.remove(at);
                }
            }
        }
    }

    /// A write that was on its way all the time arrives.
    pub(super) async fn write_late(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.pick(self.sent.len());
        let write = self.sent[at].clone();
        self.made(&write).await;
    }

    /// A server is taken for dead. It may go on writing: it knows nothing of it.
    pub(super) async fn kill(&mut self) {
        let at = self.pick(self.servers.len());
        self.servers[at].accused(&*self.store, gateway(0), Charge::Refused).await;
    }

    pub(super) async fn revive(&mut self) {
        let at = self.pick(self.servers.len());
        let server = &mut self.servers[at];
        match server.beat(&*self.store, pintail_core::Status::Smooth).await {
            HeartbeatOutcome::Renewed { .. } => {}
            HeartbeatOutcome::Lost => server.slot = self.store.register(&server.announcement).await.unwrap().slot,
            HeartbeatOutcome::Superseded => *server = Server::register(&*self.store, server.restarted()).await,
        }
    }

    /// Another start of a server, beside the one before, which may go on writing.
    pub(super) async fn restart(&mut self) {
        let at = self.pick(self.servers.len());
        self.servers[at] = Server::register(&*self.store, self.servers[at].restarted()).await;
    }

    pub(super) async fn sweep(&mut self) {
        self.store.sweep_orphans(10).await.unwrap();
    }

    pub(super) async fn claim(&mut self) {
        let at = self.pick(self.servers.len());
        let limit = u32::try_from(self.pick(3)).unwrap();
        self.claim_as(at, limit).await;
    }

    pub(super) async fn claim_as(&mut self, at: usize, limit: u32) -> u32 {
        let claim = Claim { limit, ..self.servers[at].claim() };
        let claimed = self.store.claim_games(&claim).await.unwrap();
        let is_suspect = |game: &&pintail_store::ClaimedGame| self.models[&game.id].attempts > 0;
        let suspects = claimed.games.iter().filter(is_suspect).count();
        for game in &claimed.games {
            let model = self.models.get_mut(&game.id).unwrap();
            assert_eq!(game.owner.epoch, model.token.0.next());
            let is_alone = model.attempts > 0 && suspects == 1;
            model.attempts = if is_alone { CLAIM_ATTEMPTS_MAX } else { model.attempts + 1 };
            assert!(model.attempts <= CLAIM_ATTEMPTS_MAX);
            assert_eq!(game.attempts, model.attempts);
            model.move_to(game.owner);
            let entries = model.entries.clone();
            self.owns(game.id, game.owner, entries);
        }
        self.bury().await;
        u32::try_from(claimed.games.len()).unwrap() + claimed.waiting
    }

    /// A server becomes the owner of a game, unless it dies before it has noticed.
    fn owns(&mut self, game: GameId, owner: Owner, entries: Vec<Bytes>) {
        // The store may have forgotten that it gave the game to this server before, and gives it the same token: what the
        // server has of the game from then counts no more.
        self.views.retain(|view| view.game != game || token(view.owner) != token(owner));
        self.sent.retain(|write| write.game != game || token(write.owner) != token(owner));
        if !self.one_in(6) {
            self.view(game, owner, entries);
        }
    }

    /// Games that were claimed too often are over.
    async fn bury(&mut self) {
        for (&id, model) in &mut self.models {
            if model.attempts >= CLAIM_ATTEMPTS_MAX && !model.over {
                model.over = self.store.game(id).await.unwrap().unwrap().outcome.is_some();
            }
        }
    }

    pub(super) async fn hand_over(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let at = self.pick(self.views.len());
        let view = self.views[at].clone();
        let snapshot = view.snapshot();
        let without_server = if self.one_in(2) { WithoutServer::Keep } else { WithoutServer::SetAside };
        self.views.remove(at);
        for repeats in 0..=self.pick(2) {
            let outcome = self.store.hand_over(view.game, view.owner, &snapshot, without_server).await.unwrap();
            self.handed(&view, &snapshot, outcome);
            if let (HandOverOutcome::To(owner), 0) = (outcome, repeats) {
                self.owns(view.game, owner, view.entries.clone());
            }
        }
    }

    /// Whether a hand-over came to what it should have, and what it changed.
    fn handed(&mut self, view: &View, snapshot: &SavedSnapshot, outcome: HandOverOutcome) {
        let Some(model) = self.models.get_mut(&view.game) else {
            assert_eq!(outcome, HandOverOutcome::Unknown);
            return;
        };
        if model.standing(view.owner) == Standing::Ahead && outcome != HandOverOutcome::NoServer {
            self.acknowledged.retain(|(game, _), _| *game != view.game);
        }
        model.handed_over(view.owner, snapshot, outcome);
    }

    /// A game comes to its end.
    pub(super) async fn finish(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let at = self.pick(self.views.len());
        let view = self.views.remove(at);
        let is_over = self.store.end_game(view.game, view.owner, &crate::fixture::finished()).await.unwrap();
        let Some(model) = self.models.get_mut(&view.game) else { return };
        if !model.over {
            // The same incarnation may have the game in another slot: then it is not this owner's to end.
            assert!(!is_over || model.standing(view.owner) != Standing::Fenced, "{view:?}, {model:?}");
            assert!(is_over || model.standing(view.owner) != Standing::Ahead, "{view:?}, {model:?}");
            model.over = is_over;
        }
    }
}

//! Random histories of games whose owners write, die, come back and take over, with answers that are lost, writes that
//! come late, and a store that forgets. After each step the store is what a simple model of it says.

mod model;

use std::collections::HashMap;

use bytes::Bytes;
use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{EntryNumber, Epoch, GameId, Incarnation, Kind};
use pintail_store::{
    Charge, Claim, HandOverOutcome, HeartbeatOutcome, JournalWrite, Owner, Periods, RestoreOutcome, SavedSnapshot,
    SharedStore, WithoutServer, WriteContent, WriteOutcome,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixture::{Backup, Fixture, LONG, Server, announcement, gateway, ms};
use crate::journaling::{FORMAT, game, journaled};
use crate::on_both_stores;
use model::{Model, Standing, contained, token};

on_both_stores!(every_history_is_one_that_the_model_allows);

const SERVERS: u8 = 3;
const GAMES: u64 = 3;
const STEPS: usize = 250;

/// How many histories are tried. The seed of the one that fails is printed; `PINTAIL_SEED` tries it alone.
const HISTORIES: u64 = 100;

/// Redis takes longer.
const HISTORIES_ON_REDIS: u64 = 4;

/// How many writes are remembered, to be made again late.
const SENT_MAX: usize = 30;

/// How many backups there are to roll back to.
const BACKUPS_MAX: usize = 4;

async fn every_history_is_one_that_the_model_allows(fixture: &Fixture) {
    let seeds = match std::env::var("PINTAIL_SEED") {
        Ok(seed) => {
            let seed: u64 = seed.parse().unwrap();
            seed..=seed
        }
        Err(_) => 1..=if fixture.is_redis() { HISTORIES_ON_REDIS } else { HISTORIES },
    };
    for seed in seeds {
        let failed = Failed(seed);
        let mut history = History::begin(fixture, seed).await;
        for _ in 0..STEPS {
            history.step().await;
            history.check().await;
        }
        history.end().await;
        std::mem::forget(failed);
    }
}

/// Says which history failed when it is dropped.
struct Failed(u64);

impl Drop for Failed {
    fn drop(&mut self) {
        eprintln!("the history that failed: PINTAIL_SEED={}", self.0);
    }
}

/// A game as one of its owners has it, or believes to.
#[derive(Debug, Clone)]
struct View {
    game: GameId,
    owner: Owner,
    entries: Vec<Bytes>,
    /// How many of the entries were committed.
    committed: usize,
    /// The store wants a snapshot.
    has_gap: bool,
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

/// What a store knew, with what the model of it did.
struct Past {
    place: u8,
    backup: Backup,
    models: HashMap<GameId, Model>,
}

struct History<'a> {
    fixture: &'a Fixture,
    store: SharedStore,
    random: StdRng,
    servers: Vec<Server>,
    views: Vec<View>,
    models: HashMap<GameId, Model>,
    sent: Vec<JournalWrite>,
    /// The oldest first.
    past: Vec<Past>,
    /// Who had a write committed in an epoch, and what was committed, since the store forgot something last.
    committers: HashMap<(GameId, Epoch), Incarnation>,
    acknowledged: HashMap<(GameId, usize), Bytes>,
    entry_count: u64,
}

impl<'a> History<'a> {
    async fn begin(fixture: &'a Fixture, seed: u64) -> Self {
        fixture.clear().await;
        let store = fixture.store(Periods { proven_after: ms(0), ..LONG });
        let mut servers = Vec::new();
        for number in 1..=SERVERS {
            servers.push(Server::game(&*store, number, 1000).await);
        }
        let mut history = Self {
            fixture,
            store,
            random: StdRng::seed_from_u64(seed),
            servers,
            views: Vec::new(),
            models: HashMap::new(),
            sent: Vec::new(),
            past: Vec::new(),
            committers: HashMap::new(),
            acknowledged: HashMap::new(),
            entry_count: 0,
        };
        for number in 1..=GAMES {
            history.place(number).await;
        }
        history
    }

    async fn place(&mut self, number: u64) {
        let owner = crate::fixture::placed(&*self.store, &journaled(number)).await;
        self.models.insert(game(number), Model::new(owner, Vec::new()));
        self.view(game(number), owner, Vec::new());
    }

    fn view(&mut self, game: GameId, owner: Owner, entries: Vec<Bytes>) {
        let committed = entries.len();
        self.views.push(View { game, owner, entries, committed, has_gap: false });
    }

    fn pick(&mut self, length: usize) -> usize {
        self.random.random_range(0..length)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.pick(count) == 0
    }

    async fn step(&mut self) {
        match self.pick(100) {
            0..50 => self.write().await,
            50..58 => self.write_late().await,
            58..63 => self.kill().await,
            63..70 => self.revive().await,
            70..73 => self.restart().await,
            73..79 => self.sweep().await,
            79..88 => self.claim().await,
            88..93 => self.hand_over().await,
            93..97 => self.back_up().await,
            97..99 => self.forget().await,
            _ => self.finish().await,
        }
    }

    /// An owner writes what it has not seen committed, perhaps with more behind.
    async fn write(&mut self) {
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
    async fn write_late(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.pick(self.sent.len());
        let write = self.sent[at].clone();
        self.made(&write).await;
    }

    /// A server is taken for dead. It may go on writing: it knows nothing of it.
    async fn kill(&mut self) {
        let at = self.pick(self.servers.len());
        self.servers[at].accused(&*self.store, gateway(0), Charge::Refused).await;
    }

    async fn revive(&mut self) {
        let at = self.pick(self.servers.len());
        let server = &mut self.servers[at];
        match server.beat(&*self.store, pintail_core::Status::Smooth).await {
            HeartbeatOutcome::Renewed { .. } => {}
            HeartbeatOutcome::Lost => server.slot = self.store.register(&server.announcement).await.unwrap().slot,
            HeartbeatOutcome::Superseded => *server = Server::register(&*self.store, server.restarted()).await,
        }
    }

    /// Another start of a server, beside the one before, which may go on writing.
    async fn restart(&mut self) {
        let at = self.pick(self.servers.len());
        self.servers[at] = Server::register(&*self.store, self.servers[at].restarted()).await;
    }

    async fn sweep(&mut self) {
        self.store.sweep_orphans(10).await.unwrap();
    }

    async fn claim(&mut self) {
        let at = self.pick(self.servers.len());
        let limit = u32::try_from(self.pick(3)).unwrap();
        self.claim_as(at, limit).await;
    }

    async fn claim_as(&mut self, at: usize, limit: u32) -> u32 {
        let claim = Claim { limit, ..self.servers[at].claim() };
        let claimed = self.store.claim_games(&claim).await.unwrap();
        for game in &claimed.games {
            let model = self.models.get_mut(&game.id).unwrap();
            assert_eq!(game.owner.epoch, model.token.0.next());
            model.attempts += 1;
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

    async fn hand_over(&mut self) {
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

    async fn back_up(&mut self) {
        if self.past.len() == BACKUPS_MAX {
            self.past.remove(0);
        }
        let is_free = |place: &u8| self.past.iter().all(|past| past.place != *place);
        let place = (1..).find(is_free).unwrap();
        let backup = self.fixture.back_up(place).await;
        self.past.push(Past { place, backup, models: self.models.clone() });
    }

    /// The store forgets what was written since a backup.
    async fn forget(&mut self) {
        if self.past.is_empty() {
            return;
        }
        let at = self.pick(self.past.len());
        self.fixture.roll_back(&self.past[at].backup).await;
        self.models = self.past[at].models.clone();
        // What came after it has never been.
        self.past.truncate(at + 1);
        // What was on its way was on its way to what is no more: a store that forgets has closed its connections.
        self.sent.clear();
        self.committers.clear();
        self.acknowledged.clear();
    }

    /// A game comes to its end, and another begins.
    async fn finish(&mut self) {
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

    /// The store has what the model says, and everything that it has acknowledged.
    async fn check(&self) {
        for number in 1..=GAMES {
            let saved = self.store.saved_game(game(number)).await.unwrap();
            let Some(model) = self.models.get(&game(number)) else {
                assert_eq!(saved, None);
                continue;
            };
            let saved = saved.expect("the game is known");
            assert_eq!(saved.record.outcome.is_some(), model.over);
            if model.over {
                continue;
            }
            let owner = saved.record.owner;
            assert_eq!(token(owner), model.token);
            assert_eq!(saved.attempts, model.attempts);
            let journal = saved.journal;
            let mut entries = journal.snapshot.map_or(Vec::new(), |snapshot| contained(&snapshot.bytes));
            entries.extend(journal.entries);
            assert_eq!(entries, model.entries);
            for (&(id, at), entry) in &self.acknowledged {
                assert!(id != game(number) || entries.get(at) == Some(entry), "entry {at} of {id} is lost");
            }
        }
    }

    /// All servers are gone but a new one: every game that is not over is its.
    async fn end(&mut self) {
        for server in crate::fixture::live_servers(&*self.store, Kind::Game).await {
            // It may be one of whom only the store still knows.
            let incarnation = server.incarnation.unwrap();
            self.store.accuse(server.slot, incarnation, gateway(0), Charge::Refused).await.unwrap();
        }
        let heir = Server::register(&*self.store, announcement(Kind::Game, SERVERS + 1)).await;
        self.servers.push(heir);
        while self.store.sweep_orphans(10).await.unwrap() > 0 {}
        while self.claim_as(usize::from(SERVERS), 64).await > 0 {}
        self.check().await;
        let heir = &self.servers[usize::from(SERVERS)];
        for (id, model) in &self.models {
            assert!(model.over || model.token.1 == heir.incarnation(), "nobody finds {id}: {model:?}");
        }
    }
}

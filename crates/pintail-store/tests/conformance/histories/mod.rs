//! Random histories of games whose owners write, die, come back and take over, with answers that are lost, writes that
//! come late, and a store that forgets. After each step the store is what a simple model of it says.

mod deeds;
mod model;

use std::collections::HashMap;

use bytes::Bytes;
use pintail_core::{Epoch, GameId, Incarnation, Kind};
use pintail_store::{Charge, JournalWrite, Owner, Periods, SharedStore};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::fixture::{Backup, Fixture, LONG, Server, announcement, gateway, ms};
use crate::journaling::{game, journaled};
use crate::on_both_stores;
use deeds::View;
use model::{Model, contained, token};

on_both_stores!(every_history_is_one_that_the_model_allows);

const SERVERS: u8 = 3;
const GAMES: u64 = 3;
const STEPS: usize = 250;

/// How many histories are tried. The seed of the one that fails is printed; `PINTAIL_SEED` tries it alone.
const HISTORIES: u64 = 100;

/// Redis takes longer.
const HISTORIES_ON_REDIS: u64 = 6;

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
            // Few: a game that is over has no more history.
            _ if self.one_in(4) => self.finish().await,
            _ => {}
        }
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

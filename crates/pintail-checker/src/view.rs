//! How the cluster is, seen from outside: its registry, its games' owners, its processes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pintail::GameTypes;
use pintail_core::Kind;
use pintail_store::{Games as _, Journals as _, RedisStore, Registry as _, ServerRecord};
use tokio::runtime::Handle;

use crate::acts::Halt;
use crate::audit::At;
use crate::bots::Table;
use crate::breach::{Breach, Check};
use crate::cluster::{Cluster, lock};
use crate::journal;

/// How long a server that no longer owns a game may take to drop it.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// What the cluster looks like from outside.
pub(crate) struct View<'a> {
    cluster: &'a Cluster,
    store: RedisStore,
    runtime: Handle,
    tables: Vec<Arc<Table>>,
    /// The last known epoch of each game.
    epochs: Mutex<Vec<u64>>,
    breaches: Mutex<Vec<Breach>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(cluster: &'a Cluster, store: RedisStore, runtime: Handle, tables: Vec<Arc<Table>>) -> Self {
        let epochs = Mutex::new(vec![0; tables.len()]);
        Self { cluster, store, runtime, tables, epochs, breaches: Mutex::default() }
    }

    pub(crate) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The games that were not lost: of the others, that was said.
    pub(crate) fn going_on(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.iter().filter(|table| !table.audit().is_lost())
    }

    pub(crate) fn breaches(&self) -> Vec<Breach> {
        lock(&self.breaches).clone()
    }

    /// A breach of the cluster's, and no single game's.
    pub(crate) fn add(&self, check: Check, text: impl Into<String>) {
        let at = self.tables.first().map_or(Duration::ZERO, |table| table.now());
        let breach = Breach { at, check, game: "the cluster".to_owned(), player: None, text: text.into() };
        lock(&self.breaches).push(breach);
    }

    /// Whether every player of every game was told of something since then.
    pub(crate) fn is_lively(&self, since: At) -> bool {
        self.going_on().all(|table| table.audit().is_lively(since))
    }

    /// Says of each game that does not go on that it does not.
    pub(crate) fn add_stuck(&self, since: At, when: &str) {
        for table in self.going_on() {
            let (at, mut audit) = (table.now(), table.audit());
            if !audit.is_lively(since) {
                audit.add(at, Check::GameStuck, format!("not every player was told of something {when}"));
            }
        }
    }

    /// Says of each game that was told to end and did not that it did not.
    pub(crate) fn add_unended(&self) {
        for table in self.going_on() {
            let (at, mut audit) = (table.now(), table.audit());
            if !audit.is_over_for_all() {
                audit.add(at, Check::GameStuck, "it was told to end, and not every player was told the result");
            }
        }
    }

    /// Whether the registry shows as many live servers as there should be.
    pub(crate) fn is_registered(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.live(*kind).is_some_and(|live| live.len() == self.cluster.sizes().of(*kind)))
    }

    fn live(&self, kind: Kind) -> Option<Vec<ServerRecord>> {
        let entries = self.runtime.block_on(self.store.scan(kind)).ok()?;
        Some(entries.into_iter().flatten().filter(|record| record.lease).collect())
    }

    /// The sum of all games' epochs: it grows by one with each change of owner.
    pub(crate) fn epochs(&self) -> u64 {
        let mut epochs = lock(&self.epochs);
        for (known, table) in epochs.iter_mut().zip(&self.tables) {
            // If the store does not answer, the last answer counts.
            let Ok(Some(record)) = self.runtime.block_on(self.store.game(table.id)) else { continue };
            let before = std::mem::replace(known, record.owner.epoch.0);
            if before > *known {
                let (at, text) = (table.now(), format!("its epoch went back from {before} to {known}"));
                table.audit().add(at, Check::TwoOwners, text);
            }
        }
        epochs.iter().sum()
    }

    /// A process that ended by itself is told of, and started again.
    pub(crate) fn look_at_processes(&self) {
        loop {
            let mut nodes = self.cluster.nodes();
            let Some(index) = nodes.iter_mut().position(|node| node.program.ended().is_some()) else { return };
            let mut node = nodes.remove(index);
            drop(nodes);
            let status = node.program.ended().map_or_else(String::new, |status| status.to_string());
            self.add(Check::ProcessFailed, format!("{} ended by itself: {status}", node.place.name()));
            self.cluster.put(self.cluster.launch(node.kill()));
        }
    }

    /// Looks for panics in what the processes said.
    pub(crate) fn look_for_panics(&self) {
        let Ok(logs) = std::fs::read_dir(self.cluster.logs()) else { return };
        for log in logs.flatten() {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            if let Some(line) = text.lines().find(|line| line.contains("panicked at")) {
                self.add(Check::ProcessFailed, format!("{}: {line}", log.file_name().to_string_lossy()));
            }
        }
    }

    /// Each game has an owner that lives, and no two servers run it.
    pub(crate) fn look_for_owners(&self, halt: &Halt) {
        let expected = self.going_on().count() as f64;
        let running = || {
            let nodes = self.cluster.nodes();
            let servers = nodes.iter().filter(|node| node.place.kind() == Kind::Game);
            servers.map(|node| node.metric("pintail_game_games")).sum::<Option<f64>>()
        };
        if !halt.wait(DROPPED_WITHIN, || running() == Some(expected)) && !halt.is_called() {
            self.add(Check::TwoOwners, format!("the servers run {:?} games, and there are {expected}", running()));
        }
        let live = self.live(Kind::Game).unwrap_or_default();
        for table in self.going_on() {
            let record = self.runtime.block_on(self.store.game(table.id)).ok().flatten();
            let owner = record.map(|record| record.owner);
            let lives =
                |server: &ServerRecord| owner.is_some_and(|owner| server.incarnation == Some(owner.incarnation));
            if !live.iter().any(lives) {
                let (at, text) = (table.now(), format!("its owner in the store does not live: {owner:?}"));
                table.audit().add(at, Check::TwoOwners, text);
            }
        }
    }

    /// Compares what is kept of each game with what its players were told.
    pub(crate) fn compare_journals(&self, types: &GameTypes) {
        for table in self.going_on() {
            let saved = self.runtime.block_on(self.store.saved_game(table.id));
            let (at, mut audit) = (table.now(), table.audit());
            match saved {
                Ok(Some(saved)) => journal::compare(&mut audit, at, types, saved),
                Ok(None) => audit.add(at, Check::JournalDiffers, "the store does not know it"),
                Err(error) => audit.add(at, Check::JournalDiffers, error.to_string()),
            }
        }
    }
}

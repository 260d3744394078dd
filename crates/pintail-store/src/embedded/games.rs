//! Placement, game records, and what is left of servers that are gone.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::{Durability, Epoch, GameId, GameType, Incarnation, Kind, Slot};
use tokio::time::Instant;

use super::expiring::Expiring;
use super::journal::{Claims, Standing};
use super::server::Server;
use super::timeline::Timeline;
use super::{EmbeddedStore, State};
use crate::games::{FAILED_GAMES_MAX, SWEEP_MAX, server_lost, unclaimed};
use crate::{
    EndOutcome, EndReason, GameOrder, GameRecord, Games, Letter, Owner, PlaceOutcome, RestoreOutcome, Result,
    SavedJournal, SavedSnapshot,
};

/// Games and who has which.
///
/// A running game is either hosted by its owner, or set aside. One that is hosted by an incarnation that has lost its
/// slot is found by the sweep: that incarnation is an orphan.
#[derive(Debug, Default, Clone)]
pub(super) struct GameState {
    pub(super) running: HashMap<GameId, Game>,
    over: Expiring<GameId, Game>,
    hosted: HashMap<(Slot, Incarnation), BTreeSet<GameId>>,
    pub(super) unsettled: Timeline<GameId>,
    /// Journaled games without an owner, by the time since when.
    pub(super) set_aside: Timeline<GameId>,
    /// Games that failed, of which everything is kept.
    failed: Timeline<GameId>,
}

/// A game, and what is kept of it.
#[derive(Debug, Clone)]
pub(super) struct Game {
    pub(super) record: GameRecord,
    pub(super) journal: SavedJournal,
    /// Its claims since an owner last proved that it can be run.
    pub(super) claims: Option<Claims>,
    /// Who handed it over to its owner, or set it aside.
    pub(super) handed_by: Option<Owner>,
}

impl Game {
    fn new(order: &GameOrder, owner: Owner) -> Self {
        let record = GameRecord { order: order.clone(), owner, outcome: None };
        Self { record, journal: SavedJournal::default(), claims: None, handed_by: None }
    }
}

impl GameState {
    /// How many games this incarnation has.
    pub(super) fn hosted_count(&self, slot: Slot, incarnation: Incarnation) -> u32 {
        self.hosted.get(&(slot, incarnation)).map_or(0, |games| u32::try_from(games.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn purge(&mut self, now: Instant, unsettled_for: Duration, failed_for: Duration) {
        self.over.purge(now);
        // By then the room has expired too: nobody is left to be told.
        self.unsettled.forget_older(now, unsettled_for);
        self.failed.forget_older(now, failed_for);
    }

    /// The game, running or over.
    pub(super) fn get(&self, id: GameId, now: Instant) -> Option<&Game> {
        self.running.get(&id).or_else(|| self.over.get(&id, now))
    }

    /// The games that failed, newest first, with the time when they did.
    pub(super) fn failed(&self, now: Instant) -> impl Iterator<Item = (Instant, &GameRecord, &EndOutcome)> {
        self.failed.newest_first().filter_map(move |(at, id)| {
            let record = &self.over.get(&id, now)?.record;
            Some((at, record, record.outcome.as_ref()?))
        })
    }

    /// Takes a game away from wherever it is.
    fn take_away(&mut self, id: GameId, owner: Owner) {
        self.set_aside.remove(id);
        if let Some(games) = self.hosted.get_mut(&(owner.slot, owner.incarnation)) {
            games.remove(&id);
            if games.is_empty() {
                self.hosted.remove(&(owner.slot, owner.incarnation));
            }
        }
    }

    fn hosted_some(&self, orphan: (Slot, Incarnation), limit: usize) -> Vec<GameId> {
        self.hosted.get(&orphan).into_iter().flatten().copied().take(limit).collect()
    }

    /// Keeps a game that is over.
    fn keep(&mut self, id: GameId, mut game: Game, now: Instant, for_now: Duration, if_failed: Duration) {
        let failed = game.record.outcome.as_ref().is_some_and(|outcome| outcome.reason == EndReason::Crashed);
        if failed {
            self.over.insert(id, game, now + if_failed);
            self.failed.insert(id, now);
            self.drop_oldest_failed(now, for_now);
        } else {
            game.journal = SavedJournal::default();
            self.over.insert(id, game, now + for_now);
        }
    }

    fn drop_oldest_failed(&mut self, now: Instant, record_ttl: Duration) {
        while self.failed.len() > FAILED_GAMES_MAX {
            let Some(oldest) = self.failed.pop_oldest() else { return };
            if let Some(game) = self.over.get_mut(&oldest, now) {
                game.journal = SavedJournal::default();
            }
            self.over.extend(&oldest, now, now + record_ttl);
        }
    }
}

impl State {
    fn place(&mut self, order: &GameOrder, now: Instant) -> PlaceOutcome {
        if let Some(game) = self.games.get(order.id, now) {
            return match &game.record.outcome {
                Some(outcome) => PlaceOutcome::Over(outcome.clone()),
                None => PlaceOutcome::Placed(game.record.owner),
            };
        }
        let Some((slot, incarnation)) = self.choose_server(&order.game_type, |_, _| true, now) else {
            return PlaceOutcome::NoServer;
        };
        let owner = Owner { slot, incarnation, epoch: Epoch(1) };
        self.add_game(order, owner);
        self.mail.send(slot, Letter::GamePlaced(order.id));
        PlaceOutcome::Placed(owner)
    }

    /// The server with the fewest games by share of its capacity, of those that `suit`. One process has a handful of
    /// servers, so it looks at each.
    pub(super) fn choose_server(
        &self,
        game_type: &GameType,
        suits: impl Fn(Slot, &Server) -> bool,
        now: Instant,
    ) -> Option<(Slot, Incarnation)> {
        let servers = self.registry.of_kind(Kind::Game).filter(|(_, server)| server.takes(game_type, now));
        let free = servers.filter(|(slot, server)| suits(*slot, server)).filter_map(|(slot, server)| {
            let incarnation = server.incarnation?;
            let games = self.games.hosted_count(slot, incarnation);
            (games < server.capacity).then_some((slot, incarnation, u64::from(games), u64::from(server.capacity)))
        });
        // games / capacity, compared without dividing; the first of equals is taken.
        free.min_by(|a, b| (a.2 * b.3).cmp(&(b.2 * a.3))).map(|(slot, incarnation, ..)| (slot, incarnation))
    }

    fn add_game(&mut self, order: &GameOrder, owner: Owner) {
        self.games.running.insert(order.id, Game::new(order, owner));
        self.give(order.id, owner);
    }

    /// Makes a running game that of a server, which counts it from now on.
    fn give(&mut self, id: GameId, owner: Owner) {
        if let Some(game) = self.games.running.get_mut(&id) {
            game.record.owner = owner;
        }
        self.games.hosted.entry((owner.slot, owner.incarnation)).or_default().insert(id);
        if !self.registry.is_in_use(owner.slot, owner.incarnation) {
            self.orphans.insert((owner.slot, owner.incarnation));
        }
    }

    /// Makes a running game that of another owner than it was. What was handed over before is no longer of interest.
    pub(super) fn move_game(&mut self, id: GameId, owner: Owner) {
        let Some(game) = self.games.running.get_mut(&id) else { return };
        game.handed_by = None;
        let before = game.record.owner;
        self.games.take_away(id, before);
        self.give(id, owner);
    }

    /// A running game waits for whoever claims it.
    pub(super) fn set_game_aside(&mut self, id: GameId, now: Instant) {
        let Some(game) = self.games.running.get(&id) else { return };
        let owner = game.record.owner;
        self.games.take_away(id, owner);
        self.games.set_aside.insert(id, now);
    }

    fn restore_game(
        &mut self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
        now: Instant,
    ) -> RestoreOutcome {
        if self.games.over.contains(&order.id, now) {
            return RestoreOutcome::Taken;
        }
        let known = self.games.running.get(&order.id);
        // What a server had in another slot is for whoever claims it.
        if known.is_some_and(|game| game.standing(owner) == Standing::Own && game.record.owner.slot != owner.slot) {
            return RestoreOutcome::Taken;
        }
        let standing = known.map(|game| game.standing(owner));
        match (standing, snapshot) {
            (Some(Standing::Fenced), _) | (Some(Standing::Ahead), None) => return RestoreOutcome::Taken,
            (Some(Standing::Ahead), _) => self.move_game(order.id, owner),
            (Some(Standing::Own), _) => {}
            (None, _) if !self.registry.holds(owner.slot, owner.incarnation) => return RestoreOutcome::Unregistered,
            (None, _) => self.add_game(order, owner),
        }
        if let (Some(game), Some(snapshot)) = (self.games.running.get_mut(&order.id), snapshot) {
            game.keep_snapshot(standing.unwrap_or(Standing::Ahead), snapshot);
        }
        RestoreOutcome::Restored
    }

    fn end_game(&mut self, id: GameId, owner: Owner, outcome: &EndOutcome, now: Instant) -> bool {
        let Some(game) = self.games.get(id, now) else { return false };
        let is_running = game.record.outcome.is_none();
        if is_running && game.standing(owner) == Standing::Ahead {
            self.move_game(id, owner);
        } else if game.record.owner != owner {
            return false;
        }
        self.finish_game(id, outcome.clone(), now);
        true
    }

    /// Ends a game, if it is running.
    pub(super) fn finish_game(&mut self, id: GameId, outcome: EndOutcome, now: Instant) {
        let Some(mut game) = self.games.running.remove(&id) else { return };
        self.games.take_away(id, game.record.owner);
        self.games.unsettled.insert(id, now);
        self.mail.send(game.record.order.lobby, Letter::GameOver(id));
        game.record.outcome = Some(outcome);
        self.games.keep(id, game, now, self.periods.game_record_ttl, self.periods.failed_game_ttl);
    }

    fn sweep_orphans(&mut self, limit: u32, now: Instant) -> u32 {
        let limit = limit.min(SWEEP_MAX) as usize;
        let mut swept = 0;
        let orphans: Vec<_> = self.orphans.iter().copied().collect();
        for orphan in orphans {
            swept += self.sweep_games(orphan, limit - swept, now);
            swept += self.sweep_sessions(orphan, limit - swept, now);
            if swept == limit {
                break;
            }
            self.orphans.remove(&orphan);
        }
        swept += self.end_unclaimed(limit - swept, now);
        u32::try_from(swept).unwrap_or(u32::MAX)
    }

    fn sweep_games(&mut self, orphan: (Slot, Incarnation), limit: usize, now: Instant) -> usize {
        let games = self.games.hosted_some(orphan, limit);
        for &id in &games {
            match self.games.running.get(&id).map(|game| game.record.order.durability) {
                Some(Durability::Ephemeral) => self.finish_game(id, server_lost(), now),
                Some(Durability::Journaled) => self.set_game_aside(id, now),
                None => {}
            }
        }
        games.len()
    }

    fn end_unclaimed(&mut self, limit: usize, now: Instant) -> usize {
        // A wait is as long as somebody could have ended it.
        if !self.watch.heard_for(now, self.periods.orphan_ttl, &self.periods) {
            return 0;
        }
        let unclaimed_games = self.games.set_aside.older_than(now, self.periods.orphan_ttl, limit);
        for &id in &unclaimed_games {
            self.finish_game(id, unclaimed(), now);
        }
        unclaimed_games.len()
    }
}

#[async_trait]
impl Games for EmbeddedStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        Ok(self.run(|state, now| state.place(order, now)))
    }

    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        Ok(self.run(|state, now| state.games.get(id, now).map(|game| game.record.clone())))
    }

    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        Ok(self.run(|state, _| state.games.hosted_some((slot, incarnation), usize::MAX)))
    }

    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome> {
        Ok(self.run(|state, now| state.restore_game(order, owner, snapshot, now)))
    }

    async fn end_game(&self, id: GameId, owner: Owner, outcome: &EndOutcome) -> Result<bool> {
        Ok(self.run(|state, now| state.end_game(id, owner, outcome, now)))
    }

    async fn unsettled_games(&self, min_age_ms: u64, limit: u32) -> Result<Vec<GameId>> {
        let age = Duration::from_millis(min_age_ms);
        Ok(self.run(|state, now| state.games.unsettled.older_than(now, age, limit as usize)))
    }

    async fn settle_game(&self, id: GameId) -> Result<()> {
        self.run(|state, _| state.games.unsettled.remove(id));
        Ok(())
    }

    async fn sweep_orphans(&self, limit: u32) -> Result<u32> {
        Ok(self.run(|state, now| state.sweep_orphans(limit, now)))
    }
}

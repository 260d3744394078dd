//! Placement, game records, and what is left of servers that are gone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::{Durability, Epoch, GameId, Incarnation, Kind, Slot};
use tokio::time::Instant;

use super::expiring::Expiring;
use super::timeline::Timeline;
use super::{EmbeddedStore, State};
use crate::games::{SWEEP_MAX, server_lost};
use crate::{
    EndOutcome, GameOrder, GameRecord, Games, Letter, Owner, PlaceOutcome, RestoreOutcome, Result, SavedSnapshot,
};

/// Game records and who has which.
#[derive(Debug, Default)]
pub(super) struct GameState {
    running: HashMap<GameId, GameRecord>,
    over: Expiring<GameId, GameRecord>,
    hosted: HashMap<(Slot, Incarnation), BTreeSet<GameId>>,
    pub(super) unsettled: Timeline<GameId>,
    /// Journaled games whose server is gone.
    set_aside: HashSet<GameId>,
}

impl GameState {
    /// How many games this incarnation has.
    pub(super) fn hosted_count(&self, slot: Slot, incarnation: Incarnation) -> u32 {
        self.hosted.get(&(slot, incarnation)).map_or(0, |games| u32::try_from(games.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn purge(&mut self, now: Instant, unsettled_for: Duration) {
        self.over.purge(now);
        // By then the room has expired too: nobody is left to be told.
        self.unsettled.forget_older(now, unsettled_for);
    }

    fn get(&self, id: GameId, now: Instant) -> Option<&GameRecord> {
        self.running.get(&id).or_else(|| self.over.get(&id, now))
    }

    fn add(&mut self, order: &GameOrder, owner: Owner) {
        self.hosted.entry((owner.slot, owner.incarnation)).or_default().insert(order.id);
        self.running.insert(order.id, GameRecord { order: order.clone(), owner, outcome: None });
    }

    fn drop_hosted(&mut self, id: GameId, owner: Owner) {
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
}

impl State {
    fn place(&mut self, order: &GameOrder, now: Instant) -> PlaceOutcome {
        if let Some(record) = self.games.get(order.id, now) {
            return match &record.outcome {
                Some(outcome) => PlaceOutcome::Over(outcome.clone()),
                None => PlaceOutcome::Placed(record.owner),
            };
        }
        let Some((slot, incarnation)) = self.choose_server(order, now) else {
            return PlaceOutcome::NoServer;
        };
        let owner = Owner { slot, incarnation, epoch: Epoch(1) };
        self.games.add(order, owner);
        self.mail.send(slot, Letter::GamePlaced(order.id));
        PlaceOutcome::Placed(owner)
    }

    /// The server with the fewest games by share of its capacity. One process has a handful of servers, so it looks
    /// at each.
    fn choose_server(&self, order: &GameOrder, now: Instant) -> Option<(Slot, Incarnation)> {
        let servers = self.registry.of_kind(Kind::Game).filter(|(_, server)| server.takes(&order.game_type, now));
        let free = servers.filter_map(|(slot, server)| {
            let incarnation = server.incarnation?;
            let games = self.games.hosted_count(slot, incarnation);
            (games < server.capacity).then_some((slot, incarnation, u64::from(games), u64::from(server.capacity)))
        });
        // games / capacity, compared without dividing; the first of equals is taken.
        free.min_by(|a, b| (a.2 * b.3).cmp(&(b.2 * a.3))).map(|(slot, incarnation, ..)| (slot, incarnation))
    }

    fn restore_game(&mut self, order: &GameOrder, owner: Owner, now: Instant) -> RestoreOutcome {
        if let Some(record) = self.games.get(order.id, now) {
            let own = record.owner == owner && record.outcome.is_none();
            return if own { RestoreOutcome::Restored } else { RestoreOutcome::Taken };
        }
        if !self.registry.holds(owner.slot, owner.incarnation) {
            return RestoreOutcome::Unregistered;
        }
        self.games.add(order, owner);
        RestoreOutcome::Restored
    }

    fn end_game(&mut self, id: GameId, owner: Owner, outcome: &EndOutcome, now: Instant) -> bool {
        match self.games.get(id, now) {
            Some(record) if record.owner == owner => {}
            _ => return false,
        }
        let Some(mut record) = self.games.running.remove(&id) else {
            return true;
        };
        record.outcome = Some(outcome.clone());
        self.games.drop_hosted(id, owner);
        self.games.set_aside.remove(&id);
        self.games.unsettled.insert(id, now);
        self.mail.send(record.order.lobby, Letter::GameOver(id));
        self.games.over.insert(id, record, now + self.periods.game_record_ttl);
        true
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
        u32::try_from(swept).unwrap_or(u32::MAX)
    }

    fn sweep_games(&mut self, orphan: (Slot, Incarnation), limit: usize, now: Instant) -> usize {
        let games = self.games.hosted_some(orphan, limit);
        for &id in &games {
            let Some(record) = self.games.running.get(&id) else { continue };
            let owner = record.owner;
            match record.order.durability {
                Durability::Ephemeral => {
                    self.end_game(id, owner, &server_lost(), now);
                }
                Durability::Journaled => {
                    self.games.drop_hosted(id, owner);
                    self.games.set_aside.insert(id);
                }
            }
        }
        games.len()
    }
}

#[async_trait]
impl Games for EmbeddedStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        Ok(self.run(|state, now| state.place(order, now)))
    }

    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        Ok(self.run(|state, now| state.games.get(id, now).cloned()))
    }

    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        Ok(self.run(|state, _| state.games.hosted_some((slot, incarnation), usize::MAX)))
    }

    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        _snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome> {
        Ok(self.run(|state, now| state.restore_game(order, owner, now)))
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

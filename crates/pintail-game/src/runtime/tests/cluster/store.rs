//! A store as the host's contract has it, small enough to be read.

use std::collections::{BTreeMap, BTreeSet};

use pintail_core::limits::PROVEN_AFTER;
use pintail_core::{Epoch, GameId, Incarnation, Slot};
use pintail_store::{
    Claimed, ClaimedGame, EndOutcome, EndReason, GameOrder, GameRecord, HandOverOutcome, JournalWrite, Owner,
    RestoreOutcome, SavedGame, SavedJournal, SavedSnapshot, WithoutServer, WriteContent, WriteOutcome,
};

use crate::runtime::{Command, HostEvent, Now};

/// A game as the store has it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) saved: SavedGame,
    /// Whether it waits for an owner.
    pub(super) waits: bool,
    /// When it was claimed last.
    claimed_at: Now,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pub(super) now: Now,
    /// How many claims of a game may fail; any number if nothing is said.
    pub(super) attempts_max: Option<u32>,
    pub(super) games: BTreeMap<GameId, Kept>,
    /// Whom it takes for alive, and where.
    pub(super) live: BTreeMap<Incarnation, Slot>,
    /// Those that take no more games.
    pub(super) draining: BTreeSet<Incarnation>,
    /// Games that were handed over, and to whom: letters that are on their way.
    pub(super) letters: Vec<(Incarnation, GameId)>,
}

impl Store {
    pub(super) fn place(&mut self, order: GameOrder, owner: Owner) {
        let record = GameRecord { order, owner, outcome: None };
        let saved = SavedGame { record, attempts: 0, journal: SavedJournal::default() };
        self.games.insert(saved.record.order.id, Kept { saved, waits: false, claimed_at: self.now });
    }

    pub(super) fn owner(&self, id: GameId) -> Owner {
        self.games[&id].saved.record.owner
    }

    pub(super) fn outcome(&self, id: GameId) -> Option<EndReason> {
        self.games[&id].saved.record.outcome.as_ref().map(|outcome| outcome.reason)
    }

    /// A server is gone: its games wait.
    pub(super) fn bury(&mut self, incarnation: Incarnation) {
        self.live.remove(&incarnation);
        for kept in self.games.values_mut() {
            if kept.saved.record.owner.incarnation == incarnation && kept.saved.record.outcome.is_none() {
                kept.waits = true;
            }
        }
    }

    pub(super) fn hosted(&self, incarnation: Incarnation) -> Vec<GameId> {
        let ours = |kept: &&Kept| {
            let record = &kept.saved.record;
            record.owner.incarnation == incarnation && record.outcome.is_none() && !kept.waits
        };
        self.games.values().filter(ours).map(|kept| kept.saved.record.order.id).collect()
    }

    /// Does what a command asks, and says what is answered.
    pub(super) fn call(&mut self, asker: Incarnation, command: &Command) -> HostEvent {
        match command {
            Command::Load(id) => HostEvent::Loaded(*id, Ok(self.games.get(id).map(|kept| kept.saved.clone()))),
            Command::End { id, owner, outcome } => {
                HostEvent::EndAnswered(*id, owner.epoch, Ok(self.end(*id, *owner, outcome)))
            }
            Command::Write(write) => {
                HostEvent::Written(write.game, write.owner.epoch, write.last(), Ok(self.write(write)))
            }
            Command::Restore { order, owner, snapshot } => {
                HostEvent::Restored(order.id, *owner, Ok(self.restore(order, *owner, snapshot.as_ref())))
            }
            Command::Claim { limit, suspects } => HostEvent::Claimed(Ok(self.claim(asker, *limit, *suspects))),
            Command::HandOver { id, owner, snapshot, without_server } => {
                HostEvent::HandedOver(*id, owner.epoch, Ok(self.hand_over(*id, *owner, snapshot, *without_server)))
            }
            other => panic!("{other:?} is no call"),
        }
    }

    fn write(&mut self, write: &JournalWrite) -> WriteOutcome {
        let Some(kept) = self.games.get_mut(&write.game) else { return WriteOutcome::Unknown };
        let SavedGame { record, journal, .. } = &mut kept.saved;
        let owner = record.owner;
        let is_ahead = owner.epoch < write.owner.epoch;
        let is_own = owner.epoch == write.owner.epoch && owner.incarnation == write.owner.incarnation;
        if record.outcome.is_some() || !(is_ahead || is_own) {
            return WriteOutcome::Fenced;
        }
        match &write.content {
            WriteContent::Entries { .. } if is_ahead => return WriteOutcome::Gap,
            WriteContent::Entries { first, .. } if *first > journal.last().next() => return WriteOutcome::Gap,
            WriteContent::Entries { first, entries } => {
                let known = (journal.last().next().0 - first.0) as usize;
                journal.entries.extend(entries.iter().skip(known).cloned());
            }
            WriteContent::Snapshot(snapshot) => {
                if is_ahead || snapshot.number >= journal.last() {
                    *journal = SavedJournal { snapshot: Some(snapshot.clone()), entries: Vec::new() };
                }
            }
        }
        kept.saved.record.owner = write.owner;
        kept.waits &= !self.live.contains_key(&write.owner.incarnation);
        if self.now.since(kept.claimed_at) >= PROVEN_AFTER {
            kept.saved.attempts = 0;
        }
        WriteOutcome::Committed
    }

    fn end(&mut self, id: GameId, owner: Owner, outcome: &EndOutcome) -> bool {
        let Some(kept) = self.games.get_mut(&id) else { return false };
        let record = &mut kept.saved.record;
        let is_own = (record.owner.epoch, record.owner.incarnation) == (owner.epoch, owner.incarnation);
        if is_own && record.outcome.is_none() {
            record.outcome = Some(outcome.clone());
        }
        is_own
    }

    fn restore(&mut self, order: &GameOrder, owner: Owner, snapshot: Option<&SavedSnapshot>) -> RestoreOutcome {
        if !self.live.contains_key(&owner.incarnation) {
            return RestoreOutcome::Unregistered;
        }
        if let Some(kept) = self.games.get(&order.id) {
            let record = &kept.saved.record;
            let is_own = (record.owner.epoch, record.owner.incarnation) == (owner.epoch, owner.incarnation);
            let is_ours = is_own && record.outcome.is_none();
            return if is_ours { RestoreOutcome::Restored } else { RestoreOutcome::Taken };
        }
        self.place(order.clone(), owner);
        if let Some(kept) = self.games.get_mut(&order.id) {
            kept.saved.journal.snapshot = snapshot.cloned();
        }
        RestoreOutcome::Restored
    }

    fn claim(&mut self, asker: Incarnation, limit: u32, suspects: u32) -> Claimed {
        let mut claimed = Claimed::default();
        let Some(&slot) = self.live.get(&asker).filter(|_| !self.draining.contains(&asker)) else { return claimed };
        self.give_up();
        let group = self.trial(suspects);
        for (id, kept) in self.games.iter_mut().filter(|(_, kept)| kept.waits) {
            let is_suspect = kept.saved.attempts > 0;
            if is_suspect && !group.contains(id) {
                continue;
            } else if claimed.games.len() as u32 >= limit {
                claimed.waiting += 1;
                continue;
            }
            let is_alone = is_suspect && group.len() == 1;
            kept.saved.attempts = self.attempts_max.filter(|_| is_alone).unwrap_or(kept.saved.attempts + 1);
            (kept.waits, kept.claimed_at) = (false, self.now);
            let owner = Owner { slot, incarnation: asker, epoch: kept.saved.record.owner.epoch.next() };
            kept.saved.record.owner = owner;
            claimed.games.push(ClaimedGame { id: *id, owner, attempts: kept.saved.attempts });
        }
        claimed
    }

    /// Ends the games that nobody tries again.
    fn give_up(&mut self) {
        let attempts_max = self.attempts_max.unwrap_or(u32::MAX);
        for kept in self.games.values_mut().filter(|kept| kept.waits && kept.saved.attempts >= attempts_max) {
            let (result, message) = Default::default();
            kept.saved.record.outcome = Some(EndOutcome { reason: EndReason::Crashed, result, message });
            kept.waits = false;
        }
    }

    /// The suspects that are tried together: one whose next failure is its last is tried alone.
    fn trial(&self, suspects: u32) -> Vec<GameId> {
        let is_last = |kept: &Kept| self.attempts_max.is_some_and(|max| kept.saved.attempts + 1 >= max);
        let waiting = || self.games.iter().filter(|(_, kept)| kept.waits && kept.saved.attempts > 0);
        match waiting().next() {
            Some((id, kept)) if suspects > 0 && is_last(kept) => vec![*id],
            _ => waiting().filter(|(_, kept)| !is_last(kept)).map(|(id, _)| *id).take(suspects as usize).collect(),
        }
    }

    fn hand_over(
        &mut self,
        id: GameId,
        owner: Owner,
        snapshot: &SavedSnapshot,
        without_server: WithoutServer,
    ) -> HandOverOutcome {
        let others =
            self.live.iter().filter(|(other, _)| **other != owner.incarnation && !self.draining.contains(other));
        let other = others.map(|(incarnation, slot)| (*incarnation, *slot)).next();
        let Some(kept) = self.games.get_mut(&id) else { return HandOverOutcome::Unknown };
        let SavedGame { record, journal, .. } = &mut kept.saved;
        let is_own = (record.owner.epoch, record.owner.incarnation) == (owner.epoch, owner.incarnation);
        if !is_own || record.outcome.is_some() || snapshot.number < journal.last() {
            let is_done = record.owner.epoch == owner.epoch.next() && journal.snapshot.as_ref() == Some(snapshot);
            return if is_done { HandOverOutcome::To(record.owner) } else { HandOverOutcome::Fenced };
        }
        let keep = SavedJournal { snapshot: Some(snapshot.clone()), entries: Vec::new() };
        match (other, without_server) {
            (Some((incarnation, slot)), _) => {
                *journal = keep;
                record.owner = Owner { slot, incarnation, epoch: Epoch(record.owner.epoch.0 + 1) };
                self.letters.push((incarnation, id));
                HandOverOutcome::To(record.owner)
            }
            (None, WithoutServer::SetAside) => {
                *journal = keep;
                kept.waits = true;
                HandOverOutcome::SetAside
            }
            (None, WithoutServer::Keep) => HandOverOutcome::NoServer,
        }
    }
}

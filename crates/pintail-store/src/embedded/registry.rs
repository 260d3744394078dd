//! Servers by slot, and their leases.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pintail_core::{Incarnation, Kind, Slot};
use tokio::time::Instant;

use super::server::{Falls, Server};
use super::{EmbeddedStore, State};
use crate::{
    Announcement, Charge, DrainRequest, Heartbeat, HeartbeatOutcome, Letter, Notice, Registration, Registry, Result,
    ScanEntry, SlotOrigin, Verdict,
};

/// Servers by slot. The indices of a kind have no gaps: slots are reused and never removed.
#[derive(Debug, Default, Clone)]
pub(super) struct RegistryState {
    servers: BTreeMap<Slot, Server>,
}

impl RegistryState {
    /// The servers of a kind, by index.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (Slot, &Server)> {
        self.servers.range(Slot::new(kind, 0)..=Slot::new(kind, u32::MAX)).map(|(&slot, server)| (slot, server))
    }

    /// Whether this incarnation holds the slot, with or without a lease.
    pub(super) fn holds(&self, slot: Slot, incarnation: Incarnation) -> bool {
        self.servers.get(&slot).is_some_and(|server| server.incarnation == Some(incarnation))
    }

    /// Whether this incarnation holds the slot and nobody has switched it off. Then whoever does will orphan what it hosts.
    pub(super) fn is_in_use(&self, slot: Slot, incarnation: Incarnation) -> bool {
        self.servers
            .get(&slot)
            .is_some_and(|server| server.incarnation == Some(incarnation) && server.unused_since.is_none())
    }

    /// Whether this incarnation holds the slot with a lease.
    pub(super) fn is_live(&self, slot: Slot, incarnation: Incarnation, now: Instant) -> bool {
        self.is_in_use(slot, incarnation) && self.servers.get(&slot).is_some_and(|server| server.has_lease(now))
    }

    /// The server in this slot, if it is this incarnation, with or without a lease.
    pub(super) fn held_by(&mut self, slot: Slot, incarnation: Incarnation) -> Option<&mut Server> {
        self.servers.get_mut(&slot).filter(|server| server.incarnation == Some(incarnation))
    }

    /// The slots whose servers lost their lease and are not switched off.
    pub(super) fn lost(&self, now: Instant) -> Vec<Slot> {
        self.servers.iter().filter(|(_, server)| server.is_lost(now)).map(|(&slot, _)| slot).collect()
    }

    /// Counts a death of the server in this slot.
    pub(super) fn fall(&mut self, slot: Slot) {
        if let Some(server) = self.servers.get_mut(&slot) {
            server.fall();
        }
    }
}

impl State {
    fn register(&mut self, announcement: &Announcement, now: Instant) -> Registration {
        let registration = self.choose_slot(announcement, now);
        let slot = registration.slot;
        let before = self.registry.servers.get(&slot);
        let orphan = before.and_then(|server| server.incarnation);
        let falls = before.filter(|_| registration.origin == SlotOrigin::Restarted);
        let falls = falls.map_or(Falls::default(), |server| server.falls_for_successor(announcement.incarnation));
        self.registry.servers.insert(slot, Server::new(announcement, falls, now, &self.periods));
        self.watch.feel_pulse(now, &self.periods);
        self.orphans.extend(orphan.map(|incarnation| (slot, incarnation)));
        self.orphans.remove(&(slot, announcement.incarnation));
        self.mail.announce(Notice::ServerOn(slot));
        registration
    }

    fn choose_slot(&self, announcement: &Announcement, now: Instant) -> Registration {
        let find = |fits: &dyn Fn(&Server) -> bool| {
            self.registry.of_kind(announcement.kind).find(|(_, server)| fits(server)).map(|(slot, _)| slot)
        };
        let same_incarnation = |server: &Server| server.incarnation == Some(announcement.incarnation);
        let same_endpoint = |server: &Server| server.endpoint == announcement.endpoint;
        let free = |server: &Server| server.is_free(now, &self.periods);
        if let Some(slot) = find(&same_incarnation).or_else(|| find(&same_endpoint)) {
            return Registration { slot, origin: SlotOrigin::Restarted };
        }
        if let Some(slot) = find(&free) {
            return Registration { slot, origin: SlotOrigin::Recycled };
        }
        let index = self.registry.of_kind(announcement.kind).last().map_or(0, |(slot, _)| slot.index + 1);
        Registration { slot: Slot::new(announcement.kind, index), origin: SlotOrigin::New }
    }

    fn heartbeat(
        &mut self,
        slot: Slot,
        incarnation: Incarnation,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> HeartbeatOutcome {
        let Some(server) = self.registry.servers.get_mut(&slot) else {
            return HeartbeatOutcome::Lost;
        };
        if server.incarnation != Some(incarnation) {
            let newer = server.incarnation.is_some() && server.endpoint == heartbeat.endpoint;
            return if newer { HeartbeatOutcome::Superseded } else { HeartbeatOutcome::Lost };
        }
        let revived = server.unused_since.is_some();
        server.renew(heartbeat, now, &self.periods);
        let drain = server.drain;
        self.watch.feel_pulse(now, &self.periods);
        if revived {
            self.orphans.remove(&(slot, incarnation));
            self.mail.announce(Notice::ServerOn(slot));
        }
        HeartbeatOutcome::Renewed { games: self.games.hosted_count(slot, incarnation), drain }
    }

    fn deregister(&mut self, slot: Slot, incarnation: Incarnation, now: Instant) {
        let Some(server) = self.registry.held_by(slot, incarnation) else { return };
        if server.unused_since.is_none() {
            self.switch_off(slot, String::new(), now);
        }
        if let Some(server) = self.registry.servers.get_mut(&slot) {
            server.stopped();
        }
    }

    /// Nobody holds this slot from now on.
    pub(super) fn switch_off(&mut self, slot: Slot, cause: String, now: Instant) {
        let Some(server) = self.registry.servers.get_mut(&slot) else { return };
        server.switch_off(cause, now);
        self.orphans.extend(server.incarnation.map(|incarnation| (slot, incarnation)));
        self.mail.announce(Notice::ServerOff(slot));
    }

    fn ask_to_drain(&mut self, slot: Slot) -> DrainRequest {
        let server = self.registry.servers.get_mut(&slot).filter(|server| server.unused_since.is_none());
        let Some((server, incarnation)) = server.and_then(|server| server.incarnation.map(|it| (server, it))) else {
            return DrainRequest::Unused;
        };
        server.drain = true;
        self.mail.send(slot, Letter::Drain);
        DrainRequest::Asked(incarnation)
    }

    fn scan(&self, kind: Kind, now: Instant) -> Vec<ScanEntry> {
        let record = |(slot, server): (Slot, &Server)| {
            let games = server.incarnation.map_or(0, |incarnation| self.games.hosted_count(slot, incarnation));
            Ok(server.record(slot, games, now))
        };
        self.registry.of_kind(kind).map(record).collect()
    }
}

#[async_trait]
impl Registry for EmbeddedStore {
    async fn register(&self, announcement: &Announcement) -> Result<Registration> {
        Ok(self.run(|state, now| state.register(announcement, now)))
    }

    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome> {
        Ok(self.run(|state, now| state.heartbeat(slot, incarnation, heartbeat, now)))
    }

    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()> {
        self.run(|state, now| state.deregister(slot, incarnation, now));
        Ok(())
    }

    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>> {
        Ok(self.run(|state, now| state.scan(kind, now)))
    }

    async fn reap(&self) -> Result<Vec<Slot>> {
        Ok(self.run(|state, now| state.reap(now)))
    }

    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict> {
        Ok(self.run(|state, now| state.accuse(slot, incarnation, observer, charge, now)))
    }

    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()> {
        self.run(|state, _| state.absolve(slot, incarnation, observer));
        Ok(())
    }

    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest> {
        Ok(self.run(|state, _| state.ask_to_drain(slot)))
    }
}

//! Servers by slot, and their leases.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pintail_core::{Endpoint, GameType, Incarnation, Kind, Slot, Status};
use tokio::time::Instant;

use super::{EmbeddedStore, State};
use crate::{
    Announcement, Heartbeat, HeartbeatOutcome, Notice, Registration, Registry, Result, ScanEntry, ServerRecord,
    SlotOrigin,
};

/// Servers by slot. The indices of a kind have no gaps: slots are reused and never removed.
#[derive(Debug, Default)]
pub(super) struct RegistryState {
    servers: BTreeMap<Slot, Server>,
}

/// What a slot holds.
#[derive(Debug)]
pub(super) struct Server {
    endpoint: Endpoint,
    status: Status,
    players: u32,
    pub(super) capacity: u32,
    /// `None` once it stopped in good order.
    pub(super) incarnation: Option<Incarnation>,
    lease_until: Instant,
    /// Since when nobody holds the slot; `None` while somebody does, as far as anyone noticed.
    unused_since: Option<Instant>,
    game_types: Vec<GameType>,
    version: String,
    started_at: u64,
    admin_port: Option<u16>,
    http_port: Option<u16>,
}

impl Server {
    fn new(announcement: &Announcement, lease_until: Instant) -> Self {
        Self {
            endpoint: announcement.endpoint,
            status: Status::Smooth,
            players: 0,
            capacity: announcement.capacity,
            incarnation: Some(announcement.incarnation),
            lease_until,
            unused_since: None,
            game_types: announcement.game_types.clone(),
            version: announcement.version.clone(),
            started_at: milliseconds_since_1970(),
            admin_port: announcement.admin_port,
            http_port: announcement.http_port,
        }
    }

    /// Whether it may be given a game of this type, if there is room for one.
    pub(super) fn takes(&self, game_type: &GameType, now: Instant) -> bool {
        self.status == Status::Smooth && now < self.lease_until && self.game_types.contains(game_type)
    }

    fn is_lost(&self, now: Instant) -> bool {
        self.incarnation.is_some() && self.unused_since.is_none() && now >= self.lease_until
    }

    fn record(&self, slot: Slot, games: u32, now: Instant) -> ServerRecord {
        ServerRecord {
            slot,
            endpoint: self.endpoint,
            status: self.status,
            games,
            players: self.players,
            capacity: self.capacity,
            incarnation: self.incarnation,
            lease: now < self.lease_until,
            game_types: self.game_types.clone(),
            version: self.version.clone(),
            started_at: self.started_at,
            admin_port: self.admin_port,
            http_port: self.http_port,
        }
    }
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
}

impl State {
    fn register(&mut self, announcement: &Announcement, now: Instant) -> Registration {
        let registration = self.choose_slot(announcement, now);
        let slot = registration.slot;
        let server = Server::new(announcement, now + self.periods.lease_ttl);
        let before = self.registry.servers.insert(slot, server);
        if let Some(incarnation) = before.and_then(|server| server.incarnation) {
            self.orphans.insert((slot, incarnation));
        }
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
        let free = |server: &Server| {
            server.unused_since.is_some_and(|since| now.duration_since(since) >= self.periods.recycle_after)
        };
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
        let revived = server.status == Status::Unused && heartbeat.status != Status::Unused;
        server.lease_until = now + self.periods.lease_ttl;
        server.unused_since = None;
        server.status = heartbeat.status;
        server.players = heartbeat.players;
        self.orphans.remove(&(slot, incarnation));
        if revived {
            self.mail.announce(Notice::ServerOn(slot));
        }
        HeartbeatOutcome::Renewed { games: self.games.hosted_count(slot, incarnation) }
    }

    fn deregister(&mut self, slot: Slot, incarnation: Incarnation, now: Instant) {
        if self.registry.holds(slot, incarnation) {
            self.switch_off(slot, now);
            if let Some(server) = self.registry.servers.get_mut(&slot) {
                // A heartbeat that comes after it must not bring the server back.
                server.incarnation = None;
                server.lease_until = now;
            }
        }
    }

    fn reap(&mut self, now: Instant) -> Vec<Slot> {
        let servers = self.registry.servers.iter();
        let lost: Vec<Slot> = servers.filter(|(_, server)| server.is_lost(now)).map(|(&slot, _)| slot).collect();
        for &slot in &lost {
            self.switch_off(slot, now);
        }
        lost
    }

    /// Nobody holds this slot from now on.
    fn switch_off(&mut self, slot: Slot, now: Instant) {
        let Some(server) = self.registry.servers.get_mut(&slot) else { return };
        server.status = Status::Unused;
        server.unused_since = Some(now);
        if let Some(incarnation) = server.incarnation {
            self.orphans.insert((slot, incarnation));
        }
        self.mail.announce(Notice::ServerOff(slot));
    }

    fn scan(&self, kind: Kind, now: Instant) -> Vec<ScanEntry> {
        let used = self.registry.of_kind(kind).filter(|(_, server)| server.status != Status::Unused);
        let record = |(slot, server): (Slot, &Server)| {
            let games = server.incarnation.map_or(0, |incarnation| self.games.hosted_count(slot, incarnation));
            Ok(server.record(slot, games, now))
        };
        used.map(record).collect()
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
}

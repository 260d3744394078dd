//! What a slot of the registry holds.

use std::collections::BTreeMap;
use std::time::Duration;

use pintail_core::limits::CAUSE_CHARACTERS_MAX;
use pintail_core::{Endpoint, GameType, Incarnation, Slot, Status};
use tokio::time::Instant;

use crate::registry::one_line;
use crate::{Announcement, Heartbeat, Periods, ServerRecord};

/// What a slot holds.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    status: Status,
    cause: String,
    players: u32,
    pub(super) capacity: u32,
    /// `None` once it stopped in good order.
    pub(super) incarnation: Option<Incarnation>,
    lease_until: Instant,
    /// Since when nobody holds the slot; `None` while somebody does, as far as anyone noticed.
    pub(super) unused_since: Option<Instant>,
    /// Who accuses it, and until when the accusation stands.
    accusers: BTreeMap<Slot, Instant>,
    falls: Falls,
    pub(super) drain: bool,
    pub(super) game_types: Vec<GameType>,
    version: String,
    started_at: Instant,
    admin_port: Option<u16>,
    http_port: Option<u16>,
    /// The newest format of snapshots that it reads, as it said when it last claimed games.
    pub(super) format: Option<u32>,
}

impl Server {
    pub(super) fn new(announcement: &Announcement, mut falls: Falls, now: Instant, periods: &Periods) -> Self {
        falls.readmit(now, periods);
        Self {
            endpoint: announcement.endpoint,
            status: Status::Smooth,
            cause: String::new(),
            players: 0,
            capacity: announcement.capacity,
            incarnation: Some(announcement.incarnation),
            lease_until: now + periods.lease_ttl,
            unused_since: None,
            accusers: BTreeMap::new(),
            falls,
            drain: false,
            game_types: announcement.game_types.clone(),
            version: announcement.version.clone(),
            started_at: now,
            admin_port: announcement.admin_port,
            http_port: announcement.http_port,
            format: None,
        }
    }

    /// Takes a report and renews the lease.
    pub(super) fn renew(&mut self, heartbeat: &Heartbeat, now: Instant, periods: &Periods) {
        self.status = heartbeat.status;
        self.cause = heartbeat.cause.chars().take(CAUSE_CHARACTERS_MAX).collect();
        self.players = heartbeat.players;
        self.lease_until = now + periods.lease_ttl;
        self.unused_since = None;
        self.falls.readmit(now, periods);
    }

    /// Nobody holds the slot from now on.
    pub(super) fn switch_off(&mut self, cause: String, now: Instant) {
        self.status = Status::Unused;
        self.cause = cause;
        self.players = 0;
        self.lease_until = now;
        self.unused_since = Some(now);
        self.accusers.clear();
    }

    /// It left by itself: a heartbeat that comes after it does not bring it back.
    pub(super) fn stopped(&mut self) {
        "stopped".clone_into(&mut self.cause);
        self.incarnation = None;
    }

    /// It died.
    pub(super) fn fall(&mut self) {
        self.falls.add();
    }

    /// The deaths that count for the server that takes the slot after this one, at the same address and port.
    pub(super) fn falls_for_successor(&self, successor: Incarnation) -> Falls {
        let mut falls = self.falls;
        if self.unused_since.is_none() && self.incarnation.is_some_and(|incarnation| incarnation != successor) {
            // It died, and is back before anyone noticed.
            falls.add();
        }
        falls
    }

    /// Whether it may be given a game of this type, if there is room for one.
    pub(super) fn takes(&self, game_type: &GameType, now: Instant) -> bool {
        self.status == Status::Smooth
            && self.has_lease(now)
            && !self.drain
            && self.falls.probation(now).is_zero()
            && self.standing_accusers(now).is_empty()
            && self.hosts(game_type)
    }

    /// Whether it may take games over that nobody else can: it is there and does not drain.
    pub(super) fn may_claim(&self, now: Instant) -> bool {
        self.status != Status::Unused && self.has_lease(now) && !self.drain
    }

    pub(super) fn hosts(&self, game_type: &GameType) -> bool {
        self.game_types.contains(game_type)
    }

    pub(super) fn has_lease(&self, now: Instant) -> bool {
        now < self.lease_until
    }

    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.incarnation.is_some() && self.unused_since.is_none() && !self.has_lease(now)
    }

    /// Whether it may be taken from the server that had it last.
    pub(super) fn is_free(&self, now: Instant, periods: &Periods) -> bool {
        self.unused_since.is_some_and(|since| now.duration_since(since) >= periods.recycle_after)
    }

    pub(super) fn accuse(&mut self, observer: Slot, now: Instant, ttl: Duration) {
        self.accusers.retain(|_, until| now < *until);
        self.accusers.insert(observer, now + ttl);
    }

    pub(super) fn absolve(&mut self, observer: Slot) {
        self.accusers.remove(&observer);
    }

    pub(super) fn standing_accusers(&self, now: Instant) -> Vec<Slot> {
        self.accusers.iter().filter(|(_, until)| now < **until).map(|(&observer, _)| observer).collect()
    }

    pub(super) fn record(&self, slot: Slot, games: u32, now: Instant) -> ServerRecord {
        ServerRecord {
            slot,
            endpoint: self.endpoint,
            status: self.status,
            cause: one_line(&self.cause, CAUSE_CHARACTERS_MAX),
            accusers: self.standing_accusers(now),
            falls: self.falls.count,
            probation_ms: milliseconds(self.falls.probation(now)),
            drain: self.drain,
            unused_ms: self.unused_since.map(|since| milliseconds(now.duration_since(since))),
            games,
            players: self.players,
            capacity: self.capacity,
            incarnation: self.incarnation,
            lease: self.has_lease(now),
            game_types: self.game_types.clone(),
            version: self.version.clone(),
            age_ms: milliseconds(now.duration_since(self.started_at)),
            admin_port: self.admin_port,
            http_port: self.http_port,
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How often a server has died lately, and what that costs it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Falls {
    count: u32,
    /// Set while the server has been there since it died last.
    back: Option<Readmission>,
}

#[derive(Debug, Clone, Copy)]
struct Readmission {
    probation_until: Instant,
    forgiven_at: Instant,
}

impl Falls {
    /// One more. What it costs is counted from when the server is back.
    fn add(&mut self) {
        self.count = self.count.saturating_add(1);
        self.back = None;
    }

    /// The server is there: its probation starts if it has died since it was there last, and its deaths are forgotten
    /// if it has lived long enough.
    fn readmit(&mut self, now: Instant, periods: &Periods) {
        match self.back {
            None if self.count > 0 => {
                self.back = Some(Readmission {
                    probation_until: now + periods.probation(self.count),
                    forgiven_at: now + periods.falls_forgiven_after,
                });
            }
            Some(back) if now >= back.forgiven_at => *self = Self::default(),
            _ => {}
        }
    }

    /// How much longer the server gets no games.
    fn probation(&self, now: Instant) -> Duration {
        self.back.map_or(Duration::ZERO, |back| back.probation_until.saturating_duration_since(now))
    }
}

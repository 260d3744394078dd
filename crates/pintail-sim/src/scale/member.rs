//! A server as the registry knows it: a model with the rules of `pintail_net::membership`.

use std::net::Ipv4Addr;
use std::time::Duration;

use pintail_core::limits::{LEASE_RENEWAL, LEASE_TTL};
use pintail_core::{Endpoint, GameType, Incarnation, Kind, Slot, Status};
use pintail_engine::load::{Load, LoadMonitor};
use pintail_store::{Announcement, Heartbeat};
use rand::{Rng, RngExt};

use super::events::Life;
use super::link::Gap;

/// How often a server looks for others, on average.
const LOOK_PERIOD: Duration = Duration::from_millis(400);

/// What has become of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It has not started.
    Off,
    /// It runs.
    Running,
    /// It is stopped, and will go on at this time.
    Stopped(Duration),
    /// It has ended: its links are reset, and nobody listens any more.
    Killed(Duration),
    /// Its machine is gone: nothing comes back.
    Lost(Duration),
}

/// A server.
#[derive(Debug)]
pub struct Member {
    /// What it says of itself.
    pub announcement: Announcement,
    /// Where it is registered.
    pub slot: Option<Slot>,
    /// Which start of it.
    pub life: Life,
    /// What has become of it.
    pub condition: Condition,
    /// When it was last in no state to answer.
    pub gap: Option<Gap>,
    /// Until when it holds its lease for certain.
    pub held_until: Duration,
    /// How many games the store counts for it.
    pub games: u32,
    /// Since when the store knows that it takes no new games because it is to stop.
    pub drained_at: Option<Duration>,
    /// Whether it is to stop.
    pub is_draining: bool,
    /// When the store switched it off; `None` while it counts as there.
    pub switched_off_at: Option<Duration>,
    /// How often it was switched off.
    pub falls: u32,
    monitor: LoadMonitor,
}

impl Member {
    /// A server that has not started.
    #[must_use]
    pub fn new(kind: Kind, number: usize, capacity: u32, game_types: Vec<GameType>) -> Self {
        let [.., high, low] = number.to_be_bytes();
        let network = match kind {
            Kind::Gateway => 1,
            Kind::Lobby => 2,
            Kind::Game => 3,
        };
        let announcement = Announcement {
            kind,
            endpoint: Endpoint::new(Ipv4Addr::new(10, network, high, low), kind.default_port()),
            incarnation: Incarnation(0),
            capacity,
            game_types,
            version: "simulated".to_owned(),
            admin_port: None,
            http_port: None,
        };
        Self {
            announcement,
            slot: None,
            life: Life(0),
            condition: Condition::Off,
            gap: None,
            held_until: Duration::ZERO,
            games: 0,
            drained_at: None,
            is_draining: false,
            switched_off_at: None,
            falls: 0,
            monitor: LoadMonitor::new("games"),
        }
    }

    /// A process of it starts.
    pub fn start(&mut self, now: Duration, rng: &mut impl Rng) -> Life {
        if let Some(gap) = &mut self.gap {
            gap.until = gap.until.min(now);
        }
        self.announcement.incarnation = Incarnation(rng.random());
        self.condition = Condition::Running;
        self.is_draining = false;
        self.drained_at = None;
        self.monitor = LoadMonitor::new("games");
        self.life.begin()
    }

    /// It is registered.
    pub fn registered(&mut self, now: Duration, slot: Slot) {
        self.slot = Some(slot);
        self.renewed(now);
    }

    /// Its lease is renewed, and it counts as there.
    pub fn renewed(&mut self, now: Duration) {
        self.held_until = now + LEASE_TTL * 3 / 4;
        self.switched_off_at = None;
    }

    /// The store has switched it off.
    pub fn switched_off(&mut self, now: Duration) {
        if self.switched_off_at.is_none() {
            self.switched_off_at = Some(now);
            self.falls += 1;
        }
    }

    /// Whether it runs at this time.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.condition, Condition::Running)
    }

    /// When it died, if it has.
    #[must_use]
    pub const fn died_at(&self) -> Option<Duration> {
        match self.condition {
            Condition::Killed(at) | Condition::Lost(at) => Some(at),
            Condition::Off | Condition::Running | Condition::Stopped(_) => None,
        }
    }

    /// Who it is in the registry.
    #[must_use]
    pub fn identity(&self) -> Option<(Slot, Incarnation)> {
        Some((self.slot?, self.announcement.incarnation))
    }

    /// What it says of itself with a renewal.
    pub fn heartbeat(&mut self, now: Duration) -> Heartbeat {
        let load = Load { used: self.games, capacity: self.announcement.capacity, ..Load::default() };
        let condition = self.monitor.observe(now, &load);
        let (status, cause) = if self.is_draining {
            (Status::Unused, "draining".to_owned())
        } else {
            (condition.status, condition.cause)
        };
        Heartbeat { endpoint: self.announcement.endpoint, status, cause, players: 0 }
    }
}

/// A part of a period, at random: so that servers that start together renew apart.
pub fn scattered(rng: &mut impl Rng) -> Duration {
    LEASE_RENEWAL.mul_f64(rng.random::<f64>())
}

/// How long until the next renewal.
pub fn renewal_pause(rng: &mut impl Rng) -> Duration {
    LEASE_RENEWAL.mul_f64(0.9 + 0.2 * rng.random::<f64>())
}

/// How long until the next look.
pub fn look_pause(rng: &mut impl Rng) -> Duration {
    LOOK_PERIOD.mul_f64(0.75 + 0.5 * rng.random::<f64>())
}

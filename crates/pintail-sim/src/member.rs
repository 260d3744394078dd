//! A model of a server's membership: it registers, renews its lease, and looks for others that are gone.
//!
//! The rules are those of `pintail_net::membership`, whose tasks and sockets don't fit into a simulation; what it calls is
//! the real store.

use std::net::Ipv4Addr;
use std::time::Duration;

use pintail_core::limits::{LEASE_RENEWAL, LEASE_TTL};
use pintail_core::{Endpoint, GameType, Incarnation, Slot, Status};
use pintail_game::runtime::Now;
use pintail_store::{Announcement, Heartbeat, HeartbeatOutcome};
use rand::RngExt;

use crate::env::{Alarm, Env, Event, ms};
use crate::network::{Node, Process};
use crate::store::{Answered, Call, Reply};

/// How often a server looks for others, on average.
const LOOK_PERIOD: Duration = ms(400);

/// What a member learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is registered in this slot.
    Joined(Slot),
    /// The lease was renewed.
    Renewed {
        /// Whether it is to drain.
        drain: bool,
    },
    /// The registry lost it; it registers again.
    Lost,
    /// A newer incarnation has its slot: it must end.
    Superseded,
}

/// A server's membership.
#[derive(Debug)]
pub struct Member {
    process: Process,
    announcement: Announcement,
    /// Where it is registered.
    pub slot: Option<Slot>,
    /// Until when it holds its lease for certain.
    pub held_until: Now,
    /// Whether it takes no new games.
    pub is_draining: bool,
}

impl Member {
    /// A process that is not registered.
    pub fn new(env: &mut Env, process: Process, port: u16, game_types: Vec<GameType>) -> Self {
        let (kind, host) = match process.node {
            Node::Server(index) => (pintail_core::Kind::Game, index),
            Node::Gateway(index) | Node::Client(index) => (pintail_core::Kind::Gateway, index),
            Node::Store => (pintail_core::Kind::Lobby, 0),
        };
        let address = Ipv4Addr::new(10, 0, 0, u8::try_from(host + 1).unwrap_or(u8::MAX));
        let announcement = Announcement {
            kind,
            endpoint: Endpoint::new(address, port),
            incarnation: Incarnation(env.rng.random()),
            capacity: 100,
            game_types,
            version: "simulated".to_owned(),
            admin_port: None,
            http_port: None,
        };
        Self { process, announcement, slot: None, held_until: Now::default(), is_draining: false }
    }

    /// Which start of the server it is.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.announcement.incarnation
    }

    /// Whether the lease is held for certain.
    #[must_use]
    pub fn is_held(&self, now: Now) -> bool {
        now < self.held_until
    }

    /// Begins to register.
    pub fn start(&mut self, env: &mut Env) {
        env.ask(self.process, Call::Register(self.announcement.clone()), 0);
        let wait = env.between(LOOK_PERIOD / 2, LOOK_PERIOD * 2);
        env.after(wait, Event::Wake(self.process, Alarm::Look));
    }

    /// Renews the lease, or registers if there is none.
    pub fn renew(&mut self, env: &mut Env) {
        let call = match self.slot {
            None => Call::Register(self.announcement.clone()),
            Some(slot) => {
                let status = if self.is_draining { Status::Unused } else { Status::Smooth };
                let endpoint = self.announcement.endpoint;
                let heartbeat = Heartbeat { endpoint, status, cause: String::new(), players: 0 };
                Call::Heartbeat(slot, self.incarnation(), heartbeat)
            }
        };
        env.ask(self.process, call, 0);
    }

    /// Looks for others that are gone, if it is not in doubt about itself.
    pub fn look(&mut self, env: &mut Env) {
        if self.is_held(env.now) {
            env.ask(self.process, Call::Reap, 0);
            env.ask(self.process, Call::Sweep, 0);
        }
        let wait = env.between(LOOK_PERIOD * 3 / 4, LOOK_PERIOD * 5 / 4);
        env.after(wait, Event::Wake(self.process, Alarm::Look));
    }

    /// Leaves the registry.
    pub fn leave(&mut self, env: &mut Env) {
        if let Some(slot) = self.slot.take() {
            env.ask(self.process, Call::Deregister(slot, self.incarnation()), 0);
        }
        self.held_until = Now::default();
    }

    /// Takes the answer to a call of its own.
    pub fn answered(&mut self, env: &mut Env, answered: &Answered) -> Option<News> {
        if !matches!(answered.call, Call::Register(_) | Call::Heartbeat(..)) {
            return None;
        }
        let wait = match &answered.reply {
            Ok(_) => LEASE_RENEWAL.mul_f64(0.9 + 0.2 * env.rng.random::<f64>()),
            // A call that took as long as a renewal may take to come was wait enough.
            Err(_) if env.now.since(answered.asked) >= LEASE_RENEWAL => Duration::ZERO,
            Err(_) => env.between(Duration::ZERO, LEASE_RENEWAL),
        };
        match &answered.reply {
            Ok(Reply::Registered(registration)) => {
                self.renewed(answered.asked);
                self.slot = Some(registration.slot);
                env.store.subscribe(self.process, Some(registration.slot));
                env.after(wait, Event::Wake(self.process, Alarm::Renew));
                env.spread_news();
                Some(News::Joined(registration.slot))
            }
            Ok(Reply::Heartbeat(HeartbeatOutcome::Renewed { drain, .. })) => {
                self.renewed(answered.asked);
                env.after(wait, Event::Wake(self.process, Alarm::Renew));
                Some(News::Renewed { drain: *drain })
            }
            Ok(Reply::Heartbeat(HeartbeatOutcome::Superseded)) => Some(News::Superseded),
            Ok(_) => {
                self.slot = None;
                self.held_until = Now::default();
                env.ask(self.process, Call::Register(self.announcement.clone()), 0);
                Some(News::Lost)
            }
            Err(_) => {
                env.after(wait, Event::Wake(self.process, Alarm::Renew));
                None
            }
        }
    }

    /// A renewal counts from when it was sent.
    fn renewed(&mut self, sent: Now) {
        self.held_until = self.held_until.max(sent + LEASE_TTL * 3 / 4);
    }
}

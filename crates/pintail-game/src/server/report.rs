//! How the server stands, as it says of itself.

use std::time::Duration;

use pintail_engine::load::{Condition, Load, LoadMonitor};
use pintail_net::cpu::ThreadCpu;
use tracing::{info, warn};

use super::GameConfig;
use crate::runtime::{GameHost, Now, Stats};

/// Measures the load from one report to the next.
#[derive(Debug)]
pub(super) struct Reporter {
    monitor: LoadMonitor,
    cpu: ThreadCpu,
    capacity: u32,
    period: Duration,
    at: Now,
    /// Fixed steps since the last report: due, and given up.
    steps: (u64, u64),
    /// How many games were without protection at the last report.
    unprotected: u32,
}

impl Reporter {
    /// For a loop on the thread that calls this.
    pub(super) fn new(config: &GameConfig) -> Self {
        Self {
            monitor: LoadMonitor::new("games"),
            cpu: ThreadCpu::new(),
            capacity: config.capacity,
            period: config.server.timing.heartbeat,
            at: Now::default(),
            steps: (0, 0),
            unprotected: 0,
        }
    }

    pub(super) fn count(&mut self, stats: &Stats) {
        self.steps.0 += stats.fixed_steps_due;
        self.steps.1 += stats.overruns;
    }

    /// When the next report is due.
    pub(super) const fn at(&self) -> Now {
        self.at
    }

    /// The report that is due, if it is.
    pub(super) fn report(&mut self, now: Now, host: &GameHost) -> Option<Condition> {
        if now < self.at {
            return None;
        }
        self.at = now + self.period;
        let (steps_due, steps_given_up) = std::mem::take(&mut self.steps);
        let unprotected = count(host.unprotected_games());
        self.tell_unprotected(unprotected);
        let load = Load {
            used: count(host.live_games()),
            capacity: self.capacity,
            steps_due,
            steps_given_up,
            commit_lag: host.commit_lag(now),
            unprotected,
            cpu: self.cpu.share(),
        };
        Some(self.monitor.observe(now.0, &load))
    }

    /// One line when the first game is without protection, and one when none is any more.
    fn tell_unprotected(&mut self, games: u32) {
        match (std::mem::replace(&mut self.unprotected, games), games) {
            (0, 1..) => {
                warn!(games, "the store is away: games go on without protection, and are lost if this server is");
            }
            (1.., 0) => info!("all games are protected again"),
            _ => {}
        }
    }
}

fn count(games: usize) -> u32 {
    u32::try_from(games).unwrap_or(u32::MAX)
}

//! What goes wrong.

use std::time::Duration;

use pintail_game::runtime::Now;

use crate::env::{Env, Event, ms};
use crate::network::{Node, Process};

/// A kind of fault; which process it hits, and for how long, is decided when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A game server dies, and starts again after a while.
    KillServer,
    /// From now on, for a while, game servers die in the middle of calls to the store.
    KillAtCall,
    /// A game server is stopped (SIGSTOP) for a while.
    StopServer,
    /// A gateway dies.
    KillGateway,
    /// A connection is reset.
    CutConnection,
    /// What is sent over a connection is gone, and nobody is told.
    SilenceConnection,
    /// Nothing gets from one process to another, in one direction or both.
    BlockPath,
    /// A process can't reach the store.
    CutOffStore,
    /// Nobody can reach the store.
    StoreAway,
    /// The store is told that a server that lives is dead.
    WrongVerdict,
    /// A game server is asked to drain.
    Drain,
    /// A client program is started anew.
    RestartClient,
    /// A client's connection is lost, unnoticed by its gateway.
    MoveClient,
    /// The store goes back to an earlier state.
    Rollback,
    /// The store comes back empty.
    Wipe,
}

/// Something that goes wrong, or is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A fault of this kind.
    Of(Kind),
    /// This process dies now.
    Kill(Process),
    /// This process goes on.
    Continue(Process),
    /// This path works again.
    Unblock(Node, Node),
    /// The store is back.
    StoreBack,
}

/// How far failures are apart that must not come together.
pub const GUARD: Duration = Duration::from_secs(5);

impl Env {
    /// When the next fault is due, until faults are over.
    pub fn plan_next_fault(&mut self) {
        let period = self.plan.fault_period;
        let wait = self.between(period / 5, period * 2);
        if self.now + wait < self.plan.mend && !self.plan.faults().is_empty() {
            self.after(wait, Event::NextFault);
        }
    }

    /// Chooses a kind of fault.
    pub fn choose_fault(&mut self) -> Option<Kind> {
        let faults = self.plan.faults();
        let total: u32 = faults.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(total as usize) as u32;
        for (kind, weight) in faults {
            if left < *weight {
                return Some(*kind);
            }
            left -= weight;
        }
        None
    }

    /// How likely a game server dies at each of its calls.
    #[must_use]
    pub fn plan_kills_at_calls(&self) -> f64 {
        if self.now < self.kills_at_calls_until && self.now < self.plan.mend { 0.03 } else { 0.0 }
    }

    /// For how long something lasts: mostly short, sometimes long.
    pub fn duration_of_fault(&mut self) -> Duration {
        match self.below(4) {
            0 => self.between(ms(1), ms(200)),
            1 => self.between(ms(200), ms(1200)),
            2 => self.between(ms(1200), ms(3500)),
            _ => self.between(ms(1500), ms(6000)),
        }
    }

    /// Makes it so that nothing gets from one node to another for a while.
    pub fn block_for_a_while(&mut self, from: Node, to: Node) {
        let lasts = self.duration_of_fault();
        self.net.block(from, to);
        self.after(lasts, Event::Fault(Fault::Unblock(from, to)));
        let shown = (format!("{from:?}"), format!("{to:?}"));
        self.trace.note(self.now, None, &[41], || format!("FAULT nothing gets from {} to {}", shown.0, shown.1));
    }

    /// Nobody can reach the store for a while.
    pub fn store_away_for_a_while(&mut self) {
        let is_soon = self.now.since(self.store.back_since) < GUARD && self.store.back_since > Now::default();
        if self.store.is_away || (is_soon && self.plan.scenario.is_single_failure()) {
            return;
        }
        let lasts = self.duration_of_fault();
        self.store.is_away = true;
        self.tally.outages += 1;
        self.after(lasts, Event::Fault(Fault::StoreBack));
        self.trace.note(self.now, None, &[42], || format!("FAULT the store is away for {lasts:?}"));
    }

    /// The store loses what it acknowledged lately, or everything.
    pub fn roll_back(&mut self, by: Option<Duration>) {
        let to = by.map_or(Now::default(), |by| Now(self.now.0.saturating_sub(by)));
        self.store.roll_back(to, self.now);
        self.rolled_back(to);
        self.spread_news();
        match by {
            Some(_) => self.tally.rollbacks += 1,
            None => self.tally.wipes += 1,
        }
        self.trace
            .note(self.now, None, &[43, to.0.as_nanos() as u64], || format!("FAULT the store goes back to {to:?}"));
    }
}

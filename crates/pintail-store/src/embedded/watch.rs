//! Who is taken for dead: accusations, and leases that ran out.

use std::time::Duration;

use pintail_core::{Incarnation, Slot};
use tokio::time::Instant;

use super::State;
use crate::{Charge, Periods, Verdict};

/// How many accusers are named before the rest is counted.
const NAMED_MAX: usize = 3;

/// Whether the servers could be heard, and when leases were looked at last.
#[derive(Debug, Default, Clone)]
pub(super) struct Watch {
    heard: Option<Heard>,
    reap_at: Option<Instant>,
}

/// A time in which heartbeats came in without a gap.
#[derive(Debug, Clone, Copy)]
struct Heard {
    since: Instant,
    last: Instant,
}

impl Watch {
    /// A server was heard.
    pub(super) fn feel_pulse(&mut self, now: Instant, periods: &Periods) {
        let since = self.heard_since(now, periods).unwrap_or(now);
        self.heard = Some(Heard { since, last: now });
    }

    /// Whether every live server has had the time to renew its lease: if not, a lease that is gone says nothing, for
    /// it may be this process that was held up.
    fn leases_count(&self, now: Instant, periods: &Periods) -> bool {
        self.heard_for(now, periods.lease_ttl, periods)
    }

    /// Whether servers have been heard for so long without a gap. A time in which the store was away is none in which
    /// anybody could do anything.
    pub(super) fn heard_for(&self, now: Instant, period: Duration, periods: &Periods) -> bool {
        self.heard_since(now, periods).is_some_and(|since| now.duration_since(since) >= period)
    }

    /// Since when heartbeats have come in without a gap. Half of a lease without any is one.
    fn heard_since(&self, now: Instant, periods: &Periods) -> Option<Instant> {
        self.heard.filter(|heard| now.duration_since(heard.last) < periods.lease_ttl / 2).map(|heard| heard.since)
    }

    /// Whether it is time to look for leases that ran out.
    fn may_reap(&mut self, now: Instant, periods: &Periods) -> bool {
        let due = self.reap_at.is_none_or(|at| now >= at) && self.leases_count(now, periods);
        if due {
            self.reap_at = Some(now + periods.reap_interval.max(Duration::from_millis(1)));
        }
        due
    }
}

impl State {
    pub(super) fn reap(&mut self, now: Instant) -> Vec<Slot> {
        if !self.watch.may_reap(now, &self.periods) {
            return Vec::new();
        }
        let lost = self.registry.lost(now);
        for &slot in &lost {
            self.declare_dead(slot, "its lease ran out".to_owned(), now);
        }
        lost
    }

    pub(super) fn accuse(
        &mut self,
        slot: Slot,
        incarnation: Incarnation,
        observer: Slot,
        charge: Charge,
        now: Instant,
    ) -> Verdict {
        let leases_count = self.watch.leases_count(now, &self.periods);
        let Some(server) = self.registry.held_by(slot, incarnation) else {
            return Verdict::Elsewhere;
        };
        if server.unused_since.is_some() {
            return Verdict::Down;
        }
        if charge == Charge::Refused {
            self.declare_dead(slot, format!("refuses connections, says {observer}"), now);
            return Verdict::Down;
        }
        server.accuse(observer, now, self.periods.accusation_ttl);
        let observers = server.standing_accusers(now);
        let expired = leases_count && !server.has_lease(now);
        if charge != Charge::Dead || (observers.len() == 1 && !expired) {
            return Verdict::Suspect;
        }
        let lease = if expired { ", and its lease ran out" } else { "" };
        self.declare_dead(slot, silent(slot, &observers) + lease, now);
        Verdict::Down
    }

    pub(super) fn absolve(&mut self, slot: Slot, incarnation: Incarnation, observer: Slot) {
        if let Some(server) = self.registry.held_by(slot, incarnation) {
            server.absolve(observer);
        }
    }

    /// Switches a server off that did not leave by itself.
    fn declare_dead(&mut self, slot: Slot, cause: String, now: Instant) {
        self.registry.fall(slot);
        self.switch_off(slot, cause, now);
    }
}

/// The sentence about a server that these observers, of whom there is one at least, don't hear.
fn silent(slot: Slot, observers: &[Slot]) -> String {
    let mut names: Vec<String> =
        observers.iter().filter(|observer| **observer != slot).map(ToString::to_string).collect();
    // As text, like the other store.
    names.sort_unstable();
    let unnamed = names.len().saturating_sub(NAMED_MAX);
    if unnamed > 0 {
        names.truncate(NAMED_MAX);
        names.push(format!("{unnamed} more"));
    }
    if observers.contains(&slot) {
        names.push("the server itself".to_owned());
    }
    match names.split_last() {
        Some((last, [])) => format!("silent, says {last}"),
        Some((last, others)) => format!("silent, say {} and {last}", others.join(", ")),
        None => "silent".to_owned(),
    }
}

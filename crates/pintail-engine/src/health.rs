//! How the other servers look to one observer, and what it says of them to the store.
//!
//! A gateway is the observer: it sees each lobby and game server twice, over its own link and in the registry's scan.
//! What it sees over a link is an opinion, which it tells the store as an accusation; what the registry says is the
//! truth for everyone. Either can make a server `suspect` or `down`, and both must be content for it to be `up`.
//!
//! | what is seen | what becomes of it |
//! | --- | --- |
//! | silence for `suspect_after` | suspect; accused of silence again and again, so that it gets no new games |
//! | silence for `down_after` | accused of being dead; down if the store agrees |
//! | a broken link and a refused redial | after `settle`, accused of refusing; down at once |
//! | no link was ever open | suspect after `suspect_after`, and never more: a wall may stand before this observer alone |
//! | the registry has switched it off | down, as soon as a scan shows it, and its link is closed, also if it answers |
//! | its entry has vanished, or its lease has lapsed | nothing: then the store may have forgotten it |
//!
//! An observer can be wrong by its own fault, in two ways that it can notice. Its own ticks come late: then silence may
//! be its own, so it accuses nobody until they have been on time for a while. Or more than half of the
//! servers look dead at once: then it is more likely cut off itself, takes its accusations back, and makes none.
//!
//! The two ideas are those of Lifeguard (Dadgar, Phillips and Currey, 2018) and of Envoy's panic threshold.

mod footing;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod rig;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pintail_core::{Charge, Endpoint, Health, Incarnation, Kind, Slot, Status, Verdict, limits};

use crate::directory::Peer;
use footing::Footing;
use server::{Impression, Server};

/// The periods and limits that an observer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthPolicy {
    /// How often it ticks.
    pub tick: Duration,
    /// How late a tick may be before the observer trusts its own clock no more.
    pub lateness_max: Duration,
    /// For how long ticks must have been on time again for it to accuse anybody, and how long it must not have been cut
    /// off any more.
    pub steady_after: Duration,
    /// How long a server may be silent.
    pub suspect_after: Duration,
    /// How long it must be silent to count as gone if anyone else agrees.
    pub down_after: Duration,
    /// How long after a link broke it is judged: if this observer's network is at fault, the others break as well.
    pub settle: Duration,
    /// How often an accusation is repeated.
    pub accusation_repeat: Duration,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            lateness_max: limits::OBSERVER_LATENESS_MAX,
            steady_after: limits::SUSPECT_AFTER,
            suspect_after: limits::SUSPECT_AFTER,
            down_after: limits::DOWN_AFTER,
            settle: Duration::from_millis(30),
            accusation_repeat: limits::ACCUSATION_REPEAT,
        }
    }
}

impl HealthPolicy {
    /// From which silence on a server counts among those that look dead, when the observer asks itself whether it is
    /// cut off. Links fall silent in the order of their last heartbeats, which are up to one period apart; half of the
    /// limit is more than a period, and so all of them count before the first is accused.
    fn quiet_after(&self) -> Duration {
        self.suspect_after / 2
    }
}

/// What a scan shows of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The slot.
    pub slot: Slot,
    /// Where its server is reached.
    pub endpoint: Endpoint,
    /// The start of the server; `None` for a foreign server, and for one that has left.
    pub incarnation: Option<Incarnation>,
    /// How it stands there.
    pub standing: Standing,
}

/// How a server stands in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Live {
        /// What it takes; `Unused` while it drains.
        status: Status,
        /// Why, in its own words.
        cause: String,
    },
    /// Its lease has run out, and nobody has switched it off.
    Lapsed,
    /// It has left in good order.
    Left,
    /// It was switched off.
    Dead {
        /// Why, in the store's words.
        cause: String,
    },
}

/// What happens to the link to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// It is open: the server has greeted.
    Opened,
    /// The server was heard over it.
    Heard {
        /// When it was last.
        at: Duration,
    },
    /// It has ended.
    Ended(LinkEnd),
    /// Nobody listens where the server should.
    DialRefused,
    /// It can't be opened for another reason.
    DialFailed,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEnd {
    /// It was reset, or closed without a goodbye.
    Broken,
    /// The server said goodbye.
    Goodbye,
    /// This side closed it.
    ClosedHere,
}

/// What an observer hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Every slot of a kind, as the registry shows it. A scan that failed is no event.
    Scanned(Kind, Vec<Listing>),
    /// Something happened to the link to a server.
    Link(Peer, LinkChange),
    /// What the store makes of an accusation. A call that failed is no event: it is made again.
    Verdict(Slot, Incarnation, Verdict),
    /// Time has passed: due each [`HealthPolicy::tick`], and at [`Observer::deadline`].
    Tick,
}

/// What has happened to a server, by the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It has come.
    On,
    /// It has come to the slot of another.
    Recycled,
    /// It has left in good order.
    Off,
    /// It takes new work.
    Smooth,
    /// It takes none for now.
    Congested,
    /// It takes none because it is about to stop.
    Draining,
}

/// Whether an observer trusts what it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It does.
    Clear,
    /// More than half of the servers look dead to it: the fault is its own.
    CutOff,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A server looks different than before.
    Changed {
        /// Which.
        slot: Slot,
        /// How it looks.
        health: Health,
        /// Why.
        cause: String,
    },
    /// The registry says something new of a server.
    Noted {
        /// Which.
        slot: Slot,
        /// What.
        note: Note,
        /// Why; may be empty.
        cause: String,
    },
    /// Accuse a server.
    Accuse(Slot, Incarnation, Charge),
    /// Take the accusation back.
    Absolve(Slot, Incarnation),
    /// The observer has lost or regained its trust in itself.
    Sight(Sight, String),
    /// The observer's own timers were late by this much.
    Stalled(Duration),
    /// Ask every linked server for a sign of life at once: a link broke, and the others tell whose fault it was.
    RollCall,
    /// Close the link to this server: it is down, and what it still says counts for nothing.
    CloseLink(Peer),
    /// The slot is no longer watched.
    Forgotten(Slot),
}

/// One observer's view of the lobby and game servers.
#[derive(Debug)]
pub struct Observer {
    policy: HealthPolicy,
    servers: BTreeMap<Slot, Server>,
    footing: Footing,
    sight: Sight,
    /// When the servers were last judged.
    judged_at: Duration,
}

impl Observer {
    /// An observer that knows nobody.
    #[must_use]
    pub const fn new(policy: HealthPolicy) -> Self {
        let footing = Footing::new(policy.tick, policy.lateness_max, policy.steady_after);
        Self { policy, servers: BTreeMap::new(), footing, sight: Sight::Clear, judged_at: Duration::ZERO }
    }

    /// Takes in what happened and says what is to be done. `now` is a monotonic time from any origin.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        if let Some(late) = self.footing.late(now) {
            self.servers.values_mut().for_each(|server| server.excuse(now, late));
            out.push(Command::Stalled(late));
        }
        match event {
            Event::Scanned(kind, listings) => self.scanned(now, kind, listings, &mut out),
            Event::Link(peer, change) => {
                if !self.link_changed(now, &peer, change, &mut out) {
                    return out;
                }
            }
            Event::Verdict(slot, incarnation, verdict) => {
                if let Some(server) = self.servers.get_mut(&slot).filter(|server| server.is(incarnation)) {
                    server.judged(verdict);
                }
            }
            Event::Tick => self.footing.ticked(now),
        }
        self.judge(now, &mut out);
        self.forget(&mut out);
        out
    }

    /// When a server that broke its link can be judged, if that is before the next tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.servers.values().filter_map(Server::settled_at).filter(|&at| at > self.judged_at).min()
    }

    /// How a server looks; `None` if it is not watched.
    #[must_use]
    pub fn health(&self, slot: Slot) -> Option<Health> {
        self.servers.get(&slot).map(Server::health)
    }

    fn scanned(&mut self, now: Duration, kind: Kind, listings: Vec<Listing>, out: &mut Vec<Command>) {
        let shown: BTreeSet<Slot> = listings.iter().map(|listing| listing.slot).collect();
        let is_missing = |server: &&mut Server| server.slot().kind == kind && !shown.contains(&server.slot());
        self.servers.values_mut().filter(is_missing).for_each(Server::vanished);
        for listing in listings.into_iter().filter(|listing| listing.slot.kind == kind) {
            match self.servers.get_mut(&listing.slot) {
                Some(server) => server.list(now, listing, out),
                None => {
                    if let Some(server) = Server::first_seen(now, listing, out) {
                        self.servers.insert(server.slot(), server);
                    }
                }
            }
        }
    }

    /// Returns whether it changes how anyone is judged before the next tick.
    fn link_changed(&mut self, now: Duration, peer: &Peer, change: LinkChange, out: &mut Vec<Command>) -> bool {
        let Some(server) = self.servers.get_mut(&peer.slot).filter(|server| server.peer() == peer) else {
            return false;
        };
        server.link_changed(now, change, &self.policy);
        if change == LinkChange::Ended(LinkEnd::Broken) {
            out.push(Command::RollCall);
        }
        !matches!(change, LinkChange::Heard { .. })
    }

    /// Who answers is up, whatever else is so; who is off by the registry is down. Anything worse that this observer
    /// alone sees counts only while it can trust itself.
    fn judge(&mut self, now: Duration, out: &mut Vec<Command>) {
        self.judged_at = now;
        let policy = self.policy;
        for server in self.servers.values_mut() {
            server.judge_by_registry(out);
            server.heal(now, &policy, out);
        }
        if !self.footing.is_steady(now) {
            return;
        }
        self.look_at_oneself(now, out);
        if self.sight == Sight::Clear && self.footing.is_steady(now) {
            self.servers.values_mut().for_each(|server| server.judge_by_link(now, &policy, out));
        }
    }

    fn look_at_oneself(&mut self, now: Duration, out: &mut Vec<Command>) {
        let counted = || self.servers.values().filter(|server| server.counts());
        let (all, dead) = (counted().count(), counted().filter(|server| server.looks_dead(now, &self.policy)).count());
        let is_accusable = |server: &Server| !matches!(server.impression(now, &self.policy), Impression::Fine(_));
        let sight = match self.sight {
            _ if dead * 2 <= all => Sight::Clear,
            // Without anyone to accuse there is nothing to be wrong about yet.
            Sight::Clear if !counted().any(is_accusable) => Sight::Clear,
            Sight::Clear | Sight::CutOff => Sight::CutOff,
        };
        if sight == self.sight {
            return;
        }
        self.sight = sight;
        out.push(Command::Sight(sight, format!("{dead} of {all} servers look dead from here")));
        match sight {
            Sight::CutOff => self.servers.values_mut().for_each(|server| server.absolve(out)),
            // The others come back one by one, each with its next heartbeat or dial.
            Sight::Clear => self.footing.doubt(now),
        }
    }

    /// Nobody remembers a slot that the registry does not show and to which there is no link.
    fn forget(&mut self, out: &mut Vec<Command>) {
        self.servers.retain(|&slot, server| {
            let keep = !server.is_forgettable();
            if !keep {
                out.push(Command::Forgotten(slot));
            }
            keep
        });
    }
}

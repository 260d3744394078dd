//! What every simulated process shares: the clock, the events to come, the one random number generator, the network and
//! the store.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pintail_game::runtime::Now;
use pintail_store::Notice;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::faults::Fault;
use crate::invariants::Invariants;
use crate::network::{ConnId, End, Network, Node, Packet, Process};
use crate::scenario::Plan;
use crate::store::{Answered, SimStore};
use crate::tally::Tally;
use crate::trace::Trace;

/// Something that happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// A packet reaches the end of a connection.
    Arrive(ConnId, End, Packet),
    /// A process wanted to do something now.
    Wake(Process, Alarm),
    /// A call reaches the store.
    Apply(u64),
    /// A call's answer, or the end of the caller's patience, reaches the caller.
    Answer(Process, Box<Answered>),
    /// The store's news reach a subscriber.
    Notice(Process, Notice),
    /// Something goes wrong.
    Fault(Fault),
    /// The next fault is due.
    NextFault,
    /// Faults are over: everything is mended.
    Mend,
    /// The lobby looks after its rooms.
    Lobby,
    /// The players stop sending.
    Hush,
}

/// What a process wanted to be woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A process starts again.
    Start,
    /// A game server's loop turns, or a gateway looks after its links.
    Turn,
    /// A lease is to be renewed.
    Renew,
    /// A server looks for others that are gone.
    Look,
    /// A scan of the store is due.
    Scan,
    /// A client's machine has a deadline.
    Deadline,
    /// A player makes a move.
    Move,
}

#[derive(Debug)]
struct Scheduled {
    at: Now,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What every simulated process shares.
#[derive(Debug)]
pub struct Env {
    /// The time since the run began.
    pub now: Now,
    /// Where every choice comes from.
    pub rng: ChaCha8Rng,
    /// What this run is like.
    pub plan: Plan,
    /// The connections.
    pub net: Network,
    /// The store.
    pub store: SimStore,
    /// What is checked.
    pub invariants: Invariants,
    /// What happened, for people and for the comparison of two runs.
    pub trace: Trace,
    /// What happened, counted.
    pub tally: Tally,
    /// Until when game servers die in the middle of calls.
    pub kills_at_calls_until: Now,
    queue: BinaryHeap<Reverse<Scheduled>>,
    next_number: u64,
}

impl Env {
    /// An empty world at time 0.
    #[must_use]
    pub fn new(plan: Plan, trace: Trace) -> Self {
        Self {
            now: Now::default(),
            rng: ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed),
            net: Network::default(),
            store: SimStore::new(),
            invariants: Invariants::new(&plan),
            trace,
            tally: Tally::default(),
            kills_at_calls_until: Now::default(),
            queue: BinaryHeap::new(),
            next_number: 0,
            plan,
        }
    }

    /// Lets something happen at a moment; what was asked for first happens first.
    pub fn at(&mut self, at: Now, event: Event) {
        self.next_number += 1;
        self.queue.push(Reverse(Scheduled { at: at.max(self.now), number: self.next_number, event }));
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// The next event, whose time becomes the present; `None` if it would be after `end`.
    pub fn next(&mut self, end: Now) -> Option<Event> {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > end) {
            return None;
        }
        let Reverse(next) = self.queue.pop()?;
        self.now = next.at;
        Some(next.event)
    }

    /// A coin that falls on this side with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random::<f64>() < probability
    }

    /// A random time between two.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most.saturating_sub(least)).mul_f64(self.rng.random::<f64>())
    }

    /// A random number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound < 2 { 0 } else { self.rng.random_range(0..bound) }
    }

    /// How long a packet takes. Now and then one takes much longer.
    pub fn latency(&mut self, from: Node, to: Node) -> Duration {
        let base = self.plan.latency;
        let client = matches!((from, to), (Node::Client(_), _) | (_, Node::Client(_)));
        let base = if client { base * 4 } else { base };
        let jitter = base.mul_f64(2.0 * self.rng.random::<f64>());
        let spike = if self.chance(self.plan.spikes) {
            self.between(Duration::from_millis(20), Duration::from_millis(300))
        } else {
            Duration::ZERO
        };
        base + jitter + spike
    }
}

/// Milliseconds.
#[must_use]
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

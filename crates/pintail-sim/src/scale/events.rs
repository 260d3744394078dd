//! The clock of a cluster, and what is to come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use pintail_core::{Incarnation, Kind, Slot, Verdict};
use pintail_engine::directory::Peer;
use pintail_engine::health::Listing;

/// The place of a server in the cluster, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub usize);

/// The place of a gateway among the gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub usize);

/// Which start of a process, or which attempt to open a link: what was planned for an earlier one comes to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life(pub u32);

impl Life {
    /// The next one begins.
    pub const fn begin(&mut self) -> Self {
        self.0 += 1;
        *self
    }
}

/// How an attempt to open a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialEnd {
    /// The server greeted.
    Greeted,
    /// Nobody listens there.
    Refused,
    /// Nothing came back, or somebody else did.
    Failed,
}

/// What a scan has found.
#[derive(Debug)]
pub struct Scan {
    /// The kind of server that was asked for.
    pub kind: Kind,
    /// Every slot.
    pub listings: Vec<Listing>,
    /// The servers that are there.
    pub live: Vec<Peer>,
}

/// Something that happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// A process starts.
    Start(MemberId),
    /// A lease is to be renewed.
    Renew(MemberId, Life),
    /// A server looks for others that are gone.
    Look(MemberId, Life),
    /// A gateway judges what it has heard.
    Tick(GatewayId),
    /// A server that broke its link can be judged.
    Judge(GatewayId),
    /// A scan is due because its period has passed.
    ScanDue(GatewayId),
    /// What was asked of the registry arrives.
    Scanned(GatewayId, Box<Scan>),
    /// A server was announced, or its end.
    Notice(GatewayId, Kind),
    /// The store answers an accusation.
    Verdict(GatewayId, Slot, Incarnation, Verdict),
    /// A link is to be opened.
    Dial(GatewayId, MemberId, Life),
    /// An attempt to open one has ended.
    Dialled(GatewayId, MemberId, Life, DialEnd),
    /// A link is reset.
    Reset(GatewayId, MemberId, Life),
    /// A lobby server starts a game.
    Place,
    /// What the story is about.
    Strike,
    /// It is over.
    Mend,
}

#[derive(Debug)]
struct Scheduled {
    at: Duration,
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

/// What is to come, in order.
#[derive(Debug, Default)]
pub struct Queue {
    /// The time since the run began.
    pub now: Duration,
    heap: BinaryHeap<Reverse<Scheduled>>,
    next_number: u64,
}

impl Queue {
    /// Lets something happen at a moment; what was asked for first happens first.
    pub fn at(&mut self, at: Duration, event: Event) {
        self.next_number += 1;
        self.heap.push(Reverse(Scheduled { at: at.max(self.now), number: self.next_number, event }));
    }

    /// Lets something happen after a while.
    pub fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// The next event, whose time becomes the present; `None` if it would be after `end`.
    pub fn next(&mut self, end: Duration) -> Option<Event> {
        if self.heap.peek().is_none_or(|Reverse(next)| next.at > end) {
            return None;
        }
        let Reverse(next) = self.heap.pop()?;
        self.now = next.at;
        Some(next.event)
    }
}

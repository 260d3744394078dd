//! A small world around an observer, for its tests: a registry that it scans, and servers that answer it or don't.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::*;

/// A game server of a story.
pub(super) const fn game(index: u32) -> Slot {
    Slot::new(Kind::Game, index)
}

pub(super) fn peer_of(slot: Slot, start: u16) -> Peer {
    let port = 1000 + start;
    let incarnation = Some(Incarnation(u128::from(start) << 32 | u128::from(slot.index)));
    Peer { slot, endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, port), incarnation }
}

pub(super) fn live(status: Status, cause: &str) -> Standing {
    Standing::Live { status, cause: cause.to_owned() }
}

/// What happens in a story.
pub(super) enum Step {
    /// The registry changes what it shows of a server.
    Show(Peer, Standing),
    /// The registry loses an entry.
    Lose(Slot),
    /// A scan.
    Scan,
    /// Something happens to a link.
    Link(Slot, LinkChange),
    /// Links of these break, and nobody listens there any more.
    Kill(Vec<Slot>),
    /// A server falls silent.
    Mute(Slot),
    /// It answers again.
    Answer(Slot),
    /// The store answers.
    Say(Slot, Verdict),
    /// The observer is held up until then.
    Stall(u64),
}
use Step::{Answer, Kill, Link, Lose, Mute, Say, Scan, Show, Stall};

/// An observer, the registry that it scans, and the servers that answer it.
struct World {
    observer: Observer,
    now: u64,
    registry: BTreeMap<Slot, (Peer, Standing)>,
    answering: BTreeSet<Slot>,
    next_tick: u64,
    log: Vec<String>,
}

impl World {
    /// Servers that are registered, linked and answer.
    fn of(servers: u32) -> Self {
        let mut world = Self {
            observer: Observer::new(HealthPolicy::default()),
            now: 0,
            registry: BTreeMap::new(),
            answering: BTreeSet::new(),
            next_tick: 0,
            log: Vec::new(),
        };
        for index in 0..servers {
            world.registry.insert(game(index), (peer_of(game(index), 1), live(Status::Smooth, "")));
        }
        world.step(Scan);
        for index in 0..servers {
            world.step(Link(game(index), LinkChange::Opened));
            world.answering.insert(game(index));
        }
        world.log.clear();
        world
    }

    fn peer(&self, slot: Slot) -> Peer {
        self.registry.get(&slot).map_or_else(|| peer_of(slot, 1), |(peer, _)| *peer)
    }

    fn step(&mut self, step: Step) {
        match step {
            Show(peer, standing) => {
                self.registry.insert(peer.slot, (peer, standing));
                self.step(Scan);
            }
            Lose(slot) => {
                self.registry.remove(&slot);
                self.step(Scan);
            }
            Scan => {
                let listing = |(peer, standing): &(Peer, Standing)| Listing {
                    slot: peer.slot,
                    endpoint: peer.endpoint,
                    incarnation: peer.incarnation,
                    standing: standing.clone(),
                };
                let listings = self.registry.values().map(listing).collect();
                self.tell(Event::Scanned(Kind::Game, listings));
            }
            Link(slot, change) => self.tell(Event::Link(self.peer(slot), change)),
            Kill(slots) => {
                for slot in &slots {
                    self.answering.remove(slot);
                    self.step(Link(*slot, LinkChange::Ended(LinkEnd::Broken)));
                }
                slots.into_iter().for_each(|slot| self.step(Link(slot, LinkChange::DialRefused)));
            }
            Mute(slot) => drop(self.answering.remove(&slot)),
            Answer(slot) => drop(self.answering.insert(slot)),
            Say(slot, verdict) => {
                let incarnation = self.peer(slot).incarnation.expect("only those are accused");
                self.tell(Event::Verdict(slot, incarnation, verdict));
            }
            Stall(until) => {
                self.now = until;
                self.next_tick = until;
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let commands = self.observer.handle(Duration::from_millis(self.now), event);
        for command in commands {
            self.log.push(format!("{} {}", self.now, brief(&command)));
        }
    }

    /// Time goes on, with ticks when they are due.
    fn run_until(&mut self, until: u64) {
        loop {
            let settled = self.observer.deadline().map(|at| u64::try_from(at.as_millis()).unwrap());
            let due = settled.unwrap_or(u64::MAX).min(self.next_tick);
            if due > until {
                break;
            }
            self.now = self.now.max(due);
            if due == self.next_tick {
                self.next_tick += 100;
                for slot in self.answering.clone() {
                    let at = Duration::from_millis(self.now);
                    self.step(Link(slot, LinkChange::Heard { at }));
                }
            }
            self.tell(Event::Tick);
        }
        self.now = until;
    }
}

fn brief(command: &Command) -> String {
    let index = |slot: &Slot| slot.index;
    match command {
        Command::Changed { slot, health, cause } => format!("{} is {health}: {cause}", index(slot)),
        Command::Noted { slot, note, cause } => format!("{} {note:?} {cause}", index(slot)).trim().to_owned(),
        Command::Accuse(slot, _, charge) => format!("accuse {} {charge:?}", index(slot)),
        Command::Absolve(slot, _) => format!("absolve {}", index(slot)),
        Command::Sight(sight, cause) => format!("{sight:?}: {cause}"),
        Command::Stalled(late) => format!("late by {} ms", late.as_millis()),
        Command::RollCall => "roll call".to_owned(),
        Command::CloseLink(peer) => format!("close {}", index(&peer.slot)),
        Command::Forgotten(slot) => format!("forget {}", index(slot)),
    }
}

/// Runs a story with so many servers that are up, and one millisecond after its end looks at all that was done.
pub(super) fn tell(title: &str, servers: u32, story: Vec<(u64, Step)>, end: u64, expected: &[&str]) {
    let mut world = World::of(servers);
    for (at, step) in story {
        world.run_until(at);
        world.step(step);
    }
    world.run_until(end);
    assert_eq!(world.log, expected, "{title}");
}

pub(super) fn dead(cause: &str) -> Standing {
    Standing::Dead { cause: cause.to_owned() }
}

pub(super) fn shown(index: u32, standing: Standing) -> Step {
    Show(peer_of(game(index), 1), standing)
}

//! What a gateway sees and does: the real observer and directory, with links that are made up.
//!
//! The rules around them are those of `pintail_gateway`: its link tasks, its accuser and its following of the registry.

use std::collections::BTreeSet;
use std::time::Duration;

use pintail_core::limits::{HANDSHAKE_TIMEOUT, LINK_HEARTBEAT, LINK_SILENCE_MAX, SCAN_PERIOD};
use pintail_core::{Charge, Health, Incarnation, Kind, Slot, Verdict};
use pintail_engine::directory::{Directory, LinkCommand, Peer};
use pintail_engine::health::{
    Command, Event as Seen, HealthPolicy, LinkChange, LinkEnd, Listing, Observer, Sight, Standing,
};
use pintail_store::ServerRecord;

use super::cluster::Cluster;
use super::events::{DialEnd, Event, GatewayId, Life, MemberId, Scan};
use super::link::{Gap, Link};
use super::member::Condition;

/// How long a call to the store takes, there and back.
const STORE_ROUND_TRIP: Duration = Duration::from_millis(1);

/// What each slot adds to the time of a scan: a hash and a lease are read, sent and understood.
const SLOT_READ_TIME: Duration = Duration::from_micros(10);

/// A gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Its place among the servers.
    pub member: MemberId,
    /// What it makes of the others.
    pub observer: Observer,
    /// The servers that it can't reach, and since when.
    pub cut: Option<(Gap, BTreeSet<MemberId>)>,
    /// Whether it doubts itself.
    pub sight: Sight,
    directory: Directory,
    /// By the server's place.
    links: Vec<Link>,
    /// Whom each link is to; by the server's place.
    peers: Vec<Option<Peer>>,
    due: BTreeSet<Kind>,
    is_scanning: bool,
    /// The next moment at which it looks at a server that broke its link.
    judges_at: Option<Duration>,
}

impl Gateway {
    /// One that knows nobody; `round_trips` to each server that it will be linked to.
    pub fn new(member: MemberId, round_trips: impl Iterator<Item = Duration>) -> Self {
        let links: Vec<Link> = round_trips.map(Link::new).collect();
        Self {
            member,
            observer: Observer::new(HealthPolicy::default()),
            cut: None,
            sight: Sight::Clear,
            directory: Directory::new(),
            peers: links.iter().map(|_| None).collect(),
            links,
            due: BTreeSet::new(),
            is_scanning: false,
            judges_at: None,
        }
    }

    fn gap_to(&self, server: MemberId) -> Gap {
        self.cut.as_ref().filter(|(_, servers)| servers.contains(&server)).map_or(Gap::NONE, |(gap, _)| *gap)
    }

    fn server_in(&self, slot: Slot) -> Option<MemberId> {
        self.peers.iter().position(|peer| peer.is_some_and(|peer| peer.slot == slot)).map(MemberId)
    }

    fn link(&mut self, server: MemberId) -> &mut Link {
        &mut self.links[server.0]
    }

    /// Whether it takes nobody out of use, because it may be cut off itself.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.sight == Sight::CutOff
    }

    /// How many links are open.
    #[must_use]
    pub fn open_links(&self) -> usize {
        self.links.iter().filter(|link| link.open.is_some()).count()
    }
}

impl Cluster {
    /// An event of a gateway.
    pub(super) fn gateway_event(&mut self, event: Event) {
        match event {
            Event::Tick(gateway) => self.tick(gateway),
            Event::Judge(gateway) => {
                self.gateways[gateway.0].judges_at = None;
                self.tell(gateway, Seen::Tick);
            }
            Event::ScanDue(gateway) => {
                self.gateways[gateway.0].due.extend([Kind::Lobby, Kind::Game]);
                self.scan_next(gateway);
                self.queue.after(SCAN_PERIOD, Event::ScanDue(gateway));
            }
            Event::Notice(gateway, kind) => {
                self.gateways[gateway.0].due.insert(kind);
                self.scan_next(gateway);
            }
            Event::Scanned(gateway, scan) => self.scanned(gateway, *scan),
            Event::Verdict(gateway, slot, incarnation, verdict) => {
                self.tell(gateway, Seen::Verdict(slot, incarnation, verdict));
            }
            Event::Dial(gateway, server, life) => self.dial(gateway, server, life),
            Event::Dialled(gateway, server, life, end) => self.dialled(gateway, server, life, end),
            Event::Reset(gateway, server, life) => {
                if self.gateways[gateway.0].link(server).life == life {
                    self.end_link(gateway, server, LinkEnd::Broken);
                }
            }
            _ => unreachable!("{event:?} is no gateway's"),
        }
    }

    /// First what the links have heard, then the judgement, then the links that were silent for too long.
    fn tick(&mut self, id: GatewayId) {
        let now = self.queue.now;
        let heard: Vec<(MemberId, Peer, Duration)> = self.heard(id);
        let started = self.cost.start();
        let mut commands = Vec::new();
        let observer = &mut self.gateways[id.0].observer;
        for (_, peer, at) in &heard {
            commands.extend(observer.handle(now, Seen::Link(*peer, LinkChange::Heard { at: *at })));
        }
        commands.extend(observer.handle(now, Seen::Tick));
        self.cost.observed(started);
        self.execute_all(id, &commands);
        for (server, _, at) in heard {
            if now.saturating_sub(at) > LINK_SILENCE_MAX + LINK_HEARTBEAT {
                self.end_link(id, server, LinkEnd::ClosedHere);
            }
        }
        self.queue.after(HealthPolicy::default().tick, Event::Tick(id));
    }

    fn heard(&self, id: GatewayId) -> Vec<(MemberId, Peer, Duration)> {
        let (now, gateway) = (self.queue.now, &self.gateways[id.0]);
        let links = gateway.links.iter().zip(&gateway.peers).enumerate();
        let heard = links.filter_map(|(place, (link, peer))| {
            let server = MemberId(place);
            let gaps = [self.members[place].gap.unwrap_or(Gap::NONE), gateway.gap_to(server)];
            Some((server, (*peer)?, link.heard(now, &gaps)?))
        });
        heard.collect()
    }

    /// Tells the observer something, and does what it says.
    fn tell(&mut self, id: GatewayId, seen: Seen) {
        let now = self.queue.now;
        let started = self.cost.start();
        let commands = self.gateways[id.0].observer.handle(now, seen);
        self.cost.observed(started);
        self.execute_all(id, &commands);
    }

    fn execute_all(&mut self, id: GatewayId, commands: &[Command]) {
        for command in commands {
            self.execute(id, command);
        }
        let started = self.cost.start();
        let gateway = &mut self.gateways[id.0];
        let deadline = gateway.observer.deadline();
        self.cost.observed(started);
        if deadline.is_some() && deadline != gateway.judges_at {
            gateway.judges_at = deadline;
            self.queue.at(deadline.unwrap_or_default(), Event::Judge(id));
        }
    }

    fn execute(&mut self, id: GatewayId, command: &Command) {
        match *command {
            Command::Changed { slot, health, .. } => self.changed(slot, health),
            Command::Accuse(slot, incarnation, charge) => self.accuse(id, slot, incarnation, charge),
            Command::Absolve(slot, incarnation) => {
                if let Some((me, _)) = self.members[self.gateways[id.0].member.0].identity() {
                    self.ledger.absolve(self.queue.now, (slot, incarnation), me);
                }
            }
            Command::Sight(sight, _) => {
                self.gateways[id.0].sight = sight;
                self.figures.doubts += u64::from(sight == Sight::CutOff);
            }
            Command::Stalled(_) => self.figures.stalls += 1,
            Command::RollCall => {
                let now = self.queue.now;
                self.gateways[id.0].links.iter_mut().for_each(|link| link.rolled = Some(now));
            }
            Command::CloseLink(peer) => {
                if let Some(server) = self.gateways[id.0].server_in(peer.slot) {
                    self.end_link(id, server, LinkEnd::ClosedHere);
                }
            }
            Command::Noted { .. } | Command::Forgotten(_) => {}
        }
    }

    /// A gateway has made up its mind about a server.
    fn changed(&mut self, slot: Slot, health: Health) {
        let now = self.queue.now;
        let Some(server) = self.slots.get(&slot).copied() else { return };
        match (health, self.members[server.0].died_at()) {
            (Health::Down, Some(died)) => self.figures.seen.push(now.saturating_sub(died)),
            (Health::Suspect, None) if self.members[server.0].is_running() => self.figures.wrong_suspicions += 1,
            _ => {}
        }
    }

    fn accuse(&mut self, id: GatewayId, slot: Slot, incarnation: Incarnation, charge: Charge) {
        let now = self.queue.now;
        let Some((me, _)) = self.members[self.gateways[id.0].member.0].identity() else { return };
        let verdict = self.ledger.accuse(now, (slot, incarnation), me, charge);
        if verdict == Verdict::Down {
            self.switched_off(slot);
        }
        self.spread_news();
        self.queue.after(STORE_ROUND_TRIP, Event::Verdict(id, slot, incarnation, verdict));
    }

    fn scan_next(&mut self, id: GatewayId) {
        let now = self.queue.now;
        let gateway = &mut self.gateways[id.0];
        if gateway.is_scanning {
            return;
        }
        let Some(kind) = gateway.due.pop_first() else { return };
        gateway.is_scanning = true;
        let records = self.ledger.scan(now, kind);
        let takes = STORE_ROUND_TRIP + SLOT_READ_TIME * u32::try_from(records.len()).unwrap_or(u32::MAX);
        let live = records.iter().filter(|record| record.is_live()).map(peer_of).collect();
        let listings = records.into_iter().map(listing_of).collect();
        self.queue.after(takes, Event::Scanned(id, Box::new(Scan { kind, listings, live })));
    }

    fn scanned(&mut self, id: GatewayId, scan: Scan) {
        let Scan { kind, listings, live } = scan;
        self.gateways[id.0].is_scanning = false;
        self.tell(id, Seen::Scanned(kind, listings));
        let started = self.cost.start();
        let commands = self.gateways[id.0].directory.scanned(kind, live);
        self.cost.observed(started);
        for command in commands {
            self.apply(id, command);
        }
        self.scan_next(id);
    }

    /// Does what the directory decided.
    fn apply(&mut self, id: GatewayId, command: LinkCommand) {
        let server_in = |slot| self.gateways[id.0].server_in(slot);
        match command {
            LinkCommand::Dial(peer) => {
                let server = self.member_at(peer.endpoint);
                let gateway = &mut self.gateways[id.0];
                gateway.peers[server.0] = Some(peer);
                let link = gateway.link(server);
                link.is_wanted = true;
                let life = link.life.begin();
                self.queue.after(Duration::ZERO, Event::Dial(id, server, life));
            }
            LinkCommand::Drop(slot) => {
                if let Some(server) = server_in(slot) {
                    self.gateways[id.0].link(server).is_wanted = false;
                    self.gateways[id.0].link(server).open = None;
                }
            }
            LinkCommand::Release(slot) | LinkCommand::Retain(slot) => {
                if let Some(server) = server_in(slot) {
                    self.gateways[id.0].link(server).is_wanted = matches!(command, LinkCommand::Retain(_));
                }
            }
        }
    }

    /// Whoever is stopped, gone or cut off does not answer; where the process has ended, the machine says so.
    fn dial(&mut self, id: GatewayId, server: MemberId, life: Life) {
        let now = self.queue.now;
        let gateway = &self.gateways[id.0];
        let link = &gateway.links[server.0];
        if link.life != life {
            return;
        }
        if !link.is_wanted {
            return self.forget_link(id, server);
        }
        let (member, round_trip) = (&self.members[server.0], link.round_trip);
        let is_cut = gateway.gap_to(server).covers(now);
        let is_known = gateway.peers[server.0].is_some_and(|peer| {
            peer.incarnation.is_none_or(|incarnation| incarnation == member.announcement.incarnation)
        });
        let (takes, end) = match member.condition {
            Condition::Running if !is_cut && is_known => (round_trip * 2, DialEnd::Greeted),
            Condition::Running if !is_cut => (round_trip * 2, DialEnd::Failed),
            Condition::Off | Condition::Killed(_) if !is_cut => (round_trip, DialEnd::Refused),
            _ => (HANDSHAKE_TIMEOUT, DialEnd::Failed),
        };
        self.queue.after(takes, Event::Dialled(id, server, life, end));
    }

    fn dialled(&mut self, id: GatewayId, server: MemberId, life: Life, end: DialEnd) {
        let now = self.queue.now;
        let is_running = self.members[server.0].is_running();
        let gateway = &mut self.gateways[id.0];
        let Some(peer) = gateway.peers[server.0].filter(|_| gateway.links[server.0].life == life) else { return };
        let change = match end {
            DialEnd::Greeted if is_running => {
                gateway.link(server).opened(now);
                return self.tell(id, Seen::Link(peer, LinkChange::Opened));
            }
            DialEnd::Refused => LinkChange::DialRefused,
            DialEnd::Greeted | DialEnd::Failed => LinkChange::DialFailed,
        };
        let pause = gateway.link(server).redial.failed(&mut self.rng);
        self.tell(id, Seen::Link(peer, change));
        self.dial_again(id, server, pause);
    }

    /// A link has ended, by its own fault or by this gateway's choice.
    fn end_link(&mut self, id: GatewayId, server: MemberId, end: LinkEnd) {
        let gateway = &mut self.gateways[id.0];
        let Some(peer) = gateway.peers[server.0] else { return };
        let Some(opened) = gateway.link(server).open.take() else { return };
        let lived = self.queue.now.saturating_sub(opened);
        let pause = self.gateways[id.0].link(server).redial.ended(end, lived, &mut self.rng);
        self.tell(id, Seen::Link(peer, LinkChange::Ended(end)));
        self.dial_again(id, server, pause);
    }

    fn dial_again(&mut self, id: GatewayId, server: MemberId, pause: Duration) {
        let link = self.gateways[id.0].link(server);
        let life = link.life.begin();
        if !link.is_wanted {
            return self.forget_link(id, server);
        }
        self.queue.after(pause, Event::Dial(id, server, life));
    }

    fn forget_link(&mut self, id: GatewayId, server: MemberId) {
        let gateway = &mut self.gateways[id.0];
        let Some(peer) = gateway.peers[server.0] else { return };
        if let Some(command) = gateway.directory.ended(&peer) {
            self.apply(id, command);
        }
    }

    /// The links to a process that has ended are reset.
    pub(super) fn reset_links(&mut self, server: MemberId) {
        for place in 0..self.gateways.len() {
            let gateway = &self.gateways[place];
            let link = &gateway.links[server.0];
            if link.open.is_some() && !gateway.gap_to(server).covers(self.queue.now) {
                self.queue.after(link.round_trip / 2, Event::Reset(GatewayId(place), server, link.life));
            }
        }
    }
}

fn peer_of(record: &ServerRecord) -> Peer {
    Peer { slot: record.slot, endpoint: record.endpoint, incarnation: record.incarnation }
}

/// What the observer has to know of a registry entry.
fn listing_of(record: ServerRecord) -> Listing {
    let Peer { slot, endpoint, incarnation } = peer_of(&record);
    let standing = if record.is_live() {
        Standing::Live { status: record.status, cause: record.cause }
    } else if record.incarnation.is_none() {
        Standing::Left
    } else if record.unused_ms.is_none() {
        Standing::Lapsed
    } else {
        Standing::Dead { cause: record.cause }
    };
    Listing { slot, endpoint, incarnation, standing }
}

//! An observer in a random world, and what must hold whatever happens there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;

const SEEDS: u64 = 300;
const SERVERS: u32 = 5;
/// A server without an incarnation.
const FOREIGN: Slot = Slot::new(Kind::Game, 4);

/// One server of the world, and what the observer may know of it.
#[derive(Debug, Clone)]
struct Truth {
    peer: Peer,
    standing: Option<Standing>,
    link_is_open: bool,
    is_muted: bool,
    listens: bool,
    /// The registry's last scan had it so.
    shown_dead: bool,
    /// Heard over a link since the last verdict of `Down`.
    proven: bool,
    broken: bool,
    refused: bool,
    heard_at: Duration,
    health: Health,
    accused: Option<(Charge, Duration)>,
}

struct World {
    seed: u64,
    rng: SmallRng,
    now: Duration,
    ticked_at: Duration,
    doubted_at: Duration,
    observer: Observer,
    servers: BTreeMap<Slot, Truth>,
    sight: Sight,
    accusations: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            ticked_at: Duration::ZERO,
            doubted_at: Duration::ZERO,
            observer: Observer::new(HealthPolicy::default()),
            servers: (0..SERVERS).map(|index| truth(Slot::new(Kind::Game, index), 1)).collect(),
            sight: Sight::Clear,
            accusations: 0,
        }
    }

    fn any_server(&mut self) -> Slot {
        Slot::new(Kind::Game, self.rng.random_range(0..SERVERS))
    }

    fn tell(&mut self, event: Event) {
        // What the observer can't have missed.
        if self.now > self.ticked_at + Duration::from_millis(200) {
            self.doubted_at = self.now;
            self.ticked_at = self.now;
        }
        if event == Event::Tick {
            self.ticked_at = self.now;
        }
        for command in self.observer.handle(self.now, event) {
            self.check(&command);
        }
    }

    /// What must hold of everything that the observer does.
    fn check(&mut self, command: &Command) {
        let (seed, now) = (self.seed, self.now);
        let context = format!("seed {seed}, {now:?}: {command:?}");
        let is_doubtful = self.doubted_at > Duration::ZERO && now < self.doubted_at + Duration::from_millis(750);
        match command {
            Command::Changed { slot, health, .. } => {
                let server = self.servers.get_mut(slot).expect("only what is there is watched");
                assert_ne!(server.health, *health, "told twice: {context}");
                server.health = *health;
                let silence = now - server.heard_at;
                let by_link = server.broken && server.refused && server.proven;
                let foreign = *slot == FOREIGN && server.proven && silence >= Duration::from_millis(1500);
                let by_itself = by_link || foreign;
                let worse = *health != Health::Up;
                assert!(*health != Health::Down || server.shown_dead || by_itself, "down without a reason: {context}");
                assert!(!worse || server.shown_dead || (!is_doubtful && self.sight == Sight::Clear), "{context}");
                assert!(*health != Health::Suspect || silence >= Duration::from_millis(750), "too soon: {context}");
                assert!(*health != Health::Up || (server.link_is_open && !server.shown_dead), "{context}");
            }
            Command::Accuse(slot, incarnation, charge) => {
                self.accusations += 1;
                assert!(!is_doubtful && self.sight == Sight::Clear, "it can't trust itself: {context}");
                let server = self.servers.get_mut(slot).expect("only what is there is accused");
                assert_eq!(Some(*incarnation), server.peer.incarnation, "{context}");
                assert!(matches!(server.standing, Some(Standing::Live { .. } | Standing::Lapsed)), "{context}");
                assert!(*charge == Charge::Silent || server.proven, "condemned unheard: {context}");
                let soon = |(said, at)| said == *charge && now < at + Duration::from_millis(500);
                assert!(!server.accused.is_some_and(soon), "too often: {context}");
                server.accused = Some((*charge, now));
            }
            Command::Absolve(slot, _) => {
                let server = self.servers.get_mut(slot).expect("only what is there is absolved");
                assert!(server.accused.take().is_some(), "nothing to take back: {context}");
            }
            Command::Sight(sight, _) => {
                assert_ne!(self.sight, *sight, "told twice: {context}");
                self.sight = *sight;
                if *sight == Sight::Clear {
                    self.doubted_at = now;
                }
            }
            Command::CloseLink(peer) => {
                let server = self.servers.get_mut(&peer.slot).expect("only what is there is closed");
                assert!(server.link_is_open && server.health == Health::Down, "{context}");
                server.link_is_open = false;
            }
            Command::Noted { slot, note: Note::On | Note::Recycled, .. } => {
                let server = self.servers.get_mut(slot).expect("only what is there comes");
                server.health = Health::Up;
            }
            Command::Forgotten(slot) => {
                let server = self.servers.get_mut(slot).expect("only what is there is forgotten");
                assert!(server.standing.is_none() && !server.link_is_open, "{context}");
                (server.health, server.accused) = (Health::Up, None);
                (server.proven, server.broken, server.refused) = (false, false, false);
            }
            Command::Noted { .. } | Command::Stalled(_) | Command::RollCall => {}
        }
    }

    fn scan(&mut self) {
        let mut listings = Vec::new();
        for server in self.servers.values_mut() {
            server.shown_dead = matches!(server.standing, Some(Standing::Dead { .. }));
            if matches!(server.standing, Some(Standing::Left | Standing::Dead { .. })) {
                server.proven = false;
                server.accused = None;
                if self.observer.health(server.peer.slot).is_none() {
                    // One that is gone when it is first seen is taken note of in silence.
                    server.health = Health::Down;
                }
            }
            if let Some(standing) = server.standing.clone() {
                let Peer { slot, endpoint, incarnation } = server.peer;
                listings.push(Listing { slot, endpoint, incarnation, standing });
            }
        }
        self.tell(Event::Scanned(Kind::Game, listings));
    }

    fn link(&mut self, slot: Slot, change: LinkChange) {
        let peer = self.servers[&slot].peer;
        self.tell(Event::Link(peer, change));
    }

    fn registry_changes(&mut self, slot: Slot) {
        let choice = self.rng.random_range(0..20);
        let start = self.rng.random::<u16>().max(2);
        let server = self.servers.get_mut(&slot).expect("every server is there");
        let is_foreign = slot == FOREIGN;
        server.standing = match choice {
            0 if !is_foreign => Some(Standing::Dead { cause: "by someone".to_owned() }),
            1 if !is_foreign => Some(Standing::Lapsed),
            2 => Some(Standing::Left),
            3 => None,
            4 if !is_foreign => {
                // Another start in the slot: the observer hears of it before anything of its links.
                let (_, fresh) = truth(slot, start);
                let standing = fresh.standing.clone();
                *server = Truth { heard_at: self.now, standing: standing.clone(), ..fresh };
                standing
            }
            _ => Some(live()),
        };
        self.scan();
    }

    /// The servers' links are dialled, break, and are heard.
    fn links_change(&mut self, slot: Slot) {
        let choice = self.rng.random_range(0..12);
        // Nobody dials what no scan has shown.
        if self.observer.health(slot).is_none() {
            return;
        }
        let server = self.servers.get_mut(&slot).expect("every server is there");
        let change = match (choice, server.link_is_open) {
            (0, true) => LinkChange::Ended(LinkEnd::Broken),
            (1, true) => LinkChange::Ended(LinkEnd::ClosedHere),
            (2, true) => LinkChange::Ended(LinkEnd::Goodbye),
            (3, _) => return server.is_muted = !server.is_muted,
            (4, _) => return server.listens = !server.listens,
            (_, true) => return,
            (_, false) if server.listens => LinkChange::Opened,
            (5..9, false) => LinkChange::DialFailed,
            (_, false) => LinkChange::DialRefused,
        };
        match change {
            LinkChange::Opened => {
                (server.link_is_open, server.proven, server.heard_at) = (true, true, self.now);
                (server.broken, server.refused) = (false, false);
            }
            LinkChange::Ended(end) => {
                server.link_is_open = false;
                (server.broken, server.refused) = (end == LinkEnd::Broken, false);
                if end == LinkEnd::Goodbye {
                    (server.proven, server.heard_at) = (false, self.now);
                }
            }
            LinkChange::DialRefused => server.refused = true,
            LinkChange::DialFailed | LinkChange::Heard { .. } => {}
        }
        self.link(slot, change);
    }

    fn store_answers(&mut self, slot: Slot) {
        let verdict = [Verdict::Suspect, Verdict::Down, Verdict::Elsewhere][self.rng.random_range(0..3)];
        let server = self.servers.get_mut(&slot).expect("every server is there");
        let Some(((charge, _), incarnation)) = server.accused.zip(server.peer.incarnation) else { return };
        match verdict {
            Verdict::Down if charge == Charge::Silent => return,
            Verdict::Down => {
                (server.proven, server.accused, server.shown_dead) = (false, None, true);
                server.standing = Some(Standing::Dead { cause: "by this observer".to_owned() });
            }
            Verdict::Elsewhere => server.accused = None,
            Verdict::Suspect => {}
        }
        self.tell(Event::Verdict(slot, incarnation, verdict));
    }

    fn tick(&mut self) {
        for slot in self.servers.keys().copied().collect::<Vec<_>>() {
            let server = self.servers.get_mut(&slot).expect("it was just there");
            if server.link_is_open && !server.is_muted {
                (server.heard_at, server.proven) = (self.now, true);
                self.link(slot, LinkChange::Heard { at: self.now });
            }
        }
        self.tell(Event::Tick);
    }

    /// Everyone is there and answers.
    fn comes_to_rest(&mut self) {
        for slot in self.servers.keys().copied().collect::<Vec<_>>() {
            let server = self.servers.get_mut(&slot).expect("it was just there");
            (server.standing, server.is_muted) = (Some(live()), false);
        }
        self.scan();
        for slot in self.servers.keys().copied().collect::<Vec<_>>() {
            let server = self.servers.get_mut(&slot).expect("it was just there");
            if !server.link_is_open {
                (server.link_is_open, server.proven, server.heard_at) = (true, true, self.now);
                (server.broken, server.refused) = (false, false);
                self.link(slot, LinkChange::Opened);
            }
        }
        for _ in 0..20 {
            self.now += Duration::from_millis(100);
            self.tick();
        }
    }
}

fn live() -> Standing {
    Standing::Live { status: Status::Smooth, cause: String::new() }
}

fn truth(slot: Slot, start: u16) -> (Slot, Truth) {
    let incarnation = (slot != FOREIGN).then(|| Incarnation(u128::from(start) << 32 | u128::from(slot.index)));
    let truth = Truth {
        peer: Peer { slot, endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, start), incarnation },
        standing: Some(live()),
        link_is_open: false,
        is_muted: false,
        listens: true,
        shown_dead: false,
        proven: false,
        broken: false,
        refused: false,
        heard_at: Duration::ZERO,
        health: Health::Up,
        accused: None,
    };
    (slot, truth)
}

#[test]
fn whatever_happens() {
    let seed = std::env::var("PINTAIL_SEED").ok().map(|seed| seed.parse().expect("PINTAIL_SEED is a number"));
    let seeds = seed.map_or_else(|| (rand::rng().next_u64() >> 32, SEEDS), |seed| (seed, 1));
    let mut accusations = 0;
    for seed in (0..seeds.1).map(|number| seeds.0 + number) {
        accusations += live_through(seed);
    }
    assert!(seed.is_some() || accusations > SEEDS, "the world is not wild enough: {accusations} accusations");
}

/// One world from beginning to end. Returns how many accusations there were.
fn live_through(seed: u64) -> u64 {
    let mut world = World::new(seed);
    world.scan();
    let mut next_tick = Duration::ZERO;
    for _ in 0..600 {
        let stall = if world.rng.random_ratio(1, 200) { 5000 } else { 30 };
        world.now += Duration::from_millis(world.rng.random_range(0..stall));
        if world.now >= next_tick {
            next_tick = world.now + Duration::from_millis(100);
            world.tick();
        }
        let slot = world.any_server();
        match world.rng.random_range(0..100) {
            0..8 => world.links_change(slot),
            8..11 => world.registry_changes(slot),
            11..21 => world.store_answers(slot),
            _ => {}
        }
    }
    world.comes_to_rest();
    assert_eq!(world.sight, Sight::Clear, "seed {seed}");
    for (slot, server) in &world.servers {
        assert_eq!(world.observer.health(*slot), Some(Health::Up), "seed {seed}: {slot}");
        assert_eq!(server.health, Health::Up, "seed {seed}: {slot}");
        assert!(server.accused.is_none(), "seed {seed}: {slot}");
    }
    world.accusations
}

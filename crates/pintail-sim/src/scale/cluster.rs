//! A run: the servers of a cluster, and what happens to them.

use std::collections::BTreeMap;
use std::time::Duration;

use pintail_core::{Durability, Endpoint, GameId, GameType, Kind, RoomId, Round, Slot};
use pintail_store::{GameOrder, HeartbeatOutcome, Owner, PlaceOutcome};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Size;
use super::checks::Violation;
use super::events::{Event, GatewayId, Life, MemberId, Queue};
use super::figures::{Cost, Figures};
use super::gateway::Gateway;
use super::ledger::{Calls, Ledger};
use super::link::Gap;
use super::member::{Condition, Member, look_pause, renewal_pause, scattered};
use super::story::{self, Blow, Story};

/// Within which time all servers start.
const START_SPREAD: Duration = Duration::from_secs(1);

/// The way of an announcement from the store to a gateway.
const NEWS_DELAY: Duration = Duration::from_millis(1);

/// The shortest round trip between two servers, and what chance adds at most.
const ROUND_TRIP: (Duration, Duration) = (Duration::from_micros(300), Duration::from_micros(1700));

/// A cluster and its time.
#[derive(Debug)]
pub struct Cluster {
    /// What happens to it.
    pub story: Story,
    /// How many servers it has.
    pub size: Size,
    /// Game servers, then lobby servers, then gateways.
    pub members: Vec<Member>,
    /// The gateways.
    pub gateways: Vec<Gateway>,
    /// The game servers that something is done to, or that gateways don't reach.
    pub struck: Vec<MemberId>,
    /// The store.
    pub ledger: Ledger,
    /// What is against the rules.
    pub violations: Vec<Violation>,
    pub(super) queue: Queue,
    pub(super) rng: ChaCha8Rng,
    pub(super) slots: BTreeMap<Slot, MemberId>,
    pub(super) figures: Figures,
    pub(super) cost: Cost,
    calls_at_strike: Calls,
    placed: u64,
}

impl Cluster {
    /// A cluster in which nobody has started.
    #[must_use]
    pub fn new(story: Story, size: Size, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let games = (0..size.games).map(|number| Member::new(Kind::Game, number, story.capacity(), vec![game_type()]));
        let others = |kind, count| (0..count).map(move |number| Member::new(kind, number, 10_000, Vec::new()));
        let members: Vec<Member> =
            games.chain(others(Kind::Lobby, size.lobbies)).chain(others(Kind::Gateway, size.gateways)).collect();
        let watched = size.games + size.lobbies;
        let gateways = (0..size.gateways).map(|place| {
            let round_trips = (0..watched).map(|_| ROUND_TRIP.0 + ROUND_TRIP.1.mul_f64(rng.random::<f64>()));
            Gateway::new(MemberId(watched + place), round_trips)
        });
        let gateways = gateways.collect();
        Self {
            story,
            size,
            gateways,
            struck: Vec::new(),
            ledger: Ledger::new(),
            violations: Vec::new(),
            queue: Queue::default(),
            rng,
            slots: BTreeMap::new(),
            figures: Figures::new(story, size, seed),
            cost: Cost::default(),
            calls_at_strike: Calls::default(),
            placed: 0,
            members,
        }
    }

    /// The whole story.
    pub fn run(&mut self) {
        for place in 0..self.members.len() {
            let at = START_SPREAD.mul_f64(self.rng.random::<f64>());
            self.queue.at(at, Event::Start(MemberId(place)));
        }
        self.queue.at(story::PLACES_FROM, Event::Place);
        self.queue.at(story::STRIKES_AT, Event::Strike);
        while let Some(event) = self.queue.next(story::ENDS_AT) {
            self.figures.events += 1;
            self.happen(event);
        }
    }

    /// What was measured.
    #[must_use]
    pub fn into_figures(self) -> Figures {
        let links = self.gateways.iter().map(Gateway::open_links).sum::<usize>() as u64;
        let calls = self.ledger.calls.since(self.calls_at_strike);
        let cost = self.cost.of(story::ENDS_AT, self.size.gateways);
        Figures { calls, links, cost, placed: self.placed, ..self.figures }
    }

    fn happen(&mut self, event: Event) {
        if let Some(until) = self.held_up(&event) {
            return self.queue.at(until, event);
        }
        match event {
            Event::Start(member) => self.start(member),
            Event::Renew(member, life) => self.renew(member, life),
            Event::Look(member, life) => self.look(member, life),
            Event::Place => self.place_next(),
            Event::Strike => self.strike(),
            Event::Mend => self.mend(),
            _ => self.gateway_event(event),
        }
    }

    /// Until when the process that an event is for is stopped.
    fn held_up(&self, event: &Event) -> Option<Duration> {
        let member = match event {
            Event::Renew(member, _) | Event::Look(member, _) => *member,
            Event::Tick(gateway)
            | Event::Judge(gateway)
            | Event::ScanDue(gateway)
            | Event::Scanned(gateway, _)
            | Event::Notice(gateway, _)
            | Event::Verdict(gateway, ..)
            | Event::Dial(gateway, ..)
            | Event::Dialled(gateway, ..)
            | Event::Reset(gateway, ..) => self.gateways[gateway.0].member,
            Event::Start(_) | Event::Place | Event::Strike | Event::Mend => return None,
        };
        match self.members[member.0].condition {
            Condition::Stopped(until) => Some(until),
            _ => None,
        }
    }

    fn start(&mut self, id: MemberId) {
        let now = self.queue.now;
        let life = self.members[id.0].start(now, &mut self.rng);
        self.register(id);
        let (renewal, look) = (scattered(&mut self.rng), look_pause(&mut self.rng));
        self.queue.after(renewal, Event::Renew(id, life));
        self.queue.after(look, Event::Look(id, life));
        if let Some(gateway) = id.0.checked_sub(self.watched()) {
            self.queue.after(Duration::ZERO, Event::ScanDue(GatewayId(gateway)));
            self.queue.after(Duration::ZERO, Event::Tick(GatewayId(gateway)));
        }
    }

    fn register(&mut self, id: MemberId) {
        let now = self.queue.now;
        let registration = self.ledger.register(now, &self.members[id.0].announcement);
        self.members[id.0].registered(now, registration.slot);
        self.slots.insert(registration.slot, id);
        self.spread_news();
    }

    fn renew(&mut self, id: MemberId, life: Life) {
        let now = self.queue.now;
        let member = &mut self.members[id.0];
        if member.life != life || !member.is_running() {
            return;
        }
        let (Some(who), heartbeat) = (member.identity(), member.heartbeat(now)) else { return };
        match self.ledger.renew(now, who, &heartbeat) {
            HeartbeatOutcome::Renewed { games, .. } => {
                let member = &mut self.members[id.0];
                member.renewed(now);
                member.games = games;
                if member.is_draining {
                    member.drained_at.get_or_insert(now);
                }
                self.spread_news();
            }
            HeartbeatOutcome::Lost | HeartbeatOutcome::Superseded => self.register(id),
        }
        let pause = renewal_pause(&mut self.rng);
        self.queue.after(pause, Event::Renew(id, life));
    }

    /// One that may be gone itself, or doubts itself, takes nobody out of use.
    fn look(&mut self, id: MemberId, life: Life) {
        let now = self.queue.now;
        let member = &self.members[id.0];
        if member.life != life || !member.is_running() {
            return;
        }
        let doubts = id.0.checked_sub(self.watched()).is_some_and(|gateway| self.gateways[gateway].is_in_doubt());
        if !doubts && now < member.held_until {
            for slot in self.ledger.look(now) {
                self.switched_off(slot);
            }
            self.spread_news();
        }
        let pause = look_pause(&mut self.rng);
        self.queue.after(pause, Event::Look(id, life));
    }

    /// The store has taken a server out of use.
    pub(super) fn switched_off(&mut self, slot: Slot) {
        let now = self.queue.now;
        let Some(member) = self.slots.get(&slot).map(|id| &mut self.members[id.0]) else { return };
        if member.switched_off_at.is_some() {
            return;
        }
        member.switched_off(now);
        match member.died_at() {
            Some(died) => self.figures.found.push(now.saturating_sub(died)),
            None => self.figures.wrong_verdicts += u64::from(member.is_running()),
        }
    }

    /// Every gateway hears what the store announces.
    pub(super) fn spread_news(&mut self) {
        for kind in self.ledger.take_news() {
            for place in 0..self.gateways.len() {
                let member = &self.members[self.gateways[place].member.0];
                if kind != Kind::Gateway && member.slot.is_some() {
                    self.ledger.calls.notices += 1;
                    self.queue.after(NEWS_DELAY, Event::Notice(GatewayId(place), kind));
                }
            }
        }
    }

    fn strike(&mut self) {
        self.calls_at_strike = self.ledger.calls;
        let mut games: Vec<MemberId> = (0..self.size.games).map(MemberId).collect();
        games.shuffle(&mut self.rng);
        games.truncate(self.story.struck(self.size.games));
        self.struck = games;
        let now = self.queue.now;
        match self.story.blow() {
            Blow::None => {}
            Blow::Kill => self.fell(Condition::Killed(now)),
            Blow::Lose => self.fell(Condition::Lost(now)),
            Blow::Stop(lasting) => self.struck.clone().into_iter().for_each(|id| self.stop(id, lasting)),
            Blow::Drain => self.struck.iter().for_each(|id| self.members[id.0].is_draining = true),
            Blow::Blind { gateways, lasting } => self.blind(gateways, lasting),
            Blow::StopGateway(lasting) => self.stop(MemberId(self.watched()), lasting),
        }
        if let Some(back) = self.story.comes_back_after() {
            for id in self.struck.clone() {
                self.queue.after(back, Event::Start(id));
            }
        }
    }

    fn fell(&mut self, condition: Condition) {
        let now = self.queue.now;
        for id in self.struck.clone() {
            let member = &mut self.members[id.0];
            member.condition = condition;
            member.gap = Some(Gap::since(now));
            if matches!(condition, Condition::Killed(_)) {
                self.reset_links(id);
            }
        }
    }

    fn stop(&mut self, id: MemberId, lasting: Duration) {
        let (now, until) = (self.queue.now, self.queue.now + lasting);
        let member = &mut self.members[id.0];
        member.condition = Condition::Stopped(until);
        member.gap = Some(Gap { from: now, until });
        self.queue.at(until, Event::Mend);
    }

    fn blind(&mut self, gateways: usize, lasting: Duration) {
        let lobbies = (self.size.games..self.watched()).map(MemberId);
        let all = self.struck.len() == self.size.games;
        let servers = self.struck.iter().copied().chain(lobbies.filter(|_| all)).collect();
        let gap = Gap { from: self.queue.now, until: self.queue.now + lasting };
        for gateway in self.gateways.iter_mut().take(gateways) {
            gateway.cut = Some((gap, std::collections::BTreeSet::clone(&servers)));
        }
    }

    /// Whoever was stopped until now goes on, and does first what was due.
    fn mend(&mut self) {
        let now = self.queue.now;
        for member in &mut self.members {
            if matches!(member.condition, Condition::Stopped(until) if until <= now) {
                member.condition = Condition::Running;
            }
        }
    }

    fn place_next(&mut self) {
        let games = self.story.games_per_server() * self.size.games;
        let span = story::PLACES_UNTIL - story::PLACES_FROM;
        self.place();
        if self.queue.now < story::PLACES_UNTIL && self.figures.asked < games as u64 {
            self.queue.after(span / u32::try_from(games).unwrap_or(u32::MAX), Event::Place);
        }
    }

    fn place(&mut self) {
        let now = self.queue.now;
        self.figures.asked += 1;
        let lobby = Slot::new(Kind::Lobby, (self.figures.asked % self.size.lobbies as u64) as u32);
        match self.ledger.place(now, &order(self.figures.asked, lobby)) {
            PlaceOutcome::Placed(owner) => self.placed_at(owner),
            PlaceOutcome::NoServer => self.figures.refused += 1,
            PlaceOutcome::Over(_) => unreachable!("each order is new"),
        }
    }

    /// What the store knows of a server, placement must go by.
    fn placed_at(&mut self, owner: Owner) {
        let now = self.queue.now;
        self.placed += 1;
        let Some(id) = self.slots.get(&owner.slot) else { return };
        let member = &self.members[id.0];
        let mut violate = |what| self.violations.push(Violation { at: now, slot: owner.slot, what });
        if member.switched_off_at.is_some_and(|at| at <= now) {
            violate("a game was placed on a server that was switched off");
        }
        if member.drained_at.is_some_and(|at| at <= now) {
            violate("a game was placed on a server that drains");
        }
        self.figures.placed_on_dead += u64::from(member.died_at().is_some());
    }

    /// How many servers gateways watch: those before the gateways.
    #[must_use]
    pub const fn watched(&self) -> usize {
        self.size.games + self.size.lobbies
    }

    /// The server with this address.
    pub(super) fn member_at(&self, endpoint: Endpoint) -> MemberId {
        let [_, network, high, low] = endpoint.address.octets();
        let number = usize::from(u16::from_be_bytes([high, low]));
        MemberId(if network == 3 { number } else { self.size.games + number })
    }
}

fn game_type() -> GameType {
    GameType::new("echo").expect("the name is short and has no odd letters")
}

fn order(number: u64, lobby: Slot) -> GameOrder {
    GameOrder {
        id: GameId { room: RoomId(number), round: Round(1) },
        game_type: game_type(),
        durability: Durability::Ephemeral,
        settings: String::new(),
        players: Vec::new(),
        seed: number,
        lobby,
        trace: None,
    }
}

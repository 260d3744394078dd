//! A run: starts the processes, lets the events happen, lets things go wrong, and looks at the end whether all is well.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{Durability, GameId, GameType, PlayerName, ResumeToken, RoomId, Round, Slot};
use pintail_game::GameTypes;
use pintail_game::runtime::Now;
use pintail_store::{GameOrder, OrderedPlayer, PlaceOutcome};
use pintail_wire::{Frame, kind};
use rand::RngExt;

use crate::client::Client;
use crate::env::{Alarm, Env, Event, ms};
use crate::faults::{Fault, GUARD, Kind};
use crate::gateway::Gateway;
use crate::invariants::liveness::Standing;
use crate::invariants::{Invariants, Player, Violation, bounds, game_and_ack, liveness, streams};
use crate::ledger::{self, Entry, variant};
use crate::network::{ConnId, End, Node, Packet, Process};
use crate::reader;
use crate::scenario::Plan;
use crate::server::{Server, game_types, policy};
use crate::store::{Answered, Call, Reply};
use crate::tally::Tally;
use crate::trace::Trace;

/// How often the lobby looks after its rooms.
const LOBBY_PERIOD: Duration = ms(500);

/// How often the players' progress is looked at; and the most events of a run, many times what one needs.
const EVENTS_MAX: u64 = 500_000;

/// A place where one process runs after the other.
#[derive(Debug)]
struct Place<P> {
    life: u32,
    process: Option<P>,
    /// What waits for a process that is stopped, and since when it is.
    held: Option<(Now, Vec<Event>)>,
}

impl<P> Default for Place<P> {
    fn default() -> Self {
        Self { life: 0, process: None, held: None }
    }
}

/// What a group of players plays.
#[derive(Debug)]
struct Room {
    variant: u8,
    /// The first of its clients, and how many there are.
    first: usize,
    players: usize,
    round: u32,
    order: Option<GameOrder>,
    is_placed: bool,
    /// Since when the store does not know the game.
    unknown_since: Option<Now>,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub tally: Tally,
    /// What went wrong, if something did.
    pub violation: Option<Violation>,
    /// What two equal runs have in common.
    pub fingerprint: u64,
    /// The last lines of the trace that concern the game of the violation, if the text was kept.
    pub tail: String,
}

/// A run.
#[derive(Debug)]
struct World {
    env: Env,
    types: Arc<GameTypes>,
    epoch: Instant,
    servers: Vec<Place<Server>>,
    gateways: Vec<Place<Gateway>>,
    clients: Vec<Place<Client>>,
    tokens: Vec<ResumeToken>,
    rooms: Vec<Room>,
    next_number: u64,
    /// The last time when an owner died.
    upheaval: Now,
    /// The last time when the store went back.
    roll_back: Now,
    /// The last time when a client lost its connection.
    move_at: Now,
}

/// Runs a plan.
#[must_use]
pub fn run(plan: Plan, trace: Trace) -> Outcome {
    ledger::forget_witnesses();
    let mut world = World::new(plan, trace);
    world.begin();
    let end = world.env.plan.end;
    while world.env.invariants.violation.is_none()
        && world.env.tally.events < EVENTS_MAX
        && let Some(event) = world.env.next(end)
    {
        world.env.tally.events += 1;
        world.happen(event);
    }
    if world.env.invariants.violation.is_none() {
        world.look_back();
    }
    world.outcome()
}

impl World {
    fn new(plan: Plan, trace: Trace) -> Self {
        let mut env = Env::new(plan, trace);
        let clients = env.plan.clients();
        let token =
            |env: &mut Env| format!("{:016x}.{:032x}", env.rng.random::<u64>(), env.rng.random::<u128>()).parse();
        let tokens = (0..clients).map(|_| token(&mut env).expect("these are the digits of a token")).collect();
        let mut first = 0;
        let rooms = env.plan.groups.iter().map(|group| {
            let room = Room {
                variant: group.variant,
                first,
                players: group.players,
                round: 0,
                order: None,
                is_placed: false,
                unknown_since: None,
            };
            first += group.players;
            room
        });
        let rooms = rooms.collect();
        Self {
            types: game_types(),
            epoch: Instant::now(),
            servers: (0..env.plan.servers).map(|_| Place::default()).collect(),
            gateways: (0..env.plan.gateways).map(|_| Place::default()).collect(),
            clients: (0..clients).map(|_| Place::default()).collect(),
            tokens,
            rooms,
            next_number: 0,
            upheaval: Now::default(),
            roll_back: Now::default(),
            move_at: Now::default(),
            env,
        }
    }

    fn begin(&mut self) {
        let nodes = (0..self.servers.len()).map(Node::Server);
        let nodes = nodes.chain((0..self.gateways.len()).map(Node::Gateway));
        let nodes: Vec<Node> = nodes.chain((0..self.clients.len()).map(Node::Client)).collect();
        for node in nodes {
            let wait = self.env.between(Duration::ZERO, ms(300));
            self.env.after(wait, Event::Wake(Process { node, life: 1 }, Alarm::Start));
        }
        self.env.after(ms(800), Event::Lobby);
        let (mend, well, hush) = (self.env.plan.mend, self.env.plan.well, self.env.plan.hush);
        self.env.at(mend, Event::Mend);
        self.env.at(well, Event::Hush);
        self.env.at(hush, Event::Hush);
        self.env.after(ms(1500), Event::NextFault);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(conn, end, packet) => self.arrive(conn, end, packet),
            Event::Wake(process, Alarm::Start) => self.start(process),
            Event::Wake(process, alarm) => self.wake(process, alarm),
            Event::Apply(number) => self.env.apply_call(number),
            Event::Answer(process, answered) => self.answer(process, answered),
            Event::Notice(process, notice) => {
                if self.is_there(process, || Event::Notice(process, notice)) {
                    match process.node {
                        Node::Server(index) => self.with_server(index, |server, env| server.notice(env, notice)),
                        Node::Gateway(index) => self.with_gateway(index, |gateway, env| gateway.notice(env, notice)),
                        _ => {}
                    }
                }
            }
            Event::Fault(fault) => self.fault(fault),
            Event::NextFault => {
                if let Some(kind) = self.env.choose_fault() {
                    self.fault(Fault::Of(kind));
                }
                self.env.plan_next_fault();
            }
            Event::Mend => self.mend(),
            Event::Lobby => self.lobby(),
            Event::Hush => self.look_around(),
        }
    }

    // ---- events of processes ----

    /// Whether a process is there and runs; what is for one that is stopped waits.
    fn is_there(&mut self, process: Process, event: impl FnOnce() -> Event) -> bool {
        match process.node {
            Node::Server(index) => is_there(&mut self.servers[index], process.life, event),
            Node::Gateway(index) => is_there(&mut self.gateways[index], process.life, event),
            Node::Client(index) => is_there(&mut self.clients[index], process.life, event),
            Node::Store => true,
        }
    }

    fn arrive(&mut self, conn: ConnId, end: End, packet: Packet) {
        let process = match (end, &packet) {
            (End::Listener, Packet::Dial) => self.env.listener(conn).and_then(|node| self.running(node)),
            _ => self.env.at_end(conn, end),
        };
        let Some(process) = process else {
            // Nobody is there any more: whoever sent it is told.
            if matches!(packet, Packet::Dial) {
                self.env.refuse(conn);
            }
            return;
        };
        let shown = packet.clone();
        if !self.is_there(process, || Event::Arrive(conn, end, shown)) {
            return;
        }
        if let Packet::Frame(frame, _) = &packet {
            self.note_frame(conn, process, frame);
        }
        match process.node {
            Node::Server(index) => self.with_server(index, |server, env| server.arrive(env, conn, packet)),
            Node::Gateway(index) => self.with_gateway(index, |gateway, env| gateway.arrive(env, conn, packet)),
            Node::Client(index) => self.with_client(index, |client, env| client.arrive(env, conn, packet)),
            Node::Store => {}
        }
    }

    fn note_frame(&mut self, conn: ConnId, to: Process, frame: &Frame) {
        let is_pulse = match to.node {
            Node::Server(_) => frame.kind == kind::link::HEARTBEAT,
            _ => matches!(frame.kind, kind::link::HEARTBEAT_ANSWER | kind::client::PONG),
        };
        let numbers = [1, conn.0, u64::from(frame.kind), frame.body.len() as u64];
        if is_pulse {
            return numbers.iter().for_each(|number| self.env.trace.mix(*number));
        }
        let game = game_and_ack(frame).map(|(game, _)| game);
        self.env.trace.note(self.env.now, game, &numbers, || {
            format!(
                "{:?}#{} gets kind {} ({} bytes, connection {})",
                to.node,
                to.life,
                frame.kind,
                frame.body.len(),
                conn.0
            )
        });
    }

    fn wake(&mut self, process: Process, alarm: Alarm) {
        if !self.is_there(process, || Event::Wake(process, alarm)) {
            return;
        }
        match process.node {
            Node::Server(index) => {
                self.with_server(index, |server, env| server.wake(env, alarm));
                self.bury(index);
            }
            Node::Gateway(index) => self.with_gateway(index, |gateway, env| gateway.wake(env, alarm)),
            Node::Client(index) => self.with_client(index, |client, env| client.wake(env, alarm)),
            Node::Store => {}
        }
    }

    fn answer(&mut self, process: Process, answered: Box<Answered>) {
        match process.node {
            Node::Store => return self.lobby_answer(&answered),
            Node::Client(_) => return,
            Node::Server(index) if self.servers[index].held.is_some() => {
                return self.hold(index, process, Event::Answer(process, answered));
            }
            Node::Server(_) | Node::Gateway(_) => {}
        }
        if self.running(process.node) != Some(process) {
            return;
        }
        match process.node {
            Node::Server(index) => self.with_server(index, |server, env| server.answer(env, *answered)),
            Node::Gateway(index) => self.with_gateway(index, |gateway, env| gateway.answer(env, *answered)),
            _ => {}
        }
    }

    fn hold(&mut self, index: usize, process: Process, event: Event) {
        let place = &mut self.servers[index];
        if let Some((_, held)) = place.held.as_mut().filter(|_| place.life == process.life) {
            held.push(event);
        }
    }

    fn running(&self, node: Node) -> Option<Process> {
        let life = match node {
            Node::Server(index) => self.servers[index].process.as_ref().map(|_| self.servers[index].life),
            Node::Gateway(index) => self.gateways[index].process.as_ref().map(|_| self.gateways[index].life),
            Node::Client(index) => self.clients[index].process.as_ref().map(|_| self.clients[index].life),
            Node::Store => None,
        };
        life.map(|life| Process { node, life })
    }

    fn with_server(&mut self, index: usize, act: impl FnOnce(&mut Server, &mut Env)) {
        if let Some(server) = &mut self.servers[index].process {
            act(server, &mut self.env);
        }
    }

    fn with_gateway(&mut self, index: usize, act: impl FnOnce(&mut Gateway, &mut Env)) {
        if let Some(gateway) = &mut self.gateways[index].process {
            act(gateway, &mut self.env);
        }
    }

    fn with_client(&mut self, index: usize, act: impl FnOnce(&mut Client, &mut Env)) {
        if let Some(client) = &mut self.clients[index].process {
            act(client, &mut self.env);
        }
    }

    // ---- life and death ----

    fn start(&mut self, process: Process) {
        self.env.trace.note(self.env.now, None, &[51], || format!("{process:?} starts"));
        match process.node {
            Node::Server(index) if self.servers[index].life < process.life => {
                self.servers[index].life = process.life;
                self.servers[index].process = Some(Server::start(&mut self.env, process, &self.types));
            }
            Node::Gateway(index) if self.gateways[index].life < process.life => {
                self.gateways[index].life = process.life;
                self.gateways[index].process = Some(Gateway::start(&mut self.env, process));
            }
            Node::Client(index) if self.clients[index].life < process.life => self.start_client(index, process),
            _ => {}
        }
    }

    fn start_client(&mut self, index: usize, process: Process) {
        let former = self.clients[index].process.take();
        let playing = former.as_ref().and_then(Client::playing);
        let is_hushed = former.is_some_and(|former| former.is_hushed);
        self.env.close_all(Process { life: self.clients[index].life, ..process }, false);
        self.clients[index].life = process.life;
        let token = self.tokens[index].clone();
        let mut client = Client::start(&mut self.env, process, token, self.epoch);
        client.is_hushed = is_hushed;
        if let Some((game, seat)) = playing {
            if let Some(facts) = self.env.invariants.games.get_mut(&game) {
                facts.liveness.restarted(Player { seat, life: process.life });
            }
            client.play(&mut self.env, game, seat);
        }
        self.clients[index].process = Some(client);
    }

    /// Kills a process and lets it start again after a while. Its machine may be gone with it: then nobody is told.
    fn kill(&mut self, process: Process) {
        if self.running(process.node) != Some(process) {
            return;
        }
        let silently = self.env.chance(0.3);
        self.env.trace.note(self.env.now, None, &[52], || format!("FAULT {process:?} dies (silently: {silently})"));
        self.env.close_all(process, silently);
        self.env.store.unsubscribe(process);
        match process.node {
            Node::Server(index) => {
                self.upheaval = self.env.now;
                self.env.tally.server_kills += 1;
                (self.servers[index].process, self.servers[index].held) = (None, None);
            }
            Node::Gateway(index) => {
                self.env.tally.gateway_kills += 1;
                self.gateways[index].process = None;
            }
            _ => {}
        }
        let wait = self.env.between(ms(50), ms(4000));
        self.env.after(wait, Event::Wake(Process { life: process.life + 1, ..process }, Alarm::Start));
    }

    /// A server that has ended by itself starts again after a while.
    fn bury(&mut self, index: usize) {
        if self.servers[index].process.as_ref().is_none_or(|server| !server.is_over()) {
            return;
        }
        let process = Process { node: Node::Server(index), life: self.servers[index].life };
        self.env.trace.note(self.env.now, None, &[53], || format!("{process:?} has ended"));
        self.env.close_all(process, false);
        self.env.store.unsubscribe(process);
        self.servers[index].process = None;
        let wait = self.env.between(ms(200), ms(2000));
        self.env.after(wait, Event::Wake(Process { life: process.life + 1, ..process }, Alarm::Start));
    }

    // ---- faults ----

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Of(kind) => self.fault_of(kind),
            Fault::Kill(process) => {
                if self.env.now < self.env.plan.mend {
                    self.kill(process);
                }
            }
            Fault::Continue(process) => self.go_on(process),
            Fault::Unblock(from, to) => self.env.unblock(from, to),
            Fault::StoreBack => self.store_back(),
        }
    }

    fn fault_of(&mut self, kind: Kind) {
        let server = self.env.below(self.servers.len());
        let gateway = self.env.below(self.gateways.len());
        let client = self.env.below(self.clients.len());
        self.env.trace.note(self.env.now, None, &[54, kind as u64], || format!("FAULT of kind {kind:?}"));
        match kind {
            Kind::KillServer => self.kill_at(Node::Server(server)),
            Kind::KillAtCall => self.env.kills_at_calls_until = self.env.now + ms(1500),
            Kind::StopServer => self.stop(server),
            Kind::KillGateway => self.kill_at(Node::Gateway(gateway)),
            Kind::CutConnection | Kind::SilenceConnection => self.cut(kind),
            Kind::BlockPath => self.block(server, gateway, client),
            Kind::CutOffStore => self.cut_off_store(server, gateway),
            Kind::StoreAway => self.env.store_away_for_a_while(),
            Kind::WrongVerdict => self.accuse_wrongly(server),
            Kind::Drain => self.ask_to_drain(server),
            Kind::RestartClient => {
                self.env.tally.client_restarts += 1;
                let life = self.clients[client].life + 1;
                self.start(Process { node: Node::Client(client), life });
            }
            Kind::MoveClient if !self.is_tender() => {
                let conn = self.clients[client].process.as_ref().and_then(Client::conn);
                if let Some(conn) = conn {
                    self.env.tally.cuts += 1;
                    self.move_at = self.env.now;
                    self.env.net.kill_silently(conn);
                    self.with_client(client, |client, env| client.arrive(env, conn, Packet::Reset));
                }
            }
            Kind::Rollback => {
                let by = self.env.between(ms(50), ms(3000));
                self.roll_back(Some(by));
            }
            Kind::Wipe => self.roll_back(None),
            Kind::MoveClient => {}
        }
    }

    fn kill_at(&mut self, node: Node) {
        if let Some(process) = self.running(node) {
            self.kill(process);
        }
    }

    fn stop(&mut self, index: usize) {
        let place = &mut self.servers[index];
        if place.process.is_none() || place.held.is_some() {
            return;
        }
        place.held = Some((self.env.now, Vec::new()));
        let process = Process { node: Node::Server(index), life: place.life };
        let lasts = self.env.duration_of_fault();
        self.env.tally.stops += 1;
        self.env.trace.note(self.env.now, None, &[55], || format!("FAULT {process:?} is stopped for {lasts:?}"));
        self.env.after(lasts, Event::Fault(Fault::Continue(process)));
    }

    fn go_on(&mut self, process: Process) {
        let Node::Server(index) = process.node else { return };
        let place = &mut self.servers[index];
        if place.life != process.life {
            return;
        }
        let Some((since, held)) = place.held.take() else { return };
        self.env.trace.note(self.env.now, None, &[56], || format!("{process:?} goes on"));
        if self.env.chance(0.7) {
            self.with_server(index, |server, env| server.go_on_with_reading_of(env, since));
        }
        for event in held {
            self.happen(event);
        }
    }

    fn cut(&mut self, kind: Kind) {
        let is_tender = self.is_tender();
        let conns = self.env.net.between(|from, _| !(is_tender && matches!(from, Node::Client(_))));
        if conns.is_empty() {
            return;
        }
        let conn = conns[self.env.below(conns.len())];
        self.env.tally.cuts += 1;
        if self.env.at_end(conn, End::Dialler).is_some_and(|process| matches!(process.node, Node::Client(_))) {
            self.move_at = self.env.now;
        }
        if kind == Kind::CutConnection { self.env.reset(conn) } else { self.env.net.kill_silently(conn) }
    }

    fn block(&mut self, server: usize, gateway: usize, client: usize) {
        let (mut from, mut to) = (Node::Gateway(gateway), Node::Server(server));
        if self.env.chance(0.3) {
            to = Node::Client(client);
        }
        if self.env.chance(0.5) {
            (from, to) = (to, from);
        }
        self.env.tally.blocks += 1;
        self.env.block_for_a_while(from, to);
        if self.env.chance(0.5) {
            self.env.block_for_a_while(to, from);
        }
    }

    fn cut_off_store(&mut self, server: usize, gateway: usize) {
        let node = if self.env.chance(0.8) { Node::Server(server) } else { Node::Gateway(gateway) };
        if self.is_other_kind_cut_off(node) {
            return;
        }
        self.env.tally.blocks += 1;
        if self.env.chance(0.8) {
            self.env.block_for_a_while(node, Node::Store);
        }
        if self.env.chance(0.8) {
            self.env.block_for_a_while(Node::Store, node);
        }
    }

    /// Gateways and game servers that are cut off together go on without protection while others claim their games: that
    /// is a partition, which the design lets cost more than a pause.
    fn is_other_kind_cut_off(&self, node: Node) -> bool {
        let is_cut_off =
            |node| self.env.net.is_blocked(node, Node::Store) || self.env.net.is_blocked(Node::Store, node);
        match node {
            Node::Server(_) => (0..self.gateways.len()).any(|index| is_cut_off(Node::Gateway(index))),
            _ => (0..self.servers.len()).any(|index| is_cut_off(Node::Server(index))),
        }
    }

    fn accuse_wrongly(&mut self, server: usize) {
        let slot = self.servers[server].process.as_ref().and_then(Server::slot);
        let Some(slot) = slot else { return };
        let incarnation = self.servers[server].process.as_ref().map(|server| server.member.incarnation());
        let Some(incarnation) = incarnation else { return };
        self.env.tally.wrong_verdicts += 1;
        let observer = Slot::new(pintail_core::Kind::Gateway, 0);
        let charge = pintail_core::Charge::Refused;
        self.ask_as_lobby(Call::Accuse { slot, incarnation, observer, charge }, 0);
    }

    fn ask_to_drain(&mut self, server: usize) {
        if let Some(slot) = self.servers[server].process.as_ref().and_then(Server::slot) {
            self.env.tally.drains += 1;
            self.ask_as_lobby(Call::AskToDrain(slot), 0);
        }
    }

    /// Where a rollback must cost nothing, every owner lives when it comes, and the one before is mended.
    fn roll_back(&mut self, by: Option<Duration>) {
        let now = self.env.now;
        let all_there = self.servers.iter().all(|place| place.process.is_some() && place.held.is_none());
        let Invariants { last_end, last_move, .. } = self.env.invariants;
        let lasts = [self.upheaval, self.roll_back, self.move_at, last_end, last_move];
        let is_quiet = lasts.into_iter().all(|last| now.since(last) > GUARD);
        if self.env.plan.is_guarded() && !(all_there && is_quiet && now.0 > GUARD) {
            return;
        }
        self.roll_back = now;
        self.env.roll_back(by);
    }

    /// The store has just lost something, and a client that is new to its gateway would be told that there is no such game.
    fn is_tender(&self) -> bool {
        self.env.plan.is_guarded() && self.env.now.since(self.roll_back) < GUARD
    }

    fn store_back(&mut self) {
        if !std::mem::take(&mut self.env.store.is_away) {
            return;
        }
        self.env.store.back_since = self.env.now;
        self.env.trace.note(self.env.now, None, &[57], || "the store is back".to_owned());
    }

    /// Nothing goes wrong any more, and what was down comes up.
    fn mend(&mut self) {
        self.env.trace.note(self.env.now, None, &[58], || "faults are over".to_owned());
        self.env.unblock_all();
        self.store_back();
        self.env.plan.store_trouble = 0.0;
        self.env.plan.spikes = 0.0;
        for index in 0..self.servers.len() {
            let process = Process { node: Node::Server(index), life: self.servers[index].life };
            self.go_on(process);
        }
    }

    // ---- the lobby ----

    fn ask_as_lobby(&mut self, call: Call, tag: u64) {
        self.env.ask(Process { node: Node::Store, life: 0 }, call, tag);
    }

    fn lobby(&mut self) {
        self.env.after(LOBBY_PERIOD, Event::Lobby);
        for index in 0..self.rooms.len() {
            let call = match &self.rooms[index].order {
                Some(order) if self.rooms[index].is_placed => Call::Game(order.id),
                Some(order) => Call::Place(order.clone()),
                None if self.env.now < self.env.plan.mend => Call::Place(self.new_order(index)),
                None => continue,
            };
            self.ask_as_lobby(call, index as u64);
        }
    }

    fn new_order(&mut self, index: usize) -> GameOrder {
        let room = &mut self.rooms[index];
        room.round += 1;
        self.next_number += 1;
        let name = |seat: usize| PlayerName::new(&format!("player {seat}")).expect("a good name");
        let players = (0..room.players)
            .map(|seat| OrderedPlayer { session: self.tokens[room.first + seat].session(), name: name(seat) })
            .collect();
        let is_journaled = room.variant < variant::STEPS_EPHEMERAL;
        let order = GameOrder {
            id: GameId { room: RoomId(index as u64 + 1), round: Round(room.round) },
            game_type: GameType::new(variant::NAMES[usize::from(room.variant)]).expect("a good name"),
            durability: if is_journaled { Durability::Journaled } else { Durability::Ephemeral },
            settings: format!("{{\"number\":{}}}", self.next_number),
            players,
            seed: self.env.rng.random(),
            lobby: Slot::new(pintail_core::Kind::Lobby, 0),
            trace: None,
        };
        room.order = Some(order.clone());
        (room.is_placed, room.unknown_since) = (false, None);
        self.env.tally.games += 1;
        let players = room.players as u16;
        self.env.invariants.game_ordered(order.id, self.next_number, players, room.variant);
        order
    }

    fn lobby_answer(&mut self, answered: &Answered) {
        let Some(room) = self.rooms.get_mut(answered.tag as usize) else { return };
        let Some(order) = &room.order else { return };
        if answered.call.game() != Some(order.id) {
            return;
        }
        match &answered.reply {
            Ok(Reply::Placed(PlaceOutcome::Placed(_))) if !room.is_placed => {
                room.is_placed = true;
                let (id, first, players) = (order.id, room.first, room.players);
                for seat in 0..players {
                    self.with_client(first + seat, |client, env| client.play(env, id, seat as u16));
                }
            }
            Ok(Reply::Placed(PlaceOutcome::Over(_))) => room.order = None,
            Ok(Reply::Game(Some(record))) if record.outcome.is_some() => room.order = None,
            Ok(Reply::Game(Some(_))) => room.unknown_since = None,
            Ok(Reply::Game(None)) => {
                let since = *room.unknown_since.get_or_insert(self.env.now);
                if self.env.now.since(since) > Duration::from_secs(8) {
                    room.order = None;
                }
            }
            _ => {}
        }
    }

    // ---- what must hold ----

    /// When everything should be well: who is attached, how far the games are. Later: whether they have gone on.
    fn look_around(&mut self) {
        let is_later = self.env.now >= self.env.plan.hush;
        let is_lenient = self.env.is_lenient();
        for index in 0..self.rooms.len() {
            let Some(id) = self.rooms[index].order.as_ref().map(|order| order.id) else { continue };
            if self.outcome_of(id) != Some(false) {
                continue;
            }
            let is_placed = self.rooms[index].is_placed;
            let seats = self.seats_of(id);
            let Some(facts) = self.env.invariants.games.get_mut(&id) else { continue };
            let attached = facts.liveness.all_attached(seats.into_iter());
            let went_on =
                if is_later && facts.variant % 2 == variant::STEPS { facts.liveness.went_on() } else { Ok(()) };
            facts.liveness.look();
            // Players of a game that lost something may be beyond it, and out of it.
            if is_placed && !is_lenient {
                self.env.check(Some(id), liveness::NAME, attached.and(went_on));
            }
        }
        if is_later {
            for place in &mut self.clients {
                if let Some(client) = &mut place.process {
                    client.is_hushed = true;
                }
            }
        }
    }

    /// Whether a game is over, as the store has it; None if it does not know it.
    fn outcome_of(&mut self, id: GameId) -> Option<bool> {
        match self.env.store.apply(self.env.now, &Call::Game(id)) {
            Ok(Reply::Game(Some(record))) => Some(record.outcome.is_some()),
            _ => None,
        }
    }

    /// The seats of players who have not left the game.
    fn seats_of(&mut self, id: GameId) -> Vec<u16> {
        let history = self.history_of(id).unwrap_or_default();
        let players = self.env.invariants.games.get(&id).map_or(0, |facts| facts.players);
        (0..players)
            .filter(|seat| !history.iter().any(|entry| entry.seat == *seat && entry.what == ledger::LEFT))
            .collect()
    }

    /// What is in the ledger of the game's last owner.
    fn history_of(&mut self, id: GameId) -> Option<Vec<Entry>> {
        let facts = self.env.invariants.games.get(&id)?;
        let owner = match &facts.ended {
            Some((incarnation, _)) => *incarnation,
            None => facts.commits.owner()?.incarnation,
        };
        ledger::witnessed(owner.0, facts.number)
    }

    /// Compares everything with the final histories.
    fn look_back(&mut self) {
        let waited = self.env.net.waiting_bytes_max;
        self.env.check(None, bounds::NAME, bounds::bytes(waited));
        let games: Vec<GameId> = self.env.invariants.games.keys().copied().collect();
        for id in games {
            self.look_back_at(id);
        }
    }

    fn look_back_at(&mut self, id: GameId) {
        let is_over = self.outcome_of(id);
        let Some(facts) = self.env.invariants.games.get(&id) else { return };
        let (number, is_journaled) = (facts.number, facts.variant < variant::STEPS_EPHEMERAL);
        let ended_by_owner = facts.ended.is_some();
        let mut history = self.history_of(id);
        if is_journaled && (is_over == Some(false) || !ended_by_owner) {
            let saved = self.env.store.apply(self.env.now, &Call::Saved(id));
            let read = reader::read(&self.types, policy(self.env.plan.horizon), saved, number);
            if is_over == Some(false) {
                self.compare(id, history.as_deref(), read.as_deref());
            }
            // What the owner has is in the journal, and the reader's end has nothing to do with the game's.
            history = if is_over == Some(false) { history } else { read.or(history) };
        } else if !is_journaled && !ended_by_owner && is_over != Some(false) {
            // It ended with its server, which took what it knew along.
            return;
        }
        let Some(history) = history else { return };
        let forgiven = self.env.forgiven();
        let checked = self.env.invariants.games.get(&id).map(|facts| facts.check_history(&history, forgiven));
        if let Some(Err((name, why))) = checked {
            self.env.check(Some(id), name, Err(why));
        }
        if is_over == Some(false) {
            self.check_arrivals(id, &history);
        }
    }

    /// The journal gives what the owner has.
    fn compare(&mut self, id: GameId, owned: Option<&[Entry]>, read: Option<&[Entry]>) {
        let Some(owned) = owned else { return };
        let outcome = match read {
            None => Err("the journal of a game that goes on can't be read".to_owned()),
            Some(read) if read.starts_with(owned) => Ok(()),
            Some(read) => {
                let same = owned.iter().zip(read).take_while(|(a, b)| a == b).count();
                Err(format!(
                    "the journal gives {} positions, the owner has {}, and they differ from {same} on: {:?}, {:?}",
                    read.len(),
                    owned.len(),
                    read.get(same),
                    owned.get(same)
                ))
            }
        };
        self.env.check(Some(id), crate::invariants::shown::NAME, outcome);
    }

    /// Long after the last move, everything has been acknowledged and everyone has been shown everything.
    fn check_arrivals(&mut self, id: GameId, history: &[Entry]) {
        let is_lenient = self.env.is_lenient();
        for index in 0..self.clients.len() {
            let Some(client) = &self.clients[index].process else { continue };
            let Some((_, seat)) = client.playing().filter(|(game, _)| *game == id) else { continue };
            let Some(facts) = self.env.invariants.games.get(&id) else { continue };
            if facts.liveness.standing(seat) != Standing::Attached || is_lenient {
                continue;
            }
            let (unacknowledged, player) = (client.unacknowledged(), Player { seat, life: self.clients[index].life });
            let positions = facts.positions(player);
            if unacknowledged > 0 {
                let why = format!("{unacknowledged} inputs of {player:?} were never acknowledged");
                self.env.check(Some(id), liveness::NAME, Err(why));
            }
            // Who comes or goes at the very end may be on its way still.
            if positions.is_some_and(|positions| positions + 2 < history.len() as u64) {
                let why = format!("{player:?} was shown {positions:?} of {} positions", history.len());
                self.env.check(Some(id), streams::NAME, Err(why));
            }
        }
    }

    fn outcome(mut self) -> Outcome {
        let violation = self.env.invariants.violation.take();
        self.env.tally.seeds = 1;
        self.env.tally.violations = u64::from(violation.is_some());
        let tail = match &violation {
            Some(violation) if self.env.trace.has_text() => self.env.trace.tail(violation.game, self.env.trace.shown),
            _ => String::new(),
        };
        Outcome { tally: self.env.tally, violation, fingerprint: self.env.trace.fingerprint(), tail }
    }
}

fn is_there<P>(place: &mut Place<P>, life: u32, event: impl FnOnce() -> Event) -> bool {
    if place.life != life || place.process.is_none() {
        return false;
    }
    match &mut place.held {
        Some((_, held)) => {
            held.push(event());
            false
        }
        None => true,
    }
}

//! A game server: the real [`GameHost`] with a model of the loop around it.
//!
//! The loop's rules are those of `pintail_game::server`: everything that has arrived is one turn; commands are done in
//! order; writes go to the store in batches, two at a time; a lease that ran out in the middle of a turn closes the links.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pintail_core::limits::LINK_FRAME_BYTES_MAX;
use pintail_core::{Epoch, GameId, Kind, Slot};
use pintail_game::GameTypes;
use pintail_game::runtime::host::StoreFailed;
use pintail_game::runtime::{Budget, Command, Effects, GameHost, HostEvent, JournalPolicy, Now};
use pintail_net::LinkId;
use pintail_store::{Claim, JournalWrite, Letter, Notice, StoreError};
use pintail_wire::{Decoder, Frame, games_here, kind};
use rand::RngExt;

use crate::env::{Alarm, Env, Event, ms};
use crate::faults::Fault;
use crate::invariants::bounds;
use crate::ledger::{self, Ledger, variant};
use crate::member::{Member, News};
use crate::network::{ConnId, End, Node, Origin, Packet, Process};
use crate::store::{Answered, Call, Reply};

/// How long a drain may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a server that has ended its games waits until everyone has heard.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How many batches of writes are under way at once.
const BATCHES_MAX: usize = 2;

/// The newest format of snapshots that a server reads.
const FORMAT: u32 = 1;

/// The game types of every server.
#[must_use]
pub fn game_types() -> Arc<GameTypes> {
    let types = GameTypes::new().with::<Ledger<{ variant::STEPS }>>().with::<Ledger<{ variant::EVENTS }>>();
    let types = types.with::<Ledger<{ variant::STEPS_EPHEMERAL }>>();
    Arc::new(types.with::<Ledger<{ variant::EVENTS_EPHEMERAL }>>())
}

/// How games are kept: snapshots come often, so that they matter in a short run.
#[must_use]
pub fn policy(horizon: Duration) -> JournalPolicy {
    JournalPolicy { snapshot_entries: 24, snapshot_steps: 64, horizon, ..JournalPolicy::default() }
}

/// How far a drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining { since: Now },
    Flushing { until: Now },
    Over,
}

/// One start of a game server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Its place in the registry.
    pub member: Member,
    host: GameHost,
    /// When its own clock began.
    began: Now,
    links: BTreeMap<LinkId, ConnId>,
    next_link: u64,
    inbox: VecDeque<HostEvent>,
    fx: Effects,
    turn_at: Option<Now>,
    is_scanning: bool,
    scan_at: Now,
    writes: Vec<JournalWrite>,
    batches: usize,
    writing: BTreeSet<(GameId, Epoch)>,
    phase: Phase,
    lineage: u64,
    /// What it has read off its clock before it was stopped.
    old_reading: Option<Now>,
}

impl Server {
    /// Starts a game server.
    pub fn start(env: &mut Env, process: Process, types: &Arc<GameTypes>) -> Self {
        let names = types.names().cloned().collect();
        let mut member = Member::new(env, process, 5557, names);
        let host = GameHost::new(types.clone(), member.incarnation(), policy(env.plan.horizon), env.rng.random());
        member.start(env);
        Self {
            process,
            member,
            host,
            began: env.now,
            links: BTreeMap::new(),
            next_link: 0,
            inbox: VecDeque::new(),
            fx: Effects::default(),
            turn_at: None,
            is_scanning: false,
            scan_at: env.now,
            writes: Vec::new(),
            batches: 0,
            writing: BTreeSet::new(),
            phase: Phase::Serving,
            lineage: env.store.lineage,
            old_reading: None,
        }
    }

    /// Whether it has ended by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// It was stopped after it had read its clock, and goes on with that reading.
    pub fn go_on_with_reading_of(&mut self, env: &mut Env, stopped: Now) {
        self.old_reading = Some(stopped);
        self.turn_at = None;
        self.turn_by(env, env.now);
    }

    /// A packet arrived.
    pub fn arrive(&mut self, env: &mut Env, conn: ConnId, packet: Packet) {
        match packet {
            Packet::Dial => {
                self.next_link += 1;
                self.links.insert(LinkId(self.next_link), conn);
                env.accept(conn, self.process, self.member.incarnation());
            }
            Packet::Frame(frame, _) => {
                if let Some(link) = self.link_of(conn) {
                    self.hear(env, HostEvent::Frame(link, frame));
                }
            }
            Packet::Reset => {
                if let Some(link) = self.link_of(conn) {
                    self.links.remove(&link);
                    self.hear(env, HostEvent::LinkClosed(link));
                }
                env.hang_up(conn, End::Listener);
            }
            Packet::Accept(_) | Packet::Refuse => {}
        }
    }

    /// It is time for something.
    pub fn wake(&mut self, env: &mut Env, alarm: Alarm) {
        match alarm {
            Alarm::Renew => self.member.renew(env),
            Alarm::Look => self.member.look(env),
            Alarm::Turn if self.turn_at.is_some_and(|at| at <= env.now) => self.turn(env),
            _ => {}
        }
    }

    /// News of the store.
    pub fn notice(&mut self, env: &mut Env, notice: Notice) {
        match notice {
            Notice::Rescan => {
                self.scan_at = env.now;
                self.turn_by(env, env.now);
            }
            Notice::ServerOff(slot) if slot.kind == Kind::Game => self.hear(env, HostEvent::LookForOrphans),
            Notice::Letter(Letter::GamePlaced(id)) => self.hear(env, HostEvent::Placed(id)),
            Notice::Letter(Letter::PlayerLeft(id, session)) => self.hear(env, HostEvent::PlayerLeft(id, session)),
            Notice::Letter(Letter::Drain) => self.member.renew(env),
            _ => {}
        }
    }

    /// The store answers.
    pub fn answer(&mut self, env: &mut Env, answered: Answered) {
        if let Some(news) = self.member.answered(env, &answered) {
            return self.member_news(env, news);
        }
        let Answered { call, reply, .. } = answered;
        match (call, reply) {
            (Call::Hosted(_, _, asked), reply) => {
                self.is_scanning = false;
                if let Ok(Reply::Hosted(games)) = reply {
                    self.hear(env, HostEvent::Hosted { games, asked });
                }
            }
            (Call::Write(writes), reply) => self.written(env, &writes, reply),
            (call, reply) => {
                if let Some(event) = host_event(call, reply) {
                    self.hear(env, event);
                }
            }
        }
    }

    fn written(&mut self, env: &mut Env, writes: &[JournalWrite], reply: Result<Reply, StoreError>) {
        self.batches -= 1;
        let outcomes = if let Ok(Reply::Written(outcomes)) = reply { Some(outcomes) } else { None };
        for (index, write) in writes.iter().enumerate() {
            self.writing.remove(&(write.game, write.owner.epoch));
            let outcome = outcomes.as_ref().and_then(|outcomes| outcomes.get(index)).copied();
            let event =
                HostEvent::Written(write.game, write.owner.epoch, write.last(), outcome.ok_or(StoreFailed::Away));
            self.hear(env, event);
        }
        self.write(env);
    }

    fn member_news(&mut self, env: &mut Env, news: News) {
        match news {
            News::Joined(slot) => {
                self.hear(env, HostEvent::Joined(slot));
                self.tell_lease(env);
                self.scan_at = env.now;
            }
            News::Renewed { drain } => {
                self.tell_lease(env);
                if drain {
                    self.drain(env);
                }
            }
            News::Lost => self.hear(env, HostEvent::Lease(Now::default())),
            News::Superseded => self.phase = Phase::Over,
        }
        if self.lineage != env.store.lineage {
            self.lineage = env.store.lineage;
            self.hear(env, HostEvent::StoreDoubted);
        }
    }

    fn tell_lease(&mut self, env: &mut Env) {
        let until = Now(self.member.held_until.since(self.began));
        self.hear(env, HostEvent::Lease(until));
    }

    fn drain(&mut self, env: &mut Env) {
        if self.phase == Phase::Serving {
            self.phase = Phase::Draining { since: env.now };
            self.member.is_draining = true;
            self.hear(env, HostEvent::Drain);
            self.member.renew(env);
        }
    }

    fn hear(&mut self, env: &mut Env, event: HostEvent) {
        self.inbox.push_back(event);
        let wait = env.between(Duration::ZERO, ms(1));
        self.turn_by(env, env.now + wait);
    }

    fn turn_by(&mut self, env: &mut Env, at: Now) {
        let at = at.max(env.now);
        if self.turn_at.is_none_or(|earlier| at < earlier || earlier < env.now) {
            self.turn_at = Some(at);
            env.at(at, Event::Wake(self.process, Alarm::Turn));
        }
    }

    fn turn(&mut self, env: &mut Env) {
        self.turn_at = None;
        let reading = self.old_reading.take().unwrap_or(env.now);
        let now = Now(reading.since(self.began));
        ledger::at_host(self.member.incarnation().0);
        while let Some(event) = self.inbox.pop_front() {
            self.host.handle(now, event, &mut self.fx);
        }
        let clock = move || now;
        let until = if env.chance(0.1) { now } else { now + ms(50) };
        self.host.advance(now, &Budget::new(&clock, until), &mut self.fx);
        self.check_lease_again(env, reading);
        self.carry_out(env, now);
        // After the commands: a game that has just ended is no unprotected one any more, and its end may be untold.
        let is_safe = self.host.unprotected_games() == 0 && self.member.is_held(env.now);
        env.watch_protection(self.member.incarnation(), self.host.unprotected_games() > 0, is_safe);
        self.scan(env);
        self.go_on(env, now);
        self.turn_by(env, self.next_turn(env.now));
    }

    /// When the loop has something to do by itself. A turn takes a moment, even if the next follows at once.
    fn next_turn(&self, now: Now) -> Now {
        let soonest = now + Duration::from_micros(50);
        if !self.fx.commands.is_empty() || !self.inbox.is_empty() {
            return soonest;
        }
        let due = self.host.next_due().map(|due| self.began + due.0);
        let scan = (self.member.slot.is_some() && !self.is_scanning).then_some(self.scan_at);
        [due, scan].into_iter().flatten().fold(now + ms(250), Now::min).max(soonest)
    }

    /// A process that was held up in the middle of a turn looks at its clock again before it says anything; it can be held
    /// up after that, too.
    fn check_lease_again(&mut self, env: &mut Env, reading: Now) {
        let ran_out = reading < self.member.held_until && self.member.held_until <= env.now;
        if !ran_out || env.chance(0.2) {
            return;
        }
        let now = Now(reading.since(self.began));
        for (link, conn) in std::mem::take(&mut self.links) {
            env.hang_up(conn, End::Listener);
            self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
        }
    }

    fn carry_out(&mut self, env: &mut Env, now: Now) {
        let commands = std::mem::take(&mut self.fx.commands);
        env.check(None, bounds::NAME, bounds::commands(commands.len()));
        for command in commands {
            match command {
                Command::Deliver(link, delivery) => {
                    let mut wire = BytesMut::new();
                    delivery.encode(&mut wire);
                    let frame = Decoder::new(LINK_FRAME_BYTES_MAX).decode(&mut wire).ok().flatten();
                    self.send(env, now, link, frame.expect("a delivery is one whole frame"));
                }
                Command::AnswerHeartbeat(link, body) => {
                    self.send(env, now, link, Frame { kind: kind::link::HEARTBEAT_ANSWER, body });
                }
                Command::GamesHere(games) => {
                    let frame = Frame { kind: kind::link::GAMES_HERE, body: games_here::encode(&games) };
                    for link in self.links.keys().copied().collect::<Vec<_>>() {
                        self.send(env, now, link, frame.clone());
                    }
                }
                Command::CloseLink(link) => self.close(env, now, link),
                Command::Write(write) => self.take_write(env, write),
                other => self.call(env, other),
            }
        }
        self.write(env);
    }

    fn call(&mut self, env: &mut Env, command: Command) {
        let call = match command {
            Command::Load(id) => Call::Saved(id),
            Command::End { id, owner, outcome } => Call::End(id, owner, outcome),
            Command::Restore { order, owner, snapshot } => Call::Restore(order, owner, snapshot),
            Command::HandOver { id, owner, snapshot, without_server } => {
                Call::HandOver(id, owner, snapshot, without_server)
            }
            Command::Claim { limit, suspects } => match self.member.slot {
                Some(slot) => {
                    let incarnation = self.member.incarnation();
                    Call::Claim(Claim { slot, incarnation, limit, suspects, format: FORMAT })
                }
                None => return self.hear(env, HostEvent::Claimed(Err(StoreFailed::Away))),
            },
            _ => return,
        };
        if let Call::End(id, ..) = &call {
            env.end_asked(*id, self.member.incarnation(), self.member.is_held(env.now));
        }
        self.ask(env, call);
    }

    /// Asks the store; the process may die at any moment of it.
    fn ask(&mut self, env: &mut Env, call: Call) {
        if env.chance(env.plan_kills_at_calls()) {
            let wait = env.between(Duration::ZERO, ms(20));
            env.after(wait, Event::Fault(Fault::Kill(self.process)));
        }
        env.ask(self.process, call, 0);
        let under_way = env.store.under_way(self.process);
        env.check(None, bounds::NAME, bounds::calls(under_way));
    }

    fn take_write(&mut self, env: &mut Env, write: JournalWrite) {
        let is_alone = self.writing.insert((write.game, write.owner.epoch));
        env.check(Some(write.game), bounds::NAME, bounds::one_write(is_alone));
        self.writes.push(write);
    }

    fn write(&mut self, env: &mut Env) {
        if self.batches < BATCHES_MAX && !self.writes.is_empty() {
            self.batches += 1;
            let writes = std::mem::take(&mut self.writes);
            self.ask(env, Call::Write(writes));
        }
    }

    fn send(&mut self, env: &mut Env, now: Now, link: LinkId, frame: Frame) {
        let Some(&conn) = self.links.get(&link) else { return };
        let origin = Origin { incarnation: self.member.incarnation(), sent: env.now };
        if !env.send(conn, End::Listener, frame, Some(origin)) {
            self.close(env, now, link);
        }
    }

    fn close(&mut self, env: &mut Env, now: Now, link: LinkId) {
        if let Some(conn) = self.links.remove(&link) {
            env.hang_up(conn, End::Listener);
            self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
        }
    }

    fn scan(&mut self, env: &mut Env) {
        let Some(slot) = self.member.slot else { return };
        if self.scan_at <= env.now && !self.is_scanning {
            self.is_scanning = true;
            self.scan_at = env.now + Duration::from_secs(1);
            let asked = Now(env.now.since(self.began));
            env.ask(self.process, Call::Hosted(slot, self.member.incarnation(), asked), 0);
            self.hear(env, HostEvent::LookForOrphans);
        }
    }

    /// Goes on with a drain as far as it can.
    fn go_on(&mut self, env: &mut Env, now: Now) {
        match self.phase {
            Phase::Draining { since } => {
                let is_empty = self.host.unfinished_games() == 0 && env.now.since(since) > ms(2500);
                if is_empty || env.now.since(since) > DRAIN_TIMEOUT {
                    self.host.handle(now, HostEvent::Stop, &mut self.fx);
                    self.phase = Phase::Flushing { until: env.now + FLUSH_TIMEOUT };
                }
            }
            Phase::Flushing { until } if until <= env.now || self.host.is_flushed() => {
                self.member.leave(env);
                self.phase = Phase::Over;
            }
            _ => {}
        }
    }

    fn link_of(&self, conn: ConnId) -> Option<LinkId> {
        self.links.iter().find(|(_, other)| **other == conn).map(|(link, _)| *link)
    }

    /// Its place in the registry.
    #[must_use]
    pub const fn slot(&self) -> Option<Slot> {
        self.member.slot
    }
}

/// What an answer of the store is to the host.
fn host_event(call: Call, reply: Result<Reply, StoreError>) -> Option<HostEvent> {
    let failed = |error: StoreError| match error {
        StoreError::Corrupt { .. } => StoreFailed::Damaged(error.to_string()),
        _ => StoreFailed::Away,
    };
    let reply = reply.map_err(failed);
    Some(match (call, reply) {
        (Call::Saved(id), Ok(Reply::Saved(saved))) => HostEvent::Loaded(id, Ok(saved)),
        (Call::Saved(id), Err(failed)) => HostEvent::Loaded(id, Err(failed)),
        (Call::End(id, owner, _), Ok(Reply::Ended(ours))) => HostEvent::EndAnswered(id, owner.epoch, Ok(ours)),
        (Call::End(id, owner, _), Err(failed)) => HostEvent::EndAnswered(id, owner.epoch, Err(failed)),
        (Call::Restore(order, owner, _), Ok(Reply::Restored(outcome))) => {
            HostEvent::Restored(order.id, owner, Ok(outcome))
        }
        (Call::Restore(order, owner, _), Err(failed)) => HostEvent::Restored(order.id, owner, Err(failed)),
        (Call::Claim(_), Ok(Reply::Claimed(claimed))) => HostEvent::Claimed(Ok(claimed)),
        (Call::Claim(_), Err(failed)) => HostEvent::Claimed(Err(failed)),
        (Call::HandOver(id, owner, ..), Ok(Reply::HandedOver(outcome))) => {
            HostEvent::HandedOver(id, owner.epoch, Ok(outcome))
        }
        (Call::HandOver(id, owner, ..), Err(failed)) => HostEvent::HandedOver(id, owner.epoch, Err(failed)),
        _ => return None,
    })
}

/// The process of a game server.
#[must_use]
pub const fn process(index: usize, life: u32) -> Process {
    Process { node: Node::Server(index), life }
}

//! Stories about journaled games: several hosts, the store between them, and clients that find their game wherever it is.

mod chaos;
mod clients;
mod games;
mod journal;
mod loads;
mod moves;
mod outages;
mod players;
mod store;
mod takeovers;

use std::collections::{BTreeMap, VecDeque};

use pintail_core::{EntryNumber, Step};
use pintail_store::WriteContent;
use pintail_wire::heartbeat::{Heartbeat, StoreSight};

use super::*;
use crate::runtime::JournalPolicy;
use games::{Diary, Pulse};
use store::Store;

/// How long a lease is held after each renewal.
const LEASE: Duration = Duration::from_millis(1500);

/// One game server: its host, and what it asked the store and was not answered.
struct Server {
    host: GameHost,
    incarnation: Incarnation,
    fx: Effects,
    calls: VecDeque<Command>,
    stats: super::super::Stats,
    /// Whether its lease is renewed.
    renews: bool,
    renew_at: Now,
    /// Whether it does nothing at all.
    is_frozen: bool,
}

/// What anyone can be shown once and never again otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Message(SessionId, Seq),
    State(Step),
}

/// Several hosts, the store between them, and clients.
struct Cluster {
    now: Now,
    store: Store,
    /// By number; None once it was lost.
    servers: Vec<Option<Server>>,
    clients: BTreeMap<SessionId, (Client, usize)>,
    /// Clients whose stream has opened: they send again what the game does not have.
    opened: Vec<SessionId>,
    /// Whether the store answers by itself. Else calls wait for [`answer`](Self::answer).
    store_answers: bool,
    /// Whether the store can be reached.
    store_is_away: bool,
    /// What anyone was shown: a reliable message of a player, or the state of a step.
    history: BTreeMap<Shown, (Step, Bytes)>,
    players: Vec<(SessionId, &'static str)>,
    policy: JournalPolicy,
}

impl Cluster {
    /// So many servers, the first of which was given a game of this type. Ann and Bob are attached to it.
    fn playing(game_type: &str, servers: usize) -> Self {
        let mut cluster = Self::new(servers);
        cluster.place(GAME, game_type);
        for session in [ANN, BOB] {
            cluster.join(session);
        }
        cluster.pass(ms(100));
        cluster
    }

    fn new(servers: usize) -> Self {
        Self::with_policy(servers, JournalPolicy::default())
    }

    fn with_policy(servers: usize, policy: JournalPolicy) -> Self {
        let mut cluster = Self {
            now: Now(ms(10_000)),
            store: Store::default(),
            servers: Vec::new(),
            clients: BTreeMap::new(),
            opened: Vec::new(),
            store_answers: true,
            store_is_away: false,
            history: BTreeMap::new(),
            players: vec![(ANN, "Ann"), (BOB, "Bob")],
            policy,
        };
        for _ in 0..servers {
            cluster.start();
        }
        cluster
    }

    /// One more server.
    fn start(&mut self) -> usize {
        let number = self.servers.len();
        let types = GameTypes::new().with::<Diary>().with::<Pulse>().with::<Probe>();
        let incarnation = Incarnation(100 + number as u128);
        let mut host = GameHost::new(Arc::new(types), incarnation, self.policy, number as u64);
        let mut fx = Effects::default();
        let slot = Slot::new(Kind::Game, number as u32);
        self.store.live.insert(incarnation, slot);
        host.handle(self.now, HostEvent::Joined(slot), &mut fx);
        let (calls, stats) = (VecDeque::new(), Default::default());
        let renew_at = self.now;
        self.servers.push(Some(Server {
            host,
            incarnation,
            fx,
            calls,
            stats,
            renews: true,
            renew_at,
            is_frozen: false,
        }));
        self.renew_leases();
        number
    }

    fn place(&mut self, id: GameId, game_type: &str) {
        let player =
            |(session, name): &(_, &str)| OrderedPlayer { session: *session, name: PlayerName::new(name).unwrap() };
        let order = GameOrder {
            id,
            game_type: game_type.parse().unwrap(),
            durability: if game_type == "probe" { Durability::Ephemeral } else { Durability::Journaled },
            settings: String::new(),
            players: self.players.iter().map(player).collect(),
            seed: 77,
            lobby: Slot::new(Kind::Lobby, 0),
            trace: None,
        };
        let owner = Owner { slot: SLOT, incarnation: Incarnation(100), epoch: Epoch(1) };
        self.store.place(order, owner);
        self.event(0, HostEvent::Placed(id));
    }

    fn server(&mut self, number: usize) -> &mut Server {
        self.servers[number].as_mut().expect("the server is there")
    }

    fn server_incarnation(&mut self, number: usize) -> Incarnation {
        self.server(number).incarnation
    }

    /// Which server this is, if it is there.
    fn number(&self, incarnation: Incarnation) -> Option<usize> {
        self.servers.iter().position(|server| server.as_ref().is_some_and(|server| server.incarnation == incarnation))
    }

    fn is_running(&self, number: usize) -> bool {
        self.servers[number].as_ref().is_some_and(|server| !server.is_frozen)
    }

    /// Something happens at a server, and everything that it leads to by itself.
    fn event(&mut self, number: usize, event: HostEvent) {
        self.hold(number, event);
        self.settle();
    }

    /// Something happens at a server, together with what comes next.
    fn hold(&mut self, number: usize, event: HostEvent) {
        let now = self.now;
        if let Some(server) = &mut self.servers[number] {
            server.host.handle(now, event, &mut server.fx);
        }
    }

    /// Everything that is due now is done.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut is_quiet = true;
            for number in 0..self.servers.len() {
                is_quiet &= !self.turn(number);
                while self.store_answers && self.is_running(number) && self.answer(number).is_some() {
                    is_quiet = false;
                }
            }
            for session in std::mem::take(&mut self.opened) {
                self.resend(session);
                is_quiet = false;
            }
            for (incarnation, id) in std::mem::take(&mut self.store.letters) {
                let to =
                    self.servers.iter().position(|other| other.as_ref().is_some_and(|s| s.incarnation == incarnation));
                if let Some(number) = to {
                    self.hold(number, HostEvent::Placed(id));
                    is_quiet = false;
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// One turn of a server. Whether anything came of it, or is still to come.
    fn turn(&mut self, number: usize) -> bool {
        let now = self.now;
        let Some(server) = self.servers[number].as_mut().filter(|server| !server.is_frozen) else { return false };
        server.host.advance(now, &ENDLESS, &mut server.fx);
        let stats = std::mem::take(&mut server.fx.stats);
        add(&mut server.stats, &stats);
        let commands = std::mem::take(&mut server.fx.commands);
        let busy = !commands.is_empty() || server.host.next_due().is_some_and(|due| due <= now);
        for command in commands {
            match command {
                Command::Deliver(link, delivery) => self.deliver(number, link, &delivery),
                Command::GamesHere(_) | Command::AnswerHeartbeat(..) => {}
                Command::CloseLink(link) => panic!("link {link:?} is closed"),
                call => self.server(number).calls.push_back(call),
            }
        }
        busy
    }

    /// Whoever is attached through this server gets it; the gateway keeps the rest back.
    fn deliver(&mut self, number: usize, link: LinkId, delivery: &super::super::Delivery) {
        let mut wire = BytesMut::new();
        delivery.encode(&mut wire);
        let frame = Decoder::new(1 << 20).decode(&mut wire).unwrap().unwrap();
        let deliver = Deliver::decode(frame.body).unwrap();
        for (session, head) in deliver.recipients() {
            let body = Bytes::from([head, &deliver.shared].concat());
            let Some((client, at)) = self.clients.get_mut(&session) else { continue };
            if *at != number || client.link != link {
                continue;
            }
            let opens = deliver.client_kind == kind::client::GAME_ATTACHED;
            if !client.is_open && !opens && deliver.client_kind != kind::client::GAME_DETACHED {
                continue;
            }
            client.receive(deliver.client_kind, body);
            if opens {
                self.opened.push(session);
            }
            for (seq, step, payload) in client.shown.drain(..) {
                let key = seq.map_or(Shown::State(step), |seq| Shown::Message(session, seq));
                let before = self.history.entry(key).or_insert_with(|| (step, payload.clone()));
                assert_eq!(*before, (step, payload), "{session} was shown something else as {key:?}");
            }
        }
    }

    /// The store answers the next call of a server. What it answered.
    fn answer(&mut self, number: usize) -> Option<HostEvent> {
        let (call, incarnation) = self.next_call(number)?;
        self.store.now = self.now;
        let answer =
            if self.store_is_away { failed(&call, StoreFailed::Away) } else { self.store.call(incarnation, &call) };
        self.hold(number, answer.clone());
        Some(answer)
    }

    fn next_call(&mut self, number: usize) -> Option<(Command, Incarnation)> {
        let server = self.servers[number].as_mut()?;
        server.calls.pop_front().map(|call| (call, server.incarnation))
    }

    /// Leases that are due are renewed.
    fn renew_leases(&mut self) {
        let now = self.now;
        for number in 0..self.servers.len() {
            let Some(server) = &mut self.servers[number] else { continue };
            let is_live = self.store.live.contains_key(&server.incarnation);
            if server.renews && is_live && !server.is_frozen && !self.store_is_away && server.renew_at <= now {
                server.renew_at = now + ms(500);
                server.host.handle(now, HostEvent::Lease(now + LEASE), &mut server.fx);
            }
        }
    }

    /// Time goes by, as servers see it that wake when they ask to be woken.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.renew_leases();
            self.settle();
            let servers = self.servers.iter().flatten().filter(|server| !server.is_frozen);
            let renewal = |server: &Server| (server.renews && !self.store_is_away).then_some(server.renew_at);
            let dues = servers.flat_map(|server| [server.host.next_due(), renewal(server)]);
            let next = dues.flatten().filter(|due| *due > self.now).min();
            match next.filter(|due| *due <= until) {
                Some(due) => self.now = due,
                None => break,
            }
        }
        self.now = until;
        self.renew_leases();
        self.settle();
    }

    /// A server's process is gone, and the store knows it.
    fn crash(&mut self, number: usize) {
        let server = self.servers[number].take().expect("the server was there");
        self.store.bury(server.incarnation);
    }

    /// A server is taken for gone and does nothing meanwhile.
    fn freeze(&mut self, number: usize) {
        let server = self.server(number);
        server.is_frozen = true;
        let incarnation = server.incarnation;
        self.store.bury(incarnation);
    }

    /// A server that was taken for gone goes on, and is registered again.
    fn thaw(&mut self, number: usize) {
        let server = self.server(number);
        server.is_frozen = false;
        let incarnation = server.incarnation;
        self.store.live.insert(incarnation, Slot::new(Kind::Game, number as u32));
    }

    /// A server looks for games that wait for an owner.
    fn take_over(&mut self, number: usize) {
        self.event(number, HostEvent::LookForOrphans);
    }

    fn scan(&mut self, number: usize) {
        let incarnation = self.server_incarnation(number);
        let games = self.store.hosted(incarnation);
        let asked = self.now;
        self.event(number, HostEvent::Hosted { games, asked });
    }

    /// A gateway says how the store looks to it.
    fn see_store(&mut self, number: usize, store: StoreSight) {
        let body = Bytes::copy_from_slice(&Heartbeat { clock: 0, store }.to_bytes());
        self.event(number, HostEvent::Frame(LINK, Frame { kind: kind::link::HEARTBEAT, body }));
    }

    fn stats(&mut self, number: usize) -> super::super::Stats {
        self.server(number).stats
    }

    fn lag(&mut self) -> Option<Duration> {
        let now = self.now;
        self.server(0).host.commit_lag(now)
    }

    fn next_due(&mut self, number: usize) -> Option<Now> {
        self.server(number).host.next_due()
    }

    /// The writes that a server asked for and that were not answered.
    fn writes(&mut self, number: usize) -> Vec<String> {
        let written = |call: &Command| match call {
            Command::Write(write) => match &write.content {
                WriteContent::Entries { first, .. } => format!("entries {first}-{}", write.last()),
                WriteContent::Snapshot(snapshot) => format!("snapshot {}", snapshot.number),
            },
            other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
        };
        self.server(number).calls.iter().map(written).collect()
    }

    fn journal_end(&self) -> EntryNumber {
        self.store.games[&GAME].saved.journal.last()
    }
}

/// The answer to a call that was not made, or whose answer was lost.
fn failed(call: &Command, failure: StoreFailed) -> HostEvent {
    match call {
        Command::Load(id) => HostEvent::Loaded(*id, Err(failure)),
        Command::End { id, owner, .. } => HostEvent::EndAnswered(*id, owner.epoch, Err(failure)),
        Command::Write(write) => HostEvent::Written(write.game, write.owner.epoch, write.last(), Err(failure)),
        Command::Restore { order, owner, .. } => HostEvent::Restored(order.id, *owner, Err(failure)),
        Command::Claim { .. } => HostEvent::Claimed(Err(failure)),
        Command::HandOver { id, owner, .. } => HostEvent::HandedOver(*id, owner.epoch, Err(failure)),
        other => panic!("{other:?} is no call"),
    }
}

fn add(sum: &mut super::super::Stats, stats: &super::super::Stats) {
    sum.steps += stats.steps;
    sum.panics += stats.panics;
    sum.journal_entries += stats.journal_entries;
    sum.journal_writes += stats.journal_writes;
    sum.snapshots += stats.snapshots;
    sum.takeovers += stats.takeovers;
    sum.replayed_steps += stats.replayed_steps;
    sum.failed_replays += stats.failed_replays;
    sum.moved_games += stats.moved_games;
    sum.fenced_games += stats.fenced_games;
    sum.went_unprotected += stats.went_unprotected;
}

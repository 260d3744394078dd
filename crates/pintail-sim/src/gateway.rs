//! A model of a gateway. The real one is tasks around sockets; this one has its rules and nothing of its code.
//!
//! * It links to every live game server that the registry shows, and knows each by its incarnation.
//! * It looks up who owns a game for each attach; one whose owner is not linked waits, until a server says that the game
//!   is there, a link opens, or the next look at the store finds its owner linked.
//! * What a server delivers reaches a session only over the link that the session is attached to.
//! * A server that the registry shows as gone loses its link, and the sessions on it are told to attach again.
//! * It says in its heartbeats whether it holds its own lease, and accuses servers that are silent.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pintail_core::Verdict;
use pintail_core::limits::{DOWN_AFTER, LINK_HEARTBEAT, LINK_SILENCE_MAX, SCAN_PERIOD, SUSPECT_AFTER};
use pintail_core::{
    Charge, GameId, Generation, Incarnation, Kind, PlayerName, ResumeToken, RoomId, Round, SessionId, Slot,
};
use pintail_game::runtime::Now;
use pintail_store::{
    GameRecord, HeldSession, Letter, Login, LoginMode, LoginOutcome, Notice, ScanEntry, ServerRecord, StoreError,
};
use pintail_wire::client::{
    Error, ErrorCode, GameAttach, GameDetachReason, GameDetached, Goodbye, GoodbyeReason, LobbyReply, RoomReply,
    Welcome, lobby_reply,
};
use pintail_wire::deliver::Deliver;
use pintail_wire::heartbeat::{Heartbeat, StoreSight};
use pintail_wire::link::{Attach, Detach};
use pintail_wire::{Frame, Message, client, games_here, kind};

use crate::env::{Alarm, Env, Event, ms};
use crate::invariants::bounds;
use crate::member::{Member, News};
use crate::network::{ConnId, End, Node, Packet, Process};
use crate::store::{Answered, Call, Reply};

/// How often a waiting attach looks at the store.
const LOOK_AGAIN: Duration = ms(250);

/// How long an attach waits.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the store is told which sessions are here.
const HOLD_PERIOD: Duration = Duration::from_secs(2);

/// For how long a game that the store does not know is still looked for at the server that had it.
const LOST_GAME_KEPT: Duration = Duration::from_secs(15);

/// A link to a game server.
#[derive(Debug)]
struct Link {
    conn: ConnId,
    slot: Slot,
    incarnation: Incarnation,
    is_open: bool,
    heard: Now,
    accused: Now,
}

/// A client's connection.
#[derive(Debug)]
struct Session {
    login: Option<LoggedIn>,
    attached: Option<(GameId, ConnId)>,
    waiting: Option<Waiting>,
    /// What it played over a link that broke.
    lost: Option<(GameId, Incarnation, Now)>,
}

#[derive(Debug, Clone)]
struct LoggedIn {
    id: SessionId,
    generation: Generation,
    name: PlayerName,
    token: ResumeToken,
}

/// An attach whose game's server is not known yet.
#[derive(Debug, Clone)]
struct Waiting {
    wanted: GameAttach,
    since: Now,
    /// When the store is asked next; None while it is being asked.
    look_at: Option<Now>,
}

/// One start of a gateway.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    /// Its place in the registry.
    pub member: Member,
    links: BTreeMap<usize, Link>,
    sessions: BTreeMap<ConnId, Session>,
    ticked: Now,
    scan_at: Now,
    hold_at: Now,
}

impl Gateway {
    /// Starts a gateway.
    pub fn start(env: &mut Env, process: Process) -> Self {
        let mut member = Member::new(env, process, 5555, Vec::new());
        member.start(env);
        env.after(LINK_HEARTBEAT, Event::Wake(process, Alarm::Turn));
        Self {
            process,
            member,
            links: BTreeMap::new(),
            sessions: BTreeMap::new(),
            ticked: env.now,
            scan_at: env.now,
            hold_at: env.now,
        }
    }

    /// It is time for something.
    pub fn wake(&mut self, env: &mut Env, alarm: Alarm) {
        match alarm {
            Alarm::Renew => self.member.renew(env),
            Alarm::Look => self.member.look(env),
            Alarm::Turn => self.tick(env),
            _ => {}
        }
    }

    /// News of the store.
    pub fn notice(&mut self, env: &mut Env, notice: Notice) {
        match notice {
            Notice::Rescan | Notice::ServerOn(_) | Notice::ServerOff(_) => self.scan(env),
            Notice::Letter(Letter::SessionMoved(session, generation)) => self.moved(env, session, generation),
            Notice::Letter(_) => {}
        }
    }

    /// A packet arrived.
    pub fn arrive(&mut self, env: &mut Env, conn: ConnId, packet: Packet) {
        if let Some(&server) = self.links.iter().find(|(_, link)| link.conn == conn).map(|(server, _)| server) {
            return self.link_packet(env, server, packet);
        }
        match packet {
            Packet::Dial => {
                let session = Session { login: None, attached: None, waiting: None, lost: None };
                self.sessions.insert(conn, session);
                env.accept(conn, self.process, self.member.incarnation());
            }
            Packet::Frame(frame, _) => self.client_frame(env, conn, frame),
            Packet::Reset => {
                self.end_session(env, conn);
                env.hang_up(conn, End::Listener);
            }
            // A link that was given up.
            Packet::Accept(_) | Packet::Refuse => env.hang_up(conn, End::Dialler),
        }
    }

    /// The store answers.
    pub fn answer(&mut self, env: &mut Env, answered: Answered) {
        if let Some(news) = self.member.answered(env, &answered) {
            if matches!(news, News::Joined(_)) {
                self.scan(env);
                self.hold(env);
            }
            return;
        }
        let Answered { call, tag, reply, .. } = answered;
        match (call, reply) {
            (Call::Scan(_), Ok(Reply::Scanned(entries))) => self.scanned(env, entries),
            (Call::Login(login), reply) => self.login_answered(env, ConnId(tag), &login, &reply),
            (Call::Game(id), reply) => self.looked_up(env, ConnId(tag), id, reply),
            (Call::Accuse { slot, incarnation, .. }, Ok(Reply::Verdict(Verdict::Down))) => {
                self.declare_down(env, slot, incarnation);
            }
            (Call::Hold(..), Ok(Reply::Held(stale))) => {
                for session in stale {
                    self.moved(env, session, Generation(u64::MAX));
                }
            }
            _ => {}
        }
    }

    // ---- servers ----

    fn tick(&mut self, env: &mut Env) {
        let late = env.now.since(self.ticked) > LINK_HEARTBEAT + ms(100);
        self.ticked = env.now;
        if late {
            // Whoever was held up accuses nobody.
            self.links.values_mut().for_each(|link| link.heard = env.now);
        }
        let store = if self.member.is_held(env.now) { StoreSight::Reached } else { StoreSight::Away };
        let beat = Heartbeat { clock: env.now.0.as_nanos() as u64, store };
        let frame = Frame { kind: kind::link::HEARTBEAT, body: Bytes::copy_from_slice(&beat.to_bytes()) };
        for link in self.links.values().filter(|link| link.is_open) {
            env.send(link.conn, End::Dialler, frame.clone(), None);
        }
        self.judge(env);
        self.look_for_games(env);
        if self.scan_at <= env.now {
            self.scan(env);
        }
        if self.hold_at <= env.now {
            self.hold(env);
        }
        env.after(LINK_HEARTBEAT, Event::Wake(self.process, Alarm::Turn));
    }

    fn judge(&mut self, env: &mut Env) {
        let silent = |link: &Link| env.now.since(link.heard);
        let dead = self.links.values().filter(|link| silent(link) > SUSPECT_AFTER).count();
        let is_cut_off = dead * 2 > self.links.len() && self.links.len() > 1;
        let servers: Vec<usize> = self.links.keys().copied().collect();
        for server in servers {
            let Some(link) = self.links.get_mut(&server) else { continue };
            let silence = env.now.since(link.heard);
            let (slot, incarnation) = (link.slot, link.incarnation);
            if link.is_open && silence > SUSPECT_AFTER && !is_cut_off && env.now.since(link.accused) >= ms(500) {
                link.accused = env.now;
                let charge = if silence > DOWN_AFTER { Charge::Dead } else { Charge::Silent };
                self.accuse(env, slot, incarnation, charge);
            }
            if silence > LINK_SILENCE_MAX {
                self.drop_link(env, server);
            }
        }
    }

    fn accuse(&self, env: &mut Env, slot: Slot, incarnation: Incarnation, charge: Charge) {
        if let Some(observer) = self.member.slot {
            env.ask(self.process, Call::Accuse { slot, incarnation, observer, charge }, 0);
        }
    }

    fn declare_down(&mut self, env: &mut Env, slot: Slot, incarnation: Incarnation) {
        let is_it = |link: &&Link| link.slot == slot && link.incarnation == incarnation;
        if let Some(server) = self.links.iter().find(|(_, link)| is_it(link)).map(|(server, _)| *server) {
            self.drop_link(env, server);
        }
        self.scan(env);
    }

    fn scan(&mut self, env: &mut Env) {
        self.scan_at = env.now + SCAN_PERIOD;
        env.ask(self.process, Call::Scan(Kind::Game), 0);
    }

    fn scanned(&mut self, env: &mut Env, entries: Vec<ScanEntry>) {
        for record in entries.into_iter().flatten() {
            let server = usize::from(record.endpoint.address.octets()[3]).saturating_sub(1);
            let is_there = record.unused_ms.is_none() && record.lease;
            let known = self.links.get(&server).map(|link| link.incarnation);
            if known.is_some() && (record.unused_ms.is_some() || known != record.incarnation) {
                self.drop_link(env, server);
            }
            if is_there && !self.links.contains_key(&server) {
                self.dial(env, server, &record);
            }
        }
    }

    fn dial(&mut self, env: &mut Env, server: usize, record: &ServerRecord) {
        let Some(incarnation) = record.incarnation else { return };
        let conn = env.dial(self.process, Node::Server(server));
        let (slot, heard) = (record.slot, env.now);
        self.links.insert(server, Link { conn, slot, incarnation, is_open: false, heard, accused: Now::default() });
    }

    fn link_packet(&mut self, env: &mut Env, server: usize, packet: Packet) {
        let Some(link) = self.links.get_mut(&server) else { return };
        link.heard = env.now;
        match packet {
            Packet::Accept(incarnation) if incarnation == link.incarnation => {
                link.is_open = true;
                for session in self.sessions.values_mut() {
                    if let Some(waiting) = &mut session.waiting {
                        waiting.look_at = waiting.look_at.map(|_| env.now);
                    }
                }
                self.look_for_games(env);
            }
            Packet::Accept(_) | Packet::Reset | Packet::Dial => self.drop_link(env, server),
            Packet::Refuse => {
                let (slot, incarnation) = (link.slot, link.incarnation);
                self.drop_link(env, server);
                self.accuse(env, slot, incarnation, Charge::Refused);
            }
            Packet::Frame(frame, origin) => match frame.kind {
                kind::link::DELIVER => self.deliver(env, server, frame.body, origin),
                kind::link::GAMES_HERE => {
                    for game in games_here::decode(frame.body).unwrap_or_default() {
                        self.game_is_here(env, server, game);
                    }
                }
                _ => {}
            },
        }
    }

    /// The sessions on it are told to attach again. The next scan dials again if the server is still there.
    fn drop_link(&mut self, env: &mut Env, server: usize) {
        let Some(link) = self.links.remove(&server) else { return };
        env.hang_up(link.conn, End::Dialler);
        let mut detached = Vec::new();
        for (conn, session) in &mut self.sessions {
            if let Some((game, _)) = session.attached.take_if(|(_, on)| *on == link.conn) {
                session.lost = Some((game, link.incarnation, env.now));
                detached.push((*conn, game));
            }
        }
        for (conn, game) in detached {
            refuse(env, conn, game, GameDetachReason::ServerUnreachable, true);
        }
        self.scan_at = self.scan_at.min(env.now + ms(100));
    }

    fn deliver(&mut self, env: &mut Env, server: usize, body: Bytes, origin: Option<crate::network::Origin>) {
        let (Some(link), Ok(deliver)) = (self.links.get(&server), Deliver::decode(body)) else { return };
        for (to, head) in deliver.recipients() {
            let here = self.sessions.iter().find(|(_, session)| {
                session.login.as_ref().is_some_and(|login| login.id == to)
                    && session.attached.is_some_and(|(_, on)| on == link.conn)
            });
            let Some((conn, _)) = here else { continue };
            let mut body = BytesMut::from(head);
            body.extend_from_slice(&deliver.shared);
            env.send(*conn, End::Listener, Frame { kind: deliver.client_kind, body: body.freeze() }, origin);
        }
    }

    // ---- clients ----

    fn client_frame(&mut self, env: &mut Env, conn: ConnId, frame: Frame) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        match frame.kind {
            kind::client::LOGIN => self.login(env, conn, frame.body),
            kind::client::PING => {
                env.send(conn, End::Listener, Frame { kind: kind::client::PONG, body: frame.body }, None);
            }
            kind::client::LOBBY_REQUEST => answer_lobby(env, conn, &frame.body),
            kind::client::GAME_ATTACH => {
                let Ok(wanted) = GameAttach::decode(frame.body) else { return };
                session.waiting = Some(Waiting { wanted, since: env.now, look_at: Some(env.now) });
                self.attach_where_lost(env, conn);
                self.look_for_games(env);
            }
            kind::client::GAME_INPUT => self.carry(env, conn, kind::link::INPUT, &frame.body),
            kind::client::GAME_ACK => self.carry(env, conn, kind::link::ACK, &frame.body),
            _ => {}
        }
    }

    fn carry(&mut self, env: &mut Env, conn: ConnId, link_kind: u8, body: &[u8]) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let (Some((_, link)), Some(login)) = (session.attached, &session.login) else { return };
        let mut carried = BytesMut::with_capacity(8 + body.len());
        carried.put_u64(login.id.0);
        carried.put_slice(body);
        env.send(link, End::Dialler, Frame { kind: link_kind, body: carried.freeze() }, None);
    }

    fn login(&mut self, env: &mut Env, conn: ConnId, body: Bytes) {
        let (Ok(login), Some(slot)) = (client::Login::decode(body), self.member.slot) else {
            return self.refuse_login(env, conn);
        };
        let (Ok(token), Ok(name)) = (login.resume_token.parse::<ResumeToken>(), PlayerName::new(&login.name)) else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.login = Some(LoggedIn { id: token.session(), generation: Generation(0), name, token });
        }
        self.ask_login(env, conn, slot, false);
    }

    /// The session is there before its client is: a lobby would have made it, which this simulation has not.
    fn ask_login(&self, env: &mut Env, conn: ConnId, gateway: Slot, is_new: bool) {
        let Some(login) = self.sessions.get(&conn).and_then(|session| session.login.clone()) else { return };
        let mode = if is_new { LoginMode::New(login.name) } else { LoginMode::Resume(Some(login.name)) };
        let (session, token, incarnation) = (login.id, login.token.hash(), self.member.incarnation());
        env.ask(self.process, Call::Login(Login { session, token, mode, gateway, incarnation }), conn.0);
    }

    fn refuse_login(&mut self, env: &mut Env, conn: ConnId) {
        let error = Error { code: ErrorCode::Unavailable.into(), message: "simulated".to_owned(), retry: true };
        push(env, conn, kind::client::ERROR, &error);
        self.close(env, conn);
    }

    fn login_answered(&mut self, env: &mut Env, conn: ConnId, asked: &Login, reply: &Result<Reply, StoreError>) {
        let Some(gateway) = self.member.slot else { return self.refuse_login(env, conn) };
        let generation = match reply {
            Ok(Reply::Login(LoginOutcome::Accepted { generation, .. })) => *generation,
            Ok(Reply::Login(LoginOutcome::Unknown)) => return self.ask_login(env, conn, gateway, true),
            _ => return self.refuse_login(env, conn),
        };
        let other = |(other, session): (&ConnId, &Session)| {
            let login = session.login.as_ref().filter(|login| login.id == asked.session && *other != conn)?;
            (login.generation > Generation(0)).then_some((*other, login.generation))
        };
        let others: Vec<_> = self.sessions.iter().filter_map(other).collect();
        if others.iter().any(|(_, newer)| *newer > generation) {
            return self.replace(env, conn);
        }
        for (older, _) in others {
            self.replace(env, older);
        }
        let Some(login) = self.sessions.get_mut(&conn).and_then(|session| session.login.as_mut()) else { return };
        login.generation = generation;
        let welcome = Welcome {
            session: login.id.0,
            resume_token: login.token.to_string(),
            name: login.name.to_string(),
            resumed: matches!(asked.mode, LoginMode::Resume(_)),
            generation: generation.0,
            ping_interval_ms: 10_000,
            gateway: gateway.to_string(),
        };
        push(env, conn, kind::client::WELCOME, &welcome);
    }

    fn moved(&mut self, env: &mut Env, id: SessionId, generation: Generation) {
        let is_older = |session: &Session| {
            let login = session.login.as_ref();
            login.is_some_and(|login| {
                login.id == id && Generation(0) < login.generation && login.generation < generation
            })
        };
        let older: Vec<_> =
            self.sessions.iter().filter(|(_, session)| is_older(session)).map(|(conn, _)| *conn).collect();
        for conn in older {
            self.replace(env, conn);
        }
    }

    fn replace(&mut self, env: &mut Env, conn: ConnId) {
        let goodbye = Goodbye { reason: GoodbyeReason::Replaced.into(), message: String::new(), reconnect: false };
        push(env, conn, kind::client::GOODBYE, &goodbye);
        self.close(env, conn);
    }

    fn close(&mut self, env: &mut Env, conn: ConnId) {
        self.end_session(env, conn);
        env.hang_up(conn, End::Listener);
    }

    fn end_session(&mut self, env: &mut Env, conn: ConnId) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        if let (Some(attached), Some(login)) = (session.attached, session.login) {
            send_detach(env, &login, attached);
        }
    }

    fn hold(&mut self, env: &mut Env) {
        self.hold_at = env.now + HOLD_PERIOD;
        let Some(slot) = self.member.slot else { return };
        let held = |session: &Session| {
            let LoggedIn { id, generation, name, token } = session.login.clone()?;
            (generation > Generation(0)).then(|| HeldSession { session: id, generation, name, token: token.hash() })
        };
        let held: Vec<_> = self.sessions.values().filter_map(held).collect();
        if !held.is_empty() {
            env.ask(self.process, Call::Hold(slot, self.member.incarnation(), held), 0);
        }
    }

    // ---- attaching ----

    fn look_for_games(&mut self, env: &mut Env) {
        let (mut looks, mut given_up) = (Vec::new(), Vec::new());
        for (conn, session) in &mut self.sessions {
            let Some(waiting) = &mut session.waiting else { continue };
            if env.now.since(waiting.since) > WAIT_MAX {
                given_up.push((*conn, wanted_game(&waiting.wanted)));
                session.waiting = None;
            } else if waiting.look_at.is_some_and(|at| at <= env.now) {
                waiting.look_at = None;
                looks.push((*conn, wanted_game(&waiting.wanted)));
            }
        }
        for (conn, game) in given_up {
            refuse(env, conn, game, GameDetachReason::ServerUnreachable, true);
        }
        env.check(None, bounds::NAME, bounds::waiting(looks.len(), self.sessions.len()));
        for (conn, game) in looks {
            env.ask(self.process, Call::Game(game), conn.0);
        }
    }

    fn looked_up(&mut self, env: &mut Env, conn: ConnId, game: GameId, reply: Result<Reply, StoreError>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Some(waiting) = session.waiting.as_mut().filter(|waiting| wanted_game(&waiting.wanted) == game) else {
            return;
        };
        if waiting.look_at.is_some() {
            // The answer to an earlier attach of the same game: the newer look brings its own.
            return;
        }
        waiting.look_at = Some(env.now + LOOK_AGAIN);
        let record = match reply {
            Ok(Reply::Game(record)) => record,
            _ => return,
        };
        let Some(GameRecord { owner, outcome, .. }) = record else { return self.forgotten(env, conn, game) };
        let linked = self.links.iter().find(|(_, link)| link.incarnation == owner.incarnation && link.is_open);
        match (linked.map(|(server, _)| *server), outcome) {
            (Some(server), _) => self.attach(env, conn, server),
            (None, Some(_)) => {
                session.waiting = None;
                refuse(env, conn, game, GameDetachReason::NoSuchGame, false);
            }
            (None, None) => {}
        }
    }

    /// A game that the store does not know, which may have lost it.
    fn forgotten(&mut self, env: &mut Env, conn: ConnId, game: GameId) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let lost = session.lost.filter(|(lost, _, at)| *lost == game && env.now.since(*at) < LOST_GAME_KEPT);
        let Some((_, incarnation, _)) = lost else {
            session.waiting = None;
            return refuse(env, conn, game, GameDetachReason::NoSuchGame, false);
        };
        let linked = self.links.iter().find(|(_, link)| link.incarnation == incarnation && link.is_open);
        if let Some(server) = linked.map(|(server, _)| *server) {
            self.attach(env, conn, server);
        }
    }

    /// Whoever lost the link to a game's server goes back to it, if it is linked again, without a question.
    fn attach_where_lost(&mut self, env: &mut Env, conn: ConnId) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let wanted = session.waiting.as_ref().map(|waiting| wanted_game(&waiting.wanted));
        let lost = session.lost.filter(|(game, _, at)| Some(*game) == wanted && env.now.since(*at) < LOST_GAME_KEPT);
        let Some((_, incarnation, _)) = lost else { return };
        let linked = self.links.iter().find(|(_, link)| link.incarnation == incarnation && link.is_open);
        if let Some(server) = linked.map(|(server, _)| *server) {
            self.attach(env, conn, server);
        }
    }

    /// Whoever plays it over another link is told to attach again, and whoever waits for it goes there.
    fn game_is_here(&mut self, env: &mut Env, server: usize, game: GameId) {
        let Some((here, incarnation)) = self.links.get(&server).map(|link| (link.conn, link.incarnation)) else {
            return;
        };
        let mut moved = Vec::new();
        for (conn, session) in &mut self.sessions {
            let left = session.attached.take_if(|(played, on)| *played == game && *on != here);
            if let (Some(left), Some(login)) = (left, session.login.clone()) {
                session.lost = Some((game, incarnation, env.now));
                moved.push((*conn, login, left));
            }
        }
        for (conn, login, left) in moved {
            send_detach(env, &login, left);
            refuse(env, conn, game, GameDetachReason::ServerUnreachable, true);
        }
        let waits = |session: &Session| session.waiting.as_ref().is_some_and(|it| wanted_game(&it.wanted) == game);
        let waiting: Vec<_> =
            self.sessions.iter().filter(|(_, session)| waits(session)).map(|(conn, _)| *conn).collect();
        for conn in waiting {
            self.attach(env, conn, server);
        }
    }

    fn attach(&mut self, env: &mut Env, conn: ConnId, server: usize) {
        let (Some(link), Some(session)) = (self.links.get(&server), self.sessions.get_mut(&conn)) else { return };
        let (Some(login), Some(Waiting { wanted, .. })) = (session.login.clone(), session.waiting.take()) else {
            return;
        };
        let game = wanted_game(&wanted);
        let attach = Attach {
            session: login.id.0,
            generation: login.generation.0,
            room: wanted.room,
            round: wanted.round,
            received: wanted.received,
            step_seen: wanted.step_seen,
            acknowledged: wanted.acknowledged,
        };
        let before = session.attached.replace((game, link.conn));
        session.lost = None;
        push_link(env, link.conn, kind::link::ATTACH, &attach);
        if let Some(before) = before.filter(|(former, _)| *former != game) {
            send_detach(env, &login, before);
        }
    }
}

fn wanted_game(wanted: &GameAttach) -> GameId {
    GameId { room: RoomId(wanted.room), round: Round(wanted.round) }
}

fn send_detach(env: &mut Env, login: &LoggedIn, (game, link): (GameId, ConnId)) {
    let (session, generation) = (login.id.0, login.generation.0);
    let detach = Detach { session, generation, room: game.room.0, round: game.round.0 };
    push_link(env, link, kind::link::DETACH, &detach);
}

fn refuse(env: &mut Env, conn: ConnId, game: GameId, reason: GameDetachReason, retry: bool) {
    let (room, round) = (game.room.0, game.round.0);
    let detached = GameDetached { room, round, reason: reason.into(), message: "simulated".to_owned(), retry };
    push(env, conn, kind::client::GAME_DETACHED, &detached);
}

/// There is no lobby: nobody is in any room.
fn answer_lobby(env: &mut Env, conn: ConnId, mut body: &[u8]) {
    let Ok(id) = body.try_get_u64() else { return };
    let mut answer = BytesMut::new();
    answer.put_u64(id);
    let reply = LobbyReply { reply: Some(lobby_reply::Reply::Room(RoomReply { room: None })) };
    answer.extend_from_slice(&reply.encode_to_vec());
    env.send(conn, End::Listener, Frame { kind: kind::client::LOBBY_REPLY, body: answer.freeze() }, None);
}

fn push(env: &mut Env, conn: ConnId, kind: u8, message: &impl Message) {
    env.send(conn, End::Listener, Frame { kind, body: message.encode_to_vec().into() }, None);
}

fn push_link(env: &mut Env, conn: ConnId, kind: u8, message: &impl Message) {
    env.send(conn, End::Dialler, Frame { kind, body: message.encode_to_vec().into() }, None);
}

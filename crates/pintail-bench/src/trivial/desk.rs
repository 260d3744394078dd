//! What the trivial server answers, without IO.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Waker;

use bytes::BytesMut;
use pintail_core::limits::CLIENT_IDLE_TIMEOUT;
use pintail_core::{GameId, Seq, Step};
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{
    CreateRoom, Error, ErrorCode, GameAttach, GameAttached, Goodbye, GoodbyeReason, LobbyEvent, LobbyReply,
    LobbyRequest, Member, Room, RoomReply, RoomState, Welcome, join_room, lobby_event, lobby_reply,
};
use pintail_wire::game::{INPUT_HEADER_BYTES, Reliable};
use pintail_wire::kind::client as kind;
use pintail_wire::{Message, encode_frame_parts};

/// What may wait for a player who does not read. Whoever has more is cut off.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// How the settings of a room say that its inputs go to everyone else.
const RELAY: &str = "relay";

/// A connected player.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) session: u64,
    /// Frames that are not yet written.
    pub(super) out: RefCell<BytesMut>,
    /// The task that writes them.
    pub(super) waker: RefCell<Option<Waker>>,
    /// Whether the connection closes once everything is written.
    pub(super) closing: Cell<bool>,
    /// The last reliable message to the player.
    sent: Cell<u64>,
    /// The last input of the player.
    received: Cell<u64>,
    room: RefCell<Option<Rc<Table>>>,
}

/// A room and its game.
#[derive(Debug)]
struct Table {
    /// As clients are told, but for the members.
    room: RefCell<Room>,
    relays: bool,
    members: RefCell<Vec<Rc<Peer>>>,
}

/// All rooms.
#[derive(Debug, Default)]
pub(super) struct Desk {
    rooms: RefCell<HashMap<u64, Rc<Table>>>,
    sessions: Cell<u64>,
    rooms_made: Cell<u64>,
}

/// A frame that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl Peer {
    /// Queues a frame, and wakes whoever writes it. Nothing is queued any more for a connection that closes.
    fn push(&self, kind: u8, parts: &[&[u8]]) {
        if self.closing.get() {
            return;
        }
        let mut out = self.out.borrow_mut();
        let was_empty = out.is_empty();
        encode_frame_parts(&mut out, kind, parts);
        let is_too_much = out.len() > WAITING_BYTES_MAX;
        if is_too_much {
            // What the player did not read until now, nobody waits for.
            *out = BytesMut::new();
            self.closing.set(true);
        }
        drop(out);
        // A connection whose socket takes no more is woken by that, but not to be closed.
        if (was_empty || is_too_much)
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Queues a game's message.
    fn tell(&self, game: &[u8], step: Step, payload: &[u8]) {
        self.sent.set(self.sent.get() + 1);
        let head = Reliable::head(Seq(self.sent.get()), Seq(self.received.get()));
        self.push(kind::GAME_MESSAGE, &[&head, game, &step.0.to_be_bytes(), payload]);
    }
}

impl Desk {
    /// A new player.
    pub(super) fn arrive(&self) -> Rc<Peer> {
        self.sessions.set(self.sessions.get() + 1);
        Rc::new(Peer {
            session: self.sessions.get(),
            out: RefCell::default(),
            waker: RefCell::default(),
            closing: Cell::new(false),
            sent: Cell::new(0),
            received: Cell::new(0),
            room: RefCell::default(),
        })
    }

    /// A player is gone.
    pub(super) fn depart(&self, peer: &Rc<Peer>) {
        let Some(table) = peer.room.take() else { return };
        let is_empty = {
            let mut members = table.members.borrow_mut();
            members.retain(|member| !Rc::ptr_eq(member, peer));
            members.is_empty()
        };
        if is_empty {
            self.rooms.borrow_mut().remove(&table.room.borrow().id);
        }
    }

    /// A frame of a player.
    pub(super) fn take(&self, peer: &Rc<Peer>, kind: u8, body: &[u8]) -> Result<(), Refused> {
        match kind {
            kind::GAME_INPUT => return self.input(peer, body),
            kind::GAME_ACK => {}
            kind::LOGIN => peer.push(kind::WELCOME, &[&welcome(peer).encode_to_vec()]),
            kind::PING => peer.push(kind::PONG, &[body]),
            kind::LOBBY_REQUEST => {
                let (id, request) = body.split_first_chunk::<8>().ok_or(Refused)?;
                let reply = self.request(peer, LobbyRequest::decode(request).map_err(|_| Refused)?);
                let reply = LobbyReply { reply: Some(reply.unwrap_or_else(refusal)) };
                peer.push(kind::LOBBY_REPLY, &[id, &reply.encode_to_vec()]);
            }
            kind::GAME_ATTACH => attach(peer, &GameAttach::decode(body).map_err(|_| Refused)?),
            kind::LOGOUT => {
                let reason = GoodbyeReason::LoggedOut.into();
                let goodbye = Goodbye { reason, message: "good bye".to_owned(), reconnect: false };
                peer.push(kind::GOODBYE, &[&goodbye.encode_to_vec()]);
                peer.closing.set(true);
            }
            _ => return Err(Refused),
        }
        Ok(())
    }

    /// What the whole server is for.
    fn input(&self, peer: &Rc<Peer>, body: &[u8]) -> Result<(), Refused> {
        let (header, payload) = body.split_at_checked(INPUT_HEADER_BYTES).ok_or(Refused)?;
        let (game, numbers) = header.split_at(GameId::WIRE_LEN);
        let seq = numbers.first_chunk().copied().map(u64::from_be_bytes).ok_or(Refused)?;
        if seq <= peer.received.get() {
            return Ok(());
        }
        peer.received.set(seq);
        let room = peer.room.borrow();
        let Some(table) = &*room else { return Err(Refused) };
        if table.relays {
            for member in table.members.borrow().iter().filter(|member| !Rc::ptr_eq(member, peer)) {
                member.tell(game, Step(1), payload);
            }
        } else {
            peer.tell(game, Step(1), payload);
        }
        Ok(())
    }

    fn request(&self, peer: &Rc<Peer>, request: LobbyRequest) -> Option<lobby_reply::Reply> {
        let table = match request.request? {
            Request::CreateRoom(create) => Some(self.create(peer, create)),
            Request::JoinRoom(join) => {
                let id = match join.by? {
                    join_room::By::Room(id) => id,
                    join_room::By::Invite(code) => code.parse().ok()?,
                };
                let table = self.rooms.borrow().get(&id)?.clone();
                sit(peer, &table);
                Some(table)
            }
            Request::SetReady(_) | Request::GetRoom(_) => Some(peer.room.borrow().clone()?),
            Request::StartGame(_) => {
                let table = peer.room.borrow().clone()?;
                let mut room = table.room.borrow_mut();
                (room.round, room.state) = (room.round + 1, RoomState::Playing.into());
                drop(room);
                Some(table)
            }
            Request::LeaveRoom(_) => {
                self.depart(peer);
                None
            }
            _ => return None,
        };
        let room = table.map(|table| announce(peer, &table));
        Some(lobby_reply::Reply::Room(RoomReply { room }))
    }

    fn create(&self, peer: &Rc<Peer>, create: CreateRoom) -> Rc<Table> {
        let id = self.rooms_made.get() + 1;
        self.rooms_made.set(id);
        let relays = create.settings.contains(RELAY);
        let room = Room {
            id,
            name: create.name,
            game: create.game,
            settings: create.settings,
            players_max: create.players_max,
            players_min: 1,
            state: RoomState::Wait.into(),
            owner: peer.session,
            // Nobody is kept out here, so a room's number is as good as a code.
            invite: id.to_string(),
            ..Room::default()
        };
        let table = Rc::new(Table { room: RefCell::new(room), relays, members: RefCell::default() });
        self.rooms.borrow_mut().insert(id, table.clone());
        sit(peer, &table);
        table
    }
}

fn sit(peer: &Rc<Peer>, table: &Rc<Table>) {
    let mut members = table.members.borrow_mut();
    if !members.iter().any(|member| Rc::ptr_eq(member, peer)) {
        members.push(peer.clone());
    }
    *peer.room.borrow_mut() = Some(table.clone());
}

/// Tells the other members what a room is like now, and returns it for the answer to the one who asked.
fn announce(peer: &Rc<Peer>, table: &Table) -> Room {
    let mut room = table.room.borrow_mut();
    room.version += 1;
    let member = |peer: &Rc<Peer>| Member { session: peer.session, name: NAME.to_owned(), ready: true, away: false };
    room.members = table.members.borrow().iter().map(member).collect();
    let event = LobbyEvent { event: Some(lobby_event::Event::RoomChanged(room.clone())) }.encode_to_vec();
    for member in table.members.borrow().iter().filter(|member| !Rc::ptr_eq(member, peer)) {
        member.push(kind::LOBBY_EVENT, &[&event]);
    }
    room.clone()
}

/// What every player is called.
const NAME: &str = "bot";

fn welcome(peer: &Peer) -> Welcome {
    let interval = CLIENT_IDLE_TIMEOUT.as_millis() / 3;
    Welcome {
        session: peer.session,
        resume_token: "none".to_owned(),
        name: NAME.to_owned(),
        resumed: false,
        generation: 1,
        ping_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        gateway: "trivial".to_owned(),
    }
}

fn refusal() -> lobby_reply::Reply {
    let message = "the trivial server has rooms of echo and nothing else".to_owned();
    lobby_reply::Reply::Error(Error { code: ErrorCode::BadRequest.into(), message, retry: false })
}

fn attach(peer: &Peer, attach: &GameAttach) {
    let attached = GameAttached {
        room: attach.room,
        round: attach.round,
        received: peer.received.get(),
        next: peer.sent.get() + 1,
        game: "echo".to_owned(),
    };
    peer.push(kind::GAME_ATTACHED, &[&attached.encode_to_vec()]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use pintail_core::{RoomId, Round};
    use pintail_wire::client::{JoinRoom, LeaveRoom, Login, StartGame};
    use pintail_wire::game::Input;
    use pintail_wire::{Decoder, Frame};

    use super::*;

    fn frames(peer: &Peer) -> Vec<Frame> {
        let decoder = Decoder::new(1 << 16);
        let mut out = peer.out.borrow_mut();
        std::iter::from_fn(|| decoder.decode(&mut out).unwrap()).collect()
    }

    fn ask(desk: &Desk, peer: &Rc<Peer>, request: Request) -> Option<Room> {
        let request = LobbyRequest { request: Some(request) };
        desk.take(peer, kind::LOBBY_REQUEST, &[&7_u64.to_be_bytes()[..], &request.encode_to_vec()].concat()).unwrap();
        let reply = frames(peer).into_iter().find(|frame| frame.kind == kind::LOBBY_REPLY).unwrap();
        assert_eq!(reply.body[..8], 7_u64.to_be_bytes());
        match LobbyReply::decode(&reply.body[8..]).unwrap().reply.unwrap() {
            lobby_reply::Reply::Room(reply) => reply.room,
            other => panic!("{other:?}"),
        }
    }

    fn join(desk: &Desk, room: u64) -> Rc<Peer> {
        let peer = desk.arrive();
        let by = match peer.session % 2 {
            0 => join_room::By::Room(room),
            _ => join_room::By::Invite(room.to_string()),
        };
        ask(desk, &peer, Request::JoinRoom(JoinRoom { by: Some(by) })).unwrap();
        peer
    }

    fn room(desk: &Desk, settings: &str) -> (Rc<Peer>, Room) {
        let peer = desk.arrive();
        let create = CreateRoom { game: "echo".to_owned(), settings: settings.to_owned(), ..CreateRoom::default() };
        let room = ask(desk, &peer, Request::CreateRoom(create)).unwrap();
        (peer, room)
    }

    fn input(desk: &Desk, peer: &Rc<Peer>, room: u64, seq: u64, payload: &[u8]) {
        let game = GameId { room: RoomId(room), round: Round(1) };
        let body = [&Input::header(game, Seq(seq), Seq(0))[..], payload].concat();
        desk.take(peer, kind::GAME_INPUT, &body).unwrap();
    }

    fn messages(peer: &Peer) -> Vec<(u64, u64, Vec<u8>)> {
        let messages = frames(peer).into_iter().filter(|frame| frame.kind == kind::GAME_MESSAGE);
        let messages = messages.map(|frame| Reliable::decode(frame.body).unwrap());
        messages.map(|message| (message.seq.0, message.ack.0, message.payload.to_vec())).collect()
    }

    #[test]
    fn a_player_logs_in_plays_and_leaves() {
        let desk = Desk::default();
        let (peer, made) = room(&desk, "");
        desk.take(&peer, kind::LOGIN, &Login::default().encode_to_vec()).unwrap();
        assert_eq!(frames(&peer)[0].kind, kind::WELCOME);
        let started = ask(&desk, &peer, Request::StartGame(StartGame {})).unwrap();
        assert_eq!((started.state(), started.round), (RoomState::Playing, 1));
        let attach = GameAttach { room: made.id, round: 1, ..GameAttach::default() };
        desk.take(&peer, kind::GAME_ATTACH, &attach.encode_to_vec()).unwrap();
        assert_eq!(frames(&peer)[0].kind, kind::GAME_ATTACHED);
        input(&desk, &peer, made.id, 1, b"one");
        input(&desk, &peer, made.id, 1, b"one again");
        input(&desk, &peer, made.id, 2, b"two");
        assert_eq!(messages(&peer), [(1, 1, b"one".to_vec()), (2, 2, b"two".to_vec())]);
        desk.take(&peer, kind::PING, b"x").unwrap();
        assert_eq!(frames(&peer)[0].kind, kind::PONG);
        assert_eq!(ask(&desk, &peer, Request::LeaveRoom(LeaveRoom {})), None);
        desk.take(&peer, kind::LOGOUT, b"").unwrap();
        assert!(peer.closing.get() && desk.rooms.borrow().is_empty());
    }

    #[test]
    fn a_relay_goes_to_everyone_else_in_the_room() {
        let desk = Desk::default();
        let (ann, made) = room(&desk, r#"{"mode":"relay"}"#);
        let (bob, eve) = (join(&desk, made.id), join(&desk, made.id));
        let told = frames(&ann);
        assert_eq!(told.iter().filter(|frame| frame.kind == kind::LOBBY_EVENT).count(), 2);
        input(&desk, &ann, made.id, 1, b"hello");
        input(&desk, &bob, made.id, 1, b"hi");
        assert_eq!(messages(&ann), [(1, 1, b"hi".to_vec())]);
        assert_eq!(messages(&bob), [(1, 0, b"hello".to_vec())]);
        assert_eq!(messages(&eve), [(1, 0, b"hello".to_vec()), (2, 0, b"hi".to_vec())]);
        desk.depart(&eve);
        input(&desk, &ann, made.id, 2, b"again");
        assert!(messages(&eve).is_empty());
    }

    #[test]
    fn what_is_no_frame_of_a_player_is_refused() {
        let desk = Desk::default();
        let peer = desk.arrive();
        for (kind, body) in [
            (200, &b""[..]),
            (kind::GAME_INPUT, b"short"),
            (kind::GAME_INPUT, &[0; INPUT_HEADER_BYTES]),
            (kind::LOBBY_REQUEST, b"1234567"),
            (kind::GAME_ATTACH, b"\xff"),
        ] {
            let refused = desk.take(&peer, kind, body);
            // The input of number 0 is one that was there before.
            let expected = if body == [0; INPUT_HEADER_BYTES] { Ok(()) } else { Err(Refused) };
            assert_eq!(refused, expected, "{kind}");
        }
        let mut seq_1 = [0; INPUT_HEADER_BYTES];
        seq_1[19] = 1;
        assert_eq!(desk.take(&peer, kind::GAME_INPUT, &seq_1), Err(Refused), "there is no room");
    }

    #[test]
    fn whoever_does_not_read_is_cut_off() {
        let desk = Desk::default();
        let (peer, made) = room(&desk, "");
        for seq in 1..=200 {
            input(&desk, &peer, made.id, seq, &[7; 60_000]);
        }
        assert!(peer.closing.get());
        assert!(peer.out.borrow().capacity() <= WAITING_BYTES_MAX, "what waited for it is given back");
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_writes_is_woken_by_the_first_frame_and_by_one_too_many() {
        let desk = Desk::default();
        let (peer, made) = room(&desk, "");
        let bell = Arc::new(Bell::default());
        *peer.waker.borrow_mut() = Some(bell.clone().into());
        let mut rung = Vec::new();
        for seq in 1..=200 {
            input(&desk, &peer, made.id, seq, &[7; 60_000]);
            let is_last = peer.closing.get();
            rung.push(bell.0.swap(0, Ordering::Relaxed));
            if is_last {
                break;
            }
        }
        assert_eq!((rung[0], rung[rung.len() - 1], rung.iter().sum::<usize>()), (1, 1, 2), "{rung:?}");
        input(&desk, &peer, made.id, 300, b"more");
        assert!(peer.out.borrow().is_empty(), "nothing is queued for a connection that closes");
    }
}

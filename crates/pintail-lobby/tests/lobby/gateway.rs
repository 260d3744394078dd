//! A gateway with one link, and players behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pintail_core::limits::LINK_HEARTBEAT;
use pintail_core::{Incarnation, SessionId, Slot};
use pintail_net::dial::dial;
use pintail_net::{Identity, Outbox, TcpConnection};
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{
    Chat, CreateRoom, Error, ErrorCode, GetRoom, JoinRoom, Kick, LeaveRoom, ListRooms, LobbyEvent, LobbyReply,
    LobbyRequest, QuickMatch, Room, RoomPage, RoomState, SetReady, StartGame, join_room, lobby_event, lobby_reply,
};
use pintail_wire::deliver::Deliver;
use pintail_wire::kind::{client, link};
use pintail_wire::link::{LobbyForward, SessionPresence, session_presence};
use pintail_wire::{Frame, Message};
use tokio::sync::Notify;

use crate::cluster::{CLUSTER, DEADLINE, Lobby, secret};

/// Everything that came over a link.
#[derive(Default)]
struct Inbox {
    frames: Mutex<Vec<Frame>>,
    closed: Mutex<bool>,
    arrived: Notify,
}

#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) outbox: Arc<Outbox>,
    inbox: Arc<Inbox>,
}

impl Gateway {
    pub(crate) async fn dial(slot: Slot, lobby: &Lobby) -> Self {
        let me = Identity { cluster: CLUSTER.to_owned(), slot, incarnation: Incarnation::random() };
        let (connection, _) = dial(lobby.endpoint, &secret(), &me, (lobby.slot, None)).await.unwrap();
        let gateway = Self { outbox: Outbox::new(1 << 20), inbox: Arc::default() };
        tokio::spawn(read(connection, gateway.outbox.clone(), gateway.inbox.clone()));
        tokio::spawn(beat(gateway.outbox.clone()));
        // The link is the lobby's when it answers; an event before that would find no way back.
        gateway.heartbeat().await;
        gateway
    }

    pub(crate) fn player(&self, session: u64) -> Player {
        Player { gateway: self.clone(), session, generation: 1 }
    }

    pub(crate) fn arrived(&self) -> usize {
        self.inbox.frames.lock().unwrap().len()
    }

    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.inbox.frames.lock().unwrap().clone()
    }

    /// The first frame after the first `from` ones that is right.
    pub(crate) async fn wait(&self, what: &str, from: usize, right: impl Fn(&Frame) -> bool) -> Frame {
        let found = async {
            loop {
                let arrived = self.inbox.arrived.notified();
                let found = self.inbox.frames.lock().unwrap().iter().skip(from).find(|frame| right(frame)).cloned();
                if let Some(frame) = found {
                    return frame;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(DEADLINE, found).await.unwrap_or_else(|_| panic!("this did not come: {what}"))
    }

    /// Sends a heartbeat and waits for its answer: everything sent before has been taken.
    pub(crate) async fn heartbeat(&self) {
        let mark = fresh().to_be_bytes();
        self.outbox.push(link::HEARTBEAT, &[&mark]).unwrap();
        let answers = |frame: &Frame| frame.kind == link::HEARTBEAT_ANSWER && frame.body[..] == mark;
        self.wait("the answer to a heartbeat", 0, answers).await;
    }

    /// Waits until the lobby server has closed the link.
    pub(crate) async fn closed(&self) {
        let closed = async {
            loop {
                let arrived = self.inbox.arrived.notified();
                if *self.inbox.closed.lock().unwrap() {
                    return;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("the link is closed");
    }
}

/// A link that is silent is closed.
async fn beat(outbox: Arc<Outbox>) {
    while outbox.push(link::HEARTBEAT, &[b"heart"]).is_ok() {
        tokio::time::sleep(LINK_HEARTBEAT).await;
    }
}

async fn read(mut connection: TcpConnection, outbox: Arc<Outbox>, inbox: Arc<Inbox>) {
    while let Ok(Some(frame)) = connection.recv(&outbox).await {
        inbox.frames.lock().unwrap().push(frame);
        inbox.arrived.notify_waiters();
    }
    outbox.close();
    *inbox.closed.lock().unwrap() = true;
    inbox.arrived.notify_waiters();
}

/// A session behind a gateway.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) gateway: Gateway,
    pub(crate) session: u64,
    generation: u64,
}

/// A request id that no other request has.
pub(crate) fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Player {
    /// The same session behind another gateway.
    pub(crate) fn via(&self, gateway: &Gateway) -> Self {
        gateway.player(self.session)
    }

    /// The same session after it has connected again, at another gateway.
    pub(crate) fn reconnected(&self, gateway: &Gateway) -> Self {
        Self { generation: self.generation + 1, ..self.via(gateway) }
    }

    pub(crate) fn name(&self) -> String {
        format!("player {}", self.session)
    }

    pub(crate) fn send(&self, id: u64, request: Bytes) {
        let forward = LobbyForward {
            session: self.session,
            name: self.name(),
            request_id: id,
            request,
            generation: self.generation,
            traceparent: String::new(),
        };
        self.gateway.outbox.push(link::LOBBY_FORWARD, &[&forward.encode_to_vec()]).unwrap();
    }

    pub(crate) async fn reply(&self, id: u64, from: usize) -> lobby_reply::Reply {
        let frame = self
            .gateway
            .wait(&format!("the answer to {id}"), from, |frame| {
                self.mine(frame, client::LOBBY_REPLY).is_some_and(|body| body.starts_with(&id.to_be_bytes()))
            })
            .await;
        let body = self.mine(&frame, client::LOBBY_REPLY).unwrap();
        LobbyReply::decode(body.slice(8..)).unwrap().reply.expect("a reply says something")
    }

    /// Asks with a request id of the caller's.
    pub(crate) async fn ask_as(&self, id: u64, request: Request) -> lobby_reply::Reply {
        let from = self.gateway.arrived();
        self.send(id, LobbyRequest { request: Some(request) }.encode_to_vec().into());
        self.reply(id, from).await
    }

    pub(crate) async fn ask(&self, request: Request) -> lobby_reply::Reply {
        self.ask_as(fresh(), request).await
    }

    /// The room that the answer shows, if any.
    pub(crate) async fn room_after(&self, request: Request) -> Option<Room> {
        match self.ask(request).await {
            lobby_reply::Reply::Room(reply) => reply.room,
            other => panic!("not a room: {other:?}"),
        }
    }

    pub(crate) async fn room(&self, request: Request) -> Room {
        self.room_after(request).await.expect("the answer shows a room")
    }

    pub(crate) async fn rooms(&self, list: ListRooms) -> RoomPage {
        match self.ask(Request::ListRooms(list)).await {
            lobby_reply::Reply::Rooms(page) => page,
            other => panic!("not a list: {other:?}"),
        }
    }

    pub(crate) async fn error(&self, request: Request) -> Error {
        match self.ask(request).await {
            lobby_reply::Reply::Error(error) => error,
            other => panic!("not an error: {other:?}"),
        }
    }

    pub(crate) async fn code(&self, request: Request) -> ErrorCode {
        self.error(request).await.code()
    }

    /// Creates a room for this game.
    pub(crate) async fn create(&self, game: &str) -> Room {
        self.room(create(game)).await
    }

    /// The room that the player is in.
    pub(crate) async fn look(&self) -> Option<Room> {
        self.room_after(Request::GetRoom(GetRoom {})).await
    }

    /// Says what became of the connection.
    pub(crate) fn presence(&self, presence: session_presence::Presence) {
        let news = SessionPresence {
            session: self.session,
            name: self.name(),
            presence: presence.into(),
            generation: self.generation,
        };
        self.gateway.outbox.push(link::SESSION_PRESENCE, &[&news.encode_to_vec()]).unwrap();
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<lobby_event::Event> {
        self.gateway.frames().iter().filter_map(|frame| self.event_in(frame)).collect()
    }

    /// The first event that is right, past or to come.
    pub(crate) async fn event(&self, what: &str, right: impl Fn(&lobby_event::Event) -> bool) -> lobby_event::Event {
        let is_right = |frame: &Frame| self.event_in(frame).is_some_and(|event| right(&event));
        let frame = self.gateway.wait(what, 0, is_right).await;
        self.event_in(&frame).unwrap()
    }

    /// Waits until an event shows the room in this state of this round.
    pub(crate) async fn sees(&self, state: RoomState, round: u32) -> Room {
        let right = |event: &lobby_event::Event| match event {
            lobby_event::Event::RoomChanged(room) => room.state() == state && room.round == round,
            _ => false,
        };
        match self.event(&format!("{state:?} in round {round}"), right).await {
            lobby_event::Event::RoomChanged(room) => room,
            _ => unreachable!("it was checked"),
        }
    }

    fn event_in(&self, frame: &Frame) -> Option<lobby_event::Event> {
        LobbyEvent::decode(self.mine(frame, client::LOBBY_EVENT)?).unwrap().event
    }

    /// What the frame brings this session, if it is of this kind.
    fn mine(&self, frame: &Frame, kind: u8) -> Option<Bytes> {
        if frame.kind != link::DELIVER {
            return None;
        }
        let deliver = Deliver::decode(frame.body.clone()).unwrap();
        let to_me = deliver.recipients().any(|(session, _)| session == SessionId(self.session));
        (deliver.client_kind == kind && to_me).then_some(deliver.shared)
    }
}

pub(crate) fn create(game: &str) -> Request {
    Request::CreateRoom(CreateRoom { game: game.to_owned(), ..CreateRoom::default() })
}

pub(crate) fn join(room: &Room) -> Request {
    Request::JoinRoom(JoinRoom { by: Some(join_room::By::Room(room.id)) })
}

pub(crate) fn join_by(invite: &str) -> Request {
    Request::JoinRoom(JoinRoom { by: Some(join_room::By::Invite(invite.to_owned())) })
}

pub(crate) fn ready(ready: bool) -> Request {
    Request::SetReady(SetReady { ready })
}

pub(crate) fn leave() -> Request {
    Request::LeaveRoom(LeaveRoom {})
}

pub(crate) fn kick(session: u64) -> Request {
    Request::Kick(Kick { session })
}

pub(crate) fn chat(text: &str) -> Request {
    Request::Chat(Chat { text: text.to_owned() })
}

pub(crate) fn start() -> Request {
    Request::StartGame(StartGame {})
}

pub(crate) fn quick_match(game: &str, settings: &str) -> Request {
    Request::QuickMatch(QuickMatch { game: game.to_owned(), settings: settings.to_owned() })
}

pub(crate) fn sessions(room: &Room) -> Vec<u64> {
    room.members.iter().map(|member| member.session).collect()
}

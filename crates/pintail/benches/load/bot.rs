//! A client that costs the driver as little as possible: it speaks frames, and keeps no more than it needs.

use std::sync::Arc;

use bytes::Bytes;
use pintail_core::limits::LOBBY_REQUESTS_AT_ONCE_MAX;
use pintail_core::{GameId, RoomId, Round, Seq};
use pintail_net::{Outbox, TcpConnection};
use pintail_wire::client::lobby_request::Request;
use pintail_wire::client::{
    CreateRoom, GameAttach, LeaveRoom, LobbyReply, LobbyRequest, Login, Room, RoomState, StartGame, lobby_reply,
};
use pintail_wire::game::{Input, Reliable};
use pintail_wire::kind::client as kind;
use pintail_wire::{CLIENT_VERSION, Frame, Message};
use tokio::net::TcpStream;

pub(crate) struct Bot {
    address: String,
    connection: TcpConnection,
    outbox: Arc<Outbox>,
    next_request: u64,
    game: Option<GameId>,
    sent: Seq,
    received: Seq,
}

impl Bot {
    /// Connects without logging in.
    pub(crate) async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway accepts");
        let connection = TcpConnection::new(stream, 1 << 20, 4096).expect("socket options");
        let outbox = Outbox::new(1 << 20);
        Self {
            address: address.to_owned(),
            connection,
            outbox,
            next_request: 1,
            game: None,
            sent: Seq(0),
            received: Seq(0),
        }
    }

    pub(crate) async fn log_in(address: &str) -> Self {
        let mut bot = Self::connect(address).await;
        let login =
            Login { version: CLIENT_VERSION, name: "bot".to_owned(), client: "bench".to_owned(), ..Login::default() };
        bot.push(kind::LOGIN, &[&login.encode_to_vec()]);
        bot.recv_kind(kind::WELCOME).await;
        bot
    }

    /// Turns into a new player before it has asked for more than one may.
    pub(crate) async fn renew_before(&mut self, requests: u64) {
        if self.next_request + requests > u64::from(LOBBY_REQUESTS_AT_ONCE_MAX) {
            *self = Self::log_in(&self.address).await;
        }
    }

    fn push(&self, kind: u8, parts: &[&[u8]]) {
        self.outbox.push(kind, parts).expect("one message at a time fits");
    }

    async fn recv(&mut self) -> Frame {
        self.connection.recv(&self.outbox).await.expect("a healthy connection").expect("an open connection")
    }

    async fn recv_kind(&mut self, kind: u8) -> Bytes {
        loop {
            let frame = self.recv().await;
            assert_ne!(frame.kind, kind::ERROR, "the gateway refuses");
            if frame.kind == kind {
                return frame.body;
            }
        }
    }

    async fn ask(&mut self, request: Request) -> Option<Room> {
        let id = self.next_request;
        self.next_request += 1;
        let request = LobbyRequest { request: Some(request) };
        self.push(kind::LOBBY_REQUEST, &[&id.to_be_bytes(), &request.encode_to_vec()]);
        let body = self.recv_kind(kind::LOBBY_REPLY).await;
        match LobbyReply::decode(&body[8..]).expect("a reply").reply {
            Some(lobby_reply::Reply::Room(reply)) => reply.room,
            other => panic!("the lobby refuses: {other:?}"),
        }
    }

    /// Creates a room for the echo game.
    pub(crate) async fn create_room(&mut self) {
        let request = CreateRoom { game: "echo".to_owned(), private: true, ..CreateRoom::default() };
        self.ask(Request::CreateRoom(request)).await;
    }

    /// Starts the room's game, without attaching to it.
    pub(crate) async fn start_game(&mut self) -> GameId {
        let room = self.ask(Request::StartGame(StartGame {})).await.expect("a room");
        assert_eq!(room.state(), RoomState::Playing);
        GameId { room: RoomId(room.id), round: Round(room.round) }
    }

    pub(crate) async fn leave_room(&mut self) {
        self.ask(Request::LeaveRoom(LeaveRoom {})).await;
    }

    /// Creates a room, starts its game, and opens the stream.
    pub(crate) async fn play_alone(&mut self) {
        self.create_room().await;
        let game = self.start_game().await;
        let attach = GameAttach { room: game.room.0, round: game.round.0, ..GameAttach::default() };
        self.push(kind::GAME_ATTACH, &[&attach.encode_to_vec()]);
        self.recv_kind(kind::GAME_ATTACHED).await;
        self.game = Some(game);
    }

    /// Sends a payload to the game and waits until it comes back.
    pub(crate) async fn round_trip(&mut self, payload: &[u8]) {
        self.sent = self.sent.next();
        let game = self.game.unwrap_or(GameId { room: RoomId(0), round: Round(0) });
        self.push(kind::GAME_INPUT, &[&Input::header(game, self.sent, self.received), payload]);
        let body = self.recv_kind(kind::GAME_MESSAGE).await;
        if self.game.is_some() {
            self.received = Reliable::decode(body).expect("a message").seq;
        }
    }
}

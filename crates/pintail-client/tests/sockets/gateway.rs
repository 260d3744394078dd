//! A gateway that does what a test tells it, over real sockets.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use pintail_client::{Address, ClientConfig, Event, Events, GameId, ResumeToken, Room, RoomId, RoomState, Round, Step};
use pintail_core::{Seq, limits};
use pintail_engine::backoff::BackoffPolicy;
use pintail_testkit::Certificates;
use pintail_tls::{AcceptError, Alpn, ServerIdentity, Stream, Trust};
use pintail_wire::client::{
    GameAttach, GameAttached, LobbyReply, LobbyRequest, Login, RoomReply, Welcome, lobby_reply,
};
use pintail_wire::game::{Input, Reliable, shared_header};
use pintail_wire::{Decoder, Frame, Message, encode_frame, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_websockets::{Message as WsMessage, ServerBuilder, WebSocketStream};

/// How long anything in these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) const GAME: GameId = GameId { room: RoomId(5), round: Round(1) };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    WebSocket,
    Tls,
    WebSocketTls,
}

pub(crate) const ALL: [Protocol; 4] = [Protocol::Tcp, Protocol::WebSocket, Protocol::Tls, Protocol::WebSocketTls];

pub(crate) struct Gateway {
    listener: TcpListener,
    protocol: Protocol,
    certificates: Certificates,
}

pub(crate) enum Peer {
    Tcp(Stream, BytesMut),
    WebSocket(Box<WebSocketStream<Stream>>),
}

impl Gateway {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, protocol, certificates: Certificates::new() }
    }

    pub(crate) fn address(&self) -> Address {
        let address = self.listener.local_addr().unwrap();
        match self.protocol {
            Protocol::Tcp => format!("tcp://{address}").parse().unwrap(),
            Protocol::WebSocket => format!("ws://{address}/ws").parse().unwrap(),
            Protocol::Tls => format!("tls://{address}").parse().unwrap(),
            Protocol::WebSocketTls => format!("wss://{address}/ws").parse().unwrap(),
        }
    }

    /// A client of this gateway alone, which comes back quickly.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new([self.address()], "Ada");
        config.trust = Some(Trust::in_file(&self.certificates.ca_file()).unwrap());
        config.reconnect_backoff = BackoffPolicy { first: Duration::from_millis(10), max: Duration::from_millis(100) };
        config
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (socket, _) = timeout(DEADLINE, self.listener.accept()).await.expect("a client connects").unwrap();
        let stream = match self.protocol {
            Protocol::Tcp | Protocol::WebSocket => Stream::from(socket),
            Protocol::Tls | Protocol::WebSocketTls => {
                self.identity().acceptor(Alpn::None).accept(socket).await.unwrap()
            }
        };
        match self.protocol {
            Protocol::Tcp | Protocol::Tls => Peer::Tcp(stream, BytesMut::new()),
            Protocol::WebSocket | Protocol::WebSocketTls => {
                let (_, socket) = ServerBuilder::new().accept(stream).await.unwrap();
                Peer::WebSocket(Box::new(socket))
            }
        }
    }

    pub(crate) fn identity(&self) -> ServerIdentity {
        let (certificate, key) = (self.certificates.server_certificate(), self.certificates.server_key());
        ServerIdentity::read(&certificate, &key).unwrap()
    }

    /// Waits for a client that goes away before anything can be said.
    pub(crate) async fn turned_down(&self) -> AcceptError {
        let (socket, _) = timeout(DEADLINE, self.listener.accept()).await.expect("a client connects").unwrap();
        self.identity().acceptor(Alpn::None).accept(socket).await.expect_err("the client does not trust it")
    }

    /// Accepts a connection and welcomes its client.
    pub(crate) async fn welcome(&self, token: &ResumeToken) -> (Peer, Login) {
        let mut peer = self.accept().await;
        let login = Login::decode(peer.expect(kind::client::LOGIN).await).unwrap();
        let welcome = welcome(token, !login.resume_token.is_empty());
        peer.send_message(kind::client::WELCOME, &welcome).await;
        (peer, login)
    }
}

pub(crate) fn welcome(token: &ResumeToken, resumed: bool) -> Welcome {
    Welcome {
        session: token.session().0,
        resume_token: token.to_string(),
        name: "Ada".to_owned(),
        resumed,
        generation: 1,
        ping_interval_ms: 10_000,
        gateway: "Server:Gateway:0".to_owned(),
    }
}

impl Peer {
    /// The next frame; `None` when the client has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        timeout(DEADLINE, self.receive()).await.expect("the client sends or closes")
    }

    async fn receive(&mut self) -> Option<Frame> {
        let decoder = Decoder::new(limits::CLIENT_FRAME_BYTES_MAX);
        match self {
            Self::Tcp(stream, inbox) => loop {
                if let Some(frame) = decoder.decode(inbox).unwrap() {
                    return Some(frame);
                }
                if stream.read_buf(inbox).await.unwrap_or(0) == 0 {
                    return None;
                }
            },
            Self::WebSocket(socket) => {
                let message = socket.next().await?.ok().filter(WsMessage::is_binary)?;
                Some(decoder.decode_message(message.into_payload().into()).unwrap())
            }
        }
    }

    /// The body of the next frame, which must be of this kind.
    pub(crate) async fn expect(&mut self, kind: u8) -> Bytes {
        let frame = self.next().await.expect("the client keeps its connection");
        assert_eq!(frame.kind, kind, "{frame:?}");
        frame.body
    }

    /// The next lobby request.
    pub(crate) async fn request(&mut self) -> (u64, LobbyRequest) {
        let mut body = self.expect(kind::client::LOBBY_REQUEST).await;
        (body.get_u64(), LobbyRequest::decode(body).unwrap())
    }

    pub(crate) async fn send(&mut self, kind: u8, body: &[u8]) {
        match self {
            Self::Tcp(stream, _) => {
                let mut frame = BytesMut::new();
                encode_frame(&mut frame, kind, body);
                stream.write_all(&frame).await.unwrap();
                stream.flush().await.unwrap();
            }
            Self::WebSocket(socket) => {
                let message = WsMessage::binary(Bytes::from([&[kind], body].concat()));
                socket.send(message).await.unwrap();
            }
        }
    }

    pub(crate) async fn send_message(&mut self, kind: u8, message: &impl Message) {
        self.send(kind, &message.encode_to_vec()).await;
    }

    /// Bytes that need not be a frame.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp(stream, _) => {
                stream.write_all(bytes).await.unwrap();
                stream.flush().await.unwrap();
            }
            Self::WebSocket(socket) => {
                let text = std::str::from_utf8(bytes).unwrap().to_owned();
                socket.send(WsMessage::text(text)).await.unwrap();
            }
        }
    }

    /// Answers a request with this room.
    pub(crate) async fn reply(&mut self, id: u64, room: Option<Room>) {
        let reply = LobbyReply { reply: Some(lobby_reply::Reply::Room(RoomReply { room })) };
        let body = [&id.to_be_bytes()[..], &reply.encode_to_vec()].concat();
        self.send(kind::client::LOBBY_REPLY, &body).await;
    }

    /// Answers the next attach.
    pub(crate) async fn attach(&mut self, received: u64, next: u64) -> GameAttach {
        let attach = GameAttach::decode(self.expect(kind::client::GAME_ATTACH).await).unwrap();
        let attached = GameAttached { room: attach.room, round: attach.round, received, next, game: "echo".to_owned() };
        self.send_message(kind::client::GAME_ATTACHED, &attached).await;
        attach
    }

    pub(crate) async fn input(&mut self) -> Input {
        Input::decode(self.expect(kind::client::GAME_INPUT).await).unwrap()
    }

    pub(crate) async fn game_message(&mut self, frame_kind: u8, seq: u64, ack: u64, payload: &[u8]) {
        let head = Reliable::head(Seq(seq), Seq(ack));
        let body = [&head[..], &shared_header(GAME, Step(seq)), payload].concat();
        self.send(frame_kind, &body).await;
    }
}

pub(crate) fn playing_room() -> Room {
    Room { id: GAME.room.0, version: 1, state: RoomState::Playing.into(), round: GAME.round.0, ..Room::default() }
}

/// The next event, which must come.
pub(crate) async fn event(events: &mut Events) -> Event {
    timeout(DEADLINE, events.next()).await.expect("something happens").expect("the client goes on")
}

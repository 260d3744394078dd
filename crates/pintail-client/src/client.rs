//! The handle that an application holds.

use bytes::Bytes;
use pintail_core::gateway_address::Encryption;
use pintail_core::{GameId, RequestId, ResumeToken, RoomId, SessionId};
use pintail_wire::client::{
    Chat, CreateRoom, GetRoom, JoinRoom, Kick, LeaveRoom, ListRooms, LobbyRequest, QuickMatch, Room, RoomPage,
    SetReady, StartGame, join_room, lobby_request::Request,
};
use rand::RngExt;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{CLOSE_TIMEOUT, INPUT_BYTES_MAX, OPERATIONS_MAX};
use crate::driver::{Channels, Driver, Operation, SendInput, Stop};
use crate::machine::{Identity, Machine, Reply};
use crate::queue::queue;
use crate::{CallError, ClientConfig, Ended, Events, SendError, Trust};

/// How far the inputs of a game are, counted from the game's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputCount {
    /// How many inputs have their place in the stream.
    pub sent: u64,
    /// How many of them the game has taken. Those of a journaled game are then safe, whatever happens to its server.
    pub acknowledged: u64,
}

/// A session on a Pintail cluster, which keeps itself connected.
///
/// A task of its own does the work; it ends with [`close`](Self::close) or [`logout`](Self::logout), and is aborted when
/// the client is dropped. Every other method can be called from several tasks at once.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    operations: mpsc::Sender<Operation>,
    inputs: mpsc::Sender<SendInput>,
    stop: oneshot::Sender<Stop>,
    identity: watch::Receiver<Option<Identity>>,
    ended: watch::Receiver<Option<Ended>>,
    input_count: watch::Receiver<InputCount>,
    task: AbortOnDropHandle<()>,
}

impl Client {
    /// Connects and logs in. From then on the client connects again by itself whenever it has to, and tells what happens
    /// as [`Events`], whose first is [`Event::Connected`](crate::Event::Connected).
    ///
    /// # Errors
    /// If the login is refused, or no gateway lets the client in within [`ClientConfig::connect_timeout`], or there is
    /// nobody to trust at addresses with TLS.
    pub async fn connect(config: ClientConfig) -> Result<(Self, Events), Ended> {
        let trust = trust(&config).await?;
        let (operations, operations_rx) = mpsc::channel(OPERATIONS_MAX);
        let (inputs, inputs_rx) = mpsc::channel(OPERATIONS_MAX);
        let (stop, stop_rx) = oneshot::channel();
        let (identity_tx, mut identity) = watch::channel(None);
        let (ended_tx, ended) = watch::channel(None);
        let (input_count_tx, input_count) = watch::channel(InputCount::default());
        let (sink, events) = queue();
        let channels = Channels {
            operations: operations_rx,
            inputs: inputs_rx,
            stop: stop_rx,
            identity: identity_tx,
            ended: ended_tx,
            input_count: input_count_tx,
            events: sink,
        };
        let driver = Driver::new(config.addresses.clone(), trust, new_machine(config.clone()), channels);
        let task = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        if identity.wait_for(Option::is_some).await.is_err() {
            return Err(why_ended(&ended));
        }
        Ok((Self { config, operations, inputs, stop, identity, ended, input_count, task }, events))
    }

    /// The session, which other players see.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.identity().session
    }

    /// What the player is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.identity().name
    }

    /// What makes another client this session again: a secret, to be kept for
    /// [`ClientConfig::resume_token`]. It can change with each connection.
    #[must_use]
    pub fn resume_token(&self) -> ResumeToken {
        self.identity().resume_token
    }

    /// Why the client has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// A page of the public rooms, newest first.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn list_rooms(&self, filter: ListRooms) -> Result<RoomPage, CallError> {
        match self.call(Request::ListRooms(filter)).await? {
            Reply::Rooms(page) => Ok(page),
            Reply::Room(_) => Err(CallError::Unexpected),
        }
    }

    /// Creates a room and enters it as its owner.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn create_room(&self, room: CreateRoom) -> Result<Room, CallError> {
        self.room_call(Request::CreateRoom(room)).await
    }

    /// Enters a public room.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn join_room(&self, room: RoomId) -> Result<Room, CallError> {
        self.room_call(Request::JoinRoom(JoinRoom { by: Some(join_room::By::Room(room.0)) })).await
    }

    /// Enters the room that this invite code names.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn join_by_invite(&self, code: &str) -> Result<Room, CallError> {
        self.room_call(Request::JoinRoom(JoinRoom { by: Some(join_room::By::Invite(code.to_owned())) })).await
    }

    /// Leaves the room, and with it the game that it plays.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn leave_room(&self) -> Result<(), CallError> {
        self.call(Request::LeaveRoom(LeaveRoom {})).await.map(drop)
    }

    /// Says whether the player is ready for the game to start.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn set_ready(&self, ready: bool) -> Result<Room, CallError> {
        self.room_call(Request::SetReady(SetReady { ready })).await
    }

    /// Removes a player from the room, as its owner.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn kick(&self, session: SessionId) -> Result<Room, CallError> {
        self.room_call(Request::Kick(Kick { session: session.0 })).await
    }

    /// Says something to everyone in the room.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn chat(&self, text: &str) -> Result<(), CallError> {
        self.call(Request::Chat(Chat { text: text.to_owned() })).await.map(drop)
    }

    /// Starts the game, as the room's owner.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn start_game(&self) -> Result<Room, CallError> {
        self.room_call(Request::StartGame(StartGame {})).await
    }

    /// Enters an open public room of this game with the same settings (JSON, empty for the game's defaults), or a new one.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn quick_match(&self, game: &str, settings: &str) -> Result<Room, CallError> {
        self.room_call(Request::QuickMatch(QuickMatch { game: game.to_owned(), settings: settings.to_owned() })).await
    }

    /// Asks for the room that the session is in.
    ///
    /// # Errors
    /// As every lobby call: see [`CallError`].
    pub async fn room(&self) -> Result<Option<Room>, CallError> {
        match self.call(Request::GetRoom(GetRoom {})).await? {
            Reply::Room(room) => Ok(room),
            Reply::Rooms(_) => Err(CallError::Unexpected),
        }
    }

    /// Opens the stream to a game. Only clients without [`ClientConfig::auto_attach`] need it, or those that want back into
    /// a game whose stream was closed. What comes of it is an [`Event`](crate::Event).
    ///
    /// # Errors
    /// If the client has ended.
    pub async fn attach(&self, game: GameId) -> Result<(), Ended> {
        self.operations.send(Operation::Attach(game)).await.map_err(|_| why_ended(&self.ended))
    }

    /// Sends an input to the current game. It returns when the input has its place in the stream, which it waits for
    /// while the game has too many to acknowledge; from then on the game gets it exactly once and in order, whatever
    /// happens to connections and servers. If the future is dropped before it returns, the input may be sent or not.
    ///
    /// # Errors
    /// If there is no game, the payload is too large for a frame, or the client has ended.
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        if payload.len() > INPUT_BYTES_MAX {
            return Err(SendError::TooLarge { bytes: payload.len(), limit: INPUT_BYTES_MAX });
        }
        let (answer, answered) = oneshot::channel();
        // If the task is gone, so is the answer's sender.
        let _ = self.inputs.send(SendInput { payload, answer }).await;
        answered.await.unwrap_or_else(|_| Err(SendError::Ended(why_ended(&self.ended))))
    }

    /// How far the inputs of the current game are, or of the last one: for a display that shows what is safe.
    #[must_use]
    pub fn inputs(&self) -> InputCount {
        *self.input_count.borrow()
    }

    /// [Sends](Self::send) a value as JSON.
    ///
    /// # Errors
    /// As [`send`](Self::send), or if the value has no JSON form.
    pub async fn send_json(&self, value: &impl Serialize) -> Result<(), SendError> {
        let payload = serde_json::to_vec(value).map_err(|error| SendError::Json(error.to_string()))?;
        self.send(payload).await
    }

    /// Closes the connection in order, once what was sent has left. The session stays, to be resumed with its token.
    pub async fn close(self) {
        self.stop(Stop::Close).await;
    }

    /// Ends the session: its place in a room or game is free, and its token is worth nothing.
    /// Without a connection at this moment nobody can be told: then the session stays until it expires.
    pub async fn logout(self) {
        self.stop(Stop::Logout).await;
    }

    async fn stop(self, stop: Stop) {
        // If the task is gone already, there is nothing to stop.
        let _ = self.stop.send(stop);
        // A task that can't finish, because its gateway does not answer, is aborted when it is dropped.
        let _ = timeout(2 * CLOSE_TIMEOUT, self.task).await;
    }

    fn identity(&self) -> Identity {
        self.identity.borrow().clone().expect("a client exists only after its first welcome")
    }

    async fn room_call(&self, request: Request) -> Result<Room, CallError> {
        match self.call(request).await? {
            Reply::Room(Some(room)) => Ok(room),
            Reply::Room(None) | Reply::Rooms(_) => Err(CallError::Unexpected),
        }
    }

    async fn call(&self, request: Request) -> Result<Reply, CallError> {
        let deadline = Instant::now() + self.config.call_timeout;
        let request = LobbyRequest { request: Some(request) };
        let (answer, answered) = oneshot::channel();
        let call = Operation::Call { request, deadline: deadline.into_std(), answer };
        let exchange = async {
            // If the task is gone, so is the answer's sender.
            let _ = self.operations.send(call).await;
            answered.await.unwrap_or_else(|_| Err(CallError::Ended(why_ended(&self.ended))))
        };
        timeout_at(deadline, exchange).await.unwrap_or(Err(CallError::Timeout))
    }
}

fn new_machine(config: ClientConfig) -> Machine {
    let mut rng: SmallRng = rand::make_rng();
    // Half of the numbers are left to count up in.
    let first_request = RequestId(rng.random::<u64>() >> 1);
    Machine::new(config, Instant::now().into_std(), first_request, rng)
}

/// Whom to trust at addresses with TLS, if there are any.
async fn trust(config: &ClientConfig) -> Result<Option<Trust>, Ended> {
    if config.trust.is_some() || config.addresses.iter().all(|address| address.encryption() == Encryption::None) {
        return Ok(config.trust.clone());
    }
    // The system's authorities are read from many files.
    let trust = spawn_blocking(Trust::in_system).await;
    trust.map_err(|_| Ended::NobodyTrusted)?.map(Some).map_err(|_| Ended::NobodyTrusted)
}

/// A task that is gone without a word was aborted with its runtime.
fn why_ended(ended: &watch::Receiver<Option<Ended>>) -> Ended {
    ended.borrow().clone().unwrap_or(Ended::Closed)
}

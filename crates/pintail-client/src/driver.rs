//! The task that does what the [machine](crate::machine) decides.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use pintail_core::{GameId, RequestId};
use pintail_wire::Frame;
use pintail_wire::client::LobbyRequest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};
use tracing::debug;

use crate::config::CLOSE_TIMEOUT;
use crate::machine::{Command, Happening, Identity, Machine, Reply, Sendable};
use crate::queue::EventSink;
use crate::transport::Transport;
use crate::{Address, CallError, Disconnect, Ended, InputCount, SendError, Trust};

/// Something to do at once, on its way to the task.
#[derive(Debug)]
pub(crate) enum Operation {
    /// A lobby call.
    Call { request: LobbyRequest, deadline: Instant, answer: oneshot::Sender<Result<Reply, CallError>> },
    /// Attach to this game.
    Attach(GameId),
}

/// An input on its way to the task. The answer comes when it is numbered.
#[derive(Debug)]
pub(crate) struct SendInput {
    pub(crate) payload: Bytes,
    pub(crate) answer: oneshot::Sender<Result<(), SendError>>,
}

/// How the application stops its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The session can be resumed.
    Close,
    /// The session ends.
    Logout,
}

/// What the application and the task share.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) operations: mpsc::Receiver<Operation>,
    pub(crate) inputs: mpsc::Receiver<SendInput>,
    pub(crate) stop: oneshot::Receiver<Stop>,
    pub(crate) identity: watch::Sender<Option<Identity>>,
    pub(crate) ended: watch::Sender<Option<Ended>>,
    pub(crate) input_count: watch::Sender<InputCount>,
    pub(crate) events: EventSink,
}

type Dial = Pin<Box<dyn Future<Output = Result<Transport, Disconnect>> + Send>>;

/// The connection, as far as there is one.
enum Link {
    Down,
    Dialling(Dial),
    Up(Transport),
}

/// What a link that was driven came up with.
enum LinkEvent {
    Dialled(Transport),
    Frame(Frame),
    Lost(Disconnect),
}

impl Link {
    /// Does the connection's IO until something is to be told. Cancelling it loses nothing.
    async fn drive(&mut self, is_reading: bool) -> LinkEvent {
        let event = match self {
            Self::Down => pending().await,
            Self::Dialling(dial) => dial.await.map(LinkEvent::Dialled),
            Self::Up(transport) => transport.drive(is_reading).await.map(LinkEvent::Frame),
        };
        event.unwrap_or_else(|why| {
            *self = Self::Down;
            LinkEvent::Lost(why)
        })
    }
}

/// The client's task.
pub(crate) struct Driver {
    addresses: Vec<Address>,
    /// For addresses with TLS: there is one if there are any.
    trust: Option<Trust>,
    machine: Machine,
    channels: Channels,
    link: Link,
    calls: HashMap<RequestId, oneshot::Sender<Result<Reply, CallError>>>,
    /// An input that waits for room in the stream to this game. Until it has it, no other is taken.
    held: Option<(GameId, SendInput)>,
    stopping: bool,
    ended: bool,
}

fn now() -> Instant {
    TokioInstant::now().into_std()
}

impl Driver {
    pub(crate) fn new(addresses: Vec<Address>, trust: Option<Trust>, machine: Machine, channels: Channels) -> Self {
        Self {
            addresses,
            trust,
            machine,
            channels,
            link: Link::Down,
            calls: HashMap::new(),
            held: None,
            stopping: false,
            ended: false,
        }
    }

    /// Runs until the client ends.
    pub(crate) async fn run(mut self) {
        while !self.ended {
            let is_reading = self.channels.events.has_room();
            if !is_reading {
                self.machine.excuse_silence(now());
            }
            let deadline = self.machine.deadline();
            let channels = &mut self.channels;
            tokio::select! {
                stop = &mut channels.stop, if !self.stopping => self.stop(stop.unwrap_or(Stop::Close)).await,
                event = self.link.drive(is_reading) => self.link_event(event),
                Some(operation) = channels.operations.recv(), if self.machine.can_call() => self.operation(operation),
                Some(input) = channels.inputs.recv(), if self.held.is_none() => self.input(input),
                () = channels.events.room(), if !is_reading => {}
                () = until(deadline) => self.tell(Happening::Timer),
            }
            self.release_held();
            self.count_inputs();
        }
    }

    fn count_inputs(&self) {
        let count = self.machine.inputs();
        self.channels.input_count.send_if_modified(|old| std::mem::replace(old, count) != count);
    }

    fn tell(&mut self, happening: Happening) {
        for command in self.machine.handle(now(), happening) {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Dial(index) => self.dial(index),
            Command::Hangup => self.link = Link::Down,
            Command::Frame(kind, body) => {
                if let Link::Up(transport) = &mut self.link {
                    transport.queue(kind, &body);
                }
            }
            Command::Identify(identity) => {
                self.channels.identity.send_replace(Some(identity));
            }
            Command::Emit(event) => self.channels.events.push(event),
            Command::Answer(id, answer) => {
                // The client's own requests have no caller.
                if let Some(caller) = self.calls.remove(&id) {
                    reply(caller, answer);
                }
            }
            Command::End(why) => {
                self.ended = true;
                self.channels.ended.send_replace(Some(why));
            }
        }
    }

    fn dial(&mut self, index: usize) {
        let Some(address) = self.addresses.get(index).cloned() else { return };
        debug!(%address, "connecting");
        let trust = self.trust.clone();
        self.link = Link::Dialling(Box::pin(async move { Transport::dial(&address, trust.as_ref()).await }));
    }

    fn link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Dialled(transport) => {
                self.link = Link::Up(transport);
                self.tell(Happening::Connected);
            }
            LinkEvent::Frame(frame) => self.tell(Happening::Frame(frame)),
            LinkEvent::Lost(why) => {
                debug!(%why, "no connection");
                self.tell(Happening::Lost(why));
            }
        }
    }

    fn operation(&mut self, operation: Operation) {
        match operation {
            Operation::Attach(game) => self.tell(Happening::Attach(game)),
            // Nobody waits for the answer any more.
            Operation::Call { answer, .. } if answer.is_closed() => {}
            Operation::Call { request, deadline, answer } => {
                let id = self.machine.new_request_id();
                self.calls.insert(id, answer);
                self.tell(Happening::Call { id, request, deadline });
            }
        }
    }

    fn input(&mut self, input: SendInput) {
        match self.machine.game() {
            Some(game) => self.held = Some((game, input)),
            None => reply(input.answer, Err(SendError::NoGame)),
        }
    }

    /// Sends the held input if its stream has room by now.
    fn release_held(&mut self) {
        let Some((game, input)) = self.held.take() else { return };
        match self.machine.can_send(game, input.payload.len()) {
            // Nobody waits for it any more, so it is not worth waiting for.
            Sendable::Later if input.answer.is_closed() => {}
            Sendable::Later => self.held = Some((game, input)),
            Sendable::NoGame => reply(input.answer, Err(SendError::NoGame)),
            Sendable::Now => {
                self.tell(Happening::Input(input.payload));
                reply(input.answer, Ok(()));
            }
        }
    }

    async fn stop(&mut self, stop: Stop) {
        self.stopping = true;
        match stop {
            Stop::Logout => self.tell(Happening::Logout),
            Stop::Close => {
                if let Link::Up(transport) = std::mem::replace(&mut self.link, Link::Down) {
                    // A gateway that takes no more finds out by itself.
                    let _ = timeout(CLOSE_TIMEOUT, transport.close()).await;
                }
                self.tell(Happening::Close);
            }
        }
    }
}

/// Answers a caller, who is gone if its future was dropped.
fn reply<T>(caller: oneshot::Sender<T>, answer: T) {
    let _ = caller.send(answer);
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

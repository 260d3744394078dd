//! The client as a state machine: events in, commands out. No clock, no socket, no task.
//!
//! | module | decides |
//! | --- | --- |
//! | this one | when to connect, log in, ping, give up a connection, or end |
//! | `command` | nothing: it is what goes in and comes out |
//! | `lobby` | what an answer or a lobby event means; when to ask for the room |
//! | `requests` | which requests wait for an answer and are sent again |
//! | `room` | which news of a room is news |
//! | `play` | which game the client is in |
//! | `game` | the session stream to one game |

mod command;
mod game;
mod lobby;
mod play;
mod requests;
mod room;

#[cfg(test)]
mod game_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pintail_core::{GameId, RequestId, SessionId};
use pintail_engine::backoff::Backoff;
use pintail_wire::client::{Error, ErrorCode, Goodbye, GoodbyeReason, Login, Welcome};
use pintail_wire::{CLIENT_VERSION, Frame, Malformed, Message, kind};
use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

pub use self::command::{Command, Happening, Identity, Reply, Sendable};
use self::lobby::RoomCheck;
use self::play::Play;
use self::requests::Requests;
use self::room::RoomView;
use crate::config::{CLIENT_VERSION_NAME, LATE_LOGIN_MAX, PING_INTERVAL_BOUNDS, RECONNECT_JITTER, STABLE_AFTER};
use crate::{CallError, ClientConfig, Disconnect, Ended, Event, InputCount};

/// How the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// → `Dialling` then.
    Waiting { until: Instant },
    /// → `LoggingIn` when connected, `Waiting` when that fails or takes too long.
    Dialling { deadline: Instant },
    /// → `Online` by the welcome, `Waiting` or `Ended` otherwise.
    LoggingIn { deadline: Instant },
    /// → `Waiting` when the connection is lost, `Ended` when the gateway wants no other.
    Online(Online),
    /// Nothing changes any more.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Online {
    since: Instant,
    /// When the gateway was last heard.
    heard: Instant,
    /// When the last PING went out.
    pinged: Instant,
    /// How often one does while no game is played.
    ping_interval: Duration,
}

/// The whole client, without its IO.
#[derive(Debug)]
pub struct Machine {
    config: ClientConfig,
    rng: SmallRng,
    phase: Phase,
    /// Since when the client is not online.
    offline_since: Instant,
    last_failure: Option<Disconnect>,
    backoff: Backoff,
    /// Whether the next attempt is made at once: the last connection held.
    is_prompt: bool,
    /// The places of the addresses in the order in which they are tried.
    order: Vec<usize>,
    /// How many connections were tried; it chooses the address.
    attempts: usize,
    /// When a login was given up that nobody has answered. It may yet be carried out.
    late_login: Option<Instant>,
    identity: Option<Identity>,
    /// The application wants to be logged out: no other connection follows.
    is_logging_out: bool,
    requests: Requests,
    room: RoomView,
    room_check: RoomCheck,
    play: Play,
}

impl Machine {
    /// A client that connects at the first [`Happening::Timer`]. `first_request` must be one that no earlier life of
    /// the session has used: a random number.
    pub fn new(config: ClientConfig, now: Instant, first_request: RequestId, mut rng: SmallRng) -> Self {
        Self {
            order: draw_order(&config, &mut rng),
            backoff: Backoff::new(config.reconnect_backoff),
            is_prompt: true,
            play: Play::new(config.auto_attach),
            config,
            rng,
            phase: Phase::Waiting { until: now },
            offline_since: now,
            last_failure: None,
            attempts: 0,
            late_login: None,
            identity: None,
            is_logging_out: false,
            requests: Requests::new(first_request),
            room: RoomView::default(),
            room_check: RoomCheck::default(),
        }
    }

    /// Takes in what happened and says what is to be done.
    pub fn handle(&mut self, now: Instant, happening: Happening) -> Vec<Command> {
        let mut out = Vec::new();
        if self.phase == Phase::Ended {
            return out;
        }
        match happening {
            Happening::Timer => self.timer(now, &mut out),
            Happening::Connected => self.connected(now, &mut out),
            Happening::Lost(why) => self.lost(now, why, &mut out),
            Happening::Frame(frame) => self.frame(now, frame, &mut out),
            Happening::Call { id, request, deadline } => self.call(id, &request, deadline, &mut out),
            Happening::Attach(game) => self.attach(now, game, &mut out),
            Happening::Input(payload) => self.play.send(&payload, &mut out),
            Happening::Logout => self.logout(&mut out),
            Happening::Close => self.end(Ended::Closed, &mut out),
        }
        out
    }

    /// When [`Happening::Timer`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Waiting { until } => until.min(self.give_up_at()),
            Phase::Dialling { deadline } | Phase::LoggingIn { deadline } => deadline.min(self.give_up_at()),
            Phase::Online(online) => {
                let interval = self.ping_interval(&online);
                (online.pinged + interval).min(online.heard + 2 * interval)
            }
            Phase::Ended => return None,
        };
        let lobby = if self.is_online() { self.room_check.deadline() } else { None };
        [Some(phase), self.requests.deadline(), lobby, self.play.deadline()].into_iter().flatten().min()
    }

    /// A request id that the session has not used.
    pub fn new_request_id(&mut self) -> RequestId {
        self.requests.new_id()
    }

    /// Whether another call can be taken now.
    pub fn can_call(&self) -> bool {
        self.requests.has_room()
    }

    /// The game that the client is in.
    pub fn game(&self) -> Option<GameId> {
        self.play.game()
    }

    /// How far the inputs of the game are.
    pub fn inputs(&self) -> InputCount {
        self.play.inputs()
    }

    /// Whether an input of this size for this game can be taken now.
    pub fn can_send(&self, game: GameId, bytes: usize) -> Sendable {
        self.play.can_send(game, bytes)
    }

    /// The connection is not being read, because the application does not take its events: the gateway's silence says nothing.
    pub fn excuse_silence(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Online(online) => online.heard = now,
            Phase::LoggingIn { deadline } => *deadline = now + self.config.handshake_timeout,
            Phase::Waiting { .. } | Phase::Dialling { .. } | Phase::Ended => {}
        }
    }

    fn is_online(&self) -> bool {
        matches!(self.phase, Phase::Online(_))
    }

    fn patience(&self) -> Duration {
        if self.identity.is_some() { self.config.reconnect_timeout } else { self.config.connect_timeout }
    }

    fn give_up_at(&self) -> Instant {
        self.offline_since + self.patience()
    }

    fn timer(&mut self, now: Instant, out: &mut Vec<Command>) {
        for expired in self.requests.expired(now) {
            self.answer(now, expired, Err(CallError::Timeout), out);
        }
        match self.phase {
            Phase::Online(online) => self.online_timer(now, online, out),
            _ if self.give_up_at() <= now => self.give_up(out),
            Phase::Waiting { until } if until <= now => self.dial(now, out),
            Phase::Dialling { deadline } | Phase::LoggingIn { deadline } if deadline <= now => {
                self.lost(now, Disconnect::LoginTimeout(self.config.handshake_timeout), out);
            }
            _ => {}
        }
    }

    /// Who plays wants to know soon that the gateway hangs; who does not can wait.
    fn ping_interval(&self, online: &Online) -> Duration {
        if self.play.game().is_some() {
            online.ping_interval.min(self.config.playing_ping_interval.max(PING_INTERVAL_BOUNDS[0]))
        } else {
            online.ping_interval
        }
    }

    fn online_timer(&mut self, now: Instant, mut online: Online, out: &mut Vec<Command>) {
        let interval = self.ping_interval(&online);
        if let Some(late) = now.checked_duration_since(online.heard + 2 * interval) {
            if late <= interval / 2 {
                return self.lost(now, Disconnect::Silent(now - online.heard), out);
            }
            // This program itself was held up, and what the gateway sent may wait unread: one more interval.
            online.heard = now - interval;
        }
        if online.pinged + interval <= now {
            online.pinged = now;
            out.push(Command::Frame(kind::client::PING, Bytes::new()));
        }
        self.phase = Phase::Online(online);
        self.room_timer(now, out);
        self.play.timer(now, &mut self.rng, out);
    }

    fn dial(&mut self, now: Instant, out: &mut Vec<Command>) {
        if self.order.is_empty() {
            return self.end(Ended::NoAddress, out);
        }
        self.phase = Phase::Dialling { deadline: now + self.config.handshake_timeout };
        out.push(Command::Dial(self.order[self.attempts % self.order.len()]));
        self.attempts = self.attempts.wrapping_add(1);
    }

    fn connected(&mut self, now: Instant, out: &mut Vec<Command>) {
        if !matches!(self.phase, Phase::Dialling { .. }) {
            return;
        }
        self.phase = Phase::LoggingIn { deadline: now + self.config.handshake_timeout };
        let token = self.identity.as_ref().map(|identity| &identity.resume_token).or(self.config.resume_token.as_ref());
        let login = Login {
            version: CLIENT_VERSION,
            name: self.config.name.clone(),
            resume_token: token.map(ToString::to_string).unwrap_or_default(),
            client: CLIENT_VERSION_NAME.to_owned(),
        };
        out.push(Command::Frame(kind::client::LOGIN, login.encode_to_vec().into()));
    }

    /// The connection, or the attempt to open one, came to nothing: there will be another.
    fn lost(&mut self, now: Instant, why: Disconnect, out: &mut Vec<Command>) {
        if matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        if self.is_logging_out {
            return self.end(Ended::LoggedOut, out);
        }
        out.push(Command::Hangup);
        if matches!(self.phase, Phase::LoggingIn { .. }) && !why.is_answer() {
            self.late_login = Some(now);
        }
        if let Phase::Online(online) = self.phase {
            if now >= online.since + STABLE_AFTER {
                self.backoff.succeed();
                self.is_prompt = true;
            }
            self.offline_since = now;
            self.forget_room_check();
            out.push(Command::Emit(Event::Disconnected { why: why.clone() }));
            self.play.offline(now, out);
        }
        self.last_failure = Some(why);
        self.phase = Phase::Waiting { until: now + self.pause() };
    }

    /// How long to wait before the next attempt.
    fn pause(&mut self) -> Duration {
        if std::mem::take(&mut self.is_prompt) {
            RECONNECT_JITTER.mul_f64(self.rng.random::<f64>())
        } else {
            self.backoff.fail(&mut self.rng)
        }
    }

    fn give_up(&mut self, out: &mut Vec<Command>) {
        let after = self.patience();
        let last = self.last_failure.take().unwrap_or(Disconnect::LoginTimeout(after));
        self.end(Ended::GaveUp { after, last }, out);
    }

    fn logout(&mut self, out: &mut Vec<Command>) {
        if self.is_online() {
            self.is_logging_out = true;
            out.push(Command::Frame(kind::client::LOGOUT, Bytes::new()));
        } else {
            self.end(Ended::Closed, out);
        }
    }

    /// Ends the client for good.
    fn end(&mut self, why: Ended, out: &mut Vec<Command>) {
        for id in self.requests.drain() {
            out.push(Command::Answer(id, Err(CallError::Ended(why.clone()))));
        }
        self.phase = Phase::Ended;
        out.push(Command::Hangup);
        out.push(Command::Emit(Event::Ended(why.clone())));
        out.push(Command::End(why));
    }

    fn frame(&mut self, now: Instant, frame: Frame, out: &mut Vec<Command>) {
        let result = match &mut self.phase {
            Phase::LoggingIn { .. } => self.login_frame(now, frame, out),
            Phase::Online(online) => {
                online.heard = now;
                self.online_frame(now, frame, out)
            }
            // A frame of a connection that was hung up.
            Phase::Waiting { .. } | Phase::Dialling { .. } | Phase::Ended => Ok(()),
        };
        if let Err(malformed) = result {
            self.lost(now, Disconnect::Malformed(malformed.0), out);
        }
    }

    fn login_frame(&mut self, now: Instant, frame: Frame, out: &mut Vec<Command>) -> Result<(), Malformed> {
        match frame.kind {
            kind::client::WELCOME => self.welcome(now, Welcome::decode(frame.body)?, out),
            kind::client::ERROR => {
                self.login_refused(now, Error::decode(frame.body)?, out);
                Ok(())
            }
            kind::client::GOODBYE => {
                self.goodbye(now, Goodbye::decode(frame.body)?, out);
                Ok(())
            }
            kind if is_unknown(kind) => Ok(()),
            other => Err(Malformed(format!("a frame of kind {other} came before the answer to the login"))),
        }
    }

    fn online_frame(&mut self, now: Instant, frame: Frame, out: &mut Vec<Command>) -> Result<(), Malformed> {
        match frame.kind {
            kind::client::PONG => Ok(()),
            kind::client::LOBBY_REPLY => self.lobby_reply(now, frame.body, out),
            kind::client::LOBBY_EVENT => self.lobby_event(now, frame.body, out),
            kind::client::ERROR => {
                let error = Error::decode(frame.body)?;
                let why = Disconnect::Refused { code: error.code(), message: error.message };
                self.lost(now, why, out);
                Ok(())
            }
            kind::client::GOODBYE => {
                self.goodbye(now, Goodbye::decode(frame.body)?, out);
                Ok(())
            }
            kind::client::GAME_ATTACHED..=kind::client::GAME_ENDED => self.play.frame(now, frame, &mut self.rng, out),
            kind if is_unknown(kind) => Ok(()),
            other => Err(Malformed(format!("no frame of kind {other} is sent to a client that is logged in"))),
        }
    }

    fn welcome(&mut self, now: Instant, welcome: Welcome, out: &mut Vec<Command>) -> Result<(), Malformed> {
        let token =
            welcome.resume_token.parse().map_err(|_| Malformed("the welcome's resume token is none".to_owned()))?;
        let identity = Identity { session: SessionId(welcome.session), name: welcome.name, resume_token: token };
        if self.identity.as_ref().is_some_and(|before| before.session != identity.session) {
            self.end(Ended::SessionLost, out);
            return Ok(());
        }
        let [shortest, longest] = PING_INTERVAL_BOUNDS;
        let asked = Duration::from_millis(welcome.ping_interval_ms.into()).clamp(shortest, longest);
        let asked = if welcome.ping_interval_ms == 0 { longest } else { asked };
        let ping_interval = asked.min(self.config.ping_interval.max(shortest));
        let online = Online { since: now, heard: now, pinged: now, ping_interval };
        self.phase = Phase::Online(online);
        self.identity = Some(identity.clone());
        out.push(Command::Identify(identity));
        out.push(Command::Emit(Event::Connected { resumed: welcome.resumed, gateway: welcome.gateway }));
        out.extend(self.requests.again());
        if welcome.resumed {
            self.check_room(now, out);
        }
        self.play.online(now, out);
        Ok(())
    }

    fn login_refused(&mut self, now: Instant, error: Error, out: &mut Vec<Command>) {
        let code = error.code();
        let passes = matches!(code, ErrorCode::LoginTimeout | ErrorCode::Unavailable | ErrorCode::TooManyRequests);
        if error.retry || passes {
            self.lost(now, Disconnect::Refused { code, message: error.message }, out);
        } else {
            self.end(Ended::LoginRefused { code, message: error.message }, out);
        }
    }

    fn goodbye(&mut self, now: Instant, goodbye: Goodbye, out: &mut Vec<Command>) {
        let reason = goodbye.reason();
        match reason {
            _ if goodbye.reconnect => self.lost(now, Disconnect::Goodbye { reason, message: goodbye.message }, out),
            GoodbyeReason::Replaced if self.has_replaced_itself(now) => {
                self.is_prompt = true;
                self.lost(now, Disconnect::Goodbye { reason, message: goodbye.message }, out);
            }
            GoodbyeReason::Replaced => self.end(Ended::Replaced, out),
            GoodbyeReason::LoggedOut => self.end(Ended::LoggedOut, out),
            _ => self.end(Ended::Goodbye { reason, message: goodbye.message }, out),
        }
    }

    /// Whether the connection that took this one's place may come from a login of this very client, which it had given
    /// up. That excuses one goodbye: if someone else has the session, the next one says so.
    fn has_replaced_itself(&mut self, now: Instant) -> bool {
        self.late_login.take().is_some_and(|given_up| now < given_up + LATE_LOGIN_MAX)
    }
}

/// The addresses in the order in which a client tries them.
fn draw_order(config: &ClientConfig, rng: &mut SmallRng) -> Vec<usize> {
    let mut order: Vec<_> = (0..config.addresses.len()).collect();
    order.shuffle(rng);
    if let Some(place) = order.iter().position(|&index| Some(index) == config.first_address) {
        order.swap(0, place);
    }
    order
}

/// Whether a frame of this kind is one that only a newer gateway sends: it is not for this client, and no fault.
const fn is_unknown(kind: u8) -> bool {
    const FIRST_OF_GATEWAY: u8 = 128;
    kind >= FIRST_OF_GATEWAY
        && !matches!(
            kind,
            kind::client::WELCOME..=kind::client::GOODBYE
                | kind::client::LOBBY_REPLY
                | kind::client::LOBBY_EVENT
                | kind::client::GAME_ATTACHED..=kind::client::GAME_ENDED
        )
}

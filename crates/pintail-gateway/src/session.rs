//! One logged-in connection: what its client is told, and over which link it plays.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pintail_core::{GameId, Generation, Incarnation, PlayerName, SessionId, TokenHash};
use pintail_net::{Outbox, PushError};
use pintail_store::HeldSession;
use pintail_wire::Message;
use pintail_wire::client::{Error, ErrorCode, GameAttach, GameDetachReason, GameDetached, Goodbye, GoodbyeReason};
use pintail_wire::kind::{client as kind, link as link_kind};
use pintail_wire::link::{Attach, Detach};

use crate::departures::{Departure, Leave};
use crate::links::Link;
use crate::traffic::Traffic;

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) generation: Generation,
    pub(crate) name: PlayerName,
    pub(crate) token: TokenHash,
    pub(crate) outbox: Arc<Outbox>,
    /// Counts what is said to all clients.
    traffic: Arc<Traffic>,
    seat: Mutex<Seat>,
    /// The serial of the link that the game is heard over; 0 for none. It stands beside the seat so that a delivery costs
    /// no lock of its own for each recipient.
    heard_over: AtomicU64,
    logged_out: AtomicBool,
    /// How many checks in a row have heard nothing from the client.
    silences: AtomicU8,
}

/// That many checks in a row that heard nothing mean that nobody is there.
const SILENCES_MAX: u8 = 3;

/// Counts the attaches that a client asked for: only the newest matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AttachNumber(u64);

/// Why a session was not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachFailed {
    /// The client is gone, or has asked for another attach since.
    Outdated,
    /// The link takes nothing.
    Unsent(PushError),
}

/// What a session plays.
#[derive(Debug, Default)]
struct Seat {
    attachment: Option<Attachment>,
    /// Whether the game's server itself has told the client that this stream is closed.
    is_told: bool,
    /// What it played until it lost the game's server, and until it plays again.
    lost: Option<LostGame>,
    /// The newest attach that the client asked for.
    asked: AttachNumber,
    /// The connection is over: it plays no more.
    has_left: bool,
}

/// The server that a game of a session was on last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastServer {
    /// The session plays there, as far as it knows.
    Linked(Incarnation),
    /// The session's link to it broke a short while ago, or it has taken the game over since.
    Lost(Incarnation),
}

impl LastServer {
    pub(crate) const fn incarnation(self) -> Incarnation {
        match self {
            Self::Linked(incarnation) | Self::Lost(incarnation) => incarnation,
        }
    }
}

/// A game that was played until its server was lost.
#[derive(Debug, Clone, Copy)]
struct LostGame {
    game: GameId,
    /// The server that had it, or has taken it over since.
    server: Incarnation,
    at: Instant,
}

/// For how long a game whose link broke is there even if the store does not know it: a store that came back empty hears
/// of it anew within a renewal or two.
const LOST_GAME_KEPT: Duration = Duration::from_secs(15);

/// The game that a session plays, and the link that leads there.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    pub(crate) game: GameId,
    pub(crate) link: Arc<Link>,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        generation: Generation,
        name: PlayerName,
        token: TokenHash,
        outbox: Arc<Outbox>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            id,
            generation,
            name,
            token,
            outbox,
            traffic,
            seat: Mutex::default(),
            heard_over: AtomicU64::new(0),
            logged_out: AtomicBool::new(false),
            silences: AtomicU8::new(0),
        }
    }

    /// What the store is told of it.
    pub(crate) fn held(&self) -> HeldSession {
        HeldSession {
            session: self.id,
            generation: self.generation,
            name: self.name.clone(),
            token: self.token.clone(),
        }
    }

    /// What the store is told when its connection is over.
    pub(crate) fn departure(&self) -> Departure {
        let leave = if self.is_logged_out() { Leave::LoggedOut } else { Leave::Away };
        Departure { session: self.id, generation: self.generation, leave }
    }

    /// Queues a control message; a connection that can't take it is closed, or closing.
    pub(crate) fn push(&self, kind: u8, message: &impl Message) {
        self.push_parts(kind, &[&message.encode_to_vec()]);
    }

    /// The same for a message whose body is these parts in order.
    pub(crate) fn push_parts(&self, kind: u8, parts: &[&[u8]]) {
        match self.outbox.push(kind, parts) {
            Ok(()) => self.traffic.sent(kind, 1, parts.iter().map(|part| part.len() as u64).sum()),
            Err(PushError::Full) => self.cut_slow(),
            Err(PushError::Closed) => {}
        }
    }

    /// Cuts off a client that does not read; it can come back and resume where it was.
    pub(crate) fn cut_slow(&self) {
        let error = Error {
            code: ErrorCode::TooSlow.into(),
            message: "too much is waiting for this client: it reads too slowly".to_owned(),
            retry: true,
        };
        self.outbox.close_with(kind::ERROR, &[&error.encode_to_vec()]);
    }

    /// Closes the connection with a goodbye.
    pub(crate) fn say_goodbye(&self, reason: GoodbyeReason, message: &str, reconnect: bool) {
        let goodbye = Goodbye { reason: reason.into(), message: message.to_owned(), reconnect };
        self.outbox.close_with(kind::GOODBYE, &[&goodbye.encode_to_vec()]);
    }

    /// Closes the connection because the session has a newer one.
    pub(crate) fn replaced(&self) {
        self.say_goodbye(GoodbyeReason::Replaced, "this player has connected again from elsewhere", false);
    }

    /// Closes the connection because the gateway stops.
    pub(crate) fn stopped(&self) {
        self.say_goodbye(GoodbyeReason::Shutdown, "this gateway is stopping", true);
    }

    /// Tells the client that it plays no longer, and whether to attach again.
    pub(crate) fn push_detached(&self, game: GameId, reason: GameDetachReason, message: &str, retry: bool) {
        let detached = GameDetached {
            room: game.room.0,
            round: game.round.0,
            reason: reason.into(),
            message: message.to_owned(),
            retry,
        };
        self.push(kind::GAME_DETACHED, &detached);
    }

    /// The client ended the session, rather than only this connection.
    pub(crate) fn mark_logged_out(&self) {
        self.logged_out.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_logged_out(&self) -> bool {
        self.logged_out.load(Ordering::Relaxed)
    }

    /// Something came from the client.
    pub(crate) fn heard(&self) {
        self.silences.store(0, Ordering::Relaxed);
    }

    /// One more check for silence. Returns whether nobody has been heard for too long.
    pub(crate) fn is_silent_again(&self) -> bool {
        let one_more = self.silences.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_add(1));
        one_more == Ok(SILENCES_MAX - 1)
    }

    /// Whether the connection was closed because nothing was heard.
    pub(crate) fn is_idle(&self) -> bool {
        self.silences.load(Ordering::Relaxed) >= SILENCES_MAX
    }

    pub(crate) fn attachment(&self) -> Option<Attachment> {
        self.lock().attachment.clone()
    }

    /// The client asks for an attach: those that it asked for before count no more.
    pub(crate) fn next_attach(&self) -> AttachNumber {
        let mut seat = self.lock();
        seat.asked = AttachNumber(seat.asked.0 + 1);
        seat.asked
    }

    /// Whether the client has asked for another attach since, or is gone.
    pub(crate) fn is_outdated(&self, number: AttachNumber) -> bool {
        self.lock().is_outdated(number)
    }

    /// Whether what a game says over this link is for the session: it is attached there, or about to be.
    pub(crate) fn plays_over(&self, link: &Link) -> bool {
        self.heard_over.load(Ordering::Relaxed) == link.serial
    }

    /// Opens the session's stream to a game, and closes the one before. What is sent for both leaves in this order, and
    /// whoever finds the link broken later finds the session on it.
    pub(crate) fn attach(
        &self,
        number: AttachNumber,
        attachment: Attachment,
        wanted: &GameAttach,
    ) -> Result<(), AttachFailed> {
        let mut seat = self.lock();
        if seat.is_outdated(number) {
            return Err(AttachFailed::Outdated);
        }
        let attach = Attach {
            session: self.id.0,
            generation: self.generation.0,
            room: wanted.room,
            round: wanted.round,
            received: wanted.received,
            step_seen: wanted.step_seen,
            acknowledged: wanted.acknowledged,
        };
        // Before the server can answer.
        let before = self.heard_over.swap(attachment.link.serial, Ordering::Relaxed);
        if let Err(error) = attachment.link.outbox.push(link_kind::ATTACH, &[&attach.encode_to_vec()]) {
            self.heard_over.store(before, Ordering::Relaxed);
            return Err(AttachFailed::Unsent(error));
        }
        seat.lost = None;
        seat.is_told = false;
        let is_other =
            |before: &Attachment| (before.game, before.link.serial) != (attachment.game, attachment.link.serial);
        if let Some(before) = seat.attachment.take().filter(is_other) {
            self.send_detach(&before);
        }
        seat.attachment = Some(attachment);
        Ok(())
    }

    /// The connection is over: its game hears of it, and it plays no more.
    pub(crate) fn leave(&self) {
        let mut seat = self.lock();
        seat.has_left = true;
        self.heard_over.store(0, Ordering::Relaxed);
        if let Some(attachment) = seat.attachment.take() {
            self.send_detach(&attachment);
        }
    }

    fn send_detach(&self, attachment: &Attachment) {
        let Attachment { game, link } = attachment;
        let (session, generation) = (self.id.0, self.generation.0);
        let detach = Detach { session, generation, room: game.room.0, round: game.round.0 };
        // A link that can't take it is about to break, which says the same.
        let _ = link.outbox.push(link_kind::DETACH, &[&detach.encode_to_vec()]);
    }

    /// The game's server tells the client over this link that it plays no longer. Whoever finds later that the stream is
    /// of no more use need not say so again: the client would answer each word with an attach of its own.
    pub(crate) fn hear_detached(&self, link: &Link, game: GameId) {
        let mut seat = self.lock();
        let is_this = |there: &Attachment| (there.game, there.link.serial) == (game, link.serial);
        if seat.attachment.as_ref().is_some_and(is_this) {
            seat.is_told = true;
        }
    }

    /// Forgets the game if it is played over this link; returns it if the client is to be told.
    pub(crate) fn detach_from(&self, link: &Link) -> Option<GameId> {
        let mut seat = self.lock();
        let found = seat.attachment.take_if(|attachment| attachment.link.serial == link.serial)?;
        self.heard_over.store(0, Ordering::Relaxed);
        seat.lost = Some(LostGame { game: found.game, server: link.incarnation, at: Instant::now() });
        (!seat.is_told).then_some(found.game)
    }

    /// A server has taken games over. A session that plays one of them elsewhere is detached; returns the game if the
    /// client is to be told.
    pub(crate) fn moved(&self, games: &HashSet<GameId>, link: &Link) -> Option<GameId> {
        let mut seat = self.lock();
        let is_moved = |there: &mut Attachment| there.link.serial != link.serial && games.contains(&there.game);
        let left = seat.attachment.take_if(is_moved);
        if let Some(attachment) = &left {
            self.heard_over.store(0, Ordering::Relaxed);
            self.send_detach(attachment);
        }
        let left = left.map(|attachment| attachment.game);
        if let Some(game) = left.or(seat.lost.map(|lost| lost.game).filter(|game| games.contains(game))) {
            seat.lost = Some(LostGame { game, server: link.incarnation, at: Instant::now() });
        }
        left.filter(|_| !seat.is_told)
    }

    /// Which server runs this game, as far as the session knows.
    pub(crate) fn last_server(&self, game: GameId) -> Option<LastServer> {
        let seat = self.lock();
        if let Some(attachment) = seat.attachment.as_ref().filter(|attachment| attachment.game == game) {
            return Some(LastServer::Linked(attachment.link.incarnation));
        }
        let lost = seat.lost.filter(|lost| lost.game == game && lost.at.elapsed() < LOST_GAME_KEPT)?;
        Some(LastServer::Lost(lost.server))
    }

    fn lock(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn is_outdated(&self, number: AttachNumber) -> bool {
        self.has_left || self.asked != number
    }
}

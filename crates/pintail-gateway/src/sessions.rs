//! Who is connected here, and over which link each one plays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pintail_core::{GameId, Generation, Incarnation, PlayerName, SessionId, TokenHash};
use pintail_net::{Outbox, PushError};
use pintail_store::HeldSession;
use pintail_wire::Message;
use pintail_wire::client::{Error, ErrorCode, GameDetachReason, GameDetached, Goodbye, GoodbyeReason};
use pintail_wire::kind::client as kind;

use crate::links::Link;

/// A logged-in connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) generation: Generation,
    pub(crate) name: PlayerName,
    pub(crate) token: TokenHash,
    pub(crate) outbox: Arc<Outbox>,
    seat: Mutex<Seat>,
    attaches: Attaches,
    logged_out: AtomicBool,
}

/// The most attaches of one session whose game is being looked up.
const ATTACHES_MAX: u32 = 4;

/// The attaches that a session's client asked for.
#[derive(Debug, Default)]
struct Attaches {
    asked: AtomicU32,
    under_way: AtomicU32,
}

/// An attach whose game is being looked up.
#[derive(Debug)]
pub(crate) struct AttachLookup {
    pub(crate) session: Arc<Session>,
    number: u32,
}

impl AttachLookup {
    /// Whether the result still matters: no later attach was asked for, and the client is there.
    pub(crate) fn is_current(&self) -> bool {
        self.session.attaches.asked.load(Ordering::Relaxed) == self.number && !self.session.outbox.is_closed()
    }
}

impl Drop for AttachLookup {
    fn drop(&mut self) {
        self.session.attaches.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a session plays.
#[derive(Debug, Default)]
struct Seat {
    attachment: Option<Attachment>,
    /// What it played over a link that broke, until it plays again.
    lost: Option<LostGame>,
}

/// A game that was played over a link that broke.
#[derive(Debug, Clone, Copy)]
struct LostGame {
    game: GameId,
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
    ) -> Self {
        Self {
            id,
            generation,
            name,
            token,
            outbox,
            seat: Mutex::default(),
            attaches: Attaches::default(),
            logged_out: AtomicBool::new(false),
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

    /// Queues a control message; a connection that can't take it is closing or about to be closed.
    pub(crate) fn push(&self, kind: u8, message: &impl Message) {
        // The one who finds the outbox full on the message path closes it.
        let _ = self.outbox.push(kind, &[&message.encode_to_vec()]);
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

    /// Starts to look up the game of an attach; `None` if too many lookups are under way.
    pub(crate) fn begin_attach(self: &Arc<Self>) -> Option<AttachLookup> {
        if self.attaches.under_way.fetch_add(1, Ordering::Relaxed) >= ATTACHES_MAX {
            self.attaches.under_way.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let number = self.attaches.asked.fetch_add(1, Ordering::Relaxed) + 1;
        Some(AttachLookup { session: self.clone(), number })
    }

    /// The client ended the session, rather than only this connection.
    pub(crate) fn mark_logged_out(&self) {
        self.logged_out.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_logged_out(&self) -> bool {
        self.logged_out.load(Ordering::Relaxed)
    }

    pub(crate) fn attachment(&self) -> Option<Attachment> {
        self.lock().attachment.clone()
    }

    /// Turns to another game; returns the one before.
    pub(crate) fn attach(&self, attachment: Attachment) -> Option<Attachment> {
        let mut seat = self.lock();
        seat.lost = None;
        seat.attachment.replace(attachment)
    }

    /// Forgets the game; returns it.
    pub(crate) fn detach(&self) -> Option<Attachment> {
        self.lock().attachment.take()
    }

    /// Forgets the game if it is played over this link; returns it.
    pub(crate) fn detach_from(&self, link: &Link) -> Option<GameId> {
        let mut seat = self.lock();
        let found = seat.attachment.take_if(|attachment| attachment.link.serial == link.serial)?;
        seat.lost = Some(LostGame { game: found.game, server: link.incarnation, at: Instant::now() });
        Some(found.game)
    }

    /// Which server ran this game, if the session played it until its link broke a short while ago.
    pub(crate) fn lately_played(&self, game: GameId) -> Option<Incarnation> {
        let lost = self.lock().lost.filter(|lost| lost.game == game && lost.at.elapsed() < LOST_GAME_KEPT)?;
        Some(lost.server)
    }

    fn lock(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions of this gateway.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<SessionId, Arc<Session>>>);

impl Sessions {
    /// Adds a session; the connection that it had here before is returned. A newer one that is here already stays, and
    /// the one to be added is refused.
    pub(crate) fn insert(&self, session: Arc<Session>) -> Result<Option<Arc<Session>>, Replaced> {
        let mut sessions = self.lock();
        if sessions.get(&session.id).is_some_and(|there| there.generation > session.generation) {
            return Err(Replaced);
        }
        Ok(sessions.insert(session.id, session))
    }

    /// Removes a session, if this connection is still its current one here.
    pub(crate) fn remove(&self, session: &Session) -> bool {
        let mut sessions = self.lock();
        let current = sessions.get(&session.id).is_some_and(|there| there.generation == session.generation);
        if current {
            sessions.remove(&session.id);
        }
        current
    }

    /// Whether this very connection is here.
    pub(crate) fn has(&self, session: &Session) -> bool {
        self.get(session.id).is_some_and(|there| there.generation == session.generation)
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<Arc<Session>> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Queues one frame for each recipient: its own head, then what all share. Returns how many were queued and how
    /// many sessions are not here.
    pub(crate) fn deliver<'a>(
        &self,
        client_kind: u8,
        recipients: impl Iterator<Item = (SessionId, &'a [u8])>,
        shared: &[u8],
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let sessions = self.lock();
        for (id, head) in recipients {
            let Some(session) = sessions.get(&id) else {
                delivered.absent += 1;
                continue;
            };
            let pushed = if client_kind == kind::GAME_STATE {
                session.outbox.push_latest(client_kind, &[head, shared])
            } else {
                session.outbox.push(client_kind, &[head, shared])
            };
            match pushed {
                Ok(()) => delivered.queued += 1,
                Err(PushError::Full) => close_slow(&session.outbox),
                Err(PushError::Closed) => delivered.absent += 1,
            }
        }
        delivered
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A newer connection of the same session is here already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced;

/// What became of one delivery.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) queued: u64,
    pub(crate) absent: u64,
}

/// A client that does not read is cut off; it can come back and resume where it was.
fn close_slow(outbox: &Outbox) {
    let error = Error {
        code: ErrorCode::TooSlow.into(),
        message: "too much is waiting for this client: it reads too slowly".to_owned(),
        retry: true,
    };
    outbox.close_with(kind::ERROR, &[&error.encode_to_vec()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64, generation: u64) -> Arc<Session> {
        let name = PlayerName::new("someone").unwrap();
        let token = pintail_core::ResumeToken::random().hash();
        Arc::new(Session::new(SessionId(id), Generation(generation), name, token, Outbox::new(64)))
    }

    #[test]
    fn the_newer_connection_stays_whichever_comes_first() {
        let sessions = Sessions::default();
        let (old, new) = (session(1, 1), session(1, 2));
        assert!(matches!(sessions.insert(old.clone()), Ok(None)));
        let replaced = sessions.insert(new.clone()).unwrap().unwrap();
        assert_eq!(replaced.generation, old.generation);
        assert_eq!(sessions.insert(old.clone()).unwrap_err(), Replaced);
        assert!(!sessions.remove(&old), "the old connection's end does not remove the new one");
        assert!(sessions.remove(&new));
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn a_delivery_reaches_who_is_here_and_cuts_off_who_does_not_read() {
        let sessions = Sessions::default();
        let (reader, sleeper) = (session(1, 1), session(2, 1));
        sessions.insert(reader.clone()).unwrap();
        sessions.insert(sleeper.clone()).unwrap();
        let everyone = [(SessionId(1), &b"h"[..]), (SessionId(2), &b"h"[..]), (SessionId(3), &b"h"[..])];
        for _ in 0..10 {
            let delivered = sessions.deliver(kind::GAME_MESSAGE, everyone.into_iter(), b"0123456789");
            assert!(delivered.absent >= 1);
            assert!(!reader.outbox.take().is_empty());
        }
        assert!(sleeper.outbox.is_closed());
        assert!(!reader.outbox.is_closed());
    }
}

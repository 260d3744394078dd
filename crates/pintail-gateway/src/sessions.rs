//! Who is connected here, and what the servers send them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pintail_core::{GameId, RoomId, Round, SessionId};
use pintail_net::PushError;
use pintail_wire::Message;
use pintail_wire::client::GameDetached;
use pintail_wire::kind::client as kind;
use rustc_hash::FxHashMap;

use crate::links::Link;
use crate::session::Session;

/// The sessions of this gateway.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<FxHashMap<SessionId, Arc<Session>>>);

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

    /// Queues one frame for each recipient: its own head, then what all share. What a game says reaches only those who
    /// play it over this link: whoever went on elsewhere must not hear the server that lost the game.
    pub(crate) fn deliver<'a>(
        &self,
        link: &Link,
        client_kind: u8,
        recipients: impl Iterator<Item = (SessionId, &'a [u8])>,
        shared: &[u8],
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let is_from_game = matches!(client_kind, kind::GAME_ATTACHED..=kind::GAME_ENDED);
        let detached = (client_kind == kind::GAME_DETACHED).then(|| game_of(shared)).flatten();
        let sessions = self.lock();
        for (id, head) in recipients {
            let Some(session) = sessions.get(&id) else {
                delivered.absent += 1;
                continue;
            };
            if is_from_game && !session.plays_over(link) {
                delivered.fenced += 1;
                continue;
            }
            let pushed = if client_kind == kind::GAME_STATE {
                session.outbox.push_latest(client_kind, &[head, shared])
            } else {
                session.outbox.push(client_kind, &[head, shared])
            };
            match pushed {
                Ok(()) => {
                    delivered.queued += 1;
                    delivered.bytes += (head.len() + shared.len()) as u64;
                }
                Err(PushError::Full) => session.cut_slow(),
                Err(PushError::Closed) => delivered.absent += 1,
            }
            if let Some(game) = detached {
                session.hear_detached(link, game);
            }
        }
        delivered
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<SessionId, Arc<Session>>> {
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
    /// How many bytes the bodies have that were queued.
    pub(crate) bytes: u64,
    /// For sessions that are not here.
    pub(crate) absent: u64,
    /// From a server that the session does not play on.
    pub(crate) fenced: u64,
}

/// The game that a `GAME_DETACHED` is about.
fn game_of(detached: &[u8]) -> Option<GameId> {
    let GameDetached { room, round, .. } = GameDetached::decode(detached).ok()?;
    Some(GameId { room: RoomId(room), round: Round(round) })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use pintail_core::{Endpoint, Generation, Incarnation, Kind, PlayerName, Slot};
    use pintail_engine::directory::Peer;
    use pintail_net::{Identity, Outbox};
    use pintail_wire::client::{GameAttach, GameDetachReason};

    use super::*;
    use crate::links::Links;
    use crate::session::{AttachFailed, Attachment, LastServer};
    use crate::traffic::Traffic;

    fn link(links: &Links, index: u32) -> Arc<Link> {
        let slot = Slot::new(Kind::Game, index);
        let incarnation = Incarnation(u128::from(index));
        let peer = Peer { slot, endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, 1), incarnation: Some(incarnation) };
        links.open(peer, &Identity { cluster: "c".to_owned(), slot, incarnation }, Duration::ZERO)
    }

    fn session(id: u64, generation: u64) -> Arc<Session> {
        counted_session(id, generation, Arc::new(Traffic::new()))
    }

    fn counted_session(id: u64, generation: u64, traffic: Arc<Traffic>) -> Arc<Session> {
        let name = PlayerName::new("someone").unwrap();
        let token = pintail_core::ResumeToken::random().hash();
        Arc::new(Session::new(SessionId(id), Generation(generation), name, token, Outbox::new(64), traffic))
    }

    #[test]
    fn what_the_gateway_itself_says_is_counted_unless_the_client_can_not_take_it() {
        let traffic = Arc::new(Traffic::new());
        let session = counted_session(1, 1, traffic.clone());
        let game = GameId { room: pintail_core::RoomId(7), round: pintail_core::Round(1) };
        for _ in 0..3 {
            session.push_detached(
                game,
                GameDetachReason::ServerUnreachable,
                "a text that fills the rest of the queue",
                true,
            );
        }
        let (mut registry, mut text) = (prometheus_client::registry::Registry::default(), String::new());
        traffic.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let queued = session.outbox.take().len();
        assert!(text.contains("client_frames_sent_total{kind=\"game_detached\"} 2\n"), "{queued} bytes: {text}");
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
        let (sessions, link) = (Sessions::default(), link(&Links::default(), 0));
        let (reader, sleeper) = (session(1, 1), session(2, 1));
        sessions.insert(reader.clone()).unwrap();
        sessions.insert(sleeper.clone()).unwrap();
        let everyone = [(SessionId(1), &b"h"[..]), (SessionId(2), &b"h"[..]), (SessionId(3), &b"h"[..])];
        for _ in 0..10 {
            let delivered = sessions.deliver(&link, kind::LOBBY_EVENT, everyone.into_iter(), b"0123456789");
            assert!(delivered.absent >= 1);
            assert!(!reader.outbox.take().is_empty());
        }
        assert!(sleeper.outbox.is_closed());
        assert!(!reader.outbox.is_closed());
    }

    #[test]
    fn a_game_is_heard_over_the_link_that_the_session_plays_over_and_no_other() {
        let (sessions, links) = (Sessions::default(), Links::default());
        let (player, here, elsewhere) = (session(1, 1), link(&links, 1), link(&links, 2));
        sessions.insert(player.clone()).unwrap();
        let hears = |link: &Link| {
            let recipients = [(SessionId(1), &b""[..])].into_iter();
            let delivered = sessions.deliver(link, kind::GAME_STATE, recipients, b"s");
            assert_eq!(delivered.queued + delivered.fenced, 1);
            delivered.queued == 1
        };
        let game = GameId { room: pintail_core::RoomId(1), round: pintail_core::Round(1) };
        let attach = |link: &Arc<Link>| {
            let attachment = Attachment { game, link: link.clone() };
            player.attach(player.next_attach(), attachment, &GameAttach::default())
        };
        assert!(!hears(&here));
        attach(&here).unwrap();
        assert!(hears(&here) && !hears(&elsewhere));
        attach(&elsewhere).unwrap();
        assert!(!hears(&here) && hears(&elsewhere));
        links.close(&here);
        assert_eq!(attach(&here), Err(AttachFailed::Unsent(PushError::Closed)));
        assert!(hears(&elsewhere), "it plays there as before");
        assert_eq!(player.detach_from(&here), None);
        assert_eq!(player.detach_from(&elsewhere), Some(game));
        assert_eq!(player.last_server(game), Some(LastServer::Lost(elsewhere.incarnation)));
        assert!(!hears(&elsewhere));
        let outdated = player.next_attach();
        attach(&elsewhere).unwrap();
        let attachment = Attachment { game, link: here.clone() };
        assert_eq!(player.attach(outdated, attachment, &GameAttach::default()), Err(AttachFailed::Outdated));
        player.leave();
        assert!(!hears(&elsewhere));
        assert_eq!(attach(&elsewhere), Err(AttachFailed::Outdated), "it is gone");
    }

    const GAME: GameId = GameId { room: RoomId(1), round: Round(1) };

    /// A client in [`GAME`] that was told that another game is over, or this one, by the server over this link.
    fn told(links: &Links, told: GameId) -> (Sessions, Arc<Session>, Arc<Link>) {
        let (sessions, player, link) = (Sessions::default(), session(1, 1), link(links, 1));
        sessions.insert(player.clone()).unwrap();
        let attachment = Attachment { game: GAME, link: link.clone() };
        player.attach(player.next_attach(), attachment, &GameAttach::default()).unwrap();
        let detached = GameDetached { room: told.room.0, round: told.round.0, retry: true, ..GameDetached::default() };
        let recipients = [(SessionId(1), &b""[..])].into_iter();
        sessions.deliver(&link, kind::GAME_DETACHED, recipients, &detached.encode_to_vec());
        (sessions, player, link)
    }

    #[test]
    fn a_client_whose_server_told_it_that_the_game_moves_is_not_told_again() {
        let links = Links::default();
        let successor = link(&links, 2);
        let taken = [GAME].into();
        let (_sessions, player, former) = told(&links, GAME);
        assert_eq!(player.moved(&taken, &successor), None);
        assert_eq!(player.last_server(GAME), Some(LastServer::Lost(successor.incarnation)), "it goes there");
        let attachment = Attachment { game: GAME, link: former.clone() };
        player.attach(player.next_attach(), attachment, &GameAttach::default()).unwrap();
        assert_eq!(player.moved(&taken, &successor), Some(GAME), "a stream opened since is another one");

        let (_sessions, player, former) = told(&links, GAME);
        assert_eq!(player.detach_from(&former), None, "nor when the link breaks");
        assert_eq!(player.last_server(GAME), Some(LastServer::Lost(former.incarnation)));

        let late = GameId { round: Round(0), ..GAME };
        let (_sessions, player, _) = told(&links, late);
        assert_eq!(player.moved(&taken, &successor), Some(GAME), "it was another game's stream that closed");
    }

    #[test]
    fn a_client_that_cannot_be_told_that_it_is_detached_is_cut_off() {
        let player = session(1, 1);
        while player.outbox.push(kind::GAME_MESSAGE, &[b"unread"]).is_ok() {}
        assert!(!player.outbox.is_closed());
        player.push_detached(GAME, GameDetachReason::ServerUnreachable, "the link is lost", true);
        assert!(player.outbox.is_closed(), "it would wait for a stream that is closed");
    }
}

//! Attaching sessions to games, and carrying what they send.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::{GameId, RoomId, Round};
use pintail_net::PushError;
use pintail_store::GameRecord;
use pintail_wire::Message;
use pintail_wire::client::{GameAttach, GameDetachReason};
use pintail_wire::kind::link as kind;
use pintail_wire::link::{Attach, Detach};
use tokio::time::timeout;
use tracing::debug;

use crate::links::Link;
use crate::server::{Gateway, STORE_AWAY};
use crate::sessions::{AttachLookup, Attachment, Session};

/// How long a client's input waits for a link whose queue is full.
const LINK_ROOM_TIMEOUT: Duration = pintail_core::limits::LINK_SILENCE_MAX;

/// Why a session was not attached, for the client.
struct Refusal {
    reason: GameDetachReason,
    message: String,
    retry: bool,
}

impl Refusal {
    fn unreachable(message: String) -> Self {
        Self { reason: GameDetachReason::ServerUnreachable, message, retry: true }
    }

    fn over() -> Self {
        let message = "there is no such game, or it is over".to_owned();
        Self { reason: GameDetachReason::NoSuchGame, message, retry: false }
    }
}

impl Gateway {
    /// A client's `GAME_ATTACH`: looks the game up, beside the client's conversation.
    pub(crate) fn begin_attach(self: &Arc<Self>, session: &Arc<Session>, wanted: GameAttach) {
        if let Some(lookup) = session.begin_attach() {
            self.tasks.spawn(self.clone().attach(lookup, wanted));
        } else {
            let game = wanted_game(&wanted);
            session.push_detached(game, GameDetachReason::ServerUnreachable, "too many attaches at once", true);
        }
    }

    /// Finds a game's server and opens the session's stream to it.
    async fn attach(self: Arc<Self>, lookup: AttachLookup, wanted: GameAttach) {
        let game = wanted_game(&wanted);
        let session = &lookup.session;
        let found = self.find_game(session, game).await;
        if !lookup.is_current() {
            return;
        }
        let opened = found.and_then(|link| {
            let attach = Attach {
                session: session.id.0,
                generation: session.generation.0,
                room: wanted.room,
                round: wanted.round,
                received: wanted.received,
                step_seen: wanted.step_seen,
            };
            let unsent = |error: PushError| Refusal::unreachable(format!("{}: {error}", link.slot));
            link.outbox.push(kind::ATTACH, &[&attach.encode_to_vec()]).map_err(unsent)?;
            Ok(link)
        });
        match opened {
            Ok(link) => self.attached(session, Attachment { game, link }),
            Err(refusal) => {
                self.metrics.detaches.inc();
                session.push_detached(game, refusal.reason, &refusal.message, refusal.retry);
            }
        }
    }

    fn attached(&self, session: &Session, attachment: Attachment) {
        self.metrics.attaches.inc();
        let Attachment { game, link } = attachment.clone();
        if let Some(before) = session.attach(attachment)
            && before.game != game
        {
            send_detach(session, &before);
        }
        // The link may have broken between the push and now; whoever saw it break did not find this session on it.
        if link.outbox.is_closed() {
            self.detach_broken(session, &link);
        }
        // And the client may have gone, without finding an attachment to end.
        if session.outbox.is_closed()
            && let Some(attachment) = session.detach()
        {
            send_detach(session, &attachment);
        }
    }

    async fn find_game(&self, session: &Session, game: GameId) -> Result<Arc<Link>, Refusal> {
        let record = self.store.game(game).await.map_err(|error| {
            debug!(%game, %error, "can't look a game up");
            Refusal::unreachable(STORE_AWAY.to_owned())
        })?;
        let Some(GameRecord { owner, outcome, .. }) = record else { return self.find_forgotten(session, game) };
        // The server of a game that is over keeps its last messages for a while, for players who were away.
        self.links.to(owner.slot, owner.incarnation).ok_or_else(|| match outcome {
            Some(_) => Refusal::over(),
            None => Refusal::unreachable(format!("there is no link to {} at the moment", owner.slot)),
        })
    }

    /// A game that the store does not know, which may have lost it. Its server has it, and will put it back.
    fn find_forgotten(&self, session: &Session, game: GameId) -> Result<Arc<Link>, Refusal> {
        let server = session.lately_played(game).ok_or_else(Refusal::over)?;
        let forgotten =
            || Refusal::unreachable("the store has forgotten the game; its server is looked for".to_owned());
        self.links.to_incarnation(server).ok_or_else(forgotten)
    }

    /// Carries a `GAME_INPUT` or `GAME_ACK` to the session's game. Without one it is dropped: what is numbered is sent
    /// again after the next attach. Waits while the link is full, which slows the client down.
    pub(crate) async fn carry(&self, session: &Session, link_kind: u8, body: &Bytes) {
        let Some(Attachment { link, .. }) = session.attachment() else { return };
        let sender = session.id.0.to_be_bytes();
        let carried = async {
            loop {
                match link.outbox.push(link_kind, &[&sender, body]) {
                    // Others who waited may be faster.
                    Err(PushError::Full) => link.outbox.has_room().await,
                    pushed => return pushed.is_ok(),
                }
            }
        };
        if !timeout(LINK_ROOM_TIMEOUT, carried).await.unwrap_or(false) {
            self.detach_broken(session, &link);
        }
    }

    /// The session's link is of no more use: the client is told to attach again.
    pub(crate) fn detach_broken(&self, session: &Session, link: &Link) {
        if let Some(game) = session.detach_from(link) {
            self.metrics.detaches.inc();
            let message = format!("the link to {} is lost", link.slot);
            session.push_detached(game, GameDetachReason::ServerUnreachable, &message, true);
        }
    }

    /// The session's connection is gone: its game hears of it.
    pub(crate) fn detach_gone(session: &Session) {
        if let Some(attachment) = session.detach() {
            send_detach(session, &attachment);
        }
    }
}

fn wanted_game(wanted: &GameAttach) -> GameId {
    GameId { room: RoomId(wanted.room), round: Round(wanted.round) }
}

fn send_detach(session: &Session, attachment: &Attachment) {
    let Attachment { game, link } = attachment;
    let detach =
        Detach { session: session.id.0, generation: session.generation.0, room: game.room.0, round: game.round.0 };
    // A link that can't take it is about to break, which says the same.
    let _ = link.outbox.push(kind::DETACH, &[&detach.encode_to_vec()]);
}

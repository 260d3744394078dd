//! What gateways send.

use bytes::{Buf, Bytes};
use pintail_core::{GameId, Generation, RoomId, Round, SessionId};
use pintail_net::LinkId;
use pintail_wire::client::GameDetachReason;
use pintail_wire::heartbeat::{Heartbeat, StoreSight};
use pintail_wire::link::{Attach, Detach};
use pintail_wire::{Frame, Message as _, game, kind};
use tracing::warn;

use super::{GameHost, deny};
use crate::runtime::running::ATTACHED_ELSEWHERE;
use crate::runtime::{Command, Effects, Now};

impl GameHost {
    pub(super) fn handle_frame(&mut self, now: Now, link: LinkId, frame: Frame, fx: &mut Effects) {
        let body = frame.body;
        let understood = match frame.kind {
            kind::link::HEARTBEAT => {
                // A gateway that does not say reaches the store as far as anyone knows.
                let sight = Heartbeat::decode(&body).map_or(StoreSight::Reached, |heartbeat| heartbeat.store);
                self.voice.see(link, sight);
                fx.push(Command::AnswerHeartbeat(link, body));
                true
            }
            kind::link::INPUT => self.input(now, link, body, fx),
            kind::link::ACK => self.ack(now, link, body, fx),
            kind::link::ATTACH => Attach::decode(body).is_ok_and(|attach| {
                self.attach(now, link, attach, fx);
                true
            }),
            kind::link::DETACH => Detach::decode(body).is_ok_and(|detach| {
                self.detach(now, link, &detach);
                true
            }),
            // A newer gateway's kinds are not for us; its goodbye is followed by the end of the link.
            _ => true,
        };
        if !understood {
            warn!(kind = frame.kind, "a gateway sent a malformed frame; its link is closed");
            fx.push(Command::CloseLink(link));
        }
    }

    /// An input for a session. Whether the frame was one of a gateway.
    fn input(&mut self, now: Now, link: LinkId, mut body: Bytes, fx: &mut Effects) -> bool {
        let Some(session) = take_session(&mut body) else { return false };
        match game::Input::decode(body) {
            Ok(input) => {
                if let Some(game) = self.games.get_mut(&input.game) {
                    self.turns.push(input.game);
                    game.input(now, link, session, input, &self.current, fx);
                }
            }
            Err(malformed) => self.unreadable(now, link, session, &malformed.to_string(), fx),
        }
        true
    }

    fn ack(&mut self, now: Now, link: LinkId, mut body: Bytes, fx: &mut Effects) -> bool {
        let Some(session) = take_session(&mut body) else { return false };
        match game::Ack::decode(body) {
            Ok(ack) => {
                if let Some(game) = self.touch(ack.game) {
                    game.acknowledge(now, link, session, ack.ack, fx);
                }
            }
            Err(malformed) => self.unreadable(now, link, session, &malformed.to_string(), fx),
        }
        true
    }

    /// A client's frame could not be read: that is the client's fault and not its gateway's.
    fn unreadable(&mut self, now: Now, link: LinkId, session: SessionId, message: &str, fx: &mut Effects) {
        if let Some(&id) = self.sessions.get(&session)
            && let Some(game) = self.touch(id)
        {
            game.unreadable(now, link, session, message, fx);
        }
    }

    pub(super) fn attach(&mut self, now: Now, link: LinkId, attach: Attach, fx: &mut Effects) {
        let id = GameId { room: RoomId(attach.room), round: Round(attach.round) };
        if !self.games.contains_key(&id) {
            return self.park(id, link, attach, fx);
        }
        let session = SessionId(attach.session);
        let former = self.sessions.get(&session).copied().filter(|former| *former != id);
        let is_late = former
            .and_then(|former| self.games.get(&former))
            .is_some_and(|game| game.has_newer(session, Generation(attach.generation)));
        if is_late {
            return deny(link, &attach, GameDetachReason::AttachedElsewhere, ATTACHED_ELSEWHERE, true, fx);
        }
        if !self.touch(id).is_some_and(|game| game.attach(now, link, &attach, fx)) {
            return;
        }
        self.sessions.insert(session, id);
        // A session is attached to one game at a time.
        if let Some(game) = former.and_then(|former| self.touch(former)) {
            game.turn_away(now, session);
        }
    }

    fn detach(&mut self, now: Now, link: LinkId, detach: &Detach) {
        let id = GameId { room: RoomId(detach.room), round: Round(detach.round) };
        let session = SessionId(detach.session);
        if let Some(load) = self.loads.get_mut(&id) {
            load.parked.retain(|(_, attach)| attach.session != detach.session || attach.generation > detach.generation);
        }
        if let Some(game) = self.touch(id) {
            game.detach(now, link, session, Generation(detach.generation));
        }
    }
}

fn take_session(body: &mut Bytes) -> Option<SessionId> {
    let session = body.first_chunk().copied().map(u64::from_be_bytes).map(SessionId)?;
    body.advance(size_of::<u64>());
    Some(session)
}

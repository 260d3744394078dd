//! What an answer or a lobby event means, and when to ask for the room.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use pintail_core::{RequestId, RoomId, SessionId};
use pintail_wire::client::{
    GetRoom, LobbyEvent, LobbyReply, LobbyRequest, Room, RoomLeftReason, lobby_event, lobby_reply, lobby_request,
};
use pintail_wire::{Malformed, Message};
use rand::RngExt;

use super::requests::Purpose;
use super::room::Source;
use super::{Command, Machine, Reply};
use crate::config::{ROOM_REFRESH, ROOM_RETRY};
use crate::{CallError, Event};

/// The client's own question for its room, by which it finds out what it missed.
#[derive(Debug, Default)]
pub(super) struct RoomCheck {
    /// The question under way.
    asked: Option<RequestId>,
    /// When to ask next.
    ask_at: Option<Instant>,
}

impl RoomCheck {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ask_at.filter(|_| self.asked.is_none())
    }
}

impl Machine {
    pub(super) fn call(&mut self, id: RequestId, request: &LobbyRequest, deadline: Instant, out: &mut Vec<Command>) {
        let purpose = match request.request {
            Some(lobby_request::Request::LeaveRoom(_)) => Purpose::Leave,
            _ => Purpose::Other,
        };
        self.ask(id, request, purpose, deadline, out);
    }

    fn ask(
        &mut self,
        id: RequestId,
        request: &LobbyRequest,
        purpose: Purpose,
        deadline: Instant,
        out: &mut Vec<Command>,
    ) {
        let frame = self.requests.add(id, request, purpose, deadline);
        if self.is_online() {
            out.push(frame);
        }
    }

    /// Answers a request that was taken from the table, be it the application's or the client's own.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        (id, purpose): (RequestId, Purpose),
        answer: Result<Reply, CallError>,
        out: &mut Vec<Command>,
    ) {
        match (&answer, purpose) {
            (Ok(Reply::Room(Some(room))), _) => self.see_room(now, room, Source::Reply, out),
            (Ok(Reply::Room(None)), Purpose::Leave) => self.no_room(RoomLeftReason::Left, out),
            // If something was heard of a room since the question, the answer is old.
            (Ok(Reply::Room(None)), Purpose::Check { changes }) if changes == self.room.changes() => {
                self.no_room(RoomLeftReason::Unspecified, out);
            }
            _ => {}
        }
        if self.room_check.asked.take_if(|asked| *asked == id).is_none() {
            out.push(Command::Answer(id, answer));
        } else if answer.is_err() {
            self.ask_within(now, ROOM_RETRY);
        }
    }

    pub(super) fn lobby_reply(
        &mut self,
        now: Instant,
        mut body: Bytes,
        out: &mut Vec<Command>,
    ) -> Result<(), Malformed> {
        let id = body.try_get_u64().map_err(|_| Malformed("a lobby reply ends inside its request id".to_owned()))?;
        let id = RequestId(id);
        let reply = LobbyReply::decode(body)?.reply;
        // The answer to a request that was given up, or a second one to a request that was sent twice.
        let Some(purpose) = self.requests.take(id) else { return Ok(()) };
        let answer = match reply {
            Some(lobby_reply::Reply::Error(error)) => {
                Err(CallError::Refused { code: error.code(), message: error.message, retry: error.retry })
            }
            Some(lobby_reply::Reply::Room(reply)) => Ok(Reply::Room(reply.room)),
            Some(lobby_reply::Reply::Rooms(page)) => Ok(Reply::Rooms(page)),
            // Of a kind that only a newer client knows.
            None => Err(CallError::Unexpected),
        };
        self.answer(now, (id, purpose), answer, out);
        Ok(())
    }

    pub(super) fn lobby_event(&mut self, now: Instant, body: Bytes, out: &mut Vec<Command>) -> Result<(), Malformed> {
        match LobbyEvent::decode(body)?.event {
            Some(lobby_event::Event::RoomChanged(room)) => self.see_room(now, &room, Source::Event, out),
            Some(lobby_event::Event::Chat(chat)) => out.push(Command::Emit(Event::Chat(chat))),
            Some(lobby_event::Event::RoomLeft(left)) => self.left_room(left.room, left.reason(), out),
            // Of a kind that only a newer client knows.
            None => {}
        }
        Ok(())
    }

    /// Asks for the room, because news of it may have been lost.
    pub(super) fn check_room(&mut self, now: Instant, out: &mut Vec<Command>) {
        let id = self.requests.new_id();
        self.room_check = RoomCheck { asked: Some(id), ask_at: None };
        let request = LobbyRequest { request: Some(lobby_request::Request::GetRoom(GetRoom {})) };
        let deadline = now + self.config.call_timeout;
        self.ask(id, &request, Purpose::Check { changes: self.room.changes() }, deadline, out);
    }

    /// The connection is lost: the next one asks anew.
    pub(super) fn forget_room_check(&mut self) {
        if let Some(id) = std::mem::take(&mut self.room_check).asked {
            self.requests.take(id);
        }
    }

    pub(super) fn room_timer(&mut self, now: Instant, out: &mut Vec<Command>) {
        if self.room_check.deadline().is_none_or(|at| at > now) {
            return;
        }
        if self.play.is_open() {
            self.ask_within(now + ROOM_REFRESH, ROOM_RETRY);
        } else {
            self.check_room(now, out);
        }
    }

    fn see_room(&mut self, now: Instant, room: &Room, source: Source, out: &mut Vec<Command>) {
        let me = self.identity.as_ref().map_or(SessionId(0), |identity| identity.session);
        let is_news = self.room.see(room, source, me);
        if self.room.current().is_some() {
            self.ask_within(now + ROOM_REFRESH, ROOM_RETRY);
        }
        if is_news {
            out.push(Command::Emit(Event::Room(room.clone())));
            self.play.room_changed(now, room, out);
        }
    }

    fn no_room(&mut self, reason: RoomLeftReason, out: &mut Vec<Command>) {
        if let Some(room) = self.room.current().map(|room| room.id) {
            self.left_room(room, reason, out);
        }
    }

    fn left_room(&mut self, room: u64, reason: RoomLeftReason, out: &mut Vec<Command>) {
        if self.room.leave(room) {
            self.room_check.ask_at = None;
            self.play.room_left(RoomId(room), out);
            out.push(Command::Emit(Event::RoomLeft { room: RoomId(room), reason }));
        }
    }

    /// Asks for the room at a random moment in `spread` after `from`: the members of a room don't all ask at once.
    fn ask_within(&mut self, from: Instant, spread: Duration) {
        self.room_check.ask_at = Some(from + spread.mul_f64(self.rng.random::<f64>()));
    }
}

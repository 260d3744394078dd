//! Lobby requests that are not answered yet.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use pintail_core::RequestId;
use pintail_core::limits::LOBBY_REQUESTS_IN_FLIGHT_MAX;
use pintail_wire::client::LobbyRequest;
use pintail_wire::{Message, kind};

use super::Command;

/// How many calls can be unanswered. The gateway allows one more, which is left for the client's own question for its room.
const CALLS_MAX: usize = LOBBY_REQUESTS_IN_FLIGHT_MAX - 1;

/// What an answer without a room means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The client's own question for its room, asked at this count of the room's changes: it is in none.
    Check { changes: u64 },
    /// It has left.
    Leave,
    /// Nothing.
    Other,
}

/// A request that waits for its answer, over any number of connections.
#[derive(Debug)]
struct Pending {
    /// The frame's body, sent again as it is.
    body: Bytes,
    purpose: Purpose,
    deadline: Instant,
}

/// The unanswered requests, oldest first. Their ids start at a random number, so that a restarted client that resumes
/// its session repeats none.
#[derive(Debug)]
pub(super) struct Requests {
    next_id: RequestId,
    pending: BTreeMap<RequestId, Pending>,
}

impl Requests {
    pub(super) const fn new(first_id: RequestId) -> Self {
        Self { next_id: first_id, pending: BTreeMap::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < CALLS_MAX
    }

    pub(super) fn new_id(&mut self) -> RequestId {
        let id = self.next_id;
        self.next_id = RequestId(id.0.wrapping_add(1));
        id
    }

    /// Keeps a request until its answer or deadline, and gives the frame to send.
    pub(super) fn add(
        &mut self,
        id: RequestId,
        request: &LobbyRequest,
        purpose: Purpose,
        deadline: Instant,
    ) -> Command {
        let mut body = BytesMut::with_capacity(8 + request.encoded_len());
        body.put_u64(id.0);
        body.put_slice(&request.encode_to_vec());
        let body = body.freeze();
        self.pending.insert(id, Pending { body: body.clone(), purpose, deadline });
        Command::Frame(kind::client::LOBBY_REQUEST, body)
    }

    /// The frames to send again on a new connection.
    pub(super) fn again(&self) -> impl Iterator<Item = Command> {
        self.pending.values().map(|pending| Command::Frame(kind::client::LOBBY_REQUEST, pending.body.clone()))
    }

    /// Takes the request that waited for this answer; there is none if its deadline passed before.
    pub(super) fn take(&mut self, id: RequestId) -> Option<Purpose> {
        self.pending.remove(&id).map(|pending| pending.purpose)
    }

    /// Takes those whose deadline has passed.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<(RequestId, Purpose)> {
        let expired = self.pending.extract_if(.., |_, pending| pending.deadline <= now);
        expired.map(|(id, pending)| (id, pending.purpose)).collect()
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = RequestId> {
        std::mem::take(&mut self.pending).into_keys()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }
}

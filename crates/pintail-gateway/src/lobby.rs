//! Lobby requests: forwarded, sent again through another lobby server if need be, answered in time whatever happens.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use pintail_core::limits::LOBBY_REQUEST_BYTES_MAX;
use pintail_core::{RequestId, SessionId, Slot};
use pintail_net::trace::Span;
use pintail_wire::client::{Error, ErrorCode, LobbyReply, lobby_reply};
use pintail_wire::deliver::Deliver;
use pintail_wire::kind::{client as client_kind, link as kind};
use pintail_wire::link::session_presence::Presence;
use pintail_wire::link::{LobbyForward, SessionPresence};
use pintail_wire::{Malformed, Message};
use tokio::time::{MissedTickBehavior, interval};

use crate::requests::{RequestKey, TooMany};
use crate::server::Gateway;
use crate::session::Session;

/// How often unanswered lobby requests are looked at.
const REQUESTS_CHECK: Duration = Duration::from_millis(250);

/// The bytes of a request's id, before the request and before the reply.
const REQUEST_ID_BYTES: usize = 8;

fn take_request_id(body: &mut Bytes) -> Option<RequestId> {
    let id = *body.first_chunk::<REQUEST_ID_BYTES>()?;
    body.advance(REQUEST_ID_BYTES);
    Some(RequestId(u64::from_be_bytes(id)))
}

impl Gateway {
    /// A client's `LOBBY_REQUEST`.
    pub(crate) fn lobby_request(&self, session: &Session, mut body: Bytes) -> Result<(), Malformed> {
        let Some(request) = take_request_id(&mut body) else {
            return Err(Malformed("a lobby request begins with its id (8 bytes)".to_owned()));
        };
        self.metrics.lobby_requests.inc();
        if body.len() > LOBBY_REQUEST_BYTES_MAX {
            let message = format!("a lobby request has at most {LOBBY_REQUEST_BYTES_MAX} bytes");
            answer(session, request, Error { code: ErrorCode::BadRequest.into(), message, retry: false });
            return Ok(());
        }
        let key = RequestKey { session: session.id, request };
        let span = self.tracer.root("lobby request").map(|mut span| {
            span.set("pintail.session", &session.id);
            span
        });
        let context = span.as_ref().and_then(Span::context);
        let forward = LobbyForward {
            session: session.id.0,
            name: session.name.to_string(),
            request_id: request.0,
            request: body,
            generation: session.generation.0,
            traceparent: context.map(|context| context.to_string()).unwrap_or_default(),
        };
        let forward = Bytes::from(forward.encode_to_vec());
        // The table first: the answer must find the request in it.
        let added = self.requests().add(self.now(), key, forward, span);
        match added {
            Ok(()) => {
                self.requests().dispatch_of(session.id, |session, forward| self.forward(session, forward));
            }
            Err(TooMany) => {
                let message = "too many requests are unanswered: wait for answers before sending more";
                answer(session, request, later(ErrorCode::TooManyRequests, message));
            }
        }
        Ok(())
    }

    /// A lobby's answer is on its way to a client: nobody needs to send the request again. Returns whether anyone waits
    /// for it: a request that went to two servers, because the first was silent for a while, is answered once.
    pub(crate) fn lobby_answered(&self, deliver: &Deliver) -> bool {
        let mut shared = deliver.shared.clone();
        let Some(request) = take_request_id(&mut shared) else { return false };
        let mut requests = self.requests();
        deliver
            .recipients()
            .fold(false, |waited, (session, _)| requests.answered(RequestKey { session, request }) || waited)
    }

    /// A lobby server is lost, or silent: what it did not answer goes to another.
    pub(crate) fn lobby_lost(&self, lobby: Slot) {
        self.requests().lost(lobby);
        self.metrics.lobby_retries.inc_by(self.dispatch_requests());
    }

    /// Sends the requests that wait for a lobby server. Returns how many went.
    pub(crate) fn dispatch_requests(&self) -> u64 {
        self.requests().dispatch(|session, forward| self.forward(session, forward))
    }

    /// Sends a request to the session's lobby server, if there is one that takes it.
    fn forward(&self, session: SessionId, forward: &Bytes) -> Option<Slot> {
        let link = self.links.lobby_for(session)?;
        link.outbox.push(kind::LOBBY_FORWARD, &[forward]).ok()?;
        Some(link.slot)
    }

    /// Answers what no lobby server answered in time.
    pub(crate) fn expire_requests(&self) {
        let expired = self.requests().expire(self.now());
        self.metrics.lobby_timeouts.inc_by(expired.len() as u64);
        for key in expired {
            if let Some(session) = self.sessions.get(key.session) {
                let message = "no lobby server answers at the moment: try again";
                answer(&session, key.request, later(ErrorCode::Unavailable, message));
            }
        }
    }

    /// Tells a lobby server that a session came or went. If it gets lost, the lobby's sweep or the session's next
    /// request tells the same.
    pub(crate) fn tell_presence(&self, session: &Session, presence: Presence) {
        let Some(link) = self.links.lobby_for(session.id) else { return };
        let presence = SessionPresence {
            session: session.id.0,
            name: session.name.to_string(),
            presence: presence.into(),
            generation: session.generation.0,
        };
        let _ = link.outbox.push(kind::SESSION_PRESENCE, &[&presence.encode_to_vec()]);
    }

    /// The session's connection is gone: nobody waits for its answers.
    pub(crate) fn forget_requests(&self, session: SessionId) {
        self.requests().forget(session);
    }
}

/// An error that passes.
fn later(code: ErrorCode, message: &str) -> Error {
    Error { code: code.into(), message: message.to_owned(), retry: true }
}

fn answer(session: &Session, request: RequestId, error: Error) {
    let reply = LobbyReply { reply: Some(lobby_reply::Reply::Error(error)) };
    session.push_parts(client_kind::LOBBY_REPLY, &[&request.0.to_be_bytes(), &reply.encode_to_vec()]);
}

/// Answers lobby requests that nobody else answers, until the gateway stops.
pub(crate) async fn expire_requests(gateway: Arc<Gateway>) {
    let mut checks = interval(REQUESTS_CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = checks.tick() => {
                gateway.expire_requests();
                // What found a full link waits for no event that would send it.
                gateway.dispatch_requests();
            }
        }
    }
}

//! The table of unanswered lobby requests, without IO.
//!
//! Requests are idempotent, so one whose lobby server is lost before the answer is sent again through another, and
//! nobody notices more than a pause. One that finds no lobby server waits for one until its deadline.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, RangeInclusive};
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::{LOBBY_REQUEST_TIMEOUT, LOBBY_REQUESTS_IN_FLIGHT_MAX};
use pintail_core::{RequestId, SessionId, Slot};
use pintail_net::trace::Span;

/// How many bytes the unanswered requests of all sessions may have. A full house asks for a tenth of it at once; past it,
/// clients are told to try again.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestKey {
    pub(crate) session: SessionId,
    pub(crate) request: RequestId,
}

#[derive(Debug)]
struct Pending {
    /// The whole link frame body, ready to be sent again.
    forward: Bytes,
    /// Where it was sent; `None` while it waits for a lobby server.
    lobby: Option<Slot>,
    deadline: Duration,
    /// Ends when nobody waits for the answer any more.
    span: Option<Span>,
}

/// The unanswered requests of all sessions. Bounded by [`LOBBY_REQUESTS_IN_FLIGHT_MAX`] for each, and by [`BYTES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<RequestKey, Pending>,
    /// Those that wait for a lobby server.
    waiting: BTreeSet<RequestKey>,
    counts: HashMap<SessionId, usize>,
    /// How many bytes they have.
    bytes: usize,
}

/// The session has too many unanswered requests, or all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Requests {
    /// How many are unanswered.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Adds a request, which waits to be dispatched. The same request again takes the place of the first.
    pub(crate) fn add(
        &mut self,
        now: Duration,
        key: RequestKey,
        forward: Bytes,
        span: Option<Span>,
    ) -> Result<(), TooMany> {
        let before = self.pending.get(&key).map(|pending| pending.forward.len());
        let bytes = self.bytes - before.unwrap_or_default() + forward.len();
        let count = self.counts.get(&key.session).copied().unwrap_or_default();
        if bytes > BYTES_MAX || (before.is_none() && count >= LOBBY_REQUESTS_IN_FLIGHT_MAX) {
            return Err(TooMany);
        }
        if before.is_none() {
            self.counts.insert(key.session, count + 1);
        }
        self.bytes = bytes;
        self.pending.insert(key, Pending { forward, lobby: None, deadline: now + LOBBY_REQUEST_TIMEOUT, span });
        self.waiting.insert(key);
        Ok(())
    }

    /// The request is answered. Returns whether it was waiting for that.
    pub(crate) fn answered(&mut self, key: RequestKey) -> bool {
        self.take(key).is_some()
    }

    /// The request will not be answered, and why.
    fn give_up(&mut self, key: RequestKey, why: &'static str) {
        if let Some(mut span) = self.take(key).and_then(|pending| pending.span) {
            span.fail(&why);
        }
    }

    fn take(&mut self, key: RequestKey) -> Option<Pending> {
        let pending = self.pending.remove(&key)?;
        self.waiting.remove(&key);
        self.bytes -= pending.forward.len();
        self.uncount(key.session);
        Some(pending)
    }

    /// The lobby server is lost: its requests wait for another.
    pub(crate) fn lost(&mut self, lobby: Slot) {
        for (key, pending) in self.pending.iter_mut().filter(|(_, pending)| pending.lobby == Some(lobby)) {
            pending.lobby = None;
            self.waiting.insert(*key);
        }
    }

    /// Hands all requests that wait to `send`, which says which lobby server each went to, if it could be sent. Those
    /// of one session keep their order: after one that has to wait, the others wait too. Returns how many went.
    pub(crate) fn dispatch(&mut self, mut send: impl FnMut(SessionId, &Bytes) -> Option<Slot>) -> u64 {
        let mut next = self.waiting.first().map(|key| key.session);
        let mut dispatched = 0;
        while let Some(session) = next {
            dispatched += self.dispatch_of(session, &mut send);
            let after = (Bound::Excluded(*all_of(session).end()), Bound::Unbounded);
            next = self.waiting.range(after).next().map(|key| key.session);
        }
        dispatched
    }

    /// The same for the requests of one session.
    pub(crate) fn dispatch_of(
        &mut self,
        session: SessionId,
        mut send: impl FnMut(SessionId, &Bytes) -> Option<Slot>,
    ) -> u64 {
        let mut dispatched = 0;
        while let Some(&key) = self.waiting.range(all_of(session)).next() {
            if let Some(pending) = self.pending.get_mut(&key) {
                let Some(lobby) = send(session, &pending.forward) else { break };
                pending.lobby = Some(lobby);
                dispatched += 1;
            }
            self.waiting.remove(&key);
        }
        dispatched
    }

    /// Takes out what nobody answered in time.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<RequestKey> {
        let late = |(key, pending): (&RequestKey, &Pending)| (pending.deadline <= now).then_some(*key);
        let expired: Vec<_> = self.pending.iter().filter_map(late).collect();
        for &key in &expired {
            self.give_up(key, "no lobby server answered in time");
        }
        expired
    }

    /// The session's connection is gone: nobody waits for the answers.
    pub(crate) fn forget(&mut self, session: SessionId) {
        let keys: Vec<_> = self.pending.range(all_of(session)).map(|(&key, _)| key).collect();
        for key in keys {
            self.give_up(key, "the player's connection was gone before the answer came");
        }
    }

    fn uncount(&mut self, session: SessionId) {
        if let Some(count) = self.counts.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&session);
            }
        }
    }
}

/// Where a session's requests are.
const fn all_of(session: SessionId) -> RangeInclusive<RequestKey> {
    let first = RequestKey { session, request: RequestId(0) };
    let last = RequestKey { session, request: RequestId(u64::MAX) };
    first..=last
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;
    use pintail_net::trace::{TraceExport, TraceShare, Tracer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;

    const A: Slot = Slot::new(Kind::Lobby, 0);
    const B: Slot = Slot::new(Kind::Lobby, 1);

    fn key(session: u64, request: u64) -> RequestKey {
        RequestKey { session: SessionId(session), request: RequestId(request) }
    }

    #[test]
    fn requests_of_a_lost_lobby_go_to_another_once() {
        let mut requests = Requests::default();
        requests.add(Duration::ZERO, key(1, 1), "one".into(), None).unwrap();
        requests.add(Duration::ZERO, key(2, 1), "two".into(), None).unwrap();
        assert_eq!(requests.dispatch(|session, _| Some(if session == SessionId(1) { A } else { B })), 2);
        requests.lost(A);
        let mut sent = Vec::new();
        let send = |session, forward: &Bytes| {
            sent.push((session, forward.clone()));
            Some(B)
        };
        assert_eq!(requests.dispatch(send), 1);
        assert_eq!(sent, [(SessionId(1), "one".into())]);
        assert_eq!(requests.dispatch(|_, _| Some(B)), 0);
        assert!(requests.answered(key(1, 1)));
        assert!(!requests.answered(key(1, 1)), "a second answer is for nobody");
    }

    #[test]
    fn requests_wait_for_a_lobby_and_what_nobody_answers_expires() {
        let mut requests = Requests::default();
        requests.add(Duration::ZERO, key(1, 1), "one".into(), None).unwrap();
        requests.add(Duration::from_secs(1), key(2, 1), "two".into(), None).unwrap();
        assert_eq!(requests.dispatch(|_, _| None), 0);
        assert_eq!(requests.expire(LOBBY_REQUEST_TIMEOUT / 2), []);
        assert_eq!(requests.expire(LOBBY_REQUEST_TIMEOUT), [key(1, 1)]);
        assert_eq!(requests.dispatch(|_, _| Some(A)), 1, "the other one still waits");
        assert_eq!(requests.expire(LOBBY_REQUEST_TIMEOUT * 2), [key(2, 1)]);
        assert!(requests.counts.is_empty() && requests.waiting.is_empty());
    }

    /// What a collector is sent, up to where it holds all these texts.
    async fn collect(listener: &TcpListener, texts: &[&str]) -> String {
        let mut sent = String::new();
        while !texts.iter().all(|text| sent.contains(text)) {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                sent += &String::from_utf8_lossy(&bytes[..count]);
                if texts.iter().all(|text| sent.contains(text)) {
                    break;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        }
        sent
    }

    #[tokio::test]
    async fn what_is_never_answered_is_a_span_that_failed_and_what_is_answered_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let export = TraceExport { endpoint, share: TraceShare::ALL };
        let (tracer, _exporter) = Tracer::start(Some(&export), Kind::Gateway, "1", watch::channel(None).1);
        let mut requests = Requests::default();
        for session in 1..=3 {
            requests.add(Duration::ZERO, key(session, 1), Bytes::new(), tracer.root("lobby request")).unwrap();
        }
        assert!(requests.answered(key(1, 1)));
        requests.forget(SessionId(2));
        assert_eq!(requests.expire(LOBBY_REQUEST_TIMEOUT), [key(3, 1)]);
        let texts = ["connection was gone", "no lobby server answered"];
        let sent = timeout(Duration::from_secs(20), collect(&listener, &texts)).await.unwrap();
        assert_eq!(texts.map(|text| sent.matches(text).count()), [1, 1]);
        assert_eq!(sent.matches("lobby request").count(), 3);
    }

    #[test]
    fn a_lobby_that_takes_no_more_holds_up_its_own_sessions_only_and_these_in_order() {
        let mut requests = Requests::default();
        for (session, request) in [(1, 1), (1, 2), (2, 1), (3, 7)] {
            requests.add(Duration::ZERO, key(session, request), format!("{session}.{request}").into(), None).unwrap();
        }
        let mut asked = Vec::new();
        let send = |session: SessionId, forward: &Bytes| {
            asked.push(forward.clone());
            (session != SessionId(1)).then_some(B)
        };
        assert_eq!(requests.dispatch(send), 2);
        assert_eq!(asked, ["1.1", "2.1", "3.7"], "1.2 waits for 1.1");
        requests.add(Duration::ZERO, key(4, 1), "4.1".into(), None).unwrap();
        assert_eq!(requests.dispatch_of(SessionId(4), |_, _| Some(B)), 1, "and nobody else's are looked at");
        let mut sent = Vec::new();
        let send = |_, forward: &Bytes| {
            sent.push(forward.clone());
            Some(A)
        };
        assert_eq!(requests.dispatch_of(SessionId(1), send), 2);
        assert_eq!(sent, ["1.1", "1.2"]);
        assert!(requests.waiting.is_empty());
    }

    #[test]
    fn a_session_has_a_bounded_number_and_forgets_them_all() {
        let mut requests = Requests::default();
        for request in 0..LOBBY_REQUESTS_IN_FLIGHT_MAX as u64 {
            requests.add(Duration::ZERO, key(1, request), Bytes::new(), None).unwrap();
        }
        assert_eq!(requests.add(Duration::ZERO, key(1, 99), Bytes::new(), None), Err(TooMany));
        assert_eq!(requests.add(Duration::ZERO, key(1, 0), Bytes::new(), None), Ok(()), "the same one again");
        requests.add(Duration::ZERO, key(2, 0), Bytes::new(), None).unwrap();
        requests.forget(SessionId(1));
        assert_eq!(requests.counts.len(), 1);
        assert_eq!(requests.pending.len(), 1);
        assert_eq!(requests.waiting.len(), 1);
    }

    #[test]
    fn all_together_have_a_bounded_size() {
        let mut requests = Requests::default();
        let quarter = Bytes::from(vec![0; BYTES_MAX / 4]);
        for session in 0..4 {
            requests.add(Duration::ZERO, key(session, 1), quarter.clone(), None).unwrap();
        }
        assert_eq!(requests.add(Duration::ZERO, key(9, 1), "x".into(), None), Err(TooMany));
        assert_eq!(requests.add(Duration::ZERO, key(3, 1), quarter.clone(), None), Ok(()), "the same one again");
        assert!(requests.answered(key(0, 1)));
        requests.add(Duration::ZERO, key(9, 1), "x".into(), None).unwrap();
        (0..10).for_each(|session| requests.forget(SessionId(session)));
        assert_eq!((requests.bytes, requests.counts.len()), (0, 0));
    }
}

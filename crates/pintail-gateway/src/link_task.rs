//! One link to a lobby or game server: a task from the first dial to the last goodbye.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Incarnation, Kind, Slot};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_engine::directory::Peer;
use pintail_engine::health::{Event, LinkChange, LinkEnd as SeenEnd};
use pintail_engine::redial::Redial;
use pintail_net::dial::dial;
use pintail_net::{DialError, Identity, Lease, TcpConnection};
use pintail_wire::deliver::Deliver;
use pintail_wire::heartbeat::{Heartbeat, StoreSight};
use pintail_wire::kind::{client as client_kind, link as kind};
use pintail_wire::{Frame, Malformed, games_here};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::links::Link;
use crate::server::Gateway;

/// Waits between attempts to greet someone who is no server of ours: it will hardly become one soon.
const FOREIGN_BACKOFF: BackoffPolicy = BackoffPolicy { first: Duration::from_secs(2), max: Duration::from_secs(60) };

/// Keeps one link open as long as it is wanted.
pub(crate) struct LinkTask {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) peer: Peer,
    /// The gateway's own.
    pub(crate) lease: watch::Receiver<Lease>,
    pub(crate) wanted: watch::Receiver<bool>,
    pub(crate) stop: CancellationToken,
}

impl LinkTask {
    pub(crate) async fn run(self) {
        let mut trouble = Trouble::new(self.peer);
        while *self.wanted.borrow()
            && let Some(me) = self.gateway.identity()
        {
            let dialled = tokio::select! {
                () = self.stop.cancelled() => return,
                dialled = dial(self.peer.endpoint, &self.gateway.config.server.secret, &me, self.expected()) => dialled,
            };
            let pause = match dialled {
                Ok((connection, identity)) => {
                    let opened = Instant::now();
                    let end = self.serve(connection, &identity).await;
                    trouble.pause_after_link(end, opened.elapsed())
                }
                Err(error) => {
                    let is_refused = matches!(error, DialError::Refused(_));
                    self.tell(if is_refused { LinkChange::DialRefused } else { LinkChange::DialFailed }).await;
                    trouble.pause_after(&error)
                }
            };
            if !*self.wanted.borrow() {
                return;
            }
            if !pause.is_zero() {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
            }
        }
    }

    fn expected(&self) -> (Slot, Option<Incarnation>) {
        (self.peer.slot, self.peer.incarnation)
    }

    async fn tell(&self, change: LinkChange) {
        self.gateway.observe(Event::Link(self.peer, change)).await;
    }

    /// One link, from its greeting to its end.
    async fn serve(&self, mut connection: TcpConnection, identity: &Identity) -> LinkEnd {
        let link = self.gateway.links.open(self.peer, identity, self.gateway.now());
        self.tell(LinkChange::Opened).await;
        self.gateway.link_opened(&link);
        info!(server = %link.slot, endpoint = %self.peer.endpoint, "link up");
        let end = self.exchange(&mut connection, &link).await;
        info!(server = %link.slot, why = end.why(), "link down");
        self.gateway.links.close(&link);
        self.tell(LinkChange::Ended(end.as_seen())).await;
        self.gateway.link_closed(&link);
        if end.is_orderly() {
            connection.finish(&link.outbox).await;
        }
        end
    }

    /// Carries frames both ways until the link ends.
    async fn exchange(&self, connection: &mut TcpConnection, link: &Arc<Link>) -> LinkEnd {
        let timing = &self.gateway.config.server.timing;
        let mut heartbeat = interval(timing.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut roll_calls = self.gateway.links.roll_calls();
        let mut silence = Silence::new(timing.heartbeat, timing.link_silence_max);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    // A full outbox has more urgent things to say.
                    let _ = link.outbox.push(kind::GOODBYE, &[]);
                    return LinkEnd::Here;
                }
                () = link.given_up.cancelled() => return LinkEnd::GivenUp,
                _ = heartbeat.tick() => {
                    if silence.one_more() {
                        return LinkEnd::Silent;
                    }
                    self.send_heartbeat(link);
                }
                Ok(()) = roll_calls.changed() => self.send_heartbeat(link),
                received = connection.recv(&link.outbox) => {
                    let frame = match received {
                        Ok(Some(frame)) => frame,
                        Ok(None) => return LinkEnd::Closed,
                        Err(error) => {
                            debug!(server = %link.slot, %error, "link broken");
                            return LinkEnd::Broken;
                        }
                    };
                    silence.broken();
                    link.hear(self.gateway.now());
                    if let Some(end) = self.take_all(connection, link, frame) {
                        return end;
                    }
                }
            }
        }
    }

    fn send_heartbeat(&self, link: &Link) {
        let clock = u64::try_from(self.gateway.now().as_nanos()).unwrap_or(u64::MAX);
        let is_held = self.lease.borrow().covers(Instant::now());
        let store = if is_held { StoreSight::Reached } else { StoreSight::Away };
        // A full outbox is noticed by the server's silence.
        let _ = link.outbox.push(kind::HEARTBEAT, &[&Heartbeat { clock, store }.to_bytes()]);
    }

    /// The time that was sent comes back; one that can't have been sent says nothing.
    fn heartbeat_answered(&self, link: &Link, body: &[u8]) {
        let Ok(Heartbeat { clock, .. }) = Heartbeat::decode(body) else { return };
        if let Some(round_trip) = self.gateway.now().checked_sub(Duration::from_nanos(clock)) {
            self.gateway.metrics.round_trip.observe(round_trip.as_secs_f64());
            link.note_round_trip(round_trip);
        }
    }

    /// Takes a frame and all that arrived with it; says how the link has to end, if it has to.
    fn take_all(&self, connection: &mut TcpConnection, link: &Arc<Link>, first: Frame) -> Option<LinkEnd> {
        let mut next = Some(first);
        while let Some(frame) = next {
            match self.take(link, &frame) {
                Ok(Next::Go) => {}
                Ok(Next::End) => return Some(LinkEnd::Goodbye),
                Err(error) => {
                    warn!(server = %link.slot, %error, "the server sent rubbish: closing the link");
                    return Some(LinkEnd::Rubbish);
                }
            }
            next = match connection.buffered() {
                Ok(next) => next,
                Err(error) => {
                    warn!(server = %link.slot, %error, "the server sent rubbish: closing the link");
                    return Some(LinkEnd::Rubbish);
                }
            };
        }
        None
    }

    fn take(&self, link: &Arc<Link>, frame: &Frame) -> Result<Next, Malformed> {
        match frame.kind {
            kind::DELIVER => {
                let deliver = Deliver::decode(frame.body.clone())?;
                if deliver.client_kind == client_kind::LOBBY_REPLY && !self.gateway.lobby_answered(&deliver) {
                    return Ok(Next::Go);
                }
                let delivered =
                    self.gateway.sessions.deliver(link, deliver.client_kind, deliver.recipients(), &deliver.shared);
                self.gateway.metrics.traffic.sent(deliver.client_kind, delivered.queued, delivered.bytes);
                self.gateway.metrics.undeliverable.inc_by(delivered.absent);
                self.gateway.metrics.fenced.inc_by(delivered.fenced);
                Ok(Next::Go)
            }
            kind::GAMES_HERE if link.slot.kind == Kind::Game => {
                self.gateway.games_here(link, &games_here::decode(frame.body.clone())?);
                Ok(Next::Go)
            }
            kind::HEARTBEAT_ANSWER => {
                self.heartbeat_answered(link, &frame.body);
                Ok(Next::Go)
            }
            kind::SERVER_GOODBYE => Ok(Next::End),
            // A server's kind that a newer version brought. A gateway's own kind would be an echo.
            128.. => Ok(Next::Go),
            other => Err(Malformed(format!("a frame of kind {other}, which gateways send"))),
        }
    }
}

enum Next {
    Go,
    End,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkEnd {
    /// This gateway closes it.
    Here,
    /// The server said goodbye.
    Goodbye,
    /// The server closed the connection without a goodbye.
    Closed,
    /// The connection broke.
    Broken,
    /// Nothing was heard for too long.
    Silent,
    /// The server is down, whatever is heard of it.
    GivenUp,
    /// What was heard is no protocol.
    Rubbish,
}

impl LinkEnd {
    const fn why(self) -> &'static str {
        match self {
            Self::Here => "closed by this gateway",
            Self::Goodbye => "the server stops",
            Self::Closed => "the server closed it",
            Self::Broken => "the connection broke",
            Self::Silent => "the server is silent",
            Self::GivenUp => "the server is down",
            Self::Rubbish => "the server sent rubbish",
        }
    }

    /// What it means for how the server looks.
    const fn as_seen(self) -> SeenEnd {
        match self {
            Self::Goodbye => SeenEnd::Goodbye,
            Self::Closed | Self::Broken => SeenEnd::Broken,
            Self::Here | Self::Silent | Self::GivenUp | Self::Rubbish => SeenEnd::ClosedHere,
        }
    }

    /// Whether there is someone to send the rest to.
    const fn is_orderly(self) -> bool {
        matches!(self, Self::Here | Self::Goodbye)
    }
}

/// How long a server has said nothing, in heartbeats: a gateway that was held up itself has sent none meanwhile, and
/// reads what has arrived before it counts another.
struct Silence {
    heartbeats: u32,
    heartbeats_max: u32,
}

impl Silence {
    fn new(period: Duration, max: Duration) -> Self {
        let heartbeats_max = max.as_nanos().div_ceil(period.as_nanos().max(1));
        Self { heartbeats: 0, heartbeats_max: u32::try_from(heartbeats_max).unwrap_or(u32::MAX) }
    }

    /// One more heartbeat is due. Returns whether it has been too long.
    const fn one_more(&mut self) -> bool {
        self.heartbeats += 1;
        // The first of them is due at once.
        self.heartbeats > self.heartbeats_max + 1
    }

    const fn broken(&mut self) {
        self.heartbeats = 0;
    }
}

/// What keeps a server from being linked: how long to pause, and what to tell the operator, once for each kind of
/// trouble.
struct Trouble {
    peer: Peer,
    redial: Redial,
    foreign: Backoff,
    /// It was linked: it is a server of ours, whatever it does.
    is_ours: bool,
    told: Option<std::mem::Discriminant<DialError>>,
}

impl Trouble {
    fn new(peer: Peer) -> Self {
        Self { peer, redial: Redial::new(), foreign: Backoff::new(FOREIGN_BACKOFF), is_ours: false, told: None }
    }

    fn pause_after_link(&mut self, end: LinkEnd, lived: Duration) -> Duration {
        // Whoever said goodbye is expected not to listen any more.
        let is_expected = end == LinkEnd::Goodbye;
        self.told = is_expected.then(|| std::mem::discriminant(&DialError::Refused(self.peer.endpoint)));
        self.is_ours = true;
        self.redial.ended(end.as_seen(), lived, &mut rand::rng())
    }

    fn pause_after(&mut self, error: &DialError) -> Duration {
        self.tell(error);
        let rng = &mut rand::rng();
        if self.is_foreign(error) { self.foreign.fail(rng) } else { self.redial.failed(rng) }
    }

    /// A server of ours that does not greet is stuck, or stopped for a while.
    fn is_foreign(&self, error: &DialError) -> bool {
        error.is_foreign() && !self.is_ours
    }

    /// Whether the operator has not heard of this kind of trouble, nor expects it.
    fn is_news(&mut self, error: &DialError) -> bool {
        let kind = Some(std::mem::discriminant(error));
        std::mem::replace(&mut self.told, kind) != kind
    }

    fn tell(&mut self, error: &DialError) {
        if !self.is_news(error) {
            debug!(server = %self.peer.slot, %error, "still no link");
        } else if self.is_foreign(error) {
            warn!(server = %self.peer.slot, %error, "not a server of this cluster: it gets no work; trying again from time to time");
        } else {
            warn!(server = %self.peer.slot, %error, "no link; trying until it works");
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::Endpoint;

    use super::*;

    #[test]
    fn one_that_said_goodbye_is_not_missed_and_any_other_is_once() {
        let endpoint = Endpoint::new(std::net::Ipv4Addr::LOCALHOST, 1);
        let mut trouble = Trouble::new(Peer { slot: Slot::new(Kind::Game, 0), endpoint, incarnation: None });
        let (refused, silent) = (DialError::Refused(endpoint), DialError::Silent(endpoint));
        let lived = Duration::from_secs(9);
        assert!(!trouble.pause_after_link(LinkEnd::Goodbye, lived).is_zero());
        assert!(!trouble.is_news(&refused));
        assert!(trouble.is_news(&silent) && !trouble.is_news(&silent) && trouble.is_news(&refused));
        for end in [LinkEnd::Closed, LinkEnd::Broken] {
            assert!(trouble.pause_after_link(end, lived).is_zero(), "whether the process is gone shows at once");
            assert!(trouble.is_news(&refused) && !trouble.is_news(&refused));
        }
        assert!(!trouble.pause_after_link(LinkEnd::Broken, Duration::ZERO).is_zero(), "it falls over again and again");
    }
}

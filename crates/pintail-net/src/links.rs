//! The listening side of links: gateways come in, are greeted, and their frames go to the role's own loop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pintail_core::limits::{HANDSHAKE_TIMEOUT, LINK_FRAME_BYTES_MAX, LINK_OUTBOX_BYTES_MAX};
use pintail_core::{ClusterSecret, Slot};
use pintail_wire::Frame;
use pintail_wire::kind::link as kind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::{self, BindError};
use crate::connection::{ConnectionError, TcpConnection};
use crate::greeting::{self, GreetingError, Identity};
use crate::outbox::Outbox;

/// How many bytes one read of a link asks for: links carry many sessions, and fewer reads are cheaper.
pub(crate) const LINK_READ_BYTES: usize = 64 * 1024;

/// How many connections may be in their greeting at once; more wait in the kernel's queue.
const GREETINGS_MAX: usize = 64;

/// How many frames are handed over at once, so that one busy link does not keep the others waiting.
const FRAMES_PER_BATCH: usize = 512;

/// How often the operator is told of refused links.
const REFUSALS_PERIOD: Duration = Duration::from_secs(10);

/// How long accepting pauses when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One link of this server, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What happens on a server's links.
#[derive(Debug)]
pub enum LinkEvent {
    /// A gateway has greeted.
    Opened {
        /// The new link.
        link: LinkId,
        /// Whose it is.
        gateway: Slot,
        /// What is to be sent over it.
        outbox: Arc<Outbox>,
    },
    /// Frames arrived, in order; never none.
    Frames {
        /// The link.
        link: LinkId,
        /// All frames that could be read at once.
        frames: Vec<Frame>,
    },
    /// The link is gone.
    Closed {
        /// The link.
        link: LinkId,
    },
}

/// Listens for gateways.
#[derive(Debug)]
pub struct LinkListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl LinkListener {
    /// Listens on this address.
    ///
    /// # Errors
    /// If the port can't be had.
    pub async fn bind(listen: SocketAddr) -> Result<Self, BindError> {
        let listener = config::listen("the port for links", "--listen", listen)?;
        let address = listener.local_addr().map_err(|error| BindError::Other {
            what: "the port for links",
            address: listen,
            setting: "--listen",
            error,
        })?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts links until `stop`; then says goodbye on each, sends what is queued, and returns when all are closed.
    /// While this server has no identity yet, greetings wait for it. A link whose gateway says nothing for `silence_max`
    /// is closed; a gateway that lives says each heartbeat that it does.
    pub async fn serve(
        self,
        secret: ClusterSecret,
        silence_max: Duration,
        identity: watch::Receiver<Option<Identity>>,
        events: mpsc::Sender<LinkEvent>,
        stop: CancellationToken,
    ) {
        let links = TaskTracker::new();
        let shared = Arc::new(Shared {
            refusals: Mutex::default(),
            secret,
            silence_max,
            identity,
            events,
            stop: stop.clone(),
            next: AtomicU64::new(1),
            greetings: Arc::new(Semaphore::new(GREETINGS_MAX)),
        });
        loop {
            // The semaphore is never closed.
            let Ok(permit) = shared.greetings.clone().acquire_owned().await else { break };
            let (stream, peer) = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        warn!(%error, "can't accept links for the moment");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let shared = shared.clone();
            links.spawn(async move {
                if let Some((connection, gateway)) = shared.greet(stream, peer).await {
                    drop(permit);
                    shared.run(connection, &gateway).await;
                }
            });
        }
        links.close();
        links.wait().await;
    }
}

/// Links that were refused.
#[derive(Debug, Default)]
struct Refusals {
    told_at: Option<Instant>,
    /// How many were refused since the operator was told of one.
    untold: u64,
}

struct Shared {
    refusals: Mutex<Refusals>,
    secret: ClusterSecret,
    silence_max: Duration,
    identity: watch::Receiver<Option<Identity>>,
    events: mpsc::Sender<LinkEvent>,
    stop: CancellationToken,
    next: AtomicU64,
    greetings: Arc<Semaphore>,
}

impl Shared {
    /// Tells the operator of a refused link, but not of each one: strangers must not fill the log.
    fn tell_refused(&self, peer: SocketAddr, why: &str) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.told_at.is_some_and(|told_at| told_at.elapsed() < REFUSALS_PERIOD) {
            refusals.untold += 1;
            return debug!(%peer, why, "refused a link");
        }
        let others = std::mem::take(&mut refusals.untold);
        refusals.told_at = Some(Instant::now());
        warn!(%peer, why, others_since_the_last_word = others, "refused a link");
    }

    async fn greet(&self, stream: TcpStream, peer: SocketAddr) -> Option<(TcpConnection, Identity)> {
        let mut connection = TcpConnection::new(stream, LINK_FRAME_BYTES_MAX, LINK_READ_BYTES).ok()?;
        let answered = tokio::select! {
            () = self.stop.cancelled() => return None,
            answered = timeout(HANDSHAKE_TIMEOUT, self.answer(&mut connection)) => answered,
        };
        match answered {
            Ok(Ok(gateway)) => Some((connection, gateway)),
            Ok(Err(error)) => {
                self.tell_refused(peer, &error.to_string());
                None
            }
            Err(_) => {
                self.tell_refused(peer, "no greeting in time");
                None
            }
        }
    }

    /// A gateway may read in the registry that this server is there before the server itself has heard so.
    async fn answer(&self, connection: &mut TcpConnection) -> Result<Identity, GreetingError> {
        let me = self.identity.clone().wait_for(Option::is_some).await.ok().and_then(|identity| identity.clone());
        greeting::answer(connection, &self.secret, &me.ok_or(GreetingError::Closed)?).await
    }

    /// One link, from its greeting to its end.
    async fn run(&self, mut connection: TcpConnection, gateway: &Identity) {
        let link = LinkId(self.next.fetch_add(1, Ordering::Relaxed));
        let outbox = Outbox::new(LINK_OUTBOX_BYTES_MAX);
        info!(gateway = %gateway.slot, "link opened");
        let opened = LinkEvent::Opened { link, gateway: gateway.slot, outbox: outbox.clone() };
        if self.events.send(opened).await.is_err() {
            return;
        }
        let why = self.read(&mut connection, link, &outbox).await;
        info!(gateway = %gateway.slot, why, "link closed");
        // A loop that has ended needs no telling.
        let _ = self.events.send(LinkEvent::Closed { link }).await;
        connection.finish(&outbox).await;
    }

    /// Hands frames to the role's loop until the link ends; says why it did.
    async fn read(&self, connection: &mut TcpConnection, link: LinkId, outbox: &Outbox) -> &'static str {
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return say_goodbye(outbox),
                received = timeout(self.silence_max, next_batch(connection, outbox)) => received,
            };
            match received {
                Err(_) => return "the gateway is silent",
                Ok(Err(error)) => {
                    debug!(%error, "link broken");
                    return "the connection broke";
                }
                Ok(Ok(frames)) if frames.is_empty() => return "closed in order",
                Ok(Ok(frames)) => {
                    let last = frames.last().is_some_and(|frame| frame.kind == kind::GOODBYE);
                    if self.events.send(LinkEvent::Frames { link, frames }).await.is_err() {
                        return say_goodbye(outbox);
                    }
                    if last {
                        return "the gateway stops";
                    }
                }
            }
        }
    }
}

/// The last word on a link, whatever else waits on it: without it the gateway would take this server for dead.
fn say_goodbye(outbox: &Outbox) -> &'static str {
    outbox.close_with(kind::SERVER_GOODBYE, &[]);
    "this server stops"
}

/// All frames that can be read at once; none when the connection is over.
async fn next_batch(connection: &mut TcpConnection, outbox: &Outbox) -> Result<Vec<Frame>, ConnectionError> {
    let Some(frame) = connection.recv(outbox).await? else { return Ok(Vec::new()) };
    let mut frames = vec![frame];
    while frames.len() < FRAMES_PER_BATCH
        && let Some(frame) = connection.buffered()?
    {
        frames.push(frame);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use pintail_core::limits::LINK_SILENCE_MAX;
    use pintail_core::{Endpoint, Incarnation, Kind};

    use super::*;
    use crate::dial::dial;

    fn who(kind: Kind) -> Identity {
        Identity { cluster: "c".to_owned(), slot: Slot::new(kind, 0), incarnation: Incarnation::random() }
    }

    /// The registry shows a server a moment before the server itself hears that it is registered.
    #[tokio::test]
    async fn a_gateway_that_comes_too_early_is_greeted_once_the_server_knows_who_it_is() {
        let listener = LinkListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let endpoint = Endpoint::new(std::net::Ipv4Addr::LOCALHOST, listener.local_addr().port());
        let (secret, server) = (ClusterSecret::loopback(), who(Kind::Game));
        let (identity_tx, identity) = watch::channel(None);
        let (events, mut heard) = mpsc::channel(16);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(secret.clone(), LINK_SILENCE_MAX, identity, events, stop.clone()));
        let gateway = who(Kind::Gateway);
        let dialled = dial(endpoint, &secret, &gateway, (server.slot, Some(server.incarnation)));
        tokio::pin!(dialled);
        let early = timeout(Duration::from_millis(200), &mut dialled).await;
        assert!(early.is_err(), "nobody is turned away: {early:?}");
        identity_tx.send_replace(Some(server.clone()));
        assert_eq!(dialled.await.unwrap().1, server);
        assert!(matches!(heard.recv().await, Some(LinkEvent::Opened { gateway: slot, .. }) if slot == gateway.slot));
        stop.cancel();
        assert!(matches!(heard.recv().await, Some(LinkEvent::Closed { .. })));
        timeout(HANDSHAKE_TIMEOUT, serving).await.unwrap().unwrap();
    }

    /// Nobody takes any more what the gateway says, and too much waits for the gateway.
    #[tokio::test]
    async fn a_server_that_stops_says_goodbye_whatever_is_under_way() {
        let listener = LinkListener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let endpoint = Endpoint::new(std::net::Ipv4Addr::LOCALHOST, listener.local_addr().port());
        let (secret, server) = (ClusterSecret::loopback(), who(Kind::Game));
        let (_identity, identity) = watch::channel(Some(server.clone()));
        let (events, mut heard) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(secret.clone(), LINK_SILENCE_MAX, identity, events, stop.clone()));
        let (mut gateway, _) = dial(endpoint, &secret, &who(Kind::Gateway), (server.slot, None)).await.unwrap();
        let Some(LinkEvent::Opened { outbox, .. }) = heard.recv().await else { panic!("the link opens first") };
        while outbox.push(kind::DELIVER, &[&[0; 65_536]]).is_ok() {}
        drop(heard);
        gateway.send_now(kind::HEARTBEAT, &[0; 8]).await.unwrap();
        let (mine, mut last) = (Outbox::new(1024), None);
        while let Some(frame) = timeout(HANDSHAKE_TIMEOUT, gateway.recv(&mine)).await.unwrap().unwrap() {
            last = Some(frame.kind);
        }
        assert_eq!(last, Some(kind::SERVER_GOODBYE));
        drop(gateway);
        stop.cancel();
        timeout(HANDSHAKE_TIMEOUT, serving).await.unwrap().unwrap();
    }
}

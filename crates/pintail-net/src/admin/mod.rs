//! The admin port: `/healthz`, `/readyz`, `/metrics`, `/events` and `/debug/…`, for operators and load balancers.
//!
//! | module | what it does |
//! | --- | --- |
//! | the root | connections and routes |
//! | `access` | who may see what |
//! | `guests` | who is connected |
//! | `events` | what happens to the servers, as it happens |
//! | `debug` | profiles, and what the server does |

mod access;
mod debug;
mod events;
mod guests;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pintail_core::AdminToken;
use pintail_core::limits::HANDSHAKE_TIMEOUT;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::{self, BindError};
use crate::connection::CLOSE_TIMEOUT;
use crate::events::Events;
use crate::greeting::Identity;
use crate::metrics::ServerMetrics;
use access::Peer;
pub use debug::Tasks;
use guests::{Guest, Guests};

/// How long a connection may take to go for others, unless it is being answered: what has begun to leave does so meanwhile.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(50);

/// How long accepting pauses when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long what was sent may stay unacknowledged before the kernel gives a connection up: whoever reads the events and
/// stops reading must not keep a place for ever.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// What the admin port tells.
#[derive(Clone)]
pub struct AdminState {
    /// Who the server is; `None` until it is registered.
    pub identity: watch::Receiver<Option<Identity>>,
    /// Whether the server takes new work: `/readyz`.
    pub ready: Arc<AtomicBool>,
    /// The server's metrics: `/metrics`.
    pub metrics: Arc<ServerMetrics>,
    /// What happens to the servers: `/events`.
    pub events: Events,
    /// What the server does: `/debug/tasks`.
    pub tasks: Arc<dyn Tasks>,
}

impl AdminState {
    /// What to call the server.
    fn name(&self) -> String {
        self.identity.borrow().as_ref().map_or_else(|| "a server".to_owned(), |identity| identity.slot.to_string())
    }
}

/// What the answers to requests are made from.
struct Shared {
    state: AdminState,
    token: Option<AdminToken>,
    stop: CancellationToken,
    /// A place for each who reads events.
    readers: Arc<Semaphore>,
}

/// The admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    token: Option<AdminToken>,
}

impl Admin {
    /// Listens on this address. Who asks from another machine has to show this token; without one, they learn nothing
    /// but whether the server is alive and ready.
    ///
    /// # Errors
    /// If the port can't be had.
    pub async fn bind(listen: SocketAddr, token: Option<AdminToken>) -> Result<Self, BindError> {
        let listener = config::listen("the admin port", "--admin", listen)?;
        if token.is_none() && !access::is_this_machine(listen.ip()) {
            warn!(
                admin = %listen,
                "the admin port is open to other machines, and shows them nothing but /healthz and /readyz: let Prometheus \
                 and others in with --admin-token (PINTAIL_ADMIN_TOKEN), or listen on 127.0.0.1"
            );
        }
        Ok(Self { listener, token })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, and then at most [`CLOSE_TIMEOUT`] longer: whoever keeps a request open must not keep the
    /// server from stopping.
    pub async fn serve(self, state: AdminState, stop: CancellationToken) {
        let readers = Arc::new(Semaphore::new(events::READERS_MAX));
        let Self { listener, token } = self;
        let service = TowerToHyperService::new(routes(Shared { state, token, stop: stop.clone(), readers }));
        let mut guests = Guests::new();
        let connections = TaskTracker::new();
        loop {
            let accepted = async {
                let place = guests.place().await;
                (place, listener.accept().await)
            };
            let (place, stream, peer) = tokio::select! {
                () = stop.cancelled() => break,
                (place, accepted) = accepted => match accepted {
                    Ok((stream, peer)) => (place, stream, Peer(peer.ip())),
                    Err(error) => {
                        warn!(%error, "can't accept connections to the admin port for the moment");
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let guest = guests.welcome(place);
            connections.spawn(converse(stream, peer, guest, service.clone(), stop.clone()));
        }
        connections.close();
        connections.wait().await;
    }
}

/// Answers the requests of one connection. One that takes its time over a request's head is closed.
async fn converse(
    stream: TcpStream,
    peer: Peer,
    guest: Guest,
    service: TowerToHyperService<Router>,
    stop: CancellationToken,
) {
    if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(USER_TIMEOUT)) {
        return debug!(%error, "a connection to the admin port does not take its options");
    }
    let answering = Arc::new(AtomicU32::new(0));
    let counted = answering.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        counted.fetch_add(1, Ordering::Relaxed);
        let (answer, counted) = (service.call(request), counted.clone());
        async move {
            let answer = answer.await;
            counted.fetch_sub(1, Ordering::Relaxed);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = async { tokio::select! { () = stop.cancelled() => {}, () = guest.asked_to_leave() => {} } } => {
            connection.as_mut().graceful_shutdown();
            let patience = if stop.is_cancelled() { CLOSE_TIMEOUT } else { LEAVE_TIMEOUT };
            loop {
                match timeout(patience, &mut connection).await {
                    Ok(served) => break served,
                    // What is asked for may take a minute: whoever has to go for others may wait for it.
                    Err(_) if answering.load(Ordering::Relaxed) > 0 && !stop.is_cancelled() => {}
                    Err(_) => return debug!("a request to the admin port was cut off"),
                }
            }
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection to the admin port has failed");
    }
}

fn routes(shared: Shared) -> Router {
    let shared = Arc::new(shared);
    let health = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(readyz));
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/events", get(events::events))
        .route("/debug/pprof/profile", get(debug::profile))
        .route("/debug/pprof/heap", get(debug::heap))
        .route("/debug/tasks", get(debug::tasks))
        .route_layer(from_fn_with_state(shared.clone(), access::guard));
    health.merge(guarded).with_state(shared)
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    if shared.state.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.state.metrics.encode() {
        Ok(text) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], text)
        }
        Err(error) => {
            let content_type = "text/plain; charset=utf-8";
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, content_type)], error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{Kind, Slot};
    use pintail_store::EmbeddedStore;
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::events::EventKind;
    use crate::metrics::CommonMetrics;

    struct Idle;

    #[async_trait::async_trait]
    impl Tasks for Idle {
        async fn tasks(&self, limit: usize) -> Option<serde_json::Value> {
            Some(serde_json::json!({ "limit": limit }))
        }
    }

    fn state() -> AdminState {
        let common = CommonMetrics::observe(Arc::new(EmbeddedStore::new())).1;
        AdminState {
            identity: watch::channel(None).1,
            ready: Arc::default(),
            metrics: Arc::new(ServerMetrics::new(Registry::default(), common, Kind::Game, "0")),
            events: Events::default(),
            tasks: Arc::new(Idle),
        }
    }

    #[tokio::test]
    async fn whoever_keeps_connections_open_keeps_nobody_out() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = admin.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(admin.serve(state(), stop.clone()));
        let ask = async |stream: &mut TcpStream| {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut head = [0; 15];
            timeout(Duration::from_secs(20), stream.read_exact(&mut head)).await.unwrap().unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
        };
        let mut kept = Vec::new();
        // Some have asked, some say nothing, some are in the middle of a request.
        for number in 0..3 * guests::GUESTS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            match number % 3 {
                0 => ask(&mut stream).await,
                1 => stream.write_all(b"GET / HT").await.unwrap(),
                _ => {}
            }
            kept.push(stream);
        }
        ask(&mut TcpStream::connect(address).await.unwrap()).await;
        let mut rest = Vec::new();
        timeout(Duration::from_secs(20), kept[0].read_to_end(&mut rest)).await.unwrap().unwrap();
        stop.cancel();
        timeout(CLOSE_TIMEOUT * 10, serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn it_answers_closes_who_dawdles_and_stops_while_requests_are_open() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = admin.local_addr().unwrap();
        let state = state();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(admin.serve(state.clone(), stop.clone()));
        let ask = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            answer
        };
        assert!(ask("/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/readyz").await.starts_with("HTTP/1.1 503"));
        state.ready.store(true, Ordering::Relaxed);
        assert!(ask("/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask("/metrics").await.ends_with("# EOF\n"));

        assert!(ask("/debug/tasks?limit=7").await.contains("\"limit\": 7"));
        assert!(ask("/debug/tasks?limit=many").await.starts_with("HTTP/1.1 400"));
        assert!(ask("/debug/pprof/profile?seconds=99").await.starts_with("HTTP/1.1 400"));
        assert!(ask("/debug/nothing").await.starts_with("HTTP/1.1 404"));

        let mut dawdler = TcpStream::connect(address).await.unwrap();
        dawdler.write_all(b"GET / HT").await.unwrap();
        let mut answer = Vec::new();
        timeout(HANDSHAKE_TIMEOUT * 4, dawdler.read_to_end(&mut answer)).await.unwrap().unwrap();

        // As many read the events as may; one more is turned away, and the other pages still answer.
        let mut readers = Vec::new();
        for _ in 0..events::READERS_MAX {
            let mut reader = TcpStream::connect(address).await.unwrap();
            reader.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut head = [0; 15];
            reader.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            readers.push(reader);
        }
        assert!(ask("/events").await.starts_with("HTTP/1.1 503"));
        assert!(ask("/healthz").await.starts_with("HTTP/1.1 200"));
        state.events.publish(EventKind::On, Slot::new(Kind::Game, 3), "");

        let mut open = TcpStream::connect(address).await.unwrap();
        open.write_all(b"GET / HT").await.unwrap();
        stop.cancel();
        timeout(CLOSE_TIMEOUT * 10, serving).await.unwrap().unwrap();
        for mut reader in readers {
            let mut rest = String::new();
            reader.read_to_string(&mut rest).await.unwrap();
            assert!(rest.contains(r#""server":"Server:Game:3""#) && rest.ends_with("0\r\n\r\n"), "{rest}");
        }
    }
}

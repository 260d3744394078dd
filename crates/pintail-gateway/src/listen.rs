//! Accepts clients: TCP on one port, HTTP (WebSocket, a page for people) on another, both with TLS or without.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pintail_core::limits::{CLIENT_FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT};
use pintail_net::{TcpConnection, WebSocketConnection};
use pintail_tls::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::client;
use crate::door::Entry;
use crate::server::Gateway;
use crate::strangers::{Stranger, Strangers};
use crate::transport::Transport;

/// How many bytes one read of a client's connection asks for: inputs are small.
const CLIENT_READ_BYTES: usize = 4096;

/// How long accepting pauses when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where WebSocket clients connect.
const WEBSOCKET_PATH: &str = "/ws";

type Body = http_body_util::Full<Bytes>;

/// Accepts connections until the gateway stops, then waits until all of them have ended.
pub(crate) async fn accept(gateway: Arc<Gateway>, listener: TcpListener, protocol: Protocol) {
    let connections = TaskTracker::new();
    let strangers = Arc::new(Strangers::default());
    loop {
        let accepted = async {
            let accepted = accept_one(&listener).await;
            // While there is no place the rest waits in the kernel's queue.
            (protocol.entry(&gateway).await, strangers.admit().await, accepted)
        };
        let (entry, stranger, (stream, peer)) = tokio::select! {
            () = gateway.stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let Ok(stream) = stream.into_std() else { continue };
        let client = Client { stream, stranger, entry };
        let serving = gateway.clone();
        let serve = async move {
            if let Err(error) = protocol.serve(serving, client).await {
                debug!(%peer, %error, "a client's connection failed");
            }
        };
        connections.spawn_on(serve, gateway.loops.next());
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, however long it takes. What is wrong is told once.
async fn accept_one(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut is_told = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_told => debug!(%error, "still can't accept clients"),
            Err(error) => {
                warn!(%error, "can't accept clients for the moment");
                is_told = true;
            }
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// Someone who has come in.
struct Client {
    /// Of no runtime yet: the thread that serves it waits for it.
    stream: std::net::TcpStream,
    stranger: Stranger,
    entry: Entry,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Tcp,
    Http,
}

impl Protocol {
    /// Over TCP all come to stay.
    async fn entry(self, gateway: &Gateway) -> Entry {
        match self {
            Self::Tcp => Entry::Stay(gateway.door.place().await),
            Self::Http => gateway.door.entry().await,
        }
    }

    async fn serve(self, gateway: Arc<Gateway>, client: Client) -> io::Result<()> {
        let Client { stream, mut stranger, entry } = client;
        let socket = TcpStream::from_std(stream)?;
        let stream = match &gateway.encryption {
            None => Stream::from(socket),
            // Boxed, so that it takes no memory of those who have long become clients; what follows likewise.
            Some(tls) => match Box::pin(tls.handshake(&gateway, self, socket, &stranger)).await? {
                Some(stream) => {
                    stranger.came_on();
                    stream
                }
                None => return Ok(()),
            },
        };
        let transport = match self {
            Self::Tcp => tcp(stream)?,
            Self::Http => match Box::pin(serve_http(&gateway, stream, &stranger, &entry)).await? {
                Some(transport) => {
                    stranger.came_on();
                    transport
                }
                None => return Ok(()),
            },
        };
        client::serve(gateway, transport, stranger).await;
        drop(entry);
        Ok(())
    }
}

fn tcp(stream: Stream) -> io::Result<Transport> {
    let connection = TcpConnection::new(stream, CLIENT_FRAME_BYTES_MAX, CLIENT_READ_BYTES)?;
    Ok(Transport::Tcp(connection))
}

/// Answers one HTTP request. Returns the WebSocket that the connection has become, if it has.
async fn serve_http(
    gateway: &Arc<Gateway>,
    stream: Stream,
    stranger: &Stranger,
    entry: &Entry,
) -> io::Result<Option<Transport>> {
    let (upgrades, mut upgrade) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|mut request: Request<Incoming>| {
        let response = respond(gateway, &request, entry);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // One request a connection, so one upgrade at most.
            let _ = upgrades.try_send(hyper::upgrade::on(&mut request));
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let served = tokio::select! {
        () = gateway.stop.cancelled() => return Ok(None),
        () = stranger.crowded_out() => return Ok(None),
        served = tokio::time::timeout(HANDSHAKE_TIMEOUT * 2, connection) => served,
    };
    served.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map_err(io::Error::other)?;
    let Ok(upgrade) = upgrade.try_recv() else { return Ok(None) };
    let parts = upgrade.await.map_err(io::Error::other)?.downcast::<TokioIo<Stream>>();
    let parts = parts.map_err(|_| io::Error::other("an upgrade of another stream"))?;
    if !parts.read_buf.is_empty() {
        return Err(io::Error::other("the client sent frames before the WebSocket handshake was done"));
    }
    let connection = WebSocketConnection::new(parts.io.into_inner(), CLIENT_FRAME_BYTES_MAX)?;
    Ok(Some(Transport::WebSocket(Box::new(connection))))
}

fn respond(gateway: &Gateway, request: &Request<Incoming>, entry: &Entry) -> Response<Body> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
    }
    match request.uri().path() {
        WEBSOCKET_PATH => match entry {
            Entry::Stay(_) => upgrade(request),
            Entry::Visit(_) => text(StatusCode::SERVICE_UNAVAILABLE, "this gateway has as many players as it takes\n"),
        },
        "/" => page(gateway),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" if gateway.is_ready() => text(StatusCode::OK, "ready\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => text(StatusCode::NOT_FOUND, "there is no such page\n"),
    }
}

/// The WebSocket handshake of RFC 6455, section 4.2.
fn upgrade(request: &Request<Incoming>) -> Response<Body> {
    let headers = request.headers();
    let says = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
    };
    if !says(header::CONNECTION, "upgrade") || !says(header::UPGRADE, "websocket") {
        return text(StatusCode::UPGRADE_REQUIRED, "this is where WebSocket clients connect\n");
    }
    if !says(header::SEC_WEBSOCKET_VERSION, "13") {
        let mut response = text(StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken here\n");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return text(StatusCode::BAD_REQUEST, "a WebSocket handshake has a Sec-WebSocket-Key\n");
    };
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let answers = response.headers_mut();
    answers.remove(header::CONTENT_TYPE);
    answers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_value(key.as_bytes()));
    response
}

fn accept_value(key: &[u8]) -> HeaderValue {
    use base64::Engine;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(digest.finish());
    HeaderValue::from_str(&accept).expect("base64 is plain ASCII")
}

fn page(gateway: &Gateway) -> Response<Body> {
    let slot = gateway.identity().map_or_else(|| "not registered yet".to_owned(), |identity| identity.slot.to_string());
    let page = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Pintail gateway</title>\n\
         <h1>Pintail gateway</h1>\n<p>{slot}, {} players connected.</p>\n\
         <p>WebSocket clients connect to <code>{WEBSOCKET_PATH}</code>; docs/protocol.md says what they speak.</p>\n",
        gateway.sessions.len()
    );
    let mut response = Response::new(page.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Listens for clients.
pub(crate) fn listen(
    what: &'static str,
    setting: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), pintail_net::BindError> {
    let listener = pintail_net::config::listen(what, setting, address)?;
    let address =
        listener.local_addr().map_err(|error| pintail_net::BindError::Other { what, address, setting, error })?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_answers_as_the_rfc_says() {
        // The example of RFC 6455, section 1.3.
        assert_eq!(accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

//! Dials a Redis server or a sentinel, and says in plain words why it can't.
//!
//! redis-rs could dial as well. It is done here because a link must be cut at once when its server is no longer the
//! master (whoever holds a clone of redis-rs's own connection keeps its socket open), because each step has a deadline of
//! its own, and because an operator must be told what is wrong with a certificate.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError, Value};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, CertificateError};
use tokio_util::task::AbortOnDropHandle;

use super::url::Address;

/// How long one address may take to accept a connection: a network that loses nothing needs one round trip.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long each further step (TLS, login, the question for the role) may take: four round trips to a Redis that is
/// slow (500 ms), and short enough that a connection into nowhere does not hold up the next attempt.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an attempt is waited for before the next is made beside it. A network that swallows what is sent into it gives
/// no sign when it is whole again; whoever then still waits for an answer to what was lost would come back later than
/// others, and be taken for dead by them.
const ATTEMPT_PERIOD: Duration = Duration::from_millis(500);

/// How many attempts are made side by side: until the first counts as failed.
const ATTEMPTS_MAX: usize = 4;

/// How many of the addresses that a name has are tried.
const ADDRESSES_MAX: usize = 4;

/// Why a server can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{address} {trouble}")]
pub(super) struct DialError {
    pub(super) address: Address,
    pub(super) trouble: Trouble,
}

/// What is the matter with a server. Each continues a sentence that starts with its address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Trouble {
    #[error("is a name that can't be resolved ({0}): check the URL, and the name server")]
    UnknownName(String),
    #[error("can't be connected to ({0}): check that it runs there and listens on that address")]
    Unreachable(String),
    #[error("does not answer ({step}, {} ms)", .limit.as_millis())]
    Silent { step: &'static str, limit: Duration },
    #[error(
        "shows a certificate that is not trusted ({0}): give the file of the authority that signed it as the CA file"
    )]
    NotTrusted(String),
    #[error(
        "wants a client certificate that it trusts ({0}): give one with its key, or set its tls-auth-clients to no"
    )]
    CertificateWanted(String),
    #[error(
        "speaks no TLS on this port, or is stuck: use its TLS port, or a URL that starts with redis and not rediss"
    )]
    NoTls,
    #[error("can't be reached with TLS: {0}")]
    Tls(String),
    #[error("closes connections at once ({0}): if it expects TLS there, the URL must start with rediss")]
    Closed(String),
    #[error("refuses the user or password (WRONGPASS): check those in the URL, and what stands for @ : / ? # in them")]
    WrongPassword,
    #[error("wants a password (NOAUTH): put it into the URL, as in redis://:password@host")]
    PasswordWanted,
    #[error(
        "is a replica and takes no writes: name its master, or its sentinels (redis+sentinel://), or make it the master"
    )]
    Replica,
    #[error("has cut the connection ({0})")]
    Cut(String),
    #[error("refuses: {0}")]
    Refuses(String),
}

impl Trouble {
    /// Whether it lasts until someone does something about it.
    pub(super) fn lasts(&self) -> bool {
        matches!(
            self,
            Self::NotTrusted(_)
                | Self::CertificateWanted(_)
                | Self::WrongPassword
                | Self::PasswordWanted
                | Self::Replica
        )
    }

    pub(super) fn at(self, address: &Address) -> DialError {
        DialError { address: address.clone(), trouble: self }
    }
}

/// What a server says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Master,
    Replica,
    /// It does not say: too old, or something that stands before it.
    Unknown,
}

/// Takes the messages of a subscription. It must not block.
pub(super) type Listener = Arc<dyn AsyncPushSender>;

/// A connection that is ready for commands. Dropping it closes its socket at once, whoever still waits for an answer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) commands: MultiplexedConnection,
    driver: AbortOnDropHandle<()>,
}

impl Link {
    /// Whether its socket is open, as far as this end knows.
    pub(super) fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }
}

/// Opens links with one login.
#[derive(Clone)]
pub(super) struct Dialer {
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("login", &self.login).field("tls", &self.tls.is_some()).finish()
    }
}

impl Dialer {
    pub(super) fn new(login: RedisConnectionInfo, tls: Option<TlsConnector>) -> Self {
        Self { login, tls }
    }

    /// A link to a Redis that is no replica, by the first of several attempts that comes to an end. With a listener, it can
    /// subscribe.
    pub(super) async fn master(&self, address: &Address, listener: Option<Listener>) -> Result<Link, DialError> {
        let mut attempts = FuturesUnordered::new();
        loop {
            if attempts.len() < ATTEMPTS_MAX {
                attempts.push(self.attempt(address, listener.clone()));
            }
            if let Ok(Some(outcome)) = timeout(ATTEMPT_PERIOD, attempts.next()).await {
                return outcome;
            }
        }
    }

    async fn attempt(&self, address: &Address, listener: Option<Listener>) -> Result<Link, DialError> {
        let link = self.dial(address, listener).await?;
        match role(&link.commands, STEP_TIMEOUT).await {
            Ok(Role::Master | Role::Unknown) => Ok(link),
            Ok(Role::Replica) => Err(Trouble::Replica.at(address)),
            Err(trouble) => Err(trouble.at(address)),
        }
    }

    /// A link to a server whose role does not matter.
    pub(super) async fn dial(&self, address: &Address, listener: Option<Listener>) -> Result<Link, DialError> {
        let opened = async {
            let socket = connect(address).await?;
            match &self.tls {
                None => self.log_in(socket, listener).await,
                Some(tls) => self.log_in(encrypt(tls, &address.host, socket).await?, listener).await,
            }
        };
        opened.await.map_err(|trouble: Trouble| trouble.at(address))
    }

    async fn log_in<S>(&self, stream: S, listener: Option<Listener>) -> Result<Link, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Each call has a deadline of its own around it, and so has this.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let (config, login) = match listener {
            None => (config, self.login.clone()),
            // In RESP3 messages and answers share a connection.
            Some(listener) => {
                (config.set_push_sender(listener), self.login.clone().set_protocol(ProtocolVersion::RESP3))
            }
        };
        let made = MultiplexedConnection::new_with_config(&login, stream, config);
        let (commands, driver) = within("login", STEP_TIMEOUT, made).await?.map_err(|error| refusal(&error))?;
        Ok(Link { commands, driver: AbortOnDropHandle::new(tokio::spawn(driver)) })
    }
}

/// Asks a server for its role. It is `HELLO` that asks, which every user may, and not `ROLE`, which few may.
pub(super) async fn role(commands: &MultiplexedConnection, limit: Duration) -> Result<Role, Trouble> {
    let mut commands = commands.clone();
    let asked = async { redis::cmd("HELLO").query_async(&mut commands).await };
    match within("role", limit, asked).await? {
        Ok(answer) => Ok(read_role(&answer)),
        Err(error) if is_broken(&error) => Err(refusal(&error)),
        Err(error) if error.code() == Some("NOAUTH") => Err(Trouble::PasswordWanted),
        // It answers, if not this.
        Err(_) => Ok(Role::Unknown),
    }
}

fn read_role(answer: &HashMap<String, Value>) -> Role {
    match answer.get("role") {
        Some(Value::BulkString(role)) if role == b"master" => Role::Master,
        Some(Value::BulkString(role)) if role == b"replica" => Role::Replica,
        _ => Role::Unknown,
    }
}

/// Whether this error says that the connection is of no use any more.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error()
}

async fn within<T>(step: &'static str, limit: Duration, work: impl Future<Output = T>) -> Result<T, Trouble> {
    timeout(limit, work).await.map_err(|_| Trouble::Silent { step, limit })
}

async fn connect(address: &Address) -> Result<TcpStream, Trouble> {
    let name = (address.host.as_str(), address.port);
    let found = within("name", STEP_TIMEOUT, tokio::net::lookup_host(name)).await?;
    let found = found.map_err(|error| Trouble::UnknownName(error.to_string()))?;
    let mut failure = Trouble::UnknownName("it has no address".to_owned());
    for socket_address in found.take(ADDRESSES_MAX) {
        match within("connection", ACCEPT_TIMEOUT, connect_to(socket_address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failure = Trouble::Unreachable(error.to_string()),
            Err(silent) => failure = silent,
        }
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    // A dead peer is noticed within about 3 s also while nothing is being sent (keepalive) and while something is
    // (user timeout). Without them it is noticed after 15 minutes, if at all.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(1)).with_interval(Duration::from_secs(1));
    let options = SockRef::from(&socket);
    options.set_tcp_keepalive(&keepalive.with_retries(2))?;
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(Some(Duration::from_secs(2)))?;
    Ok(socket)
}

async fn encrypt(
    tls: &TlsConnector,
    host: &str,
    socket: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Trouble> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Trouble::Tls(error.to_string()))?;
    match within("TLS", STEP_TIMEOUT, tls.connect(name, socket)).await {
        Ok(encrypted) => encrypted.map_err(|error| tls_trouble(&error)),
        // Redis without TLS waits for the end of what it takes for a command; one that is held up is silent as well.
        Err(_) => Err(Trouble::NoTls),
    }
}

fn tls_trouble(error: &io::Error) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Trouble::NotTrusted("its authority is unknown".to_owned())
        }
        Some(rustls::Error::InvalidCertificate(problem)) => Trouble::NotTrusted(problem.to_string()),
        Some(rustls::Error::AlertReceived(alert)) => alert_trouble(&format!("{alert:?}")),
        Some(rustls::Error::InvalidMessage(_)) => Trouble::NoTls,
        _ => Trouble::Tls(error.to_string()),
    }
}

fn alert_trouble(alert: &str) -> Trouble {
    let about_us = ["Certificate", "UnknownCA", "DecryptError", "HandshakeFailure"];
    if about_us.iter().any(|word| alert.contains(word)) {
        Trouble::CertificateWanted(alert.to_owned())
    } else {
        Trouble::Tls(alert.to_owned())
    }
}

/// What a failed login, or a failed question for the role, means.
fn refusal(error: &RedisError) -> Trouble {
    let text = error.to_string();
    if error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("WRONGPASS") {
        return Trouble::WrongPassword;
    }
    // The second is what `SELECT` is told.
    if error.code() == Some("NOAUTH") || text.contains("Authentication required") {
        return Trouble::PasswordWanted;
    }
    // With TLS 1.3, a server says only after the handshake what it thinks of the client's certificate.
    if let Some((_, alert)) = text.split_once("received fatal alert: ") {
        return alert_trouble(alert);
    }
    if is_broken(error) { Trouble::Closed(text) } else { Trouble::Refuses(text) }
}

#[cfg(test)]
mod tests {
    use pintail_testkit::RedisServer;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_attempt_into_nowhere_does_not_hold_up_the_next() {
        let redis = RedisServer::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let address = Address { host: address.ip().to_string(), port: address.port() };
        let target = redis.address();
        // What is sent over the first connection is never heard of again; the next ones lead to Redis.
        let network = AbortOnDropHandle::new(tokio::spawn(async move {
            let (_swallowed, _) = listener.accept().await.unwrap();
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(target).await.unwrap();
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        }));
        let dialed = Dialer::new(RedisConnectionInfo::default(), None).master(&address, None).await;
        assert!(dialed.is_ok(), "{dialed:?}");
        drop((dialed, network));
    }
}

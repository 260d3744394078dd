//! One client's connection: log in, then frame by frame.

use std::sync::Arc;
use std::time::Duration;

use pintail_core::limits::{CLIENT_IDLE_TIMEOUT, HANDSHAKE_TIMEOUT};
use pintail_core::{PlayerName, ResumeToken};
use pintail_net::{ConnectionError, Outbox};
use pintail_store::{Login as StoreLogin, LoginMode, LoginOutcome};
use pintail_wire::client::{Error, ErrorCode, GameAttach, GoodbyeReason, Login, Welcome};
use pintail_wire::game::INPUT_HEADER_BYTES;
use pintail_wire::kind::{client as kind, link as link_kind};
use pintail_wire::link::session_presence::Presence;
use pintail_wire::{CLIENT_VERSION, Frame, FrameError, Malformed, Message};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::allowance::{Allowance, Ask, Exceeded};
use crate::metrics::Why;
use crate::server::{Gateway, STORE_AWAY};
use crate::session::Session;
use crate::strangers::Stranger;
use crate::transport::Transport;

/// The most bytes of a `PING`, which all come back.
const PING_BYTES_MAX: usize = 64;

/// How often the connections are checked for silence. A third check in a row that heard nothing says that one is idle: the
/// first may follow a frame closely, so it takes at least [`CLIENT_IDLE_TIMEOUT`] and at most half as long again.
const IDLE_CHECK: Duration = CLIENT_IDLE_TIMEOUT.checked_div(2).expect("two is not zero");

/// How long a login waits for its turn at the store. Clients wait [`HANDSHAKE_TIMEOUT`] for an answer: whoever has to
/// be refused must hear it before, and no work goes into logins whose clients have given up.
const LOGIN_TURN_MAX: Duration = HANDSHAKE_TIMEOUT.checked_div(2).expect("two is not zero");

/// Why a connection is refused or cut, for the client.
struct Refusal {
    code: ErrorCode,
    message: String,
    retry: bool,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry: false }
    }

    fn later(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(code, message) }
    }

    fn send(self, outbox: &Outbox) {
        let error = Error { code: self.code.into(), message: self.message, retry: self.retry };
        outbox.close_with(kind::ERROR, &[&error.encode_to_vec()]);
    }
}

impl From<Exceeded> for Refusal {
    fn from(Exceeded: Exceeded) -> Self {
        let message = "too many requests or attaches came in too short a time: ask less often";
        Self::later(ErrorCode::TooManyRequests, message)
    }
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self::new(ErrorCode::Malformed, error.to_string())
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        let code = match error {
            FrameError::TooLarge { .. } => ErrorCode::FrameTooLarge,
            FrameError::Empty => ErrorCode::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

/// How a connection ended, for the metrics.
enum End {
    /// The client closed it, or the network did.
    Lost,
    /// It was cut for this reason.
    Refused(Refusal),
    LoggedOut,
    /// Nothing was heard for too long, and the client was told so.
    Idle,
    /// Whoever closed the outbox has said why.
    ClosedHere,
}

impl End {
    const fn why(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Refused(_) => "refused",
            Self::LoggedOut => "logged_out",
            Self::Idle => "idle",
            Self::ClosedHere => "closed_here",
        }
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Frame(error) => Self::Refused(error.into()),
            ConnectionError::Truncated | ConnectionError::WebSocket(_) => {
                Self::Refused(Refusal::new(ErrorCode::Malformed, error.to_string()))
            }
            ConnectionError::Io(_) | ConnectionError::Stalled => Self::Lost,
        }
    }
}

/// A client's connection, from accept to close.
pub(crate) async fn serve(gateway: Arc<Gateway>, mut transport: Transport, stranger: Stranger) {
    let outbox = Outbox::new(gateway.client_outbox_bytes_max());
    gateway.metrics.connections.inc();
    // What comes before and after the conversation is put elsewhere, so that a connection takes no more memory than its
    // conversation needs: most of them are silent most of the time.
    match Box::pin(log_in(&gateway, &mut transport, &outbox, stranger)).await {
        Ok(session) => {
            let end = converse(&gateway, &mut transport, &session).await;
            conclude(end, &gateway, &outbox, Some(&session));
            Box::pin(async { tokio::join!(transport.finish(&outbox), depart(&gateway, &session)) }).await;
        }
        Err(end) => {
            conclude(end, &gateway, &outbox, None);
            Box::pin(transport.finish(&outbox)).await;
        }
    }
    gateway.metrics.connections.dec();
}

/// Says the last word and counts it.
fn conclude(end: End, gateway: &Gateway, outbox: &Outbox, session: Option<&Session>) {
    let why = end.why();
    gateway.metrics.closed.get_or_create(&Why { why }).inc();
    match (end, session) {
        (End::Refused(refusal), _) => {
            debug!(message = %refusal.message, "a client is refused");
            refusal.send(outbox);
        }
        (End::LoggedOut, Some(session)) => {
            session.say_goodbye(GoodbyeReason::LoggedOut, "you are logged out", false);
            session.mark_logged_out();
        }
        _ => outbox.close(),
    }
}

/// Waits for the login and decides on it.
async fn log_in(
    gateway: &Arc<Gateway>,
    transport: &mut Transport,
    outbox: &Arc<Outbox>,
    stranger: Stranger,
) -> Result<Arc<Session>, End> {
    let login = tokio::select! {
        () = gateway.stop.cancelled() => {
            return Err(End::Refused(Refusal::later(ErrorCode::Unavailable, "this gateway is stopping")));
        }
        () = stranger.crowded_out() => {
            let message = "too many connections here have not logged in: log in at once";
            return Err(End::Refused(Refusal::later(ErrorCode::LoginTimeout, message)));
        }
        login = timeout(HANDSHAKE_TIMEOUT, first_login(gateway, transport, outbox)) => login,
    };
    drop(stranger);
    let login = match login {
        Ok(login) => login?,
        Err(_) => {
            let message = format!("no login within {} s", HANDSHAKE_TIMEOUT.as_secs());
            return Err(End::Refused(Refusal::new(ErrorCode::LoginTimeout, message)));
        }
    };
    let resumed = !login.resume_token.is_empty();
    let admitted = match timeout(LOGIN_TURN_MAX, gateway.logins.acquire()).await {
        // One that gave up may have logged in elsewhere by now: this login would end that connection for nobody.
        Ok(_turn) if transport.is_closed_by_peer() => return Err(End::Lost),
        Ok(_turn) => admit(gateway, login, outbox).await,
        Err(_) => Err(Refusal::later(ErrorCode::Unavailable, "too many players log in here at the moment")),
    };
    let outcome = if admitted.is_ok() { "accepted" } else { "refused" };
    gateway.metrics.logins.get_or_create(&Why { why: outcome }).inc();
    let session = admitted.map_err(End::Refused)?;
    if resumed {
        gateway.tell_presence(&session, Presence::Back);
    }
    Ok(session)
}

/// The login that must be the first frame, but for pings.
async fn first_login(gateway: &Gateway, transport: &mut Transport, outbox: &Outbox) -> Result<Login, End> {
    loop {
        let Some(frame) = transport.recv(outbox).await? else { return Err(End::Lost) };
        gateway.metrics.traffic.received(frame.kind, frame.body.len());
        match frame.kind {
            kind::LOGIN => {
                return Login::decode(frame.body).map_err(|error| End::Refused(Malformed::from(error).into()));
            }
            kind::PING => pong(gateway, &frame, outbox).map_err(End::Refused)?,
            _ => {
                let message =
                    format!("the first frame must be a login (kind {}), not kind {}", kind::LOGIN, frame.kind);
                return Err(End::Refused(Refusal::new(ErrorCode::NotLoggedIn, message)));
            }
        }
    }
}

/// Checks a login, has the store make it the session's current connection, and welcomes the client.
async fn admit(gateway: &Gateway, login: Login, outbox: &Arc<Outbox>) -> Result<Arc<Session>, Refusal> {
    if login.version != CLIENT_VERSION {
        let message = format!(
            "protocol version {} is not spoken here; this gateway speaks version {CLIENT_VERSION}",
            login.version
        );
        return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
    }
    let Some(identity) = gateway.identity() else {
        return Err(Refusal::later(ErrorCode::Unavailable, "this gateway is not in the cluster yet"));
    };
    let (token, mode) = credentials(&login)?;
    if gateway.is_full_for(token.session()) {
        return Err(Refusal::later(ErrorCode::Unavailable, "this gateway has as many players as it takes"));
    }
    let resumed = matches!(mode, LoginMode::Resume(_));
    let request = StoreLogin {
        session: token.session(),
        token: token.hash(),
        mode,
        gateway: identity.slot,
        incarnation: identity.incarnation,
    };
    let (generation, name) = match gateway.store.login(&request).await {
        Ok(LoginOutcome::Accepted { generation, name }) => (generation, name),
        Ok(LoginOutcome::Unknown) => {
            let message = "this session is over: log in without a resume token";
            return Err(Refusal::new(ErrorCode::BadResumeToken, message));
        }
        Ok(LoginOutcome::WrongToken) => {
            return Err(Refusal::new(ErrorCode::BadResumeToken, "this is not the session's resume token"));
        }
        Err(error) => {
            debug!(%error, "a login failed");
            return Err(Refusal::later(ErrorCode::Unavailable, STORE_AWAY));
        }
    };
    let traffic = gateway.metrics.traffic.clone();
    let session = Arc::new(Session::new(token.session(), generation, name, token.hash(), outbox.clone(), traffic));
    let welcome = Welcome {
        session: session.id.0,
        resume_token: token.to_string(),
        name: session.name.to_string(),
        resumed,
        generation: generation.0,
        ping_interval_ms: u32::try_from((CLIENT_IDLE_TIMEOUT / 3).as_millis()).unwrap_or(u32::MAX),
        gateway: identity.slot.to_string(),
    };
    // The welcome is queued before anything else can be: the table is what others find the session by.
    session.push(kind::WELCOME, &welcome);
    gateway.seat(&session);
    Ok(session)
}

fn credentials(login: &Login) -> Result<(ResumeToken, LoginMode), Refusal> {
    let bad_name = |error: pintail_core::NameError| Refusal::new(ErrorCode::BadName, error.to_string());
    if login.resume_token.is_empty() {
        let name = PlayerName::new(&login.name).map_err(bad_name)?;
        return Ok((ResumeToken::random(), LoginMode::New(name)));
    }
    let token = login
        .resume_token
        .parse()
        .map_err(|_| Refusal::new(ErrorCode::BadResumeToken, "the resume token is not one that a gateway gave"))?;
    let name = if login.name.is_empty() { None } else { Some(PlayerName::new(&login.name).map_err(bad_name)?) };
    Ok((token, LoginMode::Resume(name)))
}

/// Takes the client's frames until the connection ends.
async fn converse(gateway: &Arc<Gateway>, transport: &mut Transport, session: &Arc<Session>) -> End {
    let mut allowance = Allowance::default();
    loop {
        let frame = match transport.recv(&session.outbox).await {
            Ok(Some(frame)) => frame,
            Ok(None) if session.is_idle() => return End::Idle,
            Ok(None) if session.outbox.is_closed() => return End::ClosedHere,
            Ok(None) => return End::Lost,
            Err(error) => return error.into(),
        };
        session.heard();
        match take(gateway, session, &mut allowance, frame).await {
            Ok(Next::Go) => {}
            Ok(Next::LogOut) => return End::LoggedOut,
            Err(refusal) => return End::Refused(refusal),
        }
    }
}

/// Closes the connections of whom nothing is heard, until the gateway stops. One timer does for all of them.
pub(crate) async fn end_idle(gateway: Arc<Gateway>) {
    let mut checks = interval(IDLE_CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = checks.tick() => {}
        }
        for session in gateway.sessions.all() {
            if session.is_silent_again() {
                session.say_goodbye(GoodbyeReason::Idle, "nothing was heard for too long", true);
            }
        }
    }
}

enum Next {
    Go,
    LogOut,
}

async fn take(
    gateway: &Arc<Gateway>,
    session: &Arc<Session>,
    allowance: &mut Allowance,
    frame: Frame,
) -> Result<Next, Refusal> {
    gateway.metrics.traffic.received(frame.kind, frame.body.len());
    match frame.kind {
        kind::GAME_INPUT if frame.body.len() >= INPUT_HEADER_BYTES => {
            gateway.carry(session, link_kind::INPUT, &frame.body).await;
        }
        kind::GAME_ACK if frame.body.len() == INPUT_HEADER_BYTES - 8 => {
            gateway.carry(session, link_kind::ACK, &frame.body).await;
        }
        kind::GAME_INPUT | kind::GAME_ACK => {
            return Err(Malformed("it ends inside the game header".to_owned()).into());
        }
        kind::PING => {
            pong(gateway, &frame, &session.outbox)?;
        }
        kind::LOBBY_REQUEST => {
            allowance.take(gateway.now(), Ask::LobbyRequest)?;
            gateway.lobby_request(session, frame.body)?;
        }
        kind::GAME_ATTACH => {
            allowance.take(gateway.now(), Ask::Attach)?;
            gateway.begin_attach(session, GameAttach::decode(frame.body).map_err(Malformed::from)?);
        }
        kind::LOGOUT => return Ok(Next::LogOut),
        kind::LOGIN => return Err(Refusal::new(ErrorCode::AlreadyLoggedIn, "this connection is logged in already")),
        other => return Err(Refusal::new(ErrorCode::UnknownKind, format!("there is no frame of kind {other}"))),
    }
    Ok(Next::Go)
}

fn pong(gateway: &Gateway, ping: &Frame, outbox: &Outbox) -> Result<(), Refusal> {
    if ping.body.len() > PING_BYTES_MAX {
        return Err(Malformed(format!("a ping has at most {PING_BYTES_MAX} bytes")).into());
    }
    // A client that sends pings and reads no pongs is cut off by whoever else fills its queue, or by the stall.
    if outbox.push(kind::PONG, &[&ping.body]).is_ok() {
        gateway.metrics.traffic.sent(kind::PONG, 1, ping.body.len() as u64);
    }
    Ok(())
}

/// The session's connection is over: whoever has to know is told.
async fn depart(gateway: &Gateway, session: &Session) {
    gateway.detach_gone(session);
    if !gateway.unseat(session) || gateway.stop.is_cancelled() {
        // A newer connection is here, or the whole gateway leaves, which the store notes for all its sessions at once.
        return;
    }
    gateway.forget_requests(session.id);
    let presence = if session.is_logged_out() { Presence::Gone } else { Presence::Away };
    gateway.tell_presence(session, presence);
    if let Err(error) = gateway.tell_departure(session.departure()).await {
        debug!(%error, "the store does not know yet that a session is away; it is told again");
    }
}

//! One request from its bytes to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::LOBBY_REQUEST_TIMEOUT;
use pintail_core::{GameCatalog, Generation, PlayerName, RequestId, RoomId, SessionId, TraceParent};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_engine::room::{Actor, ChatText, Effect, InviteCode, JoinBy, Presence, Request, Room, RoomError};
use pintail_net::Identity;
use pintail_net::trace::{Tracer, handed_on};
use pintail_store::SharedStore;
use pintail_wire::Message;
use pintail_wire::client::lobby_request::Request as Asked;
use pintail_wire::client::{LobbyReply, LobbyRequest, RoomPage, RoomReply, join_room, lobby_reply};
use pintail_wire::kind::client as kind;
use rand::RngExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use crate::change::{Find, Snapshot};
use crate::convert;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::router::{Route, Router};

/// How long a request may take here, from its arrival: a little less than the gateway waits, so that the player gets
/// our answer. One that has waited so long for its turn is not done: its player has been told to try again, or is about to.
const REQUEST_DEADLINE: Duration = LOBBY_REQUEST_TIMEOUT.saturating_sub(Duration::from_millis(1000));

/// How long to wait before the news of a connection is tried again.
const PRESENCE_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_millis(1000) };

/// What every job of a lobby server shares.
pub(crate) struct Lobby {
    pub(crate) store: SharedStore,
    pub(crate) catalog: Arc<GameCatalog>,
    pub(crate) router: Router,
    pub(crate) metrics: Metrics,
    pub(crate) tracer: Tracer,
    /// Who this server is; `None` until it is registered.
    pub(crate) identity: watch::Receiver<Option<Identity>>,
    /// How long a member who lost the connection keeps the place.
    pub(crate) away_grace: Duration,
}

/// A request as a gateway forwards it.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) route: Route,
    pub(crate) session: SessionId,
    pub(crate) name: String,
    pub(crate) generation: Generation,
    pub(crate) request_id: RequestId,
    pub(crate) request: Bytes,
    pub(crate) arrived: Instant,
    /// The gateway's span, if the request is traced.
    pub(crate) trace: Option<TraceParent>,
}

/// Who asks, and by which request.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) actor: Actor,
    pub(crate) request_id: RequestId,
    /// This server's span of it, if it is traced.
    pub(crate) trace: Option<TraceParent>,
}

/// What a request is answered with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The room that the session is in now, if it is in one.
    Room(Option<Box<Snapshot>>),
    /// A list.
    Rooms(RoomPage),
}

impl Forwarded {
    /// Sends the answer to where the request came from.
    pub(crate) fn answer(&self, reply: lobby_reply::Reply) {
        let reply = LobbyReply { reply: Some(reply) };
        let shared: [&[u8]; 2] = [&self.request_id.0.to_be_bytes(), &reply.encode_to_vec()];
        self.route.deliver(kind::LOBBY_REPLY, &[self.session], &shared);
    }

    fn asker(&self) -> Result<Asker, Refusal> {
        let name = PlayerName::new(&self.name).map_err(|error| Refusal::BadPlayerName(error.to_string()))?;
        let actor = Actor { session: self.session, name, gateway: self.route.gateway, generation: self.generation };
        Ok(Asker { actor, request_id: self.request_id, trace: None })
    }
}

impl Lobby {
    /// Does what is asked and answers.
    pub(crate) async fn serve(&self, forwarded: &Forwarded) {
        let began = Instant::now();
        let mut span = self.tracer.child("lobby", forwarded.trace);
        let trace = handed_on(span.as_ref(), forwarded.trace);
        let (kind, answered) = match LobbyRequest::decode(forwarded.request.clone()) {
            Ok(LobbyRequest { request: Some(asked) }) => (kind_of(&asked), self.answer(forwarded, asked, trace).await),
            Ok(LobbyRequest { request: None }) => {
                ("unknown", Err(Refusal::Malformed("this lobby server does not know such a request".to_owned())))
            }
            Err(error) => ("unknown", Err(Refusal::Malformed(error.to_string()))),
        };
        let outcome = match &answered {
            Ok(_) => "ok",
            Err(refusal) => refusal.code().as_str_name(),
        };
        if let Some(span) = &mut span {
            span.set("pintail.request", &kind);
            answered.as_ref().err().inspect(|refusal| span.fail(refusal));
        }
        match &answered {
            Err(Refusal::Store(error)) => debug!(session = %forwarded.session, kind, %error, "store trouble"),
            Err(Refusal::Corrupt(error)) => warn!(session = %forwarded.session, kind, %error, "a damaged room"),
            _ => debug!(session = %forwarded.session, kind, outcome, "answered"),
        }
        forwarded.answer(match answered {
            Ok(Answer::Room(snapshot)) => {
                lobby_reply::Reply::Room(RoomReply { room: snapshot.as_deref().map(convert::room) })
            }
            Ok(Answer::Rooms(page)) => lobby_reply::Reply::Rooms(page),
            Err(refusal) => lobby_reply::Reply::Error(refusal.to_error()),
        });
        self.metrics.answered(kind, outcome, began.elapsed());
    }

    async fn answer(&self, forwarded: &Forwarded, asked: Asked, trace: Option<TraceParent>) -> Result<Answer, Refusal> {
        let asker = Asker { trace, ..forwarded.asker()? };
        let deadline = forwarded.arrived + REQUEST_DEADLINE;
        if Instant::now() >= deadline {
            return Err(Refusal::TooSlow);
        }
        timeout_at(deadline, self.handle(&asker, asked)).await.unwrap_or(Err(Refusal::TooSlow))
    }

    async fn handle(&self, asker: &Asker, asked: Asked) -> Result<Answer, Refusal> {
        match asked {
            Asked::ListRooms(list) => self.list(&list).await.map(Answer::Rooms),
            Asked::CreateRoom(create) => self.create(asker, &create).await,
            Asked::QuickMatch(wish) => self.quick_match(asker, &wish).await,
            Asked::JoinRoom(join) => self.join(asker, join.by).await,
            Asked::GetRoom(_) => unless_outside(self.act(asker, Request::Look).await),
            Asked::LeaveRoom(_) => unless_outside(self.act(asker, Request::Leave).await),
            Asked::SetReady(set) => self.act(asker, Request::SetReady(set.ready)).await,
            Asked::Kick(kick) => self.act(asker, Request::Kick(SessionId(kick.session))).await,
            Asked::Chat(chat) => self.act(asker, Request::Chat(ChatText::new(&chat.text)?)).await,
            Asked::StartGame(_) => {
                let seed = rand::rng().random();
                self.act(asker, Request::Start { seed }).await
            }
        }
    }

    async fn join(&self, asker: &Asker, by: Option<join_room::By>) -> Result<Answer, Refusal> {
        let (find, by, absent) = match by {
            Some(join_room::By::Room(id)) => (Find::Id(RoomId(id)), JoinBy::Id, RoomError::NotFound),
            Some(join_room::By::Invite(code)) => {
                let code = InviteCode::typed(&code).ok_or(RoomError::UnknownInvite)?;
                (Find::Invite(code), JoinBy::Invite, RoomError::UnknownInvite)
            }
            None => return Err(Refusal::Malformed("a join names a room or an invite code".to_owned())),
        };
        self.apply(asker, &find, &Request::Join(by)).await?.ok_or(absent.into())
    }

    /// Does something in the room that the session is in.
    pub(crate) async fn act(&self, asker: &Asker, request: Request) -> Result<Answer, Refusal> {
        let find = Find::Of(asker.actor.session);
        self.apply(asker, &find, &request).await?.ok_or(RoomError::NotInRoom.into())
    }

    /// Does something in a room; `None` if there is no such room.
    pub(crate) async fn apply(&self, asker: &Asker, find: &Find, request: &Request) -> Result<Option<Answer>, Refusal> {
        let decide = |room: &Room| room.apply(&asker.actor, asker.request_id, request.clone());
        let Some(done) = self.change(find, decide).await? else { return Ok(None) };
        let start = done.effects.iter().find_map(|effect| match effect {
            Effect::Start(game) => Some(*game),
            Effect::PlayerLeft(..) => None,
        });
        let now = match start {
            Some(game) => self.start(game, asker.trace).await?,
            None => done.now,
        };
        let mine = now.filter(|now| now.room.member(asker.actor.session).is_some());
        Ok(Some(Answer::Room(mine.map(Box::new))))
    }

    /// Takes the news of a session's connection. Tries for a while: what is lost here heals only when the client asks
    /// for its room, or when it has been away for too long.
    pub(crate) async fn presence(&self, actor: &Actor, presence: Presence) {
        let find = Find::Of(actor.session);
        let attempts = async {
            let mut backoff = Backoff::new(PRESENCE_BACKOFF);
            while let Err(refusal) = self.change(&find, |room| Ok(room.presence(actor, presence))).await {
                debug!(session = %actor.session, %refusal, "the news of a connection has to wait");
                let wait = backoff.fail(&mut rand::rng());
                sleep(wait).await;
            }
        };
        if timeout(REQUEST_DEADLINE, attempts).await.is_err() {
            debug!(session = %actor.session, "the news of a connection is given up");
        }
    }
}

/// Whoever is in no room is answered so.
fn unless_outside(answered: Result<Answer, Refusal>) -> Result<Answer, Refusal> {
    match answered {
        Err(Refusal::Room(RoomError::NotInRoom)) => Ok(Answer::Room(None)),
        other => other,
    }
}

fn kind_of(asked: &Asked) -> &'static str {
    match asked {
        Asked::ListRooms(_) => "list_rooms",
        Asked::CreateRoom(_) => "create_room",
        Asked::JoinRoom(_) => "join_room",
        Asked::LeaveRoom(_) => "leave_room",
        Asked::SetReady(_) => "set_ready",
        Asked::Kick(_) => "kick",
        Asked::Chat(_) => "chat",
        Asked::StartGame(_) => "start_game",
        Asked::QuickMatch(_) => "quick_match",
        Asked::GetRoom(_) => "get_room",
    }
}

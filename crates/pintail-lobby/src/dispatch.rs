//! The one loop: frames and letters in, jobs out. It never waits for the store, so that it answers heartbeats at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{GameId, Generation, PlayerName, RequestId, RoomId, SessionId};
use pintail_engine::load::{Load, LoadMonitor};
use pintail_engine::room::{Actor, Presence};
use pintail_net::cpu::ProcessCpu;
use pintail_net::{LinkEvent, LinkId, MemberEvent, Renewer, RoleError, SharedVitals, StatusNews};
use pintail_store::{Letter, Notice};
use pintail_wire::client::lobby_reply;
use pintail_wire::kind::link as kind;
use pintail_wire::link::session_presence::Presence as PresenceMessage;
use pintail_wire::link::{LobbyForward, SessionPresence};
use pintail_wire::{Frame, Malformed, Message};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::backlog::{Backlog, WAITING_COMFORTABLE};
use crate::lobby::{Forwarded, Lobby};
use crate::refusal::Refusal;
use crate::router::Route;

/// How long requests in flight may take to finish when the server stops. What is not done then is sent again to
/// another lobby server.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Which jobs must not overtake each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Line {
    Session(SessionId),
    Room(RoomId),
}

#[derive(Debug)]
enum Job {
    Request(Forwarded),
    Presence(Actor, Presence),
    Settle(GameId),
}

/// The loop's own state.
pub(crate) struct Dispatch {
    lobby: Arc<Lobby>,
    vitals: Arc<SharedVitals>,
    renewer: Renewer,
    load: LoadMonitor,
    cpu: ProcessCpu,
    began: Instant,
    /// When the loop says how it stands, whether anything else happens or not.
    reports: Interval,
    stopping: bool,
    links: HashMap<LinkId, Route>,
    backlog: Backlog<Line, Job>,
    tasks: JoinSet<()>,
    /// Which line each task works for, so that a job that panics frees its line too.
    lines: HashMap<Id, Line>,
}

impl Dispatch {
    pub(crate) fn new(lobby: Arc<Lobby>, vitals: Arc<SharedVitals>, renewer: Renewer, report_period: Duration) -> Self {
        let mut reports = interval(report_period);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            lobby,
            vitals,
            renewer,
            load: LoadMonitor::of_queue("waiting requests"),
            cpu: ProcessCpu::new(),
            began: Instant::now(),
            reports,
            stopping: false,
            links: HashMap::new(),
            backlog: Backlog::new(),
            tasks: JoinSet::new(),
            lines: HashMap::new(),
        }
    }

    /// Works until `stop` or until an operator asks the server to drain, then finishes what has begun.
    pub(crate) async fn run(
        &mut self,
        links: &mut mpsc::Receiver<LinkEvent>,
        members: &mut mpsc::Receiver<MemberEvent>,
        stop: &CancellationToken,
    ) -> Result<(), RoleError> {
        while !self.stopping {
            tokio::select! {
                biased;
                () = stop.cancelled() => self.drain(),
                _ = self.reports.tick() => self.report(),
                Some(ended) = self.tasks.join_next_with_id() => self.on_ended(&ended),
                event = members.recv() => match event {
                    Some(event) => self.on_member(&event)?,
                    None => return Err(RoleError::Internal("the membership task has ended".to_owned())),
                },
                event = links.recv() => match event {
                    Some(event) => self.on_link(event),
                    None => return Err(RoleError::Internal("the link listener has ended".to_owned())),
                },
            }
            self.start_jobs();
        }
        if timeout(DRAIN_MAX, self.finish_jobs(links)).await.is_err() {
            warn!("some requests were still in flight when the server stopped");
        }
        Ok(())
    }

    /// Takes no new requests. The registry is told at once.
    fn drain(&mut self) {
        info!(links = self.links.len(), "draining");
        self.stopping = true;
        self.vitals.drain();
        self.renewer.renew_now();
    }

    /// Finishes what has begun. What arrives now stays unanswered: its gateway sends it to another lobby server as soon
    /// as this one's links close.
    async fn finish_jobs(&mut self, links: &mut mpsc::Receiver<LinkEvent>) {
        loop {
            self.start_jobs();
            tokio::select! {
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.on_ended(&ended),
                    None => return,
                },
                _ = self.reports.tick() => self.report(),
                Some(event) = links.recv() => self.on_link(event),
            }
        }
    }

    /// The loop has come round: says so, and how much it has to do.
    fn report(&mut self) {
        self.vitals.beat().beat();
        let load = Load {
            used: u32::try_from(self.backlog.waiting()).unwrap_or(u32::MAX),
            capacity: u32::try_from(WAITING_COMFORTABLE).unwrap_or(u32::MAX),
            cpu: self.cpu.share(),
            ..Load::default()
        };
        let condition = self.load.observe(self.began.elapsed(), &load);
        if self.vitals.report(condition, 0) == StatusNews::Changed {
            self.renewer.renew_now();
        }
    }

    fn start_jobs(&mut self) {
        while let Some((line, job)) = self.backlog.next() {
            let lobby = self.lobby.clone();
            let task = self.tasks.spawn(async move { job.run(&lobby).await });
            self.lines.insert(task.id(), line);
        }
        let metrics = &self.lobby.metrics;
        metrics.jobs_running.set(i64::try_from(self.backlog.running()).unwrap_or(i64::MAX));
        metrics.jobs_waiting.set(i64::try_from(self.backlog.waiting()).unwrap_or(i64::MAX));
    }

    fn on_ended(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(failure) => {
                error!(%failure, "a job failed: a bug in the lobby; its request stays unanswered");
                failure.id()
            }
        };
        if let Some(line) = self.lines.remove(&id) {
            self.backlog.finish(line);
        }
    }

    fn on_member(&mut self, event: &MemberEvent) -> Result<(), RoleError> {
        match event {
            MemberEvent::Joined(_) => self.vitals.joined(),
            // A letter that finds no place is found by the sweep.
            MemberEvent::Notice(Notice::Letter(Letter::GameOver(game))) => {
                self.push(Line::Room(game.room), Job::Settle(*game));
            }
            MemberEvent::Notice(_) => {}
            MemberEvent::DrainAsked => self.drain(),
            MemberEvent::Superseded => return Err(RoleError::Superseded),
        }
        Ok(())
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened { link, gateway, outbox } => {
                self.lobby.router.opened(link, gateway, outbox.clone());
                self.links.insert(link, Route { gateway, outbox });
            }
            LinkEvent::Closed { link } => {
                self.lobby.router.closed(link);
                self.links.remove(&link);
            }
            LinkEvent::Frames { link, frames } => return self.on_frames(link, frames),
        }
        self.lobby.metrics.links.set(i64::try_from(self.links.len()).unwrap_or(i64::MAX));
    }

    fn on_frames(&mut self, link: LinkId, frames: Vec<Frame>) {
        let Some(route) = self.links.get(&link).cloned() else { return };
        for frame in frames {
            if let Err(malformed) = self.on_frame(&route, &frame) {
                warn!(gateway = %route.gateway, %malformed, "a gateway sent what is no link frame: closing its link");
                route.outbox.close();
                self.links.remove(&link);
                self.lobby.router.closed(link);
                return;
            }
        }
    }

    fn on_frame(&mut self, route: &Route, frame: &Frame) -> Result<(), Malformed> {
        match frame.kind {
            kind::HEARTBEAT => {
                // A full outbox is closed by whoever has more to say; a silent link is closed by its gateway.
                let _ = route.outbox.push(kind::HEARTBEAT_ANSWER, &[&frame.body]);
            }
            kind::GOODBYE => {}
            _ if self.stopping => {}
            kind::LOBBY_FORWARD => self.on_request(route, LobbyForward::decode(frame.body.clone())?),
            kind::SESSION_PRESENCE => self.on_presence(route, &SessionPresence::decode(frame.body.clone())?)?,
            other => return Err(Malformed(format!("a lobby server takes no frames of kind {other}"))),
        }
        Ok(())
    }

    fn on_request(&mut self, route: &Route, forward: LobbyForward) {
        let forwarded = Forwarded {
            route: route.clone(),
            session: SessionId(forward.session),
            name: forward.name,
            generation: Generation(forward.generation),
            request_id: RequestId(forward.request_id),
            request: forward.request,
            arrived: Instant::now(),
            // What is none is nobody's trace.
            trace: forward.traceparent.parse().ok(),
        };
        if let Some(Job::Request(refused)) = self.push(Line::Session(forwarded.session), Job::Request(forwarded)) {
            refused.answer(lobby_reply::Reply::Error(Refusal::Overload.to_error()));
        }
    }

    fn on_presence(&mut self, route: &Route, news: &SessionPresence) -> Result<(), Malformed> {
        let presence = match news.presence() {
            PresenceMessage::Back => Presence::Back,
            PresenceMessage::Away => Presence::Away,
            PresenceMessage::Gone => Presence::Gone,
            PresenceMessage::Unspecified => return Err(Malformed("an unknown presence".to_owned())),
        };
        let name = PlayerName::new(&news.name).map_err(|error| Malformed(error.to_string()))?;
        let (session, generation) = (SessionId(news.session), Generation(news.generation));
        let actor = Actor { session, name, gateway: route.gateway, generation };
        if self.push(Line::Session(actor.session), Job::Presence(actor, presence)).is_some() {
            debug!(session = news.session, "too many jobs: the news of a connection is dropped");
        }
        Ok(())
    }

    /// Queues a job; gives it back if there are too many.
    fn push(&mut self, line: Line, job: Job) -> Option<Job> {
        let refused = self.backlog.push(line, job).err()?;
        self.lobby.metrics.overloads.inc();
        Some(refused)
    }
}

impl Job {
    async fn run(self, lobby: &Lobby) {
        match self {
            Self::Request(forwarded) => lobby.serve(&forwarded).await,
            Self::Presence(actor, presence) => lobby.presence(&actor, presence).await,
            Self::Settle(game) => {
                if let Err(refusal) = lobby.settle(game).await {
                    debug!(%game, %refusal, "a game's end is left to the sweep");
                }
            }
        }
    }
}

//! The loop that runs all games of a server: takes everything that has arrived, lets the host decide, does it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::secret::random_bytes;
use pintail_core::{ClusterSecret, Incarnation, Slot};
use pintail_engine::load::{Load, LoadMonitor};
use pintail_net::cpu::ThreadCpu;
use pintail_net::{
    Identity, Lease, LinkEvent, LinkId, LinkListener, MemberEvent, Outbox, PushError, Renewer, RoleError, SharedVitals,
    StatusNews,
};
use pintail_store::{Letter, Notice};
use pintail_wire::kind;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::GameConfig;
use super::inbox::{self, Inbox};
use super::metrics::Metrics;
use super::phase::{Left, Phase, Task};
use super::store_worker::{StoreAnswer, StoreCall};
use crate::limits::TURN_BUDGET;
use crate::runtime::{Budget, Command, Delivery, Effects, GameHost, HostEvent, Now};

/// How many link events may wait for the loop; links wait with the next.
const LINK_EVENTS_MAX: usize = 1024;

/// How often the games here are compared with those that the store says are.
const SCAN_PERIOD: Duration = Duration::from_secs(1);

/// Where the links come from: the port, the secret, and who this server is.
pub(super) struct Links {
    pub(super) listener: LinkListener,
    pub(super) secret: ClusterSecret,
    pub(super) silence_max: Duration,
    pub(super) identity: watch::Receiver<Option<Identity>>,
}

/// What the loop hears besides its links.
pub(super) struct Mailboxes {
    pub(super) member_events: mpsc::Receiver<MemberEvent>,
    pub(super) lease: watch::Receiver<Lease>,
    pub(super) answers: mpsc::Receiver<StoreAnswer>,
    pub(super) stop: CancellationToken,
}

/// Whom the loop tells, besides its links.
pub(super) struct Neighbours {
    pub(super) calls: mpsc::Sender<StoreCall>,
    pub(super) renewer: Renewer,
    pub(super) vitals: Arc<SharedVitals>,
    pub(super) metrics: Metrics,
    /// Whoever looks whether the loop comes round. It ends with the loop: while the links close after it, the server is
    /// not stuck.
    pub(super) _watch: AbortOnDropHandle<()>,
}

pub(super) struct GameLoop {
    host: GameHost,
    incarnation: Incarnation,
    slot: Option<Slot>,
    links: HashMap<LinkId, Arc<Outbox>>,
    neighbours: Neighbours,
    inbox: Inbox,
    scan_at: Now,
    is_scanning: bool,
    capacity: u32,
    load: LoadMonitor,
    cpu: ThreadCpu,
    /// Fixed steps since the last report: due, and given up.
    steps: (u64, u64),
    report_period: Duration,
    report_at: Now,
    phase: Phase,
    /// When the drain began.
    drains_since: Option<Instant>,
    superseded: bool,
    drain_timeout: Duration,
    lease_ttl: Duration,
    fx: Effects,
    began: Instant,
}

impl GameLoop {
    /// A loop that has not begun, for the thread that calls this.
    pub(super) fn new(config: &GameConfig, incarnation: Incarnation, neighbours: Neighbours) -> Self {
        Self {
            host: GameHost::new(config.types.clone(), incarnation, config.journal, u64::from_be_bytes(random_bytes())),
            incarnation,
            slot: None,
            links: HashMap::new(),
            neighbours,
            inbox: Inbox::default(),
            scan_at: Now::default(),
            is_scanning: false,
            capacity: config.capacity,
            load: LoadMonitor::new("games"),
            cpu: ThreadCpu::new(),
            steps: (0, 0),
            report_period: config.server.timing.heartbeat,
            report_at: Now::default(),
            phase: Phase::Serving,
            drains_since: None,
            superseded: false,
            drain_timeout: config.drain_timeout,
            lease_ttl: config.server.timing.lease_ttl,
            fx: Effects::default(),
            began: Instant::now(),
        }
    }

    /// Runs on the calling thread until the server has stopped.
    pub(super) fn run_with_links(self, links: Links, mailboxes: Mailboxes) -> Result<(), RoleError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RoleError::Internal(format!("no runtime for the games: {error}")))?;
        runtime.block_on(async move {
            let Links { listener, secret, silence_max, identity } = links;
            let (events_tx, events) = mpsc::channel(LINK_EVENTS_MAX);
            let stop_links = CancellationToken::new();
            let serving = tokio::spawn(listener.serve(secret, silence_max, identity, events_tx, stop_links.clone()));
            let outcome = self.run(events, mailboxes).await;
            // The loop's end has dropped the events, so no link waits for it; each says goodbye and sends what it has.
            stop_links.cancel();
            serving.await.map_err(|error| RoleError::Internal(format!("the links have failed: {error}")))?;
            outcome
        })
    }

    async fn run(mut self, mut links: mpsc::Receiver<LinkEvent>, mut mail: Mailboxes) -> Result<(), RoleError> {
        while self.phase != Phase::Over {
            let wake = self.began + self.next_wake().0;
            tokio::select! {
                () = mail.stop.cancelled(), if self.phase == Phase::Serving => self.drain(),
                event = links.recv() => match event {
                    Some(event) => self.inbox.links.push_back(event),
                    None => return Err(RoleError::Internal("the port for links has failed".to_owned())),
                },
                // A membership that is over (superseded) has no more to say, at once and for ever.
                event = mail.member_events.recv(), if !mail.member_events.is_closed() => self.inbox.members.extend(event),
                answer = mail.answers.recv() => self.inbox.answers.extend(answer),
                Ok(()) = mail.lease.changed(), if self.phase.waits_for_store() => self.note_renewal(*mail.lease.borrow()),
                () = tokio::time::sleep_until(wake) => {}
            }
            // Whatever else has arrived belongs to the same turn.
            inbox::take_ready(&mut links, &mut self.inbox.links);
            inbox::take_ready(&mut mail.member_events, &mut self.inbox.members);
            inbox::take_ready(&mut mail.answers, &mut self.inbox.answers);
            self.turn();
            // Games that are always busy must not keep the links from reading and writing.
            tokio::task::yield_now().await;
        }
        if self.superseded { Err(RoleError::Superseded) } else { Ok(()) }
    }

    /// One turn. What would make it last too long waits for the next.
    fn turn(&mut self) {
        let now = self.now();
        self.neighbours.vitals.beat().beat();
        let began = self.began;
        let clock = move || Now(began.elapsed());
        let budget = Budget::new(&clock, now + TURN_BUDGET);
        while let Some(event) = self.inbox.members.pop_front() {
            self.on_member_event(now, event);
        }
        while let Some(event) = self.inbox.links.pop_front() {
            self.on_link_event(now, event);
            if budget.is_spent() {
                break;
            }
        }
        while let Some(answer) = self.inbox.answers.pop_front() {
            self.on_answer(now, answer);
            if budget.is_spent() {
                break;
            }
        }
        self.host.advance(now, &budget, &mut self.fx);
        self.count(now);
        self.carry_out(now);
        self.scan(now);
        self.report(now);
        self.go_on(now);
    }

    fn count(&mut self, turn_began: Now) {
        let stats = std::mem::take(&mut self.fx.stats);
        self.steps.0 += stats.fixed_steps_due;
        self.steps.1 += stats.overruns;
        self.neighbours.metrics.add(&stats, self.now().since(turn_began));
    }

    fn on_link_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Opened { link, outbox, .. } => {
                self.links.insert(link, outbox);
            }
            LinkEvent::Frames { link, frames } => {
                // What arrives on a link that was closed for being slow is too late.
                if self.links.contains_key(&link) {
                    for frame in frames {
                        self.host.handle(now, HostEvent::Frame(link, frame), &mut self.fx);
                    }
                }
            }
            LinkEvent::Closed { link } => {
                if self.links.remove(&link).is_some() {
                    self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
                }
            }
        }
    }

    fn on_member_event(&mut self, now: Now, event: MemberEvent) {
        match event {
            MemberEvent::Joined(identity) => {
                self.slot = Some(identity.slot);
                self.scan_at = now;
                self.neighbours.vitals.joined();
                self.host.handle(now, HostEvent::Joined(identity.slot), &mut self.fx);
            }
            MemberEvent::Notice(Notice::Rescan) => self.scan_at = now,
            MemberEvent::Notice(Notice::Letter(Letter::GamePlaced(id))) => {
                self.host.handle(now, HostEvent::Placed(id), &mut self.fx);
            }
            MemberEvent::Notice(Notice::Letter(Letter::PlayerLeft(id, session))) => {
                self.host.handle(now, HostEvent::PlayerLeft(id, session), &mut self.fx);
            }
            MemberEvent::Notice(_) => {}
            MemberEvent::DrainAsked => self.drain(),
            MemberEvent::Superseded => {
                self.superseded = true;
                self.drain_timeout = Duration::ZERO;
                self.drain();
                self.phase.cut_short(now);
            }
        }
    }

    fn on_answer(&mut self, now: Now, answer: StoreAnswer) {
        self.is_scanning &= !matches!(answer, None | Some(HostEvent::Hosted { .. }));
        if let Some(HostEvent::Hosted { asked, .. }) = &answer {
            self.phase.scanned(*asked);
        }
        if let Some(event) = answer {
            self.host.handle(now, event, &mut self.fx);
        }
    }

    /// The lease was renewed, and if that was after the drain had begun, then the store knows of it.
    fn note_renewal(&mut self, lease: Lease) {
        if let (Some(since), Lease::Held { renewed, .. }) = (self.drains_since, lease)
            && renewed >= since
        {
            let now = self.now();
            self.phase.store_knows(now);
            self.scan_at = now;
        }
    }

    fn carry_out(&mut self, now: Now) {
        let mut commands = std::mem::take(&mut self.fx.commands);
        for command in commands.drain(..) {
            match command {
                Command::Deliver(link, delivery) => self.deliver(now, link, &delivery),
                Command::AnswerHeartbeat(link, body) => {
                    self.push(now, link, |outbox| outbox.push(kind::link::HEARTBEAT_ANSWER, &[&body]));
                }
                Command::CloseLink(link) => self.close_link(now, link),
                Command::Load(id) => self.call(StoreCall::Load(id)),
                Command::End { id, owner, outcome } => self.call(StoreCall::End { id, owner, outcome }),
                Command::Restore { order, owner, snapshot } => {
                    self.call(StoreCall::Restore { order, owner, snapshot });
                }
                Command::Write(_) | Command::Claim { .. } | Command::HandOver { .. } | Command::GamesHere(_) => {}
            }
        }
        // Closing a link may have led to more commands; they are for the next turn, which comes at once.
        commands.append(&mut self.fx.commands);
        self.fx.commands = commands;
    }

    fn deliver(&mut self, now: Now, link: LinkId, delivery: &Delivery) {
        self.push(now, link, |outbox| outbox.push_with(|frames| delivery.encode(frames)));
    }

    fn push(&mut self, now: Now, link: LinkId, push: impl FnOnce(&Outbox) -> Result<(), PushError>) {
        let Some(outbox) = self.links.get(&link) else { return };
        if push(outbox).is_err() {
            // The gateway dials again, its clients attach again, and the streams go on where they were.
            warn!("a gateway reads too slowly; its link is closed");
            self.neighbours.metrics.slow_links.inc();
            self.close_link(now, link);
        }
    }

    fn close_link(&mut self, now: Now, link: LinkId) {
        if let Some(outbox) = self.links.remove(&link) {
            outbox.close();
            self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
        }
    }

    fn call(&mut self, call: StoreCall) {
        if let Err(error) = self.neighbours.calls.try_send(call) {
            self.neighbours.metrics.refused_store_calls.inc();
            self.inbox.answers.push_back(error.into_inner().failed());
        }
    }

    fn scan(&mut self, now: Now) {
        if let Some(slot) = self.slot
            && self.scan_at <= now
            && !self.is_scanning
        {
            self.is_scanning = true;
            self.scan_at = now + SCAN_PERIOD;
            self.call(StoreCall::Scan { slot, incarnation: self.incarnation, asked: now });
        }
    }

    fn report(&mut self, now: Now) {
        if now < self.report_at {
            return;
        }
        self.report_at = now + self.report_period;
        let (games, players) = (self.host.live_games(), self.host.attached_players());
        let (steps_due, steps_given_up) = std::mem::take(&mut self.steps);
        let used = u32::try_from(games).unwrap_or(u32::MAX);
        let capacity = self.capacity;
        let load = Load { used, capacity, steps_due, steps_given_up, commit_lag: None, cpu: self.cpu.share() };
        let condition = self.load.observe(now.0, &load);
        let Neighbours { metrics, vitals, renewer, .. } = &self.neighbours;
        metrics.show(games, players, self.links.len(), condition.status);
        if vitals.report(condition, players) == StatusNews::Changed {
            renewer.renew_now();
        }
    }

    fn drain(&mut self) {
        if self.phase == Phase::Serving {
            info!(games = self.host.live_games(), at_most_s = self.drain_timeout.as_secs_f32(), "draining");
            self.neighbours.vitals.drain();
            self.drains_since = Some(Instant::now());
            self.neighbours.renewer.renew_now();
            self.phase = Phase::drain(self.now(), self.drain_timeout, self.lease_ttl);
        }
    }

    fn go_on(&mut self, now: Now) {
        if self.phase == Phase::Serving {
            return;
        }
        // A server that was never registered has nothing to wait for.
        if self.slot.is_none() && self.phase.waits_for_store() {
            self.phase.store_knows(now);
            self.phase.scanned(now);
        }
        let left = Left { games: self.host.unfinished_games(), flushed: self.host.is_flushed() };
        match self.phase.go_on(now, left) {
            Task::None => {}
            Task::Report(rest) => {
                info!(games = left.games, "draining: waiting for the games, {} s at most", rest.as_secs());
            }
            Task::EndGames => {
                self.host.handle(now, HostEvent::Stop, &mut self.fx);
                self.carry_out(now);
            }
        }
    }

    /// When the loop has something to do by itself.
    fn next_wake(&self) -> Now {
        if !self.inbox.is_empty() || !self.fx.commands.is_empty() {
            return Now::default();
        }
        let scan_at = (self.slot.is_some() && !self.is_scanning).then_some(self.scan_at);
        let others = [scan_at, self.phase.due(), self.host.next_due()];
        others.into_iter().flatten().fold(self.report_at, Now::min)
    }

    fn now(&self) -> Now {
        Now(self.began.elapsed())
    }
}

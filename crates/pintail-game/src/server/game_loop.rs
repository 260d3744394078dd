//! The loop that runs all games of a server: takes everything that has arrived, lets the host decide, does it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::secret::random_bytes;
use pintail_core::{ClusterSecret, Incarnation, Slot};
use pintail_net::{Identity, LinkEvent, LinkId, LinkListener, MemberEvent, Outbox, PushError, RoleError};
use pintail_store::{Letter, Notice};
use pintail_wire::kind;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::metrics::Metrics;
use super::store_worker::{StoreAnswer, StoreCall};
use super::{GameConfig, SharedVitals};
use crate::runtime::{Command, Delivery, Effects, GameHost, HostEvent, Now};

/// How many link events may wait for the loop; links wait with the next.
const LINK_EVENTS_MAX: usize = 1024;

/// How many events of one kind are taken before the games step.
const EVENTS_PER_TURN: usize = 1024;

/// How often the games here are compared with those that the store says are.
const SCAN_PERIOD: Duration = Duration::from_secs(1);

/// How often the loop says how much it has to do.
const REPORT_PERIOD: Duration = Duration::from_millis(250);

/// How long a stopping server waits for the store and the players to hear how their games ended.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the links come from: the port, the secret, and who this server is.
type Links = (LinkListener, ClusterSecret, watch::Receiver<Option<Identity>>);

/// What the loop hears besides its links.
pub(super) struct Mailboxes {
    pub(super) member_events: mpsc::Receiver<MemberEvent>,
    pub(super) answers: mpsc::Receiver<StoreAnswer>,
    pub(super) stop: CancellationToken,
}

/// How far a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// → `Draining` when told to stop.
    Serving,
    /// Takes no new games. → `Flushing` when all games are over, or at this time.
    Draining {
        until: Now,
    },
    /// All games are over; → `Over` when everyone has heard, or at this time.
    Flushing {
        until: Now,
    },
    Over,
}

pub(super) struct GameLoop {
    host: GameHost,
    incarnation: Incarnation,
    slot: Option<Slot>,
    links: HashMap<LinkId, Arc<Outbox>>,
    calls: mpsc::Sender<StoreCall>,
    /// Answers to calls that could not even be made, for the next turn.
    failed_calls: Vec<StoreAnswer>,
    scan_at: Now,
    is_scanning: bool,
    report_at: Now,
    phase: Phase,
    superseded: bool,
    drain_timeout: Duration,
    metrics: Metrics,
    vitals: Arc<SharedVitals>,
    fx: Effects,
    began: Instant,
}

impl GameLoop {
    pub(super) fn new(
        config: &GameConfig,
        incarnation: Incarnation,
        calls: mpsc::Sender<StoreCall>,
        metrics: Metrics,
        vitals: Arc<SharedVitals>,
    ) -> Self {
        Self {
            host: GameHost::new(config.types.clone(), incarnation, u64::from_be_bytes(random_bytes())),
            incarnation,
            slot: None,
            links: HashMap::new(),
            calls,
            failed_calls: Vec::new(),
            scan_at: Now::default(),
            is_scanning: false,
            report_at: Now::default(),
            phase: Phase::Serving,
            superseded: false,
            drain_timeout: config.drain_timeout,
            metrics,
            vitals,
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
            let (listener, secret, identity) = links;
            let (events_tx, events) = mpsc::channel(LINK_EVENTS_MAX);
            let stop_links = CancellationToken::new();
            let serving = tokio::spawn(listener.serve(secret, identity, events_tx, stop_links.clone()));
            let outcome = self.run(events, mailboxes).await;
            // The loop's end has dropped the events, so no link waits for it; each says goodbye and sends what it has.
            stop_links.cancel();
            serving.await.map_err(|error| RoleError::Internal(format!("the links have failed: {error}")))?;
            outcome
        })
    }

    async fn run(mut self, mut links: mpsc::Receiver<LinkEvent>, mut mail: Mailboxes) -> Result<(), RoleError> {
        let (mut link_events, mut member_events, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        while self.phase != Phase::Over {
            let wake = self.began + self.next_wake().0;
            tokio::select! {
                () = mail.stop.cancelled(), if self.phase == Phase::Serving => self.drain(),
                taken = links.recv_many(&mut link_events, EVENTS_PER_TURN) => if taken == 0 {
                    return Err(RoleError::Internal("the port for links has failed".to_owned()));
                },
                // A membership that is over (superseded) has no more to say, at once and for ever.
                _ = mail.member_events.recv_many(&mut member_events, EVENTS_PER_TURN), if !mail.member_events.is_closed() => {}
                _ = mail.answers.recv_many(&mut answers, EVENTS_PER_TURN) => {}
                () = tokio::time::sleep_until(wake) => {}
            }
            // Whatever else has arrived belongs to the same turn.
            take_ready(&mut links, &mut link_events);
            take_ready(&mut mail.member_events, &mut member_events);
            take_ready(&mut mail.answers, &mut answers);
            self.turn(&mut link_events, &mut member_events, &mut answers);
            // Games that are always busy must not keep the links from reading and writing.
            tokio::task::yield_now().await;
        }
        if self.superseded { Err(RoleError::Superseded) } else { Ok(()) }
    }

    fn turn(
        &mut self,
        link_events: &mut Vec<LinkEvent>,
        member_events: &mut Vec<MemberEvent>,
        answers: &mut Vec<StoreAnswer>,
    ) {
        let now = self.now();
        for event in member_events.drain(..) {
            self.on_member_event(now, event);
        }
        answers.append(&mut self.failed_calls);
        for answer in answers.drain(..) {
            self.on_answer(now, answer);
        }
        for event in link_events.drain(..) {
            self.on_link_event(now, event);
        }
        self.host.advance(now, &mut self.fx);
        self.metrics.add(&std::mem::take(&mut self.fx.stats), self.now().since(now));
        self.carry_out(now);
        self.scan(now);
        self.report(now);
        self.go_on(now);
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
                self.vitals.joined();
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
            MemberEvent::Superseded => {
                self.superseded = true;
                self.drain_timeout = Duration::ZERO;
                self.drain();
            }
        }
    }

    fn on_answer(&mut self, now: Now, answer: StoreAnswer) {
        self.is_scanning &= !matches!(answer, None | Some(HostEvent::Hosted { .. }));
        if let Some(event) = answer {
            self.host.handle(now, event, &mut self.fx);
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
                Command::Restore { order, owner } => self.call(StoreCall::Restore { order, owner }),
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
            self.metrics.slow_links.inc();
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
        if let Err(error) = self.calls.try_send(call) {
            self.metrics.refused_store_calls.inc();
            self.failed_calls.push(error.into_inner().failed());
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
        if self.report_at <= now {
            self.report_at = now + REPORT_PERIOD;
            let (games, players) = (self.host.live_games(), self.host.attached_players());
            self.vitals.report(games, players);
            self.metrics.games.set(games as i64);
            self.metrics.players.set(players as i64);
            self.metrics.links.set(self.links.len() as i64);
        }
    }

    fn drain(&mut self) {
        if self.phase == Phase::Serving {
            info!(games = self.host.live_games(), "game server stops");
            self.vitals.stop();
            self.phase = Phase::Draining { until: self.now() + self.drain_timeout };
        }
    }

    fn go_on(&mut self, now: Now) {
        match self.phase {
            Phase::Draining { until } if until <= now || self.host.live_games() == 0 => {
                self.phase = Phase::Flushing { until: now + FLUSH_TIMEOUT };
                self.host.handle(now, HostEvent::Stop, &mut self.fx);
                self.carry_out(now);
            }
            Phase::Flushing { until } if until <= now || self.host.is_flushed() => self.phase = Phase::Over,
            Phase::Serving | Phase::Draining { .. } | Phase::Flushing { .. } | Phase::Over => {}
        }
    }

    /// When the loop has something to do by itself.
    fn next_wake(&self) -> Now {
        if !self.failed_calls.is_empty() || !self.fx.commands.is_empty() {
            return Now::default();
        }
        let mut next = self.report_at;
        if self.slot.is_some() && !self.is_scanning {
            next = next.min(self.scan_at);
        }
        match self.phase {
            Phase::Draining { until } | Phase::Flushing { until } => next = next.min(until),
            Phase::Serving | Phase::Over => {}
        }
        self.host.next_due().map_or(next, |due| due.min(next))
    }

    fn now(&self) -> Now {
        Now(self.began.elapsed())
    }
}

/// Takes what is in a mailbox now, up to what a turn takes.
fn take_ready<T>(mailbox: &mut mpsc::Receiver<T>, taken: &mut Vec<T>) {
    while taken.len() < EVENTS_PER_TURN
        && let Ok(item) = mailbox.try_recv()
    {
        taken.push(item);
    }
}

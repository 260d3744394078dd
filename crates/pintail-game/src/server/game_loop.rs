//! The loop that runs all games of a server: takes everything that has arrived, lets the host decide, does it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::secret::random_bytes;
use pintail_core::{ClusterSecret, Incarnation, Kind, Slot};
use pintail_net::trace::Tracer;
use pintail_net::{
    Identity, Lease, LinkEvent, LinkListener, MemberEvent, Renewer, RoleError, SharedVitals, StatusNews,
};
use pintail_store::{Letter, Lineage, Notice};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::GameConfig;
use super::inbox::{self, Inbox};
use super::journal_worker::{Commits, Handed};
use super::metrics::Metrics;
use super::open_links::OpenLinks;
use super::phase::{Left, Phase, Task};
use super::report::Reporter;
use super::starts::Starts;
use super::store_watch::StoreWatch;
use super::store_worker::{StoreAnswer, StoreCall};
use super::tasks::{Question, Questions};
use crate::limits::TURN_BUDGET;
use crate::runtime::{Budget, Effects, GameHost, HostEvent, Now};

/// How far a turn that only time asks for is from the one before. The steps of many games that are due one soon after the
/// other are so taken together, and what they say leaves with one write for each link; one game alone hardly ever waits.
const TURN_SPACING: Duration = Duration::from_millis(2);

/// How many link events may wait for the loop; links wait with the next.
const LINK_EVENTS_MAX: usize = 1024;

/// How often the games here are compared with those that the store says are, and games are looked for that wait for an
/// owner.
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
    pub(super) answers: mpsc::Receiver<StoreAnswer>,
    pub(super) commits: mpsc::Receiver<Commits>,
    /// What operators ask.
    pub(super) questions: mpsc::Receiver<Question>,
    /// Drain, then end.
    pub(super) stop: CancellationToken,
    /// The server was dropped: end as a crash would, without a word to anyone.
    pub(super) abandoned: CancellationToken,
}

/// Whom the loop tells, besides its links.
pub(super) struct Neighbours {
    pub(super) calls: mpsc::Sender<StoreCall>,
    pub(super) writes: mpsc::Sender<Handed>,
    pub(super) lease: watch::Receiver<Lease>,
    pub(super) lineage: watch::Receiver<Lineage>,
    pub(super) renewer: Renewer,
    pub(super) vitals: Arc<SharedVitals>,
    pub(super) metrics: Metrics,
    pub(super) tracer: Tracer,
    /// Where whoever watches the loop runs.
    pub(super) tasks: Handle,
}

pub(super) struct GameLoop {
    pub(super) host: GameHost,
    pub(super) incarnation: Incarnation,
    pub(super) slot: Option<Slot>,
    pub(super) links: OpenLinks,
    pub(super) neighbours: Neighbours,
    pub(super) inbox: Inbox,
    pub(super) store: StoreWatch,
    starts: Starts,
    /// When the last turn began.
    last_turn: Now,
    scan_at: Now,
    is_scanning: bool,
    reporter: Reporter,
    phase: Phase,
    /// When the drain began.
    drains_since: Option<Instant>,
    /// How many games have been handed over.
    moved: u64,
    superseded: bool,
    drain_timeout: Duration,
    lease_ttl: Duration,
    pub(super) fx: Effects,
    pub(super) questions: Questions,
    began: Instant,
    /// Whoever looks whether the loop comes round. They end with the loop: while the links close after it, the server is
    /// not stuck.
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl Neighbours {
    /// Has the loop of this host watched.
    fn watch_loop(&self, config: &GameConfig, host: &GameHost) -> Vec<AbortOnDropHandle<()>> {
        let _guard = self.tasks.enter();
        let beat = self.vitals.beat();
        let mut watches = vec![beat.watch(config.server.timing.suspect_after, self.renewer.clone())];
        watches.extend(config.when_stuck.clone().map(|when| when.watch(beat.clone(), host.current())));
        watches
    }
}

impl GameLoop {
    /// A loop that has not begun, for the thread that calls this.
    pub(super) fn new(config: &GameConfig, incarnation: Incarnation, neighbours: Neighbours) -> Self {
        let (began, lease_ttl) = (Instant::now(), config.server.timing.lease_ttl);
        let host = GameHost::new(config.types.clone(), incarnation, config.journal, u64::from_be_bytes(random_bytes()));
        let _watches = neighbours.watch_loop(config, &host);
        Self {
            host,
            incarnation,
            slot: None,
            links: OpenLinks::new(neighbours.metrics.outboxes.clone()),
            inbox: Inbox::default(),
            starts: Starts::new(neighbours.tracer.clone()),
            store: StoreWatch::new(neighbours.lease.clone(), neighbours.lineage.clone(), lease_ttl, began),
            neighbours,
            last_turn: Now::default(),
            scan_at: Now::default(),
            is_scanning: false,
            reporter: Reporter::new(config),
            phase: Phase::Serving,
            drains_since: None,
            moved: 0,
            superseded: false,
            drain_timeout: config.drain_timeout,
            lease_ttl,
            fx: Effects::default(),
            questions: Questions::default(),
            began,
            _watches,
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
            let abandoned = mailboxes.abandoned.clone();
            let outcome = tokio::select! {
                outcome = self.run(events, mailboxes) => outcome,
                // The links break off where they are.
                () = abandoned.cancelled() => return Ok(()),
            };
            // The loop's end has dropped the events, so no link waits for it; each says goodbye and sends what it has.
            stop_links.cancel();
            serving.await.map_err(|error| RoleError::Internal(format!("the links have failed: {error}")))?;
            outcome
        })
    }

    async fn run(mut self, mut links: mpsc::Receiver<LinkEvent>, mut mail: Mailboxes) -> Result<(), RoleError> {
        let mut alarm = pin!(sleep_until(self.began));
        while self.phase != Phase::Over {
            let wake = self.began + self.next_wake().0;
            // An alarm that rings too early costs one turn, and to set it costs system calls: so it is not set later while
            // it is still to ring.
            if wake < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(wake);
            }
            tokio::select! {
                () = mail.stop.cancelled(), if self.phase == Phase::Serving => self.drain(),
                event = links.recv() => match event {
                    Some(event) => self.inbox.links.push_back(event),
                    None => return Err(RoleError::Internal("the port for links has failed".to_owned())),
                },
                // A membership that is over (superseded) has no more to say, at once and for ever.
                event = mail.member_events.recv(), if !mail.member_events.is_closed() => self.inbox.members.extend(event),
                Some(answer) = mail.answers.recv() => self.inbox.answers.push_back(answer),
                Some(question) = mail.questions.recv(), if self.questions.has_room() => self.questions.ask(question),
                Some(commits) = mail.commits.recv() => self.inbox.commits.extend(commits),
                () = self.store.changed() => {}
                () = &mut alarm => {}
            }
            // Whatever else has arrived belongs to the same turn.
            inbox::take_ready(&mut links, &mut self.inbox.links);
            inbox::take_ready(&mut mail.member_events, &mut self.inbox.members);
            inbox::take_ready(&mut mail.answers, &mut self.inbox.answers);
            self.inbox.take_commits(&mut mail.commits);
            self.turn();
            // Games that are always busy must not keep the links from reading and writing.
            tokio::task::yield_now().await;
        }
        if self.superseded { Err(RoleError::Superseded) } else { Ok(()) }
    }

    /// One turn. What would make it last too long waits for the next.
    fn turn(&mut self) {
        let now = self.now();
        self.last_turn = now;
        self.neighbours.vitals.beat().beat();
        let began = self.began;
        let clock = move || Now(began.elapsed());
        let budget = Budget::new(&clock, now + TURN_BUDGET);
        self.hear_of_store(now);
        while let Some(commit) = self.inbox.commits.pop_front() {
            self.host.handle(now, commit, &mut self.fx);
        }
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
        self.scan(now);
        self.host.advance(now, &budget, &mut self.fx);
        self.count(now);
        self.carry_out(now);
        self.report(now);
        self.answer_questions(now);
        self.go_on(now);
    }

    fn count(&mut self, turn_began: Now) {
        let stats = std::mem::take(&mut self.fx.stats);
        let step_times = std::mem::take(&mut self.fx.step_times);
        self.reporter.count(&stats);
        self.moved += stats.moved_games;
        self.neighbours.metrics.add(&stats, &step_times, self.now().since(turn_began));
    }

    fn on_link_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Opened { link, gateway, outbox } => {
                self.links.open(link, gateway, outbox);
            }
            LinkEvent::Frames { link, frames } => {
                if self.links.contains(link) {
                    for frame in frames {
                        self.host.handle(now, HostEvent::Frame(link, frame), &mut self.fx);
                    }
                }
            }
            LinkEvent::Closed { link } => {
                if self.links.forget(link) {
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
                self.starts.placed(id);
                self.host.handle(now, HostEvent::Placed(id), &mut self.fx);
            }
            MemberEvent::Notice(Notice::Letter(Letter::PlayerLeft(id, session))) => {
                self.host.handle(now, HostEvent::PlayerLeft(id, session), &mut self.fx);
            }
            MemberEvent::Notice(Notice::ServerOff(slot)) if slot.kind == Kind::Game => {
                self.host.handle(now, HostEvent::LookForOrphans, &mut self.fx);
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
            let _traced = self.starts.begin(&event);
            self.host.handle(now, event, &mut self.fx);
        }
    }

    /// The lease, and whether the store may have forgotten something: before anything else, so that nothing is decided by
    /// what held before the last wait.
    fn hear_of_store(&mut self, now: Now) {
        let news = self.store.look();
        if news.was_lost {
            // What others have claimed meanwhile is no longer ours.
            self.scan_at = now;
        }
        for event in news.events {
            self.host.handle(now, event, &mut self.fx);
        }
        // A renewal that was sent after the drain began has told the store of it.
        if self.phase.waits_for_store()
            && let (Some(since), Some(renewed)) = (self.drains_since, news.renewed)
            && renewed >= since
        {
            self.phase.store_knows(now);
            self.scan_at = now;
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
            self.host.handle(now, HostEvent::LookForOrphans, &mut self.fx);
        }
    }

    fn report(&mut self, now: Now) {
        let Some(condition) = self.reporter.report(now, &self.host) else { return };
        let Neighbours { metrics, vitals, renewer, .. } = &self.neighbours;
        metrics.show(now, &self.host, &self.links, condition.status);
        if vitals.report(condition, self.host.attached_players()) == StatusNews::Changed {
            renewer.renew_now();
        }
    }

    fn drain(&mut self) {
        if self.phase == Phase::Serving {
            info!(games = self.host.live_games(), at_most_s = self.drain_timeout.as_secs_f32(), "draining");
            self.neighbours.vitals.drain();
            self.drains_since = Some(Instant::now());
            self.neighbours.renewer.renew_now();
            let now = self.now();
            self.phase = Phase::drain(now, self.drain_timeout, self.lease_ttl);
            self.host.handle(now, HostEvent::Drain, &mut self.fx);
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
        let games = self.host.unfinished_games();
        let left = Left { games, flushed: games == 0 && self.host.is_flushed() };
        match self.phase.go_on(now, left) {
            Task::None => {}
            Task::Report(rest) => {
                let (moved, rest) = (self.moved, rest.as_secs());
                let all = moved + left.games as u64;
                info!("draining: moved {moved} of {all} games; the others have {rest} s at most");
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
        let others = [scan_at, self.phase.due(), self.host.next_due(), self.questions.due()];
        let due = others.into_iter().flatten().fold(self.reporter.at(), Now::min);
        // What was due before the last turn is left over from it, and is not put off.
        if due <= self.last_turn { due } else { due.max(self.last_turn + TURN_SPACING) }
    }

    pub(super) fn now(&self) -> Now {
        Now(self.began.elapsed())
    }
}

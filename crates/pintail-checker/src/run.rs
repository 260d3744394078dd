//! One run: a cluster, players, failures, and at the end a report.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pintail::GameTypes;
use pintail_store::{RedisOptions, RedisStore};
use thiserror::Error;
use tokio::sync::watch;

use crate::acts::{Halt, perform};
use crate::audit::{At, Totals};
use crate::bots::{Invitation, NotSeated, Phase, Table, seat};
use crate::breach::{Breach, Check};
use crate::cluster::{Cluster, Sizes, lock};
use crate::diary::Diary;
use crate::ledger::{InSteps, Variant, WhenAsked};
use crate::plan::{Plan, Planned};
use crate::report::{Done, Figures, Reach, Report};
use crate::view::View;

/// How long the players play before anything goes wrong. What they get done then is the measure of a run.
const WARM_UP: Duration = Duration::from_secs(3);

/// A run in which players get less than this many inputs acknowledged in a second proves nothing.
pub const RATE_MIN: f64 = 100.0;

/// How long a game may take to go on once what was done to the cluster is over.
pub const GOES_ON_WITHIN: Duration = Duration::from_secs(5);

/// How long is waited until all servers are registered again, and for games when several things go wrong at once.
const WELL_WITHIN: Duration = Duration::from_secs(20);

/// How long the last inputs and messages may take when nothing goes wrong any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// A game that goes on unprotected while Redis is away loses what it did if its server dies, too, and says so. Where both
/// can happen at once, games are told to wait for Redis however long it takes.
const STORE_HOLD_ALWAYS: Duration = Duration::from_secs(60);

/// How often the operator hears how it goes.
const PROGRESS: Duration = Duration::from_secs(10);

/// How often whoever waits for the cluster looks.
const LOOK: Duration = Duration::from_millis(50);

/// What a run is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server binary, which hosts the [`types`].
    pub program: PathBuf,
    /// Where the logs go; it exists.
    pub logs: PathBuf,
    /// How many servers.
    pub sizes: Sizes,
    /// How many games.
    pub games: usize,
    /// How many players has each game.
    pub players: usize,
    /// How many inputs a player sends in a second.
    pub rate: u32,
    /// How long failures go on.
    pub duration: Duration,
    /// How many failures there may be at once. With one, the next begins when the cluster is well again.
    pub overlap: usize,
    /// What goes wrong.
    pub plan: Plan,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum RunError {
    /// The games could not be started.
    #[error(transparent)]
    NotSeated(#[from] NotSeated),
    /// The machine does not let this program do what it must.
    #[error("the operating system refused ({0}): check this process's limits")]
    Os(#[from] std::io::Error),
    /// The store can't be looked into.
    #[error("Redis can't be used: {0}")]
    Store(String),
}

/// The ledgers, as a server hosts them.
#[must_use]
pub fn types() -> GameTypes {
    GameTypes::new().with::<crate::ledger::Ledger<WhenAsked>>().with::<crate::ledger::Ledger<InSteps>>()
}

/// Runs it. Lines about what happens go to `say`.
///
/// # Errors
/// If it can't begin.
pub fn check(settings: &Settings, halt: &Halt, say: &(dyn Fn(&str) + Sync)) -> Result<Report, RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let began = Instant::now();
    let store_hold = (settings.overlap > 1).then_some(STORE_HOLD_ALWAYS);
    let cluster = Cluster::start(&settings.program, &settings.logs, settings.sizes, store_hold);
    let (phase, phases) = watch::channel(Phase::Playing);
    let diary = Arc::new(Diary::create(&settings.logs.join("run.log"))?);
    let invitation = Invitation {
        game: 0,
        game_type: WhenAsked::NAME,
        players: settings.players,
        rate: settings.rate,
        gateways: cluster.gateway_addresses().to_vec(),
        began,
        diary: Arc::clone(&diary),
    };
    let tables = runtime.block_on(seat_all(settings.games, &invitation, &phases))?;
    let url = cluster.redis().url();
    let store = runtime.block_on(async { connect(&url) })?;
    let view = View::new(&cluster, store, runtime.handle().clone(), tables);
    let run = Run { settings, cluster: &cluster, view, halt, say, phase, began, diary: &diary };
    let report = run.run();
    diary.note(began.elapsed(), &report);
    Ok(report)
}

fn connect(url: &str) -> Result<RedisStore, RunError> {
    let options = RedisOptions::new(url).map_err(|error| RunError::Store(error.to_string()))?;
    RedisStore::connect(options).map_err(|error| RunError::Store(error.to_string()))
}

/// Every other game has fixed steps.
async fn seat_all(
    games: usize,
    invitation: &Invitation,
    phases: &watch::Receiver<Phase>,
) -> Result<Vec<Arc<Table>>, NotSeated> {
    let mut tables = Vec::new();
    for game in 0..games {
        let game_type = if game % 2 == 0 { WhenAsked::NAME } else { InSteps::NAME };
        tables.push(seat(Invitation { game, game_type, ..invitation.clone() }, phases).await?);
    }
    Ok(tables)
}

struct Run<'a> {
    settings: &'a Settings,
    cluster: &'a Cluster,
    view: View<'a>,
    halt: &'a Halt,
    say: &'a (dyn Fn(&str) + Sync),
    phase: watch::Sender<Phase>,
    began: Instant,
    diary: &'a Diary,
}

impl Run<'_> {
    fn run(self) -> Report {
        let rate = self.warm_up();
        let (mut done, mut reach) = (Vec::new(), Reach::Interrupted);
        if rate < RATE_MIN && !self.halt.is_called() {
            reach = Reach::TooSlow;
        } else {
            done = self.fail();
            if self.finish().is_some() {
                reach = Reach::End;
            }
        }
        self.view.look_for_panics();
        let figures = Figures { rate, lasted: self.began.elapsed(), totals: self.totals(), reach };
        let breaches = self.breaches();
        Report { seed: self.settings.plan.seed, logs: self.cluster.logs().to_owned(), figures, done, breaches }
    }

    /// Lets the players play, and returns how many inputs a second were acknowledged.
    fn warm_up(&self) -> f64 {
        let (before, since) = (self.totals().acknowledged, Instant::now());
        self.halt.sleep(WARM_UP);
        let rate = (self.totals().acknowledged - before) as f64 / since.elapsed().as_secs_f64();
        self.say(&format!("{rate:.0} inputs a second are acknowledged while nothing goes wrong"));
        rate
    }

    /// Does all that the plan says, or as much of it as there is time for.
    fn fail(&self) -> Vec<Done> {
        let done = std::sync::Mutex::new(Vec::new());
        let running = AtomicUsize::new(0);
        let until = Instant::now() + self.settings.duration;
        std::thread::scope(|scope| {
            for (number, planned) in self.settings.plan.acts.iter().enumerate() {
                self.await_turn(planned, &running, until);
                if self.halt.is_called() || Instant::now() >= until {
                    break;
                }
                running.fetch_add(1, Ordering::SeqCst);
                let (done, running) = (&done, &running);
                scope.spawn(move || {
                    let one = self.act(number + 1, *planned);
                    lock(done).push(one);
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            // All that was begun is waited for; a plan without failures lasts as long as it was asked to.
            let is_empty = self.settings.plan.acts.is_empty();
            self.rest(until, || !is_empty && running.load(Ordering::SeqCst) == 0);
        });
        done.into_inner().unwrap_or_default()
    }

    fn await_turn(&self, planned: &Planned, running: &AtomicUsize, until: Instant) {
        self.rest(until, || running.load(Ordering::SeqCst) < self.settings.overlap);
        self.rest(until.min(Instant::now() + planned.rest), || false);
    }

    /// Waits until something is so, or until then; says how it goes meanwhile, and looks after the processes.
    fn rest(&self, until: Instant, mut is_so: impl FnMut() -> bool) {
        while !self.halt.is_called() && !is_so() && Instant::now() < until {
            let slice = PROGRESS.min(until.saturating_duration_since(Instant::now()));
            if !self.halt.wait(slice, &mut is_so) && slice == PROGRESS {
                self.progress();
            }
            // Whoever interrupts a run at the terminal interrupts its servers, too.
            if !self.halt.is_called() {
                self.view.look_at_processes();
            }
        }
    }

    fn progress(&self) {
        let Totals { sent, acknowledged, messages, .. } = self.totals();
        let broken = self.breaches().len();
        self.say(&format!("{sent} inputs sent, {acknowledged} acknowledged, {messages} messages, {broken} breaches"));
    }

    /// One failure, until the cluster is well again.
    fn act(&self, number: usize, planned: Planned) -> Done {
        let before = self.view.epochs();
        self.tables().for_each(|table| table.audit().mark());
        let began = self.began.elapsed();
        self.say(&format!("{number}: {planned}"));
        for problem in perform(self.cluster, planned, self.halt) {
            self.view.add(Check::ProcessFailed, problem);
        }
        let healed = self.began.elapsed();
        self.get_well(healed, planned);
        let now = self.began.elapsed();
        let pauses: Vec<Duration> =
            self.tables().flat_map(|table| table.audit().pauses(now).collect::<Vec<_>>()).collect();
        let done = Done {
            planned,
            began,
            healed,
            well: now,
            pauses,
            owner_changes: self.view.epochs().saturating_sub(before),
        };
        self.say(&format!("{number}: {}", done.line()));
        done
    }

    /// Waits until the cluster is well. If nothing else goes wrong meanwhile, it has only so long.
    fn get_well(&self, healed: At, planned: Planned) {
        let is_alone = self.settings.overlap == 1;
        let goes_on_within = if is_alone { GOES_ON_WITHIN } else { WELL_WITHIN };
        let is_lively = self.halt.wait(goes_on_within, || self.view.is_lively(healed));
        let is_registered = self.halt.wait(WELL_WITHIN, || {
            std::thread::sleep(LOOK);
            self.view.is_registered()
        });
        if is_alone && !self.halt.is_called() {
            if !is_lively {
                self.view.add_stuck(healed, &format!("{GOES_ON_WITHIN:?} after: {}", planned.act));
            }
            if !is_registered {
                let text = format!("the registry does not show all servers {WELL_WITHIN:?} after: {}", planned.act);
                self.view.add(Check::ProcessFailed, text);
            }
        }
    }

    /// Nothing goes wrong any more: every game goes on, settles, is compared with what is kept of it, and ends. `None` if
    /// the run is interrupted before.
    fn finish(&self) -> Option<()> {
        let since = self.began.elapsed();
        if !self.wait(GOES_ON_WITHIN, || self.view.is_lively(since))? {
            self.view.add_stuck(since, "at the end");
        }
        self.phase.send_replace(Phase::Quiet);
        // What has not settled is told of by the audit.
        self.wait(SETTLED_WITHIN, || self.view.going_on().all(|table| table.audit().is_settled()))?;
        for table in self.view.going_on() {
            let at = table.now();
            table.audit().settled(at);
        }
        self.view.look_for_owners(self.halt);
        self.view.compare_journals(&types());
        self.phase.send_replace(Phase::Ending);
        if !self.wait(SETTLED_WITHIN, || self.view.going_on().all(|table| table.audit().is_over_for_all()))? {
            self.view.add_unended();
        }
        self.view.look_at_processes();
        Some(())
    }

    /// Waits until something is so; `None` if the run is interrupted.
    fn wait(&self, within: Duration, is_so: impl FnMut() -> bool) -> Option<bool> {
        let is_so = self.halt.wait(within, is_so);
        (!self.halt.is_called()).then_some(is_so)
    }

    fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.view.tables().iter()
    }

    fn totals(&self) -> Totals {
        self.tables().map(|table| table.audit().totals()).fold(Totals::default(), Totals::plus)
    }

    fn breaches(&self) -> Vec<Breach> {
        let mut all: Vec<Breach> = self.tables().flat_map(|table| table.audit().breaches().to_vec()).collect();
        all.extend(self.view.breaches());
        all.sort_by_key(|breach| breach.at);
        all
    }

    fn say(&self, line: &str) {
        let at: At = self.began.elapsed();
        self.diary.note(at, line);
        (self.say)(&format!("{:>7.1} s  {line}", at.as_secs_f64()));
    }
}

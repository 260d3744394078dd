//! Whether a server takes new work: `smooth` or `congested`, with the reason in words.
//!
//! Each signal has a threshold at which it congests the server and a lower one at which it no longer does, so that a
//! load near a threshold does not make the status flap: what is shown to placement must last long enough to be acted on.

use std::collections::VecDeque;
use std::time::Duration;

use pintail_core::Status;

/// Over how long CPU and given-up steps are averaged. Shorter, and one burst (a game that starts, a page of players
/// that attach) would count as overload; longer, and new games would be placed on a server that has long been late.
pub const WINDOW: Duration = Duration::from_secs(2);

/// How long a server stays congested at least, whatever its load does: as long as it takes to see the load anew.
/// The count of what it has is exempt, unless it is a queue: it is exact and has no noise.
pub const STAY_MIN: Duration = Duration::from_secs(2);

/// The share of the CPU from which on a server is congested: what is left is used up by the next burst, and steps
/// come late soon after.
const CPU_ENTER: f64 = 0.90;

/// A server that has shed so much that a few new games do not bring it back over [`CPU_ENTER`] at once.
const CPU_LEAVE: f64 = 0.75;

/// The share of fixed steps given up from which on players notice: one in twenty is a jerk a second at 20 steps.
const LATE_ENTER: f64 = 0.05;

/// One step in a hundred is what a machine's other tasks cost now and then.
const LATE_LEAVE: f64 = 0.01;

/// How far commits may be behind before new games would make it worse: output is held for as long, and half a second is
/// what players of a quick game take for a hanging connection.
const LAG_ENTER: Duration = Duration::from_millis(500);

/// A store that keeps up answers within some tens of milliseconds, a busy one within a hundred.
const LAG_LEAVE: Duration = Duration::from_millis(100);

/// The share of its capacity that a full server must be down to before it takes more: one that loses and gets a game
/// each second is full and stays so, and is not shown as free in between.
const COUNT_LEAVE_PERCENT: u64 = 95;

/// What a server measured in one period.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// How many games (sessions, rooms, …) it has.
    pub used: u32,
    /// How many it takes.
    pub capacity: u32,
    /// How many fixed steps were due since the last report.
    pub steps_due: u64,
    /// How many of them were given up.
    pub steps_given_up: u64,
    /// How far commits are behind; `None` while there is no journal.
    pub commit_lag: Option<Duration>,
    /// How many games go on unprotected, because the store can't be reached.
    pub unprotected: u32,
    /// The share of the CPU that the work used since the last report, 1.0 for all that it can use; `None` if unknown.
    pub cpu: Option<f64>,
}

/// What a server says of its load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Smooth` or `Congested`.
    pub status: Status,
    /// Why it is congested, such as "games 1000 of 1000, cpu 97 %"; empty if it is not.
    pub cause: String,
}

/// Turns what a server measures into its status.
#[derive(Debug)]
pub struct LoadMonitor {
    what: &'static str,
    window: Window,
    count: Gate,
    cpu: Gate,
    late: Gate,
    lag: Gate,
}

impl LoadMonitor {
    /// A monitor of a server without load. `what` is the word for what it has so many of, such as "games".
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self::counting(what, Duration::ZERO)
    }

    /// The same for a server that is full when its queue is long: how many wait in it is exact too, but not for long.
    #[must_use]
    pub const fn of_queue(what: &'static str) -> Self {
        Self::counting(what, STAY_MIN)
    }

    const fn counting(what: &'static str, stay_min: Duration) -> Self {
        Self {
            what,
            window: Window::new(),
            count: Gate::new(stay_min),
            cpu: Gate::new(STAY_MIN),
            late: Gate::new(STAY_MIN),
            lag: Gate::new(STAY_MIN),
        }
    }

    /// Takes what was measured since the last call. `now` is a monotonic time from any origin; to be called several
    /// times in each [`WINDOW`].
    pub fn observe(&mut self, now: Duration, load: &Load) -> Condition {
        self.window.push(now, load);
        let (used, capacity) = (u64::from(load.used), u64::from(load.capacity));
        let roomy = used < capacity && used * 100 <= capacity * COUNT_LEAVE_PERCENT;
        self.count.turn(now, used >= capacity, roomy);
        let cpu = self.window.cpu();
        self.cpu.turn(now, cpu.is_some_and(|cpu| cpu >= CPU_ENTER), cpu.is_none_or(|cpu| cpu <= CPU_LEAVE));
        let late = self.window.late();
        self.late.turn(now, late >= LATE_ENTER, late <= LATE_LEAVE);
        let lag = load.commit_lag.unwrap_or_default();
        self.lag.turn(now, lag >= LAG_ENTER, lag <= LAG_LEAVE);
        let unprotected = load.unprotected;
        let causes = [
            (unprotected > 0).then(|| format!("unprotected: {unprotected} games (the store can't be reached)")),
            self.count.is_shut().then(|| format!("{} {used} of {capacity}", self.what)),
            self.cpu.is_shut().then(|| cpu.map_or("cpu".to_owned(), |cpu| format!("cpu {:.0} %", cpu * 100.0))),
            self.late.is_shut().then(|| format!("{:.0} % of steps late", late * 100.0)),
            // What is unprotected writes nothing: one sentence for the one trouble is enough.
            (self.lag.is_shut() && unprotected == 0).then(|| format!("commits {} ms behind", lag.as_millis())),
        ];
        let cause = causes.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let status = if cause.is_empty() { Status::Smooth } else { Status::Congested };
        Condition { status, cause }
    }
}

/// One signal: shut while it congests the server.
#[derive(Debug)]
struct Gate {
    stay_min: Duration,
    shut_at: Option<Duration>,
}

impl Gate {
    const fn new(stay_min: Duration) -> Self {
        Self { stay_min, shut_at: None }
    }

    fn turn(&mut self, now: Duration, enter: bool, leave: bool) {
        match self.shut_at {
            None if enter => self.shut_at = Some(now),
            Some(at) if leave && now.saturating_sub(at) >= self.stay_min => self.shut_at = None,
            None | Some(_) => {}
        }
    }

    const fn is_shut(&self) -> bool {
        self.shut_at.is_some()
    }
}

/// What was measured in the last [`WINDOW`].
#[derive(Debug)]
struct Window {
    /// When the first measurement was taken, of all that there ever were.
    began: Option<Duration>,
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Duration,
    /// How long before it the last one was taken; at most a window.
    span: Duration,
    cpu: Option<f64>,
    due: u64,
    given_up: u64,
}

impl Window {
    const fn new() -> Self {
        Self { began: None, samples: VecDeque::new() }
    }

    fn push(&mut self, now: Duration, load: &Load) {
        self.began.get_or_insert(now);
        let span = self.samples.back().map_or(Duration::ZERO, |last| now.saturating_sub(last.at).min(WINDOW));
        let (due, given_up) = (load.steps_due, load.steps_given_up);
        self.samples.push_back(Sample { at: now, span, cpu: load.cpu, due, given_up });
        while self.samples.front().is_some_and(|first| first.at + WINDOW <= now) {
            self.samples.pop_front();
        }
    }

    /// Whether there has been time enough to judge by averages.
    fn is_full(&self) -> bool {
        let last = self.samples.back().map_or(Duration::ZERO, |sample| sample.at);
        self.began.is_some_and(|began| began + WINDOW <= last)
    }

    /// The mean share of the CPU, by time.
    fn cpu(&self) -> Option<f64> {
        let known = || self.samples.iter().filter_map(|sample| Some((sample.span.as_secs_f64(), sample.cpu?)));
        let seconds: f64 = known().map(|(seconds, _)| seconds).sum();
        let used: f64 = known().map(|(seconds, cpu)| seconds * cpu).sum();
        (self.is_full() && seconds > 0.0).then(|| used / seconds)
    }

    /// The share of fixed steps that were given up.
    fn late(&self) -> f64 {
        let due: u64 = self.samples.iter().map(|sample| sample.due).sum();
        let given_up: u64 = self.samples.iter().map(|sample| sample.given_up).sum();
        if self.is_full() && due > 0 { given_up as f64 / due as f64 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests;

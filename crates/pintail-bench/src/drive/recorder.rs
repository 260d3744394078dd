//! What is measured, without IO: how long things took, how often they happened, and what went wrong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::outstanding::{Outstanding, Slot};
use crate::report::Measure;

/// The longest time that is told apart from longer ones, in microseconds: ten minutes.
const MICROS_MAX: u64 = 600_000_000;

/// The most measures of a run: each has a histogram of some 200 KiB. More are counted as an error.
const MEASURES_MAX: usize = 32;

/// The most kinds of counts and of errors. What comes beyond is counted under [`OTHERS`].
const KINDS_MAX: usize = 64;

/// The name of whatever is over [`KINDS_MAX`].
const OTHERS: &str = "others";

/// When it is measured. What was begun in the window counts, whenever it is done: what is late is not left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Window {
    Ahead,
    Open { begin: Instant },
    Closed { begin: Instant, end: Instant },
}

impl Window {
    fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn contains(self, at: Instant) -> bool {
        match self {
            Self::Ahead => false,
            Self::Open { begin } => begin <= at,
            Self::Closed { begin, end } => (begin..end).contains(&at),
        }
    }
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// What times are counted from.
    origin: Instant,
    window: Window,
    measures: Vec<Timed>,
    counts: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    /// How late the load did what was due in the window.
    late: Histogram<u64>,
    /// The primary measure, since the last second began.
    second: Histogram<u64>,
    tally: Tally,
    /// Messages sent and received in the window. They are counted for each message, so without looking for a name.
    sent: u64,
    received: u64,
}

/// One kind of thing that takes time.
#[derive(Debug)]
struct Timed {
    name: &'static str,
    histogram: Histogram<u64>,
    /// What was begun in the window and is not done.
    outstanding: Outstanding,
    /// How many of those that the histogram has were never done.
    lost: u64,
}

/// What happened since the last second began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) errors: u64,
}

/// What one second came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Second {
    pub(crate) tally: Tally,
    pub(crate) latency: Option<Latency>,
}

/// The primary measure in a second, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// What the window came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recording {
    pub(crate) measures: BTreeMap<String, Measure>,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) sent_late: Option<Measure>,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are constant")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Recorder {
    /// A recorder whose primary measure has this name, and is there even if nothing is measured.
    pub(crate) fn new(primary: &'static str) -> Self {
        Self {
            origin: Instant::now(),
            window: Window::Ahead,
            measures: vec![Timed::new(primary)],
            counts: BTreeMap::new(),
            errors: BTreeMap::new(),
            late: histogram(),
            second: histogram(),
            tally: Tally::default(),
            sent: 0,
            received: 0,
        }
    }

    /// The window begins.
    pub(crate) fn open(&mut self, now: Instant) {
        self.window = Window::Open { begin: now };
    }

    /// The window ends. What was begun in it may still be done.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Window::Open { begin } = self.window {
            self.window = Window::Closed { begin, end: now };
        }
    }

    /// Something began that [`took`](Self::took) will tell of, this many times, when it is done. If that is measured, its
    /// slot.
    pub(crate) fn expect(&mut self, name: &'static str, since: Instant, times: u64) -> Option<Slot> {
        let slot = self.slot(since)?;
        let place = self.place(name)?;
        self.measures[place].outstanding.add(slot, times);
        Some(slot)
    }

    /// What was expected of `since` comes to nothing, and nobody is to blame.
    pub(crate) fn forget(&mut self, name: &'static str, since: Instant) -> Option<Slot> {
        let slot = self.slot(since)?;
        let place = self.place(name)?;
        self.measures[place].outstanding.take(slot);
        Some(slot)
    }

    /// So much of what was expected in this slot comes to nothing, and nobody is to blame.
    pub(crate) fn forget_slot(&mut self, name: &'static str, slot: Slot, times: u64) {
        if let Some(place) = self.place(name) {
            self.measures[place].outstanding.remove(slot, times);
        }
    }

    /// Something is done that should have begun at `since`. If that is measured, its slot.
    pub(crate) fn took(&mut self, name: &'static str, since: Instant, now: Instant) -> Option<Slot> {
        let place = self.place(name)?;
        let micros = micros(now.saturating_duration_since(since));
        if place == 0 {
            self.second.saturating_record(micros);
        }
        let slot = self.slot(since)?;
        let timed = &mut self.measures[place];
        timed.histogram.saturating_record(micros);
        timed.outstanding.take(slot);
        Some(slot)
    }

    /// The slot of what should have begun in the window; `None` of what should not.
    fn slot(&self, since: Instant) -> Option<Slot> {
        self.window.contains(since).then(|| Slot::of(since, self.origin))
    }

    /// How long what belongs to a slot has been waited for.
    pub(crate) fn waited(&self, slot: Slot, now: Instant) -> Duration {
        slot.waited(self.origin, now)
    }

    /// The load does now what it should have done at `due`, and nobody but itself kept it from doing so.
    pub(crate) fn acts(&mut self, due: Instant, now: Instant) {
        if self.window.contains(due) {
            self.late.saturating_record(micros(now.saturating_duration_since(due)));
        }
    }

    /// How late the load was with what was due in the window; `None` if nothing was.
    pub(crate) fn late(&self) -> Option<Measure> {
        (!self.late.is_empty()).then(|| Measure::of(&self.late))
    }

    /// The place of a measure; the primary one's is 0.
    fn place(&mut self, name: &'static str) -> Option<usize> {
        if let Some(place) = self.measures.iter().position(|timed| timed.name == name) {
            return Some(place);
        }
        if self.measures.len() >= MEASURES_MAX {
            self.error("a measure too many");
            return None;
        }
        self.measures.push(Timed::new(name));
        Some(self.measures.len() - 1)
    }

    /// Players sent messages.
    pub(crate) fn sent(&mut self, count: u64) {
        self.tally.sent += count;
        if self.window.is_open() {
            self.sent += count;
        }
    }

    /// Players were sent messages.
    pub(crate) fn received(&mut self, count: u64) {
        self.tally.received += count;
        if self.window.is_open() {
            self.received += count;
        }
    }

    /// Something happened. It counts if it is in the window.
    pub(crate) fn count(&mut self, name: &'static str, times: u64) {
        if !self.window.is_open() {
            return;
        }
        let is_known = self.counts.len() < KINDS_MAX || self.counts.contains_key(name);
        *self.counts.entry(if is_known { name } else { OTHERS }).or_default() += times;
    }

    /// Something went wrong. It counts whenever it was.
    pub(crate) fn error(&mut self, what: &(impl ToString + ?Sized)) {
        self.errors(what, 1);
    }

    /// The same went wrong several times.
    pub(crate) fn errors(&mut self, what: &(impl ToString + ?Sized), times: u64) {
        self.tally.errors += times;
        let what = what.to_string();
        let is_known = self.errors.len() < KINDS_MAX || self.errors.contains_key(&what);
        *self.errors.entry(if is_known { what } else { OTHERS.to_owned() }).or_default() += times;
    }

    /// The error that there was most of.
    pub(crate) fn worst_error(&self) -> Option<&str> {
        self.errors.iter().max_by_key(|(_, times)| **times).map(|(what, _)| what.as_str())
    }

    /// What happened since this was asked last.
    pub(crate) fn second(&mut self) -> Second {
        let latency = (!self.second.is_empty()).then(|| Latency {
            p50: self.second.value_at_quantile(0.5),
            p99: self.second.value_at_quantile(0.99),
            max: self.second.max(),
        });
        self.second.reset();
        Second { tally: std::mem::take(&mut self.tally), latency }
    }

    /// How much was begun in the window and is not done.
    pub(crate) fn outstanding(&self) -> u64 {
        self.measures.iter().map(|timed| timed.outstanding.len()).sum()
    }

    /// What the window came to. What was never done is lost: it counts as long as it has been waited for until now. It took
    /// that long at least, and leaving it out would make a server look the better the less it answers.
    pub(crate) fn finish(mut self, now: Instant) -> Recording {
        let mut lost = Vec::new();
        for timed in &mut self.measures {
            timed.lose(self.origin, now);
            lost.push((format!("{} never done", timed.name), timed.lost));
        }
        for (what, times) in lost.into_iter().filter(|(_, times)| *times > 0) {
            self.errors(&what, times);
        }
        self.recording()
    }

    fn recording(self) -> Recording {
        let sent_late = self.late();
        // What happened outside of the window alone was not measured.
        let measured = self.measures.iter().enumerate().filter(|(place, timed)| *place == 0 || timed.is_measured());
        let measures = measured.map(|(_, timed)| (timed.name.to_owned(), timed.measure()));
        let messages = [("sent", self.sent), ("received", self.received)];
        let counts = self.counts.into_iter().chain(messages).map(|(name, times)| (name.to_owned(), times));
        Recording { measures: measures.collect(), counts: counts.collect(), errors: self.errors, sent_late }
    }
}

impl Timed {
    fn new(name: &'static str) -> Self {
        Self { name, histogram: histogram(), outstanding: Outstanding::default(), lost: 0 }
    }

    fn is_measured(&self) -> bool {
        !self.histogram.is_empty()
    }

    /// Gives up what is outstanding.
    fn lose(&mut self, origin: Instant, now: Instant) {
        for (slot, times) in self.outstanding.drain() {
            self.histogram.saturating_record_n(micros(slot.waited(origin, now)), times);
            self.lost += times;
        }
    }

    fn measure(&self) -> Measure {
        Measure { lost: self.lost, ..Measure::of(&self.histogram) }
    }
}

#[cfg(test)]
mod tests;

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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_began_in_the_window_counts_whenever_it_is_done() {
        let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
        recorder.took("delivery", start, start + millis(1));
        recorder.open(start + SECOND);
        recorder.took("delivery", start, start + SECOND * 2);
        recorder.took("delivery", start + SECOND, start + SECOND + millis(2));
        recorder.close(start + SECOND * 2);
        recorder.took("delivery", start + SECOND * 2 - millis(1), start + SECOND * 3);
        recorder.took("delivery", start + SECOND * 2, start + SECOND * 3);
        let recording = recorder.finish(start + SECOND * 3);
        let measure = &recording.measures["delivery"];
        assert_eq!(measure.count, 2);
        assert_eq!((measure.min / 100, measure.max / 10_000), (20, 100));
        assert!(recording.errors.is_empty());
    }

    #[test]
    fn of_what_was_not_measured_the_primary_measure_alone_is_there() {
        let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
        recorder.took("login", start, start + millis(1));
        recorder.open(start + SECOND);
        recorder.close(start + SECOND * 2);
        let recording = recorder.finish(start + SECOND * 2);
        assert_eq!(recording.measures.keys().collect::<Vec<_>>(), ["delivery"]);
    }

    #[test]
    fn counts_are_of_the_window_and_errors_of_all_the_time() {
        let (mut recorder, now) = (Recorder::new("x"), Instant::now());
        let act = |recorder: &mut Recorder| {
            recorder.sent(2);
            recorder.received(3);
            recorder.error("trouble");
        };
        act(&mut recorder);
        recorder.open(now);
        act(&mut recorder);
        assert_eq!(recorder.second().tally, Tally { sent: 4, received: 6, errors: 2 });
        recorder.close(now + SECOND);
        act(&mut recorder);
        assert_eq!(recorder.second().tally, Tally { sent: 2, received: 3, errors: 1 });
        assert_eq!(recorder.worst_error(), Some("trouble"));
        let recording = recorder.finish(now + SECOND);
        assert_eq!(recording.counts, [("received".to_owned(), 3), ("sent".to_owned(), 2)].into());
        assert_eq!(recording.errors, [("trouble".to_owned(), 3)].into());
    }

    #[test]
    fn each_second_has_a_latency_of_its_own() {
        let (mut recorder, now) = (Recorder::new("x"), Instant::now());
        assert_eq!(recorder.second().latency, None);
        recorder.took("x", now, now + millis(7));
        recorder.took("other", now, now + millis(900));
        let latency = recorder.second().latency.unwrap();
        assert_eq!((latency.p50 / 10, latency.max / 10), (700, 700));
        assert_eq!(recorder.second().latency, None);
    }

    /// A server that answers in a millisecond stands still for one second of ten. One that sends a message each 10 ms and
    /// waits for each answer would see a single slow one. Who counts from the intended times sees a tenth of all.
    #[test]
    fn a_server_that_stands_still_shows_in_the_percentiles() {
        let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
        recorder.open(start);
        let stalled = start + SECOND * 4..start + SECOND * 5;
        for number in 0..1000_u32 {
            let intended = start + millis(10) * number;
            let answered = if stalled.contains(&intended) { stalled.end } else { intended } + millis(1);
            recorder.expect("delivery", intended, 1);
            recorder.took("delivery", intended, answered);
        }
        recorder.close(start + SECOND * 10);
        let measure = &recorder.finish(start + SECOND * 10).measures["delivery"];
        assert_eq!(measure.count, 1000);
        assert!(measure.p50 < 1100, "{measure:?}");
        assert!(measure.p99 > 890_000, "{measure:?}");
    }

    #[test]
    fn what_is_never_done_is_lost_and_counts_as_long_as_it_was_waited_for() {
        let mut recorder = Recorder::new("delivery");
        let start = recorder.origin;
        recorder.expect("delivery", start, 5);
        recorder.open(start + SECOND);
        recorder.expect("delivery", start + SECOND, 6);
        recorder.expect("delivery", start + SECOND * 5, 3);
        recorder.took("delivery", start + SECOND, start + SECOND + millis(1));
        recorder.close(start + SECOND * 9);
        recorder.expect("delivery", start + SECOND * 9, 9);
        // Late, and after the window's end; it is not lost.
        recorder.took("delivery", start + SECOND, start + SECOND * 10);
        assert_eq!(recorder.outstanding(), 7);
        let recording = recorder.finish(start + SECOND * 12);
        let measure = &recording.measures["delivery"];
        assert_eq!((measure.count, measure.lost), (9, 7));
        // One of 1 ms, three of 7 s, one of 9 s, four of 11 s: as they were due, not as the window ended.
        assert_eq!((measure.min / 100, measure.p50 / 100_000, measure.max / 100_000), (10, 90, 109));
        let seven = measure.to_histogram().unwrap().count_between(6_890_000, 7_000_000);
        assert_eq!(seven, 3);
        assert_eq!(recording.errors, [("delivery never done".to_owned(), 7)].into());
    }

    #[test]
    fn what_one_measure_lacks_another_does_not_make_up_for() {
        let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
        recorder.open(start);
        recorder.expect("delivery", start, 1);
        // Nobody expected it, as it is of things that just happen.
        recorder.took("lateness", start, start + millis(1));
        recorder.close(start + SECOND);
        let recording = recorder.finish(start + SECOND);
        assert_eq!((recording.measures["delivery"].lost, recording.measures["lateness"].lost), (1, 0));
    }

    #[test]
    fn what_is_forgotten_is_no_error() {
        let (mut recorder, start) = (Recorder::new("input"), Instant::now());
        recorder.open(start);
        recorder.expect("input", start, 2);
        recorder.took("input", start, start + millis(1));
        recorder.forget("input", start);
        recorder.close(start + SECOND);
        let recording = recorder.finish(start + SECOND * 2);
        assert_eq!((recording.measures["input"].count, recording.errors.len()), (1, 0));
    }

    #[test]
    fn no_bot_makes_more_kinds_than_there_is_room_for() {
        let (mut recorder, now) = (Recorder::new("x"), Instant::now());
        recorder.open(now);
        for number in 0..200 {
            let name: &'static str = Box::leak(format!("{number}").into_boxed_str());
            recorder.took(name, now, now);
            recorder.count(name, 1);
            recorder.error(name);
        }
        let recording = recorder.finish(now);
        assert_eq!(recording.measures.len(), MEASURES_MAX);
        assert_eq!((recording.counts.len(), recording.counts[OTHERS]), (KINDS_MAX + 3, 200 - KINDS_MAX as u64));
        assert_eq!(recording.errors.values().sum::<u64>(), 200 + (200 - MEASURES_MAX as u64 + 1));
    }
}

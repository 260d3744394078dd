//! Whether an observer's own clock can be trusted.

use std::time::Duration;

/// Watches the observer's own ticks. A process that was stopped, or starved of its CPU, hears nobody for that long, and
/// must not take it for the others' silence.
#[derive(Debug)]
pub(super) struct Footing {
    tick: Duration,
    lateness_max: Duration,
    steady_after: Duration,
    /// When the last tick was, or when the observer was first told anything.
    ticked_at: Option<Duration>,
    /// From when on nobody needs to doubt it.
    steady_at: Duration,
}

impl Footing {
    pub(super) const fn new(tick: Duration, lateness_max: Duration, steady_after: Duration) -> Self {
        Self { tick, lateness_max, steady_after, ticked_at: None, steady_at: Duration::ZERO }
    }

    /// By how much the next tick is late, if that is too much. Told once: time counts from now on.
    pub(super) fn late(&mut self, now: Duration) -> Option<Duration> {
        let late = now.saturating_sub(*self.ticked_at.get_or_insert(now) + self.tick);
        if late <= self.lateness_max {
            return None;
        }
        self.ticked_at = Some(now);
        self.doubt(now);
        Some(late)
    }

    /// What was seen so far says little: the observer looks anew for a while.
    pub(super) fn doubt(&mut self, now: Duration) {
        self.steady_at = now + self.steady_after;
    }

    pub(super) fn ticked(&mut self, now: Duration) {
        self.ticked_at = Some(now);
    }

    /// Whether ticks have been on time for long enough.
    pub(super) fn is_steady(&self, now: Duration) -> bool {
        now >= self.steady_at
    }
}

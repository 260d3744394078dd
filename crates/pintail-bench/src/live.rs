//! How the test goes, while it goes.
use crate::report::Sample;
use std::time::Duration;
/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Lines that are drawn in place.
    Terminal,
    /// A plain line every few seconds.
    Lines,
}
impl Display {
    /// What suits the standard error.
    pub fn of_stderr() -> Self {
        Self::Lines
    }
}
/// What is shown each second.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// What is being done: `warm-up`, `measuring, run 2 of 3`, `12,000 players?`.
    pub phase: &'a str,
    /// How long that takes; `None` if it isn't known.
    pub total: Option<Duration>,
    /// What was seen in the last second. `at` is the time since the phase began.
    pub sample: &'a Sample,
    /// The names of `sample.servers`.
    pub servers: &'a [String],
}
/// The display, on the standard error.
#[derive(Debug)]
pub struct Progress {
    display: Display,
}
impl Progress {
    /// A display with nothing shown.
    pub fn new(display: Display) -> Self {
        Self { display }
    }
    /// Shows what was seen in the last second. Call it each second.
    pub fn show(&mut self, now: &Moment<'_>) {
        let _ = (now, self.display);
    }
    /// Takes the display off the terminal, for what is printed next. Dropping it does the same.
    pub fn finish(&mut self) {}
}

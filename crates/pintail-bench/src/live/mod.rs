//! How the test goes, while it goes: a few lines of the terminal that are drawn again each second, or a plain line now and
//! then where there is no terminal. All of it goes to the standard error, so that the standard output is the report alone.

mod view;

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use self::view::{Size, View};
use crate::report::{Paint, Sample};

/// How many seconds lie between two plain lines.
const LINE_EVERY: f64 = 5.0;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Lines that are drawn in place each second.
    Terminal(Paint),
    /// A plain line at the beginning of each phase, and every five seconds of it.
    Lines,
}

impl Display {
    /// What suits the standard error.
    pub fn of_stderr() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
        if stderr().is_terminal() && !is_dumb { Self::Terminal(Paint::of(&stderr())) } else { Self::Lines }
    }
}

/// What is shown each second.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// What is being done: `warm-up`, `measuring, run 2 of 3`, `trying 12,000 players`. Another one is another phase.
    pub phase: &'a str,
    /// How long that takes; `None` if it isn't known.
    pub total: Option<Duration>,
    /// What the sample's players are: `players`, or `workers`.
    pub unit: &'a str,
    /// What was seen in the last second. Its `at` counts from the phase's beginning.
    pub sample: &'a Sample,
    /// The names of `sample.servers`, in their order.
    pub servers: &'a [String],
}

/// The display, on the standard error. Dropping it gives the terminal back.
#[derive(Debug)]
pub struct Progress {
    display: Display,
    state: State,
}

/// What the display remembers from one second to the next.
#[derive(Debug, Default)]
struct State {
    phase: String,
    /// The phase's time at the last second shown.
    at: f64,
    /// What went wrong since the phase began.
    errors: u64,
    /// How many lines stand above the cursor.
    drawn: usize,
    /// When the last plain line was written, in the phase's time.
    written_at: Option<f64>,
}

impl Progress {
    /// A display with nothing shown.
    pub fn new(display: Display) -> Self {
        Self { display, state: State::default() }
    }

    /// Shows what was seen in the last second. Call it each second.
    pub fn show(&mut self, now: &Moment<'_>) {
        let text = match self.display {
            Display::Terminal(paint) => Some(self.state.frame(now, size(), paint)),
            Display::Lines => self.state.line(now),
        };
        if let Some(text) = text {
            write_at_once(&text);
        }
    }

    /// Takes the display off the terminal, for what is printed next.
    pub fn finish(&mut self) {
        if self.state.drawn > 0 {
            write_at_once(&up(std::mem::take(&mut self.state.drawn)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl State {
    fn note<'a>(&mut self, now: &Moment<'a>) -> View<'a> {
        // A clock that went back is that of another phase of the same name.
        if self.phase != now.phase || now.sample.at <= self.at {
            *self = Self { phase: now.phase.to_owned(), drawn: self.drawn, ..Self::default() };
        }
        let seconds = now.sample.at - self.at;
        self.at = now.sample.at;
        self.errors += now.sample.errors;
        View { now: *now, seconds, errors: self.errors }
    }

    /// What draws the lines over those of the second before, in one piece, so that nothing flickers. The cursor stays
    /// below the lines and visible: whatever ends this program, there is nothing to give back.
    fn frame(&mut self, now: &Moment<'_>, size: Size, paint: Paint) -> String {
        let lines = self.note(now).lines(size, paint);
        let mut frame = up(self.drawn);
        for line in &lines {
            frame.extend([line.as_str(), "\r\n"]);
        }
        self.drawn = lines.len();
        frame
    }

    /// A plain line, if it is time for one.
    fn line(&mut self, now: &Moment<'_>) -> Option<String> {
        let view = self.note(now);
        let at = now.sample.at;
        let is_due = self.written_at.is_none_or(|last| at >= last + LINE_EVERY);
        is_due.then(|| {
            self.written_at = Some(at);
            view.line() + "\n"
        })
    }
}

/// What leads to the beginning of the first of so many lines, and clears what stands from there on.
fn up(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\r\x1b[{lines}A\x1b[J") }
}

fn size() -> Size {
    match tcgetwinsize(stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        _ => Size::DEFAULT,
    }
}

fn write_at_once(text: &str) {
    // If nobody looks any more, the test goes on, and its report is written all the same.
    let mut stderr = stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    const SIZE: Size = Size { columns: 80, rows: 24 };

    fn moment<'a>(phase: &'a str, sample: &'a Sample, servers: &'a [String]) -> Moment<'a> {
        Moment { phase, total: Some(Duration::from_secs(30)), unit: "players", sample, servers }
    }

    #[test]
    fn each_frame_is_drawn_over_the_one_before() {
        let run = sample::run(1);
        let mut state = State::default();
        let first = state.frame(&moment("warm-up", &run.series[0], &[]), SIZE, Paint::Plain);
        let lines = first.matches("\r\n").count();
        assert!(!first.contains('\x1b'), "there is nothing to draw over");
        let second = state.frame(&moment("warm-up", &run.series[1], &[]), SIZE, Paint::Plain);
        assert!(second.starts_with(&format!("\r\x1b[{lines}A\x1b[J")), "{second:?}");
        assert_eq!(state.drawn, lines);
    }

    #[test]
    fn errors_are_those_of_the_phase() {
        let run = sample::run(1);
        let (quiet, bad) = (&run.series[0], &run.series[16]);
        let mut state = State::default();
        state.note(&moment("warm-up", bad, &[]));
        let later = Sample { at: bad.at + 1.0, ..bad.clone() };
        assert_eq!(state.note(&moment("warm-up", &later, &[])).errors, 2 * bad.errors);
        assert_eq!(state.note(&moment("measuring", quiet, &[])).errors, 0);
    }

    #[test]
    fn a_second_is_as_long_as_it_was() {
        let run = sample::run(1);
        let at = |at: f64| Sample { at, ..run.series[0].clone() };
        let mut state = State::default();
        let mut seconds = |phase, sample: &Sample| state.note(&moment(phase, sample, &[])).seconds;
        let cases = [("warm-up", 1.0, 1.0), ("warm-up", 4.0, 3.0), ("measuring", 0.5, 0.5), ("measuring", 0.25, 0.25)];
        for (phase, now, long) in cases {
            assert_eq!(seconds(phase, &at(now)), long, "{phase} at {now} s");
        }
    }

    #[test]
    fn plain_lines_come_now_and_then_and_with_each_phase() {
        let series = sample::run(1).series;
        let mut state = State::default();
        let mut told = |phase, index: usize| state.line(&moment(phase, &series[index], &[])).is_some();
        let first: Vec<bool> = (0..7).map(|index| told("warm-up", index)).collect();
        assert_eq!(first, [true, false, false, false, false, true, false]);
        assert!(told("measuring", 0) && !told("measuring", 1));
        assert!(told("measuring", 0), "the next run");
    }
}

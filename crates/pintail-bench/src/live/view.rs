//! What is shown of one second.

use super::Moment;
use crate::report::Paint;
use crate::report::ProcessSample;
use crate::report::figures::per_second;
use crate::report::format::{bytes, count, duration, percent, printable, span};
use crate::report::grid::{Tone, cut};

/// How much fits on the terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Size {
    /// What a terminal has that does not say.
    pub(super) const DEFAULT: Self = Self { columns: 80, rows: 24 };
}

/// The widest that the bar of progress is.
const BAR_WIDTH_MAX: usize = 30;

/// How wide the names on the left are.
const NAME_WIDTH: usize = 10;

/// How many servers have a line of their own: a cluster can have more than a screen has lines.
const SERVERS_MAX: usize = 10;

/// One second, and what was counted before it.
pub(super) struct View<'a> {
    pub(super) now: Moment<'a>,
    /// How long the second was: one that comes late is longer, the last one of a phase may be shorter.
    pub(super) seconds: f64,
    /// What went wrong since the phase began.
    pub(super) errors: u64,
}

impl View<'_> {
    /// The lines for a terminal of this size: none is wider, and there are fewer than it has rows.
    pub(super) fn lines(&self, size: Size, paint: Paint) -> Vec<String> {
        // The last column and the last row stay free, so that the terminal neither wraps nor scrolls.
        let width = size.columns.saturating_sub(1);
        let mut lines = vec![paint.paint(&cut(&self.headline(width), width), Tone::Strong)];
        let row = |name: &str, text: &str, tone| row(name, text, width, paint, tone);
        let sample = self.now.sample;
        lines.push(row(self.now.unit, &count(sample.players), Tone::Plain));
        lines.push(row("messages", &self.messages(), Tone::Plain));
        lines.push(row("latency", &self.latency(), Tone::Plain));
        let tone = if self.errors > 0 { Tone::Bad } else { Tone::Plain };
        lines.push(row("errors", &format!("{}/s, {} in all", self.rate(sample.errors), count(self.errors)), tone));
        for (name, process) in self.processes().take(SERVERS_MAX) {
            lines.push(row(name, &used(process), Tone::Plain));
        }
        if let Some(more) = sample.servers.len().checked_sub(SERVERS_MAX).filter(|&more| more > 0) {
            lines.push(row("", &format!("and {more} more servers"), Tone::Faint));
        }
        if is_measured(&sample.generator) {
            lines.push(row("load", &used(&sample.generator), Tone::Faint));
        }
        lines.truncate(size.rows.saturating_sub(1).max(1));
        lines
    }

    /// The same as one line of text.
    pub(super) fn line(&self) -> String {
        let sample = self.now.sample;
        let load = Some(("load", &sample.generator)).filter(|(_, process)| is_measured(process));
        let processes: Vec<String> = self
            .processes()
            .take(SERVERS_MAX)
            .chain(load)
            .map(|(name, process)| format!("{} {}", printable(name), used(process)))
            .collect();
        let mut line = format!(
            "{}: {}, {} {}, {}, {}, {} errors",
            printable(self.now.phase),
            self.elapsed(),
            count(sample.players),
            self.now.unit,
            self.messages(),
            self.latency(),
            count(self.errors),
        );
        if !processes.is_empty() {
            line.extend(["; ", &processes.join(", ")]);
        }
        line
    }

    fn headline(&self, width: usize) -> String {
        let text = format!("{}  {}", printable(self.now.phase), self.elapsed());
        let room = width.saturating_sub(text.chars().count() + 2).min(BAR_WIDTH_MAX);
        match self.now.total {
            Some(total) if room >= 5 && !total.is_zero() => {
                let share = (self.now.sample.at / total.as_secs_f64()).clamp(0.0, 1.0);
                let full = (share * room as f64).round() as usize;
                format!("{text}  {}{}", "█".repeat(full), "░".repeat(room - full))
            }
            _ => text,
        }
    }

    fn elapsed(&self) -> String {
        let elapsed = span(self.now.sample.at.round());
        self.now.total.map_or(elapsed.clone(), |total| format!("{elapsed} of {}", span(total.as_secs_f64())))
    }

    fn messages(&self) -> String {
        let sample = self.now.sample;
        format!("{}/s sent, {}/s received", self.rate(sample.sent), self.rate(sample.received))
    }

    fn rate(&self, number: u64) -> String {
        count(per_second(number, self.seconds).round() as u64)
    }

    fn latency(&self) -> String {
        let sample = self.now.sample;
        let time = |time: Option<u64>| time.map_or("-".to_owned(), |time| duration(time as f64));
        format!("p50 {}, p99 {}, max {}", time(sample.p50), time(sample.p99), time(sample.max))
    }

    fn processes(&self) -> impl Iterator<Item = (&str, &ProcessSample)> {
        let names = self.now.servers.iter().map(String::as_str).chain(std::iter::repeat("server"));
        names.zip(&self.now.sample.servers)
    }
}

/// While the players come, no process is looked at. A process without memory is none.
fn is_measured(process: &ProcessSample) -> bool {
    process.memory > 0
}

fn used(process: &ProcessSample) -> String {
    format!("{:>6} CPU {:>8}", percent(process.cpu), bytes(process.memory as f64))
}

/// A name and what there is to say, cut to the width before colours are added.
fn row(name: &str, text: &str, width: usize, paint: Paint, tone: Tone) -> String {
    let name = cut(&printable(name), NAME_WIDTH.min(width));
    let indent = (NAME_WIDTH + 1).min(width);
    let text = cut(text, width - indent);
    let blanks = if text.is_empty() { 0 } else { indent - name.chars().count() };
    format!("{}{}{}", paint.paint(&name, Tone::Faint), " ".repeat(blanks), paint.paint(&text, tone))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Sample;

    fn sample() -> Sample {
        let process = |cpu, memory| ProcessSample { cpu, memory };
        Sample {
            at: 12.02,
            players: 1_200,
            sent: 24_012,
            received: 216_108,
            errors: 3,
            p50: Some(8_900),
            p99: Some(27_100),
            max: None,
            servers: vec![process(0.344, 31 << 20), process(0.01, 9 << 20)],
            generator: process(1.0, 44 << 20),
        }
    }

    fn view<'a>(sample: &'a Sample, servers: &'a [String]) -> View<'a> {
        let total = Some(Duration::from_secs(30));
        let now = Moment { phase: "measuring, run 2 of 3", total, unit: "players", sample, servers };
        View { now, seconds: 1.0, errors: 1_234 }
    }

    #[test]
    fn a_terminal_shows_the_second_at_a_glance() {
        let servers = ["gateway", "game"].map(str::to_owned);
        let lines = view(&sample(), &servers).lines(Size::DEFAULT, Paint::Plain);
        let expected = [
            "measuring, run 2 of 3  12 s of 30 s  ████████████░░░░░░░░░░░░░░░░░░",
            "players    1,200",
            "messages   24,012/s sent, 216,108/s received",
            "latency    p50 8.90 ms, p99 27.1 ms, max -",
            "errors     3/s, 1,234 in all",
            "gateway    34.4 % CPU 31.0 MiB",
            "game       1.00 % CPU 9.00 MiB",
            "load        100 % CPU 44.0 MiB",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn without_a_terminal_it_is_one_line() {
        let servers = ["gateway", "game"].map(str::to_owned);
        assert_eq!(
            view(&sample(), &servers).line(),
            "measuring, run 2 of 3: 12 s of 30 s, 1,200 players, 24,012/s sent, 216,108/s received, p50 8.90 ms, \
             p99 27.1 ms, max -, 1,234 errors; gateway 34.4 % CPU 31.0 MiB, game 1.00 % CPU 9.00 MiB, load  100 % CPU \
             44.0 MiB"
        );
    }

    #[test]
    fn what_was_counted_is_divided_by_the_time_that_it_took() {
        let (sample, servers) = (sample(), []);
        let late = View { seconds: 3.0, ..view(&sample, &servers) };
        assert!(late.line().contains("8,004/s sent, 72,036/s received"), "{}", late.line());
        let lines = late.lines(Size::DEFAULT, Paint::Plain);
        assert!(lines.contains(&"errors     1/s, 1,234 in all".to_owned()), "{lines:?}");
    }

    #[test]
    fn processes_are_shown_when_they_are_looked_at() {
        let mut sample = sample();
        sample.servers.clear();
        sample.generator = ProcessSample { cpu: 0.0, memory: 0 };
        let view = view(&sample, &[]);
        assert_eq!(view.lines(Size::DEFAULT, Paint::Plain).len(), 5);
        assert!(view.line().ends_with("1,234 errors"), "{}", view.line());
    }

    #[test]
    fn whatever_the_size_nothing_wraps_or_scrolls() {
        let mut sample = sample();
        sample.servers = vec![sample.generator; 40];
        let servers: Vec<String> = (0..3).map(|index| format!("a server with a long name {index}\x1b[2J")).collect();
        for (columns, rows) in [(0, 0), (1, 1), (3, 5), (12, 4), (20, 10), (80, 24), (300, 100)] {
            let lines = view(&sample, &servers).lines(Size { columns, rows }, Paint::Plain);
            assert!(lines.len() < rows.max(2), "{rows} rows: {} lines", lines.len());
            for line in &lines {
                assert!(line.chars().count() < columns.max(1), "{columns} columns: {line}");
                assert!(!line.contains('\x1b'), "{line:?}");
            }
        }
    }
}

//! What a run came to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::audit::{At, Totals};
use crate::breach::{Breach, Check};
use crate::plan::{Class, Planned};

/// A player who was told nothing for so long noticed a pause.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// How many breaches a report shows.
const SHOWN_MAX: usize = 40;

/// A failure that was caused, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What it was.
    pub planned: Planned,
    /// When it began.
    pub began: At,
    /// When what was done was over.
    pub healed: At,
    /// When the cluster was well again, or was no longer waited for.
    pub well: At,
    /// Each player's longest time without a message.
    pub pauses: Vec<Duration>,
    /// How often a game changed its owner.
    pub owner_changes: u64,
}

/// How much was done in a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// How many inputs a second were acknowledged before anything went wrong.
    pub rate: f64,
    /// How long it took.
    pub lasted: Duration,
    /// Sums over all players.
    pub totals: Totals,
    /// How far the run got.
    pub reach: Reach,
}

/// How far a run got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To its end, at which everything is compared.
    End,
    /// It was interrupted.
    Interrupted,
    /// The rate was too low for it to prove anything, so nothing was made to fail.
    TooSlow,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What the plan was made from.
    pub seed: u64,
    /// Where the logs of all processes are.
    pub logs: PathBuf,
    /// How much was done.
    pub figures: Figures,
    /// Each failure.
    pub done: Vec<Done>,
    /// What must not be.
    pub breaches: Vec<Breach>,
}

/// What a run proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every promise was kept.
    Kept,
    /// At least one was broken.
    Broken,
    /// There was too little to break: the machine was too slow, or too few players were asked for.
    Void,
    /// None was broken until the run was interrupted; what is kept of the games was not compared.
    Unfinished,
}

impl Report {
    /// What the run proves.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.figures.reach {
            _ if !self.breaches.is_empty() => Verdict::Broken,
            Reach::End => Verdict::Kept,
            Reach::Interrupted => Verdict::Unfinished,
            Reach::TooSlow => Verdict::Void,
        }
    }

    /// How many changes of owner there were in failures of which this is so.
    fn owner_changes(&self, of: impl Fn(Class) -> bool) -> u64 {
        let done = self.done.iter().filter(|done| of(done.planned.act.class()));
        done.map(|done| done.owner_changes).sum()
    }

    fn write_pauses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_class: BTreeMap<Class, (usize, Vec<Duration>)> = BTreeMap::new();
        for done in &self.done {
            let (count, pauses) = by_class.entry(done.planned.act.class()).or_default();
            *count += 1;
            pauses.extend(paused(&done.pauses));
        }
        let (a, b, c, d, e) = ("times", "paused", "p50", "p99", "longest");
        writeln!(f, "{:<36} {a:>6} {b:>8} {c:>8} {d:>8} {e:>8}", "failure → players paused over 250 ms")?;
        for (class, (count, mut pauses)) in by_class {
            pauses.sort_unstable();
            let at = |quantile| quantile_of(&pauses, quantile).map_or("-".to_owned(), milliseconds);
            let (p50, p99, longest) = (at(0.5), at(0.99), at(1.0));
            writeln!(f, "{:<36} {count:>6} {:>8} {p50:>8} {p99:>8} {longest:>8}", class.to_string(), pauses.len())?;
        }
        Ok(())
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |of: fn(Class) -> bool| self.done.iter().filter(|done| of(done.planned.act.class())).count();
        let Totals { sent, acknowledged, messages, interruptions } = self.figures.totals;
        let found = |checks: &[Check]| self.breaches.iter().filter(|breach| checks.contains(&breach.check)).count();
        let moved = |class| matches!(class, Class::Drain(_) | Class::Rolling);
        let rows = [
            ("kills", count(|class| matches!(class, Class::Kill(_)))),
            ("stops", count(|class| matches!(class, Class::Pause(_)))),
            ("cuts", count(|class| matches!(class, Class::Cut(_)))),
            ("Redis restarts", count(|class| class == Class::RedisKilled)),
            ("Redis stopped or slow", count(|class| class == Class::RedisSlow)),
            ("replacements", count(|class| matches!(class, Class::Drain(_) | Class::Rolling))),
        ];
        for (what, count) in rows {
            writeln!(f, "{what:<36} {count:>10}")?;
        }
        let rows = [
            ("takeovers of games", self.owner_changes(|class| !moved(class))),
            ("moves of games", self.owner_changes(moved)),
            ("inputs sent", sent),
            ("inputs acknowledged", acknowledged),
            ("inputs lost", found(&[Check::InputLost]) as u64),
            ("inputs applied twice, or made up", found(&[Check::InputRepeated, Check::InputInvented]) as u64),
            ("inputs out of order for the game", found(&[Check::LedgerFault]) as u64),
            ("messages to players", messages),
            ("messages lost", found(&[Check::MessageLost]) as u64),
            ("messages twice, or out of order", found(&[Check::MessageRepeated]) as u64),
            ("streams interrupted", interruptions),
        ];
        rows.iter().try_for_each(|(what, count)| writeln!(f, "{what:<36} {count:>10}"))
    }
}

impl Done {
    /// What came of it, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut pauses: Vec<Duration> = paused(&self.pauses).collect();
        pauses.sort_unstable();
        let longest = quantile_of(&pauses, 1.0).map_or("no pause".to_owned(), |longest| {
            format!("{} players paused, {} at most", pauses.len(), milliseconds(longest))
        });
        let well = milliseconds(self.well.saturating_sub(self.healed));
        format!("well {well} after it was over; {longest}; {} changes of owner", self.owner_changes)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failures, seconds) = (self.done.len(), self.figures.lasted.as_secs_f64());
        writeln!(f, "\nseed {}: {failures} failures in {seconds:.0} s", self.seed)?;
        self.write_counts(f)?;
        writeln!(f)?;
        self.write_pauses(f)?;
        writeln!(f, "\nlogs: {}", self.logs.display())?;
        match self.verdict() {
            Verdict::Kept => writeln!(f, "KEPT: nothing was lost, repeated or reordered"),
            Verdict::Unfinished => {
                writeln!(f, "UNFINISHED: nothing was broken so far; what is kept of the games was not compared")
            }
            Verdict::Void => writeln!(
                f,
                "VOID: {:.0} inputs a second were acknowledged, too few to prove anything: ask for more games, players \
                 or inputs, or leave the machine alone",
                self.figures.rate
            ),
            Verdict::Broken => {
                self.breaches.iter().take(SHOWN_MAX).try_for_each(|breach| writeln!(f, "{breach}"))?;
                if let Some(more) = self.breaches.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
                    writeln!(f, "… and {more} more")?;
                }
                writeln!(f, "BROKEN: {} breaches", self.breaches.len())
            }
        }
    }
}

fn paused(pauses: &[Duration]) -> impl Iterator<Item = Duration> {
    pauses.iter().copied().filter(|pause| *pause > PAUSE_MIN)
}

/// The value below which this share of sorted values is.
fn quantile_of(sorted: &[Duration], share: f64) -> Option<Duration> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Act, Pick};

    fn report(breaches: Vec<Breach>, reach: Reach) -> Report {
        let planned = Planned { rest: Duration::ZERO, act: Act::RollingRestart, pick: Pick::Fullest };
        let at = Duration::from_secs;
        let pauses = vec![Duration::from_millis(40), Duration::from_millis(900)];
        let done = Done { planned, began: at(1), healed: at(2), well: at(3), pauses, owner_changes: 5 };
        let figures = Figures { rate: 123.0, lasted: at(9), totals: Totals::default(), reach };
        Report { seed: 7, logs: PathBuf::from("/logs"), figures, done: vec![done], breaches }
    }

    #[test]
    fn a_breach_counts_more_than_a_low_rate() {
        let breach = Breach {
            at: Duration::ZERO,
            check: Check::InputLost,
            game: "ledger".to_owned(),
            player: None,
            text: "gone".to_owned(),
        };
        assert_eq!(report(vec![], Reach::End).verdict(), Verdict::Kept);
        assert_eq!(report(vec![], Reach::Interrupted).verdict(), Verdict::Unfinished);
        assert_eq!(report(vec![], Reach::TooSlow).verdict(), Verdict::Void);
        let broken = report(vec![breach], Reach::TooSlow);
        assert_eq!(broken.verdict(), Verdict::Broken);
        let text = broken.to_string();
        assert!(text.contains("input-lost") && text.contains("BROKEN") && text.contains("/logs"), "{text}");
    }

    #[test]
    fn moves_and_pauses_are_counted() {
        let text = report(vec![], Reach::End).to_string();
        let row = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().split_whitespace().last();
        assert_eq!(row("moves of games"), Some("5"));
        assert_eq!(row("takeovers"), Some("0"));
        assert!(text.contains("900 ms") && !text.contains("40 ms"), "{text}");
    }

    #[test]
    fn quantiles() {
        let sorted: Vec<Duration> = (0..=100).map(Duration::from_millis).collect();
        for (share, expected) in [(0.5, 50), (0.99, 99), (1.0, 100)] {
            assert_eq!(quantile_of(&sorted, share), Some(Duration::from_millis(expected)));
        }
        assert_eq!(quantile_of(&[], 0.5), None);
    }
}

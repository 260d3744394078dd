//! Counts of instructions: how they are kept, and what a change of them is.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

/// How far a count may move, in percent, before somebody has to look at it.
pub const TOLERANCE_PERCENT: u64 = 5;

/// What stands before the counts in their file.
const HEADER: &str = "\
# Instructions for each run of a path, as valgrind counts them in a release build. Written by: scripts/instructions --update
# They say what the code does and not how fast a machine is, so a change of more than 5 % has a reason that can be told.
";

/// The instructions of each path, for one run of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(pub BTreeMap<String, u64>);

/// Text that holds no counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "line {line} of the kept counts is not a name and a number: write them anew with scripts/instructions --update"
)]
pub struct BadCounts {
    /// Which line, from 1 on.
    pub line: usize,
}

impl Counts {
    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// If a line is neither a comment nor a name and a number.
    pub fn parse(text: &str) -> Result<Self, BadCounts> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let counts = lines.map(|(place, line)| {
            let (name, count) = line.split_once(char::is_whitespace).ok_or(BadCounts { line: place + 1 })?;
            let count = count.trim().parse().map_err(|_| BadCounts { line: place + 1 })?;
            Ok((name.to_owned(), count))
        });
        counts.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        self.0.iter().try_for_each(|(name, count)| writeln!(f, "{name:<40}{count:>10}"))
    }
}

/// What became of one path's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// It is as it was, or nearly.
    Same,
    /// It moved by more than [`TOLERANCE_PERCENT`].
    Moved,
    /// It was not there before.
    New,
    /// It is no longer there.
    Gone,
}

/// The difference between the counts that are kept and those of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    rows: Vec<(String, Option<u64>, Option<u64>)>,
}

impl Comparison {
    /// Compares what is kept with what was counted now.
    #[must_use]
    pub fn new(kept: &Counts, now: &Counts) -> Self {
        let mut names: Vec<&String> = kept.0.keys().chain(now.0.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let row = |name: &String| (name.clone(), kept.0.get(name).copied(), now.0.get(name).copied());
        Self { rows: names.into_iter().map(row).collect() }
    }

    /// Whether nothing has to be looked at.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.rows.iter().all(|(_, kept, now)| moved(*kept, *now) == Move::Same)
    }
}

fn moved(kept: Option<u64>, now: Option<u64>) -> Move {
    match (kept, now) {
        (None, _) => Move::New,
        (_, None) => Move::Gone,
        (Some(kept), Some(now)) if kept.abs_diff(now) * 100 > kept * TOLERANCE_PERCENT => Move::Moved,
        (Some(_), Some(_)) => Move::Same,
    }
}

fn percent(kept: u64, now: u64) -> f64 {
    (now as f64 / kept.max(1) as f64 - 1.0) * 100.0
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40}{:>10}{:>10}{:>10}", "instructions for each run of", "kept", "now", "change")?;
        for (name, kept, now) in &self.rows {
            let number = |count: &Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
            let change = match (kept, now) {
                (Some(kept), Some(now)) => format!("{:+.1} %", percent(*kept, *now)),
                _ => "-".to_owned(),
            };
            let remark = match moved(*kept, *now) {
                Move::Same => "",
                Move::Moved => "  moved",
                Move::New => "  new",
                Move::Gone => "  gone",
            };
            writeln!(f, "{name:<40}{:>10}{:>10}{change:>10}{remark}", number(kept), number(now))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Counts {
        Counts(rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn counts_read_what_they_write_and_nothing_else() {
        let kept = counts(&[("wire/a", 1), ("wire/b", 123_456_789)]);
        assert_eq!(Counts::parse(&kept.to_string()), Ok(kept));
        for (text, line) in [("a", 1), ("# x\na b", 2), ("a 1\n\nb -1", 3), ("a 1 2", 1)] {
            assert_eq!(Counts::parse(text), Err(BadCounts { line }), "{text:?}");
        }
    }

    #[test]
    fn more_than_five_percent_either_way_is_a_move_and_so_is_a_path_that_comes_or_goes() {
        let kept = counts(&[("a", 1000)]);
        for (now, same) in [(1000, true), (1050, true), (950, true), (1051, false), (949, false)] {
            assert_eq!(Comparison::new(&kept, &counts(&[("a", now)])).is_same(), same, "{now}");
        }
        assert!(!Comparison::new(&kept, &counts(&[("a", 1000), ("b", 1)])).is_same());
        assert!(!Comparison::new(&kept, &counts(&[])).is_same());
        let table = Comparison::new(&kept, &counts(&[("a", 1100), ("b", 1)])).to_string();
        assert!(table.contains("+10.0 %  moved") && table.contains("  new"), "{table}");
    }
}

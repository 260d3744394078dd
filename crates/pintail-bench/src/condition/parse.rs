//! Conditions from text.

use std::str::FromStr;

use super::figure::{Figure, Kind, NAMED, Unit};
use super::{Condition, Relation};

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// There is no comparison in it.
    #[error("`{0}` compares nothing: write a figure, one of < <= > >=, and a bound, as in 'p99>50ms'")]
    NoComparison(String),
    /// No figure has this name.
    #[error("`{name}` is no figure that is measured: there are {}", figures())]
    UnknownFigure {
        /// The name.
        name: String,
    },
    /// The percentile can't be.
    #[error("`{0}` is no percentile: write p and a number above 0 and below 100, as in p50, p99 or p99.9")]
    NoPercentile(String),
    /// The figure is of all players or nothing.
    #[error("`{0}` is of the whole test: leave `of …` out")]
    NotOfSomething(String),
    /// There is nothing after `of`.
    #[error("`{0}` ends after `of`: name what it is of, or leave `of` out")]
    OfNothing(String),
    /// The bound isn't one of this figure.
    #[error("`{bound}` is no bound of `{figure}`: write {hint}")]
    NoBound {
        /// The bound.
        bound: String,
        /// The figure.
        figure: String,
        /// What would be one.
        hint: &'static str,
    },
}

fn figures() -> String {
    let named: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
    format!("p50, p99, p99.9 and other percentiles, {}", named.join(", "))
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let text = text.trim();
        let none = || ConditionError::NoComparison(text.to_owned());
        let (name, rest) = text.split_at(text.find(['<', '>']).ok_or_else(none)?);
        let (relation, bound) = relation(rest).ok_or_else(none)?;
        let (name, bound) = (name.trim(), bound.trim());
        let figure = figure(name)?;
        let bound = bound_of(bound, figure.unit()).ok_or_else(|| ConditionError::NoBound {
            bound: bound.to_owned(),
            figure: name.to_owned(),
            hint: hint(figure.unit()),
        })?;
        Ok(Self { text: text.to_owned(), figure, relation, bound })
    }
}

fn relation(text: &str) -> Option<(Relation, &str)> {
    let relations =
        [(">=", Relation::AtLeast), ("<=", Relation::AtMost), (">", Relation::Above), ("<", Relation::Below)];
    relations.into_iter().find_map(|(sign, relation)| Some((relation, text.strip_prefix(sign)?)))
}

fn figure(text: &str) -> Result<Figure, ConditionError> {
    let mut words = text.splitn(2, " of ");
    let name = words.next().unwrap_or_default().trim();
    let of = words.next().map(|of| of.trim().to_owned());
    if of.as_ref().is_some_and(String::is_empty) || name.ends_with(" of") {
        return Err(ConditionError::OfNothing(text.to_owned()));
    }
    let kind = kind(name)?;
    if of.is_some() && !kind.takes_of() {
        return Err(ConditionError::NotOfSomething(name.to_owned()));
    }
    Ok(Figure { kind, of })
}

fn kind(name: &str) -> Result<Kind, ConditionError> {
    if let Some((_, kind)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Ok(*kind);
    }
    let unknown = || ConditionError::UnknownFigure { name: name.to_owned() };
    let digits = name.strip_prefix('p').filter(|digits| digits.starts_with(|first: char| first.is_ascii_digit()));
    let percent: f64 = digits.ok_or_else(unknown)?.parse().map_err(|_| unknown())?;
    let is_one = percent > 0.0 && percent < 100.0;
    if is_one { Ok(Kind::Percentile(percent)) } else { Err(ConditionError::NoPercentile(name.to_owned())) }
}

/// A bound in the figure's own unit; `None` if it isn't one.
fn bound_of(text: &str, unit: Unit) -> Option<f64> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let number: f64 = digits.parse().ok()?;
    let (_, factor) = suffixes(unit).iter().find(|(known, _)| *known == suffix.trim())?;
    Some(number * factor)
}

fn suffixes(unit: Unit) -> &'static [(&'static str, f64)] {
    match unit {
        Unit::Time => &[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6), ("min", 60e6)],
        Unit::Number => &[("", 1.0), ("k", 1e3), ("M", 1e6)],
        Unit::Share => &[("%", 0.01)],
        Unit::Bytes => &[
            ("B", 1.0),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
        ],
    }
}

fn hint(unit: Unit) -> &'static str {
    match unit {
        Unit::Time => "a time with its unit, as in 500us, 50ms, 2s or 1min",
        Unit::Number => "a number, as in 1000, 20k or 1.5M",
        Unit::Share => "a share in percent, as in 0.1%",
        Unit::Bytes => "an amount of memory with its unit, as in 500B, 8KiB, 100MiB or 2GiB",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let cases = [
            ("p99>50ms", Kind::Percentile(99.0), None, Relation::Above, 50_000.0),
            ("p99.9 of create room <= 1.5 s", Kind::Percentile(99.9), Some("create room"), Relation::AtMost, 1.5e6),
            ("max<500us", Kind::Max, None, Relation::Below, 500.0),
            ("mean>=2µs", Kind::Mean, None, Relation::AtLeast, 2.0),
            ("errors>0", Kind::Errors, None, Relation::Above, 0.0),
            ("throughput<1.5M", Kind::Throughput, None, Relation::Below, 1.5e6),
            ("throughput of received<20k", Kind::Throughput, Some("received"), Relation::Below, 20e3),
            ("cpu of gateway>50%", Kind::Cpu, Some("gateway"), Relation::Above, 0.5),
            ("memory of game 2>2KiB", Kind::Memory, Some("game 2"), Relation::Above, 2_048.0),
            ("cpu-per-message>20us", Kind::CpuPerMessage, None, Relation::Above, 20.0),
        ];
        for (text, kind, of, relation, bound) in cases {
            let condition: Condition = text.parse().expect(text);
            let figure = Figure { kind, of: of.map(str::to_owned) };
            assert_eq!(condition, Condition { text: text.to_owned(), figure, relation, bound }, "{text}");
            assert_eq!(condition.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_condition_is_told_with_what_would_be_one() {
        let cases = [
            ("p99", "compares nothing"),
            ("p99=5ms", "compares nothing"),
            ("p99>", "as in 500us"),
            ("p99>50", "as in 500us"),
            ("p99>-5ms", "as in 500us"),
            ("p99>5ms>4ms", "as in 500us"),
            ("p99>1.2.3ms", "as in 500us"),
            ("errors>1%", "as in 1000"),
            ("error-rate>0.1", "as in 0.1%"),
            ("memory>100M", "as in 500B"),
            ("p100>1s", "is no percentile"),
            ("p0>1s", "is no percentile"),
            ("p999>1s", "is no percentile"),
            ("pnan>1s", "there are p50, p99, p99.9 and other percentiles, mean,"),
            ("latency>1s", "cpu-per-message"),
            ("p99 of >1s", "ends after `of`"),
            ("players of gateway>1", "leave `of …` out"),
        ];
        for (text, hint) in cases {
            let error = text.parse::<Condition>().expect_err(text).to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}

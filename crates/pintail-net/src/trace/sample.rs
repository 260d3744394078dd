//! Which traces there are: a share of those that could be.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How many bits of a trace's id are random for certain (W3C, Trace Context Level 2).
const RANDOM_BITS: u32 = 56;

/// A share of all traces. A trace's id decides whether it is among them, as OpenTelemetry's ratio sampler does it: each
/// server that is told of the same share finds the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceShare {
    /// Ids whose random bits are at least this are among them.
    least: u64,
}

/// A text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no share of the traces: write a number above 0 and up to 1, such as 0.1 for one in ten")]
pub struct BadShare(String);

impl TraceShare {
    /// All of them.
    pub const ALL: Self = Self { least: 0 };

    /// Whether the trace of this id is among them.
    #[must_use]
    pub const fn has(self, trace: u128) -> bool {
        let random = trace & ((1 << RANDOM_BITS) - 1);
        random >= self.least as u128
    }
}

impl Default for TraceShare {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for TraceShare {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
        let share: f64 = share.ok_or_else(|| BadShare(text.to_owned()))?;
        let least = (1.0 - share) * (1_u64 << RANDOM_BITS) as f64;
        Ok(Self { least: (least as u64).min((1 << RANDOM_BITS) - 1) })
    }
}

impl fmt::Display for TraceShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", 1.0 - self.least as f64 / (1_u64 << RANDOM_BITS) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_decides_by_its_random_bits() {
        let share = |text: &str| text.parse::<TraceShare>().unwrap();
        let highest = (1 << RANDOM_BITS) - 1;
        for (text, trace, expected) in [
            ("1", 1, true),
            ("1.0", highest, true),
            ("0.25", 3 << 54, true),
            ("0.25", (3 << 54) - 1, false),
            ("0.25", u128::MAX << RANDOM_BITS, false),
            ("0.000001", highest, true),
            ("1e-300", highest, true),
            ("0.000001", highest / 2, false),
        ] {
            assert_eq!(share(text).has(trace), expected, "{text} of {trace:#x}");
        }
        assert_eq!(share("1"), TraceShare::ALL);
        assert_eq!(share("0.25").to_string(), "0.25");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "0", "-0.5", "1.1", "NaN", "inf", "10%"] {
            assert_eq!(text.parse::<TraceShare>(), Err(BadShare(text.to_owned())), "{text}");
        }
    }
}

//! Lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time in whole milliseconds, written `250ms`, `1.5s`, `2m` or `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The most digits of a number; more than any period has.
const DIGITS_MAX: usize = 9;

/// The shortest time after which something is repeated: shorter would be work without end.
const REPEATED_MIN: Period = Period(Duration::from_millis(10));

/// The longest time after which something is repeated. Longer is a slip of the keyboard.
const REPEATED_MAX: Period = Period(Duration::from_secs(3_600));

/// The longest time that is waited.
const WAIT_MAX: Period = Period(Duration::from_secs(24 * 3_600));

/// The shortest time that is measured: less says nothing.
const MEASURED_MIN: Period = Period(Duration::from_millis(100));

/// The shortest time between two looks at the registry.
const WATCH_MIN: Period = Period(Duration::from_millis(100));

/// Reads a period or limit of what happens again and again.
///
/// # Errors
/// With what to write instead.
pub(super) fn repeated(text: &str) -> Result<Period, String> {
    text.parse::<Period>()?.within(REPEATED_MIN, REPEATED_MAX)
}

/// Reads how long to wait; 0 is not at all.
///
/// # Errors
/// With what to write instead.
pub(super) fn wait(text: &str) -> Result<Period, String> {
    text.parse::<Period>()?.within(Period(Duration::ZERO), WAIT_MAX)
}

/// Reads how long something is measured.
///
/// # Errors
/// With what to write instead.
pub(super) fn measured(text: &str) -> Result<Period, String> {
    text.parse::<Period>()?.within(MEASURED_MIN, WAIT_MAX)
}

/// Reads how often to look; a number alone is in seconds.
///
/// # Errors
/// With what to write instead.
pub(super) fn watch(text: &str) -> Result<Period, String> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let with_unit = if is_bare { format!("{text}s") } else { text.to_owned() };
    with_unit.parse::<Period>()?.within(WATCH_MIN, REPEATED_MAX)
}

impl Period {
    fn within(self, least: Self, most: Self) -> Result<Self, String> {
        if (least..=most).contains(&self) { Ok(self) } else { Err(format!("write {least} to {most}")) }
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write a number and a unit (ms, s, m or h), such as 250ms, 1.5s or 2m".to_owned();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let number_end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(form)?;
        let (number, unit) = text.split_at(number_end);
        let (_, factor) = UNITS.into_iter().find(|&(name, _)| name == unit).ok_or_else(form)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = whole.len() + fraction.len();
        if whole.is_empty() || fraction.is_empty() || fraction.contains('.') || digits > DIGITS_MAX {
            return Err(form());
        }
        let scaled: u64 = format!("{whole}{fraction}").parse().map_err(|_| form())?;
        let parts = scaled * factor;
        let divisor = 10_u64.pow(u32::try_from(fraction.len()).map_err(|_| form())?);
        if parts.is_multiple_of(divisor) {
            Ok(Self(Duration::from_millis(parts / divisor)))
        } else {
            Err("write whole milliseconds: nothing is measured more finely".to_owned())
        }
    }
}

impl fmt::Display for Period {
    /// As it is read: in the largest unit that needs no fraction, or in seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let exact = UNITS.into_iter().find(|&(_, factor)| milliseconds.is_multiple_of(u128::from(factor)));
        match exact {
            Some((unit, factor)) if factor > 1 => write!(f, "{}{unit}", milliseconds / u128::from(factor)),
            _ if milliseconds < 1_000 => write!(f, "{milliseconds}ms"),
            _ => {
                let fraction = format!("{:03}", milliseconds % 1_000);
                write!(f, "{}.{}s", milliseconds / 1_000, fraction.trim_end_matches('0'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_people_write_them_and_written_back() {
        for (text, milliseconds, written) in [
            ("250ms", 250, "250ms"),
            ("1.5s", 1_500, "1.5s"),
            ("1500ms", 1_500, "1.5s"),
            ("0.25s", 250, "250ms"),
            ("2m", 120_000, "2m"),
            ("1.5m", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("1h", 3_600_000, "1h"),
            ("2.0ms", 2, "2ms"),
            ("12.345s", 12_345, "12.345s"),
            ("12.040s", 12_040, "12.04s"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(period.to_string(), written, "{text}");
            assert_eq!(written.parse(), Ok(period), "{text}");
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in ["", "250", "s", ".5s", "1.s", "1.2.3s", "1 s", "-1s", "+1s", "1S", "1d", "1e3ms", "9999999999s"] {
            let refusal = text.parse::<Period>().unwrap_err();
            assert!(refusal.contains("250ms, 1.5s or 2m"), "{text}: {refusal}");
        }
        assert!("0.5ms".parse::<Period>().unwrap_err().contains("whole milliseconds"));
        assert!("0.0001s".parse::<Period>().unwrap_err().contains("whole milliseconds"));
    }

    #[test]
    fn each_use_has_its_range() {
        assert_eq!(repeated("9ms").unwrap_err(), "write 10ms to 1h");
        assert!(repeated("10ms").is_ok() && repeated("1h").is_ok() && repeated("61m").is_err());
        assert!(wait("0").is_ok() && wait("24h").is_ok() && wait("25h").is_err());
        assert_eq!(watch("2"), Ok(Period(Duration::from_secs(2))));
        assert_eq!(watch("0.5"), watch("500ms"));
        assert!(watch("0").is_err() && watch("").is_err());
    }
}

//! Numbers as people read them: three digits that count, and a unit.

/// A time in microseconds.
pub(crate) fn duration(micros: f64) -> String {
    let size = micros.abs();
    if size < 999.5 && micros.fract() == 0.0 {
        return format!("{micros:.0} µs");
    }
    // The bounds are where rounding to three digits reaches the next unit.
    let (value, unit) = match size {
        _ if size < 999.5 => (micros, "µs"),
        _ if size < 999_500.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// A time in whole microseconds.
pub(crate) fn micros(micros: u64) -> String {
    duration(micros as f64)
}

/// How long something lasted, in seconds.
pub(crate) fn span(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        _ if seconds < 60.0 && (seconds - seconds.round()).abs() > 0.05 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3_600 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

/// Bytes, in powers of 1024.
pub(crate) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    if value.abs() < 999.5 {
        return format!("{value:.0} B");
    }
    while value.abs() >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", digits(value), UNITS[unit])
}

/// A share, where 1 is all.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_01 {
        return "<0.001 %".to_owned();
    }
    format!("{} %", digits(share * 100.0))
}

/// A change, where 0 is none: always with its sign.
pub(crate) fn change(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// A whole number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that need not be whole: its thousands apart when it is large, with a fraction when it is small.
pub(crate) fn number(number: f64) -> String {
    let is_small = number.abs() < 99.95 && number.fract() != 0.0;
    if is_small || !number.is_finite() {
        return digits(number);
    }
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(number.abs().round() as u64))
}

/// A number that fits beside an axis: 20k, 1.5M.
pub(crate) fn compact(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{}M", shortest(number / 1e6)),
        size if size >= 1e4 => format!("{}k", shortest(number / 1e3)),
        size if size < 100.0 => digits(number),
        _ => self::number(number),
    }
}

/// A number without zeros at the end of its fraction.
fn shortest(number: f64) -> String {
    let text = digits(number);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// More than one of what this word says.
pub(crate) fn plural(word: &str) -> String {
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if word.ends_with(['s', 'x', 'h']) => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

/// This many of what the word says.
pub(crate) fn amount(number: u64, word: &str) -> String {
    let word = if number == 1 { word.to_owned() } else { plural(word) };
    format!("{} {word}", count(number))
}

/// A moment in seconds since 1970, as a date and a time of day (UTC).
///
/// The date is found as in Howard Hinnant's "chrono-compatible low-level date algorithms": years begin in March, so that
/// the day that some years have and others don't is their last.
pub(crate) fn moment(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", of_day / 3_600, of_day % 3_600 / 60)
}

/// Text without characters that a terminal would obey, or that would break a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Three digits that count, without zeros that say nothing.
fn digits(number: f64) -> String {
    let size = number.abs();
    if !number.is_finite() {
        return "?".to_owned();
    }
    match size {
        _ if size == 0.0 => "0".to_owned(),
        _ if size < 0.009_95 => format!("{number:.4}"),
        _ if size < 9.995 => format!("{number:.2}"),
        _ if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_the_unit_that_suits_them() {
        let cases = [
            (0.0, "0 µs"),
            (0.42, "0.42 µs"),
            (7.0, "7 µs"),
            (12.34, "12.3 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (41_234.0, "41.2 ms"),
            (999_600.0, "1.00 s"),
            (12_000_000.0, "12.0 s"),
        ];
        for (micros, text) in cases {
            assert_eq!(duration(micros), text);
        }
    }

    #[test]
    fn spans_are_told_as_people_do() {
        let cases = [
            (0.0, "0 s"),
            (0.5, "0.5 s"),
            (30.02, "30 s"),
            (59.7, "59.7 s"),
            (60.0, "1 min"),
            (90.0, "1 min 30 s"),
            (7_500.0, "2 h 5 min"),
        ];
        for (seconds, text) in cases {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn bytes_and_counts_and_shares_are_short() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1_000.0), "0.98 KiB");
        assert_eq!(bytes(-2_560.0), "-2.50 KiB");
        assert_eq!(bytes(123.4 * 1024.0 * 1024.0), "123 MiB");
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0_u64, 999, 1_000, 1_234_567].map(count).each_ref().map(|s| &**s)
        );
        assert_eq!(number(-1_234.5), "-1,235");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(percent(0.001), "0.10 %");
        assert_eq!(percent(0.000_02), "0.0020 %");
        assert_eq!(percent(0.000_000_1), "<0.001 %");
        assert_eq!(change(-0.1234), "-12.3 %");
        assert_eq!(number(f64::NAN), "?");
        assert_eq!([0.5, 20.0, 2_500.0, 20_000.0, 1.5e6].map(compact), ["0.50", "20.0", "2,500", "20k", "1.5M"]);
    }

    #[test]
    fn words_have_plurals() {
        assert_eq!(amount(1, "delivery"), "1 delivery");
        assert_eq!(amount(2, "delivery"), "2 deliveries");
        assert_eq!(amount(1_000, "round trip"), "1,000 round trips");
        assert_eq!(plural("match"), "matches");
        assert_eq!(plural("day"), "days");
    }

    #[test]
    fn moments_are_dates() {
        assert_eq!(moment(0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(moment(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(moment(1_798_761_599), "2026-12-31 23:59 UTC");
        assert_eq!(moment(1_798_761_600), "2027-01-01 00:00 UTC");
    }

    #[test]
    fn what_a_terminal_would_obey_is_blank() {
        assert_eq!(printable("a\x1b[2J\nb\u{9b}c"), "a [2J b c");
    }
}

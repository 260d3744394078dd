//! The axes of a chart: where a value stands, and which values are named.

/// How values are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm. All values are above 0.
    Logarithmic,
}

/// One axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// The values that are named, and their names.
    pub(super) ticks: Vec<(f64, String)>,
}

/// About how many ticks a linear axis has.
const TICKS: f64 = 5.0;

impl Axis {
    /// From 0 to at least this value, with ticks at round numbers of this unit (1, or 1024 to some power for bytes).
    pub(super) fn from_zero(high: f64, unit: f64, words: impl Fn(f64) -> String) -> Self {
        let high = if high > 0.0 { high } else { unit };
        let step = round_step(high / unit / TICKS) * unit;
        let steps = (high / step - 1e-9).ceil().max(1.0) as u32;
        let ticks = (0..=steps).map(|index| f64::from(index) * step).map(|value| (value, short(&words(value))));
        Self { scale: Scale::Linear, low: 0.0, high: f64::from(steps) * step, ticks: ticks.collect() }
    }

    /// From at most `low` to at least `high`, both above 0, with ticks at 1, 2 and 5 times powers of ten.
    pub(super) fn logarithmic(low: f64, high: f64, words: impl Fn(f64) -> String) -> Self {
        let (low, high) = (low.max(1e-9), high.max(low.max(1e-9) * 1.01));
        let leads: &[f64] = if (high / low).log10() > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let all: Vec<f64> =
            (first..=last).flat_map(|power| leads.iter().map(move |lead| lead * 10_f64.powi(power))).collect();
        // The axis begins and ends at a tick.
        let low = all.iter().copied().rfind(|&tick| tick <= low * 1.000_001).unwrap_or(low);
        let high = all.iter().copied().find(|&tick| tick >= high * 0.999_999).unwrap_or(high);
        let within = all.into_iter().filter(|&tick| (low..=high).contains(&tick));
        let ticks = within.map(|tick| (tick, short(&words(tick)))).collect();
        Self { scale: Scale::Logarithmic, low, high, ticks }
    }

    /// From the first to the last of these ticks or this value.
    pub(super) fn named(ticks: Vec<(f64, String)>, high: f64) -> Self {
        let low = ticks.first().map_or(0.0, |(value, _)| *value);
        Self { scale: Scale::Linear, low, high: high.max(low + 1e-9), ticks }
    }

    /// From 0 to this many seconds.
    pub(super) fn of_time(seconds: f64, words: impl Fn(f64) -> String) -> Self {
        const STEPS: [f64; 14] =
            [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 7_200.0];
        let wanted = seconds / 6.0;
        let largest = || (wanted / 3_600.0).ceil() * 3_600.0;
        let step = STEPS.into_iter().find(|&step| step >= wanted).unwrap_or_else(largest);
        let ticks = (0..).map(|index| f64::from(index) * step).take_while(|&tick| tick <= seconds);
        Self::named(ticks.map(|tick| (tick, words(tick))).collect(), seconds)
    }

    /// Where a value stands: 0 is the axis's beginning and 1 its end. What is beyond stands there.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// How values are spaced.
    pub(super) fn scale(&self) -> Scale {
        self.scale
    }
}

/// The next larger of 1, 2, 2.5 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let lead = [1.0, 2.0, 2.5, 5.0].into_iter().find(|lead| lead * power >= step * 0.999_999);
    lead.unwrap_or(10.0) * power
}

/// A number without zeros that say nothing: ticks are round.
fn short(words: &str) -> String {
    let (number, unit) = words.split_once(' ').map_or((words, ""), |(number, unit)| (number, unit));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::format::{bytes, duration, number, span};
    use super::*;

    fn names(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, name)| name.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            names(&Axis::from_zero(41_000.0, 1.0, duration)),
            ["0 µs", "10 ms", "20 ms", "30 ms", "40 ms", "50 ms"]
        );
        assert_eq!(names(&Axis::from_zero(0.0, 1.0, number)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        let mebibyte = 1_048_576.0;
        assert_eq!(names(&Axis::from_zero(30.0 * mebibyte, mebibyte, bytes)), ["0 B", "10 MiB", "20 MiB", "30 MiB"]);
        assert_eq!(names(&Axis::of_time(30.0, span)), ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s", "30 s"]);
        assert_eq!(names(&Axis::of_time(500.0, span)), ["0 s", "2 min", "4 min", "6 min", "8 min"]);
    }

    #[test]
    fn a_logarithmic_axis_begins_and_ends_at_a_tick() {
        let axis = Axis::logarithmic(830.0, 92_000.0, duration);
        assert_eq!(names(&axis), ["500 µs", "1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms", "100 ms"]);
        assert_eq!((axis.place(500.0), axis.place(100_000.0)), (0.0, 1.0));
        assert!((axis.place(7_071.07) - 0.5).abs() < 1e-3);
        assert_eq!(names(&Axis::logarithmic(3.0, 5_000_000.0, duration)).len(), 8, "wide ones have powers of ten only");
    }

    #[test]
    fn nothing_stands_beyond_an_axis() {
        let axis = Axis::from_zero(10.0, 1.0, number);
        assert_eq!([-1.0, 0.0, 5.0, 10.0, 99.0].map(|value| axis.place(value)), [0.0, 0.0, 0.5, 1.0, 1.0]);
    }
}

//! Which charts a report has.

use hdrhistogram::Histogram;

use super::super::figures::per_second;
use super::super::format::{bytes, compact, count, duration, micros, number, percent, plural, span};
use super::super::{Measure, Report, Run, Sample, Search};
use super::axis::Axis;
use super::chart::{Chart, Colour, Line, Look, Mark, MarkKind};

/// The most points of a line: a chart is some 500 dots wide. More seconds than this are taken together.
const POINTS_MAX: usize = 240;

/// From which ratio of the largest to the smallest value on, a chart of times is logarithmic.
const LOGARITHMIC_FROM: f64 = 30.0;

/// How many steps the line of a distribution has.
const DISTRIBUTION_STEPS: u32 = 160;

/// The charts of how a run went over time.
pub(super) fn of_run(run: &Run) -> String {
    let series = thinned(run);
    if series.is_empty() {
        return "<p>This window ended before its first second was over.</p>\n".to_owned();
    }
    [
        thinning_note(&run.series),
        latency(run, &series),
        throughput(run, &series),
        cpu(run, &series),
        memory(run, &series),
        players(&series),
        errors(run, &series),
    ]
    .concat()
}

fn thinning_note(series: &[Sample]) -> String {
    match together(series) {
        1 => String::new(),
        seconds => format!(
            "<p class=\"wide\">Each point stands for {seconds} seconds: the mean of what was sent, received and used, the \
             worst of p99, max and errors.</p>\n"
        ),
    }
}

/// A point of the charts: one second, or several taken together.
struct Point {
    sample: Sample,
    /// How much there was in each second.
    sent: f64,
    received: f64,
    /// The worst of the seconds.
    errors: f64,
}

/// How a time is taken from a second.
type TimeOf = fn(&Point) -> Option<u64>;

fn latency(run: &Run, series: &[Point]) -> String {
    let lines: [(&str, usize, TimeOf); 3] =
        [("max", 2, |at| at.sample.max), ("p99", 1, |at| at.sample.p99), ("p50", 0, |at| at.sample.p50)];
    let values = || lines.iter().flat_map(|(_, _, of)| series.iter().filter_map(of)).map(|value| value as f64);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if high == 0.0 {
        return String::new();
    }
    let is_wide = low > 0.0 && high / low > LOGARITHMIC_FROM;
    let y = if is_wide {
        Axis::logarithmic(low, high, duration)
    } else {
        Axis::from_zero(high, 1_000_f64.min(high), duration)
    };
    let lines = lines.map(|(name, colour, of)| {
        line(name, Colour(colour), Look::Line, series, |point| of(point).map(|value| value as f64))
    });
    over_time(format!("Latency: {}", run.primary), y, lines.into(), series, duration)
}

fn throughput(run: &Run, series: &[Point]) -> String {
    let high = series.iter().map(|point| point.sent.max(point.received)).fold(0.0, f64::max);
    let y = Axis::from_zero(high, 1.0, compact);
    let lines = vec![
        line("received", Colour(0), Look::Line, series, |point| Some(point.received)),
        line("sent", Colour(3), Look::Line, series, |point| Some(point.sent)),
    ];
    let title = format!("Throughput: {} a second", plural(&run.primary));
    over_time(title, y, lines, series, number)
}

fn cpu(run: &Run, series: &[Point]) -> String {
    let lines = processes(run, series, |process| process.cpu);
    let y = Axis::from_zero(largest(&lines).max(0.01), 0.01, percent);
    over_time("CPU: of a core".to_owned(), y, lines, series, percent)
}

fn memory(run: &Run, series: &[Point]) -> String {
    let lines = processes(run, series, |process| process.memory as f64);
    let high = largest(&lines);
    let unit = 1024_f64.powf(high.max(1.0).log(1024.0).floor());
    over_time("Memory: resident".to_owned(), Axis::from_zero(high, unit, bytes), lines, series, bytes)
}

fn players(series: &[Point]) -> String {
    let most = series.iter().map(|point| point.sample.players).max().unwrap_or_default();
    let y = Axis::from_zero(most as f64, 1.0, compact);
    let lines = vec![line("players", Colour(4), Look::Filled, series, |point| Some(point.sample.players as f64))];
    over_time("Players".to_owned(), y, lines, series, number)
}

fn errors(run: &Run, series: &[Point]) -> String {
    let high = series.iter().map(|point| point.errors).fold(0.0, f64::max);
    if high == 0.0 && run.error_count() == 0 {
        return "<figure>\n<figcaption>Errors</figcaption>\n<p class=\"none\">None.</p>\n</figure>\n".to_owned();
    }
    let lines = vec![line("errors a second", Colour(2), Look::Filled, series, |point| Some(point.errors))];
    over_time("Errors".to_owned(), Axis::from_zero(high, 1.0, compact), lines, series, number)
}

fn processes(run: &Run, series: &[Point], of: impl Fn(&super::super::ProcessSample) -> f64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (index, server) in run.servers.iter().enumerate() {
        let look = if server.is_server { Look::Line } else { Look::Dashed };
        let at = |point: &Point| point.sample.servers.get(index).map(&of);
        lines.push(line(&server.name, Colour(index), look, series, at));
    }
    let load = |point: &Point| Some(of(&point.sample.generator));
    lines.push(line("load generator", Colour(7), Look::Dashed, series, load));
    lines
}

fn line(name: &str, colour: Colour, look: Look, series: &[Point], of: impl Fn(&Point) -> Option<f64>) -> Line {
    let points = series.iter().map(|point| (point.sample.at, of(point))).collect();
    Line { name: name.to_owned(), colour, look, points }
}

fn largest(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y).fold(0.0, f64::max)
}

fn over_time(title: String, y: Axis, lines: Vec<Line>, series: &[Point], words: fn(f64) -> String) -> String {
    let seconds = series.last().map_or(1.0, |point| point.sample.at);
    let hints = series.iter().enumerate().map(|(index, point)| {
        let values = lines.iter().filter_map(|line| {
            let (_, value) = line.points.get(index)?;
            Some(format!("{} {}", line.name, words((*value)?)))
        });
        let mut hint = vec![format!("at {}", span(point.sample.at))];
        hint.extend(values);
        (point.sample.at, hint.join("\n"))
    });
    let hints = hints.collect();
    let description = format!("Over {}: {}", span(seconds), highest(&lines, words));
    Chart { title, description, x: Axis::of_time(seconds, span), y, lines, marks: Vec::new(), hints }.figure()
}

fn highest(lines: &[Line], words: fn(f64) -> String) -> String {
    let highest = lines.iter().map(|line| {
        let value = line.points.iter().filter_map(|(_, y)| *y).fold(0.0, f64::max);
        format!("{} at most {}", line.name, words(value))
    });
    highest.collect::<Vec<_>>().join(", ")
}

/// The series with so many seconds taken together that no line has too many points. What is a rate or a use is averaged;
/// of what is a worst case, the worst is kept.
fn thinned(run: &Run) -> Vec<Point> {
    let series: Vec<_> = run.timed_series().collect();
    series.chunks(together(&run.series)).map(merged).collect()
}

/// How many seconds are taken together.
fn together(series: &[Sample]) -> usize {
    series.len().div_ceil(POINTS_MAX).max(1)
}

/// Samples and how long each was, as one point.
fn merged(samples: &[(&Sample, f64)]) -> Point {
    let seconds: f64 = samples.iter().map(|(_, seconds)| seconds).sum();
    let rate = |of: fn(&Sample) -> u64| per_second(samples.iter().map(|(sample, _)| of(sample)).sum(), seconds);
    let (last, _) = samples[samples.len() - 1];
    let mut sample = last.clone();
    let mut medians: Vec<u64> = samples.iter().filter_map(|(sample, _)| sample.p50).collect();
    medians.sort_unstable();
    sample.p50 = medians.get(medians.len() / 2).copied();
    sample.p99 = samples.iter().filter_map(|(sample, _)| sample.p99).max();
    sample.max = samples.iter().filter_map(|(sample, _)| sample.max).max();
    // Each tells the share of a core that was used in its time.
    let mean = |of: &dyn Fn(&Sample) -> Option<f64>| {
        let used: f64 = samples.iter().filter_map(|(sample, seconds)| Some(of(sample)? * seconds)).sum();
        if seconds > 0.0 { used / seconds } else { 0.0 }
    };
    sample.generator.cpu = mean(&|sample| Some(sample.generator.cpu));
    for (index, server) in sample.servers.iter_mut().enumerate() {
        server.cpu = mean(&|sample| sample.servers.get(index).map(|server| server.cpu));
    }
    let errors = samples.iter().map(|(sample, seconds)| per_second(sample.errors, *seconds)).fold(0.0, f64::max);
    Point { sent: rate(|sample| sample.sent), received: rate(|sample| sample.received), errors, sample }
}

/// The distribution of what the scenario is about, run by run, and of all that was measured.
pub(super) fn distributions(report: &Report) -> String {
    let Some(first) = report.runs.first() else { return String::new() };
    let name = |index: usize| if report.runs.len() == 1 { first.primary.clone() } else { format!("run {}", index + 1) };
    let primary = |run: &Run| run.measures.get(&run.primary).and_then(histogram);
    let mut lines: Vec<_> = report
        .runs
        .iter()
        .enumerate()
        .filter_map(|(index, run)| Some((name(index), Colour(index), Look::Line, primary(run)?)))
        .collect();
    if let Some(trivial) = report.calibration.as_ref().and_then(primary) {
        lines.push(("trivial server".to_owned(), Colour(7), Look::Dashed, trivial));
    }
    let others = super::super::summary::Summary::of(&report.runs).measures();
    let mut charts = distribution(format!("Distribution: {}", first.primary), &lines);
    if others.len() > 1 {
        let lines = others.iter().enumerate().filter_map(|(index, (name, measure))| {
            Some(((*name).to_owned(), Colour(index), Look::Line, histogram(measure)?))
        });
        charts += &distribution("Distribution: all that was timed".to_owned(), &lines.collect::<Vec<_>>());
    }
    charts
}

fn histogram(measure: &Measure) -> Option<Histogram<u64>> {
    measure.to_histogram().ok().filter(|histogram| !histogram.is_empty())
}

/// A plot of percentiles: each step to the right is a tenth of what is left, so that the rarest are seen as well as the
/// usual. The form is that of HdrHistogram's plots.
fn distribution(title: String, lines: &[(String, Colour, Look, Histogram<u64>)]) -> String {
    let all = || lines.iter().map(|(.., histogram)| histogram);
    let Some(most) = all().map(Histogram::len).max() else { return String::new() };
    let low = all().map(|histogram| histogram.value_at_quantile(0.01)).min().unwrap_or_default().max(1);
    let high = all().map(Histogram::max).max().unwrap_or_default();
    let nines_max = (most as f64).log10().max(1.0);
    let y = Axis::logarithmic(low as f64, high as f64, duration);
    let hints = [0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.999_5, 0.999_9, 0.999_99, 0.999_999];
    let hints = hints.iter().filter(|share| nines(**share) <= nines_max).map(|share| {
        let values =
            lines.iter().map(|(name, .., histogram)| format!("{name} {}", micros(histogram.value_at_quantile(*share))));
        (nines(*share), format!("{}: {}", share_words(*share), values.collect::<Vec<_>>().join("\n")))
    });
    let hints = hints.collect();
    let description = all().zip(lines).map(|(histogram, (name, ..))| {
        format!(
            "{name}: p50 {}, p99 {}",
            micros(histogram.value_at_quantile(0.5)),
            micros(histogram.value_at_quantile(0.99))
        )
    });
    let description = description.collect::<Vec<_>>().join(", ");
    let lines = lines.iter().map(|(name, colour, look, histogram)| Line {
        name: name.clone(),
        colour: *colour,
        look: *look,
        points: percentiles(histogram),
    });
    let x = Axis::named(nines_ticks(nines_max), nines_max);
    Chart { title, description, x, y, lines: lines.collect(), marks: Vec::new(), hints }.figure()
}

/// How many nines a share has: 0.9 has one, 0.99 two.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn nines_ticks(most: f64) -> Vec<(f64, String)> {
    // Names get longer with each nine, and the room for them narrower with each further one.
    let shares: &[f64] = match most {
        _ if most < 3.0 => &[0.0, 0.5, 0.9, 0.99],
        _ if most < 5.5 => &[0.0, 0.9, 0.99, 0.999, 0.999_9, 0.999_99],
        _ => &[0.0, 0.9, 0.99, 0.999, 0.999_9, 0.999_999],
    };
    shares.iter().filter(|share| nines(**share) <= most).map(|share| (nines(*share), share_words(*share))).collect()
}

fn share_words(share: f64) -> String {
    let text = format!("{:.5}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn percentiles(histogram: &Histogram<u64>) -> Vec<(f64, Option<f64>)> {
    // The rarest of this many is the last that can be told.
    let most = (histogram.len() as f64).log10().max(0.3);
    let step = |index: u32| most * f64::from(index) / f64::from(DISTRIBUTION_STEPS);
    let at = |nines: f64| histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1) as f64;
    (0..=DISTRIBUTION_STEPS).map(step).map(|nines| (nines, Some(at(nines)))).collect()
}

/// The loads that were tried, in their order.
pub(super) fn search(search: &Search) -> String {
    let most = search.probes.iter().map(|probe| probe.load).max().unwrap_or_default();
    let x = |index: usize| (index + 1) as f64;
    let marks = search.probes.iter().enumerate().map(|(index, probe)| {
        let (kind, word) = if probe.held { (MarkKind::Good, "kept") } else { (MarkKind::Bad, "broken") };
        let hint = format!("{} {}: {word}, {}", count(probe.load), search.unit, probe.found);
        Mark { at: (x(index), probe.load as f64), kind, hint }
    });
    let points = search.probes.iter().enumerate().map(|(index, probe)| (x(index), Some(probe.load as f64)));
    let end = x(search.probes.len());
    let mut lines =
        vec![Line { name: "tried".into(), colour: Colour(7), look: Look::Dashed, points: points.collect() }];
    if let Some(largest) = search.largest {
        let points = vec![(0.0, Some(largest as f64)), (end, Some(largest as f64))];
        lines.push(Line { name: "largest that kept it".into(), colour: Colour(3), look: Look::Line, points });
    }
    let ticks = (1..=search.probes.len()).map(|index| (index as f64, format!("try {index}")));
    let every = search.probes.len().div_ceil(8).max(1);
    let mut ticks: Vec<_> = ticks.step_by(every).collect();
    ticks.insert(0, (0.0, String::new()));
    Chart {
        title: format!("Search for the most {} with {}", search.unit, search.condition),
        description: match search.largest {
            Some(load) => format!("{} kept it.", count(load)),
            None if search.interrupted => "None kept it until the search was interrupted.".to_owned(),
            None => "None kept it.".to_owned(),
        },
        x: Axis::named(ticks, end),
        y: Axis::from_zero(most as f64, 1.0, compact),
        lines,
        marks: marks.collect(),
        hints: Vec::new(),
    }
    .figure()
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn long_series_are_thinned_and_keep_their_worst() {
        let mut run = sample::run(1);
        let second = run.series[0].clone();
        run.series = (1..=3_600).map(|at| Sample { at: f64::from(at), ..second.clone() }).collect();
        let odd = &mut run.series[1_801];
        (odd.p99, odd.errors, odd.sent) = (Some(7_000_000), 44, 0);
        let thin = thinned(&run);
        assert_eq!(thin.len(), POINTS_MAX);
        assert_eq!(thin.iter().filter_map(|point| point.sample.p99).max(), Some(7_000_000));
        assert_eq!(thin.iter().map(|point| point.errors).fold(0.0, f64::max), 44.0);
        let least = thin.iter().map(|point| point.sent).fold(f64::INFINITY, f64::min);
        assert!((least - second.sent as f64 * 14.0 / 15.0).abs() < 1e-6, "{least}");
    }

    #[test]
    fn a_second_that_was_shorter_or_longer_is_divided_by_its_length() {
        let mut run = sample::run(1);
        let second = Sample { sent: 300, received: 600, errors: 3, ..run.series[0].clone() };
        run.series = [1.0, 1.5, 4.5].map(|at| Sample { at, ..second.clone() }).into();
        let points = thinned(&run);
        let rates: Vec<_> = points.iter().map(|point| (point.sent, point.received, point.errors)).collect();
        assert_eq!(rates, [(300.0, 600.0, 3.0), (600.0, 1_200.0, 6.0), (100.0, 200.0, 1.0)]);
        assert_eq!(run.received_at_most(), Some(1_200.0));
        // One that is too short says little of a second.
        run.series[1].at = 1.1;
        assert_eq!(run.received_at_most(), Some(600.0));
    }

    #[test]
    fn shares_are_named_by_their_nines() {
        assert_eq!(
            nines_ticks(4.2).into_iter().map(|(_, name)| name).collect::<Vec<_>>(),
            ["0%", "90%", "99%", "99.9%", "99.99%"]
        );
    }

    #[test]
    fn a_window_without_seconds_has_no_charts() {
        let mut run = sample::run(1);
        run.series.clear();
        assert!(of_run(&run).contains("ended before"));
    }
}

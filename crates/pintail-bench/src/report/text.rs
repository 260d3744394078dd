//! The report on the terminal.

use super::format::{amount, bytes, count, duration, micros, moment, number, percent, span};
use super::grid::{Cell, Grid, Paint, Side, Tone, wrapped};
use super::summary::{Summary, beside, key_figures};
use super::{GeneratorState, Measure, Report, Run};

/// How wide the text is at most, unless a single word or name is longer.
const WIDTH: usize = 100;

/// The most errors that are listed. There are as many as the servers had reasons to give.
const ERRORS_MAX: usize = 20;

/// The report as text of at most 100 columns, with what matters most at the top and again, as checks, at the bottom.
pub fn table(report: &Report, paint: Paint) -> String {
    let summary = Summary::of(&report.runs);
    let sections = [
        heading(report, paint),
        figures(report, paint),
        latency(report, &summary, paint),
        runs(&report.runs, paint),
        processes(report, &summary, paint),
        counts(&summary, paint),
        errors(&summary, paint),
        search(report, paint),
        notes(report, paint),
        checks(report, paint),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn heading(report: &Report, paint: Paint) -> String {
    let summary = Summary::of(&report.runs);
    let windows = match report.runs.as_slice() {
        [] => "nothing measured".to_owned(),
        [run] => span(run.seconds),
        [run, ..] => format!("{} × {}", report.runs.len(), span(run.seconds)),
    };
    let title =
        format!("{}: {}, {windows}", report.scenario.name, amount(summary.players(), report.scenario.unit_of_one()));
    let mut text = format!("{}\n", paint.paint(&super::format::printable(&title), Tone::Strong));
    if report.interrupted {
        text += &format!("{}\n", paint.paint("Interrupted: these are the figures until then.", Tone::Bad));
    }
    let settings: Vec<String> =
        report.scenario.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let machine = &report.machine;
    let machine = format!(
        "{}, {}, {}, {}",
        machine.processor,
        amount(machine.cores.into(), "core"),
        bytes(machine.memory_bytes as f64),
        machine.system
    );
    let lines = [
        ("on", report.target.clone()),
        ("load", report.shape.clone()),
        ("settings", settings.join(", ")),
        ("seed", report.seed.map_or("not known".to_owned(), |seed| seed.to_string())),
        ("machine", machine),
        ("when", format!("{}, Pintail {}", moment(report.started_at), report.pintail)),
    ];
    for (name, value) in lines {
        text += &named(name, &value, paint);
    }
    text
}

/// A name, and beside it what may take several lines.
fn named(name: &str, value: &str, paint: Paint) -> String {
    const NAME_WIDTH: usize = 10;
    let mut text = String::new();
    for (index, line) in wrapped(value, WIDTH - NAME_WIDTH - 2).iter().enumerate() {
        let name = format!("{:<NAME_WIDTH$}", if index == 0 { name } else { "" });
        text += &format!("  {}{line}\n", paint.paint(&name, Tone::Faint));
    }
    text
}

fn section(title: &str, grid: &Grid, paint: Paint) -> String {
    format!("{}\n{}", paint.paint(title, Tone::Strong), grid.text(paint))
}

fn figures(report: &Report, paint: Paint) -> String {
    let mut grid = Grid::new([Side::Left, Side::Left, Side::Left]);
    for (name, value, remark) in key_figures(report) {
        grid.row([Cell::new(name, Tone::Faint), Cell::new(value, Tone::Strong), Cell::new(remark, Tone::Faint)]);
    }
    section("Result", &grid, paint)
}

fn latency(report: &Report, summary: &Summary<'_>, paint: Paint) -> String {
    let mut grid = Grid::of_figures(&["", "count", "lost", "mean", "p50", "p90", "p99", "p99.9", "max"]);
    let mut measures = summary.measures();
    measures.extend(beside(report, summary));
    for (name, measure) in &measures {
        grid.row(times(name, measure));
    }
    if measures.is_empty() { String::new() } else { section("Latency", &grid, paint) }
}

fn times(name: &str, measure: &Measure) -> Vec<Cell> {
    let lost = Cell::new(count(measure.lost), if measure.lost > 0 { Tone::Bad } else { Tone::Faint });
    let mut cells =
        vec![Cell::plain(name), Cell::plain(count(measure.count)), lost, Cell::plain(duration(measure.mean))];
    let times = [measure.p50, measure.p90, measure.p99, measure.p999, measure.max];
    cells.extend(times.map(|time| Cell::plain(micros(time))));
    cells
}

fn runs(runs: &[Run], paint: Paint) -> String {
    let [first, _, ..] = runs else { return String::new() };
    let cost = super::grid::cut(&format!("CPU/{}", first.primary), 14);
    let mut grid = Grid::of_figures(&["", "throughput", "p50", "p99", "p99.9", "max", &cost, "errors"]);
    for (index, run) in runs.iter().enumerate() {
        let measure = run.measures.get(&run.primary);
        let time = |of: fn(&Measure) -> u64| Cell::known(measure.map(|measure| micros(of(measure))));
        grid.row([
            Cell::plain(format!("run {}", index + 1)),
            Cell::plain(format!("{}/s", number(run.throughput()))),
            time(|measure| measure.p50),
            time(|measure| measure.p99),
            time(|measure| measure.p999),
            time(|measure| measure.max),
            Cell::known(run.cpu_per_message().map(duration)),
            Cell::plain(count(run.error_count())),
        ]);
    }
    section("Runs", &grid, paint)
}

fn processes(report: &Report, summary: &Summary<'_>, paint: Paint) -> String {
    let each = super::grid::cut(&format!("per {}", summary.primary), 14);
    let per_player = super::grid::cut(&format!("per {}", report.scenario.unit_of_one()), 10);
    let headings = ["", "CPU", "of a core", "in kernel", &each, "memory", "growth", &per_player];
    let mut grid = Grid::of_figures(&headings);
    for process in summary.processes() {
        let tone = if process.is_server { Tone::Plain } else { Tone::Faint };
        grid.row([
            Cell::new(&process.name, tone),
            Cell::plain(duration(process.cpu * 1e6)),
            Cell::known(process.core.map(percent)),
            Cell::known(process.kernel.map(percent)),
            Cell::known(process.per_message.map(duration)),
            Cell::plain(bytes(process.memory)),
            Cell::plain(bytes(process.growth)),
            Cell::known(process.growth_per_player.map(bytes)),
        ]);
    }
    section("CPU and memory", &grid, paint)
}

fn counts(summary: &Summary<'_>, paint: Paint) -> String {
    let counts = summary.counts();
    let mut grid = Grid::of_figures(&["", "in all", "per second"]);
    for (name, number_of) in &counts {
        let rate = (summary.seconds() > 0.0).then(|| number(*number_of as f64 / summary.seconds()));
        grid.row([Cell::plain(name), Cell::plain(count(*number_of)), Cell::known(rate)]);
    }
    if counts.is_empty() { String::new() } else { section("Counts", &grid, paint) }
}

fn errors(summary: &Summary<'_>, paint: Paint) -> String {
    let errors = summary.errors();
    let mut grid = Grid::new([Side::Right, Side::Left]);
    for (reason, times) in errors.iter().take(ERRORS_MAX) {
        for (index, line) in wrapped(reason, WIDTH - 20).into_iter().enumerate() {
            let times = if index == 0 { count(*times) } else { String::new() };
            grid.row([Cell::new(times, Tone::Bad), Cell::plain(line)]);
        }
    }
    if let Some(more) = errors.len().checked_sub(ERRORS_MAX).filter(|&more| more > 0) {
        grid.row([Cell::plain(""), Cell::new(format!("and {more} more kinds"), Tone::Faint)]);
    }
    if errors.is_empty() { String::new() } else { section("Errors", &grid, paint) }
}

fn search(report: &Report, paint: Paint) -> String {
    let Some(search) = &report.search else { return String::new() };
    let mut grid = Grid::new([Side::Right, Side::Left, Side::Left, Side::Left, Side::Left]);
    for probe in &search.probes {
        let (word, tone) = if probe.held { ("kept", Tone::Good) } else { ("broken", Tone::Bad) };
        let generator = probe.generator.as_ref();
        let generator_tone = |state: &GeneratorState| if state.trouble.is_some() { Tone::Bad } else { Tone::Faint };
        let state = |words: fn(&GeneratorState) -> String| {
            generator.map_or(Cell::plain(""), |state| Cell::new(words(state), generator_tone(state)))
        };
        for (index, line) in wrapped(&probe.found, WIDTH - 62).into_iter().enumerate() {
            if index > 0 {
                grid.row([(); 4].map(|()| Cell::plain("")).into_iter().chain([Cell::plain(line)]));
                continue;
            }
            grid.row([
                Cell::plain(format!("{} {}", count(probe.load), search.unit)),
                Cell::new(word, tone),
                state(GeneratorState::core_words),
                state(GeneratorState::late_words),
                Cell::plain(line),
            ]);
        }
    }
    section(&format!("Search for the largest load with {}", super::format::printable(&search.condition)), &grid, paint)
}

fn notes(report: &Report, paint: Paint) -> String {
    if report.notes.is_empty() {
        return String::new();
    }
    let mut text = format!("{}\n", paint.paint("Notes", Tone::Strong));
    for note in &report.notes {
        for (index, line) in wrapped(note, WIDTH - 4).iter().enumerate() {
            text += &format!("  {} {line}\n", if index == 0 { "-" } else { " " });
        }
    }
    text
}

fn checks(report: &Report, paint: Paint) -> String {
    if report.checks.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new([Side::Left, Side::Left, Side::Left]);
    for check in &report.checks {
        let (word, tone) = if check.failed { ("FAILED", Tone::Bad) } else { ("ok", Tone::Good) };
        grid.row([
            Cell::new(word, tone),
            Cell::plain(&check.condition),
            Cell::plain(super::grid::cut(&check.found, WIDTH - 42)),
        ]);
    }
    section("Checks: the test fails if", &grid, paint)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_report_reads_as_it_should() {
        super::super::golden::check("table.txt", &table(&sample::report(), Paint::Plain));
    }

    #[test]
    fn a_report_of_one_run_elsewhere_leaves_out_what_is_not_known() {
        let mut report = sample::report();
        report.runs.truncate(1);
        report.runs[0].servers.clear();
        report.runs[0].errors.clear();
        (report.search, report.calibration) = (None, None);
        report.checks.clear();
        report.notes.clear();
        super::super::golden::check("table-elsewhere.txt", &table(&report, Paint::Plain));
    }

    #[test]
    fn a_test_that_was_interrupted_before_it_measured_is_told_too() {
        let mut report = sample::report();
        report.runs.clear();
        report.interrupted = true;
        let text = table(&report, Paint::Plain);
        assert!(text.contains("Interrupted") && text.contains("nothing measured"), "{text}");
    }

    #[test]
    fn it_fits_whatever_is_in_it_and_draws_nothing() {
        let mut report = sample::report();
        let long = "a\x1b[2J reason\nof more words than fit on a line ".repeat(9);
        report.target = long.clone();
        report.notes.push(long.clone());
        report.scenario.settings.insert(long.clone(), long.clone());
        for run in &mut report.runs {
            run.errors.insert(long.clone(), 3);
            run.servers[0].name = long.clone();
            let measure = run.measures["login"].clone();
            run.measures.insert(long.clone(), measure);
            run.errors.extend((0..30).map(|reason| (format!("reason {reason}"), 1)));
        }
        let text = table(&report, Paint::Plain);
        for line in text.lines().skip(1) {
            assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
            assert!(!line.contains('\x1b') && !line.ends_with(' '), "{line:?}");
        }
        assert!(text.contains("and 13 more kinds"), "{text}");
    }
}

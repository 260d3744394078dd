//! The report as one HTML file: nothing is fetched, and nothing of the page is a script. Flame graphs bring some along, and
//! get a line of ours before them, each in a frame of its own that can't reach the page.

mod axis;
mod chart;
mod charts;
mod markup;

use std::fmt::Write;

use self::markup::{definitions, escape, section, table};
use super::format::{amount, bytes, count, duration, micros, moment, number, percent, span};
use super::summary::{Summary, beside, key_figures};
use super::{Profile, Report, Run};

/// How the page looks. There is no `<` and no `&` in it, so that the page stays well-formed XML.
const STYLE: &str = include_str!("page.css");

/// The report as one HTML file that needs no network: for a browser, a phone, a printer or a screen reader.
pub fn html(report: &Report) -> String {
    let title = format!(
        "{} with {}",
        report.scenario.name,
        amount(Summary::of(&report.runs).players(), report.scenario.unit_of_one())
    );
    let body = [
        header(report, &title),
        section("Checks", &checks(report)),
        section("Over time", &over_time(&report.runs)),
        section("Distribution", &charted(&charts::distributions(report))),
        section("Figures", &tables(report)),
        section("The largest load", &search(report)),
        section("Where the time went", &profiles(&report.profiles)),
        section("Notes", &notes(report)),
        section("The test", &facts(report)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\"/>\n<title>{}</title>\n\
         <style>\n{STYLE}{}</style>\n</head>\n<body>\n{}<footer>Made by pintail bench {}.</footer>\n</body>\n</html>\n",
        policy(report),
        escape(&title),
        tab_style(report.runs.len()),
        body.concat(),
        escape(&report.pintail),
    )
}

/// What the page may do: show itself. Frames inherit it, so scripts are allowed where there are flame graphs.
fn policy(report: &Report) -> &'static str {
    if report.profiles.is_empty() {
        "default-src 'none'; style-src 'unsafe-inline'"
    } else {
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    }
}

fn header(report: &Report, title: &str) -> String {
    let windows = match report.runs.as_slice() {
        [] => "nothing measured".to_owned(),
        [run] => format!("{} measured", span(run.seconds)),
        [run, ..] => format!("{} windows of {} measured", report.runs.len(), span(run.seconds)),
    };
    let subtitle = format!("On {}. {windows}, {}.", report.target, moment(report.started_at));
    let mut html = format!("<header>\n<h1>{}</h1>\n<p>{}</p>\n</header>\n", escape(title), escape(&subtitle));
    if report.interrupted {
        html += "<p class=\"alarm\" role=\"alert\">The test was interrupted: these are the figures until then.</p>\n";
    }
    let failed = report.checks.iter().filter(|check| check.failed).count();
    if failed > 0 {
        let words = format!("The test failed {}.", amount(failed as u64, "check"));
        writeln!(html, "<p class=\"alarm\" role=\"alert\">{words}</p>").expect("a string can be written");
    }
    html += "<dl class=\"key\">\n";
    for (name, value, remark) in key_figures(report) {
        let remark = if remark.is_empty() { remark } else { format!("<dd class=\"remark\">{}</dd>", escape(&remark)) };
        let (name, value) = (escape(name), escape(&value));
        writeln!(html, "<div><dt>{name}</dt><dd class=\"value\">{value}</dd>{remark}</div>")
            .expect("a string can be written");
    }
    html + "</dl>\n"
}

fn checks(report: &Report) -> String {
    if report.checks.is_empty() {
        return String::new();
    }
    let mut html = String::from("<p>The test fails if one of these is true.</p>\n<ul class=\"checks\">\n");
    for check in &report.checks {
        let (class, word) = if check.failed { ("failed", "failed") } else { ("ok", "ok") };
        let (condition, found) = (escape(&check.condition), escape(&check.found));
        writeln!(html, "<li class=\"{class}\"><b>{word}</b><code>{condition}</code>{found}</li>")
            .expect("a string can be written");
    }
    html + "</ul>\n"
}

fn charted(figures: &str) -> String {
    if figures.is_empty() { String::new() } else { format!("<div class=\"charts\">\n{figures}</div>\n") }
}

/// The charts of each run; of several, one is shown and the others are a click or an arrow key away.
fn over_time(runs: &[Run]) -> String {
    if let [] | [_] = runs {
        return runs.first().map(|run| charted(&charts::of_run(run))).unwrap_or_default();
    }
    let mut html = String::from("<div class=\"tabs\">\n");
    for index in 1..=runs.len() {
        let checked = if index == 1 { " checked=\"checked\"" } else { "" };
        writeln!(
            html,
            "<input type=\"radio\" name=\"run\" id=\"run-{index}\"{checked}/><label for=\"run-{index}\">Run {index}</label>"
        )
        .expect("a string can be written");
    }
    for (index, run) in (1..).zip(runs) {
        let charts = charted(&charts::of_run(run));
        // On paper, where all runs are shown, each needs its name.
        writeln!(html, "<div class=\"panel panel-{index}\">\n<h3>Run {index}</h3>\n{charts}</div>")
            .expect("a string can be written");
    }
    html + "</div>\n"
}

/// Which panel is shown for which run.
fn tab_style(runs: usize) -> String {
    let rule = |index| format!("#run-{index}:checked ~ .panel-{index} {{ display: block; }}\n");
    if runs > 1 { (1..=runs).map(rule).collect() } else { String::new() }
}

fn tables(report: &Report) -> String {
    let summary = Summary::of(&report.runs);
    [latency(report, &summary), runs(&report.runs), processes(report, &summary), counts(&summary), errors(&summary)]
        .concat()
}

fn latency(report: &Report, summary: &Summary<'_>) -> String {
    let rows = summary.measures().into_iter().chain(beside(report, summary)).map(|(name, measure)| {
        let mut row = vec![name.to_owned(), count(measure.count), count(measure.lost), duration(measure.mean)];
        let times = [measure.min, measure.p50, measure.p90, measure.p99, measure.p999, measure.max];
        row.extend(times.map(micros));
        row
    });
    let headings = ["", "count", "lost", "mean", "min", "p50", "p90", "p99", "p99.9", "max"];
    table("Latency", &headings, &rows.collect::<Vec<_>>())
}

fn runs(runs: &[Run]) -> String {
    let [first, _, ..] = runs else { return String::new() };
    let rows = runs.iter().enumerate().map(|(index, run)| {
        let measure = run.measures.get(&run.primary);
        let mut row = vec![format!("run {}", index + 1), format!("{}/s", number(run.throughput()))];
        let times = measure.map(|measure| [measure.p50, measure.p99, measure.p999, measure.max].map(micros));
        row.extend(times.unwrap_or_else(|| [(); 4].map(|()| unknown())));
        row.push(run.cpu_per_message().map_or_else(unknown, duration));
        row.push(count(run.error_count()));
        row
    });
    let cost = format!("CPU per {}", first.primary);
    let headings = ["", "throughput", "p50", "p99", "p99.9", "max", &cost, "errors"];
    table("Runs", &headings, &rows.collect::<Vec<_>>())
}

fn processes(report: &Report, summary: &Summary<'_>) -> String {
    let rows = summary.processes().into_iter().map(|process| {
        vec![
            process.name,
            duration(process.cpu * 1e6),
            process.core.map_or_else(unknown, percent),
            process.kernel.map_or_else(unknown, percent),
            process.per_message.map_or_else(unknown, duration),
            bytes(process.memory),
            bytes(process.growth),
            process.growth_per_player.map_or_else(unknown, bytes),
        ]
    });
    let each = format!("per {}", summary.primary);
    let per_player = format!("per {}", report.scenario.unit_of_one());
    let headings = ["", "CPU", "of a core", "in kernel", &each, "memory", "growth", &per_player];
    table("CPU and memory", &headings, &rows.collect::<Vec<_>>())
}

fn counts(summary: &Summary<'_>) -> String {
    let rate = |of: u64| if summary.seconds() > 0.0 { number(of as f64 / summary.seconds()) } else { unknown() };
    let counts = summary.counts();
    let rows = counts.iter().map(|(name, of)| vec![(*name).to_owned(), count(*of), rate(*of)]);
    table("Counts", &["", "in all", "per second"], &rows.collect::<Vec<_>>())
}

fn errors(summary: &Summary<'_>) -> String {
    let rows = summary.errors().into_iter().map(|(reason, times)| vec![reason.to_owned(), count(times)]);
    table("Errors", &["", "times"], &rows.collect::<Vec<_>>())
}

fn unknown() -> String {
    "–".to_owned()
}

fn search(report: &Report) -> String {
    let Some(search) = &report.search else { return String::new() };
    let rows = search.probes.iter().map(|probe| {
        let word = if probe.held { "kept" } else { "broken" };
        let generator = probe.generator.as_ref().map(|generator| {
            let trouble = generator.trouble.as_ref().map(|trouble| format!("{trouble}.")).unwrap_or_default();
            format!("{} {} {trouble}", generator.core_words(), generator.late_words()).trim_end().to_owned()
        });
        let load = format!("{} {}", count(probe.load), search.unit);
        vec![load, word.to_owned(), probe.found.clone(), generator.unwrap_or_else(unknown)]
    });
    let headings = ["load", &search.condition, "found", "load generator"];
    let table = table("Loads that were tried", &headings, &rows.collect::<Vec<_>>());
    format!("<div class=\"charts wordy\">\n{}{table}</div>\n", charts::search(search))
}

/// What stands before a flame graph in its frame. Such pictures keep what is searched for in the address of their page,
/// which a frame without an origin may not change: their search would end at that.
const FRAME: &str = "<!DOCTYPE html><meta charset=\"utf-8\"><style>html{color-scheme:light;background:#fff}body{margin:0}\
                     svg{width:100%}</style><script>history.replaceState = () => {};</script>";

fn profiles(profiles: &[Profile]) -> String {
    let mut html = String::new();
    for profile in profiles {
        // What stands before the picture itself (an XML prologue) means nothing inside HTML.
        let Some(begin) = profile.svg.find("<svg") else { continue };
        let page = format!("{FRAME}{}", &profile.svg[begin..]);
        let name = escape(&profile.server);
        writeln!(
            html,
            "<details class=\"flames\">\n<summary>Flame graph of {name}</summary>\n<iframe sandbox=\"allow-scripts\" \
             loading=\"lazy\" title=\"Flame graph of {name}\" srcdoc=\"{}\"></iframe>\n</details>",
            escape(&page)
        )
        .expect("a string can be written");
    }
    html
}

fn notes(report: &Report) -> String {
    let notes: Vec<String> = report.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    if notes.is_empty() { String::new() } else { format!("<ul>\n{}</ul>\n", notes.concat()) }
}

fn facts(report: &Report) -> String {
    let settings = report.scenario.settings.iter().map(|(name, value)| format!("{name} {value}"));
    let machine = &report.machine;
    definitions(&[
        ("command", report.command.join(" ")),
        ("scenario", report.scenario.name.clone()),
        ("settings", settings.collect::<Vec<_>>().join(", ")),
        ("seed", report.seed.map_or_else(unknown, |seed| seed.to_string())),
        ("load", report.shape.clone()),
        ("target", report.target.clone()),
        ("processor", format!("{}, {}", machine.processor, amount(machine.cores.into(), "core"))),
        ("memory", bytes(machine.memory_bytes as f64)),
        ("system", machine.system.clone()),
        ("began", moment(report.started_at)),
        ("Pintail", report.pintail.clone()),
    ])
}

#[cfg(test)]
mod tests;

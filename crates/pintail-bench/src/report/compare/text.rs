//! A comparison on the terminal.

use super::super::format::{bytes, change as change_words, duration, number, percent};
use super::super::grid::{Cell, Grid, Paint, Tone, wrapped};
use super::{Change, Comparison, Kind, Side, Verdict};

/// How wide the text is at most, unless a single word is longer.
const WIDTH: usize = 100;

pub(super) fn text(comparison: &Comparison, paint: Paint) -> String {
    let title = format!("{}: what changed", super::super::format::printable(&comparison.scenario));
    let mut text = warnings(comparison, paint);
    text += &format!("{}\n", paint.paint(&title, Tone::Strong));
    let mut grid = Grid::of_figures(&["", "before", "±", "after", "±", "change", "verdict"]);
    for change in &comparison.changes {
        grid.row(row(change));
    }
    text += &grid.text(paint);
    text += &format!("\n{}\n", verdict(comparison));
    text
}

fn warnings(comparison: &Comparison, paint: Paint) -> String {
    let mut text = String::new();
    for warning in &comparison.warnings {
        for (index, line) in wrapped(warning, WIDTH - 3).iter().enumerate() {
            let line = format!("{}{line}", if index == 0 { "!  " } else { "   " });
            text += &format!("{}\n", paint.paint(&line, Tone::Bad));
        }
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn row(change: &Change) -> [Cell; 7] {
    let tone = match change.verdict {
        Verdict::Better => Tone::Good,
        Verdict::Worse => Tone::Bad,
        Verdict::Noise | Verdict::Unknown => Tone::Faint,
    };
    [
        Cell::plain(&change.figure),
        Cell::plain(value(change, change.before.mean)),
        Cell::new(scatter(change.before), Tone::Faint),
        Cell::plain(value(change, change.after.mean)),
        Cell::new(scatter(change.after), Tone::Faint),
        Cell::plain(change.share().map_or("-".to_owned(), change_words)),
        Cell::new(word(change), tone),
    ]
}

fn value(change: &Change, value: f64) -> String {
    match change.kind {
        Kind::Rate => format!("{}/s", number(value)),
        Kind::Time => duration(value),
        Kind::Cost if change.figure.starts_with('×') => format!("{value:.2}×"),
        Kind::Cost => duration(value),
        Kind::Memory => bytes(value),
        Kind::Errors => percent(value),
    }
}

/// How much the runs of one side scatter.
fn scatter(side: Side) -> String {
    match side.runs {
        0 | 1 => "?".to_owned(),
        _ if side.mean == 0.0 => "0 %".to_owned(),
        _ => format!("{:.1} %", side.deviation / side.mean.abs() * 100.0),
    }
}

/// What the verdict is called for this kind of figure.
fn word(change: &Change) -> &'static str {
    match (change.verdict, change.kind) {
        (Verdict::Noise, _) => "noise",
        (Verdict::Unknown, _) => "can't tell",
        (Verdict::Better, Kind::Rate | Kind::Time) => "faster",
        (Verdict::Worse, Kind::Rate | Kind::Time) => "SLOWER",
        (Verdict::Better, Kind::Cost) => "cheaper",
        (Verdict::Worse, Kind::Cost) => "DEARER",
        (Verdict::Better, Kind::Memory) => "smaller",
        (Verdict::Worse, Kind::Memory) => "LARGER",
        (Verdict::Better, Kind::Errors) => "fewer",
        (Verdict::Worse, Kind::Errors) => "MORE",
    }
}

fn verdict(comparison: &Comparison) -> String {
    let with = |verdict| comparison.changes.iter().filter(|change| change.verdict == verdict).count();
    let (better, worse, noise) = (with(Verdict::Better), with(Verdict::Worse), with(Verdict::Noise));
    match (better, worse, noise) {
        (0, 0, 0) => "Nothing can be told from these runs.".to_owned(),
        (0, 0, _) => "Nothing changed by more than the noise of the runs.".to_owned(),
        _ => format!("{better} better, {worse} worse by more than the noise of the runs; {noise} within it."),
    }
}

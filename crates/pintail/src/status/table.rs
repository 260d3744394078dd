//! A table of cells with tones, as wide as it is or as wide as a screen.

use crate::terminal::{Line, Tone};

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// A cell of this text; `-` if there is none.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(if text.is_empty() { "-".to_owned() } else { text }, Tone::Plain)
    }
}

/// What a table gives up, in this order, to fit on a screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// How many characters fit.
    pub(super) width: usize,
    /// How many columns, from the left, are never left out.
    pub(super) kept: usize,
    /// Columns whose cells may be cut, and to which width at least.
    pub(super) cut: &'static [(usize, usize)],
}

/// What stands between two columns.
const GAP: usize = 2;

/// The rows as lines, each column as wide as its widest cell.
pub(super) fn lines<const COLUMNS: usize>(rows: &[[Cell; COLUMNS]], fit: Option<Fit>) -> Vec<Line> {
    let mut widths = natural_widths(rows);
    if let Some(fit) = fit {
        narrow(&mut widths, fit);
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn natural_widths<const COLUMNS: usize>(rows: &[[Cell; COLUMNS]]) -> Vec<usize> {
    let width = |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or_default();
    (0..COLUMNS).map(width).collect()
}

fn total(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
}

fn narrow(widths: &mut Vec<usize>, fit: Fit) {
    while widths.len() > fit.kept && total(widths) > fit.width {
        widths.pop();
    }
    for &(column, least) in fit.cut {
        let excess = total(widths).saturating_sub(fit.width);
        if let Some(width) = widths.get_mut(column) {
            *width = width.saturating_sub(excess).max(least.min(*width));
        }
    }
}

fn line(cells: &[Cell], widths: &[usize]) -> Line {
    let mut line = Line::default();
    for (cell, &width) in cells.iter().zip(widths) {
        let text = shortened(&cell.text, width);
        let blanks = " ".repeat(width - text.chars().count() + GAP);
        line = line.then(text, cell.tone).then(blanks, Tone::Plain);
    }
    line.cut(usize::MAX)
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fit: Option<Fit>) -> Vec<String> {
        let row = |cells: [&str; 4]| cells.map(Cell::plain);
        let rows = [row(["SLOT", "HEALTH", "GAMES", "TYPES"]), row(["Game:0", "down: it is gone", "3/100", ""])];
        lines(&rows, fit).iter().map(Line::text).collect()
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_no_line_ends_in_blanks() {
        assert_eq!(shown(None), ["SLOT    HEALTH            GAMES  TYPES", "Game:0  down: it is gone  3/100  -"]);
    }

    #[test]
    fn what_does_not_fit_goes_from_the_right_and_then_from_long_cells() {
        let fit = |width| Some(Fit { width, kept: 3, cut: &[(1, 6)] });
        assert_eq!(shown(fit(38)), shown(None));
        assert_eq!(shown(fit(37)), ["SLOT    HEALTH            GAMES", "Game:0  down: it is gone  3/100"]);
        assert_eq!(shown(fit(30)), ["SLOT    HEALTH           GAMES", "Game:0  down: it is go…  3/100"]);
        assert_eq!(shown(fit(21)), ["SLOT    HEALTH  GAMES", "Game:0  down:…  3/100"]);
        assert_eq!(shown(fit(5)), shown(fit(21)), "the screen cuts the rest");
    }
}

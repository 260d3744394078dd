//! Text in columns, with or without colours.

use std::io::IsTerminal;

/// Whether text for the terminal has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Text only: for files, pipes and terminals without colours.
    Plain,
    /// With ANSI codes.
    Colour,
}

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
}

impl Paint {
    /// Colours on a terminal, unless its user wants none (`NO_COLOR`, see no-color.org) or it has none.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_dumb = is_set("TERM").is_none_or(|kind| kind == "dumb");
        if stream.is_terminal() && !is_dumb && is_set("NO_COLOR").is_none() { Self::Colour } else { Self::Plain }
    }

    /// The text with the codes of its tone around it.
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match (self, tone) {
            (Self::Plain, _) | (_, Tone::Plain) => return text.to_owned(),
            (Self::Colour, Tone::Strong) => "1",
            (Self::Colour, Tone::Faint) => "2",
            (Self::Colour, Tone::Good) => "32",
            (Self::Colour, Tone::Bad) => "1;31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// On which side of a column its cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: super::format::printable(text.as_ref()), tone }
    }

    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(text, Tone::Plain)
    }

    /// A figure that may not be known.
    pub(crate) fn known(text: Option<String>) -> Self {
        text.map_or_else(|| Self::new("-", Tone::Faint), Self::plain)
    }
}

/// Rows of cells, each column as wide as its widest cell.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    sides: Vec<Side>,
    rows: Vec<Vec<Cell>>,
}

/// What stands between two columns.
const GAP: &str = "  ";

/// What stands before each row.
const INDENT: &str = "  ";

/// The widest that a cell may be which isn't in the last column. Names come from scenarios, so they may be long.
const CELL_WIDTH_MAX: usize = 22;

impl Grid {
    /// An empty table whose columns have these sides.
    pub(crate) fn new(sides: impl Into<Vec<Side>>) -> Self {
        Self { sides: sides.into(), rows: Vec::new() }
    }

    /// A table with names on the left, and figures under these headings.
    pub(crate) fn of_figures(headings: &[&str]) -> Self {
        let sides = (0..headings.len()).map(|column| if column == 0 { Side::Left } else { Side::Right });
        let mut grid = Self::new(sides.collect::<Vec<_>>());
        let tone = |column| if column == 0 { Tone::Strong } else { Tone::Faint };
        grid.row(headings.iter().enumerate().map(|(column, text)| Cell::new(text, tone(column))));
        grid
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The rows as lines that end in a line break, none in blanks.
    pub(crate) fn text(&self, paint: Paint) -> String {
        let widths: Vec<usize> = (0..self.sides.len()).map(|column| self.width(column)).collect();
        self.rows.iter().map(|row| self.line(row, &widths, paint)).collect()
    }

    fn width(&self, column: usize) -> usize {
        let widths = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        widths.max().unwrap_or_default().min(self.width_max(column))
    }

    fn width_max(&self, column: usize) -> usize {
        if column + 1 == self.sides.len() { usize::MAX } else { CELL_WIDTH_MAX }
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = INDENT.to_owned();
        let mut owed = String::new();
        for ((cell, &width), side) in row.iter().zip(widths).zip(&self.sides) {
            let text = cut(&cell.text, width);
            let blanks = " ".repeat(width - text.chars().count());
            let (before, after) = if *side == Side::Right { (blanks, String::new()) } else { (String::new(), blanks) };
            if text.is_empty() {
                owed.extend([&before, &after, GAP].map(|blank: &str| blank));
                continue;
            }
            line.extend([&owed, &before, &paint.paint(&text, cell.tone)].map(String::as_str));
            owed = after + GAP;
        }
        line + "\n"
    }
}

/// The text, or its beginning if it is longer than this many characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else { return String::new() };
    let kept: String = text.chars().take(kept).collect();
    format!("{}…", kept.trim_end())
}

/// The text in lines of at most this many characters, broken between words; a longer word has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in super::format::printable(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_on_their_side_and_no_line_ends_in_blanks() {
        let mut grid = Grid::of_figures(&["server", "CPU", ""]);
        grid.row(["gateway", "9 s", "busy"].map(Cell::plain));
        grid.row(["game", "12 s", ""].map(Cell::plain));
        assert_eq!(grid.text(Paint::Plain), "  server    CPU\n  gateway   9 s  busy\n  game     12 s\n");
    }

    #[test]
    fn colours_change_no_width() {
        let mut grid = Grid::new([Side::Left, Side::Left]);
        grid.row([Cell::new("ok", Tone::Good), Cell::plain("a")]);
        grid.row([Cell::new("failed", Tone::Bad), Cell::plain("b")]);
        let painted = grid.text(Paint::Colour);
        assert_eq!(painted, "  \x1b[32mok\x1b[0m      a\n  \x1b[1;31mfailed\x1b[0m  b\n");
        let plain = painted.replace("\x1b[32m", "").replace("\x1b[1;31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, grid.text(Paint::Plain));
    }

    #[test]
    fn long_names_are_cut_and_long_sentences_wrapped() {
        let mut grid = Grid::new([Side::Left, Side::Right]);
        grid.row([Cell::plain("a name that is much longer than names are"), Cell::plain("1")]);
        assert_eq!(grid.text(Paint::Plain), "  a name that is much l…  1\n");
        assert_eq!(wrapped("one two  three\nfour", 8), ["one two", "three", "four"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
    }

    #[test]
    fn what_others_wrote_can_not_draw_on_the_screen() {
        let mut grid = Grid::new([Side::Left]);
        grid.row([Cell::plain("a\x1b[2Jb\nc")]);
        assert_eq!(grid.text(Paint::Colour), "  a [2Jb c\n");
    }
}

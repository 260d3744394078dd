//! The standard output and error, and tables.

use std::io::Write;

use crate::failure::Failure;

/// Writes a line at once. What runs on does so whether it can be written or not.
pub(crate) fn say(line: impl std::fmt::Display) {
    let _ = try_to_say(line);
}

/// Writes a line at once that the command was asked for.
///
/// # Errors
/// If nobody reads any more, or it can't be written: there is no reason to go on.
pub(crate) fn print(line: impl std::fmt::Display) -> Result<(), Failure> {
    try_to_say(line).map_err(|error| Failure::unprinted(&error))
}

/// Writes a line at once.
///
/// # Errors
/// If that can't be done.
pub(crate) fn try_to_say(line: impl std::fmt::Display) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Writes a line on the standard error. If nobody reads it any more, nobody minds: `eprintln!` would panic.
pub(crate) fn warn(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Text without characters that a terminal would obey: what others wrote can't draw on this screen.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// Rows of cells as lines, each column as wide as its widest cell.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_no_line_ends_in_blanks() {
        let rows = [["slot", "games"], ["Server:Game:10", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), ["slot            games", "Server:Game:10"]);
    }

    #[test]
    fn what_others_wrote_can_not_draw_on_the_screen() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{9b}d"), "a[2Jbcd");
    }
}

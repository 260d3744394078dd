//! The terminal: its colours, its size, and what is drawn in place.

use std::io::{IsTerminal, Write, stderr, stdout};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// A heading.
    Strong,
    /// Of little interest.
    Faint,
    /// Worth a look.
    Warning,
    /// Worth doing something about.
    Alarm,
}

/// Whether tones are shown as colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Text only.
    Plain,
    /// With colours.
    Colour,
}

impl Paint {
    /// Colours on a terminal, unless its user wants none (`NO_COLOR`, see no-color.org) or it has none.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if stream.is_terminal() && !wants_none && !is_dumb() { Self::Colour } else { Self::Plain }
    }

    const fn codes(self, tone: Tone) -> (&'static str, &'static str) {
        match (self, tone) {
            (Self::Plain, _) | (_, Tone::Plain) => ("", ""),
            (Self::Colour, Tone::Strong) => ("\x1b[1m", "\x1b[0m"),
            (Self::Colour, Tone::Faint) => ("\x1b[2m", "\x1b[0m"),
            (Self::Colour, Tone::Warning) => ("\x1b[33m", "\x1b[0m"),
            (Self::Colour, Tone::Alarm) => ("\x1b[1;31m", "\x1b[0m"),
        }
    }
}

/// A line of text whose pieces have tones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(String, Tone)>);

impl Line {
    /// A line of one piece.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self::default().then(text, tone)
    }

    /// With one more piece.
    pub(crate) fn then(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), tone));
        self
    }

    /// The line without blanks at its end, cut to this many characters.
    pub(crate) fn cut(&self, width: usize) -> Self {
        let length = self.text().trim_end().chars().count();
        let mut left = length.min(width);
        let mut cut = Self::default();
        for (text, tone) in &self.0 {
            let piece: String = text.chars().take(left).collect();
            left -= piece.chars().count();
            if !piece.is_empty() {
                cut = cut.then(piece, *tone);
            }
        }
        cut
    }

    /// The text alone.
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(text, _)| text.as_str()).collect()
    }

    /// The text with its colours.
    pub(crate) fn painted(&self, paint: Paint) -> String {
        let mut painted = String::new();
        for (text, tone) in &self.0 {
            let (on, off) = paint.codes(*tone);
            painted.extend([on, text, off]);
        }
        painted
    }
}

/// How much fits on a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Size {
    /// What a terminal has that does not say.
    const DEFAULT: Self = Self { columns: 80, rows: 24 };

    fn of(terminal: impl std::os::fd::AsFd) -> Self {
        match tcgetwinsize(terminal) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { columns: size.ws_col.into(), rows: size.ws_row.into() }
            }
            _ => Self::DEFAULT,
        }
    }
}

/// Whether something can be drawn in place there.
pub(crate) fn can_draw(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb")
}

/// A second screen, without cursor or scrolling.
const SCREEN_ON: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// The first screen as it was.
const SCREEN_OFF: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// A screen of the terminal's standard output that is drawn as a whole. Dropping it gives the terminal back as it was.
pub(crate) struct Screen {
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If it can't be written.
    pub(crate) fn open() -> std::io::Result<Self> {
        // Without echo: what is typed does not land in the picture.
        let before = tcgetattr(stdout()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(stdout(), OptionalActions::Now, &silent);
        }
        let screen = Self { before };
        write_at_once(SCREEN_ON)?;
        Ok(screen)
    }

    /// How much fits on it.
    pub(crate) fn size(&self) -> Size {
        Size::of(stdout())
    }

    /// Draws these lines from the top, in one write and over what is there, so that nothing flickers.
    ///
    /// # Errors
    /// If the terminal can't be written: it is gone.
    pub(crate) fn draw(&mut self, lines: &[Line], paint: Paint) -> std::io::Result<()> {
        let size = self.size();
        let mut frame = String::from("\x1b[H");
        for (index, line) in lines.iter().take(size.rows).enumerate() {
            frame.push_str(if index == 0 { "" } else { "\r\n" });
            frame.push_str(&line.cut(size.columns).painted(paint));
            // The rest of what stood in this line.
            frame.push_str("\x1b[K");
        }
        // And what stood below.
        frame.push_str("\x1b[J");
        write_at_once(&frame)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to give back.
        let _ = write_at_once(SCREEN_OFF);
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdout(), OptionalActions::Now, before);
        }
    }
}

fn write_at_once(text: &str) -> std::io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A line on the standard error that is written over again and again.
pub(crate) struct LiveLine;

impl LiveLine {
    /// Shows this instead of what was there.
    pub(crate) fn show(&self, text: &str) {
        // The last column stays free: some terminals go to the next line when it is written.
        let shown: String = text.chars().take(Size::of(stderr()).columns - 1).collect();
        let _ = write!(stderr(), "\r{shown}\x1b[K");
    }
}

impl Drop for LiveLine {
    /// Leaves an empty line, for what is said next.
    fn drop(&mut self) {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_before_it_is_painted() {
        let line = Line::new("slot  ", Tone::Strong).then("down", Tone::Alarm).then("   ", Tone::Plain);
        assert_eq!(line.cut(80).text(), "slot  down");
        assert_eq!(line.cut(8).painted(Paint::Colour), "\x1b[1mslot  \x1b[0m\x1b[1;31mdo\x1b[0m");
        assert_eq!(line.cut(8).painted(Paint::Plain), "slot  do");
        assert_eq!(line.cut(3).painted(Paint::Colour), "\x1b[1mslo\x1b[0m");
        assert_eq!(line.cut(0), Line::default());
    }
}

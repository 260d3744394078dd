//! What happened in a run: a fingerprint always, and text for people if asked for.

use std::fmt::{self, Write as _};

use pintail_core::GameId;
use pintail_game::runtime::Now;

/// How many lines a failing seed shows, if nobody wants more.
pub const TAIL: usize = 80;

/// A line of the trace.
#[derive(Debug, Clone)]
struct Line {
    at: Now,
    game: Option<GameId>,
    text: String,
}

/// What happened in a run.
#[derive(Debug)]
pub struct Trace {
    fingerprint: u64,
    lines: Option<Vec<Line>>,
    /// How many of them a failure shows.
    pub shown: usize,
}

impl Trace {
    /// A trace that keeps only its fingerprint.
    #[must_use]
    pub const fn fingerprint_only() -> Self {
        Self { fingerprint: 0xcbf2_9ce4_8422_2325, lines: None, shown: 0 }
    }

    /// A trace that keeps its text too.
    #[must_use]
    pub const fn with_text(shown: usize) -> Self {
        Self { fingerprint: 0xcbf2_9ce4_8422_2325, lines: Some(Vec::new()), shown }
    }

    /// Notes what happened. The numbers make the fingerprint; the text is made only if someone will read it.
    pub fn note(&mut self, at: Now, game: Option<GameId>, numbers: &[u64], text: impl FnOnce() -> String) {
        self.mix(at.0.as_nanos() as u64);
        for number in numbers {
            self.mix(*number);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, game, text: text() });
        }
    }

    /// Whether the text is kept.
    #[must_use]
    pub const fn has_text(&self) -> bool {
        self.lines.is_some()
    }

    /// Mixes bytes into the fingerprint.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(digest(bytes));
    }

    /// What two equal runs have in common.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The last lines that concern a game, or everyone.
    #[must_use]
    pub fn tail(&self, game: Option<GameId>, most: usize) -> String {
        let mut text = String::new();
        let concerns = |line: &&Line| game.is_none() || line.game.is_none() || line.game == game;
        let lines: Vec<&Line> = self.lines.iter().flatten().rev().filter(concerns).take(most).collect();
        for line in lines.into_iter().rev() {
            let _: fmt::Result = writeln!(text, "  {:>9.4} s  {}", line.at.0.as_secs_f64(), line.text);
        }
        text
    }

    /// Mixes a number into the fingerprint.
    pub fn mix(&mut self, number: u64) {
        self.fingerprint = mixed(self.fingerprint, number);
    }
}

/// One round of mixing; the fingerprint need not withstand anyone who means harm.
#[must_use]
pub const fn mixed(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// A fingerprint of bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let hash = chunks.iter().fold(bytes.len() as u64, |hash, chunk| mixed(hash, u64::from_le_bytes(*chunk)));
    rest.iter().fold(hash, |hash, byte| mixed(hash, u64::from(*byte)))
}

//! How servers look to each other.

use std::fmt;

/// How a server looks to an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// It answers.
    Up,
    /// It has been silent for too long: it gets no new games.
    Suspect,
    /// It is gone, as far as anyone can tell: what it had may go to others.
    Down,
}

impl Health {
    /// The word for it in status, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an observer holds against a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charge {
    /// It has been silent long enough to be suspected.
    Silent,
    /// It has been silent long enough to be gone, if anyone else agrees.
    Dead,
    /// It broke the link and refuses connections: its process is gone.
    Refused,
}

/// What the store makes of an accusation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It gets no new games while the accusation stands.
    Suspect,
    /// It is gone: switched off by this call or an earlier one.
    Down,
    /// The slot is not this incarnation's (any more): there is nothing to accuse it of.
    Elsewhere,
}

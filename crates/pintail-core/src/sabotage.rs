//! Protections that the simulation can switch off, one at a time, to show that its invariants notice. Nothing of it is
//! compiled without the feature `sabotage`, and with it nothing is off until someone says so, on one thread.

use std::cell::Cell;
use std::str::FromStr;

/// What can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The store takes what a former owner writes.
    Fencing,
    /// A game takes an input again that it has.
    Duplicates,
    /// What a step produced is shown before its entry is committed.
    Gate,
    /// A game that was taken over goes on without asking what its players have seen.
    Settling,
    /// The store appends entries again that it has.
    Appends,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Fencing, Self::Duplicates, Self::Gate, Self::Settling, Self::Appends];

    const fn name(self) -> &'static str {
        match self {
            Self::Fencing => "fencing",
            Self::Duplicates => "duplicates",
            Self::Gate => "gate",
            Self::Settling => "settling",
            Self::Appends => "appends",
        }
    }
}

impl FromStr for Sabotage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|sabotage| sabotage.name() == text);
        known.ok_or("one of fencing, duplicates, gate, settling, appends")
    }
}

thread_local! {
    static SABOTAGE: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// From now on this protection is off on this thread, or none.
pub fn switch(sabotage: Option<Sabotage>) {
    SABOTAGE.set(sabotage);
}

/// Whether this protection is off.
#[must_use]
pub fn is_on(sabotage: Sabotage) -> bool {
    SABOTAGE.get() == Some(sabotage)
}

//! What must never be, each with its name.

use std::fmt;

use pintail::Player;

use crate::audit::At;

/// A promise that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// An acknowledged input is not in the game, or one before it is missing.
    InputLost,
    /// An input was applied twice.
    InputRepeated,
    /// An input was applied that nobody sent.
    InputInvented,
    /// The game's own state says that an input came out of order, or that a player is gone.
    LedgerFault,
    /// A player missed a reliable message.
    MessageLost,
    /// A player got a reliable message twice, or after a later one.
    MessageRepeated,
    /// Two players were told different things of the same position.
    MessageForked,
    /// Two players were shown different states of the same step, or one that what was applied contradicts.
    StateForked,
    /// An input was applied in a step that was shown without it, or a player went back in time.
    StepWentBack,
    /// Snapshot and journal are not what players were told.
    JournalDiffers,
    /// The game's result is not what players were told.
    ResultDiffers,
    /// Two servers run the same game, or its ownership went back.
    TwoOwners,
    /// A game did not go on in time.
    GameStuck,
    /// A game ended that should not have, or a player was put out of it.
    GameLost,
    /// A process panicked, or ended by itself, or did not end when it was told to.
    ProcessFailed,
}

impl Check {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InputLost => "input-lost",
            Self::InputRepeated => "input-repeated",
            Self::InputInvented => "input-invented",
            Self::LedgerFault => "ledger-fault",
            Self::MessageLost => "message-lost",
            Self::MessageRepeated => "message-repeated",
            Self::MessageForked => "message-forked",
            Self::StateForked => "state-forked",
            Self::StepWentBack => "step-went-back",
            Self::JournalDiffers => "journal-differs",
            Self::ResultDiffers => "result-differs",
            Self::TwoOwners => "two-owners",
            Self::GameStuck => "game-stuck",
            Self::GameLost => "game-lost",
            Self::ProcessFailed => "process-failed",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// When it was found.
    pub at: At,
    /// Which promise.
    pub check: Check,
    /// Where: a game, or a process.
    pub game: String,
    /// The player who saw it, or whom it is about.
    pub player: Option<Player>,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8.2} s  {:<16} {}", self.at.as_secs_f64(), self.check.name(), self.game)?;
        if let Some(player) = self.player {
            write!(f, ", player {player}")?;
        }
        write!(f, ": {}", self.text)
    }
}

//! What is known of one player.

use std::time::Duration;

use super::At;

/// What is known of one player.
#[derive(Debug, Clone, Default)]
pub(super) struct Seat {
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// The last number that anyone was told of.
    pub(super) applied: u64,
    /// The position of the last reliable message.
    pub(super) received: u64,
    pub(super) message_step: u64,
    pub(super) state_step: u64,
    pub(super) state_position: u64,
    pub(super) is_attached: bool,
    /// Whether it knows that the game is over.
    pub(super) ended: bool,
    pub(super) interruptions: u64,
    /// When it was told of an input last.
    pub(super) heard: Option<At>,
    pub(super) longest_pause: Duration,
}

impl Seat {
    /// A reliable message came.
    pub(super) fn is_heard(&mut self, at: At) {
        if let Some(before) = self.heard.replace(at) {
            self.longest_pause = self.longest_pause.max(at.saturating_sub(before));
        }
    }
}

/// Sums over a game's players.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say what they are")]
pub struct Totals {
    pub sent: u64,
    pub acknowledged: u64,
    pub messages: u64,
    pub interruptions: u64,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            acknowledged: self.acknowledged + other.acknowledged,
            messages: self.messages + other.messages,
            interruptions: self.interruptions + other.interruptions,
        }
    }
}

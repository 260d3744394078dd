//! What is left to do for a game that is over: the store has to know, and the players have to hear.

use std::time::Duration;

use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_store::{EndOutcome, EndReason};
use pintail_wire::Message as _;
use pintail_wire::client::{GameEndReason, GameEnded};
use rand::Rng;

use super::Now;
use crate::limits::LINGER;

/// How long to wait before the store is told again.
const RETRY: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(5) };

/// A game that is over.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: EndOutcome,
    linger_until: Now,
    report: Report,
    backoff: Backoff,
}

/// Whether the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    UnderWay,
    RetryAt(Now),
    Done,
}

impl Ending {
    pub(crate) fn new(outcome: EndOutcome, now: Now) -> Self {
        Self { outcome, linger_until: now + LINGER, report: Report::UnderWay, backoff: Backoff::new(RETRY) }
    }

    /// The store knows.
    pub(crate) fn reported(&mut self) {
        self.report = Report::Done;
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.report == Report::Done
    }

    /// The store may have forgotten, or can be told again: it is told now.
    pub(crate) fn doubt(&mut self, now: Now) {
        if self.report != Report::UnderWay {
            self.report = Report::RetryAt(now);
        }
    }

    /// The store is to be told at once, whatever it was told before.
    pub(crate) fn tell(&mut self, now: Now) {
        self.report = Report::RetryAt(now);
    }

    /// The store could not be told.
    pub(crate) fn failed(&mut self, now: Now, rng: &mut impl Rng) {
        if self.report == Report::UnderWay {
            self.report = Report::RetryAt(now + self.backoff.fail(rng));
        }
    }

    /// Whether the store is to be told again now.
    pub(crate) fn take_retry(&mut self, now: Now) -> bool {
        let due = matches!(self.report, Report::RetryAt(at) if at <= now);
        if due {
            self.report = Report::UnderWay;
        }
        due
    }

    /// Whether the game can be forgotten: the store knows, and the players have everything or had time enough.
    pub(crate) fn is_over(&self, now: Now, players_settled: bool) -> bool {
        self.report == Report::Done && (players_settled || self.linger_until <= now)
    }

    pub(crate) fn due(&self) -> Option<Now> {
        match self.report {
            Report::UnderWay => None,
            Report::RetryAt(at) => Some(at),
            Report::Done => Some(self.linger_until),
        }
    }
}

/// The payload of the last message to each player.
pub(crate) fn last_words(outcome: &EndOutcome) -> Vec<u8> {
    let reason = GameEndReason::from(outcome.reason);
    GameEnded { reason: reason.into(), result: outcome.result.clone(), message: outcome.message.clone() }
        .encode_to_vec()
}

/// The game came to its end with this result (JSON).
pub(crate) fn finished(result: String) -> EndOutcome {
    EndOutcome { reason: EndReason::Finished, result, message: String::new() }
}

/// What was kept of the game can't be used.
pub(crate) fn unreadable() -> EndOutcome {
    cut_short(EndReason::Crashed, "What was kept of the game can't be read, so it had to end.")
}

/// The game ended for another reason. The sentence is for people; its length is bounded.
pub(crate) fn cut_short(reason: EndReason, sentence: &str) -> EndOutcome {
    /// What a game's own refusal may say, in characters.
    const SENTENCE_MAX: usize = 500;
    EndOutcome { reason, result: String::new(), message: sentence.chars().take(SENTENCE_MAX).collect() }
}

//! When a server was heard over a link, without an event for each heartbeat.
//!
//! A gateway sends a heartbeat when the link opens and four times a second from then on, and the server answers each. What
//! stands in the way (a process that is stopped, a network that is cut) holds them up: they are answered when it ends.
//! So the last answer at any time follows from when the link was opened, how long a round trip takes, and what
//! stood in the way. A million heartbeats a second cost the simulation nothing but this sum.

use std::time::Duration;

use pintail_core::limits::LINK_HEARTBEAT;
use pintail_engine::redial::Redial;

use super::events::Life;

/// A time in which nothing gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Its first moment.
    pub from: Duration,
    /// Its end; [`Duration::MAX`] while nobody knows it.
    pub until: Duration,
}

impl Gap {
    /// One that never comes.
    pub const NONE: Self = Self { from: Duration::MAX, until: Duration::MAX };

    /// One that begins now.
    #[must_use]
    pub const fn since(from: Duration) -> Self {
        Self { from, until: Duration::MAX }
    }

    /// Whether it lasts at this time.
    #[must_use]
    pub fn covers(&self, at: Duration) -> bool {
        self.from <= at && at < self.until
    }
}

/// What one gateway knows of its link to one server.
#[derive(Debug)]
pub struct Link {
    /// Which attempt it is.
    pub life: Life,
    /// Since when it is open.
    pub open: Option<Duration>,
    /// When the server was last asked for a sign of life out of turn.
    pub rolled: Option<Duration>,
    /// From sending a heartbeat to hearing its answer.
    pub round_trip: Duration,
    /// Whether it is dialled again when it ends.
    pub is_wanted: bool,
    /// When it is tried again.
    pub redial: Redial,
}

impl Link {
    /// A link that is not open.
    #[must_use]
    pub const fn new(round_trip: Duration) -> Self {
        Self { life: Life(0), open: None, rolled: None, round_trip, is_wanted: false, redial: Redial::new() }
    }

    /// It is open from now on.
    pub fn opened(&mut self, now: Duration) {
        self.open = Some(now);
        self.rolled = None;
    }

    /// When the server was last heard, if the link is open.
    #[must_use]
    pub fn heard(&self, now: Duration, gaps: &[Gap]) -> Option<Duration> {
        let opened = self.open?;
        let rolled = self.rolled.and_then(|at| self.answer(at, gaps)).filter(|&at| at <= now);
        let sent = (now.saturating_sub(opened)).as_nanos() / LINK_HEARTBEAT.as_nanos();
        let sent = u32::try_from(sent).unwrap_or(u32::MAX);
        // The newest first: answers come in the order of what they answer.
        let answers = (0..=sent).rev().filter_map(|number| self.answer(opened + LINK_HEARTBEAT * number, gaps));
        let answered = answers.into_iter().find(|&at| at <= now);
        Some(opened.max(answered.unwrap_or_default()).max(rolled.unwrap_or_default()))
    }

    /// When a heartbeat that was sent at this time is answered; `None` if that is not known.
    fn answer(&self, sent: Duration, gaps: &[Gap]) -> Option<Duration> {
        let way = self.round_trip / 2;
        let mut there = sent + way;
        for gap in gaps {
            if gap.covers(there) {
                there = gap.until;
            }
        }
        there.checked_add(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_last_answer_follows_from_what_was_sent_and_what_stood_in_the_way() {
        let mut link = Link::new(ms(2));
        assert_eq!(link.heard(ms(5000), &[]), None, "it is not open");
        link.opened(ms(1000));
        let stopped = Gap::since(ms(1600));
        let cut = Gap { from: ms(1600), until: ms(1900) };
        for (now, gap, heard) in [
            (1001, None, 1000),
            (1002, None, 1002),
            (1251, None, 1002),
            (1252, None, 1252),
            (1602, None, 1502),
            (9999, Some(stopped), 1502),
            (1900, Some(cut), 1502),
            (1901, Some(cut), 1901),
            (2001, Some(cut), 1901),
            (2002, Some(cut), 2002),
        ] {
            let gaps: Vec<Gap> = gap.into_iter().collect();
            assert_eq!(link.heard(ms(now), &gaps), Some(ms(heard)), "at {now} ms");
        }
        link.rolled = Some(ms(1300));
        assert_eq!(link.heard(ms(1400), &[]), Some(ms(1302)), "a roll call is answered at once");
    }
}

//! How far a server is in its life.

use std::time::Duration;

use crate::limits::DRAIN_REPORT_PERIOD;
use crate::runtime::Now;

/// How long a stopping server waits for the store and the players to hear how their games ended.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How far a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// → `Draining` when told to stop.
    Serving,
    /// Takes no new games, hands the journaled ones over, and lets the others end. → `Flushing` when no game is left and
    /// none can come any more, or at the end of its time.
    Draining(Drain),
    /// Every game ends here or waits in the store; → `Over` when everyone has heard, or at this time.
    Flushing {
        until: Now,
    },
    Over,
}

/// A drain under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drain {
    until: Now,
    report_at: Now,
    placements: Placements,
    /// When nothing can be placed here any more even if the store never hears of the drain: the lease has run out.
    closed_at: Now,
}

/// Whether the store may still place games here. One that is placed in the moment before the store hears of the drain is
/// played like any other, instead of being lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placements {
    /// The store has not heard of the drain.
    Open,
    /// It heard of it before this time; what it had placed until then is not yet known.
    Closed(Now),
    /// All that was placed here is known.
    Known,
}

/// What a look at the games shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// Games that go on or are on their way from the store.
    pub(super) games: usize,
    /// Whether there are none, and those that are over are known to be so by all who can be told.
    pub(super) flushed: bool,
}

/// What the loop has to do when time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    None,
    /// Say how far the drain is: so much time is left.
    Report(Duration),
    /// End the games that go on.
    EndGames,
}

impl Phase {
    /// A drain that begins now and takes at most so long.
    pub(super) fn drain(now: Now, timeout: Duration, lease_ttl: Duration) -> Self {
        let (report_at, closed_at) = (now + DRAIN_REPORT_PERIOD, now + lease_ttl);
        Self::Draining(Drain { until: now + timeout, report_at, placements: Placements::Open, closed_at })
    }

    /// Whether the loop waits for the store to hear of the drain.
    pub(super) const fn waits_for_store(&self) -> bool {
        matches!(self, Self::Draining(Drain { placements: Placements::Open, .. }))
    }

    /// The store has heard of the drain; from now on a scan shows all games that were placed here.
    pub(super) fn store_knows(&mut self, now: Now) {
        if let Self::Draining(drain) = self {
            drain.placements = Placements::Closed(now);
        }
    }

    /// A scan that was asked at this time has been answered and its games are being loaded.
    pub(super) fn scanned(&mut self, asked: Now) {
        if let Self::Draining(drain) = self
            && let Placements::Closed(since) = drain.placements
            && since <= asked
        {
            drain.placements = Placements::Known;
        }
    }

    /// A drain under way has no more time: another server has the slot, and with it the games.
    pub(super) const fn cut_short(&mut self, now: Now) {
        if let Self::Draining(drain) = self {
            drain.until = now;
        }
    }

    /// Goes on as far as it can.
    pub(super) fn go_on(&mut self, now: Now, left: Left) -> Task {
        match self {
            Self::Draining(drain) => {
                let final_count = drain.placements == Placements::Known || drain.closed_at <= now;
                let done = left.games == 0 && final_count;
                if done || drain.until <= now {
                    *self = Self::Flushing { until: now + FLUSH_TIMEOUT };
                    return Task::EndGames;
                }
                if drain.report_at <= now {
                    drain.report_at = now + DRAIN_REPORT_PERIOD;
                    return Task::Report(drain.until.since(now));
                }
            }
            Self::Flushing { until } if left.flushed || *until <= now => *self = Self::Over,
            Self::Serving | Self::Flushing { .. } | Self::Over => {}
        }
        Task::None
    }

    /// When it has something to do by itself.
    pub(super) fn due(&self) -> Option<Now> {
        match self {
            Self::Draining(drain) => Some(drain.until.min(drain.report_at)),
            Self::Flushing { until } => Some(*until),
            Self::Serving | Self::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now(Duration::from_millis(millis))
    }

    const TIMEOUT: Duration = Duration::from_secs(5);
    const LEASE: Duration = Duration::from_secs(2);
    const BUSY: Left = Left { games: 2, flushed: false };
    const EMPTY: Left = Left { games: 0, flushed: false };
    const ALL_TOLD: Left = Left { games: 0, flushed: true };

    #[test]
    fn a_drain_waits_for_its_games_and_reports() {
        let mut phase = Phase::drain(at(0), TIMEOUT, LEASE);
        assert_eq!(phase.due(), Some(at(2000)));
        phase.store_knows(at(10));
        phase.scanned(at(20));
        assert_eq!(phase.go_on(at(1999), BUSY), Task::None);
        assert_eq!(phase.go_on(at(2000), BUSY), Task::Report(Duration::from_secs(3)));
        assert_eq!(phase.go_on(at(2100), BUSY), Task::None);
        assert_eq!(phase.go_on(at(3000), EMPTY), Task::EndGames);
        assert_eq!(phase.go_on(at(3001), EMPTY), Task::None);
        assert_eq!(phase.go_on(at(3002), ALL_TOLD), Task::None);
        assert_eq!(phase, Phase::Over);
    }

    #[test]
    fn a_server_without_games_waits_until_none_can_come() {
        let mut phase = Phase::drain(at(0), TIMEOUT, LEASE);
        assert!(phase.waits_for_store());
        phase.scanned(at(1));
        assert_eq!(phase.go_on(at(2), EMPTY), Task::None, "the scan was asked before the store knew");
        phase.store_knows(at(5));
        assert!(!phase.waits_for_store());
        phase.scanned(at(4));
        assert_eq!(phase.go_on(at(6), EMPTY), Task::None);
        phase.scanned(at(5));
        assert_eq!(phase.go_on(at(7), EMPTY), Task::EndGames);
    }

    #[test]
    fn a_drain_that_is_cut_short_ends_its_games_at_once() {
        let mut phase = Phase::drain(at(0), TIMEOUT, LEASE);
        phase.cut_short(at(100));
        assert_eq!(phase.due(), Some(at(100)));
        assert_eq!(phase.go_on(at(100), BUSY), Task::EndGames);
        phase.cut_short(at(101));
        assert_eq!(phase.due(), Some(at(2100)), "who still has to hear of it has the time that anyone has");
    }

    #[test]
    fn neither_games_nor_a_store_that_is_away_hold_it_longer_than_their_time() {
        for (left, end) in [(BUSY, 5000), (EMPTY, 2000)] {
            let mut phase = Phase::drain(at(0), TIMEOUT, LEASE);
            assert_ne!(phase.go_on(at(end - 1), left), Task::EndGames);
            assert_eq!(phase.go_on(at(end), left), Task::EndGames);
            assert_eq!(phase.go_on(at(end + 1999), BUSY), Task::None);
            phase.go_on(at(end + 2000), BUSY);
            assert_eq!(phase, Phase::Over);
        }
    }
}

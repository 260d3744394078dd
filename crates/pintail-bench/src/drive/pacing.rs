//! When a player's next move is due, without IO.

use std::time::{Duration, Instant};

/// The golden ratio's fraction. Multiples of it, modulo 1, spread over the unit interval evenly, however many there are
/// (Kronecker's sequence). So the players' moves do, also while players come and go.
const GOLDEN_FRACTION: f64 = 0.618_033_988_749_894_9;

/// The moves of one player: one each period, at a place in it of the player's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pacing {
    next: Instant,
    period: Duration,
}

impl Pacing {
    /// The moves of the player of this number from `now` on. Periods are counted from `epoch` for all players.
    pub(crate) fn new(period: Duration, number: u32, epoch: Instant, now: Instant) -> Self {
        let period = period.max(Duration::from_nanos(1));
        let place = period.mul_f64((f64::from(number) * GOLDEN_FRACTION).fract());
        let first = epoch + place;
        let passed = now.saturating_duration_since(first).as_nanos().div_ceil(period.as_nanos());
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Self { next: first + Duration::from_nanos(passed.saturating_mul(nanos(period))), period }
    }

    /// When the next move is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The next move that should have been made by now, at the time at which it should have been.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        (due <= now).then(|| {
            self.next += self.period;
            due
        })
    }
}

fn nanos(period: Duration) -> u64 {
    u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(50);

    #[test]
    fn a_late_driver_makes_each_move_and_knows_when_it_was_due() {
        let start = Instant::now();
        let mut pacing = Pacing::new(PERIOD, 0, start, start);
        assert_eq!(pacing.due(start), Some(start));
        assert_eq!(pacing.due(start), None);
        let late = start + PERIOD * 3 + PERIOD / 2;
        let due: Vec<_> = std::iter::from_fn(|| pacing.due(late)).collect();
        assert_eq!(due, [start + PERIOD, start + PERIOD * 2, start + PERIOD * 3]);
        assert_eq!(pacing.next(), start + PERIOD * 4);
    }

    #[test]
    fn one_who_comes_later_keeps_the_place_in_the_period_and_owes_nothing() {
        let start = Instant::now();
        for number in [0, 1, 7, 1_000_000] {
            let early = Pacing::new(PERIOD, number, start, start);
            let later = start + PERIOD * 1000 + Duration::from_millis(13);
            let late = Pacing::new(PERIOD, number, start, later);
            assert!(late.next() >= later && late.next() < later + PERIOD);
            let between = late.next() - early.next();
            assert_eq!(between.as_nanos() % PERIOD.as_nanos(), 0);
        }
    }

    #[test]
    fn players_are_spread_evenly_however_many_there_are() {
        let start = Instant::now();
        for players in [10_u32, 64, 1000, 1234] {
            let mut tenths = [0_u32; 10];
            for number in 0..players {
                let place = (Pacing::new(PERIOD, number, start, start).next() - start).as_secs_f64();
                tenths[(place / PERIOD.as_secs_f64() * 10.0) as usize] += 1;
            }
            for count in tenths {
                assert!(count.abs_diff(players / 10) <= 2, "{players}: {tenths:?}");
            }
        }
    }
}

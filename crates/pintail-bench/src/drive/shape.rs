//! How the load goes over time.

use std::time::Duration;

/// How many players there are over time. The time counts from the beginning of the measured window; before it there are
/// as many as at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadShape {
    /// The same number all the time.
    Constant(u64),
    /// Evenly from one number to another, which then stays.
    Ramp {
        /// How many at first.
        from: u64,
        /// How many in the end; fewer than at first is as good.
        to: u64,
        /// How long it takes.
        over: Duration,
    },
}

impl LoadShape {
    /// How many players there should be so long after the window began.
    #[must_use]
    pub fn players_at(&self, elapsed: Duration) -> u64 {
        match *self {
            Self::Constant(players) => players,
            Self::Ramp { to, over, .. } if elapsed >= over => to,
            Self::Ramp { from, to, over } => {
                let share = elapsed.as_secs_f64() / over.as_secs_f64();
                let change = (to.abs_diff(from) as f64 * share).round() as u64;
                if to >= from { from + change } else { from - change }
            }
        }
    }

    /// The most players that there are at any time.
    #[must_use]
    pub fn largest(&self) -> u64 {
        match *self {
            Self::Constant(players) => players,
            Self::Ramp { from, to, .. } => from.max(to),
        }
    }

    /// The shape in words, where each of its players is one of these: `players`, or `workers`.
    #[must_use]
    pub fn of(&self, unit: &str) -> String {
        match self {
            Self::Constant(players) => format!("{players} {unit}"),
            Self::Ramp { from, to, over } => format!("from {from} to {to} {unit} in {} s", over.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_load_stays_and_a_ramp_goes_evenly_up_or_down_and_then_stays() {
        let second = Duration::from_secs(1);
        let up = LoadShape::Ramp { from: 100, to: 500, over: second * 4 };
        let down = LoadShape::Ramp { from: 9, to: 3, over: second * 3 };
        let at_once = LoadShape::Ramp { from: 1, to: 7, over: Duration::ZERO };
        for (shape, seconds, players) in [
            (LoadShape::Constant(7), 0.0, 7),
            (LoadShape::Constant(7), 99.0, 7),
            (up, 0.0, 100),
            (up, 1.0, 200),
            (up, 3.999, 500),
            (up, 4.0, 500),
            (up, 1e6, 500),
            (down, 0.0, 9),
            (down, 1.5, 6),
            (down, 3.0, 3),
            (at_once, 0.0, 7),
        ] {
            assert_eq!(shape.players_at(Duration::from_secs_f64(seconds)), players, "{shape:?} after {seconds} s");
        }
        assert_eq!((up.largest(), down.largest(), LoadShape::Constant(7).largest()), (500, 9, 7));
    }

    #[test]
    fn a_shape_says_itself_in_words() {
        assert_eq!(LoadShape::Constant(7).of("workers"), "7 workers");
        let ramp = LoadShape::Ramp { from: 1, to: 50, over: Duration::from_millis(2500) };
        assert_eq!(ramp.of("players"), "from 1 to 50 players in 2.5 s");
    }
}

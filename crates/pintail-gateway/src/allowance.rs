//! How much one client may ask for, without IO.
//!
//! The players of a gateway share its lobby servers and the store. Nobody who plays asks for more than these limits by
//! far; a program that does is cut off before the others notice.

use std::time::Duration;

use pintail_core::limits::{LOBBY_REQUESTS_AT_ONCE_MAX, LOBBY_REQUESTS_PER_ATTACH, LOBBY_REQUESTS_PER_SECOND_MAX};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    LobbyRequest,
    Attach,
}

impl Ask {
    const fn cost(self) -> u32 {
        match self {
            Self::LobbyRequest => 1,
            Self::Attach => LOBBY_REQUESTS_PER_ATTACH,
        }
    }
}

/// The time that one lobby request takes to be forgotten.
const REQUEST_PERIOD: Duration =
    Duration::from_secs(1).checked_div(LOBBY_REQUESTS_PER_SECOND_MAX).expect("some are allowed");

/// What one connection may still ask for: a token bucket, kept as the one moment when it is full again (the generic cell
/// rate algorithm of ATM networks).
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// When all is forgotten, by the gateway's clock.
    full_at: Duration,
}

/// The client asks for more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded;

impl Allowance {
    /// The client asks for something.
    pub(crate) fn take(&mut self, now: Duration, ask: Ask) -> Result<(), Exceeded> {
        let full_at = self.full_at.max(now) + REQUEST_PERIOD * ask.cost();
        if full_at > now + REQUEST_PERIOD * LOBBY_REQUESTS_AT_ONCE_MAX {
            return Err(Exceeded);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these a client that was quiet may ask for at this moment.
    fn at_once(allowance: &mut Allowance, now: Duration, ask: Ask) -> usize {
        std::iter::repeat_with(|| allowance.take(now, ask)).take_while(Result::is_ok).count()
    }

    #[test]
    fn a_burst_is_allowed_and_then_a_rate() {
        for (ask, burst, rate) in [(Ask::LobbyRequest, 40, 20), (Ask::Attach, 10, 5)] {
            let (mut allowance, mut now) = (Allowance::default(), Duration::from_secs(1000));
            assert_eq!(at_once(&mut allowance, now, ask), burst, "{ask:?}");
            for _ in 0..100 {
                now += Duration::from_secs(1);
                assert_eq!(at_once(&mut allowance, now, ask), rate, "{ask:?}");
            }
            now += Duration::from_secs(3600);
            assert_eq!(at_once(&mut allowance, now, ask), burst, "{ask:?}: and no more, however long it was quiet");
        }
    }

    #[test]
    fn a_client_that_comes_back_with_all_that_was_unanswered_may_play_at_once() {
        let mut allowance = Allowance::default();
        let in_flight = pintail_core::limits::LOBBY_REQUESTS_IN_FLIGHT_MAX;
        for _ in 0..=in_flight {
            allowance.take(Duration::ZERO, Ask::LobbyRequest).unwrap();
        }
        for _ in 0..4 {
            allowance.take(Duration::ZERO, Ask::Attach).unwrap();
        }
    }
}

//! When a gateway tries again to reach a server.

use std::time::Duration;

use rand::Rng;

use crate::backoff::{Backoff, BackoffPolicy};
use crate::health::LinkEnd;

/// Waits between attempts to reach a server.
const DIAL_BACKOFF: BackoffPolicy = BackoffPolicy { first: Duration::from_millis(100), max: Duration::from_secs(2) };

/// How long a link must have lived for the waits to start anew.
const LINK_LIFE_MIN: Duration = Duration::from_secs(3);

/// How long a link must have lived for a redial at once when it breaks: a server that greets and falls over, again and
/// again, is met with growing waits.
const REDIAL_LIFE_MIN: Duration = Duration::from_millis(250);

/// When a gateway tries again to reach one server.
#[derive(Debug, Clone)]
pub struct Redial {
    backoff: Backoff,
}

impl Redial {
    /// Of a server that was not dialled yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { backoff: Backoff::new(DIAL_BACKOFF) }
    }

    /// How long to wait after an attempt that failed.
    pub fn failed(&mut self, rng: &mut impl Rng) -> Duration {
        self.backoff.fail(rng)
    }

    /// How long to wait after a link that lived for so long.
    pub fn ended(&mut self, end: LinkEnd, lived: Duration, rng: &mut impl Rng) -> Duration {
        // One that ends as soon as it is open is trouble of its own.
        if lived >= LINK_LIFE_MIN {
            self.backoff.succeed();
        }
        // Whether the server's process is gone shows at once, and much depends on it.
        if end == LinkEnd::Broken && lived >= REDIAL_LIFE_MIN {
            return Duration::ZERO;
        }
        self.backoff.fail(rng)
    }
}

impl Default for Redial {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn a_link_that_breaks_is_dialled_at_once_unless_it_hardly_lived() {
        let (mut rng, mut redial) = (SmallRng::seed_from_u64(1), Redial::new());
        let mut ended = |end, lived| redial.ended(end, lived, &mut rng);
        assert!(ended(LinkEnd::Broken, LINK_LIFE_MIN).is_zero());
        assert!(ended(LinkEnd::Broken, REDIAL_LIFE_MIN).is_zero());
        assert!(!ended(LinkEnd::Broken, REDIAL_LIFE_MIN / 2).is_zero());
        assert!(!ended(LinkEnd::Goodbye, LINK_LIFE_MIN).is_zero(), "whoever said goodbye does not listen any more");
        assert!(!ended(LinkEnd::ClosedHere, LINK_LIFE_MIN).is_zero());
    }

    #[test]
    fn waits_grow_until_a_link_has_lived() {
        let (mut rng, mut redial) = (SmallRng::seed_from_u64(2), Redial::new());
        for _ in 0..10 {
            redial.failed(&mut rng);
        }
        redial.ended(LinkEnd::Goodbye, LINK_LIFE_MIN / 2, &mut rng);
        assert_eq!(redial.backoff.failures(), 11, "it hardly lived");
        redial.ended(LinkEnd::Goodbye, LINK_LIFE_MIN, &mut rng);
        assert_eq!(redial.backoff.failures(), 1);
    }
}

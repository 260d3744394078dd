//! How many file descriptors a process may have open, and how many of them are for clients.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Descriptors that no client gets: listeners, links, the store's connections, the admin port, logs, and what the
/// runtime itself needs.
const RESERVE: u64 = 64;

/// The share of the limit that is used, in percent: what is left is for whatever else the process opens.
const USED_PERCENT: u64 = 90;

/// Raises the process's limit to what the operating system lets it be, and returns it. Systems start programs with a
/// low one (often 1024) for the sake of old programs, and with a high one to raise it to.
#[must_use]
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return or_endless(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => or_endless(maximum),
        Err(error) => {
            let limit = or_endless(current);
            warn!(%error, limit, "can't raise the limit of file descriptors (ulimit -n): the server makes do with it");
            limit
        }
    }
}

/// How many clients may be connected to a process with this limit.
#[must_use]
pub fn clients_max(limit: u64) -> usize {
    let used = limit / 100 * USED_PERCENT + limit % 100 * USED_PERCENT / 100;
    usize::try_from(used.saturating_sub(RESERVE).max(1)).unwrap_or(usize::MAX)
}

/// No limit is told as `None`.
fn or_endless(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_nine_tenths_but_for_the_reserve() {
        for (limit, clients) in [(256, 166), (1024, 857), (20_000, 17_936), (64, 1), (0, 1)] {
            assert_eq!(clients_max(limit), clients, "{limit}");
        }
        assert!(clients_max(u64::MAX) > 1 << 40, "no limit is no limit");
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes_and_stays_there() {
        let raised = raise_limit();
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        assert_eq!(raise_limit(), raised);
    }
}

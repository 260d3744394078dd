//! The connections that have not said who they are.
//!
//! Clients send their login at once; who stays silent is slow or means ill. So when there are too many of them, the one
//! that has been silent longest makes room for the next, and a flood of idle connections keeps no player out. A
//! connection that has sent its login can't be crowded out any more: it waits its turn at the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// How many connections may be silent at once.
const STRANGERS_MAX: usize = 1024;

/// The silent connections of one port, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<Silent>);

#[derive(Debug, Default)]
struct Silent {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Strangers {
    /// A new connection. If there are too many, the one that has been silent longest is crowded out.
    pub(crate) fn admit(self: &Arc<Self>) -> Stranger {
        let mut silent = self.lock();
        if silent.waiting.len() >= STRANGERS_MAX
            && let Some((_, oldest)) = silent.waiting.pop_first()
        {
            oldest.cancel();
        }
        let number = silent.next;
        silent.next += 1;
        let crowded_out = CancellationToken::new();
        silent.waiting.insert(number, crowded_out.clone());
        Stranger { strangers: self.clone(), number, crowded_out }
    }

    fn lock(&self) -> MutexGuard<'_, Silent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that has not said who it is. Dropping it says that it has, or that it is over.
#[derive(Debug)]
pub(crate) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    crowded_out: CancellationToken,
}

impl Stranger {
    /// Resolves when the connection has to make room.
    pub(crate) async fn crowded_out(&self) {
        self.crowded_out.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_makes_room_and_who_has_spoken_does_not() {
        let strangers = Arc::new(Strangers::default());
        let spoken = strangers.admit();
        let spoken_token = spoken.crowded_out.clone();
        drop(spoken);
        let silent: Vec<_> = (0..STRANGERS_MAX).map(|_| strangers.admit()).collect();
        assert!(silent.iter().all(|stranger| !stranger.crowded_out.is_cancelled()));
        let newest = strangers.admit();
        assert!(silent[0].crowded_out.is_cancelled());
        assert!(!silent[1].crowded_out.is_cancelled() && !newest.crowded_out.is_cancelled());
        assert!(!spoken_token.is_cancelled());
        drop((silent, newest));
        assert!(strangers.lock().waiting.is_empty());
    }
}

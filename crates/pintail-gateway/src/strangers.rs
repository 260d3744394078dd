//! The connections that have not said who they are.
//!
//! Clients send their login at once; who stays silent is slow or means ill. So when there are too many of them, the one
//! that has been silent longest makes room for the next, and a flood of idle connections keeps no player out. But when a
//! gateway dies, thousands of its players come to another in the same moment, none of whom means ill: each has a moment
//! to speak, and the next wait in the kernel's queue meanwhile. A connection that has sent its login can't be crowded out
//! any more: it waits its turn at the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How many connections may be silent at once.
const STRANGERS_MAX: usize = 1024;

/// How long each of them has before it must make room: longer than a login takes to cross an ocean. A handshake before it, of
/// TLS or of HTTP, has as long again.
const GRACE: Duration = Duration::from_millis(300);

/// The silent connections of one port, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    silent: Mutex<Silent>,
    /// One of them has spoken, or is gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Silent {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    crowded_out: CancellationToken,
}

impl Silent {
    /// Its number: those that came later have larger ones.
    fn add(&mut self, waiting: Waiting) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, waiting);
        number
    }
}

impl Strangers {
    /// A new connection. If there are too many, the one that has been silent longest is crowded out, once it has had
    /// its time. Cancel-safe.
    pub(crate) async fn admit(self: &Arc<Self>) -> Stranger {
        loop {
            match self.try_admit(Instant::now()) {
                Ok(stranger) => return stranger,
                Err(later) => tokio::select! {
                    () = self.left.notified() => {}
                    () = sleep_until(later) => {}
                },
            }
        }
    }

    /// Admits a connection, or says when there will be room for it at the latest.
    fn try_admit(self: &Arc<Self>, now: Instant) -> Result<Stranger, Instant> {
        let mut silent = self.lock();
        if silent.waiting.len() >= STRANGERS_MAX
            && let Some(oldest) = silent.waiting.first_entry()
        {
            let until = oldest.get().since + GRACE;
            if now < until {
                return Err(until);
            }
            oldest.remove().crowded_out.cancel();
        }
        let crowded_out = CancellationToken::new();
        let number = silent.add(Waiting { since: now, crowded_out: crowded_out.clone() });
        Ok(Stranger { strangers: self.clone(), number, crowded_out })
    }

    fn lock(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// It has done what comes before the login: its time begins anew.
    pub(crate) fn came_on(&mut self) {
        let mut silent = self.strangers.lock();
        // One that is crowded out stays so.
        if let Some(waiting) = silent.waiting.remove(&self.number) {
            self.number = silent.add(Waiting { since: Instant::now(), ..waiting });
        }
    }

    /// Resolves when the connection has to make room.
    pub(crate) async fn crowded_out(&self) {
        self.crowded_out.cancelled().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.lock().waiting.remove(&self.number);
        self.strangers.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_makes_room_and_who_has_spoken_does_not() {
        let strangers = Arc::new(Strangers::default());
        let spoken = strangers.admit().await;
        let spoken_token = spoken.crowded_out.clone();
        drop(spoken);
        let mut silent = Vec::new();
        for _ in 0..STRANGERS_MAX {
            silent.push(strangers.admit().await);
        }
        let began = Instant::now();
        let newest = strangers.admit().await;
        assert_eq!(began.elapsed(), GRACE, "each has its time");
        assert!(silent[0].crowded_out.is_cancelled());
        assert!(!silent[1].crowded_out.is_cancelled() && !newest.crowded_out.is_cancelled());
        assert!(!spoken_token.is_cancelled());
        drop((silent, newest));
        assert!(strangers.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_speaks_makes_room_at_once_for_those_who_wait() {
        let strangers = Arc::new(Strangers::default());
        let mut silent = Vec::new();
        for _ in 0..STRANGERS_MAX {
            silent.push(strangers.admit().await);
        }
        let began = Instant::now();
        let (_newest, ()) = tokio::join!(strangers.admit(), async { drop(silent.pop()) });
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(silent.iter().all(|stranger| !stranger.crowded_out.is_cancelled()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_come_on_has_its_time_anew_unless_it_was_too_late() {
        let strangers = Arc::new(Strangers::default());
        let mut silent = Vec::new();
        for _ in 0..STRANGERS_MAX {
            silent.push(strangers.admit().await);
        }
        tokio::time::advance(GRACE).await;
        silent[0].came_on();
        let newest = strangers.admit().await;
        assert!(!silent[0].crowded_out.is_cancelled() && silent[1].crowded_out.is_cancelled());
        silent[1].came_on();
        assert!(silent[1].crowded_out.is_cancelled());
        drop((silent, newest));
        assert!(strangers.lock().waiting.is_empty());
    }
}

//! Whether the loop that does a server's work still comes round.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::membership::{Pulse, Renewer};

/// In how many looks a loop must be found where it was to count as stuck.
const LOOKS: u32 = 8;

/// A loop's pulse: the loop beats, whoever has a clone can look.
///
/// Looking is counted, not timed: a process that was held up as a whole (SIGSTOP, a frozen machine) has not looked
/// either, so when it goes on its loop is not taken for stuck before it had its turn.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    rounds: AtomicU64,
    stuck: AtomicBool,
    /// Of whoever watches.
    renewer: OnceLock<Renewer>,
}

impl Beat {
    /// The loop has come round. To be called at least as often as links say that they are alive. A loop that was stuck has
    /// the lease renewed at once.
    pub fn beat(&self) {
        self.shared.rounds.fetch_add(1, Ordering::Relaxed);
        if self.shared.stuck.load(Ordering::Relaxed) {
            info!("the loop that does this server's work goes on");
            self.shared.tell(Pulse::Steady);
        }
    }

    /// Whether the loop is alive, as was last seen.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        if self.shared.stuck.load(Ordering::Relaxed) { Pulse::Stuck } else { Pulse::Steady }
    }

    /// Resolves once the loop has not come round for `patience`.
    pub async fn stuck(&self, patience: Duration) {
        let mut looks = Looks::default();
        loop {
            sleep(patience / LOOKS).await;
            if looks.look(self.shared.rounds.load(Ordering::Relaxed)) == Pulse::Stuck {
                return;
            }
        }
    }

    /// Looks until it is dropped: a loop that has not come round for `patience` is stuck, of which the registry is told at
    /// once.
    pub fn watch(&self, patience: Duration, renewer: Renewer) -> AbortOnDropHandle<()> {
        let shared = self.shared.clone();
        shared.renewer.get_or_init(|| renewer);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut looks = Looks::default();
            loop {
                sleep(patience / LOOKS).await;
                let seen = looks.look(shared.rounds.load(Ordering::Relaxed));
                if seen == Pulse::Stuck && !shared.stuck.load(Ordering::Relaxed) {
                    warn!(patience_ms = patience.as_millis(), "the loop that does this server's work is stuck");
                    shared.tell(Pulse::Stuck);
                }
            }
        }))
    }
}

impl Shared {
    fn tell(&self, pulse: Pulse) {
        // Before the renewal is asked for, which asks for the pulse.
        self.stuck.store(pulse == Pulse::Stuck, Ordering::Release);
        if let Some(renewer) = self.renewer.get() {
            renewer.renew_now();
        }
    }
}

/// What was seen of a loop.
#[derive(Debug, Default)]
struct Looks {
    rounds: u64,
    /// How many looks in a row have found it there.
    unchanged: u32,
}

impl Looks {
    fn look(&mut self, rounds: u64) -> Pulse {
        self.unchanged = if self.rounds == rounds { self.unchanged.saturating_add(1) } else { 0 };
        self.rounds = rounds;
        if self.unchanged >= LOOKS { Pulse::Stuck } else { Pulse::Steady }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_once_it_is_found_in_one_place_often_enough() {
        let mut looks = Looks::default();
        let found: Vec<_> = [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3].map(|rounds| looks.look(rounds)).into();
        let (steady, stuck) = found.split_at(9);
        assert!(steady.iter().all(|pulse| *pulse == Pulse::Steady), "{steady:?}");
        assert_eq!(stuck, [Pulse::Stuck, Pulse::Stuck, Pulse::Steady]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_steady_again_with_its_first_beat() {
        let beat = Beat::default();
        let patience = Duration::from_millis(800);
        let _watch = beat.watch(patience, Renewer::default());
        for _ in 0..100 {
            beat.beat();
            sleep(patience / 4).await;
            assert_eq!(beat.pulse(), Pulse::Steady);
        }
        sleep(patience * 5 / 4).await;
        assert_eq!(beat.pulse(), Pulse::Stuck);
        beat.beat();
        assert_eq!(beat.pulse(), Pulse::Steady);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_loop_to_be_stuck_waits_for_a_whole_silence() {
        let (beat, patience) = (Beat::default(), Duration::from_millis(800));
        let began = tokio::time::Instant::now();
        let beats = async {
            for _ in 0..100 {
                beat.beat();
                sleep(patience * 3 / 4).await;
            }
        };
        tokio::join!(beats, beat.stuck(patience));
        let silence = began.elapsed() - patience * 3 / 4 * 99;
        assert!((patience..=patience * 5 / 4).contains(&silence), "{silence:?}");
    }
}

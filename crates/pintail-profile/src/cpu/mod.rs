//! A CPU profile of this process.
//!
//! A timer of the operating system that counts the CPU time of all threads interrupts whichever runs; the interruption
//! notes the thread's stack. Names are found when the recording is over.

mod memory;
mod resolve;
mod signal;
mod walk;

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;

use crate::{Profile, Sample};
use resolve::Resolver;
use signal::Stack;

/// How often a stack is noted for each second of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frequency(u32);

impl Frequency {
    /// The most: more often, the profile would show itself. The kernel looks at the timer with its own clock's ticks, of
    /// which there are 100 to 1000 a second, so that is the most that comes.
    pub const MAX: Self = Self(1000);

    /// So many a second, at least 1 and at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        Self(count.clamp(1, Self::MAX.0))
    }

    fn period(self) -> Duration {
        Duration::from_secs(1) / self.0
    }
}

impl Default for Frequency {
    /// 99 a second: not in step with what a program does each 10 ms.
    fn default() -> Self {
        Self(99)
    }
}

/// Why nothing can be recorded.
#[derive(Debug, Error)]
pub enum CantRecord {
    /// Someone records already.
    #[error("a CPU profile of this process is being recorded already: try again when it is done")]
    Busy,
    /// The program uses the signal for something else.
    #[error("this program handles SIGPROF itself, which profiles need: profile it with `perf record -g` instead")]
    SignalInUse,
    /// The operating system refuses.
    #[error("the operating system lets no CPU profile be recorded ({0}): profile with `perf record -g` instead")]
    System(#[from] io::Error),
    /// There is no code for this machine.
    #[error("CPU profiles are recorded on Linux on x86-64 and AArch64 only: profile with `perf record -g` instead")]
    NotHere,
}

/// A profile that is being recorded; there is one at a time in a process. Dropping it ends it.
#[derive(Debug)]
pub struct Recording {
    began: (SystemTime, Instant),
    frequency: Frequency,
    session: signal::Session,
}

impl Recording {
    /// Starts to record all threads of this process.
    ///
    /// # Errors
    /// If another recording is under way, or it can't be done here.
    pub fn start(frequency: Frequency) -> Result<Self, CantRecord> {
        let session = signal::Session::start(frequency.period())?;
        Ok(Self { began: (SystemTime::now(), Instant::now()), frequency, session })
    }

    /// Ends it and finds the names of what was seen, which takes up to some seconds of CPU time and, until it is done, some
    /// 150 MB of memory: call it where it holds nobody up.
    #[must_use]
    pub fn finish(self) -> Profile {
        let Self { began: (began, instant), frequency, session } = self;
        let duration = instant.elapsed();
        let noted = session.finish();
        let (period, lost) = (frequency.period(), noted.lost);
        let samples = samples(noted.stacks);
        memory::give_back();
        Profile { began, duration, period, samples, lost }
    }
}

/// Counts equal stacks of a thread as one, and names what is on them.
fn samples(stacks: Vec<Stack>) -> Vec<Sample> {
    let mut counts: BTreeMap<Stack, u64> = BTreeMap::new();
    for stack in stacks {
        *counts.entry(stack).or_default() += 1;
    }
    let mut resolver = Resolver::default();
    counts
        .into_iter()
        .map(|(stack, count)| Sample {
            thread: resolver.thread(stack.thread),
            stack: stack.addresses.iter().map(|&address| resolver.location(address)).collect(),
            count,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;

    /// There is one recording at a time, and tests run side by side.
    static TURN: Mutex<()> = Mutex::new(());

    #[inline(never)]
    fn spin_like_a_game(stop: &AtomicBool) -> u64 {
        let mut sum: u64 = 1;
        while !stop.load(Ordering::Relaxed) {
            for number in 0..1000 {
                sum = black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number));
            }
        }
        sum
    }

    #[inline(never)]
    fn allocate_like_a_lobby(stop: &AtomicBool) -> usize {
        let mut bytes = 0;
        while !stop.load(Ordering::Relaxed) {
            let texts: Vec<String> = (0..100).map(|number| black_box(number).to_string()).collect();
            bytes += black_box(texts).len();
        }
        bytes
    }

    /// Records while threads compute and allocate, until it has this many samples.
    fn record(samples_min: u64) -> Profile {
        let stop = Arc::new(AtomicBool::new(false));
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let (first, second) = (stop.clone(), stop.clone());
        let game = named("game").spawn(move || spin_like_a_game(&first)).unwrap();
        let lobby = named("lobby").spawn(move || allocate_like_a_lobby(&second)).unwrap();
        let recording = Recording::start(Frequency::default()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while signal::noted_so_far() < samples_min {
            assert!(Instant::now() < deadline, "only {} samples", signal::noted_so_far());
            thread::sleep(Duration::from_millis(10));
        }
        let profile = recording.finish();
        stop.store(true, Ordering::Relaxed);
        game.join().unwrap();
        lobby.join().unwrap();
        profile
    }

    #[test]
    fn what_uses_the_cpu_is_seen_on_its_thread_with_its_callers() {
        let _turn = TURN.lock().unwrap();
        let profile = record(50);
        assert_eq!(profile.lost, 0);
        assert!(profile.count() >= 50);
        let on = |thread: &str, function: &str| {
            let has = |sample: &&Sample| {
                let mut lines = sample.stack.iter().flat_map(|location| &location.lines);
                sample.thread == thread && lines.any(|line| line.function.contains(function))
            };
            profile.samples.iter().filter(has).map(|sample| sample.count).sum::<u64>()
        };
        assert!(on("game", "spin_like_a_game") > 0, "{profile:#?}");
        assert_eq!(on("lobby", "spin_like_a_game"), 0);
        assert!(on("lobby", "") > 0);
        let leaf = |sample: &Sample| sample.stack[0].lines.iter().any(|line| line.function.contains("spin_like"));
        assert!(profile.samples.iter().any(leaf), "the function that runs stands first: {profile:#?}");
    }

    #[test]
    fn there_is_one_at_a_time_and_one_that_is_dropped_makes_room() {
        let _turn = TURN.lock().unwrap();
        let first = Recording::start(Frequency::default()).unwrap();
        assert!(matches!(Recording::start(Frequency::default()), Err(CantRecord::Busy)));
        drop(first);
        let second = Recording::start(Frequency::per_second(0)).unwrap();
        assert_eq!(second.finish().period, Duration::from_secs(1), "at least one a second");
    }

    #[test]
    fn one_recording_knows_nothing_of_the_one_before() {
        let _turn = TURN.lock().unwrap();
        let before = record(20);
        let mut nothing = Recording::start(Frequency::default()).unwrap().finish();
        nothing.samples.retain(|sample| sample.thread == "game");
        assert!(before.count() >= 20);
        assert_eq!(nothing.samples, []);
    }
}

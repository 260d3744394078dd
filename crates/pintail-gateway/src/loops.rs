//! The threads that carry the connections.
//!
//! Each has a runtime of its own and keeps what it was given, so a connection is read, decided on and written by one
//! thread, without a lock that another holds for long and without the wake-ups of a pool that shares work out. Clients
//! are dealt out in turn; the links and whoever watches the servers stay together on the first, so that a gateway
//! that is late with one is late with the other, and blames nobody else for it. The idea is that of Pingora's runtime
//! without stealing.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use pintail_net::cpu::ThreadCpu;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

/// How often a thread says how much of its core it uses: several times in the window over which it is averaged.
pub(crate) const MEASURE_PERIOD: Duration = Duration::from_millis(250);

/// How long threads may take to end. What they do by then is a matter of milliseconds, unless one is stuck.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The threads' runtimes.
#[derive(Debug)]
pub(crate) struct Loops {
    handles: Vec<Handle>,
    next: AtomicUsize,
    /// How much of a core each thread uses.
    shares: Vec<Arc<Share>>,
}

/// A share of a core, in thousandths.
#[derive(Debug, Default)]
struct Share(AtomicU32);

impl Loops {
    /// No threads: the connections are served by the runtime that this is called on.
    pub(crate) fn here() -> Self {
        Self { handles: vec![Handle::current()], next: AtomicUsize::new(0), shares: Vec::new() }
    }

    /// Starts so many threads.
    ///
    /// # Errors
    /// If the operating system has no thread to give.
    pub(crate) fn start(count: NonZeroUsize) -> io::Result<(Self, Threads)> {
        let stop = CancellationToken::new();
        let (running, ended) = mpsc::channel(1);
        let mut threads = Threads { stop: stop.clone().drop_guard(), ended, threads: Vec::new() };
        let mut loops = Self { handles: Vec::new(), next: AtomicUsize::new(0), shares: Vec::new() };
        for _ in 0..count.get() {
            let share = Arc::new(Share::default());
            let (handle, thread) = start_one(stop.clone(), share.clone(), running.clone())?;
            loops.handles.push(handle);
            loops.shares.push(share);
            threads.threads.push(thread);
        }
        Ok((loops, threads))
    }

    /// Where the links are.
    pub(crate) fn first(&self) -> &Handle {
        &self.handles[0]
    }

    /// Where the next client goes.
    pub(crate) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }

    /// Resolves when each of them has come round once.
    pub(crate) async fn come_round(&self) {
        // All are asked before one is waited for: how late they are must not add up.
        let rounds: Vec<_> = self.handles.iter().map(|handle| handle.spawn(async {})).collect();
        for round in rounds {
            // One that has ended has nothing to be late with.
            let _ = round.await;
        }
    }

    /// The share of its core that the busiest thread uses, from 0.0 to 1.0; `None` without threads. The first has the links
    /// of all players, so it can be at its limit while most of the machine's cores have nothing to do.
    pub(crate) fn busiest(&self) -> Option<f64> {
        let most = self.shares.iter().map(|share| share.0.load(Ordering::Relaxed)).max()?;
        Some(f64::from(most) / 1000.0)
    }
}

/// The owner of the threads. They end when it is dropped, and what still runs on them is dropped then.
#[derive(Debug)]
pub(crate) struct Threads {
    stop: DropGuard,
    /// Closed when all threads have dropped what ran on them.
    ended: mpsc::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Ends the threads, and waits until they have.
    pub(crate) async fn join(mut self) {
        drop(self.stop);
        if timeout(END_TIMEOUT, self.ended.recv()).await.is_err() {
            return warn!("a thread that carries connections is stuck, and is left behind");
        }
        // A thread that has panicked is over, too.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn start_one(
    stop: CancellationToken,
    share: Arc<Share>,
    running: mpsc::Sender<()>,
) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = measure(&share) => {}
            }
        });
        // What still runs on it goes first.
        drop(runtime);
        drop(running);
    };
    let thread = std::thread::Builder::new().name("pintail-clients".to_owned()).spawn(body)?;
    Ok((handle, thread))
}

/// Says how much of a core the calling thread uses, for as long as it is asked.
async fn measure(share: &Share) {
    let mut cpu = ThreadCpu::new();
    loop {
        sleep(MEASURE_PERIOD).await;
        if let Some(used) = cpu.share() {
            share.0.store((used * 1000.0) as u32, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use super::*;

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn nothing_runs_on_threads_that_were_joined() {
        let (loops, threads) = Loops::start(TWO).unwrap();
        let held = Arc::new(());
        for _ in 0..4 {
            let held = held.clone();
            loops.next().spawn(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
        }
        timeout(PATIENCE, threads.join()).await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        timeout(PATIENCE, loops.come_round()).await.unwrap();
    }

    #[tokio::test]
    async fn the_loops_come_round_only_if_each_of_them_does() {
        let (loops, threads) = Loops::start(TWO).unwrap();
        timeout(PATIENCE, loops.come_round()).await.unwrap();
        let (release, released) = blocking::channel::<()>();
        let (stuck, is_stuck) = blocking::channel();
        loops.handles[1].spawn(async move {
            stuck.send(()).unwrap();
            let _ = released.recv();
        });
        is_stuck.recv().unwrap();
        let mut round = std::pin::pin!(loops.come_round());
        assert!(timeout(Duration::from_millis(50), &mut round).await.is_err());
        drop(release);
        timeout(PATIENCE, round).await.unwrap();
        threads.join().await;
    }

    #[tokio::test]
    async fn one_busy_thread_shows_whatever_the_others_do() {
        let (loops, threads) = Loops::start(TWO).unwrap();
        let stop = CancellationToken::new();
        let works = stop.clone();
        loops.handles[0].spawn(async move {
            while !works.is_cancelled() {
                for _ in 0..10_000 {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        });
        let shows = async {
            while loops.busiest().is_none_or(|share| share == 0.0) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, shows).await.unwrap();
        assert!(loops.shares[1].0.load(Ordering::Relaxed) < loops.shares[0].0.load(Ordering::Relaxed));
        stop.cancel();
        threads.join().await;
        assert_eq!(Loops::here().busiest(), None);
    }
}

//! How much of the CPU this thread or process uses.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Two readings closer together say nothing: the kernel counts CPU time in ticks of up to 10 ms on some machines.
const SPAN_MIN: Duration = Duration::from_millis(20);

/// Measures the CPU time of the thread that made it, as a share of one core. It stays on that thread.
#[derive(Debug)]
pub struct ThreadCpu {
    meter: Meter,
    /// The clock is that of whichever thread reads it.
    _on_its_thread: PhantomData<*const ()>,
}

impl ThreadCpu {
    /// Starts to measure the calling thread.
    #[must_use]
    pub fn new() -> Self {
        Self { meter: Meter::start(ClockId::ThreadCPUTime, 1), _on_its_thread: PhantomData }
    }

    /// The share of one core that the thread used since the last answer, from 0.0 to 1.0; `None` if it was asked just now.
    pub fn share(&mut self) -> Option<f64> {
        self.meter.share()
    }
}

impl Default for ThreadCpu {
    fn default() -> Self {
        Self::new()
    }
}

/// Measures the CPU time of the process, as a share of what it can use at once.
#[derive(Debug)]
pub struct ProcessCpu {
    meter: Meter,
}

impl ProcessCpu {
    /// Starts to measure this process.
    #[must_use]
    pub fn new() -> Self {
        // As many cores as the scheduler and the control group leave to the process; one if they don't say.
        let cores =
            std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
        Self { meter: Meter::start(ClockId::ProcessCPUTime, cores) }
    }

    /// The share of its cores that the process used since the last answer, from 0.0 to 1.0; `None` if it was asked just now.
    pub fn share(&mut self) -> Option<f64> {
        self.meter.share()
    }
}

impl Default for ProcessCpu {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug)]
struct Meter {
    clock: ClockId,
    cores: u32,
    /// The last reading: CPU time, and when it was taken.
    last: (Duration, Instant),
}

impl Meter {
    fn start(clock: ClockId, cores: u32) -> Self {
        Self { clock, cores, last: (cpu_time(clock), Instant::now()) }
    }

    fn share(&mut self) -> Option<f64> {
        let now = Instant::now();
        let span = now.duration_since(self.last.1);
        if span < SPAN_MIN {
            return None;
        }
        let used = cpu_time(self.clock);
        let share = used.saturating_sub(self.last.0).as_secs_f64() / span.as_secs_f64() / f64::from(self.cores);
        self.last = (used, now);
        // The two clocks are read one after the other.
        Some(share.min(1.0))
    }
}

fn cpu_time(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::from_secs(u64::try_from(tv_sec).unwrap_or(0)) + Duration::from_nanos(u64::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work_for(cpu: Duration) {
        let until = cpu_time(ClockId::ThreadCPUTime) + cpu;
        while cpu_time(ClockId::ThreadCPUTime) < until {
            std::hint::spin_loop();
        }
    }

    /// By their own clocks and not by how busy the machine is: a thread that got half a core has used half of it.
    #[test]
    fn a_busy_thread_counts_for_itself_and_for_its_process() {
        let (mut thread, mut process) = (ThreadCpu::new(), ProcessCpu::new());
        assert_eq!(thread.share(), None, "it was asked just now");
        let began = Instant::now();
        work_for(Duration::from_millis(200));
        let (own, all) = (thread.share().unwrap(), process.share().unwrap());
        let expected = (0.2 / began.elapsed().as_secs_f64()).min(1.0);
        assert!((own - expected).abs() < 0.1, "{own} where {expected} is expected");
        let cores = std::thread::available_parallelism().unwrap().get() as f64;
        assert!(all >= own / cores - 0.1 && all <= 1.0, "{all} of the process, {own} of the thread");
    }

    #[test]
    fn a_thread_that_waits_uses_nothing() {
        let mut thread = ThreadCpu::new();
        std::thread::sleep(Duration::from_millis(200));
        let share = thread.share().unwrap();
        assert!(share < 0.2, "{share}");
    }
}

//! What each process of a test cost.

use std::time::Instant;

use super::Vitals;
use crate::meter::Meter;
use crate::report::{ProcessSample, ProcessUse};

/// A process that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// What the report calls it: `gateway`, `game 2`, `redis`, `trivial`.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// Whether its CPU time is part of what a message costs: so it is for Pintail's servers, and not for Redis.
    pub counts: Counts,
}

/// Whether a process's CPU time is part of what a message costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// It is one of the servers.
    AsServer,
    /// It is named apart.
    Apart,
}

/// Measures processes by `/proc`: those of the cluster, and this one, which makes the load.
#[derive(Debug)]
pub struct ProcessMeter {
    servers: Vec<Gauge>,
    load: Gauge,
}

impl ProcessMeter {
    /// Measures these processes and this one.
    #[must_use]
    pub fn new(servers: Vec<Watched>) -> Self {
        let load = Watched { name: "load".to_owned(), pid: std::process::id(), counts: Counts::Apart };
        Self { servers: servers.into_iter().map(Gauge::new).collect(), load: Gauge::new(load) }
    }
}

impl Meter for ProcessMeter {
    fn begin(&mut self) {
        self.servers.iter_mut().for_each(Gauge::begin);
        self.load.begin();
    }

    fn sample(&mut self) -> (Vec<ProcessSample>, ProcessSample) {
        (self.servers.iter_mut().map(Gauge::sample).collect(), self.load.sample())
    }

    fn end(&mut self) -> (Vec<ProcessUse>, ProcessUse) {
        (self.servers.iter_mut().map(Gauge::end).collect(), self.load.end())
    }
}

/// One process and what it had used at the moments that count.
#[derive(Debug)]
struct Gauge {
    process: Watched,
    /// At the window's beginning.
    first: Vitals,
    /// At the last look, and when that was. What a process that has died had used stays.
    last: (Vitals, Instant),
}

impl Gauge {
    fn new(process: Watched) -> Self {
        let now = Vitals::of(process.pid).unwrap_or_default();
        Self { process, first: now, last: (now, Instant::now()) }
    }

    /// Looks at the process, and returns what it had used at the look before.
    fn look(&mut self) -> (Vitals, Instant) {
        let now = match Vitals::of(self.process.pid) {
            Some(now) => now,
            None => Vitals { resident_bytes: 0, ..self.last.0 },
        };
        std::mem::replace(&mut self.last, (now, Instant::now()))
    }

    fn begin(&mut self) {
        self.look();
        self.first = self.last.0;
    }

    fn sample(&mut self) -> ProcessSample {
        let (before, then) = self.look();
        let (now, at) = self.last;
        let seconds = at.duration_since(then).as_secs_f64();
        let used = now.cpu.since(before.cpu).total().as_secs_f64();
        let cpu = if seconds > 0.0 { used / seconds } else { 0.0 };
        ProcessSample { cpu, memory: now.resident_bytes }
    }

    fn end(&mut self) -> ProcessUse {
        self.look();
        let (now, _) = self.last;
        let used = now.cpu.since(self.first.cpu);
        ProcessUse {
            name: self.process.name.clone(),
            user_seconds: used.user.as_secs_f64(),
            system_seconds: used.system.as_secs_f64(),
            memory_before: self.first.resident_bytes,
            memory_after: now.resident_bytes,
            is_server: self.process.counts == Counts::AsServer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// A process that is killed when it is dropped.
    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// Works until this process has used so much CPU time since `begin`, or a minute has passed.
    fn work_until(meter: &mut ProcessMeter, seconds: f64) -> ProcessUse {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            (0..100_000_u64).for_each(|number| {
                std::hint::black_box(number * number);
            });
            let used = meter.load.end();
            if used.user_seconds + used.system_seconds >= seconds {
                return used;
            }
            assert!(Instant::now() < deadline, "no CPU time is counted");
        }
    }

    #[test]
    fn the_load_is_this_process_and_only_the_window_counts() {
        let mut meter = ProcessMeter::new(Vec::new());
        meter.begin();
        work_until(&mut meter, 0.1);
        let (servers, sample) = meter.sample();
        assert!(servers.is_empty() && sample.memory > 0);
        meter.begin();
        let used = meter.end().1;
        assert!(used.user_seconds + used.system_seconds < 0.1, "{used:?}");
        assert_eq!((used.name.as_str(), used.is_server), ("load", false));
    }

    #[test]
    fn what_a_process_had_used_stays_when_it_dies() {
        // A shell that counts without end: it works all the time, and mostly by itself.
        let child = Command::new("sh").args(["-c", "while :; do :; done"]).stdout(Stdio::null()).spawn().unwrap();
        let child = Killed(child);
        let process = Watched { name: "game".to_owned(), pid: child.0.id(), counts: Counts::AsServer };
        let mut meter = ProcessMeter::new(vec![process]);
        meter.begin();
        let deadline = Instant::now() + Duration::from_secs(60);
        let before = loop {
            let used = meter.end().0.remove(0);
            if used.user_seconds >= 0.05 {
                break used;
            }
            assert!(Instant::now() < deadline, "no CPU time is counted: {used:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(child);
        let used = meter.end().0.remove(0);
        assert!(used.memory_before > 0 && used.memory_after == 0 && used.is_server, "{used:?}");
        assert!(used.user_seconds >= before.user_seconds, "{used:?} after {before:?}");
        assert_eq!(meter.sample().0[0].cpu, 0.0);
    }
}

//! Where a running server spends its CPU time, as a pprof file or as a flame graph.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`cpu`] | samples the stacks of all threads of this process while they use the CPU |
//! | [`pprof`] | writes a profile as `go tool pprof` and others read it |
//! | [`flame`] | draws it as one self-contained SVG |
//! | [`heap`] | says what holds memory, in programs that are built for it |
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use pintail_profile::cpu::{Frequency, Recording};
//!
//! let recording = Recording::start(Frequency::default())?;
//! std::thread::sleep(Duration::from_secs(10));
//! let profile = recording.finish();
//! std::fs::write("cpu.pb.gz", pintail_profile::pprof::encode(&profile)).expect("the disk has room");
//! # Ok::<(), pintail_profile::cpu::CantRecord>(())
//! ```

pub mod cpu;
pub mod flame;
pub mod heap;
pub mod pprof;

use std::time::{Duration, SystemTime};

/// Stacks, and how often each was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// How much CPU time one sample stands for.
    pub period: Duration,
    /// Each stack of each thread once.
    pub samples: Vec<Sample>,
    /// How many samples found no room.
    pub lost: u64,
}

impl Profile {
    /// How many samples there are, those without room apart.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.samples.iter().map(|sample| sample.count).sum()
    }
}

/// A stack of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The thread's name.
    pub thread: String,
    /// From the function that ran, to the one that everything began with.
    pub stack: Vec<Location>,
    /// How often it was seen.
    pub count: u64,
}

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Its address in this process.
    pub address: u64,
    /// The functions there: where one was inlined into another, the inner one first. Never empty.
    pub lines: Vec<Line>,
}

/// A line of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line {
    /// The function, or its address if it has no name.
    pub function: String,
    /// Its file; empty if nothing says.
    pub file: String,
    /// The line in the file; 0 if nothing says.
    pub line: u32,
}

//! Measures hot paths: small fixed workloads that benches of this workspace define, in time and in instructions.
//!
//! A bench gives its paths to [`main`], and has two modes:
//!
//! ```text
//! cargo bench -p pintail-wire --bench hot_paths                     time, by Criterion
//! cargo bench -p pintail-wire --bench hot_paths -- instructions     instructions, by valgrind, compared with those kept in
//!                                                                   the crate's benches/instructions.txt
//! ```
//!
//! `scripts/instructions` does the second for every crate that has such a bench.
//!
//! | module | what it holds |
//! | --- | --- |
//! | the root | what a path is; which mode is asked for |
//! | [`counts`] | counts of instructions: how they are kept, and what a change of them is |
//! | [`valgrind`] | how they are counted |

pub mod counts;
pub mod valgrind;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use counts::{Comparison, Counts, TOLERANCE_PERCENT};
use criterion::Criterion;

/// One run of a path.
pub type Run = Box<dyn FnMut()>;

/// Where a crate keeps its counts. Cargo runs a bench in the folder of its crate.
const COUNTS_FILE: &str = "benches/instructions.txt";

/// A path to be measured. It must not need more memory with each run, nor wait for anything.
#[derive(Clone, Copy)]
pub struct Path {
    /// The crate whose code it is, and what is done; such as `wire/frame-encode`.
    pub name: &'static str,
    prepare: fn() -> Run,
}

impl Path {
    /// A path that `prepare` sets up; what it gives does the work once each time.
    #[must_use]
    pub const fn new(name: &'static str, prepare: fn() -> Run) -> Self {
        Self { name, prepare }
    }

    /// Runs it so many times.
    pub fn run(&self, times: u64) {
        let mut run = (self.prepare)();
        (0..times).for_each(|_| run());
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.name).finish()
    }
}

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Counts the instructions of each path, and fails if a count has moved.
    Instructions {
        /// Keep what was counted.
        #[arg(long)]
        update: bool,
        /// Where counts are kept.
        #[arg(long, default_value = COUNTS_FILE)]
        file: PathBuf,
        /// What cargo says to every bench.
        #[arg(long, hide = true)]
        bench: bool,
    },
    /// Runs one path so many times: what valgrind looks at.
    Run {
        /// The path.
        path: String,
        /// How many times.
        times: u64,
    },
}

/// The whole of a bench: measures these paths in the mode that the program's arguments ask for.
///
/// The exit code is 1 if a count has moved, and 2 if nothing could be counted.
#[must_use]
pub fn main(paths: &[Path]) -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    if !["instructions", "run"].contains(&mode.as_str()) {
        measure_time(paths);
        return ExitCode::SUCCESS;
    }
    let done = match Arguments::parse().mode {
        Mode::Instructions { update, file, .. } => compare(paths, &file, update),
        Mode::Run { path, times } => run(paths, &path, times),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("{problem}");
        ExitCode::from(2)
    })
}

fn measure_time(paths: &[Path]) {
    let mut criterion = Criterion::default().configure_from_args();
    for path in paths {
        criterion.bench_function(path.name, |bencher| {
            let mut run = (path.prepare)();
            bencher.iter(&mut run);
        });
    }
    criterion.final_summary();
}

fn run(paths: &[Path], name: &str, times: u64) -> Result<ExitCode, String> {
    let names = || paths.iter().map(|path| path.name).collect::<Vec<_>>().join(", ");
    let path = paths.iter().find(|path| path.name == name);
    path.ok_or_else(|| format!("there is no path {name}; there are {}", names()))?.run(times);
    Ok(ExitCode::SUCCESS)
}

fn compare(paths: &[Path], file: &FilePath, update: bool) -> Result<ExitCode, String> {
    let kept = match std::fs::read_to_string(file) {
        Ok(text) => Counts::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?,
        Err(_) if update => Counts::default(),
        Err(error) => {
            return Err(format!(
                "{} can't be read ({error}): write it with scripts/instructions --update",
                file.display()
            ));
        }
    };
    let mut now = BTreeMap::new();
    for path in paths {
        now.insert(path.name.to_owned(), valgrind::count(path).map_err(|error| error.to_string())?);
    }
    let now = Counts(now);
    let comparison = Comparison::new(&kept, &now);
    print!("{comparison}");
    if update {
        std::fs::write(file, now.to_string()).map_err(|error| format!("{}: {error}", file.display()))?;
    } else if !comparison.is_same() {
        println!(
            "A count has moved by more than {TOLERANCE_PERCENT} %. If it is meant to: scripts/instructions --update"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

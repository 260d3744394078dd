//! Runs many seeds, and says what happened in them.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use pintail_sim::scenario::Scenario;
use pintail_sim::tally::Tally;

/// A deterministic simulation of Pintail's protocol.
#[derive(Debug, Parser)]
#[command(name = "pintail-sim")]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Stop after so many minutes, however many seeds are left.
    #[arg(long)]
    minutes: Option<u64>,
    /// One kind of run only; without it, all of them in turn.
    #[arg(long)]
    scenario: Option<Scenario>,
    /// How many threads. [default: as many as there are cores]
    #[arg(long)]
    threads: Option<usize>,
    /// How many failing seeds are told in full.
    #[arg(long, default_value_t = 3)]
    show: usize,
    /// How many lines of its trace a failing seed shows.
    #[arg(long, default_value_t = pintail_sim::trace::TAIL)]
    lines: usize,
    /// Switch one protection off, to see whether the invariants notice.
    #[cfg(feature = "sabotage")]
    #[arg(long)]
    sabotage: Option<pintail_core::sabotage::Sabotage>,
}

/// What all threads share.
#[derive(Debug, Default)]
struct Progress {
    next: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    tally: Tally,
    failed: Vec<(u64, Scenario, &'static str)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let progress = Progress::default();
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.unwrap_or(cores) {
            scope.spawn(|| work(&arguments, &progress, began));
        }
    });
    let found = progress.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tell(&arguments, found, began.elapsed())
}

fn work(arguments: &Arguments, progress: &Progress, began: Instant) {
    #[cfg(feature = "sabotage")]
    pintail_core::sabotage::switch(arguments.sabotage);
    let most = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    loop {
        let number = progress.next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds || most.is_some_and(|most| began.elapsed() > most) {
            return;
        }
        let seed = arguments.from + number;
        let scenario = arguments.scenario.unwrap_or(Scenario::ALL[(seed % Scenario::ALL.len() as u64) as usize]);
        let outcome = pintail_sim::run(seed, scenario);
        let mut found = progress.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.tally += outcome.tally;
        if let Some(violation) = outcome.violation {
            found.failed.push((seed, scenario, violation.invariant));
            let is_shown = found.failed.len() <= arguments.show;
            drop(found);
            if is_shown {
                print!("{}", pintail_sim::report(seed, scenario, arguments.lines));
            }
        }
        if (number + 1).is_multiple_of(1000) {
            println!("{} seeds, {:.0} a second", number + 1, (number + 1) as f64 / began.elapsed().as_secs_f64());
        }
    }
}

fn tell(arguments: &Arguments, mut found: Found, took: Duration) -> ExitCode {
    found.failed.sort_unstable_by_key(|(seed, ..)| *seed);
    for (seed, scenario, invariant) in found.failed.iter().take(40) {
        println!("seed {seed} ({scenario}): {invariant}");
    }
    print!("{}", found.tally);
    let rate = found.tally.seeds as f64 / took.as_secs_f64();
    println!("{:.1} s, {rate:.0} seeds a second, from seed {}", took.as_secs_f64(), arguments.from);
    if found.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

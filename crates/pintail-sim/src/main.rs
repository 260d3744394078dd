//! Runs many seeds, and says what happened in them.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use pintail_sim::scale::figures::{CallsTable, FateTable};
use pintail_sim::scale::story::Story;
use pintail_sim::scale::{self, Size};
use pintail_sim::scenario::Scenario;
use pintail_sim::tally::Tally;

/// A deterministic simulation of Pintail's protocol.
#[derive(Debug, Parser)]
#[command(name = "pintail-sim", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
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

/// What else can be simulated.
#[derive(Debug, Subcommand)]
enum Other {
    /// A cluster of many servers: how it finds its dead and places its games, and what that asks of the store.
    Scale(ScaleArguments),
}

/// Which clusters, and what happens to them.
#[derive(Debug, Args)]
struct ScaleArguments {
    /// How many game servers; a gateway for each ten comes with them. Several: --games 10,100,1000
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    games: Vec<usize>,
    /// What happens; without it, everything in turn.
    #[arg(long)]
    story: Option<Story>,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How many violations of a run are told.
const VIOLATIONS_SHOWN: usize = 10;

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
    if let Some(Other::Scale(arguments)) = &arguments.other {
        return run_scale(arguments);
    }
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

fn run_scale(arguments: &ScaleArguments) -> ExitCode {
    let (mut all, mut is_well) = (Vec::new(), true);
    for &games in &arguments.games {
        for story in Story::ALL.into_iter().filter(|story| arguments.story.is_none_or(|only| only == *story)) {
            let outcome = scale::run(story, Size::of_games(games), arguments.seed);
            is_well &= outcome.violations.is_empty();
            for violation in outcome.violations.iter().take(VIOLATIONS_SHOWN) {
                println!("{story} with {games} game servers, seed {}: {violation}", arguments.seed);
            }
            all.push(outcome.figures);
        }
    }
    println!("{}\n{}", CallsTable(&all), FateTable(&all));
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

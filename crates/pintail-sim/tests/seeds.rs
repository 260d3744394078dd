//! Some hundreds of seeds, all scenarios in turn. `PINTAIL_TEST_SEED` chooses the first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pintail_sim::scenario::Scenario;

/// How many seeds run.
const SEEDS: u64 = 220;

fn first_seed() -> u64 {
    std::env::var("PINTAIL_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

fn scenario_of(seed: u64) -> Scenario {
    Scenario::ALL[(seed % Scenario::ALL.len() as u64) as usize]
}

#[test]
fn every_invariant_holds_in_every_seed() {
    let first = first_seed();
    println!("seeds from {first}");
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + SEEDS {
                        return;
                    }
                    if pintail_sim::run(seed, scenario_of(seed)).violation.is_some() {
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some(seed) = failed.first() {
        panic!("{}\nall that failed: {failed:?}", pintail_sim::report(*seed, scenario_of(*seed), 80));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in first_seed()..first_seed() + 2 * Scenario::ALL.len() as u64 {
        let (one, other) = (pintail_sim::run(seed, scenario_of(seed)), pintail_sim::run(seed, scenario_of(seed)));
        assert_eq!(one.tally, other.tally, "seed {seed}");
        assert_eq!(one.fingerprint, other.fingerprint, "seed {seed}: chance has leaked in from outside of the seed");
    }
}

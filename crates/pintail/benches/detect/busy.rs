//! Whether servers that are merely slow are called dead.

use std::time::{Duration, Instant};

use pintail_testkit::Program;

use crate::cluster::Cluster;

/// How often the operator hears that it goes on.
const PROGRESS: Duration = Duration::from_secs(60);

/// Runs a cluster of two gateways, a lobby server and three game servers while other programs keep every core busy.
pub(crate) fn run(duration: Duration) {
    let mut cluster = Cluster::start();
    let servers: Vec<_> = (0..3).map(|_| cluster.game_server("")).collect();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let _busy: Vec<Program> =
        (0..cores).map(|_| Program::new("sh").args(["-c", "while :; do :; done"]).start()).collect();
    let began = Instant::now();
    while began.elapsed() < duration {
        std::thread::sleep(PROGRESS.min(duration.saturating_sub(began.elapsed())));
        println!(
            "{:>4} s with {cores} busy programs: {} down, {} suspect, {} cut-off",
            began.elapsed().as_secs(),
            cluster.count("down", began),
            cluster.count("suspect", began),
            cluster.count("cut-off", began),
        );
    }
    drop(servers);
}

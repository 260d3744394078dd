//! Measures how quickly a cluster notices what happens to its servers, and how often it is wrong.
//!
//! ```text
//! cargo bench -p pintail --bench detect                         each fault 20 times
//! cargo bench -p pintail --bench detect -- --runs 5             each fault 5 times
//! cargo bench -p pintail --bench detect -- --only killed,deaf   these faults alone
//! cargo bench -p pintail --bench detect -- --busy 10            10 minutes with both cores kept busy by others
//! ```
//!
//! Two gateways, a lobby server and game servers, each a process of its own, on a real Redis, all at default settings. A
//! fault counts as noticed when the last gateway has said so on its event stream and the registry's placement ranking no
//! longer has the server.

mod alone;
mod busy;
mod cluster;
#[path = "../../tests/support/events.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
mod events;
mod faults;
#[path = "../../tests/support/redis.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
mod redis;
mod report;
mod storm;
#[path = "../../tests/support/trouble.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
mod trouble;

use std::process::ExitCode;
use std::time::Duration;

use pintail::games::Echo;

/// How often each fault is injected, unless `--runs` says otherwise.
const RUNS: usize = 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The servers of the cluster are this program too.
    if arguments.first().is_some_and(|role| ["gateway", "lobby", "game"].contains(&role.as_str())) {
        return pintail::main(pintail::GameTypes::new().with::<Echo>().with::<trouble::Trouble>());
    }
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if arguments.iter().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1);
    if let Some(minutes) = value("--busy") {
        let minutes: u64 = minutes.parse().expect("--busy takes a number of minutes");
        busy::run(Duration::from_secs(60 * minutes));
        return ExitCode::SUCCESS;
    }
    let runs = value("--runs").map_or(RUNS, |runs| runs.parse().expect("--runs takes a number"));
    let only = value("--only").map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>());
    faults::run(runs, only.as_deref());
    ExitCode::SUCCESS
}

//! Measures what players notice when a process dies, is stopped or is drained, and what the journal costs.
//!
//! ```text
//! cargo bench -p pintail --bench takeover                            every fault 20 times, then the price
//! cargo bench -p pintail --bench takeover -- --games 100 --runs 5    fewer games, fewer runs
//! cargo bench -p pintail --bench takeover -- --only killed,drained   these alone
//! ```
//!
//! Two gateways, a lobby server and three game servers, each a process of its own, on a real Redis with AOF, all at default
//! settings. Four players play each game of arena, whose server sends them its state 20 times a second; each of them moves
//! or shoots twice a second. A player's pause is the longest time in which no newer state came, around a fault.

mod cluster;
mod pauses;
mod players;
mod price;
mod process;
#[path = "../../tests/support/redis.rs"]
#[allow(dead_code, unreachable_pub, clippy::unwrap_used)]
mod redis;
mod report;

use std::process::ExitCode;

use pintail::games::{Arena, Echo, JournaledEcho};

/// How often each fault is injected, unless `--runs` says otherwise.
const RUNS: usize = 20;

/// How many games are played, unless `--games` says otherwise.
const GAMES: usize = 500;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The servers of the cluster are this program too.
    if arguments.first().is_some_and(|role| ["gateway", "lobby", "game"].contains(&role.as_str())) {
        return pintail::main(pintail::GameTypes::new().with::<Arena>().with::<Echo>().with::<JournaledEcho>());
    }
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if arguments.iter().any(|argument| argument == "--test") {
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| arguments.iter().skip_while(|argument| *argument != name).nth(1);
    let number = |name: &str, default| value(name).map_or(default, |text| text.parse().expect("a number"));
    let only = value("--only").map(|names| names.split(',').map(str::to_owned).collect::<Vec<_>>());
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.iter().any(|other| other == name));
    // The players get a thread of their own, as if they were elsewhere: the servers have the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (games, runs) = (number("--games", GAMES), number("--runs", RUNS));
    runtime.block_on(async {
        pauses::run(games, runs, &wanted).await;
        if wanted("price") {
            price::run().await;
        }
    });
    ExitCode::SUCCESS
}

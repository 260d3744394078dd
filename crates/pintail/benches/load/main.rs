//! Measures Pintail: round trips, memory, rooms a second, and what they cost each server process in CPU time.
//!
//! ```text
//! cargo bench -p pintail --bench load                  everything, on the embedded store and on Redis
//! cargo bench -p pintail --bench load -- --quick       the same, shorter
//! ```
//!
//! Every server is a process of its own (the release build of `pintail`), so that the operating system says what each
//! costs. Wall-clock figures depend on the machine and on what else it does; the steady figure is CPU time per message,
//! set against a trivial one-process echo server that is measured in the same run.

mod bot;
mod cluster;
mod process;
mod scenarios;
mod trivial;

use std::time::Duration;

use scenarios::Plan;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == trivial::ARGUMENT) {
        return trivial::serve();
    }
    // `cargo test` builds benches too and runs them with this; there is nothing to test.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let plan = Plan {
        duration: Duration::from_secs(if quick { 2 } else { 10 }),
        idle_clients: if quick { 500 } else { 5000 },
        room_workers: 8,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(scenarios::run(plan));
}

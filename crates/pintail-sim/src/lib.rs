//! A deterministic simulation of the protocol: gateways, game servers, the store and clients in one thread, on a clock
//! and a network that are made up. All choices come from one seed, so a run that fails can be run again.
//!
//! ```text
//!            heap of (time, number, event)  ◀── one random number generator
//!                       │ the next event
//!                       ▼
//!  clients ──network── gateways ──network── game servers ──calls── store
//!  (real machine,      (model)              (real GameHost,         (real EmbeddedStore,
//!   model player)                            model loop)             paused clock)
//!                       │
//!                       ▼
//!                  invariants I1 … I8
//! ```
//!
//! Everything that decides is the real code where that is pure: the host of the games, the client's state machine, the
//! store in memory, the wire's encodings. The gateway and the membership are tasks around sockets; here are small models
//! with their rules, so what is found about them holds for the rules and not for their code.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`world`] | a run: starts processes, lets things go wrong, looks whether all is well |
//! | [`scenario`] | what a run is like: all of it follows from the seed |
//! | [`faults`] | what goes wrong |
//! | [`invariants`] | what must always hold |
//! | [`env`](mod@env) | the clock, the events to come, the random numbers |
//! | [`network`] | connections that delay, break, or go silent |
//! | [`store`] | the way to the store, and its history |
//! | [`server`], [`gateway`], [`client`], [`member`] | the processes |
//! | [`ledger`] | the game under test |
//! | [`reader`] | reads a game back from its journal |
//! | [`trace`], [`tally`] | what happened, and how often |
//! | [`scale`] | another simulation: how a thousand servers find their dead and place their games |
//!
//! The ideas are FoundationDB's (one thread, one seed, faults far denser than in life, workloads that check themselves),
//! TigerBeetle's VOPR (a time without faults at the end of each run, in which everything must become well: safety alone
//! would not notice a system that stands still), and openraft's (each invariant a file of its own; a failing seed says
//! how to run it again). None of their code is here.

pub mod client;
pub mod env;
pub mod faults;
pub mod gateway;
pub mod invariants;
pub mod ledger;
pub mod member;
pub mod network;
pub mod reader;
pub mod scale;
pub mod scenario;
pub mod server;
pub mod store;
pub mod tally;
pub mod trace;
pub mod world;

use scenario::{Plan, Scenario};
use trace::Trace;
use world::Outcome;

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, scenario: Scenario) -> Outcome {
    world::run(Plan::new(seed, scenario), Trace::fingerprint_only())
}

/// Runs a seed that failed once more, with the text of its trace.
#[must_use]
pub fn run_with_text(seed: u64, scenario: Scenario, lines: usize) -> Outcome {
    world::run(Plan::new(seed, scenario), Trace::with_text(lines))
}

/// What people are told of a run that failed: the invariant, what happened last, and how to run it again.
#[must_use]
pub fn report(seed: u64, scenario: Scenario, lines: usize) -> String {
    let outcome = run_with_text(seed, scenario, lines);
    let Some(violation) = outcome.violation else {
        return format!("seed {seed} ({scenario}) fails no more: it is not deterministic, which is a bug of its own");
    };
    format!(
        "{} is broken in seed {seed} of scenario {scenario}, at {:.4} s, by game {:?}:\n  {}\n{}\n\
         run it again with: cargo run --release -p pintail-sim -- --scenario {scenario} --from {seed} --seeds 1\n",
        violation.invariant,
        violation.at.0.as_secs_f64(),
        violation.game,
        violation.detail,
        outcome.tail
    )
}

//! Proves on real processes and a real Redis that no failure loses, repeats or reorders what players do.
//!
//! Players send numbers to games that write down what they get. Meanwhile processes are killed, stopped and replaced,
//! connections cut, and Redis is killed and stopped, as a plan says that is made from a seed. What players sent, what
//! they were told, and what is kept of the games must agree, whatever was done.
//!
//! ```text
//! cargo run --release -p pintail-checker -- check --minutes 10 --seed 7
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `args` | the command line |
//! | [`ledger`], [`hash`] | the game, in two kinds: one that steps when something happens, one of fixed steps |
//! | [`plan`] | what goes wrong and when, from a seed |
//! | [`cluster`], [`acts`] | the processes, and what is done to them |
//! | [`bots`] | the players |
//! | [`audit`], [`breach`] | what must never be, and finding it: without IO |
//! | `journal`, `view` | the same of what is kept in the store, and of the processes |
//! | [`diary`] | what happened, as lines of a file |
//! | [`run`], [`report`] | one run from beginning to end, and what it came to |

pub mod acts;
mod args;
pub mod audit;
pub mod bots;
pub mod breach;
pub mod cluster;
pub mod diary;
pub mod hash;
mod journal;
pub mod ledger;
pub mod plan;
pub mod report;
pub mod run;
mod view;

pub use args::main;

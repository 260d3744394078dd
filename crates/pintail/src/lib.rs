//! Pintail: the distributed game server that keeps a game alive when its server dies.
//!
//! This crate is what the author of a game depends on: the [`Game`] trait with all that belongs to it, [`main`] for a
//! binary that is a server, a whole cluster and a client at once, and the [`client`] library.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use pintail::{Context, Game, Json, Player, Refusal, Rules};
//! use serde::{Deserialize, Serialize};
//!
//! /// Who types last loses: the shortest game there is.
//! #[derive(Serialize, Deserialize)]
//! struct HotPotato;
//!
//! impl Game for HotPotato {
//!     const NAME: &'static str = "hot-potato";
//!     const RULES: Rules = Rules::ephemeral().players(2, 8);
//!     type Settings = ();
//!     type Input = Json<String>;
//!     type Output = Json<String>;
//!
//!     fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
//!         Ok(Self)
//!     }
//!
//!     fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, _: Json<String>) {
//!         ctx.end(format!("{} loses", ctx.name(player)));
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     pintail::main(pintail::GameTypes::new().with::<HotPotato>())
//! }
//! ```
//!
//! `cargo run -- dev` then runs a whole cluster with it, and `cargo run -- play hot-potato` plays it.
//!
//! | module | what it does |
//! | --- | --- |
//! | `app` | from the command line to the exit code |
//! | `config` | flags over environment over file over defaults |
//! | `serve`, `server` | one server in a cluster |
//! | `hazards` | tells what is dangerous about the store's setup |
//! | `dev` | a whole cluster in one process |
//! | `status` | the servers of a cluster |
//! | `drain` | asks a server to stop in good order |
//! | `play` | a game in the terminal |
//! | `stress` | `pintail bench`, the stress test |
//! | `replay` | a game again, from its journal |

mod app;
mod config;
mod dev;
mod drain;
mod failure;
mod hazards;
mod logging;
mod output;
mod play;
mod program;
pub mod replay;
mod serve;
mod server;
mod signals;
mod status;
mod stress;
mod terminal;

pub use app::{Program, main};
pub use pintail_client as client;
pub use pintail_game::{
    BadPayload, Context, Game, GameTypes, Json, LeaveReason, Pace, Payload, Player, PlayerInfo, Postcard, Random,
    Refusal, Rules, Step, testing,
};

/// Bots of your own for the stress test: see [`Program::bots`].
pub mod bench {
    pub use pintail_bench::bot::{Bot, BotContext, BotKind, BotRng, Bots, Inputs, MakeBot, Sent};
}

/// The games that the stock binary hosts.
pub mod games {
    pub use pintail_arena::Arena;
    pub use pintail_echo::{Echo, JournaledEcho, Match};
    pub use pintail_gomoku::Gomoku;
}

//! The [`Game`] trait, and the server that runs many games in one process.
//!
//! A game is a value with handlers, and one file is enough for it:
//!
//! ```
//! use pintail_game::{Context, Game, Json, Player, Refusal, Rules};
//! use serde::{Deserialize, Serialize};
//!
//! /// Players count up by 1 or 2 in turn; who reaches the target wins.
//! #[derive(Serialize, Deserialize)]
//! struct CountUp {
//!     target: u32,
//!     count: u32,
//!     turn: Player,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Settings {
//!     target: u32,
//! }
//!
//! impl Default for Settings {
//!     fn default() -> Self {
//!         Self { target: 21 }
//!     }
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Add(u32);
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! enum Said {
//!     Count { by: Player, count: u32 },
//!     NotYou,
//! }
//!
//! impl Game for CountUp {
//!     const NAME: &'static str = "count-up";
//!     const RULES: Rules = Rules::ephemeral().players(2, 2);
//!     type Settings = Settings;
//!     type Input = Json<Add>;
//!     type Output = Json<Said>;
//!
//!     fn new(settings: Settings, _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
//!         Ok(Self { target: settings.target, count: 0, turn: Player::new(0) })
//!     }
//!
//!     fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Json(Add(step)): Json<Add>) {
//!         if player != self.turn || !(1..=2).contains(&step) {
//!             return ctx.send(player, Said::NotYou);
//!         }
//!         self.count += step;
//!         self.turn = Player::new(1 - player.index() as u16);
//!         ctx.broadcast(Said::Count { by: player, count: self.count });
//!         if self.count >= self.target {
//!             ctx.end(ctx.name(player).to_owned());
//!         }
//!     }
//! }
//!
//! // Games run without servers too, so their rules are tested in microseconds.
//! use pintail_game::testing::TestGame;
//!
//! let mut game = TestGame::<CountUp>::new(r#"{"target": 3}"#, &["Ann", "Bob"])?;
//! let (ann, bob) = (Player::new(0), Player::new(1));
//! game.input(ann, Add(2));
//! game.input(ann, Add(1));
//! assert_eq!(game.take(ann), [Json(Said::Count { by: ann, count: 2 }), Json(Said::NotYou)]);
//! game.input(bob, Add(1));
//! assert_eq!(game.result(), Some("Bob".into()));
//! # Ok::<(), Refusal>(())
//! ```
//!
//! A server hosts it with `GameTypes::new().with::<CountUp>()`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | the root | what the author of a game writes against |
//! | [`testing`] | games without servers, and the check that a game is deterministic |
//! | [`replay`] | games played again from what was kept of them |
//! | [`runtime`] | the games of one server, decided without IO |
//! | [`server`] | the thread, the links and the store calls around them |
//! | [`limits`] | what a game may send at most |

mod api;
mod journal;
pub mod limits;
pub mod replay;
pub mod runtime;
mod self_check;
pub mod server;
pub mod testing;
mod types;

pub use api::{
    BadPayload, Context, Game, Json, LeaveReason, Pace, Payload, Player, PlayerInfo, Postcard, Random, Refusal, Rules,
};
pub use pintail_core::Step;
pub use self_check::SelfCheck;
pub use server::{GameConfig, GameServer};
pub use types::{GameTypes, SnapshotError};

//! Pintail's stress test: bots that play, the load that they make, and reports of what was measured.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`drive`](mod@drive) | puts a load on a cluster and measures it: [`Order`] in, [`Run`](report::Run) out |
//! | [`scenario`] | what the players do |
//! | [`bot`] | how the author of a game makes bots for it |
//! | [`gateway`] | where the cluster is reached |
//! | [`meter`] | what the processes cost, as the load is told |
//! | [`report`] | what was measured, and what is made of it |
//! | [`condition`] | thresholds |
//! | [`live`] | how it goes, in the terminal |

pub mod bot;
pub mod condition;
pub mod drive;
pub mod gateway;
pub mod live;
pub mod meter;
pub mod report;
pub mod scenario;

pub use bot::{Bot, BotContext, BotKind, Bots};
pub use drive::{DriveError, LoadShape, Order, Phase, drive};
pub use gateway::Gateway;
pub use meter::{Meter, Unmetered};
pub use scenario::Scenario;

//! Pintail's stress test: bots that play, the load that they make, and reports of what was measured.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`drive`](mod@drive) | puts a load on a cluster and measures it: [`Order`] in, [`Run`](report::Run) out |
//! | [`scenario`] | what the players do |
//! | [`bot`] | how the author of a game makes bots for it |
//! | [`gateways`] | where the cluster is reached, and whom to trust there |
//! | [`cluster`] | a cluster of processes that is started for a test |
//! | [`process`] | what those processes cost, by `/proc` |
//! | [`reach`] | how many players this process can be |
//! | [`pins`] | which processes run on which cores |
//! | [`trivial`](mod@trivial) | what Pintail is set against |
//! | [`search`] | the largest load that keeps a condition |
//! | [`attendance`] | whether as many players were there as were asked for |
//! | [`profile`] | flame graphs of the servers |
//! | [`meter`] | what the processes cost, as the load is told |
//! | [`report`] | what was measured, and what is made of it |
//! | [`condition`] | thresholds |
//! | [`live`] | how it goes, in the terminal |

pub mod attendance;
pub mod bot;
pub mod cluster;
pub mod condition;
pub mod drive;
pub mod gateways;
mod http;
pub mod live;
mod machine;
pub mod meter;
pub mod pins;
mod player;
pub mod process;
pub mod profile;
pub mod reach;
pub mod report;
pub mod scenario;
pub mod search;
pub mod trivial;

pub use bot::{Bot, BotContext, BotKind, Bots};
pub use drive::{DriveError, LoadShape, Order, Phase, drive};
pub use gateways::{DialError, Gateways, NoGateway};
pub use meter::{Meter, Unmetered};
pub use scenario::Scenario;

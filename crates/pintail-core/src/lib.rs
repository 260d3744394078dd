//! The vocabulary of Pintail: ids, addresses, limits, faults. No IO, no async, no clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`server`] | a server's kind, slot, incarnation, status and endpoint |
//! | [`gateway_address`] | where clients find a gateway |
//! | [`health`] | how servers look to each other |
//! | [`id`] | sessions, rooms, games, and the numbers that order what happens in them |
//! | [`outcome`] | how a game ended |
//! | [`name`] | names that people chose, checked once: players, rooms, game types |
//! | [`secret`] | the cluster secret and resume tokens, and the proofs made with them |
//! | [`trace`] | what a distributed trace hands from server to server |
//! | [`catalog`] | which game types a server knows, and how it checks their settings |
//! | [`fault`] | whose fault an error is and whether trying again makes sense |
//! | [`limits`] | every limit that a peer could otherwise push against, with its reason |

pub mod catalog;
pub mod fault;
pub mod gateway_address;
pub mod health;
pub mod id;
pub mod limits;
pub mod name;
pub mod outcome;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod secret;
pub mod server;
pub mod trace;

pub use catalog::{Durability, GameCatalog, GameTypeInfo};
pub use fault::{Fault, Retry};
pub use gateway_address::{GatewayAddress, GatewayAddressError};
pub use health::{Charge, Health, Verdict};
pub use id::{EntryNumber, Epoch, GameId, Generation, RequestId, RoomId, Round, Seq, SessionId, Step};
pub use name::{GameType, NameError, PlayerName, RoomName};
pub use outcome::{EndOutcome, EndReason};
pub use secret::{AdminToken, ClusterSecret, ResumeToken, TokenHash};
pub use server::{Endpoint, Incarnation, Kind, Slot, Status};
pub use trace::TraceParent;

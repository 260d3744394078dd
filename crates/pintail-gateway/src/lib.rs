//! The gateway: holds the players' connections and routes between them and the servers.
//!
//! It never decodes a game payload, and it has no memory of a session stream: what must survive it, the two ends keep.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`server`] | puts the parts together: bind, run, stop |
//! | `registry` | follows the registry: which servers to link to |
//! | `observer` | how the servers look from here: what it does about the silent and the gone |
//! | `accuser` | tells the store whom this gateway suspects |
//! | `departures` | sessions that are gone and of which the store does not know that yet |
//! | `condition` | how loaded the gateway is |
//! | `listen` | accepts TCP clients and HTTP (WebSocket, a page for people) |
//! | `encryption` | TLS between clients and the gateway |
//! | `door` | lets clients in while there are file descriptors for them |
//! | `client` | one client's connection: log in, then frame by frame |
//! | `allowance` | how much one client may ask for, without IO |
//! | `strangers` | connections that have not said who they are, of which there may be so many |
//! | `session` | one logged-in connection: what its client is told, and over which link it plays |
//! | `sessions` | who is connected here, and what the servers send them |
//! | `links` | the open links to lobby and game servers |
//! | `link_task` | one link, from the first dial to the last goodbye |
//! | `lobby` | lobby requests: forwarded, sent again through another lobby if need be, answered in time |
//! | `requests` | the table of unanswered lobby requests, without IO |
//! | `games` | attaching sessions to games |
//! | `waiting` | the sessions that wait for the server of their game, without IO |
//! | `transport` | TCP and WebSocket as one |
//! | `metrics`, `traffic`, `healths` | what is counted and shown |
//! | `tasks` | what the gateway says that it does |

mod accuser;
mod allowance;
mod client;
mod condition;
mod departures;
mod door;
mod encryption;
mod games;
mod healths;
mod link_task;
mod links;
mod listen;
mod lobby;
mod loops;
mod metrics;
mod observer;
mod registry;
mod requests;
pub mod server;
mod session;
mod sessions;
mod strangers;
mod tasks;
mod traffic;
mod transport;
mod waiting;

pub use server::{GatewayConfig, GatewayServer};

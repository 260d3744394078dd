//! What every Pintail server shares: connections, links, membership, the admin port.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`outbox`] | the bounded queue of frames in front of a connection |
//! | [`connection`] | frames over TCP, with TLS or without: one task reads and writes |
//! | [`websocket`] | the same over WebSocket |
//! | [`greeting`] | how the two ends of a link prove that they belong together |
//! | [`links`] | the listening side of links (lobby and game servers) |
//! | [`dial`] | the dialling side of a link (gateways) |
//! | [`membership`] | a server's place in the registry: slot, lease, announcements |
//! | [`pulse`] | whether the loop that does a server's work still comes round |
//! | [`vitals`] | what a role's loop says of itself to the tasks around it |
//! | [`cpu`] | how much of the CPU a thread or the process uses |
//! | [`descriptors`] | how many file descriptors there are, and how many of them are for clients |
//! | [`events`] | what happens to the servers: a log, and a stream on the admin port |
//! | [`address`] | where a server tells others to reach it |
//! | [`metrics`] | what every server counts |
//! | [`trace`] | what a server did for a request, told to a collector |
//! | [`admin`] | `/healthz`, `/readyz`, `/metrics`, `/events`, `/debug/…` |
//! | [`ports`] | the ports of a server that gateways link to |
//! | [`config`] | the settings that all kinds of servers have |

pub mod address;
pub mod admin;
pub mod config;
pub mod connection;
pub mod cpu;
pub mod descriptors;
pub mod dial;
pub mod events;
pub mod greeting;
pub mod links;
pub mod membership;
pub mod metrics;
pub mod outbox;
pub mod ports;
pub mod pulse;
#[cfg(test)]
mod test_pair;
pub mod trace;
pub mod vitals;
pub mod websocket;

pub use config::{BindError, RoleError, ServerConfig, Timing};
pub use connection::{ConnectionError, TcpConnection};
pub use dial::DialError;
pub use events::{EventKind, Events, ServerEvent};
pub use greeting::{GreetingError, Identity};
pub use links::{LinkEvent, LinkId, LinkListener};
pub use membership::{Lease, MemberEvent, Membership, MembershipConfig, Pulse, Renewer, Vitals};
pub use outbox::{Outbox, PushError};
pub use ports::ServerPorts;
pub use pulse::Beat;
pub use vitals::{SharedVitals, StatusNews};
pub use websocket::WebSocketConnection;

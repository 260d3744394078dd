//! What every Pintail server shares: connections, links, membership, the admin port.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`outbox`] | the bounded queue of frames in front of a connection |
//! | [`connection`] | frames over TCP: one task reads and writes |
//! | [`websocket`] | the same over WebSocket |
//! | [`greeting`] | how the two ends of a link prove that they belong together |
//! | [`links`] | the listening side of links (lobby and game servers) |
//! | [`dial`] | the dialling side of a link (gateways) |
//! | [`membership`] | a server's place in the registry: slot, lease, announcements |
//! | [`address`] | where a server tells others to reach it |
//! | [`admin`] | `/healthz`, `/readyz`, `/metrics` |
//! | [`ports`] | the ports of a server that gateways link to |
//! | [`config`] | the settings that all kinds of servers have |

pub mod address;
pub mod admin;
pub mod config;
pub mod connection;
pub mod dial;
pub mod greeting;
pub mod links;
pub mod membership;
pub mod outbox;
pub mod ports;
pub mod websocket;

pub use config::{BindError, RoleError, ServerConfig};
pub use connection::{ConnectionError, TcpConnection};
pub use dial::DialError;
pub use greeting::{GreetingError, Identity};
pub use links::{LinkEvent, LinkId, LinkListener};
pub use membership::{MemberEvent, Membership, MembershipConfig, Vitals};
pub use outbox::{Outbox, PushError};
pub use ports::ServerPorts;
pub use websocket::WebSocketConnection;

//! The settings that all kinds of servers have, and what stops one from starting.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pintail_core::{AdminToken, ClusterSecret, limits};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::address::AddressError;
use crate::trace::TraceExport;

/// What every server is told.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The cluster's name.
    pub cluster: String,
    /// What servers of the cluster prove to each other.
    pub secret: ClusterSecret,
    /// Where the server listens: for clients (gateway) or links (the others).
    pub listen: SocketAddr,
    /// The address that the registry is told, if not the one found by itself.
    pub advertise: Option<Ipv4Addr>,
    /// Where the admin port listens, if there is one.
    pub admin: Option<SocketAddr>,
    /// What whoever asks the admin port from another machine has to show; without it, they see nothing but whether it
    /// is alive and ready.
    pub admin_token: Option<AdminToken>,
    /// Who is told of traces, and of how many, if anyone is.
    pub otlp: Option<TraceExport>,
    /// Pintail's version, for the registry.
    pub version: String,
    /// How quickly it notices what happens to others.
    pub timing: Timing,
}

/// The periods and limits by which servers watch each other. Every server of a cluster should have the same. What the
/// store goes by (a lease's life, when a slot is recycled) is in [`Periods`](pintail_store::Periods).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How often a link says that it is alive.
    pub heartbeat: Duration,
    /// How long a server may be silent on its link before a gateway suspects it.
    pub suspect_after: Duration,
    /// How long it must be silent to count as gone, if another observer agrees or its lease has run out.
    pub down_after: Duration,
    /// How long a link may be silent before it is closed.
    pub link_silence_max: Duration,
    /// How often a lease is renewed.
    pub lease_renewal: Duration,
    /// A lease's life without renewal: what the store was told ([`Periods::lease_ttl`](pintail_store::Periods)).
    pub lease_ttl: Duration,
    /// How often a gateway scans the registry, whether anything was announced or not.
    pub scan_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: limits::LINK_HEARTBEAT,
            suspect_after: limits::SUSPECT_AFTER,
            down_after: limits::DOWN_AFTER,
            link_silence_max: limits::LINK_SILENCE_MAX,
            lease_renewal: limits::LEASE_RENEWAL,
            lease_ttl: limits::LEASE_TTL,
            scan_period: limits::SCAN_PERIOD,
        }
    }
}

/// A port that can't be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone else has it.
    #[error(
        "{what}: {address} is in use by another program: choose another port with {setting}, or 0 for any free one"
    )]
    InUse {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The setting that says where.
        setting: &'static str,
    },
    /// The machine does not have this address.
    #[error("{what}: this machine has no address {}: choose another with {setting}, such as 127.0.0.1 or 0.0.0.0", .address.ip())]
    NotHere {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The setting that says where.
        setting: &'static str,
    },
    /// Any other reason.
    #[error("{what}: can't listen on {address} ({error}): see {setting}")]
    Other {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The setting that says where.
        setting: &'static str,
        /// What the operating system says.
        error: std::io::Error,
    },
}

/// How many connections may wait to be accepted: what Linux allows unless it is told otherwise. The players of a gateway
/// that died come to the others all at once, and whoever finds no place in the queue tries again only a second later.
const BACKLOG: i32 = 4096;

/// Listens on a TCP port.
///
/// # Errors
/// If the port can't be had; the sentence names the setting to change.
pub fn listen(what: &'static str, setting: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted server gets its port back while old connections still linger.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bind().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => BindError::InUse { what, address, setting },
        std::io::ErrorKind::AddrNotAvailable => BindError::NotHere { what, address, setting },
        _ => BindError::Other { what, address, setting, error },
    })
}

/// What stops a server from starting or ends it.
#[derive(Debug, Error)]
pub enum RoleError {
    /// A port can't be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No address to tell the others.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A newer server with the same address and port has taken the slot.
    #[error(
        "a newer server with this address and port has taken this server's slot, so this one has stopped: two servers \
         must differ in --advertise or --listen"
    )]
    Superseded,
    /// A part of the server failed: a bug.
    #[error("internal error: {0}")]
    Internal(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_and_a_foreign_address_are_told_in_a_sentence() {
        let taken = listen("the lobby", "--listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let again = listen("the lobby", "--listen", taken.local_addr().unwrap()).unwrap_err();
        assert!(matches!(again, BindError::InUse { .. }));
        assert!(again.to_string().contains("--listen"), "{again}");
        let elsewhere = listen("the lobby", "--listen", "192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(elsewhere, BindError::NotHere { .. }), "{elsewhere}");
    }
}

//! The settings that all kinds of servers have, and what stops one from starting.

use std::net::{Ipv4Addr, SocketAddr};

use pintail_core::ClusterSecret;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::address::AddressError;

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
    /// Pintail's version, for the registry.
    pub version: String,
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

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

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

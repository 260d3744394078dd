//! Where a cluster is reached.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The port of a TCP address that names none.
const TCP_PORT: u16 = 5555;

/// The port of a WebSocket address that names none.
const WEBSOCKET_PORT: u16 = 80;

/// The path at which a gateway takes WebSockets.
const WEBSOCKET_PATH: &str = "/ws";

/// Where a gateway listens: `host:port` or `tcp://host:port` for plain TCP, `ws://host:port/ws` for a WebSocket.
///
/// Without a port it is 5555 for TCP and 80 for a WebSocket; without a path it is `/ws`. An IPv6 address stands in
/// brackets: `[::1]:5555`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// What a socket connects to: `host:port`.
    pub(crate) authority: String,
    pub(crate) transport: Transport,
}

/// How frames travel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// One after the other.
    Tcp,
    /// A binary message each.
    WebSocket {
        /// Where the gateway takes them.
        path: String,
    },
}

/// Text that is no gateway's address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a gateway's address: {wrong}; write host:port, tcp://host:port or ws://host:port/ws")]
pub struct GatewayError {
    text: String,
    wrong: &'static str,
}

impl Gateway {
    /// What a socket connects to: `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for Gateway {
    type Err = GatewayError;

    fn from_str(text: &str) -> Result<Self, GatewayError> {
        let parsed = match text.trim().split_once("://") {
            None => tcp(text.trim()),
            Some(("tcp", rest)) => tcp(rest),
            Some(("ws", rest)) => websocket(rest),
            Some(("wss", _)) => Err("the stress test speaks no TLS, so put a TLS proxy on this side"),
            Some(_) => Err("its scheme is neither tcp nor ws"),
        };
        parsed.map_err(|wrong| GatewayError { text: text.to_owned(), wrong })
    }
}

fn tcp(text: &str) -> Result<Gateway, &'static str> {
    Ok(Gateway { authority: authority(text, TCP_PORT)?, transport: Transport::Tcp })
}

fn websocket(text: &str) -> Result<Gateway, &'static str> {
    let (host, path) = text.find('/').map_or((text, WEBSOCKET_PATH), |at| text.split_at(at));
    let transport = Transport::WebSocket { path: path.to_owned() };
    Ok(Gateway { authority: authority(host, WEBSOCKET_PORT)?, transport })
}

/// The text with a port, and only if it is a host with or without one.
fn authority(text: &str, default_port: u16) -> Result<String, &'static str> {
    let host_end = if text.starts_with('[') {
        text.find(']').ok_or("a bracket is not closed")? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(host_end);
    if host.is_empty() || host.contains(|character: char| character.is_whitespace() || "/@?#".contains(character)) {
        return Err("it has no valid host");
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or("its port is not a number from 1 to 65535")?,
        None if rest.is_empty() => default_port,
        None => return Err("something stands between host and port"),
    };
    Ok(format!("{host}:{port}"))
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::Tcp => write!(f, "tcp://{}", self.authority),
            Transport::WebSocket { path } => write!(f, "ws://{}{path}", self.authority),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, full) in [
            ("127.0.0.1:5555", "tcp://127.0.0.1:5555"),
            ("tcp://play.example:7000", "tcp://play.example:7000"),
            (" play.example ", "tcp://play.example:5555"),
            ("ws://play.example:8080/ws", "ws://play.example:8080/ws"),
            ("ws://play.example", "ws://play.example:80/ws"),
            ("[::1]:5555", "tcp://[::1]:5555"),
            ("ws://[::1]:8080/x/y", "ws://[::1]:8080/x/y"),
        ] {
            let gateway: Gateway = text.parse().unwrap();
            assert_eq!(gateway.to_string(), full);
            assert_eq!(full.parse(), Ok(gateway));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for wrong in ["", ":5555", "host:0", "host:port", "[::1", "[::1]5555", "http://host:80", "wss://host/ws", "::1"]
        {
            let error = wrong.parse::<Gateway>().unwrap_err();
            assert!(error.to_string().contains("write host:port"), "{error}");
        }
    }
}

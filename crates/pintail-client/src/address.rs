//! Where a gateway listens for clients.

use std::fmt;
use std::str::FromStr;

use pintail_core::Kind;
use thiserror::Error;

/// The path at which a gateway takes WebSockets.
const WEBSOCKET_PATH: &str = "/ws";

/// The port of a WebSocket address that names none.
const WEBSOCKET_PORT: u16 = 80;

/// Where a gateway listens: `host:port` or `tcp://host:port` for plain TCP, `ws://host:port/ws` for a WebSocket.
///
/// Without a port it is 5555 for TCP and 80 for a WebSocket; without a path it is `/ws`. An IPv6 address stands in
/// brackets: `[::1]:5555`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: Option<String>,
}

/// Text that is no gateway address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a gateway's address: {wrong}; write host:port, tcp://host:port or ws://host:port/ws")]
pub struct AddressError {
    text: String,
    wrong: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = match text.trim().split_once("://") {
            None => tcp(text.trim()),
            Some(("tcp", rest)) => tcp(rest),
            Some(("ws", rest)) => websocket(rest),
            Some(("wss", _)) => Err("this library speaks no TLS, so put a TLS proxy on this side"),
            Some(_) => Err("its scheme is neither tcp nor ws"),
        };
        parsed.map_err(|wrong| AddressError { text: text.to_owned(), wrong })
    }
}

fn tcp(text: &str) -> Result<Address, &'static str> {
    let (host, port) = host_and_port(text, Kind::Gateway.default_port())?;
    Ok(Address { host, port, path: None })
}

fn websocket(text: &str) -> Result<Address, &'static str> {
    let (authority, path) = text.find('/').map_or((text, WEBSOCKET_PATH), |at| text.split_at(at));
    let (host, port) = host_and_port(authority, WEBSOCKET_PORT)?;
    Ok(Address { host, port, path: Some(path.to_owned()) })
}

fn host_and_port(text: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("a bracket is not closed")?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    if host.is_empty() || host.contains(|character: char| character.is_whitespace() || "/@?#".contains(character)) {
        return Err("it has no valid host");
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or("its port is not a number from 1 to 65535")?,
        None if rest.is_empty() => default_port,
        None => return Err("something stands between host and port"),
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.path.is_some() { "ws" } else { "tcp" };
        let path = self.path.as_deref().unwrap_or_default();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}{path}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}{path}", self.host, self.port)
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
            ("play.example", "tcp://play.example:5555"),
            ("ws://play.example:8080/ws", "ws://play.example:8080/ws"),
            ("ws://play.example", "ws://play.example:80/ws"),
            ("[::1]:5555", "tcp://[::1]:5555"),
            ("ws://[::1]:8080/x/y", "ws://[::1]:8080/x/y"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), full);
            assert_eq!(full.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for wrong in ["", ":5555", "host:0", "host:port", "[::1", "[::1]5555", "http://host:80", "wss://host/ws", "::1"]
        {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("write host:port"), "{error}");
        }
    }
}

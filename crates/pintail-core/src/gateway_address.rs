//! Where clients find a gateway.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Kind;

/// The path at which a gateway takes WebSockets.
const WEBSOCKET_PATH: &str = "/ws";

/// The ports of WebSocket addresses that name none.
const WEBSOCKET_PORT: u16 = 80;
const WEBSOCKET_TLS_PORT: u16 = 443;

/// Where a gateway listens for clients.
///
/// | written | what it is | without a port |
/// | --- | --- | --- |
/// | `host:port`, `tcp://host:port` | frames over TCP | 5555 |
/// | `tls://host:port` | the same over TLS | 5555 |
/// | `ws://host:port/ws` | a WebSocket | 80 |
/// | `wss://host:port/ws` | the same over TLS | 443 |
///
/// Without a path it is `/ws`. An IPv6 address stands in brackets: `[::1]:5555`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayAddress {
    host: String,
    port: u16,
    encryption: Encryption,
    transport: Transport,
}

/// Whether what travels can be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// By anyone.
    None,
    /// By nobody.
    Tls,
}

/// How frames travel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One after the other.
    Tcp,
    /// A binary message each.
    WebSocket {
        /// Where the gateway takes them, with its leading slash.
        path: String,
    },
}

/// Text that is no gateway address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a gateway's address: {wrong}; write host:port or tcp://host:port, tls://host:port, \
     ws://host:port/ws or wss://host:port/ws"
)]
pub struct GatewayAddressError {
    text: String,
    wrong: &'static str,
}

impl GatewayAddress {
    /// A host name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is for TLS.
    #[must_use]
    pub const fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// How frames travel.
    #[must_use]
    pub const fn transport(&self) -> &Transport {
        &self.transport
    }

    const fn scheme(&self) -> &'static str {
        match (&self.transport, self.encryption) {
            (Transport::Tcp, Encryption::None) => "tcp",
            (Transport::Tcp, Encryption::Tls) => "tls",
            (Transport::WebSocket { .. }, Encryption::None) => "ws",
            (Transport::WebSocket { .. }, Encryption::Tls) => "wss",
        }
    }
}

impl FromStr for GatewayAddress {
    type Err = GatewayAddressError;

    fn from_str(text: &str) -> Result<Self, GatewayAddressError> {
        let parsed = match text.trim().split_once("://") {
            None => tcp(text.trim(), Encryption::None),
            Some(("tcp", rest)) => tcp(rest, Encryption::None),
            Some(("tls", rest)) => tcp(rest, Encryption::Tls),
            Some(("ws", rest)) => websocket(rest, Encryption::None),
            Some(("wss", rest)) => websocket(rest, Encryption::Tls),
            Some(_) => Err("its scheme is none of tcp, tls, ws and wss"),
        };
        parsed.map_err(|wrong| GatewayAddressError { text: text.to_owned(), wrong })
    }
}

fn tcp(text: &str, encryption: Encryption) -> Result<GatewayAddress, &'static str> {
    let (host, port) = host_and_port(text, Kind::Gateway.default_port())?;
    Ok(GatewayAddress { host, port, encryption, transport: Transport::Tcp })
}

fn websocket(text: &str, encryption: Encryption) -> Result<GatewayAddress, &'static str> {
    let (authority, path) = text.find('/').map_or((text, WEBSOCKET_PATH), |at| text.split_at(at));
    let default_port = match encryption {
        Encryption::None => WEBSOCKET_PORT,
        Encryption::Tls => WEBSOCKET_TLS_PORT,
    };
    let (host, port) = host_and_port(authority, default_port)?;
    Ok(GatewayAddress { host, port, encryption, transport: Transport::WebSocket { path: path.to_owned() } })
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

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, transport, .. } = self;
        let brackets = if host.contains(':') { ["[", "]"] } else { ["", ""] };
        write!(f, "{}://{}{host}{}:{port}", self.scheme(), brackets[0], brackets[1])?;
        match transport {
            Transport::Tcp => Ok(()),
            Transport::WebSocket { path } => f.write_str(path),
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
            ("tls://play.example", "tls://play.example:5555"),
            ("tls://[::1]:7000", "tls://[::1]:7000"),
            ("ws://play.example:8080/ws", "ws://play.example:8080/ws"),
            ("ws://play.example", "ws://play.example:80/ws"),
            ("wss://play.example", "wss://play.example:443/ws"),
            ("wss://play.example:8443/x", "wss://play.example:8443/x"),
            ("[::1]:5555", "tcp://[::1]:5555"),
            ("ws://[::1]:8080/x/y", "ws://[::1]:8080/x/y"),
        ] {
            let address: GatewayAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), full);
            assert_eq!(full.parse(), Ok(address));
        }
    }

    #[test]
    fn an_address_says_where_to_dial_and_what_to_speak() {
        let address: GatewayAddress = "wss://[::1]:8443/game".parse().unwrap();
        assert_eq!((address.host(), address.port(), address.encryption()), ("::1", 8443, Encryption::Tls));
        assert_eq!(address.transport(), &Transport::WebSocket { path: "/game".to_owned() });
        let address: GatewayAddress = "tls://play.example".parse().unwrap();
        assert_eq!((address.transport(), address.encryption()), (&Transport::Tcp, Encryption::Tls));
        let address: GatewayAddress = "play.example".parse().unwrap();
        assert_eq!((address.transport(), address.encryption()), (&Transport::Tcp, Encryption::None));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for wrong in [
            "",
            ":5555",
            "host:0",
            "host:port",
            "[::1",
            "[::1]5555",
            "http://host:80",
            "TLS://host",
            "wss:///ws",
            "::1",
        ] {
            let error = wrong.parse::<GatewayAddress>().unwrap_err();
            assert!(error.to_string().contains("write host:port"), "{error}");
        }
    }
}

//! What a server says when it is ready, as its author's program prints it.

use std::net::SocketAddr;

/// A server that is ready, by its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ready {
    /// Where it listens: for players if it is a gateway.
    pub(super) listen: SocketAddr,
    /// Where it takes WebSockets, if it does.
    pub(super) http: Option<SocketAddr>,
    /// Its admin port.
    pub(super) admin: Option<SocketAddr>,
}

/// The line of one server of a cluster of processes:
/// `ready: Server:Gateway:0 listens on ADDRESS, http://ADDRESS, metrics http://ADDRESS/metrics, pid 7`; one that speaks TLS
/// with players says `tls://ADDRESS, wss://ADDRESS/ws` of the first two.
pub(super) fn of_server(line: &str) -> Option<Ready> {
    let (_, rest) = line.strip_prefix("ready: Server:")?.split_once(" listens on ")?;
    let mut parts = rest.split(", ");
    let listen = listen_address(parts.next()?)?;
    let mut ready = Ready { listen, http: None, admin: None };
    for part in parts {
        if let Some(address) = part.strip_prefix("metrics ") {
            ready.admin = url_address(address);
        } else if let Some(address) = url_address(part) {
            ready.http = Some(address);
        }
    }
    Some(ready)
}

/// The line of a gateway in the table of `dev`: slot, address, HTTP and metrics, with blanks between them.
pub(super) fn of_dev(line: &str) -> Option<Ready> {
    let mut columns = line.split_whitespace();
    columns.next()?.strip_prefix("Server:Gateway:")?;
    let listen = listen_address(columns.next()?)?;
    let http = columns.next().and_then(url_address);
    Some(Ready { listen, http, admin: columns.next().and_then(url_address) })
}

/// The last line of `dev`: everything runs and is linked.
pub(super) fn is_end_of_dev(line: &str) -> bool {
    line.starts_with("ready; ")
}

fn listen_address(text: &str) -> Option<SocketAddr> {
    text.strip_prefix("tls://").unwrap_or(text).parse().ok()
}

fn url_address(url: &str) -> Option<SocketAddr> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("wss://"))?;
    rest.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_gateway_says_all_its_ports() {
        let line = "ready: Server:Gateway:0 listens on 127.0.0.1:1, http://127.0.0.1:2, metrics http://127.0.0.1:3/metrics, pid 7";
        assert_eq!(of_server(line), Some(Ready { listen: at(1), http: Some(at(2)), admin: Some(at(3)) }));
    }

    #[test]
    fn a_gateway_with_tls_says_so() {
        let line = "ready: Server:Gateway:0 listens on tls://127.0.0.1:1, wss://127.0.0.1:2/ws, metrics http://127.0.0.1:3/metrics, pid 7";
        let ready = Ready { listen: at(1), http: Some(at(2)), admin: Some(at(3)) };
        assert_eq!(of_server(line), Some(ready.clone()));
        let line = "Server:Gateway:0  tls://127.0.0.1:1  wss://127.0.0.1:2/ws  http://127.0.0.1:3/metrics";
        assert_eq!(of_dev(line), Some(ready));
    }

    #[test]
    fn other_servers_have_no_http_and_can_be_reached_elsewhere() {
        let line = "ready: Server:Game:10 listens on 127.0.0.1:1, reached at 10.0.0.1:1, metrics http://127.0.0.1:3/metrics, pid 7";
        assert_eq!(of_server(line), Some(Ready { listen: at(1), http: None, admin: Some(at(3)) }));
        assert_eq!(of_server("ready: Server:Lobby:0 listens on x"), None);
        assert_eq!(of_server("anything else"), None);
    }

    #[test]
    fn dev_has_a_table() {
        let line = "Server:Gateway:0  127.0.0.1:1  http://127.0.0.1:2  http://127.0.0.1:3/metrics";
        assert_eq!(of_dev(line), Some(Ready { listen: at(1), http: Some(at(2)), admin: Some(at(3)) }));
        assert_eq!(of_dev("Server:Gateway:0  127.0.0.1:1  -  -").unwrap().http, None);
        assert_eq!(of_dev("Server:Game:0  127.0.0.1:1  -  http://127.0.0.1:3/metrics"), None);
        assert!(is_end_of_dev("ready; Ctrl-C stops it") && !is_end_of_dev("ready: Server:Game:0"));
    }
}

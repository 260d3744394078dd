//! Ports that stay a test's own while nobody listens there.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports are taken from here: below the range that the system gives to outgoing connections, so that nobody's
/// connection (a client's own attempts to reconnect included) takes the port while the server is down.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// How many ports are tried before a start counts as failed.
pub(crate) const PORT_ATTEMPTS: u32 = 200;

/// A port that is free on 127.0.0.1 and on this address, for a server that a test will start, perhaps again and again.
/// Another process may take it before the server does.
///
/// # Panics
/// If none is free.
#[must_use]
pub fn free_port(also_on: Ipv4Addr) -> u16 {
    let is_free = |port: &u16| [Ipv4Addr::LOCALHOST, also_on].iter().all(|ip| TcpListener::bind((*ip, *port)).is_ok());
    let found = (0..PORT_ATTEMPTS).map(|_| next_port()).find(is_free);
    found.unwrap_or_else(|| panic!("no port of 127.0.0.1 and {also_on} is free among {PORT_ATTEMPTS}"))
}

/// A port that this process has not tried lately; another may have it. Processes that run side by side start at
/// different places.
pub(crate) fn next_port() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(127);
    let offset = start.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start);
    u16::try_from(PORTS.start + offset).expect("the range is one of ports")
}

//! A server's kind, slot, incarnation, status and endpoint.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a server does. The kind names the server's registry list: `Server:<Kind>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Holds the players' connections.
    Gateway,
    /// Runs the rooms.
    Lobby,
    /// Runs the games.
    Game,
}

impl Kind {
    /// Every kind, in the order in which operators read them.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Lobby, Self::Game];

    /// The kind as the registry spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "Gateway",
            Self::Lobby => "Lobby",
            Self::Game => "Game",
        }
    }

    /// The port of a server that does not say which it listens on.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Gateway => 5555,
            Self::Lobby => 5556,
            Self::Game => 5557,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that is not what its type writes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

impl ParseError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        // What a peer sent ends up in a log line: keep it short.
        Self { text: text.chars().take(64).collect(), expected }
    }
}

impl FromStr for Kind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ParseError::new(text, "a kind of server (Gateway, Lobby or Game)"))
    }
}

/// A server's place in the registry: its kind and an index, written `Server:Game:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The kind of server that the slot is for.
    pub kind: Kind,
    /// The slot's index among those of its kind.
    pub index: u32,
}

impl Slot {
    /// The slot of `kind` with this index.
    #[must_use]
    pub const fn new(kind: Kind, index: u32) -> Self {
        Self { kind, index }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server:{}:{}", self.kind, self.index)
    }
}

impl FromStr for Slot {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(text, "a slot, such as Server:Game:0");
        let rest = text.strip_prefix("Server:").ok_or_else(wrong)?;
        let (kind, index) = rest.split_once(':').ok_or_else(wrong)?;
        // `u32::from_str` takes a leading `+`; a slot has one spelling only.
        if !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self::new(kind.parse().map_err(|_| wrong())?, index.parse().map_err(|_| wrong())?))
    }
}

crate::id::text_as_serde!(Slot);

/// One start of a server. A restart in the same slot is a new incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u128);

impl Incarnation {
    /// A new incarnation, unlike any other.
    ///
    /// # Panics
    /// If the operating system has no randomness to give.
    #[must_use]
    pub fn random() -> Self {
        Self(u128::from_be_bytes(crate::secret::random_bytes()))
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Incarnation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(text, "an incarnation (32 hexadecimal digits)");
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| wrong())
    }
}

crate::id::text_as_serde!(Incarnation);

/// What a server can take. The registry stores the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not in use: stopped, draining or gone.
    Unused = 0,
    /// Takes new work.
    Smooth = 1,
    /// Keeps what it has and takes nothing new.
    Congested = 2,
}

impl Status {
    /// The status that the registry writes as this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Unused),
            1 => Some(Self::Smooth),
            2 => Some(Self::Congested),
            _ => None,
        }
    }

    /// The number that the registry writes.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unused => "unused",
            Self::Smooth => "smooth",
            Self::Congested => "congested",
        })
    }
}

/// Where a server can be reached by the other servers: a private IPv4 address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The IPv4 address, as the registry's `address` field has it.
    pub address: Ipv4Addr,
    /// The port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint at this address and port.
    #[must_use]
    pub const fn new(address: Ipv4Addr, port: u16) -> Self {
        Self { address, port }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::V4(SocketAddrV4::new(endpoint.address, endpoint.port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_what_it_writes_and_nothing_else() {
        let slot = Slot::new(Kind::Game, 12);
        assert_eq!(slot.to_string(), "Server:Game:12");
        assert_eq!("Server:Game:12".parse(), Ok(slot));
        for wrong in [
            "",
            "Server",
            "Server:Foo:0",
            "Server:Game:",
            "Server:Game:-1",
            "Server:Game:+1",
            "server:Game:0",
            "Server:Game:99999999999",
        ] {
            assert!(wrong.parse::<Slot>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_incarnation_reads_what_it_writes() {
        let incarnation = Incarnation::random();
        assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
        assert!("12".parse::<Incarnation>().is_err());
        assert!("+123456789012345678901234567890a".parse::<Incarnation>().is_err());
    }

    #[test]
    fn status_numbers_are_those_of_the_registry() {
        for status in [Status::Unused, Status::Smooth, Status::Congested] {
            assert_eq!(Status::from_number(status.number()), Some(status));
        }
        assert_eq!(Status::Smooth.number(), 1);
        assert_eq!(Status::from_number(3), None);
    }
}

//! Where a server tells others to reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pintail_core::Endpoint;
use thiserror::Error;

/// No address to tell the other servers.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The machine has no IPv4 address beyond loopback.
    #[error(
        "no network interface has an IPv4 address that other machines could reach: say which address to use with \
         --advertise, or listen on loopback only with --listen 127.0.0.1:{0}"
    )]
    NoneFound(u16),
    /// The interfaces can't be listed.
    #[error("the network interfaces can't be listed ({0}): say which address to use with --advertise")]
    Interfaces(#[from] std::io::Error),
    /// The registry has IPv4 addresses only.
    #[error(
        "the server listens on the IPv6 address {0}, but the registry holds IPv4 addresses: say which one leads here with --advertise"
    )]
    Ipv6(IpAddr),
}

/// The endpoint that the registry is told: `advertise` if given; else the address that the server listens on, if it is
/// a particular one; else the first IPv4 address of a network interface that is up and not loopback.
///
/// # Errors
/// If none is found.
pub fn advertised(listening: SocketAddr, advertise: Option<Ipv4Addr>) -> Result<Endpoint, AddressError> {
    let port = listening.port();
    let address = match (advertise, listening.ip()) {
        (Some(address), _) => address,
        (None, IpAddr::V4(address)) if !address.is_unspecified() => address,
        (None, IpAddr::V6(address)) if !address.is_unspecified() => return Err(AddressError::Ipv6(address.into())),
        (None, _) => first_of(if_addrs::get_if_addrs()?.iter().filter(|i| i.is_oper_up()).map(if_addrs::Interface::ip))
            .ok_or(AddressError::NoneFound(port))?,
    };
    Ok(Endpoint::new(address, port))
}

fn first_of(addresses: impl Iterator<Item = IpAddr>) -> Option<Ipv4Addr> {
    addresses
        .filter_map(|address| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .find(|address| !address.is_loopback() && !address.is_link_local() && !address.is_unspecified())
}

/// Whether a server that listens here can be reached from beyond the machine.
#[must_use]
pub fn is_beyond_loopback(listen: SocketAddr) -> bool {
    !listen.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_particular_address_is_its_own_advertisement() {
        let listening = "127.0.0.1:7000".parse().unwrap();
        assert_eq!(advertised(listening, None).unwrap().to_string(), "127.0.0.1:7000");
        let advertise = Some(Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(advertised(listening, advertise).unwrap().to_string(), "10.0.0.9:7000");
        assert!(matches!(advertised("[::1]:7000".parse().unwrap(), None), Err(AddressError::Ipv6(_))));
    }

    #[test]
    fn the_first_address_beyond_the_machine_is_taken() {
        let addresses = ["::1", "127.0.0.1", "169.254.3.4", "192.168.1.5", "10.0.0.1"];
        let found = first_of(addresses.iter().map(|address| address.parse().unwrap()));
        assert_eq!(found, Some(Ipv4Addr::new(192, 168, 1, 5)));
        assert_eq!(first_of(std::iter::empty()), None);
    }

    #[test]
    fn loopback_is_known_in_all_its_spellings() {
        for inside in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!is_beyond_loopback(inside.parse().unwrap()), "{inside}");
        }
        for beyond in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            assert!(is_beyond_loopback(beyond.parse().unwrap()), "{beyond}");
        }
    }
}

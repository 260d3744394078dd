//! How the text of a setting is read, and what is said if it can't be.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use pintail_core::{GameId, Kind, Slot};
use pintail_store::WaitReplicas;

/// Where the admin port listens, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminAddress {
    /// Nowhere.
    Off,
    /// Here.
    On(SocketAddr),
}

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => listen_address(text).map(Self::On).map_err(|error| format!("{error}, or `off`")),
        }
    }
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// Reads where to listen.
///
/// # Errors
/// With what to write instead.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address, a colon and a port from 0 to 65535, such as 127.0.0.1:7000 or 0.0.0.0:0".to_owned()
    })
}

/// Reads an address that others connect to.
///
/// # Errors
/// With what to write instead.
pub(super) fn advertised_address(text: &str) -> Result<Ipv4Addr, String> {
    match text.parse() {
        Ok(address @ (Ipv4Addr::UNSPECIFIED | Ipv4Addr::BROADCAST)) => {
            Err(format!("nobody can connect to {address}: write the machine's own IPv4 address, such as 10.0.0.7"))
        }
        Ok(address) => Ok(address),
        Err(_) => Err("write an IPv4 address, such as 10.0.0.7".to_owned()),
    }
}

/// The most characters of a cluster's name: it stands in every greeting and in logs.
const CLUSTER_NAME_CHARACTERS_MAX: usize = 64;

/// Reads a cluster's name.
///
/// # Errors
/// With what to write instead.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let fits = (1..=CLUSTER_NAME_CHARACTERS_MAX).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("a cluster's name has 1 to {CLUSTER_NAME_CHARACTERS_MAX} characters"))
    }
}

/// Reads a slot: `Server:Game:0` as the registry spells it, or shorter, as people type it: `Game:0`, `game/0`.
///
/// # Errors
/// With what to write instead.
pub(super) fn slot(text: &str) -> Result<Slot, String> {
    let form = || "write a slot as `pintail status` shows it, such as Server:Game:0, or shorter: game:0".to_owned();
    let parts: Vec<&str> = text.split([':', '/']).collect();
    let (kind, index) = match parts[..] {
        [kind, index] => (kind, index),
        [server, kind, index] if server.eq_ignore_ascii_case("server") => (kind, index),
        _ => return Err(form()),
    };
    let kind = Kind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind)).ok_or_else(form)?;
    // A number has one spelling only, as in the registry.
    let slot: Slot = format!("Server:{kind}:{index}").parse().map_err(|_| form())?;
    Ok(slot)
}

/// Reads a game's id: as logs have it, or as the name of its record in Redis, `Game:00c0ffee00c0ffee-1`.
///
/// # Errors
/// With what to write instead.
pub(super) fn game_id(text: &str) -> Result<GameId, String> {
    let id = text.strip_prefix("Game:").unwrap_or(text);
    id.parse().map_err(|error| format!("{error}"))
}

/// The most replicas to wait for. A master with more is slowed down by them.
const WAIT_REPLICAS_MAX: u32 = 16;

/// Reads how many replicas to wait for.
///
/// # Errors
/// With what to write instead.
pub(super) fn wait_replicas(text: &str) -> Result<WaitReplicas, String> {
    match text.parse() {
        _ if text == "auto" => Ok(WaitReplicas::Auto),
        Ok(count) if count <= WAIT_REPLICAS_MAX => Ok(WaitReplicas::Count(count)),
        _ => Err(format!("write `auto`, or a number from 0 to {WAIT_REPLICAS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};

    use super::*;

    #[test]
    fn a_number_of_replicas_is_read() {
        for (text, read) in
            [("auto", WaitReplicas::Auto), ("0", WaitReplicas::Count(0)), ("16", WaitReplicas::Count(16))]
        {
            assert_eq!(wait_replicas(text), Ok(read), "{text}");
        }
        for text in ["", "-1", "17", "Auto", "one"] {
            assert!(wait_replicas(text).unwrap_err().contains("`auto`"), "{text}");
        }
    }

    #[test]
    fn a_game_is_read_as_logs_have_it_and_as_redis_has_it() {
        let id = GameId { room: RoomId(0x00c0_ffee_00c0_ffee), round: Round(1) };
        assert_eq!(game_id("00c0ffee00c0ffee-1"), Ok(id));
        assert_eq!(game_id("Game:00c0ffee00c0ffee-1"), Ok(id));
        for text in ["", "Game:", "00c0ffee00c0ffee", "Room:00c0ffee00c0ffee-1", "Game:00c0ffee00c0ffee-1:journal"] {
            assert!(game_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_slot_is_read_as_it_is_shown_and_as_it_is_typed() {
        let game = Slot::new(Kind::Game, 12);
        for text in ["Server:Game:12", "server:game:12", "Server/Game/12", "Game:12", "game:12", "game/12", "GAME/12"] {
            assert_eq!(slot(text), Ok(game), "{text}");
        }
        assert_eq!(slot("gateway:0"), Ok(Slot::new(Kind::Gateway, 0)));
        for text in ["", "game", "12", "game:", "game:-1", "game:+1", "game:x", "gaem:0", "x:Game:0", "Server:Game:0:0"]
        {
            assert!(slot(text).unwrap_err().contains("such as Server:Game:0"), "{text}");
        }
    }
}

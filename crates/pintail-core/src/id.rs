//! Sessions, rooms, games, and the numbers that order what happens in them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::server::ParseError;

/// Serialises a type as the text that it displays and parses.
macro_rules! text_as_serde {
    ($name:ident) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <::std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_as_serde;

/// A random 64-bit id, written as 16 hexadecimal digits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl $name {
            /// A new id, unlike any other for all practical purposes (64 random bits).
            ///
            /// # Panics
            /// If the operating system has no randomness to give.
            #[must_use]
            pub fn random() -> Self {
                Self(u64::from_be_bytes(crate::secret::random_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let wrong = || ParseError::new(text, $expected);
                if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                u64::from_str_radix(text, 16).map(Self).map_err(|_| wrong())
            }
        }

        text_as_serde!($name);
    };
}

random_id! {
    /// A client's identity, which outlives its connections. Public: other players see it; the resume token is the secret.
    SessionId, "a session id (16 hexadecimal digits)"
}

random_id! {
    /// A room's id.
    RoomId, "a room id (16 hexadecimal digits)"
}

impl RoomId {
    /// The id of the room that this request of this session creates: the same request again is the same room.
    #[must_use]
    pub fn derived(session: SessionId, request: RequestId) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(b"pintail room");
        context.update(&session.0.to_be_bytes());
        context.update(&request.0.to_be_bytes());
        let digest = context.finish();
        let (first, _) = digest.as_ref().split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// A number that counts something, with a type of its own so that two can't be swapped.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one; the last one is its own, as a peer may name any.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// How often a room has started a game; the first is 1.
    Round(u32)
}
number! {
    /// The fencing token of a game's ownership: 1 at placement, one more at each change of owner.
    Epoch(u64)
}
number! {
    /// One numbered, deterministic advance of a game; the first is 1.
    Step(u64)
}
number! {
    /// An entry's place in a game's journal; the first is 1, and 0 means "none yet".
    EntryNumber(u64)
}
number! {
    /// A message's place in one direction of a session stream; the first is 1, and 0 means "none yet".
    Seq(u64)
}
number! {
    /// Which connection of a session is the current one: one more at each login or resume.
    Generation(u64)
}
number! {
    /// A client's number for a lobby request: unlike that of any other request of the session.
    RequestId(u64)
}

/// A game's id. It derives from the room and its round, so a start that is retried or raced makes one game.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GameId {
    /// The room that started the game.
    pub room: RoomId,
    /// Which of the room's games it is.
    pub round: Round,
}

impl GameId {
    /// How many bytes the id takes in a game frame's header.
    pub const WIRE_LEN: usize = 12;

    /// The id as it stands in a frame: room, then round, both big-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::WIRE_LEN] {
        let mut bytes = [0; Self::WIRE_LEN];
        bytes[..8].copy_from_slice(&self.room.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.round.0.to_be_bytes());
        bytes
    }

    /// The id that stands in a frame as these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::WIRE_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            room: RoomId(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            round: Round(u32::from_be_bytes([i, j, k, l])),
        }
    }
}

impl fmt::Display for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.room, self.round)
    }
}

impl fmt::Debug for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GameId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new(text, "a game id, such as 00c0ffee00c0ffee-1");
        let (room, round) = text.split_once('-').ok_or_else(wrong)?;
        if !round.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self { room: room.parse().map_err(|_| wrong())?, round: Round(round.parse().map_err(|_| wrong())?) })
    }
}

text_as_serde!(GameId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_game_id_survives_text_bytes_and_json() {
        let id = GameId { room: RoomId(0x0123_4567_89ab_cdef), round: Round(7) };
        assert_eq!(id.to_string(), "0123456789abcdef-7");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(GameId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn a_derived_room_is_the_same_for_the_same_request_only() {
        let room = RoomId::derived(SessionId(1), RequestId(2));
        assert_eq!(room, RoomId::derived(SessionId(1), RequestId(2)));
        assert_ne!(room, RoomId::derived(SessionId(2), RequestId(1)));
        assert_ne!(room, RoomId::derived(SessionId(1), RequestId(3)));
    }

    #[test]
    fn ids_refuse_other_text() {
        for wrong in ["", "12", "0123456789abcdeg", "+123456789abcdef", "0123456789abcdef0"] {
            assert!(wrong.parse::<RoomId>().is_err(), "{wrong}");
        }
        for wrong in ["0123456789abcdef", "0123456789abcdef-", "0123456789abcdef-+1", "0123456789abcdef-99999999999"] {
            assert!(wrong.parse::<GameId>().is_err(), "{wrong}");
        }
    }
}

//! Names that people chose, checked once: players, rooms, game types.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::id::text_as_serde;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("a {what} can't be empty")]
    Empty {
        /// What was to be named.
        what: &'static str,
    },
    /// Longer than names may be.
    #[error("a {what} has at most {limit} characters; this one has {length}")]
    TooLong {
        /// What was to be named.
        what: &'static str,
        /// How many characters it may have.
        limit: usize,
        /// How many it has.
        length: usize,
    },
    /// A character that would spoil a log line, a key or a terminal.
    #[error("a {what} can't contain {character:?}")]
    Character {
        /// What was to be named.
        what: &'static str,
        /// The first such character.
        character: char,
    },
}

fn check(what: &'static str, text: &str, limit: usize, allowed: fn(char) -> bool) -> Result<String, NameError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if let Some(character) = text.chars().find(|&character| !allowed(character)) {
        return Err(NameError::Character { what, character });
    }
    let length = text.chars().count();
    if length > limit {
        return Err(NameError::TooLong { what, limit, length });
    }
    Ok(text.to_owned())
}

/// What a person may call themselves or a room: any script, but nothing that moves the cursor or hides in the text.
fn printable(character: char) -> bool {
    let hidden = matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    );
    !character.is_control() && !hidden
}

fn identifier(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || matches!(character, '-' | '_')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The most characters that it may have.
            pub const CHARACTERS_MAX: usize = $limit;

            /// Checks a name, without the white space around it.
            ///
            /// # Errors
            /// If it is empty, too long, or has a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text, Self::CHARACTERS_MAX, $allowed).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        text_as_serde!($name);
    };
}

name! {
    /// What a player is called. Not unique: the session id tells players apart.
    PlayerName, "player's name", 32, printable
}

name! {
    /// What a room is called. Not unique.
    RoomName, "room's name", 48, printable
}

name! {
    /// A kind of game, such as `gomoku`: lower-case letters, digits, `-` and `_`.
    GameType, "game type", 32, identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_keep_any_script() {
        assert_eq!(PlayerName::new("  Ада Лавлейс ").map(|name| name.to_string()), Ok("Ада Лавлейс".to_owned()));
    }

    #[test]
    fn names_refuse_what_would_spoil_a_line() {
        assert_eq!(PlayerName::new(" \t "), Err(NameError::Empty { what: "player's name" }));
        assert_eq!(
            PlayerName::new("a\u{1b}[2Jb"),
            Err(NameError::Character { what: "player's name", character: '\u{1b}' })
        );
        assert_eq!(
            PlayerName::new("a\u{202e}b"),
            Err(NameError::Character { what: "player's name", character: '\u{202e}' })
        );
        for hidden in ['\u{3164}', '\u{115f}', '\u{e0001}', '\u{200b}'] {
            assert!(PlayerName::new(&format!("a{hidden}b")).is_err(), "{hidden:?}");
        }
        assert_eq!(
            RoomName::new(&"x".repeat(49)),
            Err(NameError::TooLong { what: "room's name", limit: 48, length: 49 })
        );
        assert!(GameType::new("Tic Tac").is_err());
        assert!(GameType::new("tic-tac_2").is_ok());
    }
}

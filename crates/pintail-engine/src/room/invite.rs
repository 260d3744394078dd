//! Invite codes: what friends read to each other to meet in a room.

use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// Digits and letters without those that are taken for each other (0/O, 1/I/L) and without U, so that codes spell
/// fewer words.
const ALPHABET: &[u8] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Six characters that name a room: 729 million codes, so that guessing one finds no room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InviteCode(String);

impl InviteCode {
    /// How many characters it has.
    pub const CHARACTERS: usize = 6;

    /// A new code.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        Self((0..Self::CHARACTERS).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect())
    }

    /// The code that someone typed, in any case and with white space around it; `None` if it can't be one.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        let code = text.trim().to_ascii_uppercase();
        let possible = code.len() == Self::CHARACTERS && code.bytes().all(|byte| ALPHABET.contains(&byte));
        possible.then_some(Self(code))
    }

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let code = InviteCode::random(&mut SmallRng::seed_from_u64(1));
        assert_eq!(InviteCode::typed(code.as_str()), Some(code.clone()));
        assert_eq!(InviteCode::typed(&format!(" {} ", code.as_str().to_lowercase())), Some(code));
        for wrong in ["", "ABCDE", "ABCDEFG", "ABCDE0", "ABCDÉ", "ABCDE*"] {
            assert_eq!(InviteCode::typed(wrong), None, "{wrong}");
        }
    }
}

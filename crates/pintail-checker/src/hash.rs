//! A running hash, by which two orders of events are compared without keeping them.

use pintail::Player;
use serde::{Deserialize, Serialize};

/// The 64-bit FNV-1a hash of everything added so far. It finds accidents; nobody attacks it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(pub u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Adds an input: its number and padding.
    pub fn add_input(&mut self, number: u64, padding: &[u8]) {
        self.add(&number.to_le_bytes());
        self.add(padding);
    }

    /// Adds an input to the order of all: whose, and which.
    pub fn add_applied(&mut self, player: Player, number: u64) {
        self.add(&player.index().to_le_bytes());
        self.add(&number.to_le_bytes());
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_count() {
        let of = |applied: &[(u16, u64)]| {
            let mut hash = Hash::default();
            applied.iter().for_each(|(player, number)| hash.add_applied(Player::new(*player), *number));
            hash
        };
        assert_eq!(of(&[(0, 1), (1, 1)]), of(&[(0, 1), (1, 1)]));
        for other in [&[(1, 1), (0, 1)][..], &[(0, 1)], &[(0, 1), (1, 2)], &[(0, 1), (1, 1), (1, 1)]] {
            assert_ne!(of(other), of(&[(0, 1), (1, 1)]), "{other:?}");
        }
    }
}

//! Which game types a server knows, and how it checks their settings.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::name::GameType;

/// Whether a game outlives its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Fast, and gone with its server.
    Ephemeral,
    /// Every input is committed to the store before anyone sees what it caused.
    Journaled,
}

/// Checks a room's settings (JSON text) for one game type; the error is a sentence for the player.
pub type SettingsCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What a lobby has to know about a game type; it never runs game code beyond the settings check.
#[derive(Clone)]
pub struct GameTypeInfo {
    /// The type's name.
    pub name: GameType,
    /// How many players a game of this type takes.
    pub players: RangeInclusive<u32>,
    /// Whether its games outlive their server.
    pub durability: Durability,
    /// Checks a room's settings.
    pub check_settings: SettingsCheck,
}

impl fmt::Debug for GameTypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GameTypeInfo")
            .field("name", &self.name)
            .field("players", &self.players)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// The game types that a server knows.
#[derive(Debug, Clone, Default)]
pub struct GameCatalog(BTreeMap<GameType, GameTypeInfo>);

impl GameCatalog {
    /// Adds a type; the last one of a name counts.
    pub fn insert(&mut self, info: GameTypeInfo) {
        self.0.insert(info.name.clone(), info);
    }

    /// The type of this name.
    #[must_use]
    pub fn get(&self, name: &GameType) -> Option<&GameTypeInfo> {
        self.0.get(name)
    }

    /// All types, by name.
    pub fn iter(&self) -> impl Iterator<Item = &GameTypeInfo> {
        self.0.values()
    }
}

//! The game types that a server hosts, and games whose type is known only at run time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pintail_core::{GameCatalog, GameType, GameTypeInfo};
use thiserror::Error;

use crate::api::{Context, Game, Refusal, Rules};
use crate::runtime::contain::contain;
use crate::runtime::{Batch, Turn};

/// The game types that a process knows: lobbies check settings with them, game servers run them.
#[derive(Clone, Default)]
pub struct GameTypes(BTreeMap<GameType, Arc<dyn AnyType>>);

impl GameTypes {
    /// No types yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type.
    ///
    /// # Panics
    /// If the type's name is no name for a game type, or another type has it: mistakes to find at the first start.
    #[must_use]
    pub fn with<G: Game>(mut self) -> Self {
        let name = GameType::new(G::NAME);
        let name = name.unwrap_or_else(|error| panic!("`{}` is no name for a game type: {error}", G::NAME));
        let former = self.0.insert(name, Arc::new(TypeOf::<G>(std::marker::PhantomData)));
        assert!(former.is_none(), "two game types are named `{}`", G::NAME);
        self
    }

    /// The types' names.
    pub fn names(&self) -> impl Iterator<Item = &GameType> {
        self.0.keys()
    }

    /// What a lobby has to know about the types.
    #[must_use]
    pub fn catalog(&self) -> GameCatalog {
        let mut catalog = GameCatalog::default();
        for (name, game_type) in &self.0 {
            let rules = game_type.rules();
            let checker = game_type.clone();
            catalog.insert(GameTypeInfo {
                name: name.clone(),
                players: rules.players_min..=rules.players_max,
                durability: rules.durability,
                // The check is game code that runs in a lobby, which outlives its panics as a game server does.
                check_settings: Arc::new(move |settings| match contain(|| checker.check(settings)) {
                    Ok(verdict) => verdict.map_err(|refusal| refusal.to_string()),
                    Err(_) => Err("the game failed on these settings".to_owned()),
                }),
            });
        }
        catalog
    }

    pub(crate) fn get(&self, name: &GameType) -> Option<&Arc<dyn AnyType>> {
        self.0.get(name)
    }
}

impl fmt::Debug for GameTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A game type whose Rust type is not known here.
pub(crate) trait AnyType: Send + Sync {
    fn rules(&self) -> Rules;

    /// Whether a game could be played with these settings (JSON text; empty for the defaults).
    fn check(&self, settings: &str) -> Result<(), Refusal>;

    fn create(&self, settings: &str, turn: &mut Turn) -> Result<Box<dyn AnyGame>, Refusal>;
}

/// A game whose Rust type is not known here.
pub(crate) trait AnyGame: Send {
    fn apply(&mut self, turn: &mut Turn, batch: Batch);
}

/// A snapshot could not be written or read.
#[derive(Debug, Error)]
#[error("the snapshot of a `{game}` game can't be used: {problem}; its type must write as JSON what it reads")]
pub struct SnapshotError {
    game: &'static str,
    problem: serde_json::Error,
}

struct TypeOf<G>(std::marker::PhantomData<fn() -> G>);

impl<G: Game> AnyType for TypeOf<G> {
    fn rules(&self) -> Rules {
        G::RULES
    }

    fn check(&self, settings: &str) -> Result<(), Refusal> {
        parse_settings::<G>(settings).map(drop)
    }

    fn create(&self, settings: &str, turn: &mut Turn) -> Result<Box<dyn AnyGame>, Refusal> {
        let settings = parse_settings::<G>(settings)?;
        Ok(Box::new(G::new(settings, &mut Context::new(turn))?))
    }
}

impl<G: Game> AnyGame for G {
    fn apply(&mut self, turn: &mut Turn, batch: Batch) {
        turn.apply(self, batch);
    }
}

pub(crate) fn parse_settings<G: Game>(text: &str) -> Result<G::Settings, Refusal> {
    let settings = if text.trim().is_empty() {
        G::Settings::default()
    } else {
        serde_json::from_str(text).map_err(|error| Refusal::new(format!("the settings can't be used: {error}")))?
    };
    G::check(&settings)?;
    Ok(settings)
}

/// Writes a game's value as JSON, which a later version of the game can read.
pub(crate) fn snapshot<G: Game>(game: &G) -> Result<Vec<u8>, SnapshotError> {
    serde_json::to_vec(game).map_err(|problem| SnapshotError { game: G::NAME, problem })
}

/// Reads what [`snapshot`] wrote.
pub(crate) fn restore<G: Game>(snapshot: &[u8]) -> Result<G, SnapshotError> {
    serde_json::from_slice(snapshot).map_err(|problem| SnapshotError { game: G::NAME, problem })
}

//! The game types that a server hosts, and games whose type is known only at run time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pintail_core::{GameCatalog, GameType, GameTypeInfo};
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;
use tracing::error;

use crate::api::{Context, Game, Refusal, Rules};
use crate::runtime::contain::{contain, drop_contained};
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
        let former = self.0.insert(name, any_type::<G>());
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

impl fmt::Debug for dyn AnyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyType")
    }
}

/// A game type whose Rust type is not known here.
pub(crate) trait AnyType: Send + Sync {
    fn rules(&self) -> Rules;

    /// Whether a game could be played with these settings (JSON text; empty for the defaults).
    fn check(&self, settings: &str) -> Result<(), Refusal>;

    fn create(&self, settings: &str, turn: &mut Turn) -> Result<Box<dyn AnyGame>, Refusal>;

    /// A game whose value is this. Game code, which may panic.
    fn restore(&self, state: &RawValue) -> Result<Box<dyn AnyGame>, SnapshotError>;
}

/// A game whose Rust type is not known here.
pub(crate) trait AnyGame: Send {
    fn apply(&mut self, turn: &mut Turn, batch: Batch);

    /// The game's value as JSON, which a later version of the game can read. Game code, which may panic.
    fn snapshot(&self) -> Result<Box<RawValue>, SnapshotError>;
}

/// A game's value, whose drop can't hurt anyone else: it is game code too.
pub(crate) struct GameValue(Option<Box<dyn AnyGame>>);

impl GameValue {
    pub(crate) fn new(game: Box<dyn AnyGame>) -> Self {
        Self(Some(game))
    }

    pub(crate) fn get(&self) -> &dyn AnyGame {
        self.0.as_deref().expect("a value is there until it is dropped")
    }

    pub(crate) fn get_mut(&mut self) -> &mut dyn AnyGame {
        self.0.as_deref_mut().expect("a value is there until it is dropped")
    }
}

impl Drop for GameValue {
    fn drop(&mut self) {
        if let Err(panicked) = drop_contained(self.0.take()) {
            error!(%panicked, "a game panicked when it was dropped");
        }
    }
}

impl fmt::Debug for GameValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GameValue")
    }
}

/// A snapshot could not be written or read.
#[derive(Debug, Error)]
#[error("the snapshot of a `{game}` game can't be used: {problem}; its type must write as JSON what it reads")]
pub struct SnapshotError {
    game: &'static str,
    problem: serde_json::Error,
}

/// A game type as games are played whose type is known only at run time.
pub(crate) fn any_type<G: Game>() -> Arc<dyn AnyType> {
    Arc::new(TypeOf::<G>(std::marker::PhantomData))
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

    fn restore(&self, state: &RawValue) -> Result<Box<dyn AnyGame>, SnapshotError> {
        Ok(Box::new(restore::<G>(state)?))
    }
}

impl<G: Game> AnyGame for G {
    fn apply(&mut self, turn: &mut Turn, batch: Batch) {
        turn.apply(self, batch);
    }

    fn snapshot(&self) -> Result<Box<RawValue>, SnapshotError> {
        snapshot(self)
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
pub(crate) fn snapshot<G: Game>(game: &G) -> Result<Box<RawValue>, SnapshotError> {
    to_raw_value(game).map_err(|problem| SnapshotError { game: G::NAME, problem })
}

/// Reads what [`snapshot`] wrote.
pub(crate) fn restore<G: Game>(state: &RawValue) -> Result<G, SnapshotError> {
    serde_json::from_str(state.get()).map_err(|problem| SnapshotError { game: G::NAME, problem })
}

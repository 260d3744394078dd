//! Which game with which settings a room is for, checked once.

use pintail_core::limits::{ROOM_PLAYERS_MAX, SETTINGS_BYTES_MAX};
use pintail_core::{GameCatalog, GameType, GameTypeInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::RoomError;

/// A game, its settings, and how many play it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameChoice {
    /// The game.
    pub game: GameType,
    /// Its settings: a JSON object in one spelling (keys sorted, no white space), or empty for the game's defaults.
    /// Equal settings are equal texts.
    pub settings: String,
    /// How many players a game needs.
    pub players_min: u32,
    /// How many members the room has at most.
    pub players_max: u32,
}

impl GameChoice {
    /// Checks what a player asked for; `players_max` 0 stands for the most that the game takes.
    ///
    /// # Errors
    /// If the game is not known, or refuses the settings or the number of players.
    pub fn check(catalog: &GameCatalog, game: &str, settings: &str, players_max: u32) -> Result<Self, RoomError> {
        let info = find(catalog, game)?;
        let settings = canonical(settings)?;
        (info.check_settings)(&settings).map_err(|why| bad_settings(&why))?;
        let (least, most) = (*info.players.start(), (*info.players.end()).min(ROOM_PLAYERS_MAX));
        let players_max = if players_max == 0 { most } else { players_max };
        if !(least.max(1)..=most).contains(&players_max) {
            return Err(RoomError::BadPlayerCount { game: info.name.clone(), least, most, asked: players_max });
        }
        Ok(Self { game: info.name.clone(), settings, players_min: least, players_max })
    }

    /// How many members the room has at most.
    #[must_use]
    pub fn places(&self) -> usize {
        usize::try_from(self.players_max).unwrap_or(usize::MAX)
    }
}

fn find<'a>(catalog: &'a GameCatalog, game: &str) -> Result<&'a GameTypeInfo, RoomError> {
    GameType::new(game).ok().and_then(|name| catalog.get(&name)).ok_or_else(|| RoomError::unknown_game(catalog))
}

/// The refusal of settings. Parsers quote what they could not read, and that must not reach a terminal as it is.
fn bad_settings(why: &str) -> RoomError {
    const CHARACTERS_MAX: usize = 300;
    let printable = |character: char| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
    RoomError::BadSettings(why.chars().take(CHARACTERS_MAX).map(printable).collect())
}

/// The one spelling of these settings.
fn canonical(settings: &str) -> Result<String, RoomError> {
    let too_long = || bad_settings(&format!("settings have at most {SETTINGS_BYTES_MAX} bytes"));
    if settings.len() > SETTINGS_BYTES_MAX {
        return Err(too_long());
    }
    if settings.trim().is_empty() {
        return Ok(String::new());
    }
    let object: Map<String, Value> = serde_json::from_str(settings)
        .map_err(|error| bad_settings(&format!("settings are a JSON object: {error}")))?;
    if object.is_empty() {
        return Ok(String::new());
    }
    let text = Value::Object(object).to_string();
    // A number can be longer in the one spelling than as it was written.
    if text.len() > SETTINGS_BYTES_MAX { Err(too_long()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pintail_core::Durability;

    use super::*;

    fn catalog() -> GameCatalog {
        let mut catalog = GameCatalog::default();
        catalog.insert(GameTypeInfo {
            name: GameType::new("gomoku").unwrap(),
            players: 2..=1000,
            durability: Durability::Journaled,
            check_settings: Arc::new(|settings| match settings {
                settings if settings.contains("bad") => Err("this game has no `bad\u{1b}[2J`".to_owned()),
                _ => Ok(()),
            }),
        });
        catalog
    }

    #[test]
    fn equal_settings_are_equal_texts() {
        for (asked, kept) in [
            ("", ""),
            (" \n", ""),
            ("{ }", ""),
            (r#" {"b": 1, "a": {"d": true, "c": [1, 2]}} "#, r#"{"a":{"c":[1,2],"d":true},"b":1}"#),
        ] {
            assert_eq!(GameChoice::check(&catalog(), "gomoku", asked, 0).unwrap().settings, kept);
        }
    }

    #[test]
    fn what_is_no_settings_is_refused() {
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(SETTINGS_BYTES_MAX));
        let grows = format!(r#"{{"a":[{}]}}"#, vec!["1e15"; 800].join(","));
        let deep = "[".repeat(2000);
        for settings in ["[]", "1", "{", "null", r#"{"bad":1}"#, &long, &grows, &deep] {
            let refused = GameChoice::check(&catalog(), "gomoku", settings, 0);
            let Err(RoomError::BadSettings(why)) = refused else { panic!("{settings}: {refused:?}") };
            assert!(!why.chars().any(char::is_control), "what is quoted could move a terminal's cursor: {why:?}");
        }
    }

    #[test]
    fn the_number_of_players_is_within_the_games_and_the_rooms_limits() {
        for (asked, kept) in [(0, Some(ROOM_PLAYERS_MAX)), (1, None), (2, Some(2)), (256, Some(256)), (257, None)] {
            let choice = GameChoice::check(&catalog(), "gomoku", "", asked);
            assert_eq!(choice.as_ref().ok().map(|choice| choice.players_max), kept, "{asked}: {choice:?}");
        }
    }

    #[test]
    fn an_unknown_game_is_answered_with_the_known_ones() {
        for game in ["chess", "", "../etc"] {
            let refused = GameChoice::check(&catalog(), game, "", 0);
            assert_eq!(refused, Err(RoomError::UnknownGame { known: "gomoku".to_owned() }));
        }
    }
}

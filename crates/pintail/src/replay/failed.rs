//! The games that failed.

use std::time::Duration;

use pintail_store::{FailedGame, Journals};
use serde_json::json;

use crate::config::args::ReplayArgs;
use crate::failure::Failure;
use crate::output::{print, printable, table, warn};
use crate::serve::patient_store;

/// How many are listed, the newest first.
const LISTED_MAX: u32 = 200;

/// What failed in the code is for operators, and comes out of the code itself.
const WHY: &str = "-> `pintail replay GAME` runs one again, and shows what it did last and how its code failed";

/// Prints the games that failed.
///
/// # Errors
/// If Redis can't be read, or the output can't be written.
pub(super) async fn list(args: &ReplayArgs) -> Result<(), Failure> {
    let games = patient_store(&args.store)?.failed_games(LISTED_MAX).await;
    let url = args.store.redis()?;
    let games =
        games.map_err(|error| Failure::new(format!("can't read the failed games in Redis at {url}: {error}")))?;
    let lines = if args.json { objects(&games) } else { rows(&games) };
    lines.into_iter().try_for_each(print)?;
    if games.len() as u64 >= u64::from(LISTED_MAX) {
        warn(format_args!("only the newest {LISTED_MAX} are listed"));
    }
    Ok(())
}

fn rows(games: &[FailedGame]) -> Vec<String> {
    if games.is_empty() {
        return vec!["no game has failed".to_owned()];
    }
    let heading = ["GAME", "TYPE", "FAILED", "WHAT ITS PLAYERS WERE TOLD"].map(str::to_owned);
    let row = |game: &FailedGame| {
        let failed = format!("{} ago", age(game.age_ms));
        [game.id.to_string(), game.game_type.to_string(), failed, printable(&game.outcome.message)]
    };
    let mut lines = table(&std::iter::once(heading).chain(games.iter().map(row)).collect::<Vec<_>>());
    lines.push(WHY.to_owned());
    lines
}

fn objects(games: &[FailedGame]) -> Vec<String> {
    let object = |game: &FailedGame| {
        json!({
            "game": game.id,
            "game_type": game.game_type,
            "age_ms": game.age_ms,
            "reason": game.outcome.reason,
            "message": game.outcome.message,
        })
    };
    games.iter().map(|game| object(game).to_string()).collect()
}

/// A time in its largest unit, as `3 h`.
fn age(age_ms: u64) -> String {
    let seconds = Duration::from_millis(age_ms).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_in_its_largest_unit() {
        let ages = [0, 119_999, 120_000, 7_199_999, 7_200_000, 172_800_000].map(age);
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}

//! The stock binary: Pintail with the games that come with it.

use std::process::ExitCode;

use pintail::GameTypes;
use pintail::games::{Arena, Echo, Gomoku, JournaledEcho, Match};

fn main() -> ExitCode {
    let games = GameTypes::new().with::<Gomoku>().with::<Arena>();
    pintail::main(games.with::<Echo>().with::<JournaledEcho>().with::<Match>())
}

//! The stock binary: Pintail with the games that come with it.

use std::process::ExitCode;

use pintail::GameTypes;
use pintail::games::{Arena, Echo, Gomoku, JournaledEcho};

fn main() -> ExitCode {
    pintail::main(GameTypes::new().with::<Gomoku>().with::<Arena>().with::<Echo>().with::<JournaledEcho>())
}

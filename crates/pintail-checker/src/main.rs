//! A server binary whose games are the ledgers, and the program that checks it: `pintail-checker check --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pintail_checker::main()
}

//! Counts the instructions of a path with valgrind.
//!
//! The program runs itself under valgrind twice, once with twice as many runs of the path. The difference is that of the
//! path alone: what starting and setting up takes is in both.

use std::io;
use std::process::{Command, Output};

use thiserror::Error;

use crate::Path;

/// How many runs the shorter of the two makes: as many as end with a whole number of snapshots of a journaled game, and
/// enough for the odd growth of a table to disappear in them.
const RUNS: u64 = 4096;

/// The functions of the C library that exist once for each kind of processor are chosen as on the oldest, so that counts are
/// the same on all.
const TUNABLES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-RTM");

/// Why nothing was counted.
#[derive(Debug, Error)]
pub enum CountError {
    /// Valgrind can't be started.
    #[error("valgrind can't be started ({0}): install it with scripts/setup valgrind")]
    NoValgrind(#[source] io::Error),
    /// The path failed under valgrind.
    #[error("{path} fails under valgrind: {output}")]
    Failed {
        /// Which path.
        path: &'static str,
        /// What was said.
        output: String,
    },
    /// Valgrind says something else than it used to.
    #[error("valgrind does not say how many instructions {path} took; a release from 3.15 on is expected: {output}")]
    Unread {
        /// Which path.
        path: &'static str,
        /// What was said.
        output: String,
    },
}

/// The instructions of one run of a path.
///
/// # Errors
/// If valgrind is not there, or does not count.
pub fn count(path: &Path) -> Result<u64, CountError> {
    let (once, twice) = (total(path, RUNS)?, total(path, 2 * RUNS)?);
    Ok(twice.saturating_sub(once) / RUNS)
}

fn total(path: &Path, runs: u64) -> Result<u64, CountError> {
    let program = std::env::current_exe().map_err(CountError::NoValgrind)?;
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", path.name, &runs.to_string()])
        .env(TUNABLES.0, TUNABLES.1)
        .output()
        .map_err(CountError::NoValgrind)?;
    let Output { status, stderr, .. } = output;
    let output = String::from_utf8_lossy(&stderr).into_owned();
    if !status.success() {
        return Err(CountError::Failed { path: path.name, output });
    }
    instructions(&output).ok_or(CountError::Unread { path: path.name, output })
}

/// What stands after `I refs:` or, in later releases, `I   refs:`.
fn instructions(output: &str) -> Option<u64> {
    let (_, number) = output.lines().find_map(|line| {
        let (name, number) = line.rsplit_once(':')?;
        let name: Vec<&str> = name.split_whitespace().rev().take(2).collect();
        (name == ["refs", "I"]).then_some((name, number))
    })?;
    number.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        for (output, count) in [
            ("==1== Cachegrind\n==1== \n==1== I   refs:      1,234,567\n", Some(1_234_567)),
            ("==12== I refs:        42", Some(42)),
            ("==1== D refs: 7", None),
            ("", None),
        ] {
            assert_eq!(instructions(output), count, "{output:?}");
        }
    }
}

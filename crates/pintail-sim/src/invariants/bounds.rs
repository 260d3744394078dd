//! I8: queues stay bounded.

use pintail_core::limits::LINK_OUTBOX_BYTES_MAX;

/// The invariant's name in a failure.
pub const NAME: &str = "I8 bounds";

/// How many commands one turn of a simulated host may lead to: a few for each of a handful of games and players.
const COMMANDS_MAX: usize = 4096;

/// How many calls of one process may be on their way.
const CALLS_MAX: usize = 64;

/// A turn of a host has led to so many commands.
///
/// # Errors
/// If they are too many.
pub fn commands(count: usize) -> Result<(), String> {
    at_most("commands of one turn", count, COMMANDS_MAX)
}

/// So many calls of a process are on their way.
///
/// # Errors
/// If they are too many.
pub fn calls(count: usize) -> Result<(), String> {
    at_most("store calls of one server under way", count, CALLS_MAX)
}

/// So many attaches look for their game at once, of so many sessions.
///
/// # Errors
/// If they are too many.
pub fn waiting(count: usize, sessions: usize) -> Result<(), String> {
    at_most("attaches that look for their game", count, sessions)
}

/// So many bytes waited for one path.
///
/// # Errors
/// If they are too many: one frame more than the limit is noticed by its sender.
pub fn bytes(count: usize) -> Result<(), String> {
    at_most("bytes that wait for a path", count, LINK_OUTBOX_BYTES_MAX * 2)
}

/// A game has a write under way, and no other.
///
/// # Errors
/// If it had one already.
pub fn one_write(is_alone: bool) -> Result<(), String> {
    if is_alone { Ok(()) } else { Err("a game has two writes under way".to_owned()) }
}

fn at_most(what: &str, count: usize, limit: usize) -> Result<(), String> {
    if count <= limit { Ok(()) } else { Err(format!("{count} {what}, over {limit}")) }
}

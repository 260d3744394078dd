//! Names for addresses and threads.

use std::collections::HashMap;
use std::fs;

use crate::{Line, Location};

/// How many characters of a function's name are kept; generic types can grow to thousands.
const FUNCTION_CHARACTERS_MAX: usize = 300;

/// Finds names, each once. While it lives, it keeps what the program's file says of them in memory.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    locations: HashMap<u64, Location>,
    threads: HashMap<u32, String>,
}

impl Resolver {
    /// What is at this address.
    pub(super) fn location(&mut self, address: u64) -> Location {
        self.locations.entry(address).or_insert_with(|| resolve(address)).clone()
    }

    /// What the thread is called. One that has ended can't be asked.
    pub(super) fn thread(&mut self, thread: u32) -> String {
        let name = || match fs::read_to_string(format!("/proc/self/task/{thread}/comm")) {
            Ok(name) => name.trim_end().to_owned(),
            Err(_) => "ended threads".to_owned(),
        };
        self.threads.entry(thread).or_insert_with(name).clone()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        backtrace::clear_symbol_cache();
    }
}

fn resolve(address: u64) -> Location {
    let mut lines = Vec::new();
    let pointer = std::ptr::without_provenance_mut(usize::try_from(address).unwrap_or_default());
    backtrace::resolve(pointer, |symbol| {
        let Some(name) = symbol.name() else { return };
        lines.push(Line {
            // Without the hash that makes the name unique.
            function: format!("{name:#}").chars().take(FUNCTION_CHARACTERS_MAX).collect(),
            file: symbol.filename().map(|file| file.display().to_string()).unwrap_or_default(),
            line: symbol.lineno().unwrap_or_default(),
        });
    });
    if lines.is_empty() {
        lines.push(Line { function: format!("{address:#x}"), file: String::new(), line: 0 });
    }
    Location { address, lines }
}

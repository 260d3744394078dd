//! What keeps a panic of game code inside its game.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs game code. A panic comes back as an error that says what and where.
///
/// The caller gives up what the code may have left half done: nothing is used again after an error.
pub(crate) fn contain<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    install_hook();
    let outer = CONTAINED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(code));
    CONTAINED.set(outer);
    outcome.map_err(Panicked::new)
}

/// Drops a game's value, whose own `drop` is game code too.
pub(crate) fn drop_contained<T>(value: T) -> Result<(), Panicked> {
    contain(move || drop(value))
}

/// Game code panicked: its message and where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at {location}")]
pub(crate) struct Panicked {
    message: String,
    location: String,
}

impl Panicked {
    fn new(panic: Box<dyn Any + Send>) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let message = text.unwrap_or("a panic without a message").to_owned();
        if text.is_none() {
            // A value of the game's own making could panic once more when it is dropped, and nothing would catch that.
            std::mem::forget(panic);
        }
        let location = LOCATION.take().unwrap_or_else(|| "an unknown place".to_owned());
        Self { message, location }
    }
}

/// Keeps contained panics out of the standard error stream, where the host's one log line says it better, and notes
/// where they were: only the hook is told. Other panics are reported as before.
fn install_hook() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CONTAINED.get() {
                LOCATION.set(info.location().map(ToString::to_string));
            } else {
                report(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_as_what_and_where() {
        assert_eq!(contain(|| 7), Ok(7));
        let panicked = contain(|| panic!("seat {} is on fire", 3)).unwrap_err();
        assert_eq!(panicked.message, "seat 3 is on fire");
        assert!(panicked.location.contains("contain.rs"), "{panicked}");
    }

    #[test]
    fn a_panic_in_drop_and_one_with_a_strange_value_are_contained_too() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("boom");
            }
        }
        assert!(drop_contained(Bomb).is_err());
        assert!(contain(|| panic::panic_any(Bomb)).is_err());
    }
}

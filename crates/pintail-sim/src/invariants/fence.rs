//! I6: once a client has heard a game's new owner, it never hears a former one.

use std::collections::BTreeMap;

use pintail_core::Epoch;

/// The invariant's name in a failure.
pub const NAME: &str = "I6 fence";

/// The newest owner that each seat has heard.
#[derive(Debug, Default)]
pub struct Fence {
    heard: BTreeMap<u16, Epoch>,
}

impl Fence {
    /// A player hears an owner.
    ///
    /// # Errors
    /// If it has heard a later one.
    pub fn hear(&mut self, seat: u16, epoch: Epoch) -> Result<(), String> {
        let newest = self.heard.entry(seat).or_insert(epoch);
        if *newest > epoch {
            return Err(format!("seat {seat} hears the owner of epoch {epoch} after that of {newest}"));
        }
        *newest = epoch;
        Ok(())
    }

    /// Epochs may come again.
    pub fn forget(&mut self) {
        self.heard.clear();
    }
}

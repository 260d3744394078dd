//! Removes everything that a store keeps, as a test does with its own.

use super::RedisStore;
use crate::{Result, StoreError};

/// How many keys Redis looks at in one step, and how many are removed in one at most: some milliseconds of its time.
const STEP_KEYS: usize = 1_000;

impl RedisStore {
    /// Removes every key that begins with this store's prefix, and returns how many there were. What is written meanwhile
    /// may stay.
    ///
    /// Redis goes through all of its keys for that, those of others too, in small steps between which it serves others; each
    /// step ends within the options' timeout. How long it takes in all is the caller's to limit: it can be dropped.
    ///
    /// # Errors
    /// If the prefix is empty, because then the keys are everybody's; and as any call.
    pub async fn clear(&self) -> Result<u64> {
        if self.keys.prefix.is_empty() {
            return Err(StoreError::Refused(
                "without a key prefix, there is no telling whose keys they are".to_owned(),
            ));
        }
        let pattern = format!("{}*", literal(&self.keys.prefix));
        let (mut cursor, mut removed) = ("0".to_owned(), 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP_KEYS);
            let (next, keys): (String, Vec<Vec<u8>>) = self.command("", &scan).await?;
            for keys in keys.chunks(STEP_KEYS) {
                removed += self.command::<u64>("", redis::cmd("UNLINK").arg(keys)).await?;
            }
            if next == "0" {
                return Ok(removed);
            }
            cursor = next;
        }
    }
}

/// A text as a pattern that matches it alone.
fn literal(text: &str) -> String {
    text.chars()
        .flat_map(|character| r"*?[]^-\".contains(character).then_some('\\').into_iter().chain([character]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_more_in_a_pattern_is_taken_literally() {
        assert_eq!(literal("bench-0a:"), r"bench\-0a:");
        assert_eq!(literal(r"*?[a]\é"), r"\*\?\[a\]\\é");
    }
}

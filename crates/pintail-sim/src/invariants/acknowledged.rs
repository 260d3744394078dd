//! I1: an input that was acknowledged is in the game's final history exactly once, in its sender's order.

use std::collections::BTreeMap;

use pintail_core::Seq;
use pintail_game::runtime::Now;

use super::Player;
use crate::ledger::{CONTENT_MIN, Entry};

/// The invariant's name in a failure.
pub const NAME: &str = "I1 acknowledged inputs";

/// What players sent and games acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// What each player's client has numbered, by number, and not yet seen acknowledged.
    sent: BTreeMap<Player, BTreeMap<Seq, u64>>,
    /// The first content that each client numbered.
    first: BTreeMap<Player, u64>,
    acknowledged: Vec<(Player, u64, Now)>,
}

impl Acknowledged {
    /// A client has numbered an input.
    pub fn sent(&mut self, player: Player, seq: Seq, content: u64) {
        self.first.entry(player).or_insert(content);
        self.sent.entry(player).or_default().insert(seq, content);
    }

    /// A client is told that everything up to this number is safe. Returns how many inputs that are.
    pub fn acknowledge(&mut self, player: Player, seq: Seq, now: Now) -> u64 {
        let Some(sent) = self.sent.get_mut(&player) else { return 0 };
        let later = sent.split_off(&seq.next());
        let safe = std::mem::replace(sent, later);
        self.acknowledged.extend(safe.values().map(|content| (player, *content, now)));
        safe.len() as u64
    }

    /// Compares with the final history. What was acknowledged after `forgiven` may be missing.
    ///
    /// # Errors
    /// If the invariant is broken.
    pub fn check(&self, history: &[Entry], forgiven: Option<Now>) -> Result<(), String> {
        in_order(history)?;
        let there: std::collections::BTreeSet<u64> = history.iter().map(|entry| entry.what).collect();
        for (player, content, at) in &self.acknowledged {
            if !there.contains(content) && forgiven.is_none_or(|from| *at <= from) {
                return Err(format!(
                    "input {content:x} of {player:?} was acknowledged at {at:?} and is not in the history"
                ));
            }
        }
        self.without_gaps(history, forgiven)
    }

    /// The inputs of one start of a client are applied without gaps, but for those that may be missing.
    fn without_gaps(&self, history: &[Entry], forgiven: Option<Now>) -> Result<(), String> {
        let mut last: BTreeMap<(u16, u64), u64> = BTreeMap::new();
        for entry in history.iter().filter(|entry| entry.what >= CONTENT_MIN) {
            let life = (entry.what - CONTENT_MIN) >> 32;
            let expected = last.get(&(entry.seat, life)).map_or_else(
                || {
                    self.first
                        .iter()
                        .find(|(player, _)| u64::from(player.life) == life & 0xffff && player.seat == entry.seat)
                        .map(|(_, first)| *first)
                },
                |before| Some(before + 1),
            );
            let may_be_missing = |what: u64| {
                let lost = |(player, content, at): &(Player, u64, Now)| {
                    player.seat == entry.seat && *content == what && forgiven.is_some_and(|from| *at > from)
                };
                self.acknowledged.iter().any(lost)
            };
            let follows = |expected: u64| expected <= entry.what && (expected..entry.what).all(may_be_missing);
            if expected.is_some_and(|expected| !follows(expected)) {
                return Err(format!("{:x} of seat {} follows where {expected:x?} should", entry.what, entry.seat));
            }
            last.insert((entry.seat, life), entry.what);
        }
        Ok(())
    }
}

/// Each player's inputs grow: none comes twice, none too late.
fn in_order(history: &[Entry]) -> Result<(), String> {
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for (position, entry) in history.iter().enumerate().filter(|(_, entry)| entry.what >= CONTENT_MIN) {
        if let Some(before) = last.insert(entry.seat, entry.what).filter(|before| *before >= entry.what) {
            return Err(format!(
                "at position {position}, input {:x} of seat {} comes after {before:x}",
                entry.what, entry.seat
            ));
        }
    }
    Ok(())
}

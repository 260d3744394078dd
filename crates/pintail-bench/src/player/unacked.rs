//! The inputs that a game has not acknowledged, in one buffer: keeping one more allocates nothing.

use std::collections::VecDeque;

/// The most inputs that a game may have unacknowledged: with one more it would detach the player.
pub(crate) const UNACKED_MAX: usize = pintail_core::limits::PENDING_INPUTS_MAX;

/// The payloads of consecutive inputs.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    lengths: VecDeque<usize>,
    bytes: VecDeque<u8>,
}

/// There are [`UNACKED_MAX`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Unacked {
    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Keeps one more.
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<(), Full> {
        if self.lengths.len() >= UNACKED_MAX {
            return Err(Full);
        }
        self.lengths.push_back(payload.len());
        self.bytes.extend(payload);
        Ok(())
    }

    /// Forgets the oldest ones.
    pub(crate) fn forget(&mut self, count: usize) {
        let bytes: usize = self.lengths.drain(..count.min(self.lengths.len())).sum();
        self.bytes.drain(..bytes);
    }

    /// All of them, the oldest first.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = self.bytes.make_contiguous();
        self.lengths.iter().map(move |&length| {
            let (payload, after) = rest.split_at(length);
            rest = after;
            payload
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_kept_in_order_until_they_are_forgotten() {
        let mut unacked = Unacked::default();
        for round in 0..100_u8 {
            unacked.push(&[round; 3]).unwrap();
            unacked.push(b"").unwrap();
            unacked.push(&[round; 40]).unwrap();
            let kept: Vec<_> = unacked.each().map(<[u8]>::to_vec).collect();
            assert_eq!(kept.last(), Some(&vec![round; 40]));
            assert_eq!(kept.len(), unacked.len());
            unacked.forget(if round % 2 == 0 { 2 } else { 4 });
        }
        assert_eq!(unacked.len(), 0);
        unacked.forget(5);
        assert_eq!((unacked.len(), unacked.bytes.len()), (0, 0));
    }

    #[test]
    fn no_more_are_kept_than_a_game_takes() {
        let mut unacked = Unacked::default();
        for _ in 0..UNACKED_MAX {
            unacked.push(b"x").unwrap();
        }
        assert_eq!(unacked.push(b"x"), Err(Full));
        unacked.forget(1);
        assert_eq!(unacked.push(b"x"), Ok(()));
    }
}

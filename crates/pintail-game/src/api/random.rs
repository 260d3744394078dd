//! Randomness that comes out the same when a step is run again.

use pintail_core::Step;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The random numbers of one step: ChaCha8 with the game's seed as key and the step as stream.
///
/// They depend on seed and step alone, so there is no generator to keep in the game's state, and no two steps see the
/// same numbers. What each method makes of the stream is fixed here and not taken from a library whose next version
/// may choose otherwise: the same game plays the same on every version and machine.
#[derive(Debug, Clone)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The random numbers of this step of a game with this seed.
    #[must_use]
    pub fn new(seed: u64, step: Step) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..20].copy_from_slice(b"pintail game");
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(step.0);
        Self(generator)
    }

    /// Any number.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `bound` - 1, each as likely as any other (Lemire's method).
    ///
    /// # Panics
    /// If `bound` is 0: there is no such number.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "no number is below 0");
        // The lowest products would make some results likelier than others by one: they are thrown again.
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.next_u32()) * u64::from(bound);
            let [a, b, c, d, low @ ..] = product.to_be_bytes();
            if u32::from_be_bytes(low) >= unfair {
                return u32::from_be_bytes([a, b, c, d]);
            }
        }
    }

    /// One of these, or `None` if there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let count = u32::try_from(from.len()).ok().filter(|&count| count > 0)?;
        from.get(self.below(count) as usize)
    }

    /// Brings these into a random order, each as likely as any other.
    ///
    /// # Panics
    /// If there are 2^32 or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).expect("a game shuffles fewer than 2^32 things");
            items.swap(last, self.below(bound) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_seed_and_step_for_ever() {
        let numbers = |seed, step| {
            let mut random = Random::new(seed, Step(step));
            [random.below(1000), random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
        assert_eq!(numbers(7, 1), GOLDEN, "a change here changes the course of every saved game");
    }

    const GOLDEN: [u32; 4] = [488, 256, 619, 699];

    #[test]
    fn every_number_below_the_bound_is_as_likely() {
        let mut random = Random::new(1, Step(1));
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }

    #[test]
    fn shuffling_keeps_everything() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(3, Step(9)).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
        assert_eq!(Random::new(3, Step(9)).pick::<u8>(&[]), None);
    }
}

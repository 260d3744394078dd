//! Where a step's messages wait until they may be shown.

use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};

use pintail_core::Step;

use super::Now;
use crate::limits::{HELD_BYTES_MAX, HELD_MESSAGES_MAX, HELD_RELIABLE_BYTES_MAX};

/// How much something is that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    /// Bytes of all messages.
    pub(crate) bytes: usize,
    /// Reliable messages.
    pub(crate) reliable: usize,
    /// Bytes of reliable messages.
    pub(crate) reliable_bytes: usize,
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.reliable += other.reliable;
        self.reliable_bytes += other.reliable_bytes;
    }
}

impl SubAssign for Weight {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.reliable -= other.reliable;
        self.reliable_bytes -= other.reliable_bytes;
    }
}

/// What was taken away from something that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Nothing,
    /// So much, and something is left.
    Part(Weight),
    /// All of it.
    Whole,
}

/// Lets out what a step produced once it may be shown. A game that is not durable has nothing to wait for: its gate is
/// opened as soon as a step ran.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    /// The last step that may be shown.
    shown: Step,
    /// What steps produced that have not been let out, in their order.
    held: VecDeque<Held<T>>,
    weight: Weight,
}

#[derive(Debug)]
struct Held<T> {
    step: Step,
    since: Now,
    weight: Weight,
    produced: T,
}

impl<T> Gate<T> {
    pub(crate) const fn new() -> Self {
        let weight = Weight { bytes: 0, reliable: 0, reliable_bytes: 0 };
        Self { shown: Step(0), held: VecDeque::new(), weight }
    }

    /// Takes what a step produced. Steps come in order.
    pub(crate) fn hold(&mut self, now: Now, step: Step, weight: Weight, produced: T) {
        debug_assert!(self.held.back().is_none_or(|last| last.step <= step), "steps come in order");
        self.weight += weight;
        self.held.push_back(Held { step, since: now, weight, produced });
    }

    /// Every step up to this one may be shown. What may be shown once may be shown for ever.
    pub(crate) fn open_to(&mut self, step: Step) {
        self.shown = self.shown.max(step);
    }

    /// The next thing that may leave.
    pub(crate) fn release(&mut self) -> Option<(Step, T)> {
        let shown = self.shown;
        #[cfg(feature = "sabotage")]
        let shown =
            if pintail_core::sabotage::is_on(pintail_core::sabotage::Sabotage::Gate) { Step(u64::MAX) } else { shown };
        let held = self.held.pop_front_if(|held| held.step <= shown)?;
        self.weight -= held.weight;
        Some((held.step, held.produced))
    }

    /// Takes something away from the last that is held of which `take` takes anything.
    pub(crate) fn take_from_last(&mut self, mut take: impl FnMut(&mut T) -> Taken) {
        for (place, held) in self.held.iter_mut().enumerate().rev() {
            match take(&mut held.produced) {
                Taken::Nothing => {}
                Taken::Part(weight) => {
                    held.weight -= weight;
                    self.weight -= weight;
                    return;
                }
                Taken::Whole => {
                    self.weight -= held.weight;
                    self.held.remove(place);
                    return;
                }
            }
        }
    }

    /// The last step whose messages may be shown to anyone.
    pub(crate) const fn shown(&self) -> Step {
        self.shown
    }

    /// What is held, oldest first.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Step, &T)> {
        self.held.iter().map(|held| (held.step, &held.produced))
    }

    /// Since when something has been held.
    pub(crate) fn held_since(&self) -> Option<Now> {
        self.held.front().map(|held| held.since)
    }

    /// Whether there is room for another step.
    pub(crate) const fn has_room(&self) -> bool {
        let Weight { bytes, reliable, reliable_bytes } = self.weight;
        bytes < HELD_BYTES_MAX && reliable < HELD_MESSAGES_MAX && reliable_bytes < HELD_RELIABLE_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIGHT: Weight = Weight { bytes: 0, reliable: 0, reliable_bytes: 0 };

    #[test]
    fn nothing_leaves_before_its_step_may_be_shown() {
        let at = |millis| Now(Duration::from_millis(millis));
        let mut gate = Gate::new();
        for step in 1..=3 {
            gate.hold(at(step), Step(step), LIGHT, step);
        }
        assert_eq!((gate.release(), gate.held_since()), (None, Some(at(1))));
        gate.open_to(Step(2));
        gate.open_to(Step(1));
        assert_eq!(gate.shown(), Step(2), "what may be shown once may be shown for ever");
        assert_eq!(gate.release(), Some((Step(1), 1)));
        assert_eq!(gate.release(), Some((Step(2), 2)));
        assert_eq!((gate.release(), gate.held_since()), (None, Some(at(3))));
        assert!(gate.held().eq([(Step(3), &3)]));
        gate.open_to(Step(3));
        assert_eq!(gate.release(), Some((Step(3), 3)));
        assert_eq!(gate.held_since(), None);
    }

    #[test]
    fn what_is_taken_from_the_last_weighs_no_more() {
        let heavy = Weight { bytes: HELD_BYTES_MAX / 2, ..LIGHT };
        let mut gate = Gate::new();
        for step in 1..=3 {
            gate.hold(Now::default(), Step(step), heavy, step);
        }
        let take = |what: u64, taken| move |step: &mut u64| if *step == what { taken } else { Taken::Nothing };
        gate.take_from_last(take(9, Taken::Whole));
        assert!(!gate.has_room());
        gate.take_from_last(take(2, Taken::Whole));
        assert!(gate.held().map(|(step, _)| step).eq([Step(1), Step(3)]));
        assert!(!gate.has_room());
        gate.take_from_last(take(3, Taken::Part(Weight { bytes: 1, ..LIGHT })));
        assert!(gate.has_room());
        gate.open_to(Step(3));
        while gate.release().is_some() {}
        assert_eq!(gate.weight, LIGHT);
    }

    #[test]
    fn what_is_held_is_bounded() {
        for heavy in [
            Weight { bytes: HELD_BYTES_MAX, ..LIGHT },
            Weight { reliable: HELD_MESSAGES_MAX, ..LIGHT },
            Weight { reliable_bytes: HELD_RELIABLE_BYTES_MAX, ..LIGHT },
        ] {
            let mut gate = Gate::new();
            gate.hold(Now::default(), Step(1), LIGHT, ());
            assert!(gate.has_room());
            gate.hold(Now::default(), Step(2), heavy, ());
            assert!(!gate.has_room(), "{heavy:?}");
            gate.open_to(Step(2));
            while gate.release().is_some() {}
            assert!(gate.has_room());
        }
    }
}

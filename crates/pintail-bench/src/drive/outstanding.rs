//! What was begun and is not done, by when it was due. Without IO.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How exactly it is remembered when something was due. What is counted is so bounded by the time that is waited, and not by
/// the messages that a load sends in it.
const SLOT: Duration = Duration::from_millis(SLOT_MILLIS as u64);

const SLOT_MILLIS: u32 = 100;

const SLOTS_PER_SECOND: u64 = 1000 / SLOT_MILLIS as u64;

/// A tenth of a second, counted from a moment that all slots of a recorder have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u64);

impl Slot {
    /// The slot of a moment, counted from `origin`.
    pub(crate) fn of(at: Instant, origin: Instant) -> Self {
        let since = at.saturating_duration_since(origin);
        // It is asked for each message, so without dividing wide numbers.
        Self(since.as_secs() * SLOTS_PER_SECOND + u64::from(since.subsec_millis() / SLOT_MILLIS))
    }

    /// How long something of this slot has been waited for at least.
    pub(crate) fn waited(self, origin: Instant, now: Instant) -> Duration {
        let end = SLOT.saturating_mul(u32::try_from(self.0.saturating_add(1)).unwrap_or(u32::MAX));
        now.saturating_duration_since(origin).saturating_sub(end)
    }
}

/// How many of one thing were begun and are not done.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    /// None of them is 0.
    slots: BTreeMap<Slot, u64>,
}

impl Outstanding {
    pub(crate) fn len(&self) -> u64 {
        self.slots.values().sum()
    }

    /// So many were begun that were due in this slot.
    pub(crate) fn add(&mut self, slot: Slot, times: u64) {
        if times > 0 {
            *self.slots.entry(slot).or_default() += times;
        }
    }

    /// One of this slot is done. Whoever tells another time of the end than of the beginning means the last one that was due
    /// before, or the first one after it.
    pub(crate) fn take(&mut self, slot: Slot) {
        let before = self.slots.range(..=slot).next_back().or_else(|| self.slots.first_key_value());
        if let Some(slot) = before.map(|(slot, _)| *slot) {
            self.remove(slot, 1);
        }
    }

    /// So many of this slot come to nothing.
    pub(crate) fn remove(&mut self, slot: Slot, times: u64) {
        let Some(left) = self.slots.get_mut(&slot) else { return };
        *left = left.saturating_sub(times);
        if *left == 0 {
            self.slots.remove(&slot);
        }
    }

    /// All of them, the first ones first. None is left.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Slot, u64)> {
        std::mem::take(&mut self.slots).into_iter()
    }
}

/// What was begun and is not done, by its name. There are as many names as a recorder has measures.
#[derive(Debug, Default)]
pub(crate) struct Begun(Vec<(&'static str, Outstanding)>);

impl Begun {
    /// So many of this name were begun.
    pub(crate) fn add(&mut self, name: &'static str, slot: Slot, times: u64) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, Outstanding::default()));
        }
        for (_, outstanding) in self.0.iter_mut().filter(|(known, _)| *known == name) {
            outstanding.add(slot, times);
        }
    }

    /// One of this name is done.
    pub(crate) fn take(&mut self, name: &'static str, slot: Slot) {
        for (_, outstanding) in self.0.iter_mut().filter(|(known, _)| *known == name) {
            outstanding.take(slot);
        }
    }

    /// All of it. None is left.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (&'static str, Slot, u64)> {
        let all = self.0.drain(..);
        all.flat_map(|(name, mut outstanding)| {
            outstanding.drain().map(move |(slot, times)| (name, slot, times)).collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_is_waited_for_is_known_to_a_tenth_of_a_second_and_never_too_long() {
        let origin = Instant::now();
        for (due, now, waited) in [(0, 0, 0), (0, 150, 50), (99, 150, 50), (100, 150, 0), (250, 5_250, 4_950)] {
            let slot = Slot::of(origin + millis(due), origin);
            assert_eq!(slot.waited(origin, origin + millis(now)), millis(waited), "due at {due}, now {now}");
        }
        assert_eq!(Slot::of(origin, origin + millis(900)), Slot(0), "what was due before belongs to the first");
    }

    #[test]
    fn what_is_under_way_is_known_by_its_name() {
        let mut begun = Begun::default();
        begun.add("delivery", Slot(1), 2);
        begun.add("input", Slot(1), 1);
        begun.add("delivery", Slot(2), 1);
        begun.take("delivery", Slot(1));
        begun.take("input", Slot(1));
        begun.take("nothing that was begun", Slot(1));
        assert_eq!(begun.drain().collect::<Vec<_>>(), [("delivery", Slot(1), 1), ("delivery", Slot(2), 1)]);
        assert_eq!(begun.drain().count(), 0);
    }

    #[test]
    fn each_is_done_or_removed_once() {
        let mut outstanding = Outstanding::default();
        outstanding.add(Slot(3), 2);
        outstanding.add(Slot(5), 4);
        outstanding.add(Slot(6), 0);
        // Its own slot, then the nearest before, then the nearest after.
        for (slot, left) in [(5, vec![(3, 2), (5, 3)]), (4, vec![(3, 1), (5, 3)]), (4, vec![(5, 3)]), (4, vec![(5, 2)])]
        {
            outstanding.take(Slot(slot));
            let slots: Vec<_> = outstanding.slots.iter().map(|(slot, times)| (slot.0, *times)).collect();
            assert_eq!(slots, left, "after {slot}");
        }
        outstanding.remove(Slot(5), 1);
        outstanding.remove(Slot(9), 7);
        assert_eq!(outstanding.len(), 1);
        assert_eq!(outstanding.drain().collect::<Vec<_>>(), [(Slot(5), 1)]);
        outstanding.take(Slot(5));
        assert_eq!(outstanding.len(), 0);
    }
}

//! Where a step's messages wait until its inputs are safe.

use std::collections::VecDeque;

use pintail_core::Step;

/// Lets what a step produced out once every input up to that step is safe. A game that is not durable has nothing to
/// wait for: its gate is told that a step is committed as soon as it ran.
#[derive(Debug)]
pub(crate) struct CommitGate<T> {
    committed: Step,
    /// What steps after `committed` produced, in their order.
    held: VecDeque<(Step, T)>,
}

impl<T> CommitGate<T> {
    pub(crate) const fn new() -> Self {
        Self { committed: Step(0), held: VecDeque::new() }
    }

    /// Takes what a step produced. Steps come in order.
    pub(crate) fn hold(&mut self, step: Step, produced: T) {
        debug_assert!(self.held.back().is_none_or(|(last, _)| *last <= step), "steps come in order");
        self.held.push_back((step, produced));
    }

    /// Every input up to this step is safe.
    pub(crate) fn commit(&mut self, step: Step) {
        self.committed = self.committed.max(step);
    }

    /// The next thing that may leave.
    pub(crate) fn release(&mut self) -> Option<(Step, T)> {
        let committed = self.committed;
        self.held.pop_front_if(|(step, _)| *step <= committed)
    }

    /// The last step whose messages may be shown to anyone.
    pub(crate) const fn committed(&self) -> Step {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_step_is_committed() {
        let mut gate = CommitGate::new();
        for step in 1..=3 {
            gate.hold(Step(step), step);
        }
        assert_eq!(gate.release(), None);
        gate.commit(Step(2));
        gate.commit(Step(1));
        assert_eq!(gate.committed(), Step(2), "an old commit changes nothing");
        assert_eq!(gate.release(), Some((Step(1), 1)));
        assert_eq!(gate.release(), Some((Step(2), 2)));
        assert_eq!(gate.release(), None);
        gate.commit(Step(3));
        assert_eq!(gate.release(), Some((Step(3), 3)));
    }
}

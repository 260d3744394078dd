//! Which job may run next.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use pintail_core::limits::LOBBY_REQUESTS_IN_FLIGHT_MAX;

/// How many jobs run at once. Each waits for the store most of its time; this many keep it busy.
pub(crate) const RUNNING_MAX: usize = 256;

/// How many jobs wait. At a millisecond each they are done well within a gateway's patience.
pub(crate) const WAITING_MAX: usize = 16 * 1024;

/// From how many waiting jobs on the server is congested: new work would soon be refused.
pub(crate) const WAITING_COMFORTABLE: usize = WAITING_MAX / 2;

/// How many jobs of one line wait or run: all unanswered requests of a session, twice, because a gateway sends them
/// again over a new link while those of the lost one still run.
pub(crate) const LINE_MAX: usize = 2 * LOBBY_REQUESTS_IN_FLIGHT_MAX;

/// Jobs in lines: those of one line run one after the other in their order, different lines at the same time.
#[derive(Debug)]
pub(crate) struct Backlog<K, J> {
    lines: HashMap<K, Line<J>>,
    /// Lines that have a job to run and none that runs, each once.
    ready: VecDeque<K>,
    waiting: usize,
    running: usize,
}

#[derive(Debug)]
struct Line<J> {
    jobs: VecDeque<J>,
    running: bool,
}

impl<K: Copy + Eq + Hash, J> Backlog<K, J> {
    pub(crate) fn new() -> Self {
        Self { lines: HashMap::new(), ready: VecDeque::new(), waiting: 0, running: 0 }
    }

    /// How many jobs run.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    /// Puts a job at the end of its line; gives it back if there are too many.
    pub(crate) fn push(&mut self, key: K, job: J) -> Result<(), J> {
        if self.waiting >= WAITING_MAX {
            return Err(job);
        }
        let line = self.lines.entry(key).or_insert_with(|| Line { jobs: VecDeque::new(), running: false });
        if line.jobs.len() + usize::from(line.running) >= LINE_MAX {
            return Err(job);
        }
        if line.jobs.is_empty() && !line.running {
            self.ready.push_back(key);
        }
        line.jobs.push_back(job);
        self.waiting += 1;
        Ok(())
    }

    /// The next job to run, if one more may run. Its line waits until [`finish`](Self::finish).
    pub(crate) fn next(&mut self) -> Option<(K, J)> {
        if self.running >= RUNNING_MAX {
            return None;
        }
        let key = self.ready.pop_front()?;
        let line = self.lines.get_mut(&key)?;
        let job = line.jobs.pop_front()?;
        line.running = true;
        self.waiting -= 1;
        self.running += 1;
        Some((key, job))
    }

    /// The running job of this line has ended.
    pub(crate) fn finish(&mut self, key: K) {
        let Some(line) = self.lines.get_mut(&key) else { return };
        assert!(line.running, "only a running job ends");
        line.running = false;
        self.running -= 1;
        if line.jobs.is_empty() {
            self.lines.remove(&key);
        } else {
            self.ready.push_back(key);
        }
    }

    /// How many jobs wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_runs_in_order_and_lines_run_at_once() {
        let mut backlog = Backlog::new();
        for (key, job) in [(1, "a"), (1, "b"), (2, "c")] {
            backlog.push(key, job).unwrap();
        }
        assert_eq!(backlog.next(), Some((1, "a")));
        assert_eq!(backlog.next(), Some((2, "c")));
        assert_eq!(backlog.next(), None, "b waits for a");
        backlog.finish(1);
        assert_eq!(backlog.next(), Some((1, "b")));
        backlog.finish(1);
        backlog.finish(2);
        assert!(backlog.lines.is_empty() && backlog.ready.is_empty(), "an idle line holds no memory");
        assert_eq!((backlog.waiting, backlog.running), (0, 0));
    }

    #[test]
    fn one_line_and_all_together_are_bounded() {
        let mut backlog = Backlog::new();
        for _ in 0..LINE_MAX {
            backlog.push(0, ()).unwrap();
        }
        assert_eq!(backlog.push(0, ()), Err(()));
        let accepted = (1_u32..).take_while(|&key| backlog.push(key, ()).is_ok()).count();
        assert_eq!(accepted + LINE_MAX, WAITING_MAX);
        assert_eq!(backlog.waiting(), WAITING_MAX);
        assert_eq!(std::iter::from_fn(|| backlog.next()).count(), RUNNING_MAX);
    }
}

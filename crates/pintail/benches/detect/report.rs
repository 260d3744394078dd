//! The table of what was measured.

use std::time::Duration;

/// What a fault came to, over all its runs.
pub(crate) struct Figures {
    name: String,
    reach: String,
    times: Vec<Duration>,
    missed: usize,
}

impl Figures {
    /// No runs yet. `reach` is the figure to compare with.
    pub(crate) fn new(name: &str, reach: &str) -> Self {
        Self { name: name.to_owned(), reach: reach.to_owned(), times: Vec::new(), missed: 0 }
    }

    /// Adds a run: how long it took, or `None` if nothing came of it.
    pub(crate) fn add(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => self.times.push(took),
            None => self.missed += 1,
        }
    }

    /// Prints the row.
    pub(crate) fn print(mut self) {
        self.times.sort_unstable();
        let runs = self.times.len() + self.missed;
        let (median, worst) = match self.times.as_slice() {
            [] => ("-".to_owned(), "-".to_owned()),
            times => (shown(median(times)), shown(times[times.len() - 1])),
        };
        let missed = if self.missed == 0 { String::new() } else { format!("  NOT NOTICED {}×", self.missed) };
        println!("{:<52} {:>9} {:>9}  {:<14} {runs:>4}{missed}", self.name, median, worst, self.reach);
    }
}

/// Prints the head of the table.
pub(crate) fn head() {
    println!("{:<52} {:>9} {:>9}  {:<14} {:>4}", "fault → what is noticed", "median", "worst", "to reach", "runs");
}

/// Prints how often something happened that should not.
pub(crate) fn count(name: &str, happened: usize, runs: usize) {
    println!("{name:<52} {:>9} {:>9}  {:<14} {runs:>4}", format!("{happened}×"), "", "0×");
}

/// The middle of sorted times.
fn median(times: &[Duration]) -> Duration {
    let middle = times.len() / 2;
    if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2 }
}

fn shown(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

//! The table of what was measured.

use std::time::Duration;

/// What the players noticed, over all runs of a fault.
pub(crate) struct Figures {
    name: &'static str,
    reach: &'static str,
    /// The players who were concerned, of each run.
    players: usize,
    middles: Vec<Duration>,
    tails: Vec<Duration>,
    longest: Duration,
}

impl Figures {
    /// No runs yet. `reach` is the figure to compare with.
    pub(crate) const fn new(name: &'static str, reach: &'static str) -> Self {
        Self { name, reach, players: 0, middles: Vec::new(), tails: Vec::new(), longest: Duration::ZERO }
    }

    /// Adds a run: the pause of each player who was concerned.
    pub(crate) fn add(&mut self, mut pauses: Vec<Duration>) {
        pauses.sort_unstable();
        let Some(longest) = pauses.last() else { return };
        self.players += pauses.len();
        self.longest = self.longest.max(*longest);
        self.middles.push(quantile(&pauses, 0.5));
        self.tails.push(quantile(&pauses, 0.99));
    }

    /// Prints the row: median and worst run of the players' median, and of their 99th percentile.
    pub(crate) fn print(mut self) {
        let runs = self.middles.len();
        self.middles.sort_unstable();
        self.tails.sort_unstable();
        let pair = |values: &[Duration]| match values {
            [] => "-".to_owned(),
            values => format!("{} / {}", shown(quantile(values, 0.5)), shown(values[values.len() - 1])),
        };
        let (middle, tail, longest) = (pair(&self.middles), pair(&self.tails), shown(self.longest));
        let players = self.players / runs.max(1);
        println!("{:<34} {middle:>13} {tail:>13} {longest:>8} {players:>8} {runs:>5}  {}", self.name, self.reach);
    }
}

/// Prints the head of the table.
pub(crate) fn head() {
    let (middle, tail) = ("p50 (ms)", "p99 (ms)");
    println!(
        "{:<34} {middle:>13} {tail:>13} {:>8} {:>8} {:>5}  to reach",
        "pause of a player", "longest", "players", "runs"
    );
    println!("{:<34} {:>13} {:>13}", "", "median/worst", "median/worst");
}

/// The value below which this share of sorted values lies.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    time.as_millis().to_string()
}

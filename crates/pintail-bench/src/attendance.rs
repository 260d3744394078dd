//! Whether a load was there. A condition that holds while fewer players play than were asked for says nothing about more.

use crate::drive::LoadShape;
use crate::report::Run;
use crate::scenario::Scenario;

/// How a load's players that never came are counted among a run's errors.
pub(crate) const NEVER_READY: &str = "never got ready";

/// The players of a load that has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attendance {
    wanted: u64,
    habit: Habit,
}

/// How a scenario's players come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// All are there before the window begins, and stay.
    Stay,
    /// Most come during the window, and stay.
    Arrive,
    /// They come and go all the time, and others take their places.
    ComeAndGo,
}

/// So many of a hundred who should be there may be away at a moment: between two games, on their way back, or on the way in.
/// It is as exact as a search is.
const AWAY_PERCENT_MAX: u64 = 5;

impl Attendance {
    /// Those of a scenario at the height of a load.
    #[must_use]
    pub fn of(scenario: &Scenario, load: LoadShape) -> Self {
        let habit = match scenario {
            Scenario::Connect(_) => Habit::Arrive,
            // Where an author's games are short, few players are in one at any moment.
            Scenario::Churn(_) | Scenario::Bots(_) => Habit::ComeAndGo,
            _ => Habit::Stay,
        };
        Self { wanted: scenario.whole_rooms(load.largest()), habit }
    }

    /// How many there are to be: whole rooms of players.
    #[must_use]
    pub fn wanted(self) -> u64 {
        self.wanted
    }

    /// How many were missing, in words (`only 6 of 16 came`), unless the whole load was there in this run's window.
    #[must_use]
    pub fn lack(self, run: &Run) -> Option<String> {
        let never_ready = run.errors.get(NEVER_READY).copied().unwrap_or_default();
        let came = run.players.min(self.wanted.saturating_sub(never_ready));
        if came < self.least_at_once() || never_ready > 0 {
            return Some(only(came, self.wanted));
        }
        let mean = mean(run.series.iter().map(|sample| sample.players));
        let stayed = self.habit != Habit::Stay || mean.is_none_or(|mean| mean >= self.most_away_left());
        (!stayed).then(|| format!("only {:.0} of {} were there on average", mean.unwrap_or_default(), self.wanted))
    }

    /// How many have to be there in the same moment, once at least.
    fn least_at_once(self) -> u64 {
        match self.habit {
            Habit::Stay | Habit::Arrive => self.wanted,
            // The last one seldom comes while everybody else is there.
            Habit::ComeAndGo => self.wanted - self.wanted * AWAY_PERCENT_MAX / 100,
        }
    }

    fn most_away_left(self) -> f64 {
        self.wanted as f64 * (100 - AWAY_PERCENT_MAX) as f64 / 100.0
    }
}

/// Of so many players, only some came.
pub(crate) fn only(came: u64, wanted: u64) -> String {
    format!("only {came} of {wanted} came")
}

fn mean(players: impl ExactSizeIterator<Item = u64>) -> Option<f64> {
    let count = players.len();
    (count > 0).then(|| players.sum::<u64>() as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::sample;
    use crate::scenario::{Broadcast, Churn, Connect, Echo};

    fn echo() -> Scenario {
        Scenario::Echo(Echo::default())
    }

    /// A window with these players at the end of each second.
    fn run(players: &[u64]) -> Run {
        let mut run = sample::run(1);
        run.series.truncate(players.len());
        for (sample, players) in run.series.iter_mut().zip(players) {
            sample.players = *players;
        }
        run.players = players.iter().copied().max().unwrap_or_default();
        run
    }

    fn lack(scenario: &Scenario, wanted: u64, players: &[u64]) -> String {
        Attendance::of(scenario, LoadShape::Constant(wanted)).lack(&run(players)).unwrap_or_default()
    }

    #[test]
    fn a_load_is_there_if_all_its_players_are() {
        assert_eq!(lack(&echo(), 16, &[16, 16, 16]), "");
        assert_eq!(lack(&echo(), 16, &[6, 6, 6]), "only 6 of 16 came");
        assert_eq!(lack(&echo(), 16, &[16, 8, 8]), "only 11 of 16 were there on average");
        assert_eq!(lack(&echo(), 100, &[100, 90, 100]), "", "some were on their way back");
        assert_eq!(lack(&echo(), 1, &[]), "only 0 of 1 came");
    }

    #[test]
    fn whoever_never_got_ready_is_missing_even_if_he_came_later() {
        let mut late = run(&[16, 16]);
        late.errors.insert(NEVER_READY.to_owned(), 3);
        let lack = Attendance::of(&echo(), LoadShape::Constant(16)).lack(&late);
        assert_eq!(lack.as_deref(), Some("only 13 of 16 came"));
    }

    #[test]
    fn players_who_log_in_during_the_window_have_to_be_there_at_its_end() {
        let connect = Scenario::Connect(Connect { per_second: Some(50.0) });
        assert_eq!(lack(&connect, 1_000, &[100, 550, 1_000]), "");
        assert_eq!(lack(&connect, 3_200, &[100, 850, 1_600]), "only 1600 of 3200 came");
    }

    #[test]
    fn players_who_come_and_go_are_hardly_ever_all_there() {
        let churn = Scenario::Churn(Churn { stay: Duration::from_secs(2) });
        assert_eq!(lack(&churn, 1_000, &[950, 940, 960]), "");
        assert_eq!(lack(&churn, 1_000, &[640, 600, 620]), "only 640 of 1000 came");
        assert_eq!(lack(&churn, 2, &[1, 1]), "only 1 of 2 came");
    }

    #[test]
    fn a_load_is_made_of_whole_rooms_and_a_ramp_counts_at_its_height() {
        let rooms = Scenario::Broadcast(Broadcast { room_players: 10, ..Broadcast::default() });
        let ramp = LoadShape::Ramp { from: 1, to: 95, over: Duration::from_secs(1) };
        assert_eq!(Attendance::of(&rooms, ramp).wanted(), 100);
    }
}

use proptest::prelude::*;

use super::*;

const PERIOD: Duration = Duration::from_millis(250);

/// A monitor that is shown one load for a while, then the next.
struct Watch {
    monitor: LoadMonitor,
    now: Duration,
}

impl Watch {
    fn new() -> Self {
        Self { monitor: LoadMonitor::new("games"), now: Duration::from_secs(100) }
    }

    fn see(&mut self, load: &Load) -> Condition {
        self.now += PERIOD;
        self.monitor.observe(self.now, load)
    }

    /// What it says after so many periods of this load.
    fn after(&mut self, periods: u32, load: &Load) -> String {
        let seen: Vec<_> = (0..periods).map(|_| self.see(load)).collect();
        seen.last().expect("at least one period").cause.clone()
    }
}

fn games(used: u32, capacity: u32) -> Load {
    Load { used, capacity, ..Load::default() }
}

fn cpu(share: f64) -> Load {
    Load { cpu: Some(share), ..games(0, 9) }
}

fn steps(due: u64, given_up: u64) -> Load {
    Load { steps_due: due, steps_given_up: given_up, ..games(0, 9) }
}

fn unprotected(games: u32) -> Load {
    Load { unprotected: games, ..self::games(games, 9) }
}

fn lag(millis: u64) -> Load {
    Load { commit_lag: Some(Duration::from_millis(millis)), ..games(0, 9) }
}

#[test]
fn each_signal_has_its_thresholds_its_patience_and_its_words() {
    // (for so many periods, this load) → what is said then; empty means smooth.
    let stories: &[&[(u32, Load, &str)]] = &[
        // A full server is full at once, and free again at 95 %.
        &[
            (1, games(999, 1000), ""),
            (1, games(1000, 1000), "games 1000 of 1000"),
            (1, games(951, 1000), "games 951 of 1000"),
        ],
        &[(1, games(1000, 1000), "games 1000 of 1000"), (1, games(950, 1000), ""), (1, games(999, 1000), "")],
        // A small server leaves with its first free place that is 5 % of it.
        &[(1, games(1, 1), "games 1 of 1"), (1, games(0, 1), "")],
        &[(1, games(10, 10), "games 10 of 10"), (1, games(9, 10), "")],
        &[(1, games(0, 0), "games 0 of 0"), (9, games(0, 0), "games 0 of 0")],
        // CPU counts once it lasts: a burst of a second does not.
        &[(8, cpu(0.5), ""), (4, cpu(1.0), ""), (9, cpu(0.5), "")],
        &[(8, cpu(0.97), ""), (1, cpu(0.97), "cpu 97 %"), (20, cpu(0.8), "cpu 80 %"), (8, cpu(0.74), "")],
        &[(9, cpu(0.9), "cpu 90 %"), (9, games(0, 9), "")],
        // Given-up steps, as a share of those that were due.
        &[(8, steps(25, 3), ""), (1, steps(25, 3), "12 % of steps late"), (8, steps(25, 0), "")],
        &[(20, steps(100, 4), ""), (20, steps(0, 0), "")],
        // Commits behind count at once, and stay for two seconds.
        &[
            (1, lag(499), ""),
            (1, lag(800), "commits 800 ms behind"),
            (7, lag(10), "commits 10 ms behind"),
            (1, lag(10), ""),
        ],
        &[(1, lag(800), "commits 800 ms behind"), (20, lag(101), "commits 101 ms behind"), (1, lag(100), "")],
        // What is unprotected counts while it is so, and is all that is said of commits.
        &[
            (1, lag(800), "commits 800 ms behind"),
            (1, unprotected(2), "unprotected: 2 games (the store can't be reached)"),
            (7, unprotected(1), "unprotected: 1 games (the store can't be reached)"),
            (1, unprotected(0), ""),
        ],
        // More than one.
        &[(9, Load { cpu: Some(1.0), ..games(9, 9) }, "games 9 of 9, cpu 100 %")],
    ];
    for (number, story) in stories.iter().enumerate() {
        let mut watch = Watch::new();
        for (periods, load, said) in *story {
            assert_eq!(watch.after(*periods, load), *said, "story {number}, {load:?}");
        }
    }
}

#[test]
fn a_stall_counts_for_as_long_as_it_lasted_and_no_longer_than_the_window() {
    let mut watch = Watch::new();
    watch.after(9, &cpu(0.0));
    // The process was held up for a minute and used no CPU in it; what it used before and after counts little.
    watch.now += Duration::from_secs(60);
    assert_eq!(watch.after(1, &cpu(0.0)), "");
    assert_eq!(watch.after(7, &cpu(1.0)), "", "the window is not yet full of work");
    assert_eq!(watch.after(2, &cpu(1.0)), "cpu 100 %");
}

fn any_load() -> impl Strategy<Value = Load> {
    let share = prop_oneof![Just(None), (0.0..=1.0_f64).prop_map(Some)];
    let lag = prop_oneof![Just(None), (0..2000_u64).prop_map(|millis| Some(Duration::from_millis(millis)))];
    (0..=20_u32, 0..200_u64, 0..=100_u64, lag, share).prop_map(|(used, due, late_percent, commit_lag, cpu)| Load {
        used,
        capacity: 30,
        steps_due: due,
        steps_given_up: due * late_percent / 100,
        commit_lag,
        unprotected: 0,
        cpu,
    })
}

#[test]
fn all_that_can_be_wrong_at_once_stands_in_one_line() {
    let mut watch = Watch::new();
    let load = Load { cpu: Some(1.0), commit_lag: Some(Duration::from_secs(9)), ..steps(100, 100) };
    for load in [load, Load { unprotected: 10_000, ..load }] {
        let said = watch.after(9, &Load { used: 10_000, capacity: 10_000, ..load });
        assert!(said.chars().count() <= pintail_core::limits::CAUSE_CHARACTERS_MAX, "{said}");
    }
}

#[test]
fn a_queue_that_was_long_for_a_moment_counts_for_as_long_as_any_load() {
    let mut watch = Watch { monitor: LoadMonitor::of_queue("waiting requests"), ..Watch::new() };
    assert_eq!(watch.after(1, &games(9, 9)), "waiting requests 9 of 9");
    let periods = u32::try_from(STAY_MIN.as_millis() / PERIOD.as_millis()).unwrap();
    assert_eq!(watch.after(periods - 1, &games(0, 9)), "waiting requests 0 of 9");
    assert_eq!(watch.after(1, &games(0, 9)), "");
}

proptest! {
    /// Whatever is measured, a status that is not about the count lasts as long as it must.
    #[test]
    fn congestion_lasts(loads in proptest::collection::vec(any_load(), 1..200)) {
        let mut watch = Watch::new();
        let mut since = None;
        for load in loads {
            let condition = watch.see(&load);
            match (condition.status, since) {
                (Status::Congested, None) => since = Some(watch.now),
                (Status::Smooth, Some(began)) => {
                    prop_assert!(watch.now - began >= STAY_MIN, "congested for {:?}", watch.now - began);
                    since = None;
                }
                _ => {}
            }
            prop_assert_eq!(condition.status == Status::Smooth, condition.cause.is_empty());
            prop_assert!(condition.cause.chars().count() <= pintail_core::limits::CAUSE_CHARACTERS_MAX);
        }
    }

    /// A load that wanders between the thresholds changes nothing, from whichever side it came.
    #[test]
    fn between_the_thresholds_nothing_changes(
        start in prop_oneof![Just(0.0), Just(1.0)],
        shares in proptest::collection::vec(0.751..0.899_f64, 20..100),
    ) {
        let mut watch = Watch::new();
        let before = watch.after(9, &cpu(start)).is_empty();
        for share in shares {
            prop_assert_eq!(watch.see(&cpu(share)).cause.is_empty(), before);
        }
    }
}

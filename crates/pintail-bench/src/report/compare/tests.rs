use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::{golden, sample};
use super::*;

static SAMPLE: LazyLock<Report> = LazyLock::new(sample::report);

/// A test of five runs whose every figure is this many times that of the sample, and scatters by this share.
fn report(seed: u64, factor: f64, scatter: f64) -> Report {
    let mut random = StdRng::seed_from_u64(seed);
    let mut report = SAMPLE.clone();
    let model = report.runs[0].clone();
    report.runs = (0..5).map(|_| model.clone()).collect();
    for run in &mut report.runs {
        let mut near = |value: f64| {
            // The sum of many small things is normally distributed, near enough.
            let noise: f64 = (0..12).map(|_| random.random_range(-0.5..0.5)).sum();
            value * factor * (1.0 + scatter * noise)
        };
        for measure in run.measures.values_mut() {
            for time in [&mut measure.p50, &mut measure.p99, &mut measure.p999] {
                *time = near(*time as f64) as u64;
            }
        }
        for server in &mut run.servers {
            server.user_seconds = near(server.user_seconds);
            server.system_seconds = near(server.system_seconds);
            server.memory_after = near(server.memory_after as f64) as u64;
        }
        run.seconds = near(run.seconds);
    }
    report
}

fn verdicts(comparison: &Comparison) -> Vec<(&str, Verdict)> {
    comparison.changes.iter().map(|change| (change.figure.as_str(), change.verdict)).collect()
}

#[test]
fn noise_is_called_noise() {
    const COMPARISONS: u64 = 200;
    let mut wrong = 0;
    for seed in 0..COMPARISONS {
        let (before, after) = (report(2 * seed, 1.0, 0.05), report(2 * seed + 1, 1.0, 0.05));
        let comparison = compare(&before, &after).expect("one scenario");
        assert!(comparison.changes.len() > 8, "{comparison}");
        wrong += u64::from(
            comparison.changes.iter().any(|change| change.verdict != Verdict::Noise && change.chance.is_some()),
        );
    }
    // One in twenty is what it promises; the seeds are fixed, so this can't fail by accident.
    assert!(wrong <= COMPARISONS / 20, "{wrong} of {COMPARISONS} comparisons took noise for a change");
}

#[test]
fn a_real_change_is_found_in_both_directions() {
    for seed in 0..20 {
        let (fast, slow) = (report(2 * seed, 1.0, 0.02), report(2 * seed + 1, 1.2, 0.02));
        let worse = compare(&fast, &slow).expect("one scenario");
        let better = compare(&slow, &fast).expect("one scenario");
        for figure in ["throughput", "p99 of delivery", "p50 of login", "CPU per delivery", "server memory"] {
            assert!(verdicts(&worse).contains(&(figure, Verdict::Worse)), "seed {seed}, {figure}: {worse}");
            assert!(verdicts(&better).contains(&(figure, Verdict::Better)), "seed {seed}, {figure}: {better}");
        }
        assert!(worse.is_worse() && !better.is_worse());
    }
}

#[test]
fn a_change_smaller_than_the_noise_is_not_told() {
    let comparison = compare(&report(1, 1.0, 0.1), &report(2, 1.03, 0.1)).expect("one scenario");
    assert!(!comparison.is_worse(), "{comparison}");
}

#[test]
fn equal_runs_that_differ_in_the_last_digit_are_noise() {
    let comparison = compare(&report(1, 1.0, 0.0), &report(1, 1.001, 0.0)).expect("one scenario");
    assert!(!comparison.is_worse(), "{comparison}");
    let comparison = compare(&report(1, 1.0, 0.0), &report(1, 1.1, 0.0)).expect("one scenario");
    assert!(comparison.is_worse(), "{comparison}");
}

#[test]
fn single_runs_tell_nothing_and_say_so() {
    let (mut before, after) = (report(1, 1.0, 0.05), report(2, 2.0, 0.05));
    before.runs.truncate(1);
    let comparison = compare(&before, &after).expect("one scenario");
    assert!(comparison.changes.iter().all(|change| change.verdict == Verdict::Unknown), "{comparison}");
    assert!(comparison.warnings.iter().any(|warning| warning.contains("--runs 5")), "{comparison}");
}

#[test]
fn tests_that_differ_are_refused_or_warned_of() {
    let before = report(1, 1.0, 0.05);
    let mut after = before.clone();
    after.machine.cores = 64;
    after.shape = "ramp".to_owned();
    after.scenario.settings.insert("rate".to_owned(), "10 /s".to_owned());
    after.runs[0].players *= 2;
    after.interrupted = true;
    let refusal = compare(&before, &after).expect_err("another load").to_string();
    for difference in ["rate 20 /s", "rate 10 /s", "then ramp", "1200, then 2400", "--anyway"] {
        assert!(refusal.contains(difference), "{difference}: {refusal}");
    }
    assert_eq!(compare_anyway(&before, &after).expect("one scenario").warnings.len(), 5);

    after.runs[0].primary = "round trip".to_owned();
    assert!(matches!(compare(&before, &after), Err(NotComparable::OtherMeasure { .. })));
    after.scenario.name = "echo".to_owned();
    assert!(matches!(compare(&before, &after), Err(NotComparable::OtherScenario { .. })));
    after.runs.clear();
    assert_eq!(compare(&before, &after), Err(NotComparable::Empty(Which::Second)));
}

#[test]
fn two_tests_of_the_same_load_compare_whatever_their_choices_and_whoever_was_away() {
    let before = report(1, 1.0, 0.05);
    let mut after = report(2, 1.0, 0.05);
    after.seed = Some(8);
    after.runs.iter_mut().for_each(|run| run.players -= 1);
    assert_eq!(compare(&before, &after).expect("the same load").warnings, Vec::<String>::new());
}

#[test]
fn the_comparison_reads_as_it_should() {
    let mut after = report(12, 1.1, 0.02);
    after.machine.cores = 4;
    let comparison = compare(&report(11, 1.0, 0.02), &after).expect("one scenario");
    let text = comparison.to_string();
    for line in text.lines() {
        assert!(line.chars().count() <= 100 && !line.ends_with(' '), "{line:?}");
    }
    golden::check("compare.txt", &text);
}

//! What is measured, told moment by moment.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[test]
fn what_began_in_the_window_counts_whenever_it_is_done() {
    let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
    recorder.took("delivery", start, start + millis(1));
    recorder.open(start + SECOND);
    recorder.took("delivery", start, start + SECOND * 2);
    recorder.took("delivery", start + SECOND, start + SECOND + millis(2));
    recorder.close(start + SECOND * 2);
    recorder.took("delivery", start + SECOND * 2 - millis(1), start + SECOND * 3);
    recorder.took("delivery", start + SECOND * 2, start + SECOND * 3);
    let recording = recorder.finish(start + SECOND * 3);
    let measure = &recording.measures["delivery"];
    assert_eq!(measure.count, 2);
    assert_eq!((measure.min / 100, measure.max / 10_000), (20, 100));
    assert!(recording.errors.is_empty());
}

#[test]
fn of_what_was_not_measured_the_primary_measure_alone_is_there() {
    let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
    recorder.took("login", start, start + millis(1));
    recorder.open(start + SECOND);
    recorder.close(start + SECOND * 2);
    let recording = recorder.finish(start + SECOND * 2);
    assert_eq!(recording.measures.keys().collect::<Vec<_>>(), ["delivery"]);
}

#[test]
fn counts_are_of_the_window_and_errors_of_all_the_time() {
    let (mut recorder, now) = (Recorder::new("x"), Instant::now());
    let act = |recorder: &mut Recorder| {
        recorder.sent(2);
        recorder.received(3);
        recorder.error("trouble");
    };
    act(&mut recorder);
    recorder.open(now);
    act(&mut recorder);
    assert_eq!(recorder.second().tally, Tally { sent: 4, received: 6, errors: 2 });
    recorder.close(now + SECOND);
    act(&mut recorder);
    assert_eq!(recorder.second().tally, Tally { sent: 2, received: 3, errors: 1 });
    assert_eq!(recorder.worst_error(), Some("trouble"));
    let recording = recorder.finish(now + SECOND);
    assert_eq!(recording.counts, [("received".to_owned(), 3), ("sent".to_owned(), 2)].into());
    assert_eq!(recording.errors, [("trouble".to_owned(), 3)].into());
}

#[test]
fn each_second_has_a_latency_of_its_own() {
    let (mut recorder, now) = (Recorder::new("x"), Instant::now());
    assert_eq!(recorder.second().latency, None);
    recorder.took("x", now, now + millis(7));
    recorder.took("other", now, now + millis(900));
    let latency = recorder.second().latency.unwrap();
    assert_eq!((latency.p50 / 10, latency.max / 10), (700, 700));
    assert_eq!(recorder.second().latency, None);
}

/// A server that answers in a millisecond stands still for one second of ten. One that sends a message each 10 ms and
/// waits for each answer would see a single slow one. Who counts from the intended times sees a tenth of all.
#[test]
fn a_server_that_stands_still_shows_in_the_percentiles() {
    let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
    recorder.open(start);
    let stalled = start + SECOND * 4..start + SECOND * 5;
    for number in 0..1000_u32 {
        let intended = start + millis(10) * number;
        let answered = if stalled.contains(&intended) { stalled.end } else { intended } + millis(1);
        recorder.expect("delivery", intended, 1);
        recorder.took("delivery", intended, answered);
    }
    recorder.close(start + SECOND * 10);
    let measure = &recorder.finish(start + SECOND * 10).measures["delivery"];
    assert_eq!(measure.count, 1000);
    assert!(measure.p50 < 1100, "{measure:?}");
    assert!(measure.p99 > 890_000, "{measure:?}");
}

#[test]
fn what_is_never_done_is_lost_and_counts_as_long_as_it_was_waited_for() {
    let mut recorder = Recorder::new("delivery");
    let start = recorder.origin;
    recorder.expect("delivery", start, 5);
    recorder.open(start + SECOND);
    recorder.expect("delivery", start + SECOND, 6);
    recorder.expect("delivery", start + SECOND * 5, 3);
    recorder.took("delivery", start + SECOND, start + SECOND + millis(1));
    recorder.close(start + SECOND * 9);
    recorder.expect("delivery", start + SECOND * 9, 9);
    // Late, and after the window's end; it is not lost.
    recorder.took("delivery", start + SECOND, start + SECOND * 10);
    assert_eq!(recorder.outstanding(), 7);
    let recording = recorder.finish(start + SECOND * 12);
    let measure = &recording.measures["delivery"];
    assert_eq!((measure.count, measure.lost), (9, 7));
    // One of 1 ms, three of 7 s, one of 9 s, four of 11 s: as they were due, not as the window ended.
    assert_eq!((measure.min / 100, measure.p50 / 100_000, measure.max / 100_000), (10, 90, 109));
    let seven = measure.to_histogram().unwrap().count_between(6_890_000, 7_000_000);
    assert_eq!(seven, 3);
    assert_eq!(recording.errors, [("delivery never done".to_owned(), 7)].into());
}

#[test]
fn what_one_measure_lacks_another_does_not_make_up_for() {
    let (mut recorder, start) = (Recorder::new("delivery"), Instant::now());
    recorder.open(start);
    recorder.expect("delivery", start, 1);
    // Nobody expected it, as it is of things that just happen.
    recorder.took("lateness", start, start + millis(1));
    recorder.close(start + SECOND);
    let recording = recorder.finish(start + SECOND);
    assert_eq!((recording.measures["delivery"].lost, recording.measures["lateness"].lost), (1, 0));
}

#[test]
fn what_is_forgotten_is_no_error() {
    let (mut recorder, start) = (Recorder::new("input"), Instant::now());
    recorder.open(start);
    recorder.expect("input", start, 2);
    recorder.took("input", start, start + millis(1));
    recorder.forget("input", start);
    recorder.close(start + SECOND);
    let recording = recorder.finish(start + SECOND * 2);
    assert_eq!((recording.measures["input"].count, recording.errors.len()), (1, 0));
}

#[test]
fn no_bot_makes_more_kinds_than_there_is_room_for() {
    let (mut recorder, now) = (Recorder::new("x"), Instant::now());
    recorder.open(now);
    for number in 0..200 {
        let name: &'static str = Box::leak(format!("{number}").into_boxed_str());
        recorder.took(name, now, now);
        recorder.count(name, 1);
        recorder.error(name);
    }
    let recording = recorder.finish(now);
    assert_eq!(recording.measures.len(), MEASURES_MAX);
    assert_eq!((recording.counts.len(), recording.counts[OTHERS]), (KINDS_MAX + 3, 200 - KINDS_MAX as u64));
    assert_eq!(recording.errors.values().sum::<u64>(), 200 + (200 - MEASURES_MAX as u64 + 1));
}

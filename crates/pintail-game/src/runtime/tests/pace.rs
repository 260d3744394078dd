//! Steps, wake-ups, stalls and floods.

use pintail_core::limits::PENDING_INPUTS_MAX;

use super::*;
use crate::limits::PENDING_ATTACHES_MAX;

#[test]
fn event_driven_games_are_woken_when_they_asked_to_be() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.pass(ms(300));
    world.input(ANN, &Order::Wake(500));
    world.pass(ms(499));
    assert!(world.take_messages(ANN).is_empty());
    world.pass(ms(1));
    assert_eq!(world.take_messages(ANN), ["woken at 800 ms"]);
    world.pass(ms(10_000));
    assert!(world.take_messages(ANN).is_empty(), "woken once");
}

#[test]
fn a_new_wake_up_replaces_the_one_before() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.input(ANN, &Order::Wake(500));
    world.input(ANN, &Order::Wake(900));
    world.pass(ms(2000));
    assert_eq!(world.take_messages(ANN), ["woken at 900 ms"]);
}

#[test]
fn fixed_steps_come_by_themselves_and_inputs_wait_for_them() {
    let mut world = World::playing("metronome");
    world.take(ANN);
    world.raw_input(ANN, b"x");
    world.raw_input(BOB, b"y");
    assert!(world.take(ANN).is_empty());
    world.pass(ms(100));
    assert_eq!(world.take(ANN), [Seen::State("2 at 100 ms".to_owned())]);
    assert!(world.client(ANN).outgoing.is_settled(), "a state message acknowledges too");
    world.pass(ms(250));
    let expected = ["0 at 200 ms", "0 at 300 ms"].map(|text| Seen::State(text.to_owned()));
    assert_eq!(world.take(ANN), expected);
}

#[test]
fn after_a_stall_some_steps_are_made_up_for_and_the_rest_is_not() {
    let mut world = World::playing("metronome");
    world.pass(ms(100));
    world.take(ANN);
    world.stall(ms(2000));
    let seen = world.take(ANN);
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[4], Seen::State("0 at 600 ms".to_owned()), "the game's time is that of its steps");
    assert_eq!(world.stats.overruns, 15);
    world.pass(ms(100));
    assert_eq!(world.take(ANN), [Seen::State("0 at 700 ms".to_owned())]);
}

#[test]
fn a_flood_before_a_fixed_step_detaches_and_loses_nothing() {
    let mut world = World::playing("metronome");
    world.pass(ms(100));
    world.take(ANN);
    for _ in 0..PENDING_INPUTS_MAX + 10 {
        world.raw_input(ANN, b"x");
    }
    assert_eq!(world.take(ANN), [Seen::Detached(GameDetachReason::Flood, true)]);
    world.pass(ms(100));
    assert_eq!(world.take(BOB).last(), Some(&Seen::State(format!("{PENDING_INPUTS_MAX} at 200 ms"))));
    world.attach(ANN);
    world.pass(ms(100));
    assert_eq!(world.take(BOB), [Seen::State("10 at 300 ms".to_owned())]);
}

#[test]
fn all_that_a_client_may_have_sent_can_be_sent_again_at_once() {
    let mut world = World::playing("metronome");
    world.pass(ms(100));
    world.detach(ANN);
    for _ in 0..PENDING_INPUTS_MAX {
        world.number_input(ANN, &Bytes::from("x"));
    }
    world.take(ANN);
    world.reconnect(ANN, LINK);
    assert!(!world.take(ANN).iter().any(|seen| matches!(seen, Seen::Detached(..))));
    world.pass(ms(100));
    assert_eq!(world.take(BOB).last(), Some(&Seen::State(format!("{PENDING_INPUTS_MAX} at 200 ms"))));
}

#[test]
fn attaching_again_and_again_before_a_step_is_a_flood_too() {
    let mut world = World::playing("metronome");
    world.pass(ms(100));
    for _ in 0..PENDING_ATTACHES_MAX {
        world.attach(ANN);
    }
    world.take(ANN);
    world.attach(ANN);
    assert_eq!(world.take(ANN), [Seen::Detached(GameDetachReason::Flood, true)]);
}

#[test]
fn many_inputs_at_once_are_no_flood_where_nothing_holds_them() {
    let mut world = World::playing("probe");
    world.take(BOB);
    let wake = Bytes::from(serde_json::to_vec(&Order::Wake(1)).unwrap());
    for _ in 0..2 * PENDING_INPUTS_MAX + 1 {
        let seq = world.number_input(ANN, &wake);
        let (link, body) = world.input_frame(ANN, seq, &wake);
        world.hold(HostEvent::Frame(link, Frame { kind: kind::link::INPUT, body: body.into() }));
    }
    let before = world.stats.steps;
    world.settle();
    assert_eq!(world.stats.steps, before + 3);
    assert!(!world.take(ANN).iter().any(|seen| matches!(seen, Seen::Detached(..))));
}

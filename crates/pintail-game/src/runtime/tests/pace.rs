//! Steps, wake-ups, stalls and floods.

use std::cell::Cell;

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
fn a_game_that_asks_to_be_woken_at_once_leaves_time_for_others() {
    let mut world = World::playing("probe");
    world.take(ANN);
    world.input(ANN, &Order::Wake(0));
    assert!(world.take_messages(ANN).is_empty());
    world.pass(ms(1));
    assert_eq!(world.take_messages(ANN), ["woken at 1 ms"]);
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

/// Five metronomes whose turns are long: from one look at the clock to the next it takes 30 ms, and a turn may take 50. The
/// first look is where a turn begins.
struct LongTurns {
    world: World,
    games: [GameId; 5],
}

impl LongTurns {
    fn new() -> Self {
        let mut world = World::new();
        let games = [1, 2, 3, 4, 5].map(|room| GameId { room: RoomId(room), round: Round(1) });
        games.iter().for_each(|id| world.place(*id, "metronome", ""));
        Self { world, games }
    }

    /// One turn at this time; how many steps each game has taken since it began.
    fn turn(&mut self, millis: u64) -> [u64; 5] {
        let spent = Cell::new(Duration::ZERO);
        let clock = || {
            let now = spent.get();
            spent.set(now + ms(30));
            Now(now)
        };
        self.world.host.advance(Now(ms(millis)), &Budget::new(&clock, Now(ms(50))), &mut self.world.fx);
        self.games.map(|id| self.world.host.step_of(id) - 1)
    }
}

#[test]
fn a_turn_that_was_cut_short_is_followed_by_one_for_those_who_had_none() {
    let mut turns = LongTurns::new();
    assert_eq!(turns.turn(100), [1, 1, 0, 0, 0]);
    assert_eq!(turns.world.host.next_due(), Some(Now::default()), "it goes on at once");
    assert_eq!(turns.turn(110), [1, 1, 1, 1, 0]);
    assert_eq!(turns.turn(120), [1, 1, 1, 1, 1]);
    assert_eq!(turns.turn(130), [1, 1, 1, 1, 1]);
    assert_eq!(turns.world.host.next_due(), Some(Now(ms(200))));
}

#[test]
fn no_game_starves_however_busy_the_others_are() {
    let mut turns = LongTurns::new();
    // From now on each is due again before all have had their turn, and the first two are touched all the time as well.
    for turn in 1..=50 {
        for id in [turns.games[0], turns.games[1]] {
            turns.world.hold(HostEvent::PlayerLeft(id, SessionId(404)));
        }
        let steps = turns.turn(turn * 100);
        let (fewest, most) = (steps.iter().min().unwrap(), steps.iter().max().unwrap());
        assert!(most - fewest <= 2 * u64::from(crate::limits::CATCH_UP_STEPS_MAX), "{steps:?} in turn {turn}");
    }
    let steps = turns.turn(5100);
    assert!(steps.iter().all(|steps| *steps >= 15), "{steps:?}");
}

#[test]
fn steps_are_not_made_up_for_at_the_cost_of_the_others() {
    let mut turns = LongTurns::new();
    // Three steps are due in each game; after the second step the budget is spent.
    assert_eq!(turns.turn(300), [2, 0, 0, 0, 0]);
    let stats = turns.world.fx.stats;
    assert_eq!((stats.fixed_steps_due, stats.overruns), (3, 1), "what is not made up for is given up");
}

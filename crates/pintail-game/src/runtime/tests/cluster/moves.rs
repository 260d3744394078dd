//! A server drains: its games move, with nothing to replay.

use super::*;

#[test]
fn a_draining_server_hands_its_games_over_and_players_lose_nothing() {
    for game_type in ["diary", "pulse"] {
        let mut cluster = Cluster::playing(game_type, 2);
        cluster.say(ANN, "one");
        cluster.pass(ms(60));
        cluster.take(ANN);
        cluster.say(ANN, "two");
        cluster.event(0, HostEvent::Drain);
        assert_eq!(cluster.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::ServerUnreachable, true)));
        assert_eq!((cluster.server(0).host.unfinished_games(), cluster.stats(0).moved_games), (0, 1));
        assert!(cluster.server(0).host.is_flushed());
        cluster.reattach(ANN, 1);
        cluster.reattach(BOB, 1);
        cluster.say(ANN, "three");
        cluster.pass(ms(500));
        let heard: Vec<_> = cluster.take_messages(BOB).into_iter().filter(|text| text.starts_with("0: ")).collect();
        assert_eq!(heard, ["0: one", "0: two", "0: three"]);
        assert_eq!(cluster.stats(1).takeovers, 0, "that was none");
        assert_eq!(cluster.store.games[&GAME].saved.attempts, 0);
    }
}

#[test]
fn games_move_some_at_a_time_and_one_that_nobody_takes_goes_on() {
    let policy = JournalPolicy { hand_over_batch: 2, ..JournalPolicy::default() };
    let mut cluster = Cluster::with_policy(1, policy);
    for room in 0..5 {
        cluster.place(GameId { room: RoomId(room), round: Round(1) }, "diary");
    }
    cluster.store_answers = false;
    cluster.event(0, HostEvent::Drain);
    assert_eq!(cluster.writes(0), ["HandOver"; 2]);
    cluster.store_answers = true;
    cluster.settle();
    assert_eq!(cluster.server(0).host.unfinished_games(), 5, "they stay, and go on");
    assert!(cluster.next_due(0) > Some(cluster.now));
    cluster.start();
    cluster.pass(ms(1100));
    assert_eq!(cluster.server(0).host.unfinished_games(), 0, "they are tried again");
    assert_eq!(cluster.server(1).host.live_games(), 5);
}

#[test]
fn a_game_that_could_not_move_is_written_on() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.event(0, HostEvent::Drain);
    assert!(cluster.store.games[&GAME].saved.journal.snapshot.is_some(), "what was given a number has to be there");
    cluster.say(ANN, "still here");
    assert_eq!(cluster.take_messages(BOB).last().unwrap(), "0: still here");
    cluster.crash(0);
    cluster.start();
    cluster.take_over(1);
    cluster.reattach(BOB, 1);
    cluster.reattach(ANN, 1);
    cluster.say(ANN, "and there");
    assert_eq!(cluster.take_messages(BOB), ["0: and there"]);
}

#[test]
fn a_server_that_stops_sets_its_journaled_games_aside_and_ends_the_others() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.place(OTHER_GAME, "probe");
    cluster.event(0, HostEvent::Drain);
    assert_eq!(
        cluster.server(0).host.unfinished_games(),
        2,
        "nobody can take the one, and the other is played to its end"
    );
    cluster.event(0, HostEvent::Stop);
    assert_eq!(cluster.store.outcome(OTHER_GAME), Some(EndReason::ServerStopped));
    assert_eq!((cluster.store.outcome(GAME), cluster.store.games[&GAME].waits), (None, true));
    assert!(cluster.server(0).host.is_flushed());
    cluster.start();
    cluster.take_over(1);
    cluster.reattach(BOB, 1);
    assert!(cluster.client(BOB).is_open);
}

#[test]
fn a_hand_over_without_an_answer_is_repeated_and_the_game_stands_still_until_then() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.store_answers = false;
    cluster.event(0, HostEvent::Drain);
    while cluster.writes(0).first().is_some_and(|call| call != "HandOver") {
        cluster.answer(0);
        cluster.settle();
    }
    let (call, incarnation) = cluster.next_call(0).unwrap();
    cluster.store.call(incarnation, &call);
    cluster.store.letters.clear();
    cluster.event(0, failed(&call, StoreFailed::Away));
    let step = cluster.server(0).host.step_of(GAME);
    cluster.pass(ms(1000));
    assert_eq!(cluster.server(0).host.step_of(GAME), step);
    assert_eq!(cluster.next_call(0).unwrap().0, call, "the same again");
    let again = cluster.store.call(incarnation, &call);
    cluster.event(0, again);
    assert_eq!(cluster.server(0).host.live_games(), 0);
    cluster.store_answers = true;
    cluster.scan(1);
    assert_eq!(cluster.server(1).host.live_games(), 1, "the letter was lost, and the scan has found it");
}

#[test]
fn what_waits_for_the_next_step_moves_along() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.event(0, HostEvent::PlayerLeft(GAME, ANN));
    cluster.event(0, HostEvent::Drain);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(500));
    assert!(cluster.take_messages(BOB).contains(&"0 leaves: LeftRoom".to_owned()));
}

#[test]
fn a_game_that_ends_while_it_should_move_just_ends() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.store_answers = false;
    cluster.say(ANN, "end now");
    cluster.event(0, HostEvent::Drain);
    cluster.store_answers = true;
    cluster.settle();
    cluster.pass(ms(100));
    cluster.ack(ANN);
    cluster.ack(BOB);
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
    assert_eq!(cluster.server(0).host.unfinished_games(), 0);
    assert!(cluster.server(0).host.is_flushed());
}

#[test]
fn a_game_that_comes_to_a_draining_server_leaves_again() {
    let mut cluster = Cluster::new(2);
    cluster.event(0, HostEvent::Drain);
    cluster.place(GAME, "diary");
    assert_eq!(cluster.server(0).host.unfinished_games(), 0);
    assert_eq!(cluster.server(1).host.live_games(), 1);
}

#[test]
fn a_draining_server_claims_nothing() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.event(1, HostEvent::Drain);
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.take_over(1);
    assert!(cluster.writes(1).is_empty());
}

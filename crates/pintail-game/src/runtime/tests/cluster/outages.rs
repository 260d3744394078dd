//! The store is away: for all, or for one server alone.

use super::*;
use crate::limits::HELD_STATES_MAX;

/// The store is away for so long, and Ann says something at once.
fn lose_the_store(cluster: &mut Cluster, seen: StoreSight) {
    cluster.store_is_away = true;
    cluster.see_store(0, seen);
    cluster.take(ANN);
    cluster.say(ANN, "anyone?");
}

#[test]
fn a_store_that_is_away_for_all_holds_output_for_a_while_and_then_games_go_on_without_it() {
    for game_type in ["diary", "pulse"] {
        let mut cluster = Cluster::playing(game_type, 2);
        lose_the_store(&mut cluster, StoreSight::Away);
        cluster.pass(ms(1990));
        assert!(!cluster.take_messages(ANN).contains(&"0: anyone?".to_owned()));
        cluster.pass(ms(2100));
        assert!(cluster.take_messages(ANN).contains(&"0: anyone?".to_owned()), "{game_type}");
        let entries = cluster.stats(0).journal_entries;
        cluster.say(BOB, "still here");
        cluster.pass(ms(5000));
        assert!(cluster.take_messages(ANN).contains(&"1: still here".to_owned()));
        assert_eq!(cluster.server(0).host.unprotected_games(), 1);
        assert_eq!((cluster.stats(0).went_unprotected, cluster.stats(0).journal_entries), (1, entries));
        cluster.store_is_away = false;
        cluster.pass(ms(1000));
        assert_eq!(cluster.server(0).host.unprotected_games(), 0, "it is protected again");
        cluster.crash(0);
        cluster.take_over(1);
        cluster.reattach(ANN, 1);
        cluster.reattach(BOB, 1);
        cluster.say(BOB, "and there");
        cluster.pass(ms(500));
        assert!(cluster.take_messages(ANN).contains(&"1: and there".to_owned()), "{game_type}");
    }
}

#[test]
fn a_short_outage_is_held_out_and_loses_nothing() {
    let mut cluster = Cluster::playing("pulse", 1);
    lose_the_store(&mut cluster, StoreSight::Away);
    cluster.pass(ms(1900));
    cluster.store_is_away = false;
    cluster.pass(ms(1000));
    assert!(cluster.take_messages(ANN).contains(&"0: anyone?".to_owned()));
    assert_eq!(cluster.stats(0).went_unprotected, 0);
}

#[test]
fn an_outage_ends_with_the_newest_state_and_few_of_those_before_it() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.pass(ms(1000));
    lose_the_store(&mut cluster, StoreSight::Away);
    cluster.pass(ms(1900));
    cluster.store_is_away = false;
    let before = cluster.server(0).host.step_of(GAME);
    cluster.take(ANN);
    cluster.pass(ms(600));
    let shown = cluster.take_states(ANN);
    let burst = shown.iter().filter(|step| **step <= before).count();
    assert!((1..=HELD_STATES_MAX).contains(&burst), "{shown:?} after step {before}");
    assert_eq!(shown.last(), Some(&cluster.server(0).host.step_of(GAME)), "{shown:?} after step {before}");
}

#[test]
fn a_store_that_keeps_a_few_steps_waiting_costs_no_state() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.pass(ms(1000));
    cluster.take(ANN);
    let first = cluster.server(0).host.step_of(GAME) + 1;
    for _ in 0..10 {
        cluster.store_answers = false;
        cluster.say(ANN, "busy");
        cluster.pass(ms(100));
        cluster.store_answers = true;
        cluster.settle();
    }
    let last = cluster.server(0).host.step_of(GAME);
    assert_eq!(cluster.take_states(ANN), (first..=last).collect::<Vec<_>>());
}

#[test]
fn a_store_that_is_always_slow_starves_nobody() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.pass(ms(1000));
    cluster.store_answers = false;
    for second in 0..10 {
        cluster.take(ANN);
        for _ in 0..10 {
            // Every step has an entry, so none is shown before it is committed.
            cluster.say(ANN, "busy");
            cluster.pass(ms(50));
        }
        cluster.answer(0);
        cluster.settle();
        let shown = cluster.take_states(ANN);
        let behind = shown.last().map(|last| cluster.server(0).host.step_of(GAME) - last);
        assert!(second == 0 || behind.is_some_and(|steps| steps <= 20), "{shown:?}, {behind:?} in round {second}");
    }
}

#[test]
fn a_game_whose_states_nobody_may_see_goes_on_without_keeping_them() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.pass(ms(1000));
    cluster.server(0).renews = false;
    cluster.store_answers = false;
    cluster.pass(ms(30_000));
    cluster.server(0).renews = true;
    cluster.store_answers = true;
    cluster.take(ANN);
    cluster.pass(ms(40));
    let shown = cluster.take_states(ANN);
    assert!((1..=HELD_STATES_MAX + 1).contains(&shown.len()), "{shown:?}");
}

#[test]
fn who_alone_is_cut_off_stays_silent_for_as_long_as_it_takes() {
    for sights in [&[][..], &[StoreSight::Reached]] {
        let mut cluster = Cluster::playing("pulse", 2);
        cluster.server(0).renews = false;
        cluster.store_answers = false;
        sights.iter().for_each(|sight| cluster.see_store(0, *sight));
        cluster.say(ANN, "anyone?");
        cluster.pass(ms(1600));
        cluster.take(ANN);
        cluster.pass(ms(60_000));
        assert!(cluster.take(ANN).is_empty(), "{sights:?}");
        assert_eq!(cluster.server(0).host.unprotected_games(), 0);
        assert!(cluster.next_due(0) > Some(cluster.now), "and it does not spin");
    }
}

#[test]
fn nobody_is_admitted_by_a_server_that_may_have_lost_its_games() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.server(0).renews = false;
    cluster.pass(ms(2000));
    cluster.reattach(ANN, 0);
    assert!(!cluster.client(ANN).is_open);
    let now = cluster.now;
    cluster.event(0, HostEvent::Lease(now + LEASE));
    assert!(cluster.client(ANN).is_open);
}

#[test]
fn an_unprotected_game_falls_silent_when_others_reach_the_store_again() {
    let mut cluster = Cluster::playing("pulse", 2);
    lose_the_store(&mut cluster, StoreSight::Away);
    cluster.pass(ms(5000));
    assert_eq!(cluster.server(0).host.unprotected_games(), 1);
    cluster.see_store(0, StoreSight::Reached);
    cluster.take(ANN);
    cluster.pass(ms(3000));
    assert!(cluster.take(ANN).is_empty(), "the game may be another's by now");
    // It is.
    cluster.store_is_away = false;
    cluster.server(0).renews = false;
    let incarnation = cluster.server_incarnation(0);
    cluster.store.bury(incarnation);
    cluster.pass(ms(1));
    cluster.take_over(1);
    let now = cluster.now;
    cluster.event(0, HostEvent::Lease(now + LEASE));
    cluster.pass(ms(1000));
    assert_eq!(cluster.stats(0).fenced_games, 1, "its snapshot is refused, and it is dropped");
}

#[test]
fn who_holds_the_lease_again_asks_before_it_speaks() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.server(0).renews = false;
    cluster.pass(ms(3000));
    cluster.take(ANN);
    cluster.store_answers = false;
    let now = cluster.now;
    cluster.event(0, HostEvent::Lease(now + LEASE));
    cluster.settle();
    assert!(cluster.take(ANN).is_empty(), "what was written before proves nothing");
    cluster.store_answers = true;
    cluster.pass(ms(100));
    assert!(!cluster.take_states(ANN).is_empty());
}

#[test]
fn a_game_that_ends_while_the_store_is_away_ends_for_its_players_and_later_in_the_store() {
    let mut cluster = Cluster::playing("diary", 1);
    lose_the_store(&mut cluster, StoreSight::Away);
    cluster.say(ANN, "end now");
    cluster.pass(ms(5000));
    assert!(matches!(cluster.take(ANN).last(), Some(Seen::Ended(GameEndReason::Finished, _))));
    cluster.pass(ms(30_000));
    assert_eq!(cluster.store.outcome(GAME), None);
    assert!(!cluster.server(0).host.is_flushed());
    cluster.store_is_away = false;
    cluster.pass(ms(10_000));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
    assert!(!cluster.server(0).host.has_journaled_games());
}

#[test]
fn a_game_that_ended_before_the_lease_ran_out_asks_too_before_it_says_so() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.server(0).renews = false;
    cluster.pass(ms(2000));
    cluster.take(ANN);
    cluster.say(ANN, "end now");
    assert!(cluster.take(ANN).is_empty());
    let incarnation = cluster.server_incarnation(0);
    cluster.store.bury(incarnation);
    cluster.take_over(1);
    let now = cluster.now;
    cluster.event(0, HostEvent::Lease(now + LEASE));
    cluster.pass(ms(500));
    assert_eq!(cluster.take(ANN), [Seen::Detached(GameDetachReason::ServerUnreachable, true)], "it is another's");
    cluster.reattach(ANN, 1);
    assert!(matches!(cluster.take(ANN).last(), Some(Seen::Ended(..))), "whose journal had the end");
}

/// A store that lost its last entries, and the server that had them is gone too.
fn lose_more_than_is_kept(game_type: &str) -> Cluster {
    let mut cluster = Cluster::playing(game_type, 2);
    cluster.say(BOB, "kept");
    cluster.pass(ms(1000));
    let earlier = cluster.store.clone();
    for text in ["lost", "lost too", "and that"] {
        cluster.say(ANN, text);
    }
    cluster.pass(ms(1000));
    for session in [ANN, BOB] {
        cluster.take(session);
    }
    cluster.store = earlier;
    cluster.crash(0);
    cluster.take_over(1);
    cluster
}

#[test]
fn a_game_that_lost_more_than_was_kept_goes_on_from_there_with_its_players() {
    for game_type in ["diary", "pulse"] {
        let mut cluster = lose_more_than_is_kept(game_type);
        for session in [ANN, BOB] {
            cluster.reattach(session, 1);
            cluster.pass(ms(1000));
            let refused = [Seen::Detached(GameDetachReason::StreamBroken, true)];
            assert_eq!(cluster.take(session), refused, "{game_type}: someone may turn up who knows better");
        }
        cluster.pass(ms(3000));
        for session in [ANN, BOB] {
            cluster.client(session).step_seen = Step(0);
            cluster.reattach(session, 1);
            cluster.pass(ms(200));
            assert!(cluster.client(session).is_open, "{game_type}");
        }
        cluster.say(BOB, "again");
        cluster.pass(ms(500));
        let heard = cluster.take_messages(ANN);
        assert!(heard.contains(&"everything".to_owned()) && heard.contains(&"1: again".to_owned()), "{heard:?}");
        // What follows is as safe as ever.
        cluster.crash(1);
        let third = cluster.start();
        cluster.take_over(third);
        for session in [ANN, BOB] {
            cluster.reattach(session, third);
        }
        cluster.say(BOB, "and again");
        cluster.pass(ms(1000));
        let heard = cluster.take_messages(ANN);
        assert!(heard.contains(&"1: and again".to_owned()), "{game_type}: {heard:?}");
    }
}

#[test]
fn a_client_can_make_its_stream_leap_once_only() {
    let mut cluster = lose_more_than_is_kept("diary");
    cluster.pass(ms(5000));
    cluster.reattach(ANN, 1);
    assert!(cluster.client(ANN).is_open);
    for (received, acknowledged) in [(900, 0), (0, 900), (u64::MAX, u64::MAX)] {
        cluster.take(ANN);
        let generation = cluster.client(ANN).generation.0 + 1;
        let attach = Attach { session: ANN.0, generation, room: 7, round: 1, received, step_seen: 0, acknowledged };
        let frame = Frame { kind: kind::link::ATTACH, body: attach.encode_to_vec().into() };
        cluster.event(1, HostEvent::Frame(LINK, frame));
        assert_eq!(cluster.take(ANN), [Seen::Detached(GameDetachReason::StreamBroken, false)]);
    }
}

#[test]
fn a_game_that_ends_when_the_store_has_lost_it_ends_in_the_store_before_its_players_hear() {
    for lost in ["its last entries", "all of it"] {
        let mut cluster = Cluster::playing("diary", 1);
        let mut earlier = cluster.store.clone();
        cluster.say(BOB, "what is lost");
        for session in [ANN, BOB] {
            cluster.take(session);
        }
        if lost == "all of it" {
            earlier.games.clear();
        }
        cluster.store = earlier;
        cluster.store_answers = false;
        cluster.say(ANN, "end now");
        cluster.pass(ms(500));
        assert!(cluster.take(ANN).is_empty(), "{lost}");
        cluster.store_answers = true;
        cluster.pass(ms(1000));
        assert!(matches!(cluster.take(ANN).last(), Some(Seen::Ended(GameEndReason::Finished, _))), "{lost}");
        assert_eq!(cluster.lag(), None, "{lost}: or the server would count as congested");
        if lost == "its last entries" {
            assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
        }
    }
}

#[test]
fn a_drain_while_the_store_is_away_lets_games_go_on() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.store_is_away = true;
    cluster.see_store(0, StoreSight::Away);
    cluster.pass(ms(3000));
    cluster.event(0, HostEvent::Drain);
    cluster.say(ANN, "still here");
    cluster.pass(ms(4000));
    assert!(cluster.take_messages(BOB).contains(&"0: still here".to_owned()));
    cluster.store_is_away = false;
    cluster.pass(ms(5000));
    let second = cluster.server_incarnation(1);
    assert_eq!(cluster.store.owner(GAME).incarnation, second, "it leaves when it can");
}

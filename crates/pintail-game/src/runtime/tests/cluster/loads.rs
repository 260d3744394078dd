//! Games on their way from the store, and those that the store has lost.

use super::*;
use crate::limits::REFRESH_BATCH;

#[test]
fn an_attach_that_comes_before_the_game_is_restored_waits_for_it() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.take_over(1);
    cluster.answer(1);
    cluster.reattach(ANN, 1);
    assert!(!cluster.client(ANN).is_open);
    assert_eq!(cluster.writes(1), ["Load"], "one load for both");
    cluster.store_answers = true;
    cluster.settle();
    assert!(cluster.client(ANN).is_open);
}

#[test]
fn a_game_that_was_asked_for_before_it_was_claimed_is_asked_for_again() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.reattach(ANN, 1);
    let (load, _) = cluster.next_call(1).unwrap();
    let asker = cluster.server_incarnation(1);
    let early = cluster.store.call(asker, &load);
    cluster.take_over(1);
    cluster.answer(1);
    cluster.event(1, early);
    assert!(cluster.take(ANN).iter().all(|seen| !matches!(seen, Seen::Detached(..))));
    cluster.store_answers = true;
    cluster.settle();
    assert!(cluster.client(ANN).is_open);
}

/// A server that found a game in a scan, and not in its memory: what the store has of the game is damaged.
fn find_damaged(cluster: &mut Cluster) -> HostEvent {
    let claimer = cluster.server_incarnation(1);
    let kept = cluster.store.games.get_mut(&GAME).unwrap();
    kept.waits = false;
    kept.saved.record.owner = Owner { incarnation: claimer, epoch: Epoch(2), ..kept.saved.record.owner };
    HostEvent::Damaged(GAME, Some(kept.saved.record.clone()), "a list is missing".to_owned())
}

#[test]
fn a_game_that_the_store_cant_give_is_ended_too() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    let damaged = find_damaged(&mut cluster);
    cluster.store_answers = false;
    cluster.scan(1);
    cluster.reattach(ANN, 1);
    assert_eq!(cluster.writes(1), ["Load"]);
    cluster.next_call(1);
    cluster.event(1, damaged);
    assert_eq!(cluster.take(ANN).last(), Some(&Seen::Ended(GameEndReason::Crashed, String::new())));
    let (end, _) = cluster.next_call(1).unwrap();
    cluster.event(1, failed(&end, StoreFailed::Away));
    cluster.scan(1);
    assert!(cluster.writes(1).is_empty(), "it is not loaded again");
    cluster.store_answers = true;
    cluster.pass(ms(6000));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Crashed));
    assert_eq!(cluster.stats(1).failed_replays, 1);
}

#[test]
fn a_damaged_game_is_ended_by_its_owner_alone_and_by_its_claim_if_its_record_is_damaged_too() {
    let mut cluster = Cluster::playing("diary", 3);
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.reattach(ANN, 2);
    cluster.next_call(2);
    let others = find_damaged(&mut cluster);
    cluster.event(2, others);
    assert_eq!(cluster.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::ServerUnreachable, true)));
    assert!(cluster.writes(2).is_empty());
    cluster.store.games.get_mut(&GAME).unwrap().waits = true;
    cluster.take_over(1);
    cluster.answer(1);
    cluster.settle();
    let (load, _) = cluster.next_call(1).unwrap();
    cluster.store_answers = true;
    cluster.event(1, failed(&load, StoreFailed::Damaged("a list is missing".to_owned())));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Crashed));
}

/// Server 1 has claimed the game and is stopped; server 2 takes the game over meanwhile.
fn outlive_the_lease(cluster: &mut Cluster) {
    cluster.freeze(1);
    cluster.pass(ms(3000));
    cluster.take_over(2);
    cluster.reattach(ANN, 2);
    cluster.reattach(BOB, 2);
    cluster.say(BOB, "with the third");
    cluster.thaw(1);
}

#[test]
fn a_load_that_outlives_the_lease_is_asked_for_anew() {
    // Whether what was kept has come, and waits to be restored.
    for has_come in [true, false] {
        let mut cluster = Cluster::playing("diary", 3);
        cluster.crash(0);
        cluster.store_answers = false;
        cluster.take_over(1);
        cluster.answer(1);
        cluster.settle();
        let (load, asker) = cluster.next_call(1).unwrap();
        let early = cluster.store.call(asker, &load);
        if has_come {
            cluster.hold(1, early.clone());
        }
        cluster.store_answers = true;
        outlive_the_lease(&mut cluster);
        cluster.store_answers = false;
        cluster.hold(1, HostEvent::Lease(cluster.now + LEASE));
        if !has_come {
            cluster.hold(1, early);
        }
        cluster.settle();
        assert_eq!(cluster.server(1).host.live_games(), 0, "{has_come}");
        assert_eq!(cluster.writes(1), ["Load"], "{has_come}");
        cluster.store_answers = true;
        cluster.settle();
        assert_eq!(cluster.server(1).host.unfinished_games(), 0, "it is another's");
        assert_eq!(cluster.server(2).host.live_games(), 1);
    }
}

#[test]
fn what_has_come_and_is_asked_for_anew_is_restored_once_and_from_the_newer_answer() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.take_over(1);
    cluster.answer(1);
    cluster.settle();
    cluster.reattach(ANN, 1);
    let (load, asker) = cluster.next_call(1).unwrap();
    let early = cluster.store.call(asker, &load);
    cluster.hold(1, early);
    cluster.hold(1, HostEvent::Lease(Now::default()));
    cluster.hold(1, HostEvent::Lease(cluster.now + LEASE));
    cluster.settle();
    assert_eq!(cluster.server(1).host.unfinished_games(), 1, "the load that waits for its answer is remembered");
    assert_eq!(cluster.writes(1), ["Load"]);
    cluster.store_answers = true;
    cluster.settle();
    assert_eq!(cluster.server(1).host.live_games(), 1);
    assert!(cluster.client(ANN).is_open, "and so is who waited");
}

#[test]
fn the_end_of_a_game_is_not_taken_for_known_by_an_answer_to_an_earlier_life() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    cluster.say(ANN, "end now");
    cluster.answer(0);
    cluster.settle();
    assert_eq!(cluster.writes(0), ["End"]);
    cluster.event(0, HostEvent::EndAnswered(GAME, Epoch(7), Ok(false)));
    cluster.ack(ANN);
    cluster.ack(BOB);
    assert!(!cluster.server(0).host.is_flushed());
    cluster.answer(0);
    assert!(cluster.server(0).host.is_flushed());
}

#[test]
fn a_claimed_game_that_could_not_be_loaded_is_loaded_later_or_forgotten() {
    for is_ours in [true, false] {
        let mut cluster = Cluster::playing("diary", 2);
        cluster.crash(0);
        cluster.store_answers = false;
        cluster.take_over(1);
        cluster.answer(1);
        cluster.settle();
        let (load, _) = cluster.next_call(1).unwrap();
        cluster.event(1, failed(&load, StoreFailed::Away));
        if !is_ours {
            cluster.store.games.get_mut(&GAME).unwrap().saved.record.owner.incarnation = Incarnation(1);
        }
        cluster.store_answers = true;
        cluster.scan(1);
        assert_eq!(cluster.server(1).host.live_games(), usize::from(is_ours));
        cluster.store_answers = false;
        cluster.take_over(1);
        assert_eq!(cluster.writes(1), ["Claim"], "and others can be claimed");
    }
}

#[test]
fn games_that_the_store_has_lost_are_written_anew_some_at_a_time() {
    let mut cluster = Cluster::new(1);
    let games = REFRESH_BATCH + 8;
    for room in 0..games as u64 {
        cluster.place(GameId { room: RoomId(room), round: Round(1) }, "diary");
    }
    cluster.pass(ms(1000));
    cluster.store.games.clear();
    cluster.store_answers = false;
    cluster.scan(0);
    assert_eq!(cluster.writes(0).len(), REFRESH_BATCH);
    cluster.scan(0);
    cluster.pass(ms(100));
    assert_eq!(cluster.writes(0).len(), games, "and each once");
    cluster.store_answers = true;
    cluster.pass(ms(1000));
    assert_eq!(cluster.store.games.len(), games);
}

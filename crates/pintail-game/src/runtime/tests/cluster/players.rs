//! Players come and go while their game moves.

use super::*;

fn take_over(cluster: &mut Cluster) {
    cluster.crash(0);
    cluster.take_over(1);
}

#[test]
fn an_attach_that_waits_keeps_no_server_busy() {
    let mut cluster = Cluster::playing("diary", 1);
    // Nothing is said in answer, so the acknowledgement is due by itself.
    cluster.say(ANN, "wake 5000");
    cluster.pass(ms(50));
    assert!(!cluster.client(ANN).outgoing.is_settled());
    cluster.store_answers = false;
    cluster.say(ANN, "which is not committed");
    cluster.reattach(ANN, 0);
    cluster.pass(ms(200));
    assert!(!cluster.client(ANN).is_open);
    assert!(cluster.next_due(0) > Some(cluster.now), "{:?} at {:?}", cluster.next_due(0), cluster.now);
    cluster.store_answers = true;
    cluster.settle();
    assert!(cluster.client(ANN).is_open && cluster.client(ANN).outgoing.is_settled());
}

#[test]
fn who_left_before_has_left_after() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.event(0, HostEvent::PlayerLeft(GAME, ANN));
    take_over(&mut cluster);
    cluster.reattach(ANN, 1);
    assert_eq!(cluster.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::NotAPlayer, false)));
    cluster.reattach(BOB, 1);
    cluster.event(1, HostEvent::PlayerLeft(GAME, BOB));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Abandoned));
}

#[test]
fn who_leaves_while_the_game_is_restored_or_settles_has_left_it() {
    for game_type in ["diary", "pulse"] {
        let mut cluster = Cluster::playing(game_type, 2);
        cluster.crash(0);
        cluster.store_answers = false;
        cluster.take_over(1);
        cluster.answer(1);
        cluster.hold(1, HostEvent::PlayerLeft(GAME, ANN));
        cluster.store_answers = true;
        cluster.settle();
        cluster.reattach(BOB, 1);
        cluster.pass(ms(1000));
        assert_eq!(cluster.take_messages(BOB).iter().filter(|text| *text == "0 leaves: LeftRoom").count(), 1);
    }
}

#[test]
fn who_was_away_before_is_given_the_grace_anew_and_is_back_after() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.detach(ANN);
    cluster.pass(ms(15_000));
    take_over(&mut cluster);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(15_000));
    cluster.reattach(ANN, 1);
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard[heard.len() - 2..], ["0 away", "0 back"]);
}

#[test]
fn who_overflowed_before_is_brought_up_to_date_after() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.detach(ANN);
    for _ in 0..9 {
        cluster.say(BOB, "large one");
        cluster.ack(BOB);
    }
    // A snapshot that does not hold what was given up.
    cluster.event(0, HostEvent::StoreDoubted);
    take_over(&mut cluster);
    cluster.take(ANN);
    cluster.reattach(ANN, 1);
    cluster.reattach(BOB, 1);
    let seen = cluster.take(ANN);
    let Seen::Attached { next, .. } = seen[0] else { panic!("{seen:?}") };
    assert!(next > 10, "{seen:?}");
    assert_eq!(seen.last(), Some(&message("everything")));
}

#[test]
fn an_overflow_that_a_replay_knows_nothing_of_leaves_no_gap() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.store_answers = false;
    cluster.detach(ANN);
    cluster.store_answers = true;
    cluster.settle();
    for _ in 0..6 {
        cluster.say(BOB, "large one");
        cluster.ack(BOB);
    }
    cluster.take(ANN);
    cluster.reattach(ANN, 0);
    assert_eq!(cluster.take(ANN).last(), Some(&message("everything")));
    take_over(&mut cluster);
    cluster.reattach(ANN, 1);
    cluster.reattach(BOB, 1);
    cluster.say(BOB, "and?");
    assert_eq!(cluster.take_messages(ANN).last().unwrap(), "1: and?");
}

#[test]
fn nobody_leaps_over_messages_before_the_game_has_promised_to_make_up_for_them() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.detach(ANN);
    for _ in 0..6 {
        cluster.say(BOB, "large one");
        cluster.ack(BOB);
    }
    cluster.take(ANN);
    cluster.store_answers = false;
    cluster.reattach(ANN, 0);
    assert!(!cluster.client(ANN).is_open, "that Ann is behind is not committed");
    cluster.crash(0);
    cluster.store_answers = true;
    cluster.take_over(1);
    cluster.reattach(BOB, 1);
    cluster.reattach(ANN, 1);
    cluster.say(BOB, "and?");
    assert_eq!(cluster.take_messages(ANN).last().unwrap(), "1: and?");
}

#[test]
fn who_falls_behind_while_waiting_to_be_attached_is_brought_up_to_date_first() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.detach(ANN);
    for _ in 0..3 {
        cluster.say(BOB, "large one");
        cluster.ack(BOB);
    }
    cluster.take(ANN);
    cluster.store_answers = false;
    cluster.reattach(ANN, 0);
    for _ in 0..2 {
        cluster.say(BOB, "large one");
    }
    cluster.store_answers = true;
    cluster.settle();
    let seen = cluster.take(ANN);
    assert!(matches!(seen[0], Seen::Attached { next, .. } if next > 7), "{seen:?}");
    assert!(seen.contains(&message("everything")), "{seen:?}");
}

#[test]
fn the_newest_of_two_connections_wins_whoever_comes_first_to_the_new_server() {
    for newest_first in [true, false] {
        let mut cluster = Cluster::playing("diary", 2);
        take_over(&mut cluster);
        let attach = |generation, link, cluster: &mut Cluster| {
            let client = cluster.client(ANN);
            let received = client.incoming.received().0;
            let attach =
                Attach { session: ANN.0, generation, room: 7, round: 1, received, step_seen: 3, acknowledged: 0 };
            let frame = Frame { kind: kind::link::ATTACH, body: attach.encode_to_vec().into() };
            cluster.event(1, HostEvent::Frame(link, frame));
        };
        let client = cluster.clients.get_mut(&ANN).unwrap();
        (client.0.link, client.0.generation, client.0.is_open, client.1) = (OTHER_LINK, Generation(5), false, 1);
        if newest_first {
            attach(5, OTHER_LINK, &mut cluster);
            attach(4, LINK, &mut cluster);
        } else {
            attach(4, LINK, &mut cluster);
            attach(5, OTHER_LINK, &mut cluster);
        }
        assert!(cluster.client(ANN).is_open);
        cluster.say(ANN, "it is me");
        cluster.reattach(BOB, 1);
        assert_eq!(cluster.take_messages(BOB).last().unwrap(), "0: it is me");
    }
}

#[test]
fn a_connection_that_is_lost_while_the_game_settles_is_a_player_who_is_away() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.pass(ms(1130));
    take_over(&mut cluster);
    cluster.reattach(ANN, 1);
    cluster.detach(ANN);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(200));
    assert!(cluster.take_messages(BOB).contains(&"0 away".to_owned()));
    cluster.reattach(ANN, 1);
    cluster.pass(ms(200));
    assert!(cluster.take_messages(BOB).contains(&"0 back".to_owned()));
}

#[test]
fn a_game_that_ends_while_it_settles_ends() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.say(BOB, "end now");
    cluster.pass(ms(60));
    assert!(matches!(cluster.take(BOB).last(), Some(Seen::Ended(..))));
    let game = cluster.store.games.get_mut(&GAME).unwrap();
    game.saved.record.outcome = None;
    cluster.crash(0);
    cluster.take_over(1);
    cluster.take(ANN);
    cluster.reattach(ANN, 1);
    cluster.pass(ms(500));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
}

#[test]
fn inputs_of_one_step_are_bounded_in_bytes() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.take(ANN);
    let large = "x".repeat(60_000);
    for _ in 0..=crate::limits::PENDING_BYTES_MAX / 60_000 {
        let seq = cluster.client(ANN).outgoing.sent().next();
        cluster.client(ANN).outgoing.push_unbounded((), Bytes::from(large.clone()));
        cluster.send(ANN, seq, &Bytes::from(large.clone()));
    }
    cluster.settle();
    assert_eq!(cluster.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::Flood, true)));
}

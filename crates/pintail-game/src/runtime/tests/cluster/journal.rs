//! Nothing of a step that is not committed reaches anyone.

use pintail_store::WriteOutcome;

use super::*;
use crate::limits::HELD_STATES_MAX;

#[test]
fn what_a_step_did_is_shown_once_its_entry_is_committed() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.take(ANN);
    cluster.store_answers = false;
    cluster.say(ANN, "hello");
    cluster.pass(ms(500));
    assert_eq!(cluster.writes(0), ["entries 3-3"]);
    assert!(cluster.take(ANN).is_empty(), "no message, and no acknowledgement");
    assert!(!cluster.client(ANN).outgoing.is_settled());
    assert_eq!(cluster.lag(), Some(ms(500)));
    cluster.say(BOB, "hi");
    cluster.say(ANN, "again");
    assert_eq!(cluster.writes(0).len(), 1, "one write is under way");
    cluster.answer(0);
    cluster.settle();
    assert_eq!(cluster.take_messages(ANN), ["0: hello"]);
    assert_eq!(cluster.writes(0), ["entries 4-5"], "what came meanwhile is one write");
    cluster.store_answers = true;
    cluster.settle();
    assert_eq!(cluster.take_messages(BOB).last().unwrap(), "0: again");
    assert!(cluster.client(ANN).outgoing.is_settled());
    assert_eq!(cluster.lag(), None);
}

#[test]
fn an_end_is_told_to_nobody_before_all_entries_are_committed() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    cluster.take(ANN);
    cluster.say(ANN, "end now");
    assert_eq!((cluster.writes(0), cluster.take(ANN)), (vec!["entries 3-3".to_owned()], vec![]));
    assert!(!cluster.server(0).host.is_flushed());
    cluster.answer(0);
    cluster.settle();
    assert!(matches!(cluster.take(ANN)[..], [Seen::Ended(GameEndReason::Finished, _)]));
    assert_eq!(cluster.writes(0), ["End"]);
    cluster.store_answers = true;
    cluster.settle();
    cluster.ack(ANN);
    cluster.ack(BOB);
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
    assert!(cluster.server(0).host.is_flushed());
    assert!(cluster.server(0).host.has_journaled_games(), "a store that goes back must not bring it back");
    cluster.pass(crate::limits::LINGER);
    assert!(!cluster.server(0).host.has_journaled_games());
}

#[test]
fn an_end_that_came_by_itself_is_in_the_journal_too() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.say(ANN, "until 30");
    cluster.pass(ms(1320));
    cluster.take(ANN);
    assert_eq!(cluster.server(0).host.step_of(GAME), 29);
    cluster.store_answers = false;
    cluster.pass(ms(50));
    assert!(!cluster.take(ANN).iter().any(|seen| matches!(seen, Seen::Ended(..))), "it is not committed");
    cluster.store_answers = true;
    cluster.pass(ms(10));
    assert!(matches!(cluster.take(ANN).last(), Some(Seen::Ended(..))));
    let entries = &cluster.store.games[&GAME].saved.journal.entries;
    let last = crate::journal::Entry::decode(entries.last().unwrap()).unwrap();
    assert_eq!((last.step, last.events), (Step(30), vec![]), "whoever plays it again comes to the same end");
}

#[test]
fn an_end_that_the_store_has_lost_is_told_again() {
    let mut cluster = Cluster::playing("diary", 1);
    let before = cluster.store.clone();
    cluster.say(ANN, "end now");
    cluster.ack(ANN);
    cluster.ack(BOB);
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished));
    cluster.store = before;
    assert_eq!(cluster.store.outcome(GAME), None);
    cluster.scan(0);
    cluster.event(0, HostEvent::StoreDoubted);
    cluster.settle();
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Finished), "and nobody plays it again");
}

#[test]
fn an_attach_is_answered_once_the_game_will_remember_it() {
    let mut cluster = Cluster::new(1);
    cluster.place(GAME, "diary");
    cluster.store_answers = false;
    cluster.join(ANN);
    assert!(cluster.take(ANN).is_empty());
    cluster.answer(0);
    cluster.settle();
    let seen = cluster.take(ANN);
    assert_eq!(seen[0], Seen::Attached { received: 0, next: 1 });
    assert_eq!(seen.len(), 3, "welcome, and that Ann is here: {seen:?}");
}

#[test]
fn a_restarted_client_numbers_on_from_inputs_that_were_not_committed_when_it_came() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    cluster.say(ANN, "one");
    cluster.say(ANN, "two");
    let generation = cluster.client(ANN).generation;
    *cluster.client(ANN) = Client::new(GAME, OTHER_LINK);
    cluster.client(ANN).generation = Generation(generation.0 + 1);
    cluster.attach(ANN, 0);
    cluster.answer(0);
    cluster.settle();
    assert!(cluster.take(ANN).is_empty(), "the second is not committed");
    cluster.store_answers = true;
    cluster.settle();
    assert!(matches!(cluster.take(ANN)[0], Seen::Attached { received: 2, .. }));
    cluster.say(ANN, "three");
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard[heard.len() - 3..], ["0: one", "0: two", "0: three"]);
}

#[test]
fn quiet_steps_leave_at_once_as_far_as_the_last_entry_reaches() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.pass(ms(1000));
    cluster.take(ANN);
    cluster.store_answers = false;
    let before = cluster.stats(0);
    cluster.pass(ms(2000));
    let shown = cluster.take_states(ANN);
    assert!((5..=10).contains(&shown.len()), "{shown:?}");
    assert!(shown.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{shown:?}");
    assert_eq!(cluster.server(0).stats.steps - before.steps, 40, "stepping never waits for the store");
    cluster.store_answers = true;
    cluster.settle();
    let late = cluster.take_states(ANN);
    assert_eq!(late.len(), HELD_STATES_MAX, "a long wait does not end in a burst: {late:?}");
    assert_eq!(late.last(), Some(&cluster.server(0).host.step_of(GAME)));
    let before = cluster.stats(0);
    cluster.pass(ms(10_000));
    let entries = cluster.stats(0).journal_entries - before.journal_entries;
    assert!((30..=40).contains(&entries), "{entries} entries in 10 s without events");
    assert_eq!(cluster.take_states(ANN).len(), 200);
}

#[test]
fn a_client_that_comes_back_is_sent_the_latest_state() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.say(ANN, "state 1");
    cluster.take(BOB);
    cluster.detach(BOB);
    cluster.say(ANN, "state 2");
    cluster.say(ANN, "state 3");
    cluster.reattach(BOB, 0);
    let states: Vec<_> = cluster.take(BOB).into_iter().filter(|seen| matches!(seen, Seen::State(_))).collect();
    let [Seen::State(text)] = &states[..] else { panic!("{states:?}") };
    assert!(text.starts_with("state 3"), "{text}");
    cluster.reattach(BOB, 0);
    assert!(!cluster.take(BOB).iter().any(|seen| matches!(seen, Seen::State(_))), "it is no news any more");
}

#[test]
fn a_write_whose_answer_is_lost_is_repeated_and_counts_once() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    cluster.say(ANN, "once");
    let (call, incarnation) = cluster.next_call(0).unwrap();
    cluster.store.call(incarnation, &call);
    cluster.event(0, failed(&call, StoreFailed::Away));
    cluster.say(ANN, "twice");
    cluster.pass(ms(1000));
    assert_eq!(cluster.writes(0), ["entries 3-4"]);
    cluster.store_answers = true;
    cluster.settle();
    assert_eq!(cluster.journal_end(), EntryNumber(4));
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard[heard.len() - 2..], ["0: once", "0: twice"]);
}

#[test]
fn a_store_that_lost_something_is_mended_by_a_snapshot_and_players_notice_nothing() {
    type Loss = fn(&mut Cluster);
    let losses: [(Loss, &str); 4] = [
        (|cluster| drop(cluster.store.games.get_mut(&GAME).unwrap().saved.journal.entries.pop()), "an entry"),
        (|cluster| cluster.store.games.get_mut(&GAME).unwrap().saved.journal = SavedJournal::default(), "all entries"),
        (|cluster| cluster.store.games.get_mut(&GAME).unwrap().saved.record.owner.epoch = Epoch(0), "a claim"),
        (|cluster| cluster.store.games.clear(), "the game"),
    ];
    for (loss, what) in losses {
        let mut cluster = Cluster::playing("diary", 2);
        loss(&mut cluster);
        cluster.say(ANN, "still here");
        assert_eq!(cluster.take_messages(BOB).last().unwrap(), "0: still here", "after {what} was lost");
        cluster.crash(0);
        cluster.take_over(1);
        cluster.reattach(BOB, 1);
        cluster.reattach(ANN, 1);
        cluster.say(ANN, "and there");
        assert_eq!(cluster.take_messages(BOB), ["0: and there"], "after {what} was lost");
    }
}

#[test]
fn a_snapshot_holds_the_state_that_was_not_yet_shown() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.store_answers = false;
    cluster.say(ANN, "state 7");
    cluster.next_call(0);
    cluster.event(0, HostEvent::Written(GAME, Epoch(1), EntryNumber(3), Ok(WriteOutcome::Gap)));
    let (snapshot, incarnation) = cluster.next_call(0).unwrap();
    cluster.store.call(incarnation, &snapshot);
    cluster.store_answers = true;
    cluster.crash(0);
    cluster.take_over(1);
    cluster.take(BOB);
    cluster.reattach(BOB, 1);
    let seen = cluster.take(BOB);
    assert!(matches!(seen.last(), Some(Seen::State(text)) if text.starts_with("state 7")), "{seen:?}");
}

#[test]
fn a_store_that_came_back_empty_is_told_of_games_that_have_nothing_to_write() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store.games.clear();
    cluster.pass(ms(1000));
    cluster.scan(0);
    cluster.pass(ms(100));
    let kept = &cluster.store.games[&GAME].saved;
    assert!(kept.journal.snapshot.is_some(), "without one, the next owner would begin again");
    assert_eq!(cluster.server(0).host.live_games(), 1);
}

#[test]
fn every_game_is_written_anew_when_the_store_may_have_lost_something() {
    let mut cluster = Cluster::new(1);
    let games: Vec<_> = (0..100).map(|room| GameId { room: RoomId(room), round: Round(1) }).collect();
    games.iter().for_each(|id| cluster.place(*id, "diary"));
    cluster.event(0, HostEvent::StoreDoubted);
    let written =
        |cluster: &Cluster| games.iter().filter(|id| cluster.store.games[id].saved.journal.snapshot.is_some()).count();
    assert_eq!(written(&cluster), crate::limits::REFRESH_BATCH, "not all at once");
    cluster.pass(ms(100));
    assert_eq!(written(&cluster), 100);
}

#[test]
fn a_journal_is_tidied_by_a_snapshot() {
    let mut cluster = Cluster::playing("diary", 1);
    for number in 0..300 {
        cluster.say(ANN, &format!("{number}"));
        cluster.ack(ANN);
        cluster.ack(BOB);
    }
    let journal = &cluster.store.games[&GAME].saved.journal;
    assert!(journal.snapshot.is_some() && journal.entries.len() < 256, "{} entries", journal.entries.len());
}

#[test]
fn what_a_replay_would_send_never_fills_a_stream() {
    let mut cluster = Cluster::playing("diary", 1);
    for _ in 0..3 {
        cluster.say(ANN, "large");
        cluster.say(ANN, "large one");
        cluster.ack(ANN);
        cluster.ack(BOB);
    }
    let journal = &cluster.store.games[&GAME].saved.journal;
    assert!(journal.snapshot.is_some(), "half a stream is reason enough");
}

#[test]
fn a_game_stands_still_while_too_much_of_it_waits_for_the_store() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    for _ in 0..4 {
        cluster.say(ANN, "large one");
    }
    assert_eq!(cluster.server(0).host.step_of(GAME), 3 + 3, "three messages are half a stream");
    assert!(cluster.next_due(0) > Some(cluster.now), "and it does not spin");
    cluster.store_answers = true;
    cluster.settle();
    cluster.ack(BOB);
    assert_eq!(cluster.server(0).host.step_of(GAME), 3 + 4);
    assert!(!cluster.take(BOB).iter().any(|seen| matches!(seen, Seen::Detached(..))), "nobody has fallen behind");
}

#[test]
fn an_ephemeral_game_asks_the_store_for_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.place(GAME, "probe");
    cluster.store_answers = false;
    cluster.event(0, HostEvent::Lease(Now::default()));
    cluster.server(0).renews = false;
    cluster.join(ANN);
    cluster.say(ANN, "\"rubbish\"");
    assert!(cluster.writes(0).is_empty());
    assert!(matches!(cluster.take(ANN)[0], Seen::Attached { .. }), "and needs no lease");
    assert!(!cluster.server(0).host.has_journaled_games());
}

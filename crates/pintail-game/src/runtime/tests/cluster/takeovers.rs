//! A game goes on elsewhere, and nobody can tell.

use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_store::WriteOutcome;

use super::*;

/// Ann and Bob play; what they say next is not committed when the server is lost; another takes over.
fn lose_the_server(cluster: &mut Cluster) {
    cluster.crash(0);
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(1000));
}

#[test]
fn an_event_driven_game_goes_on_where_it_was() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.say(ANN, "one");
    cluster.store_answers = false;
    cluster.say(ANN, "two");
    cluster.say(BOB, "three");
    cluster.store_answers = true;
    lose_the_server(&mut cluster);
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard[heard.len() - 3..], ["0: one", "0: two", "1: three"]);
    assert!(!heard.iter().any(|text| text.contains("away") || text.contains("back")), "{heard:?}");
    cluster.say(ANN, "four");
    assert_eq!(cluster.take_messages(BOB), ["0: four"]);
    assert_eq!(cluster.stats(1).takeovers, 1);
    assert!(cluster.stats(1).replayed_steps > 0);
}

#[test]
fn a_game_that_nothing_was_written_of_begins_from_its_order_again() {
    let mut cluster = Cluster::new(2);
    cluster.place(GAME, "pulse");
    assert_eq!(cluster.journal_end(), EntryNumber(0));
    cluster.crash(0);
    cluster.take_over(1);
    for session in [ANN, BOB] {
        cluster.clients.insert(session, (Client::new(GAME, LINK), 1));
        cluster.attach(session, 1);
    }
    cluster.pass(ms(500));
    let heard = cluster.take_messages(ANN);
    assert_eq!(heard[..2], ["begins", "0 joins"]);
}

#[test]
fn a_game_of_fixed_steps_goes_on_after_what_players_have_seen() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.pass(ms(1130));
    cluster.say(ANN, "lost on the way");
    let seen = cluster.take_states(ANN);
    let last = *seen.last().unwrap();
    cluster.crash(0);
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    assert!(!cluster.client(ANN).is_open, "Bob is waited for");
    cluster.reattach(BOB, 1);
    assert!(cluster.client(ANN).is_open);
    let floor = cluster.server(1).host.step_of(GAME);
    assert!(floor >= last, "no event is applied at step {last}, which Ann has seen, or before it");
    assert_eq!(cluster.take_states(ANN), [last + 1], "a step is due at once");
    cluster.pass(ms(100));
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard.iter().filter(|text| *text == "0: lost on the way").count(), 1, "Ann has sent it again");
    assert!(cluster.client(ANN).outgoing.is_settled(), "what Ann said again is in step {}", last + 2);
}

#[test]
fn who_does_not_come_in_time_may_have_seen_all_that_could_be_shown() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.pass(ms(1130));
    cluster.crash(0);
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    let restored = cluster.server(1).host.step_of(GAME);
    cluster.pass(cluster.policy.settle_max - ms(1));
    assert_eq!(cluster.server(1).host.step_of(GAME), restored, "nothing steps before it is known");
    cluster.pass(ms(1));
    let floor = cluster.server(1).host.step_of(GAME);
    assert!(floor > restored && floor <= restored + 10 + 1, "{restored} to {floor}");
    cluster.pass(ms(1000));
    cluster.take(BOB);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(100));
    assert!(cluster.client(BOB).is_open);
    assert!(!cluster.take_messages(BOB).iter().any(|text| text.contains("back")), "Bob was never away");
}

#[test]
fn who_does_not_come_back_at_all_is_away_and_leaves_after_the_grace() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    cluster.take(ANN);
    cluster.pass(ms(19_999));
    assert!(cluster.take_messages(ANN).is_empty());
    cluster.pass(ms(1));
    assert_eq!(cluster.take_messages(ANN), ["1 away", "1 leaves: TimedOut"]);
}

#[test]
fn the_time_of_a_game_goes_on_and_the_outage_is_not_made_up_for() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.say(ANN, "wake 5000");
    cluster.pass(ms(1000));
    cluster.say(ANN, "hello");
    cluster.crash(0);
    cluster.pass(ms(60_000));
    lose_the_rest(&mut cluster);
    cluster.pass(ms(3998));
    assert!(!cluster.take_messages(ANN).iter().any(|text| text.contains("woken")));
    cluster.pass(ms(2));
    assert_eq!(cluster.take_messages(ANN), ["woken at 5100 ms"]);
}

fn lose_the_rest(cluster: &mut Cluster) {
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    cluster.reattach(BOB, 1);
}

#[test]
fn a_zombie_is_fenced_and_what_it_still_says_reaches_nobody() {
    let mut cluster = Cluster::playing("pulse", 2);
    cluster.pass(ms(1000));
    cluster.freeze(0);
    cluster.pass(ms(2000));
    cluster.take_over(1);
    cluster.reattach(BOB, 1);
    // Ann's gateway has not noticed anything.
    cluster.take(ANN);
    cluster.pass(ms(1000));
    cluster.thaw(0);
    cluster.pass(ms(1000));
    assert_eq!(cluster.take(ANN), [Seen::Detached(GameDetachReason::ServerUnreachable, true)]);
    assert_eq!((cluster.server(0).host.live_games(), cluster.stats(0).fenced_games), (0, 1));
    cluster.reattach(ANN, 1);
    cluster.pass(ms(200));
    assert!(cluster.client(ANN).is_open);
}

#[test]
fn a_server_that_was_wrongly_taken_for_gone_goes_on_with_what_nobody_took() {
    let mut cluster = Cluster::playing("pulse", 1);
    cluster.pass(ms(1000));
    cluster.freeze(0);
    cluster.pass(ms(2000));
    cluster.take(ANN);
    cluster.thaw(0);
    cluster.pass(ms(1000));
    assert!(cluster.take_states(ANN).len() > 10);
    assert!(!cluster.store.games[&GAME].waits, "its writes have taken the game back");
    assert_eq!(cluster.stats(0).fenced_games, 0);
}

#[test]
fn a_game_that_the_host_has_lost_to_itself_is_loaded_anew() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.say(ANN, "before");
    let incarnation = cluster.server(0).incarnation;
    cluster.store.bury(incarnation);
    cluster.store.live.insert(incarnation, SLOT);
    cluster.take_over(0);
    assert_eq!(cluster.take(ANN).last(), Some(&Seen::Detached(GameDetachReason::ServerUnreachable, true)));
    cluster.reattach(ANN, 0);
    cluster.say(ANN, "after");
    assert_eq!(cluster.take_messages(ANN), ["0: after"]);
    assert_eq!(cluster.store.owner(GAME).epoch, Epoch(2));
}

#[test]
fn a_store_that_forgot_whose_a_game_is_gives_it_to_its_owner_who_has_more() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.crash(0);
    let before = cluster.store.clone();
    cluster.take_over(1);
    cluster.reattach(ANN, 1);
    cluster.reattach(BOB, 1);
    cluster.say(ANN, "acknowledged");
    assert!(cluster.client(ANN).outgoing.is_settled());
    cluster.store = before;
    cluster.take_over(1);
    cluster.pass(ms(100));
    assert!(cluster.client(ANN).is_open, "nobody notices anything");
    assert_eq!(cluster.store.owner(GAME).epoch, Epoch(2));
    cluster.crash(1);
    let last = cluster.start();
    cluster.take_over(last);
    cluster.reattach(BOB, last);
    cluster.reattach(ANN, last);
    cluster.say(ANN, "and this");
    let heard = cluster.take_messages(BOB);
    assert_eq!(heard[heard.len() - 2..], ["0: acknowledged", "0: and this"]);
}

#[test]
fn the_answer_to_what_a_former_owner_asked_is_none_to_the_new_one_of_the_same_server() {
    let mut cluster = Cluster::playing("diary", 1);
    cluster.store_answers = false;
    cluster.say(ANN, "uncommitted");
    let (write, incarnation) = cluster.next_call(0).unwrap();
    cluster.store.bury(incarnation);
    cluster.store.live.insert(incarnation, SLOT);
    cluster.take_over(0);
    cluster.answer(0);
    cluster.settle();
    cluster.answer(0);
    cluster.settle();
    cluster.reattach(ANN, 0);
    let fenced = cluster.store.call(incarnation, &write);
    assert_eq!(fenced, HostEvent::Written(GAME, Epoch(1), EntryNumber(3), Ok(WriteOutcome::Fenced)));
    cluster.store_answers = true;
    cluster.event(0, fenced);
    assert_eq!(cluster.server(0).host.live_games(), 1);
    assert!(cluster.client(ANN).is_open);
    assert_eq!(cluster.take_messages(ANN).last().unwrap(), "0: uncommitted", "Ann has sent it again");
}

#[test]
fn an_event_that_makes_the_game_panic_ends_it_wherever_it_is_played_again() {
    let mut cluster = Cluster::playing("diary", 2);
    cluster.store_answers = false;
    cluster.say(ANN, "panic now");
    let (write, incarnation) = cluster.next_call(0).unwrap();
    cluster.store.call(incarnation, &write);
    // The server is lost before it hears that the entry was committed.
    cluster.store_answers = true;
    cluster.crash(0);
    cluster.take_over(1);
    cluster.reattach(BOB, 1);
    cluster.pass(ms(100));
    assert_eq!(cluster.take(BOB).last(), Some(&Seen::Ended(GameEndReason::Crashed, String::new())));
    assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Crashed));
    let stats = cluster.stats(1);
    assert_eq!((stats.failed_replays, stats.panics), (0, 1), "what was kept of it could be read");
}

#[test]
fn a_journal_that_cant_be_read_ends_its_game_and_is_kept() {
    type Spoil = fn(&mut SavedJournal);
    let spoils: [Spoil; 3] = [
        |journal| journal.entries[1] = Bytes::from("rubbish"),
        |journal| drop(journal.entries.remove(0)),
        |journal| {
            let bytes = Bytes::from("pintail-snapshot 9 from the future\n{}");
            journal.snapshot = Some(pintail_store::SavedSnapshot { number: EntryNumber(0), format: 9, bytes });
        },
    ];
    for spoil in spoils {
        let mut cluster = Cluster::playing("diary", 2);
        cluster.say(ANN, "hello");
        cluster.take(ANN);
        cluster.crash(0);
        spoil(&mut cluster.store.games.get_mut(&GAME).unwrap().saved.journal);
        cluster.take_over(1);
        assert_eq!(cluster.store.outcome(GAME), Some(EndReason::Crashed));
        assert!(!cluster.store.games[&GAME].saved.journal.entries.is_empty());
        cluster.reattach(ANN, 1);
        assert_eq!(cluster.take(ANN).last(), Some(&Seen::Ended(GameEndReason::Crashed, String::new())));
        assert_eq!(cluster.stats(1).failed_replays, 1);
        cluster.pass(ms(20_000));
        assert!(cluster.server(1).host.is_flushed());
    }
}

#[test]
fn a_game_that_was_taken_over_proves_that_it_can_be_run() {
    let mut cluster = Cluster::playing("diary", 3);
    cluster.crash(0);
    cluster.take_over(1);
    cluster.crash(1);
    // A second claim in a row: it is a suspect, and the only one that is tried here.
    cluster.take_over(2);
    cluster.store_answers = false;
    cluster.event(2, HostEvent::LookForOrphans);
    let (claim, _) = cluster.next_call(2).unwrap();
    assert_eq!(claim, Command::Claim { limit: 32, suspects: 0 });
    cluster.event(2, failed(&claim, StoreFailed::Away));
    cluster.store_answers = true;
    let before = cluster.stats(2).snapshots;
    cluster.pass(cluster.policy.proven_after);
    assert_eq!(cluster.stats(2).snapshots, before + 1);
    cluster.store_answers = false;
    cluster.event(2, HostEvent::LookForOrphans);
    assert_eq!(cluster.next_call(2).unwrap().0, Command::Claim { limit: 32, suspects: 2 });
}

/// So many games become suspects at once, when a server dies that has just claimed them from another.
const SUSPECTS: u64 = 300;

fn suspect(room: u64) -> GameId {
    GameId { room: RoomId(room), round: Round(1) }
}

/// A cluster in which many suspects wait, and its one server, which has looked for them.
fn many_suspects() -> (Cluster, usize) {
    let mut cluster = Cluster::new(2);
    cluster.store.attempts_max = Some(CLAIM_ATTEMPTS_MAX);
    for room in 0..SUSPECTS {
        cluster.place(suspect(room), "diary");
    }
    cluster.crash(0);
    cluster.take_over(1);
    assert_eq!(cluster.server(1).host.live_games() as u64, SUSPECTS);
    cluster.crash(1);
    let survivor = cluster.start();
    cluster.take_over(survivor);
    (cluster, survivor)
}

#[test]
fn many_suspects_are_back_within_some_trials() {
    let (mut cluster, survivor) = many_suspects();
    assert_eq!(cluster.server(survivor).host.live_games(), 1, "the first is tried alone");
    cluster.pass(cluster.policy.proven_after * 6);
    assert!(cluster.server(survivor).host.live_games() >= 63, "twice as many each time");
    // Nobody looks again: the end of one trial is the beginning of the next.
    cluster.pass(cluster.policy.proven_after * 10);
    assert_eq!(cluster.server(survivor).host.live_games() as u64, SUSPECTS);
    assert!(cluster.store.games.values().all(|kept| kept.saved.attempts <= 2 && !kept.waits));
}

#[test]
fn a_game_that_kills_its_servers_is_ended_alone_and_innocent_suspects_go_on() {
    let (mut cluster, mut survivor) = many_suspects();
    let poison = suspect(100);
    let (mut killed, deadline) = (0, cluster.now + ms(60_000));
    while cluster.server(survivor).host.live_games() as u64 != SUSPECTS - 1 || cluster.store.outcome(poison).is_none() {
        assert!(cluster.now < deadline, "the others are back in time");
        let is_deadly = cluster.store.owner(poison).incarnation == cluster.server_incarnation(survivor);
        if is_deadly && cluster.store.outcome(poison).is_none() {
            killed += 1;
            cluster.crash(survivor);
            survivor = cluster.start();
            cluster.take_over(survivor);
        }
        cluster.pass(ms(100));
    }
    assert_eq!(cluster.store.outcome(poison), Some(EndReason::Crashed));
    assert_eq!(killed, 2, "once with others, and once alone");
    let innocent = (0..SUSPECTS).map(suspect).filter(|id| *id != poison);
    assert!(innocent.map(|id| cluster.store.outcome(id)).all(|outcome| outcome.is_none()));
}

#[test]
fn games_are_claimed_batch_by_batch_and_restored_within_the_turns_budget() {
    let policy = JournalPolicy { claim_batch: 4, ..JournalPolicy::default() };
    let mut cluster = Cluster::with_policy(2, policy);
    for room in 0..10 {
        cluster.place(GameId { room: RoomId(room), round: Round(1) }, "diary");
    }
    cluster.crash(0);
    cluster.store_answers = false;
    cluster.take_over(1);
    cluster.answer(1);
    cluster.settle();
    assert_eq!(cluster.writes(1), ["Load"; 4]);
    for _ in 0..4 {
        cluster.answer(1);
    }
    let spent = Budget::new(&|| Now(Duration::MAX), Now::default());
    let now = cluster.now;
    let server = cluster.server(1);
    for restored in 1..=4 {
        server.host.advance(now, &spent, &mut server.fx);
        assert_eq!(server.host.live_games(), restored, "one is restored in each turn, however short");
    }
    cluster.store_answers = true;
    cluster.settle();
    assert_eq!(cluster.server(1).host.live_games(), 10, "the others followed by themselves");
}

//! What an owner writes is kept once, without gaps, and nobody else's is.

use pintail_core::{EntryNumber, Epoch, Incarnation};
use pintail_store::{
    EndOutcome, EndReason, GameRecord, JournalWrite, Owner, Periods, RestoreOutcome, WriteContent, WriteOutcome,
};

use crate::fixture::{Fixture, LONG, Server, announcement, eventually, finished, game_counts, ms, placed};
use crate::journaling::{entries, game, journaled, kept, owned, saved, snapshot, whole, wrote};
use crate::on_both_stores;
use WriteOutcome::{Committed, Fenced, Gap, Unknown};

on_both_stores!(
    entries_are_kept_in_order,
    the_same_entries_again_change_nothing,
    entries_that_leave_a_gap_are_refused,
    a_snapshot_takes_the_place_of_what_it_contains,
    a_late_snapshot_takes_nothing_that_is_newer_away,
    a_snapshot_mends_a_journal_that_lost_entries,
    only_the_owner_writes,
    an_owner_whose_claim_was_lost_takes_the_game_back_by_a_snapshot,
    an_owner_whose_claim_was_lost_ends_its_game,
    a_game_that_is_over_takes_no_writes,
    one_call_writes_to_many_games,
    entries_may_be_large_and_of_any_bytes,
    a_lost_game_is_put_back_with_its_snapshot,
    a_lost_claim_is_mended_by_putting_the_game_back,
    what_was_lost_is_known_to_be_lost,
    the_journal_of_a_game_that_failed_is_kept,
    only_the_newest_failures_are_kept,
);

async fn entries_are_kept_in_order(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    let before = saved(&*store, game(1)).await;
    assert_eq!(before.record, GameRecord { order: journaled(1), owner, outcome: None });
    assert_eq!((before.attempts, before.journal.last()), (0, EntryNumber(0)));
    assert_eq!(wrote(&*store, entries(game(1), owner, 1, "a")).await, Committed);
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b c")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "a b c");
    assert_eq!(saved(&*store, game(1)).await.journal.last(), EntryNumber(3));
    assert_eq!(store.saved_game(game(2)).await.unwrap(), None);
}

async fn the_same_entries_again_change_nothing(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    for (first, words, after) in [
        (1, "a b", "a b"),
        (1, "a b", "a b"),
        (2, "b", "a b"),
        // Others came behind them meanwhile.
        (1, "a b c d", "a b c d"),
        (4, "d e", "a b c d e"),
    ] {
        assert_eq!(wrote(&*store, entries(game(1), owner, first, words)).await, Committed, "{first}: {words}");
        assert_eq!(kept(&*store, game(1)).await, after, "{first}: {words}");
    }
    assert_eq!(wrote(&*store, whole(game(1), owner, 5, "abcde")).await, Committed);
    for (first, words) in [(1, "a b c d e"), (4, "d e"), (5, "e")] {
        assert_eq!(wrote(&*store, entries(game(1), owner, first, words)).await, Committed, "{first}: {words}");
        assert_eq!(kept(&*store, game(1)).await, "5:abcde", "{first}: {words}");
    }
    assert_eq!(wrote(&*store, entries(game(1), owner, 4, "d e f")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "5:abcde f");
}

async fn entries_that_leave_a_gap_are_refused(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, Gap);
    assert_eq!(wrote(&*store, entries(game(1), owner, 1, "a")).await, Committed);
    assert_eq!(wrote(&*store, entries(game(1), owner, 3, "c d")).await, Gap);
    assert_eq!(wrote(&*store, entries(game(1), owner, u64::MAX - 1, "x")).await, Gap);
    assert_eq!(kept(&*store, game(1)).await, "a");
}

async fn a_snapshot_takes_the_place_of_what_it_contains(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    assert_eq!(wrote(&*store, whole(game(1), owner, 0, "new")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "0:new");
    wrote(&*store, entries(game(1), owner, 1, "a b")).await;
    assert_eq!(kept(&*store, game(1)).await, "0:new a b");
    assert_eq!(wrote(&*store, whole(game(1), owner, 2, "ab")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "2:ab");
    let journal = saved(&*store, game(1)).await.journal;
    assert_eq!(journal.snapshot, Some(snapshot(2, "ab")));
    // It may contain what was never written.
    assert_eq!(wrote(&*store, whole(game(1), owner, 5, "abcde")).await, Committed);
    assert_eq!(wrote(&*store, entries(game(1), owner, 6, "f")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "5:abcde f");
    // And be later than one of the same number.
    assert_eq!(wrote(&*store, whole(game(1), owner, 6, "abcdef")).await, Committed);
    assert_eq!(wrote(&*store, whole(game(1), owner, 6, "later")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "6:later");
}

async fn a_late_snapshot_takes_nothing_that_is_newer_away(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "a b")).await;
    wrote(&*store, whole(game(1), owner, 2, "ab")).await;
    wrote(&*store, entries(game(1), owner, 3, "c")).await;
    for number in 0..3 {
        assert_eq!(wrote(&*store, whole(game(1), owner, number, "late")).await, Committed);
        assert_eq!(kept(&*store, game(1)).await, "2:ab c");
    }
}

async fn a_snapshot_mends_a_journal_that_lost_entries(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "a")).await;
    let backup = fixture.back_up(1).await;
    wrote(&*store, entries(game(1), owner, 2, "b c")).await;
    fixture.roll_back(&backup).await;
    assert_eq!(wrote(&*store, entries(game(1), owner, 4, "d")).await, Gap);
    assert_eq!(wrote(&*store, whole(game(1), owner, 4, "abcd")).await, Committed);
    assert_eq!(wrote(&*store, entries(game(1), owner, 5, "e")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "4:abcd e");
}

async fn only_the_owner_writes(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "a")).await;
    server.lost(&*store).await;
    let heir = Server::game(&*store, 2, 10).await;
    let next = heir.claims_one(&*store).await;
    assert_eq!(next.epoch, Epoch(2));
    let stranger = Owner { incarnation: Incarnation::random(), ..next };
    for former in [owner, stranger] {
        assert_eq!(wrote(&*store, entries(game(1), former, 2, "x")).await, Fenced);
        assert_eq!(wrote(&*store, entries(game(1), former, 1, "a")).await, Fenced, "a repeat too");
        assert_eq!(wrote(&*store, entries(game(1), former, 9, "x")).await, Fenced, "whatever its number");
        assert_eq!(wrote(&*store, whole(game(1), former, 9, "x")).await, Fenced);
        assert!(!store.end_game(game(1), former, &finished()).await.unwrap());
    }
    assert_eq!(wrote(&*store, entries(game(1), next, 2, "b")).await, Committed);
    assert_eq!(kept(&*store, game(1)).await, "a b");
}

async fn an_owner_whose_claim_was_lost_takes_the_game_back_by_a_snapshot(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), first, 1, "a")).await;
    let heir = Server::game(&*store, 2, 10).await;
    for set_aside in [false, true] {
        if set_aside {
            server.lost(&*store).await;
        }
        let backup = fixture.back_up(1).await;
        server.lost(&*store).await;
        let second = heir.claims_one(&*store).await;
        wrote(&*store, entries(game(1), second, 2, "b")).await;
        fixture.roll_back(&backup).await;
        assert_eq!(store.game(game(1)).await.unwrap().unwrap().owner, first, "the claim is lost");

        assert_eq!(wrote(&*store, entries(game(1), second, 3, "c")).await, Gap);
        assert_eq!(kept(&*store, game(1)).await, "a");
        // The former owner writes on meanwhile: it has heard of nothing.
        assert_eq!(wrote(&*store, entries(game(1), first, 2, "x y z")).await, Committed);
        assert_eq!(wrote(&*store, whole(game(1), second, 3, "abc")).await, Committed);
        assert_eq!(kept(&*store, game(1)).await, "3:abc");
        assert_eq!(wrote(&*store, entries(game(1), first, 5, "x")).await, Fenced);
        assert_eq!(store.game(game(1)).await.unwrap().unwrap().owner, second);
        assert_eq!(store.hosted(heir.slot, heir.incarnation()).await.unwrap(), [game(1)]);
        assert!(store.hosted(server.slot, server.incarnation()).await.unwrap().is_empty());
        assert_eq!(game_counts(&*store).await, [0, 1]);
        assert!(heir.claims(&*store).await.games.is_empty(), "it does not wait");
        fixture.roll_back(&backup).await;
    }
}

async fn an_owner_whose_claim_was_lost_ends_its_game(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let heir = Server::game(&*store, 2, 10).await;
    let backup = fixture.back_up(1).await;
    server.lost(&*store).await;
    let second = heir.claims_one(&*store).await;
    fixture.roll_back(&backup).await;
    for _ in 0..2 {
        assert!(store.end_game(game(1), second, &finished()).await.unwrap());
    }
    assert!(!store.end_game(game(1), first, &finished()).await.unwrap());
    let record = store.game(game(1)).await.unwrap().unwrap();
    assert_eq!((record.owner, record.outcome), (second, Some(finished())));
    assert_eq!(game_counts(&*store).await, [0, 0]);
}

async fn a_game_that_is_over_takes_no_writes(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "a")).await;
    store.end_game(game(1), owner, &finished()).await.unwrap();
    let later = Owner { epoch: Epoch(2), ..owner };
    for owner in [owner, later] {
        assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, Fenced);
        assert_eq!(wrote(&*store, whole(game(1), owner, 2, "ab")).await, Fenced);
    }
    assert_eq!(kept(&*store, game(1)).await, "", "its journal is gone");
    assert_eq!(wrote(&*store, entries(game(2), owner, 1, "a")).await, Unknown);
    assert_eq!(wrote(&*store, whole(game(2), owner, 1, "a")).await, Unknown);
    assert_eq!(store.saved_game(game(2)).await.unwrap(), None, "a write makes no game");
}

async fn one_call_writes_to_many_games(fixture: &Fixture) {
    const GAMES: u64 = 1000;
    let store = fixture.store(LONG);
    assert_eq!(store.write_journals(&[]).await.unwrap(), []);
    let server = Server::game(&*store, 1, 10_000).await;
    let owner = Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(1) };
    for number in (0..GAMES).filter(|number| number % 10 != 3) {
        placed(&*store, &journaled(number)).await;
    }
    let stranger = Owner { incarnation: Incarnation::random(), ..owner };
    let write = |number| match number % 10 {
        4 => entries(game(number), stranger, 1, "x"),
        5 => entries(game(number), owner, 2, "b"),
        6 => whole(game(number), owner, 7, "abcdefg"),
        _ => entries(game(number), owner, 1, "a b c"),
    };
    let writes: Vec<JournalWrite> = (0..GAMES).map(write).collect();
    let expected: Vec<WriteOutcome> = (0..GAMES)
        .map(|number| match number % 10 {
            3 => Unknown,
            4 => Fenced,
            5 => Gap,
            _ => Committed,
        })
        .collect();
    for _ in 0..2 {
        assert_eq!(store.write_journals(&writes).await.unwrap(), expected);
    }
    for (number, words) in [(0, "a b c"), (996, "7:abcdefg"), (999, "a b c"), (995, "")] {
        assert_eq!(kept(&*store, game(number)).await, words);
    }
}

async fn entries_may_be_large_and_of_any_bytes(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    let large = vec![0xff_u8; 3 * 1024 * 1024];
    let many = (0..3000_u32).map(|number| number.to_be_bytes().to_vec());
    let payloads: Vec<bytes::Bytes> =
        [large, Vec::new(), b"\r\n\0 \xff".to_vec()].into_iter().chain(many).map(Into::into).collect();
    let content = WriteContent::Entries { first: EntryNumber(1), entries: payloads.clone() };
    assert_eq!(wrote(&*store, JournalWrite { game: game(1), owner, content }).await, Committed);
    assert!(saved(&*store, game(1)).await.journal.entries == payloads, "they come back as they were");
}

async fn a_lost_game_is_put_back_with_its_snapshot(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let empty = fixture.back_up(1).await;
    let owner = placed(&*store, &journaled(1)).await;
    let owner = Owner { epoch: Epoch(4), ..owner };
    fixture.roll_back(&empty).await;
    assert_eq!(wrote(&*store, entries(game(1), owner, 8, "h")).await, Unknown);
    for (number, text, expected) in
        [(8, "abcdefgh", "8:abcdefgh"), (9, "abcdefghi", "9:abcdefghi"), (8, "late", "9:abcdefghi")]
    {
        let outcome = store.restore_game(&journaled(1), owner, Some(&snapshot(number, text))).await.unwrap();
        assert_eq!(outcome, RestoreOutcome::Restored);
        assert_eq!(kept(&*store, game(1)).await, expected);
    }
    assert_eq!(wrote(&*store, entries(game(1), owner, 10, "j")).await, Committed);
    assert_eq!(game_counts(&*store).await, [1]);
    server.lost(&*store).await;
    assert_eq!(Server::game(&*store, 2, 10).await.claims_one(&*store).await.epoch, Epoch(5));
}

async fn a_lost_claim_is_mended_by_putting_the_game_back(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let heir = Server::game(&*store, 2, 10).await;
    let second = Owner { slot: heir.slot, incarnation: heir.incarnation(), epoch: Epoch(2) };
    let restored = store.restore_game(&journaled(1), second, Some(&snapshot(3, "abc"))).await.unwrap();
    assert_eq!(restored, RestoreOutcome::Restored);
    assert_eq!(kept(&*store, game(1)).await, "3:abc");
    assert_eq!(wrote(&*store, entries(game(1), first, 1, "a")).await, Fenced);
    let taken = store.restore_game(&journaled(1), first, Some(&snapshot(9, "x"))).await.unwrap();
    assert_eq!(taken, RestoreOutcome::Taken);
    assert_eq!(kept(&*store, game(1)).await, "3:abc");
    assert_eq!(store.hosted(server.slot, server.incarnation()).await.unwrap(), []);
    assert_eq!(store.hosted(heir.slot, heir.incarnation()).await.unwrap(), [game(1)]);
}

/// An owner that the store has forgotten is put nowhere from where the game would not be found when it dies.
async fn what_was_lost_is_known_to_be_lost(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let heir = Server::game(&*store, 2, 10).await;
    // A claim of a server that nobody knows any more, and one of a server that is switched off.
    let nobody = announcement(pintail_core::Kind::Game, 9);
    let off = Server::game(&*store, 3, 10).await;
    off.lost(&*store).await;
    for (slot, incarnation, epoch) in [(off.slot, nobody.incarnation, 5), (off.slot, off.incarnation(), 6)] {
        let owner = Owner { slot, incarnation, epoch: Epoch(epoch) };
        assert_eq!(wrote(&*store, whole(game(1), owner, epoch, "back")).await, Committed);
        assert_eq!(wrote(&*store, entries(game(1), first, 1, "a")).await, Fenced);
        assert_eq!(store.sweep_orphans(10).await.unwrap(), 1);
        assert_eq!(wrote(&*store, entries(game(1), owner, epoch + 1, "more")).await, Committed);
        assert_eq!(store.sweep_orphans(10).await.unwrap(), 0, "it waits, as its owner may be dead");
    }
    assert!(store.hosted(server.slot, server.incarnation()).await.unwrap().is_empty());
    assert_eq!(heir.claims_one(&*store).await.epoch, Epoch(7));
    assert_eq!(kept(&*store, game(1)).await, "6:back more");
}

async fn the_journal_of_a_game_that_failed_is_kept(fixture: &Fixture) {
    let store = fixture.store(Periods { failed_game_ttl: ms(400), game_record_ttl: ms(50), ..LONG });
    let crashed = EndOutcome { reason: EndReason::Crashed, message: "it failed".to_owned(), ..finished() };
    Server::game(&*store, 1, 10).await;
    let ended_at = tokio::time::Instant::now();
    for number in 1..=3 {
        let owner = placed(&*store, &journaled(number)).await;
        wrote(&*store, whole(game(number), owner, 2, "ab")).await;
        wrote(&*store, entries(game(number), owner, 3, "c")).await;
        let outcome = if number == 2 { &finished() } else { &crashed };
        assert!(store.end_game(game(number), owner, outcome).await.unwrap());
        assert_eq!(kept(&*store, game(number)).await, if number == 2 { "" } else { "2:ab c" });
        tokio::time::sleep(ms(5)).await;
    }
    let failed = store.failed_games(10).await.unwrap();
    assert_eq!(failed.iter().map(|failed| failed.id).collect::<Vec<_>>(), [game(3), game(1)], "newest first");
    assert!(failed[0].age_ms < failed[1].age_ms && failed[1].age_ms < 20_000);
    assert_eq!(failed[1].outcome, crashed);
    assert_eq!(failed[1].game_type, journaled(1).game_type);
    assert_eq!(store.failed_games(1).await.unwrap().len(), 1);
    assert_eq!(store.failed_games(0).await.unwrap(), []);
    eventually("what ended well is forgotten soon", async || {
        store.game(game(2)).await.unwrap().is_none().then_some(())
    })
    .await;
    eventually("and at last what failed", async || store.saved_game(game(3)).await.unwrap().is_none().then_some(()))
        .await;
    assert!(ended_at.elapsed() >= ms(400));
    assert_eq!(store.failed_games(10).await.unwrap(), []);
}

async fn only_the_newest_failures_are_kept(fixture: &Fixture) {
    const KEPT: u64 = 1000;
    let store = fixture.store(LONG);
    Server::game(&*store, 1, 10).await;
    let crashed = EndOutcome { reason: EndReason::Crashed, ..finished() };
    for number in 0..KEPT + 2 {
        let owner = placed(&*store, &journaled(number)).await;
        wrote(&*store, entries(game(number), owner, 1, "a")).await;
        store.end_game(game(number), owner, &crashed).await.unwrap();
        if number < 3 {
            tokio::time::sleep(ms(5)).await;
        }
    }
    let failed = store.failed_games(u32::MAX).await.unwrap();
    assert_eq!(failed.len() as u64, KEPT);
    assert!(failed.iter().all(|failed| failed.id != game(0) && failed.id != game(1)));
    assert_eq!(saved(&*store, game(1)).await.record.outcome, Some(crashed), "how it ended is still known for a while");
    assert_eq!([kept(&*store, game(1)).await, kept(&*store, game(2)).await], ["", "a"]);
}

//! Who takes over the games of a server that is gone.

use pintail_core::limits::CLAIM_ATTEMPTS_MAX;
use pintail_core::{Durability, EntryNumber, Epoch, GameId, Status};
use pintail_store::{
    Charge, Claim, Claimed, ClaimedGame, EndReason, GameOrder, Notice, Owner, Periods, SavedSnapshot, Store,
    WriteOutcome,
};
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, Server, eventually, finished, game_counts, gateway, ms, order, placed, renewed};
use crate::journaling::{FORMAT, entries, game, journaled, kept, owned, saved, snapshot, whole, wrote};
use crate::mail::{next, subscribe};
use crate::on_both_stores;

on_both_stores!(
    a_claimed_game_is_the_claimers_with_all_that_is_kept,
    the_longest_waiting_come_first,
    survivors_share_the_games,
    nobody_takes_more_than_it_asks_for_or_has_places_for,
    only_what_a_server_hosts_is_given_to_it,
    only_what_a_server_can_read_is_given_to_it,
    who_is_gone_or_drains_is_given_nothing,
    who_is_in_trouble_takes_games_only_if_nobody_else_can,
    a_claimer_that_dies_leaves_its_games_to_the_others,
    a_game_that_kills_its_servers_is_tried_alone_and_then_ended,
    suspects_that_were_tried_together_are_tried_alone_next,
    many_suspects_keep_nobody_waiting,
    many_games_that_a_server_cant_read_keep_nobody_waiting,
    what_is_written_of_a_game_while_it_waits_decides_who_is_given_it,
    an_owner_that_runs_a_game_for_long_enough_proves_it,
    a_server_that_was_taken_for_dead_takes_its_games_back_by_writing,
    a_server_without_a_lease_takes_nothing_back,
    a_server_in_another_slot_keeps_its_games_by_writing,
    a_game_that_nobody_takes_over_is_ended,
    a_game_that_ends_while_it_waits_waits_no_longer,
    a_time_in_which_nobody_is_heard_is_no_wait,
    ephemeral_games_are_not_claimed,
);

/// Games 1 to `count` on a server that is lost, set aside one after the other.
async fn orphaned(store: &dyn Store, count: u64) {
    let server = Server::game(store, 100, 1000).await;
    for number in 1..=count {
        placed(store, &journaled(number)).await;
    }
    server.lost(store).await;
}

fn ids(claimed: &Claimed) -> Vec<GameId> {
    claimed.games.iter().map(|game| game.id).collect()
}

fn attempts_of(claimed: &Claimed) -> Vec<u32> {
    claimed.games.iter().map(|game| game.attempts).collect()
}

async fn claim_with(store: &dyn Store, claim: Claim) -> (usize, u32) {
    let claimed = store.claim_games(&claim).await.unwrap();
    (claimed.games.len(), claimed.waiting)
}

async fn a_claimed_game_is_the_claimers_with_all_that_is_kept(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, whole(game(1), owner, 2, "ab")).await;
    wrote(&*store, entries(game(1), owner, 3, "c d")).await;
    let heir = Server::game(&*store, 2, 10).await;
    assert_eq!(heir.claims(&*store).await, Claimed::default(), "its server lives");
    server.lost(&*store).await;
    assert_eq!(game_counts(&*store).await, [0, 0]);
    let owner = Owner { slot: heir.slot, incarnation: heir.incarnation(), epoch: Epoch(2) };
    let claimed = Claimed { games: vec![ClaimedGame { id: game(1), owner, attempts: 1 }], waiting: 0 };
    assert_eq!(heir.claims(&*store).await, claimed);
    assert_eq!(heir.claims(&*store).await, Claimed::default());
    let found = saved(&*store, game(1)).await;
    assert_eq!((found.record.owner, found.attempts, found.journal.last()), (owner, 1, EntryNumber(4)));
    assert_eq!(kept(&*store, game(1)).await, "2:ab c d");
    // As what it should be running, in case that it never got the answer.
    assert_eq!(store.hosted(heir.slot, heir.incarnation()).await.unwrap(), [game(1)]);
    assert_eq!(heir.beat(&*store, Status::Smooth).await, renewed(1));
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0);
}

async fn the_longest_waiting_come_first(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for number in [3, 1, 2] {
        let server = Server::game(&*store, 100 + u8::try_from(number).unwrap(), 1).await;
        placed(&*store, &journaled(number)).await;
        server.lost(&*store).await;
        tokio::time::sleep(ms(5)).await;
    }
    let heir = Server::game(&*store, 1, 10).await;
    let two = store.claim_games(&Claim { limit: 2, ..heir.claim() }).await.unwrap();
    assert_eq!((ids(&two), two.waiting), (vec![game(3), game(1)], 1));
    assert_eq!(ids(&heir.claims(&*store).await), [game(2)]);
}

async fn survivors_share_the_games(fixture: &Fixture) {
    let store = fixture.store(LONG);
    orphaned(&*store, 10).await;
    let [a, b, c] =
        [Server::game(&*store, 1, 100).await, Server::game(&*store, 2, 100).await, Server::game(&*store, 3, 100).await];
    for (server, share) in [(&a, (4, 6)), (&b, (2, 4)), (&c, (2, 2)), (&b, (1, 1)), (&a, (1, 0)), (&c, (0, 0))] {
        assert_eq!(claim_with(&*store, server.claim()).await, share, "{}", server.slot);
    }
    assert_eq!(game_counts(&*store).await, [0, 5, 3, 2]);
}

async fn nobody_takes_more_than_it_asks_for_or_has_places_for(fixture: &Fixture) {
    let store = fixture.store(LONG);
    orphaned(&*store, 100).await;
    let server = Server::game(&*store, 1, 70).await;
    assert_eq!(claim_with(&*store, Claim { limit: 0, ..server.claim() }).await, (0, 0));
    assert_eq!(claim_with(&*store, Claim { limit: 3, ..server.claim() }).await, (3, 97));
    assert_eq!(claim_with(&*store, Claim { limit: u32::MAX, ..server.claim() }).await, (64, 33), "one step is short");
    assert_eq!(claim_with(&*store, server.claim()).await, (3, 0), "more have no place here");
    assert_eq!(claim_with(&*store, server.claim()).await, (0, 0));
    assert_eq!(game_counts(&*store).await, [0, 70]);
    let other = Server::game(&*store, 2, 30).await;
    assert_eq!(claim_with(&*store, other.claim()).await, (30, 0));
}

async fn only_what_a_server_hosts_is_given_to_it(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let lost = Server::hosting(&*store, 100, &["chess", "go", "echo"]).await;
    let types = ["chess", "go", "echo", "go"];
    for (number, name) in (1..).zip(types) {
        placed(&*store, &GameOrder { game_type: name.parse().unwrap(), ..journaled(number) }).await;
    }
    lost.lost(&*store).await;
    let nothing = Server::hosting(&*store, 1, &[]).await;
    let chess = Server::hosting(&*store, 2, &["chess"]).await;
    let both = Server::hosting(&*store, 3, &["go", "chess"]).await;
    assert_eq!(nothing.claims(&*store).await, Claimed::default());
    assert_eq!(ids(&chess.claims(&*store).await), [game(1)]);
    let mut go = ids(&both.claims(&*store).await);
    go.sort_unstable();
    assert_eq!(go, [game(2), game(4)], "it shares them with nobody");
    assert_eq!(both.claims(&*store).await, Claimed::default(), "what it can't run does not wait for it");
}

async fn only_what_a_server_can_read_is_given_to_it(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    placed(&*store, &journaled(2)).await;
    let newer = SavedSnapshot { format: FORMAT + 1, ..snapshot(1, "a") };
    let content = pintail_store::WriteContent::Snapshot(newer);
    let write = pintail_store::JournalWrite { game: game(1), owner, content };
    assert_eq!(wrote(&*store, write).await, WriteOutcome::Committed);
    server.lost(&*store).await;
    let older = Server::game(&*store, 2, 10).await;
    let claimed = older.claims(&*store).await;
    assert_eq!((ids(&claimed), claimed.waiting), (vec![game(2)], 0));
    assert_eq!(older.claims(&*store).await, Claimed::default());
    let newer = Claim { format: FORMAT + 1, ..older.claim() };
    assert_eq!(ids(&store.claim_games(&newer).await.unwrap()), [game(1)]);
}

async fn who_is_gone_or_drains_is_given_nothing(fixture: &Fixture) {
    let store = fixture.store(LONG);
    orphaned(&*store, 3).await;
    let [full, drains, leaves, stopped, dead] = [
        Server::game(&*store, 1, 0).await,
        Server::game(&*store, 2, 10).await,
        Server::game(&*store, 3, 10).await,
        Server::game(&*store, 4, 10).await,
        Server::game(&*store, 5, 10).await,
    ];
    store.ask_to_drain(drains.slot).await.unwrap();
    leaves.beat(&*store, Status::Unused).await;
    stopped.stop(&*store).await;
    dead.lost(&*store).await;
    let stranger = Claim { incarnation: pintail_core::Incarnation::random(), ..full.claim() };
    for claim in [full.claim(), drains.claim(), leaves.claim(), stopped.claim(), dead.claim(), stranger] {
        assert_eq!(store.claim_games(&claim).await.unwrap(), Claimed::default(), "{claim:?}");
    }
    let heir = Server::game(&*store, 6, 10).await;
    assert_eq!(claim_with(&*store, heir.claim()).await, (3, 0), "nor is any of them counted");
}

async fn who_is_in_trouble_takes_games_only_if_nobody_else_can(fixture: &Fixture) {
    let store = fixture.store(Periods { probation_first: ms(600_000), probation_max: ms(600_000), ..LONG });
    orphaned(&*store, 4).await;
    let [congested, accused, on_probation, well] = [
        Server::game(&*store, 1, 10).await,
        Server::game(&*store, 2, 10).await,
        Server::game(&*store, 3, 10).await,
        Server::game(&*store, 4, 10).await,
    ];
    congested.beat(&*store, Status::Congested).await;
    accused.accused(&*store, gateway(0), Charge::Silent).await;
    on_probation.accused(&*store, gateway(0), Charge::Refused).await;
    on_probation.beat(&*store, Status::Smooth).await;
    for server in [&congested, &accused, &on_probation] {
        assert_eq!(server.claims(&*store).await, Claimed::default(), "{}", server.slot);
    }
    let one = Claim { limit: 1, ..well.claim() };
    assert_eq!(claim_with(&*store, one).await, (1, 3));
    well.stop(&*store).await;
    for server in [congested, accused, on_probation] {
        assert_eq!(claim_with(&*store, Claim { limit: 1, ..server.claim() }).await.0, 1, "{}", server.slot);
    }
}

async fn a_claimer_that_dies_leaves_its_games_to_the_others(fixture: &Fixture) {
    let store = fixture.store(LONG);
    orphaned(&*store, 5).await;
    let first = Server::game(&*store, 1, 10).await;
    assert_eq!(claim_with(&*store, first.claim()).await, (5, 0));
    first.lost(&*store).await;
    let second = Server::game(&*store, 2, 10).await;
    let claimed = second.claims(&*store).await;
    assert_eq!(claimed.games.len(), 5);
    assert!(claimed.games.iter().all(|game| (game.owner.epoch, game.attempts) == (Epoch(3), 2)), "{claimed:?}");
}

async fn a_game_that_kills_its_servers_is_tried_alone_and_then_ended(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "poison")).await;
    server.lost(&*store).await;
    for (suspects, attempts) in [(0, 1), (1, CLAIM_ATTEMPTS_MAX)] {
        let heir = Server::game(&*store, 10 + u8::try_from(attempts).unwrap(), 10).await;
        if suspects > 0 {
            let unsuspecting = Claim { suspects: 0, ..heir.claim() };
            assert_eq!(claim_with(&*store, unsuspecting).await, (0, 0));
        }
        let claimed = store.claim_games(&Claim { suspects, ..heir.claim() }).await.unwrap();
        assert_eq!(attempts_of(&claimed), [attempts]);
        heir.lost(&*store).await;
    }
    let mut mail = subscribe(&*store, Some(order(1).lobby)).await;
    let last = Server::game(&*store, 20, 10).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(last.slot));
    assert_eq!(last.claims(&*store).await, Claimed::default());
    assert_eq!(next(&mut mail).await, Notice::Letter(pintail_store::Letter::GameOver(game(1))));
    let outcome = saved(&*store, game(1)).await.record.outcome.unwrap();
    assert_eq!(outcome.reason, EndReason::Crashed);
    assert!(outcome.message.contains("every server that took this game over"), "{}", outcome.message);
    assert_eq!(kept(&*store, game(1)).await, "poison", "with what killed them");
    assert_eq!(store.failed_games(10).await.unwrap()[0].id, game(1));
    assert_eq!(store.unsettled_games(0, 10).await.unwrap(), [game(1)]);
}

/// A server claims games and dies of them.
async fn suspected(store: &dyn Store, server: u8, claim: impl FnOnce(&Server) -> Claim) -> Claimed {
    let server = Server::game(store, server, 1000).await;
    let claimed = store.claim_games(&claim(&server)).await.unwrap();
    tokio::time::sleep(ms(5)).await;
    server.lost(store).await;
    claimed
}

async fn suspects_that_were_tried_together_are_tried_alone_next(fixture: &Fixture) {
    let store = fixture.store(LONG);
    orphaned(&*store, 4).await;
    let all = suspected(&*store, 1, Server::claim).await;
    assert_eq!(attempts_of(&all), [1; 4]);
    // The two that are tried together die together. The others have waited for longer.
    let tried = suspected(&*store, 2, |server| Claim { suspects: 2, ..server.claim() }).await;
    assert_eq!(attempts_of(&tried), [2; 2]);
    let tried = ids(&tried);
    let mut others = ids(&all);
    others.retain(|id| !tried.contains(id));
    let heir = Server::game(&*store, 3, 1000).await;
    let group = |suspects| Claim { suspects, ..heir.claim() };
    let two = store.claim_games(&group(32)).await.unwrap();
    assert_eq!((ids(&two).len(), attempts_of(&two), two.waiting), (others.len(), vec![2; 2], 2));
    assert!(ids(&two).iter().all(|id| others.contains(id)), "{two:?}: {others:?} wait");
    let mut alone = Vec::new();
    for _ in &tried {
        assert_eq!(claim_with(&*store, group(0)).await, (0, 0));
        let one = store.claim_games(&group(32)).await.unwrap();
        assert_eq!(attempts_of(&one), [CLAIM_ATTEMPTS_MAX]);
        alone.extend(ids(&one));
    }
    assert!(tried.iter().all(|id| alone.contains(id)), "{alone:?}: {tried:?} were tried together");
    assert_eq!(store.claim_games(&group(32)).await.unwrap(), Claimed::default());
}

/// Far more than a claim could look at.
const CROWD: u64 = 1100;

/// A server with so many games, from 1 on.
async fn crowd(store: &dyn Store) -> Server {
    let server = Server::game(store, 100, 10_000).await;
    for number in 1..=CROWD {
        placed(store, &journaled(number)).await;
    }
    server
}

/// Games from `CROWD + 1` on are set aside after the others.
async fn newcomers(store: &dyn Store, count: u64) {
    let server = Server::game(store, 101, 1000).await;
    for number in CROWD + 1..=CROWD + count {
        placed(store, &journaled(number)).await;
    }
    server.lost(store).await;
}

async fn many_suspects_keep_nobody_waiting(fixture: &Fixture) {
    let store = fixture.store(LONG);
    crowd(&*store).await.lost(&*store).await;
    let victim = Server::game(&*store, 1, 10_000).await;
    while !victim.claims(&*store).await.games.is_empty() {}
    victim.lost(&*store).await;
    newcomers(&*store, 20).await;
    let heir = Server::game(&*store, 2, 10_000).await;
    let unsuspecting = Claim { suspects: 0, limit: 10, ..heir.claim() };
    assert_eq!(claim_with(&*store, unsuspecting).await, (10, 10));
    assert_eq!(claim_with(&*store, unsuspecting).await, (10, 0));
    assert_eq!(claim_with(&*store, unsuspecting).await, (0, 0));
    let trial = Claim { suspects: 4, ..unsuspecting };
    assert_eq!(attempts_of(&store.claim_games(&trial).await.unwrap()), [2; 4]);
}

async fn many_games_that_a_server_cant_read_keep_nobody_waiting(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = crowd(&*store).await;
    let owner = Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(1) };
    let newer = SavedSnapshot { format: FORMAT + 1, ..snapshot(0, "") };
    let write = |number| pintail_store::JournalWrite {
        game: game(number),
        owner,
        content: pintail_store::WriteContent::Snapshot(newer.clone()),
    };
    store.write_journals(&(1..=CROWD).map(write).collect::<Vec<_>>()).await.unwrap();
    server.lost(&*store).await;
    newcomers(&*store, 20).await;
    let older = Server::game(&*store, 2, 10_000).await;
    assert_eq!(claim_with(&*store, older.claim()).await, (20, 0));
    let newer = Claim { format: FORMAT + 1, ..older.claim() };
    assert_eq!(claim_with(&*store, newer).await, (64, u32::try_from(CROWD).unwrap() - 64));
}

async fn what_is_written_of_a_game_while_it_waits_decides_who_is_given_it(fixture: &Fixture) {
    let store = fixture.store(Periods { proven_after: ms(0), ..LONG });
    let (server, owner) = owned(&*store, 1, 1).await;
    server.lost(&*store).await;
    let heir = Server::game(&*store, 2, 10).await;
    let newer = SavedSnapshot { format: FORMAT + 1, ..snapshot(1, "a") };
    let content = pintail_store::WriteContent::Snapshot(newer);
    let write = pintail_store::JournalWrite { game: game(1), owner, content };
    assert_eq!(wrote(&*store, write).await, WriteOutcome::Committed);
    assert_eq!(heir.claims(&*store).await, Claimed::default());
    let reader = Claim { format: FORMAT + 1, ..heir.claim() };
    let owner = store.claim_games(&reader).await.unwrap().games[0].owner;
    heir.lost(&*store).await;
    // It had proved that it can be run when it was taken for dead, and comes to say so late.
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, WriteOutcome::Committed);
    let last = Server::game(&*store, 3, 10).await;
    let unsuspecting = Claim { suspects: 0, format: FORMAT + 1, ..last.claim() };
    assert_eq!(attempts_of(&store.claim_games(&unsuspecting).await.unwrap()), [1]);
}

async fn an_owner_that_runs_a_game_for_long_enough_proves_it(fixture: &Fixture) {
    let store = fixture.store(Periods { proven_after: ms(200), ..LONG });
    orphaned(&*store, 1).await;
    for number in 1..=4 {
        let heir = Server::game(&*store, number, 10).await;
        let claimed_at = Instant::now();
        let owner = heir.claims_one(&*store).await;
        assert_eq!(saved(&*store, game(1)).await.attempts, 1, "attempt {number}");
        let mut entry = u64::from(number) * 1000;
        wrote(&*store, whole(game(1), owner, entry, "back")).await;
        eventually("it is proven", async || {
            entry += 1;
            wrote(&*store, entries(game(1), owner, entry, "x")).await;
            (saved(&*store, game(1)).await.attempts == 0).then_some(())
        })
        .await;
        assert!(claimed_at.elapsed() >= ms(200));
        heir.lost(&*store).await;
    }
}

async fn a_server_that_was_taken_for_dead_takes_its_games_back_by_writing(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let second = placed(&*store, &journaled(2)).await;
    let third = placed(&*store, &journaled(3)).await;
    server.lost(&*store).await;
    server.beat(&*store, Status::Smooth).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(0), "what was set aside stays so");
    let heir = Server::game(&*store, 2, 10).await;
    assert_eq!(wrote(&*store, entries(game(1), first, 1, "a")).await, WriteOutcome::Committed);
    assert_eq!(wrote(&*store, whole(game(2), second, 1, "a")).await, WriteOutcome::Committed);
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(2));
    let one = heir.claims(&*store).await;
    assert_eq!(ids(&one), [game(3)]);
    assert_eq!(wrote(&*store, entries(game(3), third, 1, "a")).await, WriteOutcome::Fenced);
    assert_eq!(wrote(&*store, entries(game(1), first, 2, "b")).await, WriteOutcome::Committed);
    // They are found when it dies in earnest.
    server.lost(&*store).await;
    assert_eq!(heir.claims(&*store).await.games.len(), 2);
}

async fn a_server_without_a_lease_takes_nothing_back(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    server.lost(&*store).await;
    // What it writes is not lost: whoever claims the game finds it.
    assert_eq!(wrote(&*store, entries(game(1), owner, 1, "a")).await, WriteOutcome::Committed);
    assert_eq!(game_counts(&*store).await, [0]);
    let heir = Server::game(&*store, 2, 10).await;
    let next = heir.claims_one(&*store).await;
    assert_eq!(kept(&*store, game(1)).await, "a");
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, WriteOutcome::Fenced);
    assert_eq!(wrote(&*store, entries(game(1), next, 2, "c")).await, WriteOutcome::Committed);
}

async fn a_server_in_another_slot_keeps_its_games_by_writing(fixture: &Fixture) {
    let store = fixture.store(Periods { recycle_after: ms(0), ..LONG });
    let (server, owner) = owned(&*store, 1, 1).await;
    placed(&*store, &journaled(2)).await;
    assert_eq!(server.accused(&*store, gateway(0), Charge::Refused).await, pintail_store::Verdict::Down);
    let other = Server::game(&*store, 2, 1).await;
    assert_eq!(other.slot, server.slot, "its slot is taken");
    let moved = Server::register(&*store, server.announcement.clone()).await;
    assert_ne!(moved.slot, server.slot);
    let owner = Owner { slot: moved.slot, ..owner };
    for _ in 0..2 {
        assert_eq!(wrote(&*store, entries(game(1), owner, 1, "a")).await, WriteOutcome::Committed);
        assert_eq!(store.game(game(1)).await.unwrap().unwrap().owner, owner, "players find it");
        assert_eq!(game_counts(&*store).await, [0, 1]);
        assert!(store.sweep_orphans(10).await.unwrap() <= 1, "the one that it did not write to");
    }
    assert_eq!(ids(&moved.claims(&*store).await), [game(2)]);
}

async fn a_game_that_nobody_takes_over_is_ended(fixture: &Fixture) {
    let store = fixture.store(Periods { orphan_ttl: ms(200), ..LONG });
    let (server, owner) = owned(&*store, 1, 1).await;
    placed(&*store, &journaled(2)).await;
    wrote(&*store, entries(game(1), owner, 1, "a")).await;
    let since = Instant::now();
    server.lost(&*store).await;
    let mut swept = 0;
    eventually("both are over", async || {
        swept += store.sweep_orphans(1).await.unwrap();
        (store.unsettled_games(0, 10).await.unwrap().len() == 2).then_some(())
    })
    .await;
    assert!(since.elapsed() >= ms(200));
    assert_eq!((swept, store.sweep_orphans(10).await.unwrap()), (2, 0));
    let record = saved(&*store, game(1)).await.record;
    assert_eq!(record.outcome.unwrap().reason, EndReason::ServerLost);
    assert_eq!(kept(&*store, game(1)).await, "");
    assert_eq!(store.failed_games(10).await.unwrap(), []);
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, WriteOutcome::Fenced);
    assert_eq!(Server::game(&*store, 2, 10).await.claims(&*store).await, Claimed::default());
}

async fn a_game_that_ends_while_it_waits_waits_no_longer(fixture: &Fixture) {
    let store = fixture.store(Periods { orphan_ttl: ms(100), ..LONG });
    let (server, owner) = owned(&*store, 1, 1).await;
    server.lost(&*store).await;
    assert!(store.end_game(game(1), owner, &finished()).await.unwrap(), "its owner had come to the end");
    tokio::time::sleep(ms(150)).await;
    assert_eq!(store.sweep_orphans(10).await.unwrap(), 0);
    assert_eq!(Server::game(&*store, 2, 10).await.claims(&*store).await, Claimed::default());
    assert_eq!(saved(&*store, game(1)).await.record.outcome, Some(finished()));
}

async fn a_time_in_which_nobody_is_heard_is_no_wait(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(2000), orphan_ttl: ms(600), ..LONG });
    let (server, _) = owned(&*store, 1, 1).await;
    server.lost(&*store).await;
    // Nobody could reach the store, and so nobody could claim anything.
    tokio::time::sleep(ms(1500)).await;
    assert_eq!(store.sweep_orphans(10).await.unwrap(), 0);
    let witness = Server::witness(&*store).await;
    let since = Instant::now();
    assert_eq!(store.sweep_orphans(10).await.unwrap(), 0, "each server has its time to come");
    eventually("it is over", async || {
        witness.beat(&*store, Status::Smooth).await;
        (store.sweep_orphans(10).await.unwrap() > 0).then_some(())
    })
    .await;
    assert!(since.elapsed() >= ms(600));
    assert_eq!(saved(&*store, game(1)).await.record.outcome.unwrap().reason, EndReason::ServerLost);
}

async fn ephemeral_games_are_not_claimed(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    placed(&*store, &order(1)).await;
    placed(&*store, &GameOrder { durability: Durability::Journaled, ..order(2) }).await;
    server.lost(&*store).await;
    let heir = Server::game(&*store, 2, 10).await;
    assert_eq!(ids(&heir.claims(&*store).await), [game(2)]);
}

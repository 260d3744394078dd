//! A server that drains hands its games over.

use pintail_core::{Epoch, GameId, Incarnation};
use pintail_store::{
    Claim, HandOverOutcome, Letter, Notice, Owner, Periods, SavedSnapshot, Store, WithoutServer, WriteOutcome,
};

use crate::fixture::{Fixture, LONG, Server, finished, game_counts, ms, order, placed};
use crate::journaling::{FORMAT, entries, game, journaled, kept, owned, saved, snapshot, whole, wrote};
use crate::mail::{next, subscribe};
use crate::on_both_stores;
use HandOverOutcome::{Fenced, NoServer, SetAside, To, Unknown};

on_both_stores!(
    a_game_goes_to_the_server_with_the_fewest_games,
    a_repeat_finds_it_done,
    without_a_server_a_game_stays_or_waits,
    only_the_owner_hands_a_game_over,
    a_late_repeat_hands_nothing_over_that_went_on,
    an_owner_whose_claim_was_lost_hands_over_all_the_same,
    nobody_is_given_what_it_can_not_read,
    a_hand_over_counts_as_no_attempt,
);

async fn handed(store: &dyn Store, id: GameId, owner: Owner, snapshot: &SavedSnapshot) -> HandOverOutcome {
    store.hand_over(id, owner, snapshot, WithoutServer::Keep).await.unwrap()
}

fn owner_of(server: &Server, epoch: u64) -> Owner {
    Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(epoch) }
}

async fn a_game_goes_to_the_server_with_the_fewest_games(fixture: &Fixture) {
    let store = fixture.store(LONG);
    // The ranking would prefer the owner itself.
    let (server, owner) = owned(&*store, 1, 1).await;
    let busy = Server::game(&*store, 2, 2).await;
    let target = Server::game(&*store, 3, 10).await;
    let busy_owner = owner_of(&busy, 1);
    store.restore_game(&journaled(7), busy_owner, None).await.unwrap();
    wrote(&*store, entries(game(1), owner, 1, "a b")).await;
    let mut mail = subscribe(&*store, Some(target.slot)).await;
    let next_owner = owner_of(&target, 2);
    assert_eq!(handed(&*store, game(1), owner, &snapshot(3, "abc")).await, To(next_owner));
    assert_eq!(next(&mut mail).await, Notice::Letter(Letter::GamePlaced(game(1))));
    assert_eq!(saved(&*store, game(1)).await.record.owner, next_owner);
    assert_eq!(kept(&*store, game(1)).await, "3:abc");
    assert_eq!(game_counts(&*store).await, [0, 1, 1]);
    assert_eq!(store.hosted(target.slot, target.incarnation()).await.unwrap(), [game(1)]);
    assert!(store.hosted(server.slot, server.incarnation()).await.unwrap().is_empty());
    assert_eq!(wrote(&*store, entries(game(1), owner, 4, "d")).await, WriteOutcome::Fenced);
    assert_eq!(wrote(&*store, entries(game(1), next_owner, 4, "d")).await, WriteOutcome::Committed);
    assert_eq!(placed(&*store, &order(9)).await.slot, server.slot, "each is ranked anew");
}

async fn a_repeat_finds_it_done(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    let target = Server::game(&*store, 2, 10).await;
    let other = Server::game(&*store, 3, 100).await;
    let done = To(owner_of(&target, 2));
    for _ in 0..3 {
        assert_eq!(handed(&*store, game(1), owner, &snapshot(1, "a")).await, done);
    }
    assert_eq!(game_counts(&*store).await, [0, 1, 0]);
    wrote(&*store, entries(game(1), owner_of(&target, 2), 2, "b")).await;
    assert_eq!(handed(&*store, game(1), owner, &snapshot(1, "a")).await, done);
    assert_eq!(kept(&*store, game(1)).await, "1:a b", "what came after it stays");
    target.lost(&*store).await;
    let claimed = store.claim_games(&Claim { limit: 1, ..other.claim() }).await.unwrap();
    assert_eq!(claimed.games.len(), 1);
    assert_eq!(handed(&*store, game(1), owner, &snapshot(1, "a")).await, Fenced, "it has gone further");
}

async fn without_a_server_a_game_stays_or_waits(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    Server::game(&*store, 2, 0).await;
    Server::hosting(&*store, 3, &["chess"]).await;
    wrote(&*store, entries(game(1), owner, 1, "a")).await;
    assert_eq!(handed(&*store, game(1), owner, &snapshot(2, "ab")).await, NoServer);
    assert_eq!(kept(&*store, game(1)).await, "a");
    assert_eq!(wrote(&*store, entries(game(1), owner, 2, "b")).await, WriteOutcome::Committed);
    let aside = WithoutServer::SetAside;
    for _ in 0..2 {
        assert_eq!(store.hand_over(game(1), owner, &snapshot(3, "abc"), aside).await.unwrap(), SetAside);
        assert_eq!(kept(&*store, game(1)).await, "3:abc");
        assert_eq!(game_counts(&*store).await, [0, 0, 0]);
        assert_eq!(wrote(&*store, entries(game(1), owner, 3, "c")).await, WriteOutcome::Fenced);
        assert_eq!(wrote(&*store, whole(game(1), owner, 4, "x")).await, WriteOutcome::Fenced);
    }
    server.stop(&*store).await;
    store.sweep_orphans(10).await.unwrap();
    let heir = Server::game(&*store, 4, 10).await;
    let claimed = heir.claims(&*store).await;
    assert_eq!((claimed.games[0].owner, claimed.games[0].attempts), (owner_of(&heir, 3), 1));
    assert_eq!(store.hand_over(game(1), owner, &snapshot(3, "abc"), aside).await.unwrap(), Fenced);
}

async fn only_the_owner_hands_a_game_over(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let heir = Server::game(&*store, 2, 10).await;
    server.lost(&*store).await;
    let second = heir.claims_one(&*store).await;
    Server::game(&*store, 3, 10).await;
    wrote(&*store, whole(game(1), second, 1, "a")).await;
    for stranger in [first, Owner { incarnation: Incarnation::random(), ..second }] {
        for without_server in [WithoutServer::Keep, WithoutServer::SetAside] {
            let outcome = store.hand_over(game(1), stranger, &snapshot(9, "x"), without_server).await.unwrap();
            assert_eq!(outcome, Fenced, "{stranger:?}");
        }
    }
    assert_eq!(handed(&*store, game(2), second, &snapshot(1, "a")).await, Unknown);
    assert_eq!(kept(&*store, game(1)).await, "1:a");
    store.end_game(game(1), second, &finished()).await.unwrap();
    assert_eq!(handed(&*store, game(1), second, &snapshot(1, "a")).await, Fenced, "it is over");
}

async fn a_late_repeat_hands_nothing_over_that_went_on(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (_, owner) = owned(&*store, 1, 1).await;
    wrote(&*store, entries(game(1), owner, 1, "a b")).await;
    Server::game(&*store, 2, 10).await;
    assert_eq!(handed(&*store, game(1), owner, &snapshot(1, "a")).await, NoServer);
    assert_eq!(kept(&*store, game(1)).await, "a b");
    assert_eq!(saved(&*store, game(1)).await.record.owner, owner);
}

async fn an_owner_whose_claim_was_lost_hands_over_all_the_same(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, first) = owned(&*store, 1, 1).await;
    let heir = Server::game(&*store, 2, 10).await;
    for without_server in [WithoutServer::Keep, WithoutServer::SetAside] {
        let backup = fixture.back_up(1).await;
        server.lost(&*store).await;
        let second = heir.claims_one(&*store).await;
        fixture.roll_back(&backup).await;
        if without_server == WithoutServer::SetAside {
            server.lost(&*store).await;
        }
        wrote(&*store, entries(game(1), first, 1, "x y z")).await;
        let outcome = store.hand_over(game(1), second, &snapshot(1, "a"), without_server).await.unwrap();
        match without_server {
            WithoutServer::Keep => assert_eq!(outcome, To(owner_of(&server, 3))),
            WithoutServer::SetAside => assert_eq!(outcome, SetAside),
        }
        assert_eq!(kept(&*store, game(1)).await, "1:a");
        assert_eq!(wrote(&*store, entries(game(1), first, 1, "x")).await, WriteOutcome::Fenced);
        fixture.roll_back(&backup).await;
    }
}

async fn nobody_is_given_what_it_can_not_read(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let (server, owner) = owned(&*store, 1, 1).await;
    let older = Server::game(&*store, 2, 10).await;
    for server in [&server, &older] {
        server.claims(&*store).await;
    }
    let newer = SavedSnapshot { format: FORMAT + 1, ..snapshot(1, "a") };
    assert_eq!(handed(&*store, game(1), owner, &newer).await, NoServer);
    let reader = Server::game(&*store, 3, 10).await;
    store.claim_games(&Claim { format: FORMAT + 1, ..reader.claim() }).await.unwrap();
    assert_eq!(handed(&*store, game(1), owner, &newer).await, To(owner_of(&reader, 2)));
    let again = Server::register(&*store, older.restarted()).await;
    assert_eq!(
        handed(&*store, game(1), owner_of(&reader, 2), &newer).await,
        To(owner_of(&again, 3)),
        "a server that has not said yet may be newer"
    );
}

async fn a_hand_over_counts_as_no_attempt(fixture: &Fixture) {
    let store = fixture.store(Periods { proven_after: ms(200), ..LONG });
    let (server, _) = owned(&*store, 1, 1).await;
    server.lost(&*store).await;
    let heir = Server::game(&*store, 2, 10).await;
    let mut owner = heir.claims_one(&*store).await;
    let other = Server::game(&*store, 3, 10).await;
    for (epoch, target) in [(3, &other), (4, &heir)] {
        assert_eq!(handed(&*store, game(1), owner, &snapshot(epoch, "a")).await, To(owner_of(target, epoch)));
        owner = owner_of(target, epoch);
        assert_eq!(saved(&*store, game(1)).await.attempts, 1, "it neither counts nor proves anything");
    }
    tokio::time::sleep(ms(250)).await;
    assert_eq!(handed(&*store, game(1), owner, &snapshot(5, "a")).await, To(owner_of(&other, 5)));
    assert_eq!(saved(&*store, game(1)).await.attempts, 0, "its owner has run it for long enough");
}

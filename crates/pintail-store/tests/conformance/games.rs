//! What becomes of a game.

use pintail_core::{Durability, Epoch, Incarnation, Kind, Status};
use pintail_store::{EndReason, GameOrder, GameRecord, Owner, Periods, RestoreOutcome};

use crate::fixture::{Fixture, LONG, Player, Server, eventually, finished, game_counts, ms, order, placed, renewed};
use crate::on_both_stores;

on_both_stores!(
    a_game_is_known_as_it_was_ordered,
    an_end_counts_down_once,
    only_the_owner_ends_a_game,
    an_outcome_is_kept_for_its_time,
    ends_are_listed_until_they_are_settled,
    games_and_sessions_of_a_lost_server_are_swept,
    what_a_restart_left_behind_is_swept,
    journaled_games_of_a_lost_server_are_set_aside,
    a_sweep_keeps_to_its_limit,
    a_running_game_is_put_back_into_a_store_that_lost_it,
    a_game_is_not_put_back_by_whoever_does_not_own_it,
);

async fn a_game_is_known_as_it_was_ordered(fixture: &Fixture) {
    let store = fixture.store(LONG);
    assert_eq!(store.game(order(1).id).await.unwrap(), None);
    let server = Server::game(&*store, 1, 10).await;
    let owner = placed(&*store, &order(1)).await;
    assert_eq!(owner, Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(1) });
    let record = GameRecord { order: order(1), owner, outcome: None };
    assert_eq!(store.game(order(1).id).await.unwrap(), Some(record.clone()));
    assert_eq!(store.hosted(owner.slot, owner.incarnation).await.unwrap(), [order(1).id]);

    assert!(store.end_game(order(1).id, owner, &finished()).await.unwrap());
    let record = GameRecord { outcome: Some(finished()), ..record };
    assert_eq!(store.game(order(1).id).await.unwrap(), Some(record));
    assert!(store.hosted(owner.slot, owner.incarnation).await.unwrap().is_empty());
}

async fn an_end_counts_down_once(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    for number in 1..=3 {
        placed(&*store, &order(number)).await;
    }
    let owner = placed(&*store, &order(1)).await;
    for _ in 0..3 {
        assert!(store.end_game(order(1).id, owner, &finished()).await.unwrap());
        assert_eq!(game_counts(&*store).await, [2]);
    }
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(2));
}

async fn only_the_owner_ends_a_game(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let other = Server::game(&*store, 2, 10).await;
    let epoch = Epoch(7);
    let owner = Owner { slot: other.slot, incarnation: other.incarnation(), epoch };
    assert_eq!(store.restore_game(&order(1), owner, None).await.unwrap(), RestoreOutcome::Restored);
    for stranger in [
        Owner { epoch: Epoch(6), ..owner },
        Owner { incarnation: Incarnation::random(), ..owner },
        Owner { slot: server.slot, ..owner },
    ] {
        assert!(!store.end_game(order(1).id, stranger, &finished()).await.unwrap(), "{stranger:?}");
    }
    assert_eq!(store.game(order(1).id).await.unwrap().unwrap().outcome, None);
    assert!(!store.end_game(order(2).id, owner, &finished()).await.unwrap(), "there is no such game");
}

async fn an_outcome_is_kept_for_its_time(fixture: &Fixture) {
    let store = fixture.store(Periods { game_record_ttl: ms(300), ..LONG });
    Server::game(&*store, 1, 10).await;
    let owner = placed(&*store, &order(1)).await;
    let ended_at = tokio::time::Instant::now();
    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    eventually("the record is gone", async || store.game(order(1).id).await.unwrap().is_none().then_some(())).await;
    assert!(ended_at.elapsed() >= ms(300));
    assert_eq!(store.unsettled_games(0, 10).await.unwrap(), [order(1).id], "its room is still to be told");
}

async fn ends_are_listed_until_they_are_settled(fixture: &Fixture) {
    let store = fixture.store(LONG);
    Server::game(&*store, 1, 10).await;
    for number in [3, 1, 2] {
        let owner = placed(&*store, &order(number)).await;
        store.end_game(order(number).id, owner, &finished()).await.unwrap();
        tokio::time::sleep(ms(5)).await;
    }
    let ids = [order(3).id, order(1).id, order(2).id];
    assert_eq!(store.unsettled_games(0, 10).await.unwrap(), ids, "oldest first");
    assert_eq!(store.unsettled_games(0, 2).await.unwrap(), ids[..2]);
    assert!(store.unsettled_games(60_000, 10).await.unwrap().is_empty(), "none is that old");
    store.settle_game(ids[1]).await.unwrap();
    store.settle_game(ids[1]).await.unwrap();
    assert_eq!(store.unsettled_games(0, 10).await.unwrap(), [ids[0], ids[2]]);
}

async fn games_and_sessions_of_a_lost_server_are_swept(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(300), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    placed(&*store, &order(1)).await;
    let player = Player::enter(&*store, &gateway).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0);
    server.beat(&*store, Status::Smooth).await;
    gateway.beat(&*store, Status::Smooth).await;
    let witness = Server::witness(&*store).await;
    eventually("both are reaped and swept", async || {
        witness.reaps(&*store).await;
        store.sweep_orphans(100).await.unwrap();
        let swept = store.sessions_away(0, 10).await.unwrap() == [player.id()]
            && store.unsettled_games(0, 10).await.unwrap() == [order(1).id];
        swept.then_some(())
    })
    .await;
    let outcome = store.game(order(1).id).await.unwrap().unwrap().outcome.unwrap();
    assert_eq!(outcome.reason, EndReason::ServerLost);
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0);
}

async fn what_a_restart_left_behind_is_swept(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let before = Server::game(&*store, 1, 10).await;
    let owner = placed(&*store, &order(1)).await;
    let again = pintail_store::Announcement { incarnation: Incarnation::random(), ..before.announcement.clone() };
    Server::register(&*store, again).await;
    placed(&*store, &order(2)).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 1);
    assert_eq!(game_counts(&*store).await, [1], "the new incarnation keeps its own");
    assert!(store.game(order(2).id).await.unwrap().unwrap().outcome.is_none());
    assert!(store.end_game(order(1).id, owner, &finished()).await.unwrap(), "it is over");
    let outcome = store.game(order(1).id).await.unwrap().unwrap().outcome.unwrap();
    assert_eq!(outcome.reason, EndReason::ServerLost, "the first end counts");
}

async fn journaled_games_of_a_lost_server_are_set_aside(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let journaled = GameOrder { durability: Durability::Journaled, ..order(1) };
    placed(&*store, &journaled).await;
    server.stop(&*store).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 1);
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0);
    assert_eq!(store.game(journaled.id).await.unwrap().unwrap().outcome, None, "it may be taken over");
}

async fn a_sweep_keeps_to_its_limit(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let servers = [Server::game(&*store, 1, 100).await, Server::game(&*store, 2, 100).await];
    for number in 0..25 {
        placed(&*store, &order(number)).await;
    }
    for server in servers {
        server.stop(&*store).await;
    }
    let mut sweeps = Vec::new();
    for _ in 0..4 {
        sweeps.push(store.sweep_orphans(10).await.unwrap());
    }
    assert_eq!(sweeps, [10, 10, 5, 0]);
    assert_eq!(store.unsettled_games(0, 100).await.unwrap().len(), 25);
}

async fn a_running_game_is_put_back_into_a_store_that_lost_it(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 1).await;
    let owner = Owner { slot: server.slot, incarnation: server.incarnation(), epoch: Epoch(7) };
    assert_eq!(store.restore_game(&order(1), owner, None).await.unwrap(), RestoreOutcome::Restored);
    assert_eq!(
        store.restore_game(&order(1), owner, None).await.unwrap(),
        RestoreOutcome::Restored,
        "again is the same"
    );
    assert_eq!(store.game(order(1).id).await.unwrap(), Some(GameRecord { order: order(1), owner, outcome: None }));
    assert_eq!(game_counts(&*store).await, [1]);
    assert_eq!(placed(&*store, &order(1)).await, owner);
    assert_eq!(store.place(&order(2)).await.unwrap(), pintail_store::PlaceOutcome::NoServer, "it is full");
    assert!(store.end_game(order(1).id, owner, &finished()).await.unwrap());
    assert_eq!(store.restore_game(&order(1), owner, None).await.unwrap(), RestoreOutcome::Taken, "it is over");
}

async fn a_game_is_not_put_back_by_whoever_does_not_own_it(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let owner = placed(&*store, &order(1)).await;
    let later = Owner { epoch: Epoch(2), ..owner };
    assert_eq!(store.restore_game(&order(1), later, None).await.unwrap(), RestoreOutcome::Taken);
    assert_eq!(store.game(order(1).id).await.unwrap().unwrap().owner, owner);
    let stranger = Owner { slot: server.slot, incarnation: Incarnation::random(), epoch: Epoch(1) };
    assert_eq!(store.restore_game(&order(2), stranger, None).await.unwrap(), RestoreOutcome::Unregistered);
    assert_eq!(store.game(order(2).id).await.unwrap(), None);
}

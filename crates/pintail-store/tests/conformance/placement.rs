//! Which server a game is given to.

use pintail_core::{Incarnation, Kind, Status};
use pintail_store::{Announcement, GameOrder, Periods, PlaceOutcome, SharedStore};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, LONG, Server, announcement, echo, eventually, finished, game_counts, ms, order, placed};
use crate::on_both_stores;

on_both_stores!(
    many_placements_at_once_keep_the_spread_within_one_game,
    servers_of_unequal_capacity_are_filled_by_share,
    no_server_is_given_more_than_its_capacity,
    the_same_order_placed_many_times_is_one_game,
    a_server_that_takes_nothing_new_is_passed_over,
    a_server_without_a_lease_is_passed_over_until_it_is_back,
    a_type_that_nobody_hosts_has_no_server,
    a_restart_with_other_types_is_given_those,
    a_place_that_a_game_leaves_can_be_taken_again,
);

/// Places this many games at once. Returns how many found a server.
async fn place_at_once(store: &SharedStore, count: u64) -> usize {
    let mut placements = JoinSet::new();
    for number in 0..count {
        let store = store.clone();
        placements.spawn(async move { store.place(&order(number)).await.unwrap() });
    }
    let outcomes = placements.join_all().await;
    outcomes.iter().filter(|outcome| matches!(outcome, PlaceOutcome::Placed(_))).count()
}

async fn many_placements_at_once_keep_the_spread_within_one_game(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for number in 0..8 {
        Server::game(&*store, number, 1000).await;
    }
    assert_eq!(place_at_once(&store, 1000).await, 1000);
    assert_eq!(game_counts(&*store).await, [125; 8]);
}

async fn servers_of_unequal_capacity_are_filled_by_share(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for (number, capacity) in [(1, 100), (2, 200), (3, 300)] {
        Server::game(&*store, number, capacity).await;
    }
    assert_eq!(place_at_once(&store, 300).await, 300);
    for (games, share) in game_counts(&*store).await.into_iter().zip([50_u32, 100, 150]) {
        assert!(games.abs_diff(share) <= 1, "{games} games instead of about {share}");
    }
}

async fn no_server_is_given_more_than_its_capacity(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for (number, capacity) in [(1, 3), (2, 0), (3, 5)] {
        Server::game(&*store, number, capacity).await;
    }
    assert_eq!(place_at_once(&store, 20).await, 8);
    assert_eq!(game_counts(&*store).await, [3, 0, 5]);
    assert_eq!(store.place(&order(99)).await.unwrap(), PlaceOutcome::NoServer);
    assert_eq!(store.game(order(99).id).await.unwrap(), None, "it left nothing behind");
}

async fn the_same_order_placed_many_times_is_one_game(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for number in 0..4 {
        Server::game(&*store, number, 10).await;
    }
    let owner = placed(&*store, &order(1)).await;
    let mut placements = JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        placements.spawn(async move { placed(&*store, &order(1)).await });
    }
    assert_eq!(placements.join_all().await, [owner; 50]);
    assert_eq!(game_counts(&*store).await.iter().sum::<u32>(), 1);
    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::Over(finished()));
}

async fn a_server_that_takes_nothing_new_is_passed_over(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let congested = Server::game(&*store, 1, 10).await;
    let draining = Server::game(&*store, 2, 10).await;
    let stopped = Server::game(&*store, 3, 10).await;
    congested.beat(&*store, Status::Congested).await;
    draining.beat(&*store, Status::Unused).await;
    stopped.stop(&*store).await;
    assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer);
    congested.beat(&*store, Status::Smooth).await;
    assert_eq!(placed(&*store, &order(1)).await.slot, congested.slot);
    assert_eq!(placed(&*store, &order(2)).await.slot, congested.slot);
}

async fn a_server_without_a_lease_is_passed_over_until_it_is_back(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(200), ..LONG });
    let server = Server::game(&*store, 1, 1000).await;
    let mut number = 0;
    eventually("it is passed over", async || {
        number += 1;
        (store.place(&order(number)).await.unwrap() == PlaceOutcome::NoServer).then_some(())
    })
    .await;
    server.beat(&*store, Status::Smooth).await;
    assert_eq!(placed(&*store, &order(number)).await.slot, server.slot);
}

async fn a_type_that_nobody_hosts_has_no_server(fixture: &Fixture) {
    let store = fixture.store(LONG);
    Server::game(&*store, 1, 10).await;
    Server::start(&*store, Kind::Lobby, 2).await;
    let chess = GameOrder { game_type: "chess".parse().unwrap(), ..order(1) };
    assert_eq!(store.place(&chess).await.unwrap(), PlaceOutcome::NoServer);
}

async fn a_restart_with_other_types_is_given_those(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let before = announcement(Kind::Game, 1);
    store.register(&before).await.unwrap();
    let chess = "chess".parse().unwrap();
    let after = Announcement { game_types: vec![chess], incarnation: Incarnation::random(), ..before };
    let after = Server::register(&*store, after).await;
    assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer, "{} is no longer hosted", echo());
    let order = GameOrder { game_type: "chess".parse().unwrap(), ..order(1) };
    assert_eq!(placed(&*store, &order).await.incarnation, after.incarnation());
}

async fn a_place_that_a_game_leaves_can_be_taken_again(fixture: &Fixture) {
    let store = fixture.store(LONG);
    Server::game(&*store, 1, 1).await;
    let owner = placed(&*store, &order(1)).await;
    assert_eq!(store.place(&order(2)).await.unwrap(), PlaceOutcome::NoServer);
    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    assert_eq!(placed(&*store, &order(2)).await, owner);
}

//! Announcements and letters.

use pintail_core::{GameId, Kind, RoomId, Round, SessionId, Slot, Status};
use pintail_store::{Letter, Notice, Periods, Store, Subscription};

use crate::fixture::{Fixture, LONG, PATIENCE, Server, finished, ms, order, placed};
use crate::on_both_stores;

on_both_stores!(
    servers_that_come_and_go_are_announced,
    a_letter_reaches_its_mailbox_only,
    a_game_is_announced_to_its_server_and_its_end_to_its_lobby,
    a_subscriber_that_does_not_read_blocks_nobody,
);

/// The next notice.
pub(crate) async fn next(subscription: &mut Subscription) -> Notice {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a notice comes").expect("the store is there")
}

/// A subscription that listens.
pub(crate) async fn subscribe(store: &dyn Store, mailbox: Option<Slot>) -> Subscription {
    let mut subscription = store.subscribe(mailbox);
    assert_eq!(next(&mut subscription).await, Notice::Rescan, "the first notice says that the store listens");
    subscription
}

async fn servers_that_come_and_go_are_announced(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(300), ..LONG });
    let witness = Server::witness(&*store).await;
    let mut mail = subscribe(&*store, None).await;
    let server = Server::start(&*store, Kind::Game, 1).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(server.slot));
    server.stop(&*store).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot));
    server.stop(&*store).await;

    let server = Server::start(&*store, Kind::Game, 1).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(server.slot), "and nothing for a second stop");
    server.beat(&*store, Status::Smooth).await;
    server.reaped(&*store, &witness).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot), "and nothing for a heartbeat");
    server.beat(&*store, Status::Smooth).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(server.slot));
}

async fn a_letter_reaches_its_mailbox_only(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let [first, second] = [Slot::new(Kind::Game, 1), Slot::new(Kind::Game, 11)];
    let [mut to_first, mut to_second] = [subscribe(&*store, Some(first)).await, subscribe(&*store, Some(second)).await];
    let mut to_nobody = subscribe(&*store, None).await;
    let game = GameId { room: RoomId(1), round: Round(1) };
    store.send(second, Letter::GamePlaced(game)).await.unwrap();
    store.send(first, Letter::PlayerLeft(game, SessionId(7))).await.unwrap();
    assert_eq!(next(&mut to_first).await, Notice::Letter(Letter::PlayerLeft(game, SessionId(7))));
    assert_eq!(next(&mut to_second).await, Notice::Letter(Letter::GamePlaced(game)));
    let server = Server::start(&*store, Kind::Lobby, 1).await;
    assert_eq!(next(&mut to_nobody).await, Notice::ServerOn(server.slot), "and no letter before it");
}

async fn a_game_is_announced_to_its_server_and_its_end_to_its_lobby(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let mut to_server = subscribe(&*store, Some(server.slot)).await;
    let mut to_lobby = subscribe(&*store, Some(order(1).lobby)).await;
    let owner = placed(&*store, &order(1)).await;
    assert_eq!(next(&mut to_server).await, Notice::Letter(Letter::GamePlaced(order(1).id)));
    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    assert_eq!(next(&mut to_lobby).await, Notice::Letter(Letter::GameOver(order(1).id)));
}

async fn a_subscriber_that_does_not_read_blocks_nobody(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let slot = Slot::new(Kind::Game, 0);
    let mut lazy = subscribe(&*store, Some(slot)).await;
    let mut busy = subscribe(&*store, Some(slot)).await;
    let letter = |number| Letter::GameOver(GameId { room: RoomId(number), round: Round(1) });
    for number in 0..3000 {
        store.send(slot, letter(number)).await.unwrap();
        assert_eq!(next(&mut busy).await, Notice::Letter(letter(number)));
    }
    let mut read = 0;
    while next(&mut lazy).await != Notice::Rescan {
        read += 1;
    }
    assert!(read < 3000, "some were dropped, and it is told to scan");
    // What was still under way may come first.
    store.send(slot, letter(5000)).await.unwrap();
    while next(&mut lazy).await != Notice::Letter(letter(5000)) {}
}

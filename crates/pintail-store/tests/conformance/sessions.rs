//! Who is logged in, and where.

use pintail_core::{Generation, Incarnation, Kind, SessionId};
use pintail_store::{Announcement, Letter, LoginMode, LoginOutcome, Notice, Periods};
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, Player, Server, creation, ms, name};
use crate::mail::{next, subscribe};
use crate::on_both_stores;

on_both_stores!(
    a_session_is_made_and_resumed,
    a_login_that_is_repeated_is_the_same_session,
    a_session_needs_its_token,
    a_login_elsewhere_is_told_to_the_gateway_before,
    a_lost_connection_is_listed_until_it_is_settled_or_back,
    a_lost_connection_that_was_replaced_changes_nothing,
    a_logout_ends_the_session_and_its_place,
    sessions_that_are_held_live_and_others_expire,
    a_gateway_puts_back_what_the_store_lost_and_hears_of_newer_connections,
    a_session_that_nobody_refreshes_expires,
);

async fn a_session_is_made_and_resumed(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let player = Player::new();
    let steps = [
        (LoginMode::New(name("Ada")), 1, "Ada"),
        (LoginMode::Resume(None), 2, "Ada"),
        (LoginMode::Resume(Some(name("Grace “;DROP”"))), 3, "Grace “;DROP”"),
        (LoginMode::Resume(None), 4, "Grace “;DROP”"),
    ];
    for (mode, generation, shown) in steps {
        let outcome = store.login(&player.login(mode, &gateway)).await.unwrap();
        assert_eq!(outcome, LoginOutcome::Accepted { generation: Generation(generation), name: name(shown) });
    }
}

async fn a_login_that_is_repeated_is_the_same_session(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let player = Player::enter(&*store, &gateway).await;
    assert_eq!(player.accepted(&*store, LoginMode::New(name("Ada")), &gateway).await, Generation(2));
}

async fn a_session_needs_its_token(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let player = Player::enter(&*store, &gateway).await;
    for mode in [LoginMode::Resume(None), LoginMode::New(name("Eve"))] {
        let mut login = player.login(mode, &gateway);
        login.token = Player::new().token.hash();
        assert_eq!(store.login(&login).await.unwrap(), LoginOutcome::WrongToken);
    }
    let stranger = Player::new().login(LoginMode::Resume(Some(name("Eve"))), &gateway);
    assert_eq!(store.login(&stranger).await.unwrap(), LoginOutcome::Unknown);
    assert_eq!(player.accepted(&*store, LoginMode::Resume(None), &gateway).await, Generation(2));
}

async fn a_login_elsewhere_is_told_to_the_gateway_before(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let first = Server::start(&*store, Kind::Gateway, 1).await;
    let second = Server::start(&*store, Kind::Gateway, 2).await;
    let player = Player::enter(&*store, &first).await;
    let mut mail = subscribe(&*store, Some(first.slot)).await;

    player.accepted(&*store, LoginMode::Resume(None), &first).await;
    let generation = player.accepted(&*store, LoginMode::Resume(None), &second).await;
    let moved = Letter::SessionMoved(player.id(), generation);
    assert_eq!(next(&mut mail).await, Notice::Letter(moved), "and none for the login at the same gateway");

    let mut to_second = subscribe(&*store, Some(second.slot)).await;
    store.session_away(player.id(), generation).await.unwrap();
    let generation = player.accepted(&*store, LoginMode::Resume(None), &first).await;
    let again = Announcement { incarnation: Incarnation::random(), ..first.announcement.clone() };
    let restarted = Server::register(&*store, again).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(first.slot));
    assert_eq!(next(&mut to_second).await, Notice::ServerOn(first.slot), "it had lost the connection already");
    player.accepted(&*store, LoginMode::Resume(None), &restarted).await;
    let moved = Letter::SessionMoved(player.id(), generation.next());
    assert_eq!(next(&mut mail).await, Notice::Letter(moved), "the same slot, and another gateway");
}

async fn a_lost_connection_is_listed_until_it_is_settled_or_back(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let mut players = Vec::new();
    for _ in 0..3 {
        let player = Player::enter(&*store, &gateway).await;
        store.session_away(player.id(), Generation(1)).await.unwrap();
        tokio::time::sleep(ms(5)).await;
        players.push(player);
    }
    let ids: Vec<SessionId> = players.iter().map(Player::id).collect();
    store.session_away(ids[0], Generation(1)).await.unwrap();
    assert_eq!(store.sessions_away(0, 10).await.unwrap(), ids, "oldest first; a repeated loss changes nothing");
    assert_eq!(store.sessions_away(0, 2).await.unwrap(), ids[..2]);
    assert!(store.sessions_away(60_000, 10).await.unwrap().is_empty());
    players[0].accepted(&*store, LoginMode::Resume(None), &gateway).await;
    store.settle_away(ids[1]).await.unwrap();
    assert_eq!(store.sessions_away(0, 10).await.unwrap(), ids[2..]);
}

async fn a_lost_connection_that_was_replaced_changes_nothing(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let player = Player::enter(&*store, &gateway).await;
    let generation = player.accepted(&*store, LoginMode::Resume(None), &gateway).await;
    store.session_away(player.id(), Generation(1)).await.unwrap();
    assert!(store.sessions_away(0, 10).await.unwrap().is_empty());
    assert!(!store.logout(player.id(), Generation(1)).await.unwrap());
    assert!(gateway.hold(&*store, &[player.held(generation)]).await.is_empty());
    store.session_away(SessionId::random(), Generation(1)).await.unwrap();
    assert!(store.sessions_away(0, 10).await.unwrap().is_empty(), "nobody knows that session");
}

async fn a_logout_ends_the_session_and_its_place(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let [lone, member] = [Player::enter(&*store, &gateway).await, Player::enter(&*store, &gateway).await];
    let mut change = creation(1, &[]);
    change.enter.push(member.id());
    store.commit_room(&change).await.unwrap();
    for player in [&lone, &member] {
        assert!(store.logout(player.id(), Generation(1)).await.unwrap());
        assert!(!store.logout(player.id(), Generation(1)).await.unwrap());
        let login = player.login(LoginMode::Resume(None), &gateway);
        assert_eq!(store.login(&login).await.unwrap(), LoginOutcome::Unknown);
    }
    assert_eq!(store.sessions_away(0, 10).await.unwrap(), [member.id()], "a lobby takes it out of its room");
}

async fn sessions_that_are_held_live_and_others_expire(fixture: &Fixture) {
    let store = fixture.store(Periods { session_ttl: ms(1500), ..LONG });
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let [kept, left] = [Player::enter(&*store, &gateway).await, Player::enter(&*store, &gateway).await];
    let mut change = creation(1, &[]);
    change.enter = vec![kept.id(), left.id()];
    store.commit_room(&change).await.unwrap();
    let entered_at = Instant::now();
    while entered_at.elapsed() < ms(3000) {
        assert!(gateway.hold(&*store, &[kept.held(Generation(1))]).await.is_empty());
        tokio::time::sleep(ms(50)).await;
    }
    let login = left.login(LoginMode::Resume(None), &gateway);
    assert_eq!(store.login(&login).await.unwrap(), LoginOutcome::Unknown, "nobody refreshed it");
    assert_eq!(store.room_of(kept.id()).await.unwrap().unwrap().id, change.id, "its place lives with it");
    assert_eq!(store.room_of(left.id()).await.unwrap(), None);
}

async fn a_gateway_puts_back_what_the_store_lost_and_hears_of_newer_connections(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let [here, there] =
        [Server::start(&*store, Kind::Gateway, 1).await, Server::start(&*store, Kind::Gateway, 2).await];
    let moved = Player::enter(&*store, &here).await;
    moved.accepted(&*store, LoginMode::Resume(None), &there).await;
    let taken_for_gone = Player::enter(&*store, &here).await;
    store.session_away(taken_for_gone.id(), Generation(1)).await.unwrap();
    let lost: Vec<Player> = (0..600).map(|_| Player::new()).collect();

    let mut held: Vec<_> = lost.iter().map(|player| player.held(Generation(7))).collect();
    held.insert(300, moved.held(Generation(1)));
    held.insert(301, taken_for_gone.held(Generation(1)));
    assert_eq!(here.hold(&*store, &held).await, [moved.id()]);

    assert!(store.sessions_away(0, 10).await.unwrap().is_empty(), "it is here after all");
    assert_eq!(lost[0].accepted(&*store, LoginMode::Resume(None), &there).await, Generation(8), "the numbers go on");
    store.deregister(here.slot, here.incarnation()).await.unwrap();
    while store.sweep_orphans(1000).await.unwrap() > 0 {}
    let away = store.sessions_away(0, 1000).await.unwrap();
    assert_eq!(away.len(), 600, "those still held go with their gateway");
    assert!(!away.contains(&lost[0].id()) && !away.contains(&moved.id()));
    assert!(here.hold(&*store, &[]).await.is_empty());
}

async fn a_session_that_nobody_refreshes_expires(fixture: &Fixture) {
    let store = fixture.store(Periods { session_ttl: ms(200), ..LONG });
    let gateway = Server::start(&*store, Kind::Gateway, 1).await;
    let player = Player::enter(&*store, &gateway).await;
    tokio::time::sleep(ms(400)).await;
    let login = player.login(LoginMode::Resume(None), &gateway);
    assert_eq!(store.login(&login).await.unwrap(), LoginOutcome::Unknown);
}

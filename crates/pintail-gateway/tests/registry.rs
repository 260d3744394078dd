//! What a gateway does when the store loses its registration while players are connected.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pintail_core::{Kind, SessionId};
use pintail_store::Sessions;
use pintail_wire::Message;
use pintail_wire::kind::link as link_kind;
use pintail_wire::link::{SessionPresence, session_presence};
use support::trouble::TroubledStore;
use support::{FakeServer, RawClient, TestGateway, soon, until};

/// The store is told who is connected while one of them goes: its last word must be that the player is gone, or the
/// place in the room is kept for ever.
#[tokio::test]
async fn who_goes_while_the_sessions_are_put_back_is_away() {
    let store = TroubledStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let (leaver, welcome) = RawClient::log_in(gateway.tcp, "leaver").await;
    store.holds_late.store(true, Ordering::SeqCst);
    store.loses_gateway.store(true, Ordering::SeqCst);
    soon("the sessions' being put back", store.hold_begun.acquire()).await.unwrap().forget();

    drop(leaver);
    let away = async || store.sessions_away(0, 10).await.unwrap() == [SessionId(welcome.session)];
    until("the absence", away).await;
    store.hold_goes_on.add_permits(1);
    // A second time round, so that whatever the first one did is done.
    let (_stayer, _) = RawClient::log_in(gateway.tcp, "stayer").await;
    store.holds_late.store(true, Ordering::SeqCst);
    store.loses_gateway.store(true, Ordering::SeqCst);
    soon("another time", store.hold_begun.acquire()).await.unwrap().forget();
    store.hold_goes_on.add_permits(1);
    until("the absence once more", away).await;
    gateway.stop().await;
}

/// A store that is away for long, and for these calls alone: no gap in the gateway's lease tells of it.
#[tokio::test]
async fn who_goes_while_the_store_cannot_be_told_is_away_when_it_can_and_holds_no_place_until_then() {
    let store = TroubledStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let (leaver, welcome) = RawClient::log_in(gateway.tcp, "leaver").await;
    store.hears_no_departures.store(true, Ordering::SeqCst);
    drop(leaver);
    let began = Instant::now();
    until("the connection's end", async || gateway.metric("pintail_gateway_connections").await == 0.0).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(store.sessions_away(0, 10).await.unwrap(), []);
    store.hears_no_departures.store(false, Ordering::SeqCst);
    let away = async || store.sessions_away(0, 10).await.unwrap() == [SessionId(welcome.session)];
    until("the absence", away).await;
    gateway.stop().await;
}

/// Rooms know by a gateway's slot where their members' events go.
#[tokio::test]
async fn a_gateway_that_gets_another_slot_tells_where_its_players_are_now() {
    let store = TroubledStore::new();
    let gateway = TestGateway::start_on(store.clone()).await;
    let mut lobby = FakeServer::start(Kind::Lobby, gateway.store.clone()).await;
    lobby.linked().await;
    let before = lobby.links.borrow()[0].0;
    let (_client, welcome) = RawClient::log_in(gateway.tcp, "stays").await;
    store.moves_gateway.store(true, Ordering::SeqCst);
    store.loses_gateway.store(true, Ordering::SeqCst);
    let presence = SessionPresence::decode(lobby.recv_kind(link_kind::SESSION_PRESENCE).await).unwrap();
    assert_eq!(presence.session, welcome.session);
    assert_eq!((presence.presence(), presence.generation), (session_presence::Presence::Back, welcome.generation));
    let now = lobby.links.borrow().last().unwrap().0;
    assert_ne!(now, before, "the news comes over a link of the new slot");
    gateway.stop().await;
}

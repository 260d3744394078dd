//! How gateways see the other servers: who is dead, who is silent, and when they had better doubt themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pintail_core::{Endpoint, Health, Incarnation, Kind, Slot};
use pintail_gateway::GatewayConfig;
use pintail_net::Timing;
use pintail_store::{EmbeddedStore, RedisOptions, RedisStore, SharedStore};
use pintail_testkit::RedisServer;
use pintail_wire::Message;
use pintail_wire::client::LobbyRequest;
use pintail_wire::kind::{client as kind, link as link_kind};
use support::server::{Voice, announcement};
use support::{FakeServer, RawClient, TestGateway, gateway_config, record_of, soon, until};
use tokio::net::TcpListener;

/// What a gateway has seen happen to a server, without the reasons.
async fn seen(gateway: &TestGateway, slot: Slot) -> Vec<String> {
    gateway.events(slot).await.into_iter().map(|(event, _)| event).collect()
}

async fn is_accused(store: &SharedStore, slot: Slot) -> bool {
    !record_of(store, slot).await.accusers.is_empty()
}

/// Servers of both kinds, linked to all these gateways.
async fn servers(gateways: &[&TestGateway], kinds: &[Kind]) -> Vec<FakeServer> {
    let mut servers = Vec::new();
    for &kind in kinds {
        let mut server = FakeServer::start(kind, gateways[0].store.clone()).await;
        server.linked_to(gateways.len()).await;
        servers.push(server);
    }
    for gateway in gateways {
        for server in &servers {
            gateway.until_health(server.slot, Health::Up).await;
        }
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_out_of_use_at_once_for_every_gateway() {
    let here = TestGateway::start().await;
    let there = TestGateway::start_on(here.store.clone()).await;
    let mut servers = servers(&[&here, &there], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    let victim = servers.pop().unwrap();
    let slot = victim.slot;
    // A link that breaks as soon as it is open is no sign of death.
    for gateway in [&here, &there] {
        let is_old = async || gateway.link_age(slot).await >= Some(Duration::from_millis(300));
        until("a link that has lived", is_old).await;
    }
    let began = Instant::now();
    victim.kill();
    let store = here.store.clone();
    until("the store to know", async || !record_of(&store, slot).await.is_live()).await;
    let out_of_use = began.elapsed();
    here.until_health(slot, Health::Down).await;
    there.until_health(slot, Health::Down).await;
    let noticed = began.elapsed();
    println!("out of use after {out_of_use:?}, noticed by both gateways after {noticed:?}");
    // The figures of a quiet machine are a tenth of it; a lease would have taken two seconds.
    assert!(noticed < Duration::from_millis(1500), "{out_of_use:?} {noticed:?}");
    for gateway in [&here, &there] {
        assert_eq!(seen(gateway, slot).await, ["on", "down"], "once each");
        assert_eq!(gateway.metric("pintail_gateway_cut_off").await, 0.0);
    }
    for server in &servers {
        assert_eq!(here.health(server.slot).await, Some(Health::Up), "the others are not affected");
    }
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_in_good_order_is_off_and_nobody_is_alarmed() {
    let gateway = TestGateway::start().await;
    let mut servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game]).await;
    let mut leaver = servers.pop().unwrap();
    let slot = leaver.slot;
    // Its port is closed before the registry knows.
    leaver.say_goodbye().await;
    leaver.stop().await;
    until("the gateway to know", async || gateway.health(slot).await.is_none()).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "off"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_silent_server_gets_no_games_and_is_up_again_when_it_answers() {
    let gateway = TestGateway::start().await;
    let servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    let (slot, store) = (servers[1].slot, gateway.store.clone());
    servers[1].voice.send_replace(Voice::Mute);
    gateway.until_health(slot, Health::Suspect).await;
    until("the accusation", async || record_of(&store, slot).await.accusers == [gateway.slot]).await;
    // Long enough for a charge of death, which nobody else confirms: the lease speaks for the server.
    tokio::time::sleep(Timing::default().down_after).await;
    assert_eq!(gateway.health(slot).await, Some(Health::Suspect));
    assert!(record_of(&store, slot).await.is_live() && is_accused(&store, slot).await, "the accusation is repeated");

    servers[1].voice.send_replace(Voice::Answers);
    gateway.until_health(slot, Health::Up).await;
    until("the absolution", async || !is_accused(&store, slot).await).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "suspect", "up"]);
    assert!(gateway.metric("pintail_gateway_heartbeat_round_trip_seconds_count").await > 0.0);
    assert_eq!(gateway.metric("pintail_gateway_suspicions_total").await, 1.0);
    assert_eq!(gateway.metric("pintail_gateway_downs_total").await, 0.0);
    gateway.stop().await;
}

#[tokio::test]
async fn two_gateways_that_agree_take_a_silent_server_out_of_use() {
    let here = TestGateway::start().await;
    let there = TestGateway::start_on(here.store.clone()).await;
    let mut servers = servers(&[&here, &there], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    let silent = servers.pop().unwrap();
    // Its heartbeats would bring it back.
    silent.lose_lease();
    silent.voice.send_replace(Voice::Mute);
    for gateway in [&here, &there] {
        gateway.until_health(silent.slot, Health::Down).await;
        assert_eq!(seen(gateway, silent.slot).await, ["on", "suspect", "down"]);
    }
    assert!(!record_of(&here.store, silent.slot).await.is_live());
    let mut silent = silent;
    silent.linked_to(0).await;
    here.stop().await;
    there.stop().await;
}

/// It lives, and its links work; only the registry took it for dead, and so its games are given to others.
#[tokio::test]
async fn a_server_that_was_switched_off_by_mistake_loses_its_links_and_comes_back() {
    let gateway = TestGateway::start().await;
    let mut servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    let game = &mut servers[2];
    let first = game.linked().await;
    let by_mistake = Slot::new(Kind::Gateway, 99);
    gateway.store.accuse(game.slot, game.incarnation, by_mistake, pintail_core::Charge::Refused).await.unwrap();
    until("it to be found down", async || gateway.metric("pintail_gateway_downs_total").await == 1.0).await;
    gateway.until_health(game.slot, Health::Up).await;
    assert_eq!(seen(&gateway, game.slot).await, ["on", "down", "up"]);
    until("the first link's end", async || first.is_closed()).await;
    game.linked_to(1).await;
    assert_eq!(gateway.metric("pintail_gateway_links").await, 3.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gateway_that_sees_most_servers_dead_accuses_nobody() {
    let gateway = TestGateway::start().await;
    let servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    servers.iter().map(|server| &server.voice).for_each(|voice| {
        voice.send_replace(Voice::Mute);
    });
    until("doubts", async || gateway.metric("pintail_gateway_cut_off").await == 1.0).await;
    // Silent for as long as it takes to be taken for dead.
    tokio::time::sleep(Timing::default().down_after).await;
    assert_eq!(gateway.metric("pintail_gateway_accusations_total").await, 0.0);
    for server in &servers {
        assert!(!is_accused(&gateway.store, server.slot).await);
        server.voice.send_replace(Voice::Answers);
    }
    until("trust", async || gateway.metric("pintail_gateway_cut_off").await == 0.0).await;
    assert_eq!(seen(&gateway, gateway.slot).await, ["on", "cut-off", "reunited"]);
    for server in &servers {
        gateway.until_health(server.slot, Health::Up).await;
        assert_eq!(seen(&gateway, server.slot).await, ["on"]);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_loses_all_links_at_once_accuses_nobody() {
    let gateway = TestGateway::start().await;
    let servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    servers.into_iter().for_each(FakeServer::kill);
    until("doubts", async || gateway.metric("pintail_gateway_cut_off").await == 1.0).await;
    assert_eq!(gateway.metric("pintail_gateway_accusations_total").await, 0.0);
    assert_eq!(gateway.metric("pintail_gateway_downs_total").await, 0.0);
    gateway.stop().await;
}

/// The whole gateway is held up, as by SIGSTOP, for longer than servers wait for it: its links are closed meanwhile. The
/// servers run on threads of their own.
#[tokio::test(flavor = "current_thread")]
async fn a_gateway_that_was_held_up_accuses_nobody() {
    let gateway = TestGateway::start().await;
    let mut servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game, Kind::Game]).await;
    std::thread::sleep(Duration::from_secs(5));
    for server in &mut servers {
        server.linked_to(1).await;
    }
    until("the delay to be noticed", async || gateway.metric("pintail_gateway_late_ticks_total").await >= 1.0).await;
    tokio::time::sleep(Timing::default().down_after).await;
    assert_eq!(gateway.metric("pintail_gateway_accusations_total").await, 0.0);
    assert_eq!(gateway.metric("pintail_gateway_downs_total").await, 0.0);
    for server in &servers {
        assert_eq!(gateway.health(server.slot).await, Some(Health::Up));
        assert_eq!(seen(&gateway, server.slot).await, ["on"]);
    }
    gateway.stop().await;
}

/// A wall between this gateway and the server: the server is registered and lives, but nobody answers at its address.
#[tokio::test]
async fn a_server_that_was_never_linked_is_suspect_and_never_more() {
    let gateway = TestGateway::start().await;
    let _servers = servers(&[&gateway], &[Kind::Lobby, Kind::Game]).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = pintail_net::address::advertised(closed, None).unwrap();
    let incarnation = Incarnation::random();
    let store = gateway.store.clone();
    let slot = store.register(&announcement(Kind::Game, endpoint, incarnation)).await.unwrap().slot;
    let living = tokio::spawn({
        let store = store.clone();
        async move {
            let status = pintail_core::Status::Smooth;
            let heartbeat = pintail_store::Heartbeat { status, cause: String::new(), players: 0, endpoint };
            loop {
                store.heartbeat(slot, incarnation, &heartbeat).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    gateway.until_health(slot, Health::Suspect).await;
    tokio::time::sleep(Timing::default().down_after * 2).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "suspect"]);
    assert!(record_of(&store, slot).await.is_live() && is_accused(&store, slot).await);
    living.abort();
    gateway.until_health(slot, Health::Down).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "suspect", "down"]);
    gateway.stop().await;
}

#[tokio::test]
async fn requests_that_wait_for_a_silent_lobby_go_to_another() {
    let gateway = TestGateway::start().await;
    let mut servers = servers(&[&gateway], &[Kind::Lobby, Kind::Lobby, Kind::Lobby]).await;
    let (mut client, _) = RawClient::log_in(gateway.tcp, "asker").await;
    let ask = [&7_u64.to_be_bytes()[..], &LobbyRequest::default().encode_to_vec()].concat();
    client.send(kind::LOBBY_REQUEST, &ask).await;
    let asked = async |server: &mut FakeServer| server.recv_kind(link_kind::LOBBY_FORWARD).await;
    let [a, b, c] = servers.as_mut_slice() else { panic!("three servers") };
    let silent = tokio::select! {
        _ = asked(a) => 0,
        _ = asked(b) => 1,
        _ = asked(c) => 2,
    };
    servers[silent].voice.send_replace(Voice::Mute);
    let mut others: Vec<_> = servers.iter_mut().enumerate().filter(|(index, _)| *index != silent).collect();
    let [(_, d), (_, e)] = others.as_mut_slice() else { panic!("two others") };
    soon("the request", async {
        tokio::select! {
            _ = asked(d) => {}
            _ = asked(e) => {}
        }
    })
    .await;
    assert_eq!(servers[silent].links.borrow().len(), 1, "its link is open as before");
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_server_is_linked_as_soon_as_it_is_announced() {
    let mut config: GatewayConfig = gateway_config();
    // Long enough for the announcement alone to be what tells.
    config.server.timing.scan_period = Duration::from_secs(3600);
    let gateway = TestGateway::start_with(config, Arc::new(EmbeddedStore::new())).await;
    let began = Instant::now();
    let mut game = FakeServer::start(Kind::Game, gateway.store.clone()).await;
    game.linked().await;
    println!("linked after {:?}", began.elapsed());
    gateway.until_health(game.slot, Health::Up).await;
    let slot = game.slot;
    game.stop().await;
    until("it to be off", async || gateway.health(slot).await.is_none()).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "off"], "it has left in good order");
    gateway.stop().await;
}

/// It wrote only the schema's own fields, has no lease, and can't be accused: its link alone says how it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_server_is_as_its_link_says() {
    let redis = RedisServer::start();
    let store: SharedStore = Arc::new(RedisStore::connect(RedisOptions::new(&redis.url()).unwrap()).unwrap());
    let gateway = TestGateway::start_on(store.clone()).await;
    let _servers = servers(&[&gateway], &[Kind::Lobby, Kind::Lobby]).await;
    let slot = Slot::new(Kind::Game, 0);
    let mut foreign = FakeServer::foreign(slot, store.clone()).await;
    let Endpoint { address, port } = foreign.endpoint;
    redis.command(&format!("RPUSH Server:Game {address}"));
    redis.command(&format!("HSET {slot} address {address} port {port} status 1 games 0"));
    redis.command(&format!("PUBLISH ServerOn {slot}"));
    foreign.linked().await;
    gateway.until_health(slot, Health::Up).await;

    foreign.voice.send_replace(Voice::Mute);
    gateway.until_health(slot, Health::Down).await;
    foreign.voice.send_replace(Voice::Answers);
    gateway.until_health(slot, Health::Up).await;
    redis.command(&format!("HSET {slot} status 0"));
    // Its link stays, but only the lobby servers are watched.
    until("it to be off", async || gateway.metric("pintail_gateway_servers").await == 2.0).await;
    assert_eq!(seen(&gateway, slot).await, ["on", "suspect", "down", "up", "off"]);
    assert_eq!(gateway.metric("pintail_gateway_accusations_total").await, 0.0);
    gateway.stop().await;
}

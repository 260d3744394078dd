//! Slots, leases and heartbeats.

use std::collections::BTreeSet;

use pintail_core::limits::CAUSE_CHARACTERS_MAX;
use pintail_core::{Endpoint, GameType, Incarnation, Kind, Slot, Status};
use pintail_store::{Announcement, Heartbeat, HeartbeatOutcome, Periods, SlotOrigin, Store};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{
    Fixture, LONG, Server, announcement, eventually, game_counts, live_servers, ms, order, placed, renewed, servers,
};
use crate::on_both_stores;

on_both_stores!(
    servers_that_register_at_once_get_slots_of_their_own,
    a_scan_shows_what_was_announced,
    several_servers_on_one_host_differ_by_port,
    a_restart_takes_its_slot_again_and_starts_anew,
    the_same_incarnation_keeps_what_it_hosts,
    a_slot_is_recycled_after_the_recycle_time_and_not_before,
    a_slot_whose_server_was_not_reaped_is_not_recycled,
    a_heartbeat_tells_a_server_what_became_of_its_slot,
    a_late_heartbeat_does_not_bring_a_stopped_server_back,
);

async fn servers_that_register_at_once_get_slots_of_their_own(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let mut registrations = JoinSet::new();
    for number in 0..50 {
        let store = store.clone();
        registrations.spawn(async move { store.register(&announcement(Kind::Lobby, number)).await.unwrap() });
    }
    let registrations = registrations.join_all().await;
    assert!(registrations.iter().all(|registration| registration.origin == SlotOrigin::New));
    let indices: BTreeSet<u32> = registrations.iter().map(|registration| registration.slot.index).collect();
    assert_eq!(indices, (0..50).collect());
}

async fn a_scan_shows_what_was_announced(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let announced = Announcement {
        game_types: vec![GameType::new("chess").unwrap(), GameType::new("go").unwrap()],
        admin_port: Some(9000),
        http_port: Some(8080),
        ..announcement(Kind::Game, 1)
    };
    let first = Server::register(&*store, announced.clone()).await;
    let second = Server::start(&*store, Kind::Game, 2).await;
    let third = Server::start(&*store, Kind::Game, 3).await;
    let beat = Heartbeat { players: 7, cause: "cpu 97 %\x1b".repeat(100), ..second.heartbeat(Status::Congested) };
    store.heartbeat(second.slot, second.incarnation(), &beat).await.unwrap();
    third.beat(&*store, Status::Unused).await;

    let found = servers(&*store, Kind::Game).await;
    assert_eq!(found.iter().map(|server| server.slot).collect::<Vec<_>>(), [first.slot, second.slot, third.slot]);
    let server = &found[0];
    assert_eq!((server.endpoint, server.incarnation), (announced.endpoint, Some(announced.incarnation)));
    assert_eq!((server.status, server.games, server.players, server.capacity), (Status::Smooth, 0, 0, 100));
    assert_eq!((&server.game_types, server.version.as_str()), (&announced.game_types, "1.2.3"));
    assert_eq!((server.admin_port, server.http_port), (Some(9000), Some(8080)));
    assert!(server.lease && server.is_live() && !server.is_foreign());
    assert!(server.age_ms < 20_000, "{} ms", server.age_ms);
    assert_eq!((server.cause.as_str(), server.falls, server.probation_ms, server.drain), ("", 0, 0, false));
    assert_eq!((server.accusers.len(), server.unused_ms), (0, None));
    assert_eq!((found[1].status, found[1].players), (Status::Congested, 7));
    assert!(found[1].cause.starts_with(r"cpu 97 %\u{1b}cpu 97 %\u{1b}"), "in one line: {}", found[1].cause);
    assert_eq!(found[1].cause.matches("cpu").count(), 14, "{CAUSE_CHARACTERS_MAX} characters of it");
    assert_eq!((found[2].status, found[2].unused_ms), (Status::Unused, None), "somebody holds it");
    assert!(found[2].is_live());
    assert!(servers(&*store, Kind::Lobby).await.is_empty());
}

async fn several_servers_on_one_host_differ_by_port(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let on_port = |port| {
        let announced = announcement(Kind::Game, 1);
        Announcement { endpoint: Endpoint::new(announced.endpoint.address, port), ..announced }
    };
    for (port, index) in [(5557, 0), (6000, 1), (6001, 2), (6000, 1), (5557, 0)] {
        let registration = store.register(&on_port(port)).await.unwrap();
        assert_eq!(registration.slot, Slot::new(Kind::Game, index), "port {port}");
    }
}

async fn a_restart_takes_its_slot_again_and_starts_anew(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let before = Server::game(&*store, 1, 10).await;
    Server::game(&*store, 2, 10).await;
    placed(&*store, &order(1)).await;
    let beat = Heartbeat { players: 3, ..before.heartbeat(Status::Congested) };
    store.heartbeat(before.slot, before.incarnation(), &beat).await.unwrap();

    let again = Announcement { incarnation: Incarnation::random(), ..before.announcement.clone() };
    let registration = store.register(&again).await.unwrap();
    assert_eq!((registration.slot, registration.origin), (before.slot, SlotOrigin::Restarted));
    let server = servers(&*store, Kind::Game).await.remove(0);
    assert_eq!(server.incarnation, Some(again.incarnation));
    assert_eq!((server.status, server.games, server.players), (Status::Smooth, 0, 0));
}

async fn the_same_incarnation_keeps_what_it_hosts(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    placed(&*store, &order(1)).await;
    server.stop(&*store).await;
    let registration = store.register(&server.announcement).await.unwrap();
    assert_eq!((registration.slot, registration.origin), (server.slot, SlotOrigin::Restarted));
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0);
    assert_eq!(store.hosted(server.slot, server.incarnation()).await.unwrap(), [order(1).id]);
    assert_eq!(game_counts(&*store).await, [1]);
}

/// Registers one server after the other, each of which stops at once, until one is given a used slot.
async fn recycled(store: &dyn Store) -> Slot {
    let mut number = 10;
    eventually("a slot is recycled", async || {
        number += 1;
        let newcomer = announcement(Kind::Game, number);
        let registration = store.register(&newcomer).await.unwrap();
        store.deregister(registration.slot, newcomer.incarnation).await.unwrap();
        tokio::time::sleep(ms(30)).await;
        (registration.origin == SlotOrigin::Recycled).then_some(registration.slot)
    })
    .await
}

async fn a_slot_is_recycled_after_the_recycle_time_and_not_before(fixture: &Fixture) {
    let store = fixture.store(Periods { recycle_after: ms(400), ..LONG });
    let first = Server::start(&*store, Kind::Game, 1).await;
    let second = Server::start(&*store, Kind::Game, 2).await;
    let stopped_at = Instant::now();
    first.stop(&*store).await;
    assert_eq!(recycled(&*store).await, first.slot, "the first that is free");
    assert!(stopped_at.elapsed() >= ms(400));
    assert_eq!(live_servers(&*store, Kind::Game).await[0].slot, second.slot, "the other was left alone");
}

async fn a_slot_whose_server_was_not_reaped_is_not_recycled(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(200), recycle_after: ms(50), ..LONG });
    let witness = Server::witness(&*store).await;
    let lost = Server::start(&*store, Kind::Lobby, 1).await;
    eventually("the lease is gone", async || (!servers(&*store, Kind::Lobby).await[0].lease).then_some(())).await;
    tokio::time::sleep(ms(100)).await;
    let other = Server::start(&*store, Kind::Lobby, 2).await;
    assert_ne!(other.slot, lost.slot);
    lost.reaped(&*store, &witness).await;
    tokio::time::sleep(ms(100)).await;
    let third = store.register(&announcement(Kind::Lobby, 3)).await.unwrap();
    assert_eq!((third.slot, third.origin), (lost.slot, SlotOrigin::Recycled));
}

async fn a_heartbeat_tells_a_server_what_became_of_its_slot(fixture: &Fixture) {
    let store = fixture.store(Periods { recycle_after: ms(0), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(0));
    placed(&*store, &order(1)).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(1));

    let nowhere = Server { slot: Slot::new(Kind::Game, 9), announcement: server.announcement.clone() };
    assert_eq!(nowhere.beat(&*store, Status::Smooth).await, HeartbeatOutcome::Lost);

    let newer = Announcement { incarnation: Incarnation::random(), ..server.announcement.clone() };
    let newer = Server::register(&*store, newer).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, HeartbeatOutcome::Superseded);

    newer.stop(&*store).await;
    let other = Server::start(&*store, Kind::Game, 2).await;
    assert_eq!(other.slot, newer.slot);
    assert_eq!(newer.beat(&*store, Status::Smooth).await, HeartbeatOutcome::Lost, "another server has it");
    assert_eq!(other.beat(&*store, Status::Smooth).await, renewed(0));
}

async fn a_late_heartbeat_does_not_bring_a_stopped_server_back(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::start(&*store, Kind::Game, 1).await;
    server.stop(&*store).await;
    server.stop(&*store).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, HeartbeatOutcome::Lost);
    let record = server.record(&*store).await;
    assert!(!record.is_live() && !record.is_foreign() && record.unused_ms.is_some());
    assert_eq!((record.status, record.cause.as_str(), record.falls), (Status::Unused, "stopped", 0));
}

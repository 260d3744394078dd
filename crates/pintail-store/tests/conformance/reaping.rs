//! Leases that ran out, and what keeps live servers from being taken for dead.

use std::time::Duration;

use pintail_core::{Durability, Kind, Slot, Status};
use pintail_store::{Charge, GameOrder, Notice, Periods, Verdict};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, Server, eventually, gateway, live_servers, ms, order, placed, servers};
use crate::mail::{next, subscribe};
use crate::on_both_stores;

on_both_stores!(
    reaping_takes_those_without_a_lease_and_takes_them_once,
    the_only_server_that_lives_reaps_all_others,
    a_draining_server_that_dies_is_reaped_too,
    a_reaped_server_that_was_only_held_up_comes_back,
    nobody_is_reaped_for_a_silence_that_all_share,
    servers_that_look_at_once_reap_each_server_once,
    leases_are_not_looked_at_too_often,
    the_registry_is_no_longer_than_the_cluster_was_large,
    what_a_dead_server_counted_is_counted_down,
);

const LEASE: Duration = ms(400);

async fn reaping_takes_those_without_a_lease_and_takes_them_once(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let registered_at = Instant::now();
    let lost = Server::start(&*store, Kind::Gateway, 1).await;
    let alive = Server::start(&*store, Kind::Gateway, 2).await;
    let reaped = eventually("the lost server is reaped", async || {
        Some(alive.reaps(&*store).await).filter(|reaped| !reaped.is_empty())
    });
    assert_eq!(reaped.await, [lost.slot]);
    assert!(registered_at.elapsed() >= LEASE);
    assert!(alive.reaps(&*store).await.is_empty());
    assert_eq!(live_servers(&*store, Kind::Gateway).await[0].slot, alive.slot);
    let record = lost.record(&*store).await;
    assert_eq!((record.status, record.cause.as_str(), record.falls), (Status::Unused, "its lease ran out", 1));
    assert!(record.unused_ms.is_some() && !record.is_live());
}

async fn the_only_server_that_lives_reaps_all_others(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let witness = Server::witness(&*store).await;
    for kind in Kind::ALL {
        for number in 0..5 {
            Server::start(&*store, kind, number).await;
        }
    }
    let mut reaped = Vec::new();
    eventually("the others are reaped", async || {
        reaped.extend(witness.reaps(&*store).await);
        (reaped.len() == 15).then_some(())
    })
    .await;
    assert!(!reaped.contains(&witness.slot) && witness.record(&*store).await.is_live());
}

async fn a_draining_server_that_dies_is_reaped_too(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let witness = Server::witness(&*store).await;
    let server = Server::game(&*store, 1, 10).await;
    placed(&*store, &order(1)).await;
    server.beat(&*store, Status::Unused).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0, "it still runs its game");
    server.reaped(&*store, &witness).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 1);
}

async fn a_reaped_server_that_was_only_held_up_comes_back(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let witness = Server::witness(&*store).await;
    let server = Server::game(&*store, 1, 10).await;
    placed(&*store, &order(1)).await;
    server.reaped(&*store, &witness).await;
    assert!(live_servers(&*store, Kind::Game).await.is_empty());

    assert_eq!(server.beat(&*store, Status::Smooth).await, crate::fixture::renewed(1));
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0, "what it hosts is its own again");
    assert_eq!(placed(&*store, &order(2)).await.slot, server.slot, "it is given games again");
    assert_eq!(server.record(&*store).await.games, 2);
    server.reaped(&*store, &witness).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 2, "it can be lost again");
}

/// When nobody was heard, it was the store that was away: each server is given a lease's time to be heard.
async fn nobody_is_reaped_for_a_silence_that_all_share(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let [early, late, dead] =
        [Server::game(&*store, 1, 10).await, Server::game(&*store, 2, 10).await, Server::game(&*store, 3, 10).await];
    tokio::time::sleep(LEASE * 2).await;
    assert!(servers(&*store, Kind::Game).await.iter().all(|server| !server.lease));
    assert!(store.reap().await.unwrap().is_empty(), "nobody can tell");
    assert_eq!(
        early.accused(&*store, gateway(0), Charge::Dead).await,
        Verdict::Suspect,
        "nor has an accuser a witness"
    );
    early.absolved(&*store, gateway(0)).await;

    let heard_again_at = Instant::now();
    let mut late_is_back = false;
    let reaped = eventually("the dead one is reaped", async || {
        if !late_is_back && heard_again_at.elapsed() >= LEASE / 4 {
            late.beat(&*store, Status::Smooth).await;
            late_is_back = true;
        }
        Some(early.reaps(&*store).await).filter(|reaped| !reaped.is_empty())
    });
    assert_eq!(reaped.await, [dead.slot]);
    assert!(heard_again_at.elapsed() >= LEASE, "{:?}", heard_again_at.elapsed());
}

async fn servers_that_look_at_once_reap_each_server_once(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: LEASE, ..LONG });
    let witness = Server::witness(&*store).await;
    let lost: Vec<Slot> = vec![
        Server::game(&*store, 1, 10).await.slot,
        Server::game(&*store, 2, 10).await.slot,
        Server::game(&*store, 3, 10).await.slot,
    ];
    let mut mail = subscribe(&*store, None).await;
    let mut reaped: Vec<Slot> = Vec::new();
    eventually("all are reaped", async || {
        witness.beat(&*store, Status::Smooth).await;
        let mut looks = JoinSet::new();
        for _ in 0..10 {
            let store = store.clone();
            looks.spawn(async move { store.reap().await.unwrap() });
        }
        reaped.extend(looks.join_all().await.into_iter().flatten());
        (reaped.len() >= lost.len()).then_some(())
    })
    .await;
    reaped.sort_unstable();
    assert_eq!(reaped, lost);
    let other = Server::start(&*store, Kind::Lobby, 1).await;
    for _ in &lost {
        assert!(matches!(next(&mut mail).await, Notice::ServerOff(_)));
    }
    assert_eq!(next(&mut mail).await, Notice::ServerOn(other.slot));
}

async fn leases_are_not_looked_at_too_often(fixture: &Fixture) {
    let interval = ms(1000);
    let store = fixture.store(Periods { lease_ttl: LEASE, reap_interval: interval, ..LONG });
    let witness = Server::witness(&*store).await;
    let first = Server::game(&*store, 1, 10).await;
    first.reaped(&*store, &witness).await;
    let reaped_at = Instant::now();
    let second = Server::game(&*store, 2, 10).await;
    second.reaped(&*store, &witness).await;
    // The look that reaped the first began a little before it was over.
    assert!(reaped_at.elapsed() >= interval - ms(300), "{:?}", reaped_at.elapsed());
}

/// Servers that come and go at ever new addresses, as in a cluster that gives each start an address of its own.
async fn the_registry_is_no_longer_than_the_cluster_was_large(fixture: &Fixture) {
    const AT_ONCE: u16 = 100;
    let store = fixture.store(Periods { lease_ttl: ms(200), recycle_after: ms(0), ..LONG });
    let witness = Server::witness(&*store).await;
    for round in 0..10 {
        let mut alive = Vec::new();
        for number in round * AT_ONCE..(round + 1) * AT_ONCE {
            alive.push(Server::at_new_address(&*store, number).await);
        }
        let mut unnoticed: Vec<Slot> = Vec::new();
        for (server, number) in alive.iter().zip(0..) {
            match number % 3 {
                0 => server.stop(&*store).await,
                1 => assert_eq!(server.accused(&*store, gateway(0), Charge::Refused).await, Verdict::Down),
                _ => unnoticed.push(server.slot),
            }
        }
        eventually("the last of them are reaped", async || {
            let reaped = witness.reaps(&*store).await;
            unnoticed.retain(|slot| !reaped.contains(slot));
            unnoticed.is_empty().then_some(())
        })
        .await;
    }
    let longest = usize::from(AT_ONCE) + 1;
    assert!(servers(&*store, Kind::Game).await.len() <= longest);
    if let Some(length) = fixture.list_length(Kind::Game).await {
        assert!(length <= longest, "{length} addresses are listed");
    }
}

async fn what_a_dead_server_counted_is_counted_down(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    for number in 1..=3 {
        placed(&*store, &GameOrder { durability: Durability::Journaled, ..order(number) }).await;
    }
    server.report_players(&*store, 5).await;
    let counts = async || {
        let record = server.record(&*store).await;
        (record.games, record.players)
    };
    assert_eq!(counts().await, (3, 5));
    server.accused(&*store, gateway(0), Charge::Refused).await;
    assert_eq!(counts().await, (3, 0), "its games are still to be dealt with");
    store.sweep_orphans(100).await.unwrap();
    assert_eq!(counts().await, (0, 0));
    let newer = Server::register(&*store, server.restarted()).await;
    placed(&*store, &order(4)).await;
    newer.report_players(&*store, 1).await;
    assert_eq!(counts().await, (1, 1));
    newer.stop(&*store).await;
    assert_eq!(counts().await, (0, 0));
}

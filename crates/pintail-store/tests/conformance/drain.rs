//! Servers that are asked to drain, and those that do.

use pintail_core::{Kind, Slot, Status};
use pintail_store::{
    Charge, DrainRequest, Heartbeat, HeartbeatOutcome, Letter, Notice, Periods, PlaceOutcome, SlotOrigin,
};

use crate::fixture::{Fixture, LONG, Server, announcement, gateway, ms, order, placed, renewed};
use crate::mail::{next, subscribe};
use crate::on_both_stores;

on_both_stores!(
    a_server_hears_of_a_request_to_drain_by_letter,
    a_request_whose_letter_is_lost_comes_with_each_heartbeat,
    a_draining_server_stays_visible_until_it_stops,
    a_request_ends_with_the_server_that_it_was_for,
    nobody_is_asked_in_a_slot_that_nobody_holds,
);

const ASKED: HeartbeatOutcome = HeartbeatOutcome::Renewed { games: 0, drain: true };

async fn a_server_hears_of_a_request_to_drain_by_letter(fixture: &Fixture) {
    let store = fixture.store(LONG);
    for kind in Kind::ALL {
        let server = Server::start(&*store, kind, 1).await;
        let mut mail = subscribe(&*store, Some(server.slot)).await;
        let asked = store.ask_to_drain(server.slot).await.unwrap();
        assert_eq!(asked, DrainRequest::Asked(server.incarnation()));
        assert_eq!(next(&mut mail).await, Notice::Letter(Letter::Drain));
        assert!(server.record(&*store).await.drain);
    }
}

async fn a_request_whose_letter_is_lost_comes_with_each_heartbeat(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let other = Server::game(&*store, 2, 10).await;
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(0));
    for _ in 0..2 {
        store.ask_to_drain(server.slot).await.unwrap();
        for number in 1..4 {
            assert_eq!(placed(&*store, &order(number)).await.slot, other.slot, "it is given nothing from then on");
        }
        for status in [Status::Smooth, Status::Unused] {
            assert_eq!(server.beat(&*store, status).await, ASKED);
        }
    }
    assert_eq!(other.beat(&*store, Status::Smooth).await, renewed(3));
}

async fn a_draining_server_stays_visible_until_it_stops(fixture: &Fixture) {
    let store = fixture.store(Periods { lease_ttl: ms(400), recycle_after: ms(0), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    let mut mail = subscribe(&*store, None).await;
    let draining = Heartbeat { cause: "draining".to_owned(), ..server.heartbeat(Status::Unused) };
    let started = tokio::time::Instant::now();
    while started.elapsed() < ms(800) {
        let outcome = store.heartbeat(server.slot, server.incarnation(), &draining).await.unwrap();
        assert_eq!(outcome, renewed(0));
        assert!(store.reap().await.unwrap().is_empty());
        let record = server.record(&*store).await;
        assert!(record.is_live());
        assert_eq!((record.status, record.cause.as_str(), record.unused_ms), (Status::Unused, "draining", None));
        tokio::time::sleep(ms(20)).await;
    }
    assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer);
    let newcomer = store.register(&announcement(Kind::Game, 2)).await.unwrap();
    assert_eq!((newcomer.slot.index, newcomer.origin), (1, SlotOrigin::New), "its slot is not free");
    assert_eq!(next(&mut mail).await, Notice::ServerOn(newcomer.slot), "and nothing was said of it");

    server.stop(&*store).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot));
    let record = server.record(&*store).await;
    assert_eq!((record.cause.as_str(), record.falls, record.is_live()), ("stopped", 0, false));
}

async fn a_request_ends_with_the_server_that_it_was_for(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    store.ask_to_drain(server.slot).await.unwrap();
    server.accused(&*store, gateway(0), Charge::Refused).await;
    assert_eq!(server.beat(&*store, Status::Unused).await, ASKED, "a mistake does not end it");
    let newer = Server::register(&*store, server.restarted()).await;
    assert_eq!(newer.beat(&*store, Status::Smooth).await, renewed(0));
    assert!(!newer.record(&*store).await.drain);
    assert_eq!(placed(&*store, &order(1)).await.slot, newer.slot);
}

async fn nobody_is_asked_in_a_slot_that_nobody_holds(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let stopped = Server::start(&*store, Kind::Game, 1).await;
    let dead = Server::start(&*store, Kind::Game, 2).await;
    stopped.stop(&*store).await;
    dead.accused(&*store, gateway(0), Charge::Refused).await;
    for slot in [stopped.slot, dead.slot, Slot::new(Kind::Game, 9), Slot::new(Kind::Lobby, 0)] {
        assert_eq!(store.ask_to_drain(slot).await.unwrap(), DrainRequest::Unused, "{slot}");
    }
    assert_eq!(dead.beat(&*store, Status::Smooth).await, renewed(0));
}

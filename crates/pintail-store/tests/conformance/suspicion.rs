//! Accusations: who gets no games for them, and who is switched off.

use pintail_core::{Incarnation, Kind, Slot, Status};
use pintail_store::{Charge, HeartbeatOutcome, Notice, Periods, PlaceOutcome, SharedStore, Store, Verdict};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, Server, eventually, gateway, ms, order, placed, renewed};
use crate::mail::{next, subscribe};
use crate::on_both_stores;

on_both_stores!(
    the_verdict_on_a_server_with_a_lease,
    the_verdict_on_a_server_whose_lease_ran_out,
    a_suspected_server_is_given_no_games_until_the_last_accuser_absolves_it,
    an_accusation_that_is_not_repeated_ends,
    an_accusation_that_ended_supports_no_other,
    a_server_that_was_switched_off_by_mistake_comes_back,
    a_server_that_many_accuse_at_once_is_switched_off_once,
    whoever_does_not_hold_the_slot_is_not_accused,
    a_draining_server_that_dies_is_switched_off,
);

/// What is held against a server, and what comes of it.
struct Case {
    before: &'static [(Observer, Charge)],
    /// What gateway 0 says last.
    charge: Charge,
    verdict: Verdict,
    /// What is said of a server that is switched off.
    cause: &'static str,
}

#[derive(Clone, Copy)]
enum Observer {
    Gateway(u32),
    Itself,
}

use Charge::{Dead, Refused, Silent};
use Observer::{Gateway, Itself};
use Verdict::{Down, Elsewhere, Suspect};

impl Case {
    const fn suspect(before: &'static [(Observer, Charge)], charge: Charge) -> Self {
        Self { before, charge, verdict: Suspect, cause: "" }
    }

    const fn down(before: &'static [(Observer, Charge)], charge: Charge, cause: &'static str) -> Self {
        Self { before, charge, verdict: Down, cause }
    }

    /// Accuses a server that has one game.
    async fn hold_against(&self, store: &dyn Store, server: &Server) {
        for &(observer, charge) in self.before {
            let observer = match observer {
                Gateway(index) => gateway(index),
                Itself => server.slot,
            };
            assert_eq!(server.accused(store, observer, charge).await, Suspect);
        }
        let mut mail = subscribe(store, None).await;
        assert_eq!(server.accused(store, gateway(0), self.charge).await, self.verdict, "{}", self.cause);
        let record = server.record(store).await;
        assert_eq!(record.cause, self.cause);
        if self.verdict == Suspect {
            assert_eq!((record.status, record.falls, record.unused_ms), (Status::Smooth, 0, None));
            assert!(record.accusers.contains(&gateway(0)), "{:?}", record.accusers);
            assert_eq!(store.sweep_orphans(100).await.unwrap(), 0, "it keeps its game");
            return;
        }
        assert_eq!((record.status, record.falls, record.lease, record.accusers.len()), (Status::Unused, 1, false, 0));
        assert!(record.unused_ms.is_some());
        assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot));
        assert_eq!(server.accused(store, gateway(9), Dead).await, Down, "it is switched off already");
        assert_eq!(store.sweep_orphans(100).await.unwrap(), 1, "its game is dealt with");
        let other = Server::start(store, Kind::Lobby, 1).await;
        assert_eq!(next(&mut mail).await, Notice::ServerOn(other.slot), "and it was announced once");
    }
}

/// A server whose own game it is that is placed: the others are full.
async fn server_with_a_game(store: &dyn Store, number: u8) -> Server {
    let server = Server::game(store, number, 1).await;
    assert_eq!(placed(store, &order(number.into())).await.slot, server.slot);
    server
}

async fn the_verdict_on_a_server_with_a_lease(fixture: &Fixture) {
    let cases = [
        Case::suspect(&[], Silent),
        Case::suspect(&[], Dead),
        Case::down(&[], Refused, "refuses connections, says Server:Gateway:0"),
        Case::suspect(&[(Gateway(1), Silent)], Silent),
        Case::suspect(&[(Gateway(1), Dead)], Silent),
        Case::suspect(&[(Gateway(0), Silent)], Dead),
        Case::suspect(&[(Gateway(0), Dead)], Dead),
        Case::down(&[(Gateway(1), Silent)], Dead, "silent, say Server:Gateway:0 and Server:Gateway:1"),
        Case::down(&[(Gateway(1), Silent)], Refused, "refuses connections, says Server:Gateway:0"),
        Case::suspect(&[(Itself, Dead)], Silent),
        Case::down(&[(Itself, Silent)], Dead, "silent, say Server:Gateway:0 and the server itself"),
        Case::down(
            &[
                (Gateway(5), Silent),
                (Gateway(10), Silent),
                (Gateway(4), Silent),
                (Gateway(3), Silent),
                (Itself, Silent),
            ],
            Dead,
            "silent, say Server:Gateway:0, Server:Gateway:10, Server:Gateway:3, 2 more and the server itself",
        ),
    ];
    let store = fixture.store(LONG);
    for (case, number) in cases.iter().zip(1..) {
        let server = server_with_a_game(&*store, number).await;
        case.hold_against(&*store, &server).await;
    }
}

async fn the_verdict_on_a_server_whose_lease_ran_out(fixture: &Fixture) {
    let both = "silent, say Server:Gateway:0 and Server:Gateway:1, and its lease ran out";
    let cases = [
        Case::suspect(&[], Silent),
        Case::suspect(&[(Gateway(1), Silent)], Silent),
        Case::down(&[], Refused, "refuses connections, says Server:Gateway:0"),
        Case::down(&[], Dead, "silent, says Server:Gateway:0, and its lease ran out"),
        Case::down(&[(Gateway(1), Silent)], Dead, both),
    ];
    let store = fixture.store(Periods { lease_ttl: ms(500), ..LONG });
    let witness = Server::witness(&*store).await;
    let mut servers = Vec::new();
    for number in (1..).take(cases.len()) {
        servers.push(server_with_a_game(&*store, number).await);
    }
    // A lease counts as lost for those only who were there for its whole life.
    let since = Instant::now();
    eventually("a lease has passed", async || {
        witness.beat(&*store, Status::Smooth).await;
        (since.elapsed() > ms(600)).then_some(())
    })
    .await;
    for (case, server) in cases.iter().zip(&servers) {
        witness.beat(&*store, Status::Smooth).await;
        case.hold_against(&*store, server).await;
    }
}

/// Whether a game is given to anyone.
async fn is_placed(store: &dyn Store, number: u64) -> bool {
    store.place(&order(number)).await.unwrap() != PlaceOutcome::NoServer
}

async fn a_suspected_server_is_given_no_games_until_the_last_accuser_absolves_it(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    for observer in [gateway(0), gateway(1), gateway(1), server.slot] {
        assert_eq!(server.accused(&*store, observer, Silent).await, Suspect);
    }
    assert_eq!(server.record(&*store).await.accusers, [gateway(0), gateway(1), server.slot]);
    for observer in [gateway(1), gateway(7), server.slot, gateway(0)] {
        assert!(!is_placed(&*store, 1).await, "until {observer} has absolved it");
        server.beat(&*store, Status::Smooth).await;
        assert!(!is_placed(&*store, 1).await, "whatever it says itself");
        server.absolved(&*store, observer).await;
    }
    assert!(server.record(&*store).await.accusers.is_empty());
    assert!(is_placed(&*store, 1).await, "without waiting for a heartbeat");
}

async fn an_accusation_that_is_not_repeated_ends(fixture: &Fixture) {
    let store = fixture.store(Periods { accusation_ttl: ms(400), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    let accused_at = Instant::now();
    server.accused(&*store, gateway(0), Silent).await;
    tokio::time::sleep(ms(200)).await;
    let repeated_at = Instant::now();
    server.accused(&*store, gateway(0), Silent).await;
    server.accused(&*store, gateway(1), Silent).await;
    assert!(!is_placed(&*store, 1).await);
    eventually("it is given games again", async || {
        server.beat(&*store, Status::Smooth).await;
        is_placed(&*store, 1).await.then_some(())
    })
    .await;
    assert!(repeated_at.elapsed() >= ms(400), "{:?} after the first", accused_at.elapsed());
    assert!(server.record(&*store).await.accusers.is_empty());
}

async fn an_accusation_that_ended_supports_no_other(fixture: &Fixture) {
    let store = fixture.store(Periods { accusation_ttl: ms(400), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    server.accused(&*store, gateway(0), Dead).await;
    tokio::time::sleep(ms(250)).await;
    server.accused(&*store, gateway(1), Silent).await;
    tokio::time::sleep(ms(250)).await;
    assert_eq!(server.accused(&*store, gateway(1), Dead).await, Suspect);
    assert_eq!(server.record(&*store).await.accusers, [gateway(1)]);
}

async fn a_server_that_was_switched_off_by_mistake_comes_back(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    placed(&*store, &order(1)).await;
    server.accused(&*store, gateway(0), Silent).await;
    let mut mail = subscribe(&*store, None).await;
    assert_eq!(server.accused(&*store, gateway(1), Dead).await, Down);
    assert!(!is_placed(&*store, 2).await);
    assert_eq!(server.beat(&*store, Status::Smooth).await, renewed(1));
    let record = server.record(&*store).await;
    assert!(record.is_live() && record.accusers.is_empty() && record.unused_ms.is_none());
    assert_eq!((record.cause.as_str(), record.falls), ("", 1));
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 0, "what it hosts is its own again");
    assert!(is_placed(&*store, 2).await);
    assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot));
    assert_eq!(next(&mut mail).await, Notice::ServerOn(server.slot));
    assert_eq!(server.accused(&*store, gateway(0), Dead).await, Suspect, "earlier accusations are forgotten");
}

async fn a_server_that_many_accuse_at_once_is_switched_off_once(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let mut mail = subscribe(&*store, None).await;
    let mut accusations = JoinSet::new();
    for index in 0..20 {
        let (store, server) = (store.clone(), server.clone());
        accusations.spawn(async move { server.accused(&*store, gateway(index), Dead).await });
    }
    let verdicts = accusations.join_all().await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Down).count(), 19, "all but the first");
    assert_eq!(server.record(&*store).await.falls, 1);
    let other = Server::start(&*store, Kind::Lobby, 1).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(server.slot));
    assert_eq!(next(&mut mail).await, Notice::ServerOn(other.slot));
}

async fn whoever_does_not_hold_the_slot_is_not_accused(fixture: &Fixture) {
    let store = fixture.store(LONG);
    let server = Server::game(&*store, 1, 10).await;
    let newer = Server::register(&*store, server.restarted()).await;
    let stopped = Server::game(&*store, 2, 10).await;
    stopped.stop(&*store).await;
    let nowhere = Server { slot: Slot::new(Kind::Game, 7), announcement: server.announcement.clone() };
    for elsewhere in [&server, &stopped, &nowhere] {
        for charge in [Silent, Dead, Refused] {
            assert_eq!(elsewhere.accused(&*store, gateway(0), charge).await, Elsewhere, "{charge:?}");
        }
    }
    assert_eq!(newer.accused(&*store, gateway(0), Silent).await, Suspect);
    store.absolve(newer.slot, Incarnation::random(), gateway(0)).await.unwrap();
    assert_eq!(newer.record(&*store).await.accusers, [gateway(0)], "it was not said of this incarnation");
    let newest = Server::register(&*store, newer.restarted()).await;
    assert!(newest.record(&*store).await.accusers.is_empty(), "a restart is another server");
    assert!(is_placed(&*store, 1).await);
}

async fn a_draining_server_that_dies_is_switched_off(fixture: &Fixture) {
    let store: SharedStore = fixture.store(LONG);
    let server = server_with_a_game(&*store, 1).await;
    server.beat(&*store, Status::Unused).await;
    assert_eq!(server.accused(&*store, gateway(0), Refused).await, Down);
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 1);
    assert!(!server.record(&*store).await.is_live());
    let outcome = server.beat(&*store, Status::Unused).await;
    assert!(matches!(outcome, HeartbeatOutcome::Renewed { .. }) && server.record(&*store).await.is_live());
}

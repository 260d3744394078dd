//! Servers that keep dying get games only after a while.

use std::time::Duration;

use pintail_core::Status;
use pintail_store::{Charge, Periods, PlaceOutcome, Store, Verdict};
use tokio::time::Instant;

use crate::fixture::{Fixture, LONG, Server, eventually, gateway, ms, order};
use crate::on_both_stores;

on_both_stores!(
    each_death_costs_twice_as_much_as_the_one_before,
    probation_ends_with_its_time,
    a_server_that_lives_long_enough_is_forgiven,
    a_stop_in_good_order_is_no_death_and_costs_nothing,
    another_server_in_the_slot_starts_anew,
);

/// The ways to die, and to be back.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// Its process is gone, and starts again after someone noticed.
    Refused,
    /// It starts again before anyone noticed.
    Overtaken,
    /// It was only held up.
    Mistaken,
}

impl Death {
    /// Kills the server in this way; gives the one that is back.
    async fn and_back(self, store: &dyn Store, server: Server) -> Server {
        if !matches!(self, Self::Overtaken) {
            assert_eq!(server.accused(store, gateway(0), Charge::Refused).await, Verdict::Down);
        }
        if matches!(self, Self::Mistaken) {
            server.beat(store, Status::Smooth).await;
            return server;
        }
        Server::register(store, server.restarted()).await
    }
}

async fn each_death_costs_twice_as_much_as_the_one_before(fixture: &Fixture) {
    let periods = Periods { probation_first: Duration::from_secs(60), probation_max: Duration::from_secs(400), ..LONG };
    let store = fixture.store(periods);
    let mut server = Server::game(&*store, 1, 10).await;
    let costs = [
        (Death::Refused, 60),
        (Death::Overtaken, 120),
        (Death::Mistaken, 240),
        (Death::Refused, 400),
        (Death::Overtaken, 400),
    ];
    for ((death, seconds), falls) in costs.into_iter().zip(1..) {
        server = death.and_back(&*store, server).await;
        server.beat(&*store, Status::Smooth).await;
        let record = server.record(&*store).await;
        assert_eq!(record.falls, falls, "{death:?}");
        let left = Duration::from_millis(record.probation_ms);
        let cost = Duration::from_secs(seconds);
        assert!(left <= cost && left + Duration::from_secs(20) > cost, "{death:?}: {left:?} of {cost:?}");
        assert!(record.is_live() && record.status == Status::Smooth, "it is there all the same");
        assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer);
    }
}

async fn probation_ends_with_its_time(fixture: &Fixture) {
    let store = fixture.store(Periods { probation_first: ms(300), probation_max: ms(300), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    server.accused(&*store, gateway(0), Charge::Refused).await;
    tokio::time::sleep(ms(400)).await;
    assert_eq!(server.record(&*store).await.probation_ms, 0, "it begins when the server is back");
    let back_at = Instant::now();
    let server = Server::register(&*store, server.restarted()).await;
    eventually("it is given games again", async || {
        server.beat(&*store, Status::Smooth).await;
        (store.place(&order(1)).await.unwrap() != PlaceOutcome::NoServer).then_some(())
    })
    .await;
    assert!(back_at.elapsed() >= ms(300), "{:?}", back_at.elapsed());
    let record = server.record(&*store).await;
    assert_eq!((record.falls, record.probation_ms), (1, 0), "its death is not forgotten");
}

async fn a_server_that_lives_long_enough_is_forgiven(fixture: &Fixture) {
    let store = fixture.store(Periods { falls_forgiven_after: ms(400), ..LONG });
    let mut server = Server::game(&*store, 1, 10).await;
    for falls in [1, 2] {
        server = Death::Refused.and_back(&*store, server).await;
        assert_eq!(server.record(&*store).await.falls, falls);
    }
    server.accused(&*store, gateway(0), Charge::Refused).await;
    tokio::time::sleep(ms(500)).await;
    let back_at = Instant::now();
    server.beat(&*store, Status::Smooth).await;
    assert_eq!(server.record(&*store).await.falls, 3, "being dead is not living");
    eventually("it is forgiven", async || {
        server.beat(&*store, Status::Smooth).await;
        (server.record(&*store).await.falls == 0).then_some(())
    })
    .await;
    assert!(back_at.elapsed() >= ms(400), "{:?}", back_at.elapsed());
    let server = Death::Overtaken.and_back(&*store, server).await;
    assert_eq!(server.record(&*store).await.falls, 1, "and begins from the beginning");
}

async fn a_stop_in_good_order_is_no_death_and_costs_nothing(fixture: &Fixture) {
    let store = fixture.store(Periods { probation_first: ms(400), probation_max: ms(400), ..LONG });
    let server = Server::game(&*store, 1, 10).await;
    server.stop(&*store).await;
    let server = Server::register(&*store, server.restarted()).await;
    let record = server.record(&*store).await;
    assert_eq!((record.falls, record.probation_ms), (0, 0));

    let server = Death::Refused.and_back(&*store, server).await;
    tokio::time::sleep(ms(400)).await;
    server.stop(&*store).await;
    let server = Server::register(&*store, server.restarted()).await;
    let record = server.record(&*store).await;
    assert_eq!((record.falls, record.probation_ms), (1, 0), "what it has served, it has served");
}

async fn another_server_in_the_slot_starts_anew(fixture: &Fixture) {
    let day = Duration::from_secs(86_400);
    let store = fixture.store(Periods { recycle_after: ms(0), probation_first: day, probation_max: day, ..LONG });
    let before = Server::game(&*store, 1, 10).await;
    before.accused(&*store, gateway(0), Charge::Refused).await;
    assert_eq!(before.record(&*store).await.falls, 1);
    let other = Server::game(&*store, 2, 10).await;
    assert_eq!(other.slot, before.slot);
    let record = other.record(&*store).await;
    assert_eq!((record.falls, record.probation_ms, record.cause.as_str()), (0, 0, ""));
    assert_ne!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer);
}

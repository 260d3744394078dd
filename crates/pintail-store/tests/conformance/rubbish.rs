//! What others have put where only Pintail writes. Redis only: it costs no server its place.

use pintail_core::{Kind, Status};
use pintail_store::{Charge, Games, Periods, PlaceOutcome, Registry, SlotOrigin, Verdict};
use pintail_testkit::RedisServer;

use crate::fixture::{
    LONG, Server, announcement, eventually, gateway, ms, order, placed, redis_store, renewed, servers,
};
use crate::foreign::raw;

/// No numbers, or none that could be counted on.
const NO_NUMBERS: [&str; 7] = ["abc", "nan", "inf", "1e300", "0x10", "-5", "99999999999999999999"];

/// Keys of a wrong type, all that servers share or have beside their hashes.
const WRONG_TYPES: &str =
    "DEL Server:Game:0:accusers Server:Game:0:lease Servers:pulse Servers:reaped Orphans Placement:echo
     SET Server:Game:0:accusers text
     RPUSH Server:Game:0:lease text
     RPUSH Servers:pulse text
     RPUSH Servers:reaped text
     SET Orphans text
     SET Placement:echo text";

#[tokio::test]
async fn keys_of_a_wrong_type_stop_nobody_for_long() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, Periods { lease_ttl: ms(400), ..LONG });
    let witness = Server::witness(&store).await;
    raw(&redis, WRONG_TYPES).await;
    let server = Server::game(&store, 1, 10).await;
    assert_eq!(placed(&store, &order(1)).await.slot, server.slot);

    raw(&redis, WRONG_TYPES).await;
    assert_eq!(server.beat(&store, Status::Smooth).await, renewed(1));
    assert_eq!(placed(&store, &order(2)).await.slot, server.slot);

    raw(&redis, WRONG_TYPES).await;
    assert_eq!(server.accused(&store, gateway(0), Charge::Silent).await, Verdict::Suspect);
    assert_eq!(server.record(&store).await.accusers, [gateway(0)]);
    raw(&redis, WRONG_TYPES).await;
    server.absolved(&store, gateway(0)).await;
    raw(&redis, WRONG_TYPES).await;
    assert_eq!(store.place(&order(3)).await.unwrap(), PlaceOutcome::NoServer, "its lease is gone");

    raw(&redis, WRONG_TYPES).await;
    server.reaped(&store, &witness).await;
    assert_eq!(store.sweep_orphans(100).await.unwrap(), 2);
    raw(&redis, WRONG_TYPES).await;
    server.stop(&store).await;
}

#[tokio::test]
async fn fields_that_are_no_numbers_are_gone_with_the_next_heartbeat() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, LONG);
    let mut server = Server::game(&store, 1, 10).await;
    for (text, number) in NO_NUMBERS.into_iter().zip(1..) {
        let rubbish = format!(
            "HSET Server:Game:0 falls {text} probation_until {text} forgiven_at {text} unused_since {text}
             SET Servers:pulse {text}
             SET Servers:reaped {text}"
        );
        raw(&redis, &rubbish).await;
        server.beat(&store, Status::Smooth).await;
        let record = server.record(&store).await;
        assert_eq!((record.falls, record.probation_ms, record.unused_ms), (0, 0, None), "{text}");
        assert_eq!(placed(&store, &order(number)).await.slot, server.slot);
        raw(&redis, &rubbish).await;
        server = Server::register(&store, server.restarted()).await;
        assert_eq!(server.record(&store).await.falls, 0, "{text}");
        raw(&redis, &rubbish).await;
        assert_eq!(
            server.accused(&store, gateway(0), Charge::Refused).await,
            Verdict::Down,
            "{text}: it counts as switched off, until it is heard"
        );
        server.beat(&store, Status::Smooth).await;
    }
    raw(&redis, "HSET Server:Game:0 falls 2 probation_until abc forgiven_at nan").await;
    server.beat(&store, Status::Smooth).await;
    assert_eq!(server.record(&store).await.falls, 2, "what can be read counts");
}

#[tokio::test]
async fn a_time_that_cannot_be_keeps_no_slot_from_being_recycled() {
    let redis = RedisServer::start();
    let store = redis_store(&redis, Periods { lease_ttl: ms(200), recycle_after: ms(0), ..LONG });
    let witness = Server::witness(&store).await;
    // A clock that went back leaves times that are still to come.
    for (time, number) in NO_NUMBERS.into_iter().chain(["99999999999999"]).zip(1..) {
        let lost = Server::start(&store, Kind::Game, number).await;
        let [foreign, stopped] = [1, 2].map(|index| format!("Server:Game:{index}"));
        raw(
            &redis,
            &format!(
                "HSET {} unused_since {time}
                 HSET {foreign} address 10.9.9.9 status 0 unused_since {time}
                 HSET {stopped} address 10.9.9.8 status 0 port 1 cause stopped unused_since {time}
                 SET Servers:reaped {time}",
                lost.slot
            ),
        )
        .await;
        eventually("all three are noted", async || {
            witness.reaps(&store).await;
            let entries = store.scan(Kind::Game).await.unwrap();
            let unused = entries.iter().flatten().filter(|record| record.unused_ms.is_some() && !record.is_live());
            (unused.count() == 3).then_some(())
        })
        .await;
        assert_eq!(lost.record(&store).await.cause, "its lease ran out", "{time}");
        let newcomers = [100, 101, 102].map(|number| announcement(Kind::Game, number));
        for newcomer in &newcomers {
            assert_eq!(store.register(newcomer).await.unwrap().origin, SlotOrigin::Recycled, "{time}");
        }
        raw(&redis, "DEL Server:Game Server:Game:0 Server:Game:1 Server:Game:2").await;
        assert!(servers(&store, Kind::Game).await.is_empty());
    }
}

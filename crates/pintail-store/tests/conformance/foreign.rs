//! Servers that were written straight against the schema, and rubbish in the registry. Redis only.

use pintail_core::{Incarnation, Kind, Slot, Status};
use pintail_store::{
    Announcement, Charge, DrainRequest, Games, Notice, Periods, PlaceOutcome, Registry, SlotOrigin, Verdict,
};
use pintail_testkit::RedisServer;
use redis::{Client, Value};

use crate::fixture::{LONG, Server, announcement, eventually, gateway, ms, order, redis_store, servers};
use crate::mail::{next, subscribe};

/// Runs raw commands, one a line, as another program would.
pub(crate) async fn raw(server: &RedisServer, commands: &str) -> Value {
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut last = Value::Nil;
    for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        last = command.query_async(&mut connection).await.unwrap();
    }
    last
}

#[tokio::test]
async fn a_foreign_server_is_found_and_left_alone() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(200), recycle_after: ms(0), ..LONG });
    let witness = Server::witness(&store).await;
    let own = Server::start(&store, Kind::Game, 1).await;
    let mut mail = subscribe(&store, None).await;

    raw(
        &server,
        "LPUSH Server:Game 10.9.9.9
         HSET Server:Game:1 address 10.9.9.9 status 1 games 4
         PUBLISH ServerOn Server:Game:1",
    )
    .await;
    let foreign = Slot::new(Kind::Game, 1);
    assert_eq!(next(&mut mail).await, Notice::ServerOn(foreign));
    let found = servers(&store, Kind::Game).await;
    assert_eq!(found[0].endpoint, own.announcement.endpoint, "its pushing to the front moved nobody");
    let record = &found[1];
    assert_eq!((record.slot, record.endpoint.to_string().as_str()), (foreign, "10.9.9.9:5557"));
    assert_eq!((record.status, record.games, record.incarnation), (Status::Smooth, 4, None));
    assert!(record.is_foreign() && record.is_live());
    assert_eq!(store.ask_to_drain(foreign).await.unwrap(), DrainRequest::Foreign);
    let verdict = store.accuse(foreign, Incarnation::random(), gateway(0), Charge::Refused).await.unwrap();
    assert_eq!(verdict, Verdict::Elsewhere, "nobody knows its incarnation");

    let reaped =
        eventually("someone is reaped", async || Some(witness.reaps(&store).await).filter(|reaped| !reaped.is_empty()));
    assert_eq!(reaped.await, [own.slot], "it has no lease to lose");
    let newcomer = store.register(&announcement(Kind::Game, 2)).await.unwrap();
    assert_eq!((newcomer.slot, newcomer.origin), (own.slot, SlotOrigin::Recycled));
    let newcomer = store.register(&announcement(Kind::Game, 3)).await.unwrap();
    assert_eq!((newcomer.slot.index, newcomer.origin), (2, SlotOrigin::New));
}

#[tokio::test]
async fn a_foreign_server_is_never_given_a_game() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    raw(
        &server,
        "RPUSH Server:Game 10.9.9.9
         HSET Server:Game:0 address 10.9.9.9 status 1 games 0 types echo capacity 10
         ZADD Placement:echo 0 Server:Game:0",
    )
    .await;
    assert_eq!(store.place(&order(1)).await.unwrap(), PlaceOutcome::NoServer);
}

#[tokio::test]
async fn the_slot_of_a_foreign_server_is_recycled_once_it_stays_unused() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(200), recycle_after: ms(400), ..LONG });
    let witness = Server::witness(&store).await;
    raw(&server, "RPUSH Server:Game 10.9.9.9\nHSET Server:Game:0 address 10.9.9.9 status 0 games 0").await;
    let stamped = async || {
        witness.reaps(&store).await;
        raw(&server, "HEXISTS Server:Game:0 unused_since").await == Value::Int(1)
    };
    eventually("it is noted", async || stamped().await.then_some(())).await;
    raw(&server, "HSET Server:Game:0 status 1").await;
    eventually("the note is taken away", async || (!stamped().await).then_some(())).await;
    raw(&server, "HSET Server:Game:0 status 0").await;
    let first = store.register(&announcement(Kind::Game, 1)).await.unwrap();
    assert_eq!(first.origin, SlotOrigin::New, "it was in use a moment ago");
    let mut number = 10;
    let recycled = eventually("the slot is recycled", async || {
        witness.reaps(&store).await;
        number += 1;
        let newcomer = store.register(&announcement(Kind::Game, number)).await.unwrap();
        (newcomer.origin == SlotOrigin::Recycled).then_some(newcomer.slot)
    })
    .await;
    assert_eq!(recycled, Slot::new(Kind::Game, 0));
}

#[tokio::test]
async fn a_server_takes_the_slot_that_a_foreign_one_had_at_its_address() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    raw(
        &server,
        "LPUSH Server:Game 10.0.0.1 10.0.0.1
         HSET Server:Game:0 address 10.0.0.1 status 1 games 0 port 6000
         HSET Server:Game:1 address 10.0.0.1 status 1 games 9",
    )
    .await;
    let own = announcement(Kind::Game, 1);
    let registration = store.register(&own).await.unwrap();
    assert_eq!(
        (registration.slot.index, registration.origin),
        (1, SlotOrigin::Restarted),
        "no port is the default port"
    );
    assert_eq!(servers(&store, Kind::Game).await[1].games, 0);
}

#[tokio::test]
async fn a_new_slot_never_overwrites_a_hash_beyond_the_list() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    raw(
        &server,
        "RPUSH Server:Game 10.9.9.8
         HSET Server:Game:0 address 10.9.9.8 status 1 games 0
         HSET Server:Game:1 address 10.9.9.9 status 1 games 0
         SET Server:Game:2 rubbish",
    )
    .await;
    assert_eq!(store.register(&announcement(Kind::Game, 1)).await.unwrap().slot.index, 3);
    let found: Vec<u32> =
        store.scan(Kind::Game).await.unwrap().iter().flatten().map(|entry| entry.slot.index).collect();
    assert_eq!(found, [0, 1, 3]);
}

#[tokio::test]
async fn servers_are_found_even_if_someone_emptied_the_list() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    for number in 0..40 {
        store.register(&announcement(Kind::Game, number)).await.unwrap();
    }
    raw(&server, "DEL Server:Game").await;
    assert_eq!(servers(&store, Kind::Game).await.len(), 40);
    assert_eq!(store.register(&announcement(Kind::Game, 50)).await.unwrap().slot.index, 40);
    assert_eq!(servers(&store, Kind::Game).await.len(), 41);
}

#[tokio::test]
async fn broken_entries_are_told_apart_and_spoil_no_other() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(200), ..LONG });
    let witness = Server::witness(&store).await;
    let own = Announcement { capacity: 1, ..announcement(Kind::Game, 1) };
    raw(
        &server,
        "RPUSH Server:Game a b c d e f
         HSET Server:Game:0 address nonsense status 1 games 0
         HSET Server:Game:1 address 10.0.0.9 status 1 port 99999
         HSET Server:Game:2 address 10.0.0.9 status 7
         SET Server:Game:3 text
         HSET Server:Game:4 unknown field",
    )
    .await;
    let slot = store.register(&own).await.unwrap().slot;
    assert_eq!(slot.index, 6);
    let scan = store.scan(Kind::Game).await.unwrap();
    let problems: Vec<String> = scan.iter().filter_map(|entry| entry.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "the registry entry Server:Game:0 is broken: its address is `nonsense`",
            "the registry entry Server:Game:1 is broken: its port is `99999`",
            "the registry entry Server:Game:2 is broken: its status is 7",
            "the registry entry Server:Game:3 is broken: it has no status",
            "the registry entry Server:Game:4 is broken: it has no status",
            "the registry entry Server:Game:5 is broken: its hash is missing",
        ]
    );
    assert_eq!(scan.iter().flatten().map(|record| record.slot).collect::<Vec<_>>(), [slot]);
    eventually("it is reaped", async || (witness.reaps(&store).await == [slot]).then_some(())).await;
}

#[tokio::test]
async fn rubbish_on_the_channels_is_ignored() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let slot = Slot::new(Kind::Lobby, 0);
    let mut mail = subscribe(&store, Some(slot)).await;
    raw(
        &server,
        "PUBLISH ServerOn hello
         PUBLISH ServerOff Server:Game:-1
         PUBLISH Server:Lobby:0:mail game-over
         PUBLISH ServerOff Server:Game:1",
    )
    .await;
    assert_eq!(next(&mut mail).await, Notice::ServerOff(Slot::new(Kind::Game, 1)));
}

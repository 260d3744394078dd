//! The keys as they are documented. Redis only.

use std::collections::BTreeMap;

use pintail_core::{Generation, Incarnation, Kind, RoomId, SessionId};
use pintail_store::{
    Announcement, EndOutcome, EndReason, Games, Journals, LoginMode, Notice, Periods, RedisOptions, RedisStore,
    Registry, Rooms, Sessions, WithoutServer,
};
use pintail_testkit::RedisServer;
use redis::FromRedisValue;

use crate::fixture::{
    LONG, PATIENCE, Player, Server, announcement, change, creation, eventually, finished, ms, name, order, placed,
    redis_store, servers,
};
use crate::foreign::raw;
use crate::journaling::{entries, game, owned, snapshot, whole, wrote};
use crate::mail::{next, subscribe};

async fn ask<T: FromRedisValue>(server: &RedisServer, command: &str) -> T {
    T::from_redis_value(raw(server, command).await).unwrap()
}

async fn hash(server: &RedisServer, key: &str) -> BTreeMap<String, String> {
    ask(server, &format!("HGETALL {key}")).await
}

fn fields(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_server_is_written_as_documented() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { lease_ttl: ms(5000), ..LONG });
    let announced = Announcement {
        incarnation: Incarnation(0xabc),
        game_types: vec!["chess".parse().unwrap(), "go".parse().unwrap()],
        admin_port: Some(9000),
        ..announcement(Kind::Game, 1)
    };
    store.register(&announced).await.unwrap();
    store.register(&announcement(Kind::Game, 2)).await.unwrap();
    let incarnation = "00000000000000000000000000000abc";
    let mut found = hash(&server, "Server:Game:0").await;
    assert!(found.remove("started_at").unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    let expected = fields(&[
        ("address", "10.0.0.1"),
        ("port", "5557"),
        ("status", "1"),
        ("games", "0"),
        ("players", "0"),
        ("capacity", "100"),
        ("incarnation", incarnation),
        ("types", "chess,go"),
        ("version", "1.2.3"),
        ("admin", "9000"),
    ]);
    assert_eq!(found, expected);
    assert_eq!(ask::<Vec<String>>(&server, "LRANGE Server:Game 0 -1").await, ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(ask::<String>(&server, "GET Server:Game:0:lease").await, incarnation);
    let ttl: i64 = ask(&server, "PTTL Server:Game:0:lease").await;
    assert!((1..=5000).contains(&ttl), "{ttl}");
    assert_eq!(ask::<Vec<String>>(&server, "ZRANGE Placement:chess 0 -1").await, ["Server:Game:0"]);

    let other_types = Announcement { game_types: vec!["go".parse().unwrap()], ..announced.clone() };
    store.register(&other_types).await.unwrap();
    assert!(!ask::<bool>(&server, "EXISTS Placement:chess").await);

    store.deregister("Server:Game:0".parse().unwrap(), announced.incarnation).await.unwrap();
    let stopped = hash(&server, "Server:Game:0").await;
    assert_eq!((stopped["status"].as_str(), stopped.contains_key("incarnation")), ("0", false));
    assert!(!ask::<bool>(&server, "EXISTS Server:Game:0:lease").await);
    assert!(!ask::<bool>(&server, "EXISTS Placement:go").await);
    assert_eq!(ask::<Vec<String>>(&server, "SMEMBERS Orphans").await, [format!("Server:Game:0 {incarnation}")]);
}

#[tokio::test]
async fn a_recycled_slot_replaces_its_address_in_the_list() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { recycle_after: ms(0), ..LONG });
    let first = Server::start(&store, Kind::Lobby, 1).await;
    Server::start(&store, Kind::Lobby, 2).await;
    first.stop(&store).await;
    Server::start(&store, Kind::Lobby, 3).await;
    assert_eq!(ask::<Vec<String>>(&server, "LRANGE Server:Lobby 0 -1").await, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(hash(&server, "Server:Lobby:0").await["address"], "10.0.0.3");
    assert_eq!(servers(&store, Kind::Lobby).await.len(), 2);
}

#[tokio::test]
async fn a_game_is_written_as_documented() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let host = Server::game(&store, 1, 4).await;
    let owner = placed(&store, &order(1)).await;
    let key = "Game:0000000000000001-1";
    let incarnation = host.incarnation().to_string();
    let mut found = hash(&server, key).await;
    let json = r#"{"id":"0000000000000001-1","game_type":"echo","durability":"ephemeral","#;
    assert!(found.remove("order").unwrap().starts_with(json));
    let expected = fields(&[
        ("type", "echo"),
        ("durability", "ephemeral"),
        ("lobby", "Server:Lobby:0"),
        ("slot", "Server:Game:0"),
        ("incarnation", &incarnation),
        ("epoch", "1"),
    ]);
    assert_eq!(found, expected);
    assert_eq!(ask::<i64>(&server, &format!("PTTL {key}")).await, -1, "a running game does not expire");
    let hosted = format!("SMEMBERS Server:Game:0:games:{incarnation}");
    assert_eq!(ask::<Vec<String>>(&server, &hosted).await, ["0000000000000001-1"]);
    assert_eq!(ask::<f64>(&server, "ZSCORE Placement:echo Server:Game:0").await, 0.25);
    assert_eq!(hash(&server, "Server:Game:0").await["games"], "1");

    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    let outcome = r#"{"reason":"finished","result":"{\"winner\":0}","message":""}"#;
    assert_eq!(hash(&server, key).await["outcome"], outcome);
    assert!(ask::<i64>(&server, &format!("PTTL {key}")).await > 0);
    assert_eq!(ask::<Vec<String>>(&server, "ZRANGE Games:unsettled 0 -1").await, ["0000000000000001-1"]);
    assert_eq!(hash(&server, "Server:Game:0").await["games"], "0");
}

#[tokio::test]
async fn a_room_and_a_session_are_written_as_documented() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let gateway = Server::start(&store, Kind::Gateway, 1).await;
    let player = Player::enter(&store, &gateway).await;
    let mut creation = creation(1, &["public", "open:echo"]);
    creation.enter = vec![player.id()];
    store.commit_room(&creation).await.unwrap();

    let room = hash(&server, "Room:0000000000000001").await;
    assert_eq!((room["version"].as_str(), room["body"].as_str()), ("1", r#"{"room":1}"#));
    assert_eq!((room["invite"].as_str(), room["labels"].as_str()), ("CODE1", "public\nopen:echo"));
    let mark = format!("{}:0000000000000001", room["created"]);
    assert_eq!(ask::<Vec<String>>(&server, "ZRANGE Rooms:open:echo 0 -1").await, [mark]);
    assert_eq!(ask::<String>(&server, "GET Invite:CODE1").await, "0000000000000001");
    let (session, token) = (player.id(), player.token.hash());
    assert_eq!(ask::<String>(&server, &format!("GET Session:{session}:room")).await, "0000000000000001");
    let incarnation = gateway.incarnation().to_string();
    let expected = fields(&[
        ("name", "Ada"),
        ("token", token.as_str()),
        ("gateway", "Server:Gateway:0"),
        ("incarnation", &incarnation),
        ("generation", "1"),
        ("away", "0"),
    ]);
    assert_eq!(hash(&server, &format!("Session:{session}")).await, expected);
    let connected = format!("SMEMBERS Server:Gateway:0:sessions:{incarnation}");
    assert_eq!(ask::<Vec<String>>(&server, &connected).await, [session.to_string()]);
    for key in
        ["Room:0000000000000001", "Invite:CODE1", &format!("Session:{session}"), &format!("Session:{session}:room")]
    {
        assert!(ask::<i64>(&server, &format!("PTTL {key}")).await > 0, "{key} expires");
    }
    store.session_away(session, Generation(1)).await.unwrap();
    assert_eq!(ask::<Vec<String>>(&server, "ZRANGE Sessions:away 0 -1").await, [session.to_string()]);
    assert!(!ask::<bool>(&server, &connected.replace("SMEMBERS", "EXISTS")).await);
}

#[tokio::test]
async fn what_expires_leaves_no_key_behind() {
    let server = RedisServer::start();
    let short = ms(200);
    let periods =
        Periods { lease_ttl: short, room_idle_ttl: short, session_ttl: short, game_record_ttl: short, ..LONG };
    let store = redis_store(&server, periods);
    let gateway = Server::start(&store, Kind::Gateway, 1).await;
    let host = Server::game(&store, 1, 10).await;
    host.beat(&store, pintail_core::Status::Smooth).await;
    let owner = placed(&store, &order(1)).await;
    let player = Player::enter(&store, &gateway).await;
    let mut room = creation(1, &["public"]);
    room.enter = vec![player.id()];
    store.commit_room(&room).await.unwrap();
    store.end_game(order(1).id, owner, &finished()).await.unwrap();
    for server in [&gateway, &host] {
        server.stop(&store).await;
    }
    let left =
        ["Games:unsettled", "Server:Game", "Server:Game:0", "Server:Gateway", "Server:Gateway:0", "Store:lineage"];
    eventually("everything with an end has ended", async || {
        store.sweep_orphans(10).await.unwrap();
        store.settle_away(player.id()).await.unwrap();
        store.rooms_labelled("public", None, 10).await.unwrap();
        let mut keys: Vec<String> = ask(&server, "KEYS *").await;
        keys.sort();
        (keys == left).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_list_that_nobody_reads_stays_bounded() {
    let server = RedisServer::start();
    let store = redis_store(&server, Periods { room_idle_ttl: ms(20), ..LONG });
    for number in 0..1000 {
        store.commit_room(&change(number, 0, &["public"])).await.unwrap();
        if number % 100 == 99 {
            tokio::time::sleep(ms(30)).await;
        }
    }
    let length: u64 = ask(&server, "ZCARD Rooms:public").await;
    assert!(length < 300, "{length} of 1000 entries are left, of which at most the last 100 were alive");
}

#[tokio::test]
async fn a_prefix_keeps_two_clusters_apart() {
    let server = RedisServer::start();
    let [blue, green] = ["{blue}:", "green:"].map(|prefix| {
        let mut options = RedisOptions::new(&server.url()).unwrap();
        options.key_prefix = prefix.to_owned();
        options.timeout = PATIENCE;
        RedisStore::connect(options).unwrap()
    });
    let mut mail = subscribe(&green, None).await;
    let gateway = Server::start(&blue, Kind::Gateway, 1).await;
    let host = Server::game(&blue, 1, 10).await;
    let owner = placed(&blue, &order(1)).await;
    let mut room = creation(1, &["public"]);
    room.enter = vec![SessionId(1)];
    blue.commit_room(&room).await.unwrap();
    let player = Player::enter(&blue, &gateway).await;
    blue.session_away(player.id(), Generation(1)).await.unwrap();
    blue.end_game(order(1).id, owner, &finished()).await.unwrap();
    host.stop(&blue).await;

    let mut keys: Vec<String> = ask(&server, "KEYS *").await;
    keys.retain(|key| key != "green:Store:lineage");
    assert!(keys.len() > 10 && keys.iter().all(|key| key.starts_with("{blue}:")), "{keys:?}");
    assert!(servers(&green, Kind::Gateway).await.is_empty());
    assert_eq!(green.room(RoomId(1)).await.unwrap(), None);
    let login = player.login(LoginMode::Resume(Some(name("Eve"))), &gateway);
    assert_eq!(green.login(&login).await.unwrap(), pintail_store::LoginOutcome::Unknown);
    let own = Server::start(&green, Kind::Lobby, 1).await;
    assert_eq!(next(&mut mail).await, Notice::ServerOn(own.slot), "and nothing of the other before it");
}

#[tokio::test]
async fn what_is_kept_of_a_journaled_game_is_written_as_documented() {
    let server = RedisServer::start();
    let store = redis_store(&server, LONG);
    let (host, owner) = owned(&store, 1, 1).await;
    wrote(&store, whole(game(1), owner, 7, "state")).await;
    wrote(&store, entries(game(1), owner, 8, "a b")).await;
    let key = "Game:0000000000000001-1";
    assert_eq!(ask::<Vec<String>>(&server, &format!("LRANGE {key}:journal 0 -1")).await, ["a", "b"]);
    assert_eq!(ask::<String>(&server, &format!("GET {key}:snapshot")).await, "state");
    let record = hash(&server, key).await;
    assert_eq!([&record["committed"], &record["snapshot"], &record["format"]], ["9", "7", "3"]);

    host.lost(&store).await;
    assert_eq!(ask::<Vec<String>>(&server, "SMEMBERS Orphaned:echo").await, ["3:0"]);
    for waiting in ["Games:orphaned", "Orphaned:echo:3:0"] {
        let games: Vec<String> = ask(&server, &format!("ZRANGE {waiting} 0 -1")).await;
        assert_eq!(games, ["0000000000000001-1"]);
    }
    assert!(hash(&server, key).await["orphaned"].parse::<u64>().unwrap() > 1_700_000_000_000);
    let heir = Server::game(&store, 2, 10).await;
    let owner = heir.claims_one(&store).await;
    let record = hash(&server, key).await;
    assert_eq!((record["epoch"].as_str(), record["attempts"].as_str()), ("2", "1"));
    assert!(record["claimed_at"].parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(hash(&server, &heir.slot.to_string()).await["format"], "3");
    for gone in ["Games:orphaned", "Orphaned:echo", "Orphaned:echo:3:0"] {
        assert!(!ask::<bool>(&server, &format!("EXISTS {gone}")).await);
    }
    let giver = format!("{} 2", heir.incarnation());
    store.hand_over(game(1), owner, &snapshot(9, "state"), WithoutServer::SetAside).await.unwrap();
    let record = hash(&server, key).await;
    assert_eq!((record["handed_by"].as_str(), record["epoch"].as_str()), (giver.as_str(), "3"));
    assert!(record.contains_key("orphaned"));

    let owner = heir.claims_one(&store).await;
    assert!(!hash(&server, key).await.contains_key("handed_by"));
    let crashed = EndOutcome { reason: EndReason::Crashed, ..finished() };
    store.end_game(game(1), owner, &crashed).await.unwrap();
    assert_eq!(ask::<Vec<String>>(&server, "ZRANGE Games:failed 0 -1").await, ["0000000000000001-1"]);
    for kept in [key.to_owned(), format!("{key}:snapshot")] {
        let ttl: u64 = ask(&server, &format!("PTTL {kept}")).await;
        assert!((1..=600_000).contains(&ttl), "{kept}: {ttl}");
    }
}

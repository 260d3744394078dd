//! What the registry holds, as other programs read and write it.

use std::net::SocketAddr;

use pintail::client::RoomState;
use pintail_testkit::RedisServer;
use tokio::net::TcpListener;

use crate::support::{Player, Server, echo_room, play_echo, redis_cli, server, soon, start, until};

#[tokio::test]
async fn a_restart_takes_its_slot_again() {
    let redis = RedisServer::start();
    let first = start("game", &redis);
    let second = start("game", &redis);
    assert_eq!((first.slot.as_str(), second.slot.as_str()), ("Server:Game:0", "Server:Game:1"));
    let incarnation = redis_cli(&redis, "HGET Server:Game:0 incarnation");
    let address = first.address;
    first.kill();
    let again = Server::ready(server("game", &redis.url(), &format!("--listen {address}")).start());
    assert_eq!(again.slot, "Server:Game:0");
    assert_ne!(redis_cli(&redis, "HGET Server:Game:0 incarnation"), incarnation);
    assert_eq!(redis_cli(&redis, "LLEN Server:Game"), "2");
}

#[tokio::test]
async fn redis_restarted_empty_is_filled_again_and_the_game_goes_on() {
    let mut redis = RedisServer::start();
    let servers = ["gateway", "lobby", "game"].map(|kind| start(kind, &redis));
    let mut player = Player::join("Ann", &[&servers[0]]).await;
    play_echo(&mut player).await;
    player.echo("before").await;

    redis.restart();
    player.echo("while nobody is registered").await;
    for server in &servers {
        let (slot, address) = (&server.slot, server.address);
        until("the registration", async || {
            redis_cli(&redis, &format!("HGET {slot} port")) == address.port().to_string()
                && redis_cli(&redis, &format!("EXISTS {slot}:lease")) == "1"
        })
        .await;
    }
    until("the count of games", async || redis_cli(&redis, "HGET Server:Game:0 games") == "1").await;
    player.echo("after").await;

    // The session is known again: a second player of the same cluster can come and play, too.
    let mut other = Player::join("Bob", &[&servers[0]]).await;
    play_echo(&mut other).await;
    other.echo("hello").await;
}

#[tokio::test]
async fn a_foreign_server_is_dialled_told_of_once_and_given_nothing() {
    let redis = RedisServer::start();
    // The schema's own port, on an address of this machine that nothing else uses.
    let foreign = TcpListener::bind(SocketAddr::from(([127, 0, 81, 7], 5557))).await.unwrap();
    let mut gateway = start("gateway", &redis);
    let _lobby = start("lobby", &redis);
    redis_cli(&redis, "LPUSH Server:Game 127.0.81.7");
    redis_cli(&redis, "HSET Server:Game:0 address 127.0.81.7 status 1 games 0");
    redis_cli(&redis, "PUBLISH ServerOn Server:Game:0");

    let (stream, _) = soon("the gateway's call", foreign.accept()).await.unwrap();
    drop(stream);
    gateway.has_said(&["not a server of this cluster", "server=Server:Game:0"]).await;
    let (stream, _) = soon("the gateway's second call", foreign.accept()).await.unwrap();
    drop(stream);

    let player = Player::join("Ann", &[&gateway]).await;
    player.client.create_room(echo_room("{}")).await.unwrap();
    let refused = player.client.start_game().await.unwrap_err();
    assert!(refused.to_string().contains("no game server"), "{refused}");
    let room = player.client.room().await.unwrap().unwrap();
    assert_eq!(room.state(), RoomState::Wait);

    let game = start("game", &redis);
    assert_eq!(game.slot, "Server:Game:1", "the foreign server keeps its slot");
    assert_eq!(redis_cli(&redis, "HGET Server:Game:0 games"), "0");
    player.client.close().await;
    gateway.program.signal("TERM");
    gateway.program.wait_for_end();
    let told = gateway.program.transcript().iter().filter(|line| line.contains("not a server of this cluster")).count();
    assert_eq!(told, 1, "once is enough");
}

#[tokio::test]
async fn broken_entries_are_told_of_once_and_skipped() {
    let redis = RedisServer::start();
    redis_cli(&redis, "RPUSH Server:Game 10.0.0.1 10.0.0.2 10.0.0.3");
    redis_cli(&redis, "HSET Server:Game:0 address 10.0.0.1 status 1 games 0 port 99999");
    redis_cli(&redis, "SET Server:Game:1 rubbish");
    redis_cli(&redis, "PUBLISH ServerOn Server:Foo:0");
    let mut gateway = start("gateway", &redis);
    gateway.has_said(&["Server:Game:0 is broken", "Server:Game:1 is broken", "Server:Game:2 is broken"]).await;
    redis_cli(&redis, "PUBLISH ServerOn Server:Foo:0");
    redis_cli(&redis, "PUBLISH ServerOn Server:Game:0");
    let servers = [start("lobby", &redis), start("game", &redis)];
    let mut player = Player::join("Ann", &[&gateway]).await;
    play_echo(&mut player).await;
    player.echo("nothing is in the way").await;
    player.client.close().await;
    gateway.program.signal("TERM");
    gateway.program.wait_for_end();
    let told = gateway.program.transcript().iter().filter(|line| line.contains("Server:Game:0 is broken")).count();
    assert_eq!(told, 1, "once is enough");
    servers.into_iter().for_each(Server::stop);
}

//! One process is killed, and the players go on.

use pintail::client::{Event, GameEndReason, RoomState};
use pintail_testkit::RedisServer;

use crate::support::redis::Peek;
use crate::support::{Player, echo_room, play_echo, soon, start, until};

#[tokio::test]
async fn a_player_goes_on_through_another_gateway_and_loses_nothing() {
    let redis = RedisServer::start();
    let (first, second) = (start("gateway", &redis), start("gateway", &redis));
    let _others = [start("lobby", &redis), start("game", &redis)];
    let mut player = Player::join("Ann", &[&first, &second]).await;
    play_echo(&mut player).await;
    player.echo("one").await;

    first.kill();
    // Sent while there is no connection: kept, and applied once and in order.
    for number in 0..50 {
        soon("room for an input", player.client.send(format!("input {number}"))).await.unwrap();
    }
    for number in 0..50 {
        assert_eq!(player.message().await, format!("input {number}"));
    }
    let room = player.client.room().await.unwrap().unwrap();
    assert_eq!(room.state(), RoomState::Playing);
    assert!(!room.members[0].away);
}

#[tokio::test]
async fn a_gateway_that_hangs_costs_its_players_seconds_and_its_servers_nothing() {
    let redis = RedisServer::start();
    let (first, second) = (start("gateway", &redis), start("gateway", &redis));
    let _others = [start("lobby", &redis), start("game", &redis)];
    let mut player = Player::join("Ann", &[&first, &second]).await;
    play_echo(&mut player).await;
    first.program.signal("STOP");
    player.next("the move", |event| matches!(event, Event::Connected { resumed: true, .. }).then_some(())).await;
    player.echo("from the other gateway").await;

    // It comes back to a world that has moved on, and is as good as any.
    first.program.signal("CONT");
    let mut other = Player::join("Bob", &[&first]).await;
    play_echo(&mut other).await;
    other.echo("hello").await;
    player.echo("still here").await;
}

#[tokio::test]
async fn a_gateway_that_outlived_its_lease_still_holds_its_players_whom_nobody_puts_out_of_their_rooms() {
    let redis = RedisServer::start();
    let (gateway, _lobby) = (start("gateway", &redis), start("lobby", &redis));
    let mut player = Player::join("Ann", &[&gateway]).await;
    soon("a room", player.client.create_room(echo_room("{}"))).await.unwrap();
    let mut peek = Peek::at(redis.address());
    let mut away = || peek.one("ZCARD Sessions:away").unwrap();

    // Long enough for others to take it for gone, and too short for its player to notice.
    gateway.program.signal("STOP");
    until("the player to count as away", async || away() == "1").await;
    gateway.program.signal("CONT");
    until("the player to be there again", async || away() == "0").await;
    assert!(soon("the room", player.client.room()).await.unwrap().is_some());
    while let Some(event) = player.events.try_next() {
        assert!(!matches!(event, Event::Disconnected { .. }), "the connection was never lost");
    }
}

#[tokio::test]
async fn rooms_live_on_when_their_lobby_server_is_killed() {
    let redis = RedisServer::start();
    let gateway = start("gateway", &redis);
    let (first, _second, _game) = (start("lobby", &redis), start("lobby", &redis), start("game", &redis));
    let mut players = Vec::new();
    for number in 0..4 {
        let player = Player::join(&format!("player {number}"), &[&gateway]).await;
        player.client.create_room(echo_room("{}")).await.unwrap();
        players.push(player);
    }
    first.kill();
    for player in &mut players {
        soon("the start", player.client.start_game()).await.unwrap();
        player.attached().await;
        player.echo("through the other lobby").await;
    }
}

#[tokio::test]
async fn an_ephemeral_game_ends_with_its_server_and_the_room_plays_again() {
    let redis = RedisServer::start();
    let gateway = start("gateway", &redis);
    let (_lobby, game) = (start("lobby", &redis), start("game", &redis));
    let mut player = Player::join("Ann", &[&gateway]).await;
    play_echo(&mut player).await;
    player.echo("hello").await;

    game.kill();
    let room = player.room("the end", |room| room.state() == RoomState::Wait && room.last_outcome.is_some()).await;
    assert_eq!(room.last_outcome.unwrap().reason(), GameEndReason::ServerLost);

    let _another = start("game", &redis);
    until("the next game", async || player.client.start_game().await.is_ok()).await;
    player.attached().await;
    player.echo("again").await;
}

#[tokio::test]
async fn stopping_in_order_tells_everyone() {
    let redis = RedisServer::start();
    let (first, second) = (start("gateway", &redis), start("gateway", &redis));
    let (_lobby, game) = (start("lobby", &redis), start("game", &redis));
    let mut player = Player::join("Ann", &[&first, &second]).await;
    play_echo(&mut player).await;
    first.stop();
    player.next("the move", |event| matches!(event, Event::Connected { resumed: true, .. }).then_some(())).await;
    player.echo("from the other gateway").await;
    game.stop();
    let reason = player
        .next("the end", |event| match event {
            Event::GameEnded { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, GameEndReason::ServerStopped);
    player.room("the room", |room| room.state() == RoomState::Wait).await;
}

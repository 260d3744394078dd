//! Players of one room on different gateways and lobby servers.

use pintail::client::{Event, RoomState};
use pintail_testkit::RedisServer;

use crate::support::{Player, echo_room, soon, start, until};

#[tokio::test]
async fn a_room_spans_gateways_and_lobby_servers() {
    let redis = RedisServer::start();
    let gateways = [start("gateway", &redis), start("gateway", &redis)];
    let _others = [start("lobby", &redis), start("lobby", &redis), start("game", &redis), start("game", &redis)];

    // Enough players that both lobby servers have some of them.
    let mut players = Vec::new();
    for number in 0..8_usize {
        players.push(Player::join(&format!("player {number}"), &[&gateways[number % 2]]).await);
    }
    let room = soon("a room", players[0].client.create_room(echo_room(r#"{"mode":"relay"}"#))).await.unwrap();
    for player in &players[1..] {
        player.client.join_by_invite(&room.invite).await.unwrap();
        player.client.set_ready(true).await.unwrap();
    }
    players[0].room("everyone", |room| room.members.iter().filter(|member| member.ready).count() == 7).await;
    players[1].client.chat("hello from the other gateway").await.unwrap();
    for player in &mut players {
        let pick = |event| match event {
            Event::Chat(chat) => Some(chat.text),
            _ => None,
        };
        assert_eq!(player.next("the chat", pick).await, "hello from the other gateway");
    }

    until("the start", async || players[0].client.start_game().await.is_ok()).await;
    for player in &mut players {
        player.attached().await;
    }
    soon("room for an input", players[3].client.send("to everyone else")).await.unwrap();
    for (number, player) in players.iter_mut().enumerate().filter(|&(number, _)| number != 3) {
        assert_eq!(player.message().await, "to everyone else", "player {number}");
    }
    soon("room for an input", players[0].client.send("end")).await.unwrap();
    for player in &mut players {
        let room = player.room("the end", |room| room.state() == RoomState::Wait && room.round == 1).await;
        assert_eq!(room.last_outcome.unwrap().round, 1);
    }
}

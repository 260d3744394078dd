//! Games from their start to the room's next one.

use pintail_core::{GameId, RoomId, Round};
use pintail_store::{Games, Letter};
use pintail_wire::client::{ErrorCode, GameEndReason, Room, RoomState};

use crate::cluster::{Cluster, eventually};
use crate::faults::Fault;
use crate::gateway::{Gateway, Player, fresh, join, kick, leave, ready, start};

fn game_of(room: &Room) -> GameId {
    GameId { room: RoomId(room.id), round: Round(room.round) }
}

/// Two players in a room that could start.
async fn gathered(gateway: &Gateway) -> [Player; 2] {
    let [ada, bob] = [1, 2].map(|session| gateway.player(session));
    let room = ada.create("gomoku").await;
    bob.room(join(&room)).await;
    bob.room(ready(true)).await;
    [ada, bob]
}

#[tokio::test]
async fn without_a_game_server_the_room_waits_again_and_the_same_request_can_succeed() {
    let cluster = Cluster::of_lobbies(1).await;
    let [ada, bob] = gathered(&cluster.gateway(0).await).await;
    let id = fresh();
    let ask = async || match ada.ask_as(id, start()).await {
        pintail_wire::client::lobby_reply::Reply::Error(error) => Err(error),
        _ => Ok(()),
    };
    let error = ask().await.unwrap_err();
    assert_eq!((error.code(), error.retry), (ErrorCode::NoGameServer, true));
    let room = bob.sees(RoomState::Wait, 1).await;
    assert!(room.members[1].ready, "nobody has to get ready again");
    let _game_server = cluster.game_server().await;
    ask().await.unwrap();
    bob.sees(RoomState::Playing, 2).await;
}

#[tokio::test]
async fn the_end_of_a_game_returns_the_room_and_the_next_round_can_start() {
    let cluster = Cluster::of_lobbies(2).await;
    let _game_server = cluster.game_server().await;
    let [ada, bob] = gathered(&cluster.gateway(0).await).await;
    let playing = ada.room(start()).await;
    let order = cluster.store.game(game_of(&playing)).await.unwrap().unwrap().order;
    assert_eq!(order.players.iter().map(|player| player.session.0).collect::<Vec<_>>(), [1, 2]);
    cluster.end_game(game_of(&playing)).await;
    for player in [&ada, &bob] {
        let room = player.sees(RoomState::Wait, 1).await;
        let outcome = room.last_outcome.unwrap();
        assert_eq!((outcome.round, outcome.reason()), (1, GameEndReason::Finished));
        assert_eq!(outcome.result, r#"{"winner":"ada"}"#);
        assert!(room.members.iter().all(|member| !member.ready));
    }
    eventually("the game is settled", async || {
        cluster.store.unsettled_games(0, 10).await.unwrap().is_empty().then_some(())
    })
    .await;
    bob.room(ready(true)).await;
    assert_eq!(ada.room(start()).await.round, 2);
}

#[tokio::test]
async fn an_end_whose_letter_is_lost_is_found() {
    let mut cluster = Cluster::of_lobbies(1).await;
    let _game_server = cluster.game_server().await;
    let [ada, bob] = gathered(&cluster.gateway(0).await).await;
    let playing = ada.room(start()).await;
    // The lobby server that was named in the order is gone, and with it its mailbox.
    cluster.add_lobby().await;
    cluster.lobbies[0].crash();
    cluster.end_game(game_of(&playing)).await;
    let elsewhere = cluster.gateway(1).await;
    let room = eventually("the room waits again", async || {
        bob.via(&elsewhere).look().await.filter(|room| room.state() == RoomState::Wait)
    })
    .await;
    assert_eq!(room.last_outcome.unwrap().round, 1);
}

#[tokio::test]
async fn who_leaves_or_is_kicked_while_playing_leaves_the_game() {
    let cluster = Cluster::of_lobbies(1).await;
    let mut game_server = cluster.game_server().await;
    let [ada, bob] = gathered(&cluster.gateway(0).await).await;
    let game = game_of(&ada.room(start()).await);
    assert_eq!(game_server.letter().await, Letter::GamePlaced(game));
    ada.room(kick(2)).await;
    assert_eq!(game_server.letter().await, Letter::PlayerLeft(game, pintail_core::SessionId(2)));
    assert_eq!(bob.look().await, None);
    assert_eq!(ada.room_after(leave()).await, None);
    assert_eq!(game_server.letter().await, Letter::PlayerLeft(game, pintail_core::SessionId(1)));
}

#[tokio::test]
async fn a_game_that_the_store_forgot_is_given_up_in_time() {
    let cluster = Cluster::of_lobbies(1).await;
    let _game_server = cluster.game_server().await;
    let [ada, _] = gathered(&cluster.gateway(0).await).await;
    ada.room(start()).await;
    cluster.lobbies[0].faults.set(Fault::GamesForgotten);
    let room = ada.sees(RoomState::Wait, 1).await;
    assert_eq!(room.last_outcome.unwrap().reason(), GameEndReason::ServerLost);
}

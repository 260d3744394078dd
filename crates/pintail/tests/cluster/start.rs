//! Servers find each other in any order.

use pintail_testkit::RedisServer;

use crate::support::{Player, Server, play_echo, server};

/// Every order of three.
const ORDERS: [[&str; 3]; 6] = [
    ["gateway", "lobby", "game"],
    ["gateway", "game", "lobby"],
    ["lobby", "gateway", "game"],
    ["lobby", "game", "gateway"],
    ["game", "gateway", "lobby"],
    ["game", "lobby", "gateway"],
];

#[tokio::test]
async fn servers_find_each_other_in_any_order() {
    for order in ORDERS {
        let redis = RedisServer::start();
        let servers = order.map(|kind| Server::ready(server(kind, &redis.url(), "").start()));
        let gateway = servers.iter().find(|server| server.slot.contains("Gateway")).unwrap();
        let mut player = Player::join("Ann", &[gateway]).await;
        play_echo(&mut player).await;
        player.echo(&order.join(" → ")).await;
        player.client.close().await;
        servers.into_iter().for_each(Server::stop);
    }
}

#[tokio::test]
async fn servers_that_start_before_redis_wait_for_it() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    redis.stop();
    let mut programs: Vec<_> = ["gateway", "lobby", "game"].map(|kind| server(kind, &url, "").start()).into();
    for program in &mut programs {
        program.wait_for("can't register; trying until it works");
    }
    redis.restart();
    let servers: Vec<_> = programs.into_iter().map(Server::ready).collect();
    let mut player = Player::join("Ann", &[&servers[0]]).await;
    play_echo(&mut player).await;
    player.echo("at last").await;
}

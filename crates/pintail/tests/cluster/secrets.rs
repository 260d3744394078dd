//! Links open between those who share the cluster's secret, and no others.

use pintail_testkit::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Player, Server, pintail, play_echo, server, soon};

const SECRET: &str = "correct horse battery staple";

#[tokio::test]
async fn a_shared_secret_links_and_another_one_does_not() {
    let redis = RedisServer::start();
    let with_secret =
        |kind, secret| Server::ready(server(kind, &redis.url(), "").env("PINTAIL_CLUSTER_SECRET", secret).start());
    let (lobby, _game) = (with_secret("lobby", SECRET), with_secret("game", SECRET));
    let gateway = with_secret("gateway", SECRET);
    let mut stranger = with_secret("gateway", "another secret of some length");
    stranger.has_said(&["Server:Lobby:0", "another cluster secret"]).await;

    let mut player = Player::join("Ann", &[&gateway]).await;
    play_echo(&mut player).await;
    player.echo("hello").await;

    let mut nosy = TcpStream::connect(lobby.address).await.unwrap();
    nosy.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    let _ = soon("the end", nosy.read_to_end(&mut heard)).await;
    assert!(heard.is_empty(), "a stranger is told nothing");
}

#[test]
fn nobody_listens_beyond_loopback_without_a_secret() {
    for kind in ["gateway", "lobby", "game"] {
        let output = pintail([kind, "--redis", "redis://127.0.0.1:1", "--listen", "0.0.0.0:0"]).output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("cluster-secret") || said.contains("CLUSTER_SECRET"), "{said}");
    }
}

//! Players over TLS, with whole processes.
#![allow(clippy::unwrap_used)]

mod support;

use pintail::client::{Client, ClientConfig, Event, Trust};
use pintail_testkit::{Certificates, RedisServer};
use support::{Player, Server, pintail, play_echo, server, soon, start};

/// A gateway with a certificate, and where it takes WebSockets.
fn gateway(redis: &RedisServer, certificates: &Certificates) -> (Server, String) {
    let (certificate, key) = (certificates.server_certificate(), certificates.server_key());
    let tls = format!("--tls-cert {} --tls-key {}", certificate.display(), key.display());
    let mut gateway = Server::ready(server("gateway", &redis.url(), &tls).start());
    let said = gateway.program.transcript().join("\n");
    let websocket = said.split([' ', ',']).find(|word| word.starts_with("wss://")).map(str::to_owned);
    assert!(said.contains(&format!("tls://{}", gateway.address)), "{said}");
    (gateway, websocket.unwrap())
}

#[tokio::test]
async fn a_player_whose_gateway_dies_goes_on_over_tls_at_another() {
    let (redis, certificates) = (RedisServer::start(), Certificates::new());
    let _servers = ["lobby", "game"].map(|kind| start(kind, &redis));
    let (first, _) = gateway(&redis, &certificates);
    let (second, websocket) = gateway(&redis, &certificates);
    let addresses = [format!("tls://{}", first.address), websocket].map(|address| address.parse().unwrap());
    let config = ClientConfig {
        first_address: Some(0),
        trust: Some(Trust::in_file(&certificates.ca_file()).unwrap()),
        ..ClientConfig::new(addresses, "Ada")
    };
    let (client, events) = soon("the login", Client::connect(config)).await.unwrap();
    let mut player = Player { client, events };
    play_echo(&mut player).await;
    player.echo("before").await;
    first.kill();
    player
        .next("the other gateway", |event| matches!(event, Event::Connected { resumed: true, .. }).then_some(()))
        .await;
    player.echo("after").await;
    player.client.logout().await;
    second.stop();
}

#[tokio::test]
async fn a_player_in_the_terminal_trusts_a_file_and_nobody_else() {
    let certificates = Certificates::new();
    let (certificate, key) = (certificates.server_certificate(), certificates.server_key());
    let line = format!(
        "dev --listen 127.0.0.1:0 --http 127.0.0.1:0 --tls-cert {} --tls-key {}",
        certificate.display(),
        key.display()
    );
    let mut dev = pintail(line.split_whitespace()).start();
    let line = dev.wait_for("Server:Gateway:0");
    dev.wait_for("--gateway tls://");
    dev.wait_for("ready;");
    for address in line.split_whitespace().skip(1).take(2) {
        let play = |ca: &Certificates| {
            let ca = ca.ca_file().display().to_string();
            pintail(["play", "echo", "--gateway", address, "--name", "Ann", "--ca", &ca])
        };
        let mut ann = play(&certificates).start();
        ann.wait_for("you are in the room");
        ann.close_input();
        assert!(ann.wait_for_end().success());
        let stranger = Certificates::new();
        let output = play(&stranger).output();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("not trusted") && said.contains("--ca FILE"), "{said}");
    }
}

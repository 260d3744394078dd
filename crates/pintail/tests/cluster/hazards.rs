//! A Redis that is set up so that it can lose games: everyone who uses it says so.

use pintail_testkit::{Persistence, RedisServer};

use crate::support::{pintail, redis_cli, server, start, until};

/// What a server says of each danger, as often as it was said.
fn count(transcript: &[String], text: &str) -> usize {
    transcript.iter().filter(|line| line.contains("DANGER") && line.contains(text)).count()
}

/// What `pintail status` writes to its standard output and error.
fn status(redis: &RedisServer, more: &str) -> (String, String) {
    let url = redis.url();
    let output = pintail(["status", "--redis", url.as_str()].into_iter().chain(more.split_whitespace())).output();
    let [said, warned] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("it is text"));
    assert!(output.status.success(), "{warned}");
    (said, warned)
}

#[tokio::test]
async fn each_server_and_status_say_so_until_it_is_put_right() {
    let redis = RedisServer::start();
    let mut lobby = start("lobby", &redis);
    lobby.has_said(&["DANGER", "appendonly yes"]).await;
    let (table, warnings) = status(&redis, "");
    assert!(table.contains("Server:Lobby:0"), "{table}");
    assert!(warnings.starts_with("DANGER: Redis keeps nothing on its disk"), "{warnings}");
    let hazards = |more: &str| {
        let json: serde_json::Value = serde_json::from_str(&status(&redis, more).0).unwrap();
        json["hazards"].as_array().unwrap().iter().map(|one| one["hazard"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(hazards("--json"), ["not-persistent"]);
    assert_eq!(hazards("--json --redis-wait-replicas 2"), ["not-persistent", "too-few-replicas"]);

    redis_cli(&redis, "CONFIG SET appendonly yes");
    redis_cli(&redis, "CONFIG SET maxmemory-policy allkeys-lru");
    redis_cli(&redis, "CONFIG SET maxmemory 100mb");
    assert_eq!(hazards("--json"), ["evicts"]);
    // A store that lost what it had is looked at anew.
    redis_cli(&redis, "FLUSHALL");
    lobby.has_said(&["noeviction", "this danger is over"]).await;
    let said = lobby.program.transcript();
    assert_eq!((count(said, "appendonly"), count(said, "noeviction")), (1, 1), "once each: {said:#?}");
    redis_cli(&redis, "CONFIG SET maxmemory-policy noeviction");
    assert_eq!(status(&redis, "").1, "");
    lobby.stop();
}

#[tokio::test]
async fn a_watcher_sees_it_come() {
    let redis = RedisServer::start_with(Persistence::AppendOnly);
    let url = redis.url();
    let mut watcher = pintail(["status", "--redis", url.as_str(), "--watch", "0.1"]).start();
    watcher.wait_for("servers: none");
    redis_cli(&redis, "CONFIG SET appendonly no");
    watcher.wait_for("DANGER: Redis keeps nothing on its disk");
    assert_eq!(count(watcher.transcript(), "nothing on its disk"), 1);
}

#[tokio::test]
async fn a_server_that_comes_before_redis_says_it_once_it_is_there() {
    let mut redis = RedisServer::start();
    redis.kill();
    let mut lobby = server("lobby", &redis.url(), "").start();
    lobby.wait_for("can't reach Redis");
    assert_eq!(count(lobby.transcript(), ""), 0);
    redis.restart();
    until("the danger is told", async || count(lobby.transcript(), "appendonly yes") == 1).await;
}

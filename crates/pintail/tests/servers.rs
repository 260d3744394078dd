//! Whole processes against a real Redis: servers start, show up in `pintail status`, and stop.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use pintail_testkit::{Program, ProgramBuilder, RedisServer};

fn pintail(arguments: &str) -> ProgramBuilder {
    Program::new(env!("CARGO_BIN_EXE_pintail")).args(arguments.split_whitespace())
}

fn server(kind: &str, redis: &RedisServer) -> ProgramBuilder {
    let ports = "--listen 127.0.0.1:0 --admin 127.0.0.1:0";
    let http = if kind == "gateway" { "--http 127.0.0.1:0" } else { "" };
    pintail(&format!("{kind} --redis {} --key-prefix test: {ports} {http}", redis.url()))
}

fn status(redis: &RedisServer, more: &str) -> String {
    let output = pintail(&format!("status --redis {} --key-prefix test: {more}", redis.url())).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(redis: &RedisServer) -> serde_json::Value {
    serde_json::from_str(&status(redis, "--json")).unwrap()
}

#[test]
fn a_cluster_of_processes_is_shown_and_plays() {
    let redis = RedisServer::start();
    assert!(status(&redis, "").contains("no servers are registered"));

    let mut game = server("game", &redis).args(["--capacity", "7"]).start();
    game.wait_for("ready: Server:Game:0 listens on 127.0.0.1:");
    let mut lobby = server("lobby", &redis).start();
    lobby.wait_for("ready: Server:Lobby:0");
    let mut gateway = server("gateway", &redis).start();
    let ready = gateway.wait_for("ready: Server:Gateway:0");
    let address = ready.split("listens on ").nth(1).unwrap().split(',').next().unwrap().to_owned();

    let table = status(&redis, "");
    let line = table.lines().find(|line| line.starts_with("Server:Game:0")).unwrap_or_else(|| panic!("{table}"));
    for part in ["127.0.0.1:", "smooth", "alive", "0/7", "arena,echo,gomoku", env!("CARGO_PKG_VERSION")] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let servers = json(&redis)["servers"].clone();
    assert_eq!(servers[0]["endpoint"], address.as_str());
    assert_eq!(servers[2]["slot"], "Server:Game:0");
    assert_eq!(servers[2]["capacity"], 7);

    let mut player = pintail(&format!("play echo --gateway {address} --name Ann")).start();
    player.wait_for("wait for others");
    player.type_line("start");
    player.wait_for("the game begins");
    player.type_line("over Redis");
    player.wait_for("< over Redis   (");
    player.type_line("end");
    player.wait_for("{\"inputs\":2}");
    player.close_input();
    assert!(player.wait_for_end().success());

    for (program, name) in [(&mut gateway, "TERM"), (&mut lobby, "TERM"), (&mut game, "INT")] {
        program.signal(name);
        assert_eq!(program.wait_for_end().code(), Some(0));
    }
    assert_eq!(json(&redis)["servers"].as_array().unwrap().len(), 0, "they left in order");
}

#[test]
fn foreign_and_broken_entries_are_shown_as_what_they_are() {
    let redis = RedisServer::start();
    for command in [
        "RPUSH Server:Game 127.0.0.1 127.0.0.2",
        "HSET Server:Game:0 address 127.0.0.1 status 1 games 3",
        "HSET Server:Game:1 address 127.0.0.2 status 1 games 0 port 99999",
    ] {
        let mut stream = std::net::TcpStream::connect(redis.address()).unwrap();
        std::io::Write::write_all(&mut stream, format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        assert!(answer.starts_with(':'), "{answer}");
    }
    let output = pintail(&format!("status --redis {}", redis.url())).output();
    let (table, warnings) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{warnings}");
    assert!(table.contains("Server:Game:0  127.0.0.1:5557  smooth  foreign"), "{table}");
    assert!(warnings.contains("warning: Server:Game:1: ") && warnings.contains("99999"), "{warnings}");
}

#[test]
fn without_redis_status_fails_and_a_server_waits_for_it() {
    let mut redis = RedisServer::start();
    redis.stop();
    let output = pintail(&format!("status --redis {}", redis.url())).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&redis.url()) && said.contains("check --redis"), "{said}");

    let mut lobby = server("lobby", &redis).args(["--log-format", "json"]).start();
    lobby.wait_for("can't reach Redis");
    redis.restart();
    let ready = lobby.wait_for("{\"ready\":");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    assert_eq!(ready["ready"], "Server:Lobby:0");
    assert_eq!(ready["listen"], ready["advertised"]);
}

#[test]
fn a_port_that_was_asked_for_and_is_in_use_is_a_failure() {
    let redis = RedisServer::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = pintail(&format!("lobby --redis {} --listen {address} --admin off", redis.url())).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address.to_string()) && said.contains("--listen"), "{said}");
}

#[test]
fn an_advertised_address_that_nobody_listens_on_is_warned_of() {
    let redis = RedisServer::start();
    let mut lobby = server("lobby", &redis).args(["--advertise", "192.0.2.7"]).start();
    lobby.wait_for("ready: Server:Lobby:0");
    assert!(lobby.transcript().iter().any(|line| line.contains("--advertise tells the others 192.0.2.7")));
}

#[test]
fn servers_of_one_kind_share_a_machine_without_settings() {
    let redis = RedisServer::start();
    let start = || pintail(&format!("game --redis {}", redis.url())).start();
    // Whatever has the default ports, be it one of these or something else: both find their place.
    let (mut first, mut second) = (start(), start());
    first.wait_for("ready: Server:Game:");
    second.wait_for("ready: Server:Game:");
    let mut moved = 0;
    for program in [&mut first, &mut second] {
        program.signal("TERM");
        assert!(program.wait_for_end().success());
        moved += program.transcript().iter().filter(|line| line.contains("is in use, so any free port")).count();
    }
    assert!(moved >= 2, "one of them gave way with both of its ports, or each with one");
}

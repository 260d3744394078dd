//! Whole processes against a real Redis: servers start, show up in `pintail status`, and stop.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use pintail_testkit::{Program, ProgramBuilder, RedisServer, free_port};

fn pintail(arguments: &str) -> ProgramBuilder {
    Program::new(env!("CARGO_BIN_EXE_pintail")).args(arguments.split_whitespace())
}

fn server(kind: &str, redis: &RedisServer) -> ProgramBuilder {
    let ports = "--listen 127.0.0.1:0 --admin 127.0.0.1:0";
    let http = if kind == "gateway" { "--http 127.0.0.1:0" } else { "" };
    // Nobody balances loads here.
    pintail(&format!("{kind} --redis {} --key-prefix test: {ports} {http}", redis.url())).env("PINTAIL_LAME_DUCK", "0s")
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
    for part in
        ["127.0.0.1:", "smooth", "up", "0/7", "arena,echo,echo-journaled,gomoku,match", env!("CARGO_PKG_VERSION")]
    {
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
    let all = status(&redis, "--all");
    assert_eq!(all.lines().filter(|line| line.contains("unused") && line.contains("off ")).count(), 3, "{all}");
}

#[test]
fn a_player_goes_on_through_the_next_gateway_and_is_told_while_there_is_none() {
    let redis = RedisServer::start();
    let mut servers = ["game", "lobby", "gateway"].map(|kind| server(kind, &redis).start());
    let ready = servers.each_mut().map(|server| server.wait_for("ready: Server:"));
    let first = ready[2].split("listens on ").nth(1).unwrap().split(',').next().unwrap();
    let pid = ready[2].split(", pid ").nth(1).unwrap().trim();
    let second = format!("127.0.0.1:{}", free_port(Ipv4Addr::LOCALHOST));
    let mut player = pintail(&format!("play echo --gateway {first} --gateway {second} --name Ann")).start();
    player.wait_for("wait for others");
    player.type_line("start");
    player.wait_for("the game begins");
    // Only one of the two was there until now.
    let more = format!(
        "gateway --redis {} --key-prefix test: --listen {second} --http 127.0.0.1:0 --admin 127.0.0.1:0",
        redis.url()
    );
    let mut other = pintail(&more).start();
    other.wait_for("ready: Server:");
    assert!(Command::new("kill").args(["-s", "KILL", pid]).status().unwrap().success());
    player.wait_for("connecting again");
    player.wait_for("connected again, through ");
    player.type_line("through the other");
    player.wait_for("< through the other   (");
    other.signal("KILL");
    let trying = player.wait_for("still trying to connect to ");
    assert!(trying.contains(&format!("tcp://{first} or tcp://{second}, for ")), "{trying}");
}

#[test]
fn a_gateway_that_lets_nobody_in_says_why_and_nothing_else_does() {
    let mut redis = RedisServer::start();
    let mut gateway = server("gateway", &redis).start();
    let ready = gateway.wait_for("ready: Server:Gateway:0");
    let address = ready.split("listens on ").nth(1).unwrap().split(',').next().unwrap();
    redis.stop();
    let output = pintail(&format!("play echo --gateway {address} --name Ann")).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("store") && !said.contains("pintail dev") && !said.contains("--gateway"), "{said}");
}

#[test]
fn a_table_that_can_not_be_written_is_a_failure() {
    let redis = RedisServer::start();
    for arguments in ["", "--json", "--watch", "--watch --json"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut status = Command::new(env!("CARGO_BIN_EXE_pintail"));
        let status = status.args(["status", "--redis", &redis.url()]).args(arguments.split_whitespace());
        let output = status.stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(said.contains("error: the output can't be written ("), "{arguments}: {said}");
    }
}

/// Has Redis run a command that answers with a number.
fn say_to(redis: &RedisServer, command: &str) {
    let mut stream = std::net::TcpStream::connect(redis.address()).unwrap();
    std::io::Write::write_all(&mut stream, format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with(':'), "{answer}");
}

#[test]
fn foreign_and_broken_entries_are_shown_as_what_they_are() {
    let redis = RedisServer::start();
    for command in [
        "RPUSH Server:Game 127.0.0.1 127.0.0.2",
        "HSET Server:Game:0 address 127.0.0.1 status 1 games 3",
        "HSET Server:Game:1 address 127.0.0.2 status 1 games 0 port 99999",
    ] {
        say_to(&redis, command);
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
    assert!(ready["pid"].is_number(), "{ready}");
}

/// `pintail drain`, and what it says.
fn drain(redis: &RedisServer, arguments: &str) -> (Option<i32>, String) {
    let output = pintail(&format!("drain --redis {} --key-prefix test: {arguments}", redis.url())).output();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn a_server_that_is_asked_to_drain_finishes_its_games_and_leaves() {
    let mut redis = RedisServer::start();
    let mut game = server("game", &redis).args(["--drain-timeout", "10m"]).start();
    game.wait_for("ready: Server:Game:0");
    let mut lobby = server("lobby", &redis).start();
    lobby.wait_for("ready: Server:Lobby:0");
    let mut gateway = server("gateway", &redis).start();
    let ready = gateway.wait_for("ready: Server:Gateway:0");
    let address = ready.split("listens on ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let mut player = pintail(&format!("play echo --gateway {address} --name Ann")).start();
    player.wait_for("wait for others");
    player.type_line("start");
    player.wait_for("the game begins");

    let (code, said) = drain(&redis, "game:0 --timeout 3s");
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("Server:Game:0 has not left within 3s (1 game, 1 player left)"), "{said}");
    assert!(said.contains("Server:Game:0 is draining: 1 game, 1 player left"), "{said}");
    let table = status(&redis, "");
    assert!(table.contains("unused (draining)"), "{table}");
    player.type_line("the game goes on");
    player.wait_for("< the game goes on");

    assert_eq!(drain(&redis, "game/0 --no-wait"), (Some(0), "Server:Game:0 was asked to drain\n".to_owned()));
    player.type_line("end");
    let (code, said) = drain(&redis, "Server:Game:0");
    // It may have left before it was asked once more.
    assert!(code == Some(0) && said.contains("Server:Game:0 has left after") || code == Some(3), "{code:?}: {said}");
    assert_eq!(game.wait_for_end().code(), Some(0));

    let (code, said) = drain(&redis, "game:0");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("no server in Server:Game:0; there are: Server:Gateway:0, Server:Lobby:0"), "{said}");
    let (code, said) = drain(&redis, "lobby/0");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(lobby.wait_for_end().code(), Some(0));
    redis.stop();
    let (code, said) = drain(&redis, "gateway:0");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&redis.url()) && said.contains("check --redis"), "{said}");
}

/// What docs/operations.md grants to the user that Pintail is to have in Redis.
fn documented_rights() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, after) = text.split_once("\nuser pintail ").expect("the documentation has the rights");
    let (rights, _) = after.split_once("```").expect("they end");
    rights.to_owned()
}

fn redis_cli(redis: &RedisServer, arguments: &[&str]) -> String {
    let (host, port) = (redis.address().ip().to_string(), redis.address().port().to_string());
    let output = Command::new("redis-cli").args(["-h", &host, "-p", &port]).args(arguments).output();
    String::from_utf8(output.expect("redis-cli comes with redis-server").stdout).unwrap().trim().to_owned()
}

#[test]
fn the_documented_rights_in_redis_are_enough() {
    let redis = RedisServer::start();
    let rights = documented_rights();
    let user: Vec<&str> = ["ACL", "SETUSER", "pintail"].into_iter().chain(rights.split_whitespace()).collect();
    assert_eq!(redis_cli(&redis, &user), "OK");
    let url = redis.url().replace("redis://", "redis://pintail:password@");
    let start = |kind: &str, more: &str| {
        let http = if kind == "gateway" { "--http 127.0.0.1:0" } else { "" };
        let arguments = format!("{kind} --redis {url} --listen 127.0.0.1:0 --admin 127.0.0.1:0 {http} {more}");
        let mut program = pintail(&arguments).env("PINTAIL_LAME_DUCK", "0s").start();
        let ready = program.wait_for("ready: Server:");
        (program, ready)
    };
    let ((mut first, _), (_lobby, _)) = (start("game", ""), start("lobby", ""));
    let (mut gateway, ready) = start("gateway", "");
    let address = ready.split("listens on ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let mut player = pintail(&format!("play echo --gateway {address} --name Ann")).start();
    player.wait_for("wait for others");
    player.type_line("start");
    player.wait_for("the game begins");
    player.type_line("end");
    player.wait_for("the game is over");
    first.signal("KILL");
    first.wait_for_end();
    gateway.wait_for("event=down");
    let (mut second, ready) = start("game", "");
    let slot = ready.split_whitespace().nth(1).unwrap();
    let output = pintail(&format!("drain {slot} --redis {url}")).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(second.wait_for_end().success());
    assert_eq!(redis_cli(&redis, &["ACL", "LOG"]), "", "nothing was refused");
}

/// Some commands are rare, so that no test runs into all of them.
#[test]
fn the_documented_rights_have_every_command_of_the_store() {
    let rights = documented_rights();
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pintail-store/src/redis");
    let mut commands = BTreeSet::new();
    for folder in [store.clone(), store.join("scripts"), store.join("scripts/lib")] {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for call in ["redis.call('", "redis.pcall('", "own('", "cmd(\""] {
                let names =
                    text.split(call).skip(1).map(|after| after.split(['\'', '"']).next().unwrap().to_lowercase());
                commands.extend(names);
            }
            if text.contains(".atomic()") {
                commands.extend(["multi", "exec"].map(str::to_owned));
            }
        }
    }
    assert!(commands.len() > 25 && commands.contains("hello") && commands.contains("zadd"), "{commands:?}");
    // Sentinels have users of their own.
    commands.remove("sentinel");
    // No server removes everything: a stress test does, at its end.
    let documentation =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md")).unwrap();
    for command in ["scan", "unlink"] {
        assert!(commands.remove(command) && documentation.contains(&format!("`+{command}`")), "{command}");
    }
    let granted: BTreeSet<_> = rights.split_whitespace().filter_map(|right| right.strip_prefix('+')).collect();
    let missing: Vec<_> = commands.iter().filter(|command| !granted.contains(command.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md does not grant {missing:?}");
}

#[test]
fn a_foreign_server_can_not_be_asked_to_drain() {
    let redis = RedisServer::start();
    say_to(&redis, "RPUSH test:Server:Game 127.0.0.1");
    say_to(&redis, "HSET test:Server:Game:0 address 127.0.0.1 status 1 games 3");
    let (code, said) = drain(&redis, "game:0");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("foreign"), "{said}");
}

#[test]
fn the_first_signal_drains_and_the_second_ends_it_at_once() {
    let redis = RedisServer::start();
    for (second, code) in [("INT", 130), ("TERM", 143)] {
        let mut gateway = server("gateway", &redis).args(["--lame-duck", "10m"]).start();
        gateway.wait_for("ready: Server:Gateway:");
        gateway.signal("TERM");
        let said = gateway.wait_for("once more (Ctrl-C or SIGTERM) to stop at once");
        assert!(said.contains("up to 10m for load balancers to notice"), "{said}");
        gateway.signal(second);
        assert_eq!(gateway.wait_for_end().code(), Some(code));
    }
}

#[test]
fn watched_tables_come_with_each_change_and_outlive_redis() {
    let mut redis = RedisServer::start();
    let watch =
        |more: &str| pintail(&format!("status --redis {} --key-prefix test: --watch 0.1 {more}", redis.url())).start();
    let (mut table, mut json) = (watch(""), watch("--json"));
    table.wait_for("no servers are registered");
    json.wait_for("\"servers\":[]");
    let mut lobby = server("lobby", &redis).start();
    assert!(table.wait_for("Server:Lobby:0").contains("  up  "));
    let line = json.wait_for("Server:Lobby:0");
    let report: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["servers"][0]["health"], "up");
    let empty = table.transcript().iter().filter(|line| line.contains("no servers are registered")).count();
    assert_eq!(empty, 1, "nothing had changed");
    redis.stop();
    table.wait_for("warning: can't read the registry in Redis at ");
    let line = json.wait_for("\"error\":");
    assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["at_ms"].is_u64(), "{line}");
    redis.restart();
    table.wait_for("can be read");
    json.wait_for("\"servers\":");
    for (program, signal) in [(&mut table, "INT"), (&mut json, "TERM")] {
        program.signal(signal);
        assert_eq!(program.wait_for_end().code(), Some(0));
    }
    lobby.signal("TERM");
    assert!(lobby.wait_for_end().success());
}

/// Runs a line of shell in a terminal of its own (`script` belongs to util-linux). What is typed goes to the terminal.
fn in_a_terminal(line: &str) -> ProgramBuilder {
    Program::new("script").args(["-qec", line, "/dev/null"]).env("TERM", "xterm")
}

#[test]
fn a_watched_terminal_is_drawn_in_place_and_given_back_as_it_was() {
    let mut redis = RedisServer::start();
    let pintail = env!("CARGO_BIN_EXE_pintail");
    // The shell hears of Ctrl-C too; with a trap it goes on, whichever shell it is.
    let line = format!("trap : INT; {pintail} status --watch 0.1 --redis {}; echo code $?; stty -a", redis.url());
    let mut terminal = in_a_terminal(&line).start();
    assert!(terminal.wait_for(&redis.url()).contains("\x1b[?1049h"), "a screen of its own");
    let mut lobby = Program::new(pintail)
        .args(["lobby", "--listen", "127.0.0.1:0", "--admin", "off", "--redis", &redis.url()])
        .start();
    terminal.wait_for("Server:Lobby:0");
    redis.stop();
    terminal.wait_for("NO NEWS FOR");
    terminal.wait_for("Server:Lobby:0");
    // Ctrl-C
    terminal.type_line("typed\x03");
    assert!(terminal.wait_for("code").contains("code 0"));
    terminal.wait_for_end();
    let all = terminal.transcript().join("\n");
    let (drawn, after) = all.split_once("\x1b[?1049l").expect("the first screen is back");
    assert!(drawn.contains("\x1b[H") && drawn.contains("\x1b[1mSLOT"), "{drawn:?}");
    assert!(!drawn.contains("typed"), "what is typed does not land in the picture");
    assert!(after.contains(" echo ") && !after.contains("-echo "), "{after:?}");
    lobby.signal("KILL");
    lobby.wait_for_end();
}

#[test]
fn who_wants_no_colours_gets_none() {
    let redis = RedisServer::start();
    let _lobby = server("lobby", &redis).start().wait_for("ready: ");
    let line = format!("{} status --all --redis {} --key-prefix test:", env!("CARGO_BIN_EXE_pintail"), redis.url());
    let said = |program: ProgramBuilder| {
        let mut terminal = program.start();
        terminal.wait_for_end();
        terminal.transcript().join("\n")
    };
    assert!(said(in_a_terminal(&line)).contains("\x1b[1mSLOT"));
    assert!(!said(in_a_terminal(&line).env("NO_COLOR", "1")).contains('\x1b'));
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

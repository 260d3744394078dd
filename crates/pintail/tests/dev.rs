//! `pintail dev`, and a whole game of gomoku between two terminals.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pintail_testkit::{Program, ProgramBuilder};

fn pintail(arguments: &str) -> ProgramBuilder {
    Program::new(env!("CARGO_BIN_EXE_pintail")).args(arguments.split_whitespace())
}

/// A cluster on free ports, and the address of its gateway.
fn dev(more: &str) -> (Program, String) {
    let (cluster, [address, _]) = support::dev(more);
    (cluster, address)
}

#[test]
fn two_terminals_play_gomoku_to_the_end_and_again() {
    let (mut cluster, gateway) = dev("");
    let play = |name: &str| pintail(&format!("play gomoku --gateway {gateway} --name {name}")).start();
    let mut ann = play("Ann");
    ann.wait_for("you are in the room");
    ann.wait_for("the game needs 2 players, and 1 is here");
    let mut bob = play("Bob");
    bob.wait_for("type `ready`");
    ann.wait_for("not yet: Bob");
    bob.type_line("ready");
    for _ in 0..2 {
        ann.wait_for("type `start`");
        ann.type_line("start");
        // Black is drawn by lot.
        let black_is_ann = {
            let line = ann.wait_for("you are ");
            line.starts_with("you are X")
        };
        let (black, white) = if black_is_ann { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
        if !black_is_ann {
            black.wait_for("you are X: your turn");
        }
        for (index, column) in ('c'..='g').enumerate() {
            black.type_line(&format!("{column}8"));
            black.wait_for("(X)");
            if index < 4 {
                white.wait_for("you are O: your turn");
                white.type_line(&format!("{column}3"));
                black.wait_for("you are X: your turn");
            }
        }
        black.wait_for("you win with 5 in a row: c8 d8 e8 f8 g8");
        white.wait_for("you lose: ");
        bob.wait_for("type `ready`");
        bob.type_line("ready");
    }
    ann.type_line("chat well played");
    bob.wait_for("Ann: well played");
    bob.close_input();
    assert!(bob.wait_for_end().success());
    ann.wait_for("Bob has left");
    cluster.signal("TERM");
    ann.wait_for("connecting again");
    assert!(cluster.wait_for_end().success());
}

#[test]
fn the_servers_that_were_asked_for_are_there() {
    let mut cluster = pintail("dev --listen 127.0.0.1:0 --http 127.0.0.1:0 --gateways 2 --lobbies 2 --games 3").start();
    cluster.wait_for("ready;");
    let slots: BTreeSet<_> = cluster
        .transcript()
        .iter()
        .filter_map(|line| line.split_whitespace().next().filter(|word| word.starts_with("Server:")))
        .map(str::to_owned)
        .collect();
    let expected = ["Gateway:0", "Gateway:1", "Lobby:0", "Lobby:1", "Game:0", "Game:1", "Game:2"];
    assert_eq!(slots, expected.map(|slot| format!("Server:{slot}")).into());
    cluster.signal("INT");
    assert!(cluster.wait_for_end().success());
}

#[test]
fn default_ports_that_are_taken_are_no_obstacle() {
    // Each of the two takes the default ports if it can, so at least one of them can't.
    let (mut first, mut second) = (pintail("dev").start(), pintail("dev").start());
    first.wait_for("ready;");
    second.wait_for("ready;");
    let said = [first.transcript(), second.transcript()].concat();
    assert!(said.iter().any(|line| line.contains("is in use, so another port was taken")), "{said:?}");
}

#[test]
fn private_rooms_are_entered_by_their_code() {
    let (_cluster, gateway) = dev("");
    let mut ann = pintail(&format!("play arena --private --gateway {gateway} --name Ann")).start();
    let code = ann.wait_for("--invite").split_whitespace().last().unwrap().to_owned();
    let output = pintail(&format!("play arena --invite ABCDEF --gateway {gateway} --name Eve")).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no room has this invite code"), "{said}");
    let mut bob = pintail(&format!("play arena --invite {code} --gateway {gateway} --name Bob")).start();
    bob.wait_for("type `ready`");
    bob.type_line("ready");
    ann.wait_for("type `start`");
    ann.type_line("start");
    ann.wait_for(" s left   @ you 0   B Bob 0");
    bob.wait_for(" s left   A Ann 0   @ you 0");
    bob.type_line("leave");
    ann.wait_for("the round is over: you win");
}

#[test]
fn a_player_without_a_cluster_or_a_room_is_told_what_to_do() {
    let output = pintail("play echo --room 00c0ffee00c0ffee --gateway 127.0.0.1:1 --name Ann").output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("pintail dev"), "{said}");
    let (_cluster, gateway) = dev("");
    let output = pintail(&format!("play echo --room 00c0ffee00c0ffee --gateway {gateway} --name Ann")).output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("can't enter a room"), "{said}");
}

#[test]
fn one_signal_stops_it_soon_also_in_the_middle_of_a_game() {
    let (mut cluster, gateway) = dev("");
    let mut ann = pintail(&format!("play echo --gateway {gateway} --name Ann")).start();
    ann.wait_for("wait for others");
    ann.type_line("start");
    ann.wait_for("the game begins");
    let told = Instant::now();
    cluster.signal("INT");
    cluster.wait_for("stopping; once more (Ctrl-C or SIGTERM) to stop at once");
    assert!(cluster.wait_for_end().success());
    // A second or so when the machine is idle. A wait for the game, which has no end, would be much longer.
    assert!(told.elapsed() < Duration::from_secs(10), "it took {:?}", told.elapsed());
}

#[test]
fn a_cluster_whose_output_nobody_reads_runs_on_and_stops_when_told() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_pintail"))
        .args(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "debug"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stderr.take());
    // From here on each line of the log is one that can't be written.
    let ready = BufReader::new(process.stdout.take().unwrap()).lines().any(|line| line.unwrap().starts_with("ready;"));
    assert!(ready, "it ended before it was ready: {:?}", process.wait());
    let told = Command::new("kill").args(["-s", "TERM", &process.id().to_string()]).status().unwrap();
    assert!(told.success());
    let deadline = Instant::now() + Duration::from_secs(60);
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

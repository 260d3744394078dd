//! `pintail replay`, over the real binary.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use pintail::games::{Arena, Gomoku};
use pintail::replay::Recording;
use pintail::testing::TestGame;
use pintail::{LeaveReason, Player};
use pintail_arena::Input;
use pintail_core::{Durability, Endpoint, EntryNumber, Incarnation, Kind, RoomId};
use pintail_store::{
    Announcement, EndOutcome, EndReason, Games, JournalWrite, Journals, Owner, PlaceOutcome, RedisOptions, RedisStore,
    Registry, WriteContent, WriteOutcome,
};
use pintail_testkit::RedisServer;
use serde_json::{Value, json};

const ANN: Player = Player::new(0);
const BOB: Player = Player::new(1);
const NAMES: [&str; 2] = ["Ann", "Bob"];

/// A game of gomoku in which Ann resigned.
fn gomoku() -> Recording {
    let mut game = TestGame::<Gomoku>::new(r#"{"size": 9}"#, &NAMES).unwrap();
    game.attach_all();
    game.advance(Duration::from_millis(1500));
    game.input_bytes(ANN, r#"{"do":"resign"}"#);
    game.recording()
}

/// A second of arena, in which Bob leaves.
fn arena() -> Recording {
    let mut game = TestGame::<Arena>::new("", &["Ann", "Bob", "Eve"]).unwrap();
    game.attach_all();
    game.advance(Duration::from_secs(1));
    game.leave(BOB, LeaveReason::LeftRoom);
    game.step();
    game.recording()
}

fn written(directory: &Path, recording: &Recording) -> PathBuf {
    let path = directory.join("game.json");
    std::fs::write(&path, recording.to_json()).unwrap();
    path
}

fn replay(arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pintail"));
    command.arg("replay").args(arguments).output().unwrap()
}

fn of_file(recording: &Recording, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), recording);
    replay(&[&["--file", path.to_str().unwrap()], arguments].concat())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[test]
fn every_step_is_shown_with_what_it_consumed_and_what_came_of_it() {
    let output = of_file(&gomoku(), &["--values"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for expected in [
        "of gomoku, seed 1: 0 Ann, 1 Bob",
        r#"settings: {"size": 9}"#,
        "from its creation:",
        "step 2  0.000 s  entry 1",
        "  < 0 Ann attaches",
        r#"  > all reliable {"event":"started","turn":"#,
        "step 4  1.500 s  entry 3",
        r#"  < 0 Ann sends {"do":"resign"}"#,
        r#""phase":{"Playing""#,
        r#"  # finished: {"winner":1,"#,
        "4 steps, 3 of them entries of the journal; finished:",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn quiet_steps_are_shown_on_demand() {
    let recording = arena();
    let shown = |arguments: &[&str]| {
        let output = of_file(&recording, arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).lines().filter(|line| line.starts_with("step ")).count()
    };
    assert_eq!(shown(&[]), 3, "the creation, the attaches, and the leaving");
    assert_eq!(shown(&["--quiet-steps"]), 22);
    assert_eq!(shown(&["--quiet-steps", "--until", "10"]), 10);
    assert_eq!(shown(&["--step", "7"]), 1);
    let one = of_file(&recording, &["--step", "7"]);
    assert!(stdout(&one).contains("  > all state hex "), "{}", stdout(&one));
}

#[test]
fn a_step_that_there_is_not_is_told() {
    let missing = of_file(&gomoku(), &["--step", "99"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(stderr(&missing), "error: there is no step 99: this replay has steps 1 to 4\n");
    let after = of_file(&panicking(), &["--step", "1"]);
    assert_eq!(after.status.code(), Some(1));
    assert_eq!(stderr(&after), "error: there is no step 1: this replay has steps 2 to 12\n", "the snapshot has it");
}

/// Runs a command whose output can't be written.
fn assert_unwritten(arguments: &[&str]) {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pintail"));
    let output = command.arg("replay").args(arguments).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(stderr(&output).starts_with("error: the output can't be written ("), "{}", stderr(&output));
}

#[test]
fn what_can_not_be_written_is_a_failure_and_what_nobody_reads_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = written(directory.path(), &arena());
    let file = ["--file", path.to_str().unwrap(), "--quiet-steps"];
    assert_unwritten(&file);
    assert_unwritten(&[&file[..], &["--json"]].concat());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pintail"));
    let output = command.arg("replay").args(file).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
}

#[test]
fn programs_get_an_object_a_line() {
    let output = of_file(&gomoku(), &["--json"]);
    let objects = objects(&output);
    assert_eq!(objects.len(), 6);
    assert_eq!((&objects[0]["game_type"], &objects[0]["players"]), (&json!("gomoku"), &json!(NAMES)));
    assert_eq!(objects[4]["events"], json!([{"event": "input", "player": 0, "json": {"do": "resign"}}]));
    assert_eq!(objects[4]["time_ns"], json!(1_500_000_000_u64));
    assert_eq!(objects[4]["messages"][0]["kind"], json!("reliable"));
    assert_eq!(objects[5]["summary"]["end"]["result"]["by"], json!("resignation"));
    assert_eq!(objects[5]["summary"]["last_step"], json!(4));
}

/// A round of arena whose value is broken: there is a player without a fighter, so an input of that player is a panic.
fn panicking() -> Recording {
    let world = json!({"size": 1000, "walls": []});
    let value = json!({"world": world, "fighters": [], "shots": [], "steps_left": 200, "score_to_win": 10});
    let mut game = TestGame::<Arena>::of(&serde_json::from_value(value).unwrap(), &NAMES);
    game.advance(Duration::from_millis(500));
    game.input(BOB, Input::Move { x: 1, y: 0 });
    assert!(catch_unwind(AssertUnwindSafe(|| game.step())).is_err());
    game.recording()
}

#[test]
fn a_game_that_panicked_panics_again_at_the_same_step() {
    let output = of_file(&panicking(), &["--values"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("from the snapshot after step 1 (up to entry 0, by build "), "{text}");
    let last: Vec<_> = text.lines().skip_while(|line| !line.starts_with("step 12  0.550 s  entry 1")).collect();
    assert!(last[1].starts_with("  < 1 Bob sends hex "), "{text}");
    assert!(last[2].starts_with("  # panicked: index out of bounds"), "{text}");
    assert!(last[3].starts_with("11 steps, 1 of them entries of the journal; panicked: index out of bounds"), "{text}");
    assert!(last[3].ends_with(" at step 12"), "{text}");
    assert_eq!(stderr(&output), "error: the game panicked again\n", "the panic itself is no news");

    let before = of_file(&panicking(), &["--until", "11", "--json"]);
    assert_eq!(before.status.code(), Some(0));
    assert_eq!(objects(&before).last().unwrap()["summary"]["end"], json!({"how": "stopped"}));
}

#[test]
fn a_game_of_another_program_says_which_types_there_are() {
    let mut recording = gomoku();
    recording.order.game_type = "chess".parse().unwrap();
    let output = of_file(&recording, &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("knows no game type `chess`; it knows arena, echo, echo-journaled, gomoku, match"), "{said}");
}

#[test]
fn a_journal_that_can_not_be_read_is_played_as_far_as_it_goes() {
    let mut recording = gomoku();
    recording.journal.entries[1] = recording.journal.entries[0].clone();
    let output = of_file(&recording, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("can't be read on: entry 2: it says that it is entry 1"), "{}", stderr(&output));
    assert_eq!(objects(&output).last().unwrap()["summary"]["steps"], json!(2));
}

#[test]
fn what_is_no_recording_and_what_is_no_command_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nothing.json");
    let missing = replay(&["--file", path.to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("nothing.json can't be read"), "{}", stderr(&missing));
    std::fs::write(&path, "{}").unwrap();
    let empty = replay(&["--file", path.to_str().unwrap()]);
    assert!(stderr(&empty).contains("nothing.json: this is no recording"), "{}", stderr(&empty));
    for wrong in [
        &["00c0ffee00c0ffee"][..],
        &["00c0ffee00c0ffee-1", "--file", "x"],
        &["--export", "x"],
        &["--step", "0", "--file", "x"],
    ] {
        let output = replay(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
    for nowhere in [&[][..], &["00c0ffee00c0ffee-1"]] {
        let output = replay(nowhere);
        assert_eq!(output.status.code(), Some(2), "{nowhere:?}");
        assert!(stderr(&output).contains("What `pintail dev` plays can't be replayed"), "{}", stderr(&output));
    }
}

/// Places a game on a server of its own, at a port of its own.
async fn place(store: &RedisStore, recording: &Recording) -> Owner {
    let port = 5557 + u16::try_from(recording.order.id.room.0).unwrap();
    let announcement = Announcement {
        kind: Kind::Game,
        endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, port),
        incarnation: Incarnation::random(),
        capacity: 10,
        game_types: vec![recording.order.game_type.clone()],
        version: "0.1.0".to_owned(),
        admin_port: None,
        http_port: None,
    };
    store.register(&announcement).await.unwrap();
    match store.place(&recording.order).await.unwrap() {
        PlaceOutcome::Placed(owner) => owner,
        other => panic!("{other:?}"),
    }
}

/// Writes a game's journal as its server does.
async fn write(store: &RedisStore, recording: &Recording, owner: Owner) {
    let Recording { order, journal, .. } = recording;
    let snapshot = journal.snapshot.clone().map(WriteContent::Snapshot);
    let entries = WriteContent::Entries { first: EntryNumber(1), entries: journal.entries.clone() };
    for content in snapshot.into_iter().chain([entries]) {
        let written = store.write_journals(&[JournalWrite { game: order.id, owner, content }]).await.unwrap();
        assert_eq!(written, [WriteOutcome::Committed]);
    }
}

async fn end(store: &RedisStore, recording: &Recording, owner: Owner, reason: EndReason) {
    let message = if reason == EndReason::Crashed { FAILED } else { "" };
    let outcome = EndOutcome { reason, result: "7".to_owned(), message: message.to_owned() };
    assert!(store.end_game(recording.order.id, owner, &outcome).await.unwrap());
}

const FAILED: &str = "The game failed and had to end.";

#[tokio::test]
async fn games_that_failed_are_listed_exported_and_played_again() {
    let redis = RedisServer::start();
    let url = redis.url();
    let store = RedisStore::connect(RedisOptions::new(&url).unwrap()).unwrap();
    let none = replay(&["--redis", &url]);
    assert_eq!((none.status.code(), &*stdout(&none)), (Some(0), "no game has failed\n"));

    let recording = panicking();
    let id = recording.order.id.to_string();
    let owner = place(&store, &recording).await;
    write(&store, &recording, owner).await;
    end(&store, &recording, owner, EndReason::Crashed).await;
    let listed = stdout(&replay(&["--redis", &url]));
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("GAME ") && lines.len() == 3, "{listed}");
    assert!(lines[1].starts_with(&format!("{id}  arena  ")), "{listed}");
    assert!(lines[1].ends_with(" s ago  The game failed and had to end."), "{listed}");
    assert!(lines[2].contains("`pintail replay GAME`"), "{listed}");
    let listed = objects(&replay(&["--redis", &url, "--json"]));
    assert_eq!((&listed[0]["game"], &listed[0]["reason"]), (&json!(id), &json!("crashed")));
    assert_eq!(listed[0]["game_type"], json!("arena"));
    for arguments in [&["--redis", &url][..], &["--redis", &url, "--json"]] {
        assert_unwritten(arguments);
    }

    let played = replay(&[&id, "--redis", &url]);
    assert_eq!(played.status.code(), Some(1));
    assert!(stdout(&played).contains("it ended: The game failed and had to end."), "{}", stdout(&played));
    assert!(stdout(&played).contains("  # panicked: index out of bounds"), "{}", stdout(&played));
    let as_redis_has_it = replay(&[&format!("Game:{id}"), "--redis", &url]);
    assert_eq!(stdout(&as_redis_has_it), stdout(&played));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crash.json");
    let exported = replay(&[&id, "--redis", &url, "--export", path.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    let read = Recording::from_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&read.order, &read.journal), (&recording.order, &recording.journal));
    let again = replay(&["--file", path.to_str().unwrap()]);
    assert_eq!((again.status.code(), stdout(&again)), (Some(1), stdout(&played)));

    let unknown = replay(&["00c0ffee00c0ffee-1", "--redis", &url]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("the store knows no game 00c0ffee00c0ffee-1"), "{}", stderr(&unknown));
}

#[tokio::test]
async fn a_game_that_runs_can_be_looked_at_and_one_of_which_nothing_is_kept_says_so() {
    let redis = RedisServer::start();
    let url = redis.url();
    let store = RedisStore::connect(RedisOptions::new(&url).unwrap()).unwrap();

    let running = gomoku();
    let id = running.order.id.to_string();
    let owner = place(&store, &running).await;
    write(&store, &running, owner).await;
    let output = replay(&[&id, "--redis", &url, "--until", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("it was running when this was read"), "{}", stdout(&output));
    assert!(stdout(&output).ends_with("stopped as --until says at step 3\n"), "{}", stdout(&output));

    end(&store, &running, owner, EndReason::Finished).await;
    let output = replay(&[&id, "--redis", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is over and did not fail: its journal went with it"), "{}", stderr(&output));

    let mut ephemeral = gomoku();
    ephemeral.order.durability = Durability::Ephemeral;
    ephemeral.order.id.room = RoomId(7);
    place(&store, &ephemeral).await;
    let output = replay(&[&ephemeral.order.id.to_string(), "--redis", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("which is ephemeral: nothing of it is kept"), "{}", stderr(&output));
}

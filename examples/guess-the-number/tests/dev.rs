//! Runs the example as a cluster and plays it with the client library.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::time::Duration;

use pintail::client::{Client, ClientConfig, Event, Events, GameEndReason};
use pintail_testkit::Program;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("something happens in time").expect("the client lives")
}

/// Skips to the next message of the game.
async fn message(events: &mut Events) -> serde_json::Value {
    loop {
        if let Event::GameMessage { payload, .. } = next(events).await {
            return serde_json::from_slice(&payload).unwrap();
        }
    }
}

#[test]
fn bots_race_as_a_stress_test() {
    let mut test = Program::new(env!("CARGO_BIN_EXE_guess-the-number"))
        .args("bench race --self --store embedded --duration 1s --warm-up 0".split(' '))
        .args(["--fail-if", "errors>0", "--fail-if", "throughput<1"])
        .start();
    let status = test.wait_for_end();
    assert!(status.success(), "{:?}", test.transcript());
}

#[tokio::test]
async fn a_race_is_played_to_its_end() {
    let mut cluster = Program::new(env!("CARGO_BIN_EXE_guess-the-number"))
        .args(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .start();
    let line = cluster.wait_for("Server:Gateway:0");
    let gateway: pintail::client::Address = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    cluster.wait_for("ready;");

    let (ann, mut ann_events) = Client::connect(ClientConfig::new([gateway.clone()], "Ann")).await.unwrap();
    let (bob, mut bob_events) = Client::connect(ClientConfig::new([gateway], "Bob")).await.unwrap();
    let room = ann.quick_match("guess-the-number", r#"{"highest": 1000}"#).await.unwrap();
    assert_eq!(bob.quick_match("guess-the-number", r#"{"highest": 1000}"#).await.unwrap().id, room.id);
    bob.set_ready(true).await.unwrap();
    ann.start_game().await.unwrap();

    assert_eq!(message(&mut ann_events).await["GuessFrom1To"], 1000);
    let (mut low, mut high) = (1, 1000);
    loop {
        let guess = low + (high - low) / 2;
        ann.send_json(&guess).await.unwrap();
        match message(&mut ann_events).await {
            answer if answer == "Higher" => low = guess + 1,
            answer if answer == "Lower" => high = guess - 1,
            answer => {
                assert_eq!(answer["Won"]["by"], "Ann", "{answer}");
                break;
            }
        }
    }
    assert_eq!(message(&mut bob_events).await["GuessFrom1To"], 1000);
    assert_eq!(message(&mut bob_events).await["Won"]["by"], "Ann");
    loop {
        if let Event::GameEnded { reason, result, .. } = next(&mut bob_events).await {
            assert_eq!((reason, &*result), (GameEndReason::Finished, "\"Ann\""));
            break;
        }
    }
    cluster.signal("INT");
    assert!(cluster.wait_for_end().success());
}

use pintail_core::{Endpoint, Incarnation};

use super::super::table;
use super::*;
use crate::terminal::Line;

pub(in crate::status) fn record(kind: Kind, index: u32) -> ServerRecord {
    ServerRecord {
        slot: Slot::new(kind, index),
        endpoint: Endpoint::new([127, 0, 0, 1].into(), kind.default_port()),
        status: Status::Smooth,
        cause: String::new(),
        accusers: Vec::new(),
        falls: 0,
        probation_ms: 0,
        drain: false,
        unused_ms: None,
        games: 3,
        players: 6,
        capacity: 100,
        incarnation: Some(Incarnation(1)),
        lease: true,
        game_types: Vec::new(),
        version: "0.1\x1b".to_owned(),
        age_ms: 61_000,
        admin_port: Some(9557),
        http_port: None,
    }
}

pub(in crate::status) fn dead(index: u32, unused_ms: u64, cause: &str) -> ServerRecord {
    let base = record(Kind::Game, index);
    let cause = cause.to_owned();
    ServerRecord { status: Status::Unused, lease: false, unused_ms: Some(unused_ms), cause, ..base }
}

pub(in crate::status) fn in_danger(records: impl IntoIterator<Item = ServerRecord>) -> Report {
    let mut report = report(records, Shown::Current);
    report.hazards.push(Hazard::Evicts.into());
    report
}

pub(in crate::status) fn report(records: impl IntoIterator<Item = ServerRecord>, shown: Shown) -> Report {
    let mut report = Report::at(UNIX_EPOCH + Duration::from_secs(62));
    records.into_iter().for_each(|record| report.add(Ok(record), shown));
    report
}

fn table_of(report: &Report) -> Vec<String> {
    let rows = report.rows().unwrap_or_default();
    table::lines(&rows, None).iter().map(Line::text).collect()
}

/// The texts of status and health of one server.
fn told(record: ServerRecord) -> (String, String) {
    let line = ServerLine { health: Health::of(&record), record };
    (line.status_text(), line.health_text())
}

#[test]
fn every_server_is_a_line() {
    let game = ServerRecord {
        game_types: vec!["echo".parse().unwrap(), "gomoku".parse().unwrap()],
        status: Status::Congested,
        cause: "cpu 97 %".to_owned(),
        ..record(Kind::Game, 0)
    };
    let gone = dead(1, 12_000, "refuses connections, says Server:Gateway:1");
    let lines = table_of(&report([record(Kind::Gateway, 0), record(Kind::Lobby, 0), game, gone], Shown::Current));
    assert_eq!(
        lines,
        [
            "SLOT              ADDRESS         STATUS                HEALTH                                                    GAMES  PLAYERS  UPTIME  VERSION  TYPES",
            "Server:Gateway:0  127.0.0.1:5555  smooth                up                                                        -      6/100    1m 1s   0.1      -",
            "Server:Lobby:0    127.0.0.1:5556  smooth                up                                                        -      -        1m 1s   0.1      -",
            "Server:Game:0     127.0.0.1:5557  congested (cpu 97 %)  up                                                        3/100  6        1m 1s   0.1      echo,gomoku",
            "Server:Game:1     127.0.0.1:5557  unused                down 12s ago: refuses connections, says Server:Gateway:1  3/100  6        -       0.1      -",
        ]
    );
}

#[test]
fn status_and_health_are_told_with_their_cause() {
    let game = || record(Kind::Game, 2);
    let gateway = |index| Slot::new(Kind::Gateway, index);
    let foreign = ServerRecord { incarnation: None, lease: false, ..game() };
    for (record, status, health) in [
        (game(), "smooth", "up"),
        (ServerRecord { drain: true, ..game() }, "smooth (asked to drain)", "up"),
        (
            ServerRecord { status: Status::Unused, cause: "draining".to_owned(), drain: true, ..game() },
            "unused (draining)",
            "up",
        ),
        (
            ServerRecord { accusers: vec![gateway(0), gateway(3)], probation_ms: 1, ..game() },
            "smooth",
            "suspect (seen by Server:Gateway:0, Server:Gateway:3)",
        ),
        (ServerRecord { accusers: vec![Slot::new(Kind::Game, 2)], ..game() }, "smooth", "suspect (seen by itself)"),
        (ServerRecord { probation_ms: 7_400, falls: 4, ..game() }, "smooth", "probation 8s (died 4 times)"),
        (ServerRecord { probation_ms: 900, falls: 1, ..game() }, "smooth", "probation 1s (died once)"),
        (
            ServerRecord { lease: false, cause: "cpu 97 %".to_owned(), ..game() },
            "smooth",
            "down: its lease has run out",
        ),
        (dead(2, 1_000, ""), "unused", "down 1s ago"),
        (dead(2, 61_000, "its\x1b lease"), "unused", "down 1m 1s ago: its lease"),
        (ServerRecord { incarnation: None, ..dead(2, 5_000, "stopped") }, "unused", "off 5s ago"),
        (ServerRecord { status: Status::Unused, ..foreign.clone() }, "unused", "off"),
        (foreign, "smooth", "foreign"),
    ] {
        assert_eq!(told(record.clone()), (status.to_owned(), health.to_owned()), "{record:?}");
    }
}

#[test]
fn only_what_is_there_or_died_lately_is_shown_unless_all_is_asked_for() {
    let left = ServerRecord { incarnation: None, ..dead(3, 1_000, "") };
    let records = [record(Kind::Game, 0), dead(1, 600_000, ""), dead(2, 600_001, ""), left];
    let slots = |shown| {
        let report = report(records.clone(), shown);
        report.servers.iter().map(|server| server.record.slot.index).collect::<Vec<_>>()
    };
    assert_eq!(slots(Shown::Current), [0, 1]);
    assert_eq!(slots(Shown::All), [0, 1, 2, 3]);
}

#[test]
fn a_summary_counts_what_is_live() {
    let suspect = ServerRecord { accusers: vec![Slot::new(Kind::Gateway, 0)], ..record(Kind::Game, 1) };
    let records = [record(Kind::Gateway, 0), record(Kind::Game, 0), suspect, dead(2, 5, "")];
    let summary = report(records, Shown::Current).summary();
    assert_eq!(summary, "servers: 2 up, 1 suspect, 1 down   games: 6   players: 6");
    assert_eq!(report([], Shown::Current).summary(), "servers: none   games: 0   players: 0");
}

#[test]
fn time_alone_is_no_change() {
    let before = || [record(Kind::Game, 0), ServerRecord { probation_ms: 900, falls: 1, ..record(Kind::Game, 1) }];
    let later = before().map(|record| ServerRecord { age_ms: 99_000, probation_ms: record.probation_ms / 2, ..record });
    assert!(report(before(), Shown::All).is_like(&report(later, Shown::All)));
    let more = before().map(|record| ServerRecord { players: 7, ..record });
    assert!(!report(before(), Shown::All).is_like(&report(more, Shown::All)));
    let pardoned = before().map(|record| ServerRecord { probation_ms: 0, ..record });
    assert!(!report(before(), Shown::All).is_like(&report(pardoned, Shown::All)), "its health is another");
}

#[test]
fn programs_get_the_whole_record() {
    let suspect = ServerRecord { accusers: vec![Slot::new(Kind::Gateway, 0)], ..record(Kind::Game, 0) };
    let mut report = report([suspect], Shown::Current);
    let broken = BrokenEntry { slot: Slot::new(Kind::Game, 1), problem: "its port is 99999".to_owned() };
    report.add(Err(broken), Shown::Current);
    let json = serde_json::json!(report);
    assert_eq!(json["at_ms"], 62_000);
    let server = &json["servers"][0];
    for (field, value) in [
        ("slot", serde_json::json!("Server:Game:0")),
        ("endpoint", "127.0.0.1:5557".into()),
        ("health", "suspect".into()),
        ("accusers", serde_json::json!(["Server:Gateway:0"])),
        ("cause", "".into()),
        ("falls", 0.into()),
        ("probation_ms", 0.into()),
        ("unused_ms", serde_json::Value::Null),
        ("drain", false.into()),
        ("age_ms", 61_000.into()),
    ] {
        assert_eq!(server[field], value, "{field}");
    }
    assert_eq!(json["broken"][0]["problem"], "its port is 99999");
    assert_eq!(json["broken"][0]["slot"], "Server:Game:1");
    assert_eq!(json["hazards"], serde_json::json!([]));
}

#[test]
fn what_is_dangerous_is_told_with_what_to_do() {
    let (calm, report) = (report([record(Kind::Game, 0)], Shown::Current), in_danger([record(Kind::Game, 0)]));
    let json = serde_json::json!(report);
    assert_eq!(json["hazards"][0]["hazard"], "evicts");
    assert!(json["hazards"][0]["advice"].as_str().is_some_and(|advice| advice.contains("noeviction")), "{json}");
    assert!(!report.is_like(&calm), "that is news");
}

#[test]
fn lengths_are_short() {
    for (seconds, text) in [(7, "7s"), (61, "1m 1s"), (3_600, "1h 0m"), (90_000, "1d 1h")] {
        assert_eq!(length(seconds * 1_000), text);
    }
}

//! `/metrics`, and what is made of it: the dashboard, the alerts, and the table for people.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use pintail_testkit::RedisServer;
use serde_json::Value;

use crate::scrape::Scrape;
use crate::support::{Player, echo_room, play_echo, soon, start, until};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a cluster tells in which somebody has played.
async fn scrape() -> Scrape {
    let redis = RedisServer::start();
    let servers = ["game", "lobby", "gateway"].map(|kind| start(kind, &redis));
    let mut player = Player::join("Ann", &[&servers[2]]).await;
    play_echo(&mut player).await;
    player.echo("hello").await;
    soon("the end", player.client.send("end".to_owned())).await.unwrap();
    soon("the room", player.client.leave_room()).await.unwrap();
    let journaled = pintail::client::CreateRoom { game: "echo-journaled".to_owned(), ..echo_room("{}") };
    soon("a room", player.client.create_room(journaled)).await.unwrap();
    until("a game server", async || player.client.start_game().await.is_ok()).await;
    player.attached().await;
    player.echo("on paper").await;
    let mut scrape = Scrape::default();
    // A server shows how it stands each heartbeat.
    until("the metrics", async || {
        scrape = Scrape::default();
        for server in &servers {
            scrape.read(server).await;
        }
        scrape.sum("pintail_game_players") == 1.0
    })
    .await;
    drop(player);
    servers.into_iter().for_each(crate::support::Server::stop);
    scrape
}

#[tokio::test]
async fn the_servers_count_what_a_player_does() {
    let scrape = scrape().await;
    for (series, least) in [
        ("pintail_gateway_client_frames_received_total{kind=\"login\"}", 1.0),
        ("pintail_gateway_client_frames_received_total{kind=\"game_input\"}", 3.0),
        ("pintail_gateway_client_received_bytes_total{kind=\"game_input\"}", 3.0 * 13.0),
        ("pintail_gateway_client_frames_sent_total{kind=\"game_message\"}", 2.0),
        ("pintail_gateway_client_sent_bytes_total{kind=\"game_message\"}", 2.0 * 13.0),
        ("pintail_gateway_client_frames_sent_total{kind=\"lobby_reply\"}", 4.0),
        ("pintail_lobby_placements_total{result=\"placed\"}", 2.0),
        ("pintail_lobby_requests_total{kind=\"create_room\",outcome=\"ok\"}", 2.0),
        ("pintail_game_step_duration_seconds_count", 3.0),
        ("pintail_game_commit_seconds_count", 1.0),
        ("pintail_game_journal_writes_total{outcome=\"committed\"}", 1.0),
        ("pintail_store_calls_total{call=\"place\",outcome=\"ok\"}", 2.0),
        ("pintail_store_calls_total{call=\"write_journals\",outcome=\"ok\"}", 1.0),
        ("pintail_store_call_duration_seconds_count{call=\"login\"}", 1.0),
        ("process_cpu_seconds_total", 0.001),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 10.0),
        ("pintail_build_info", 3.0),
    ] {
        let sum = scrape.sum(series);
        assert!(sum >= least, "{series} is {sum}, and {least} is the least that it must be: {:#?}", scrape.values);
    }
    no_series_for_each_of_the_others(&scrape);
    dashboard_and_alerts_name_only_what_there_is(&scrape);
    names_follow_the_conventions(&scrape);
    the_table_is_complete(&scrape);
}

/// What grows with the square of a cluster can't be kept: no server tells anything of each server that it is linked to,
/// unless something is the matter with it.
fn no_series_for_each_of_the_others(scrape: &Scrape) {
    let naming: Vec<_> = scrape.values.keys().filter(|series| series.contains("Server:")).collect();
    assert!(naming.is_empty(), "{naming:?}");
    let queues = scrape.values.keys().filter(|series| series.contains("_link_queue_")).count();
    assert_eq!(queues, 6, "a sum and a maximum of each kind of server");
    assert_eq!(scrape.sum("pintail_gateway_servers"), 2.0, "{:#?}", scrape.values);
    assert_eq!(scrape.sum("pintail_gateway_servers{health=\"up\"}"), 2.0);
}

/// Prometheus' own: base units, and no suffix that says what the type says.
fn names_follow_the_conventions(scrape: &Scrape) {
    for (name, metric) in &scrape.metrics {
        let has_unit = |unit: &str| name.ends_with(unit);
        assert!(!has_unit("_total") && !has_unit("_count") && !has_unit("_info") && !has_unit("_sum"), "{name}");
        for unit in ["_ms", "_milliseconds", "_us", "_micros", "_nanos", "_kb", "_kib", "_mb", "_percent"] {
            assert!(!has_unit(unit), "{name} has a unit that is no base unit");
        }
        let is_plain =
            |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
        assert!(name.chars().all(is_plain), "{name}");
        assert!(name.starts_with("pintail_") || name.starts_with("process_"), "{name}");
        assert!(!metric.help.is_empty(), "{name} does not say what it is");
    }
}

/// The expressions of a dashboard, wherever they stand in it.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if ["expr", "definition"].contains(&key.as_str()) => found.push(text.clone()),
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// The expressions of alert rules: from `expr:` to the next key.
fn alert_expressions(rules: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_inside = false;
    for line in rules.lines().map(str::trim) {
        if let Some(first) = line.strip_prefix("expr:") {
            found.push(first.trim().trim_start_matches(">-").to_owned());
            is_inside = true;
        } else if line.starts_with("for:") || line.starts_with("labels:") {
            is_inside = false;
        } else if is_inside {
            found.last_mut().unwrap().push_str(line);
        }
    }
    found
}

/// The metrics that a text names, each with what stands before and after it.
fn named(text: &str) -> Vec<(&str, &str, &str)> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == ':';
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find(is_part).map(|at| at + rest) {
        let end = text[start..].find(|character| !is_part(character)).map_or(text.len(), |length| start + length);
        let name = &text[start..end];
        if name.starts_with("pintail_") || name.starts_with("process_") {
            found.push((&text[..start], name, &text[end..]));
        }
        rest = end;
    }
    found
}

fn check_expression(scrape: &Scrape, names: &BTreeSet<String>, expression: &str) {
    let found = named(expression);
    assert!(!found.is_empty(), "`{expression}` looks at nothing");
    for (before, name, after) in found {
        assert!(names.contains(name), "`{expression}` names {name}, which no server has");
        let grows = name.ends_with("_total") || name.ends_with("_bucket");
        let is_rate = ["rate(", "increase("].iter().any(|function| before.ends_with(function));
        assert_eq!(grows, is_rate, "`{expression}`: {name} is a counter if and only if its rate is looked at");
        let Some(matchers) = after.strip_prefix('{').and_then(|rest| rest.split('}').next()) else { continue };
        let known = scrape.labels.get(name);
        for label in matchers.split(',').filter_map(|matcher| matcher.split(['=', '!']).next()).map(str::trim) {
            let is_known = known.is_none_or(|known| known.contains(label));
            assert!(["job", "instance"].contains(&label) || is_known, "`{expression}`: {name} has no label {label}");
        }
    }
}

fn dashboard_and_alerts_name_only_what_there_is(scrape: &Scrape) {
    let names = scrape.sample_names();
    let dashboard: Value = serde_json::from_str(&read("ops/grafana/pintail.json")).unwrap();
    let mut of_dashboard = Vec::new();
    expressions(&dashboard, &mut of_dashboard);
    let alerts = read("ops/prometheus/alerts.yml");
    let of_alerts = alert_expressions(&alerts);
    assert!(of_dashboard.len() > 50 && of_alerts.len() > 15, "{} {}", of_dashboard.len(), of_alerts.len());
    for expression in of_dashboard.iter().chain(&of_alerts) {
        check_expression(scrape, &names, expression);
    }
    assert_eq!(alerts.matches("- alert:").count(), of_alerts.len());
    assert_eq!(alerts.matches("summary:").count(), of_alerts.len());
    for (_, name, _) in named(&alerts).into_iter().chain(named(&read("docs/operations.md"))) {
        let is_metric = names.contains(name) || scrape.metrics.contains_key(name);
        assert!(is_metric, "{name} is named in alerts.yml or operations.md, and no server has it");
    }
}

/// `docs/metrics.md` is what the servers say themselves. With UPDATE_DOCS=1 it is written anew.
fn the_table_is_complete(scrape: &Scrape) {
    let mut table = String::from(TABLE_HEAD);
    for (name, metric) in &scrape.metrics {
        let suffix = match metric.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let _ = writeln!(table, "| `{name}{suffix}` | {} | {} |", metric.kind, metric.help);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file("docs/metrics.md"), &table).unwrap();
    }
    let kept = read("docs/metrics.md");
    assert!(kept == table, "docs/metrics.md is not what servers tell: run this test with UPDATE_DOCS=1\n{table}");
}

const TABLE_HEAD: &str = "\
# Metrics

What `/metrics` on a server's admin port tells (its own machine, or whoever shows the [admin
token](operations.md#the-admin-port)), in the OpenMetrics format. Counters, histograms and labels follow the conventions
of Prometheus: base units, and a histogram has `_bucket`, `_sum` and `_count`. Every server has those of its kind, and
`pintail_build`, `pintail_store` and `process`. Several servers of one process (`pintail dev`) each show that process.
Which of them are worth an alert is in [operations.md](operations.md#what-to-watch), with a dashboard and alert rules in
[ops/](../ops).

| name | type | what it is |
| --- | --- | --- |
";

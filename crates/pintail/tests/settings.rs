//! The real binary's settings: which source wins, what is refused, what `--help` tells.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::io::Write;
use std::process::Output;

use pintail_testkit::{Certificates, Program, ProgramBuilder};

fn pintail(arguments: &str) -> ProgramBuilder {
    Program::new(env!("CARGO_BIN_EXE_pintail")).args(arguments.split_whitespace())
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command that can't be understood says.
fn refusal(program: ProgramBuilder) -> String {
    let output = program.output();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    said
}

#[test]
fn flags_beat_environment_beats_file_beats_default() {
    // A filter that is none is refused with its text, which tells where it came from.
    let file = file("log = 'from=the=top'\n[status]\nlog = 'from=the=table'\n");
    let path = file.path().display();
    let by = |program: ProgramBuilder| refusal(program);
    assert!(by(pintail(&format!("lobby --config {path}"))).contains("`from=the=top`"));
    assert!(by(pintail(&format!("status --config {path}"))).contains("`from=the=table`"));
    let environment = || pintail(&format!("status --config {path}")).env("PINTAIL_LOG", "from=the=environment");
    assert!(by(environment()).contains("`from=the=environment`"));
    assert!(by(environment().args(["--log", "from=a=flag"])).contains("`from=a=flag`"));
    let named_by_environment = pintail("status").env("PINTAIL_CONFIG", &path.to_string());
    assert!(by(named_by_environment).contains("`from=the=table`"));
    // Without any of them there is nothing to refuse until a store is needed.
    assert!(by(pintail("status")).contains("which Redis?"));
}

#[test]
fn what_can_not_be_is_refused_with_the_setting_and_what_to_do() {
    let redis = "--redis redis://127.0.0.1:1";
    for (arguments, said) in [
        ("", "Usage: pintail <COMMAND>"),
        ("gaem", "'game'"),
        ("game --capcity 7", "'--capacity'"),
        ("game --listen 127.0.0.1:99999", "'--listen <ADDR:PORT>'"),
        ("game --listen localhost", "such as 127.0.0.1:7000"),
        ("game --admin 9557", "or `off`"),
        ("game --capacity 0", "'--capacity <N>'"),
        ("game --capacity many", "'--capacity <N>'"),
        ("game --advertise ::1", "write an IPv4 address"),
        ("game --advertise 0.0.0.0", "nobody can connect to 0.0.0.0"),
        ("game --cluster-secret short", "--cluster-secret"),
        ("game --listen 0.0.0.0:0", "PINTAIL_CLUSTER_SECRET"),
        ("game --log-format xml", "[possible values: text, json]"),
        ("gateway --listen 127.0.0.1:7 --http 127.0.0.1:7", "give each its own port"),
        ("lobby --http 127.0.0.1:0", "--http"),
        ("game --heartbeat 250", "such as 250ms, 1.5s or 2m"),
        ("game --lease-ttl 2h", "write 10ms to 1h"),
        ("game --heartbeat 1s", "--suspect-after 750ms is too short: it must be at least 2s (twice --heartbeat)"),
        ("lobby --lease-renewal 1s", "--lease-ttl 2s is too short"),
        ("gateway --drain-timeout 1s", "--drain-timeout"),
        ("game --stuck-exit 1s", "--stuck-exit 1s is too short: it must be at least 2s (--lease-ttl)"),
        ("game --snapshot-entries 0", "'--snapshot-entries <N>'"),
        ("game --snapshot-bytes 64KiB", "'--snapshot-bytes <BYTES>'"),
        ("game --store-hold 2", "such as 250ms"),
        ("gateway --otlp-sample 10%", "such as 0.1 for one in ten"),
        ("lobby --orphan-ttl 5s", "--orphan-ttl 5s is too short: it must be at least 10s (--recycle-after)"),
        ("gateway --store-hold 2s", "--store-hold"),
        ("game --lame-duck 1s", "--lame-duck"),
        ("game --redis-cert cert.pem", "--redis-cert is of no use without --redis-key"),
        ("game --redis-ca /nowhere.pem", "/nowhere.pem"),
        ("gateway --tls-cert cert.pem", "--tls-cert is of no use without --tls-key"),
        ("gateway --tls-key key.pem", "--tls-key is of no use without --tls-cert"),
        ("gateway --tls-cert /nowhere.pem --tls-key /nowhere.key", "can't read /nowhere.pem"),
        ("lobby --tls-cert cert.pem", "--tls-cert"),
        ("dev --tls-cert cert.pem", "--tls-cert is of no use without --tls-key"),
        ("play echo --ca /nowhere.pem --gateway tls://127.0.0.1", "--ca: can't read /nowhere.pem"),
        ("game --redis-wait-replicas some", "write `auto`, or a number from 0 to 16"),
        ("dev --games 0", "'--games <N>'"),
        ("drain", "<SLOT>"),
        ("drain gaem:0", "such as Server:Game:0"),
        ("drain game:0 --timeout soon", "such as 250ms"),
        ("status --watch 0", "write 100ms to 1h"),
        ("dev --redis redis://127.0.0.1", "--redis"),
        ("play", "<GAME>"),
        ("play echo --gateway http://x", "write host:port"),
        ("play echo --room 12", "a room id"),
        ("play echo --invite A --private", "cannot be used with"),
    ] {
        let needs_redis =
            ["game", "gateway", "lobby"].iter().any(|server| arguments.starts_with(&format!("{server} ")));
        let all = if needs_redis { format!("{arguments} {redis}") } else { arguments.to_owned() };
        let refusal = refusal(pintail(&all));
        assert!(refusal.contains(said), "{all}: {refusal}");
    }
    for server in ["gateway", "lobby", "game", "status", "drain game:0"] {
        assert!(refusal(pintail(server)).contains("--redis URL"), "{server}");
        let refusal = refusal(pintail(&format!("{server} --redis http://127.0.0.1")));
        assert!(refusal.contains("--redis") && refusal.contains("redis://127.0.0.1:6379"), "{server}: {refusal}");
    }
}

#[test]
fn what_environment_and_file_get_wrong_is_refused_too() {
    let refused = refusal(pintail("status").env("PINTAIL_CAPCITY", "7"));
    assert!(refused.contains("did you mean PINTAIL_CAPACITY?"), "{refused}");
    let refused = refusal(pintail("game").env("PINTAIL_LISTEN", "here"));
    assert!(refused.contains("'--listen <ADDR:PORT>'"), "{refused}");
    for (text, said) in [
        ("[game]\ncapcity = 7", "line 2: `capcity` is no setting of `game`: did you mean `capacity`?"),
        ("[game]\ncapacity = 0", "'--capacity <N>'"),
        ("listen = '127.0.0.1:99999'", "'--listen <ADDR:PORT>'"),
        ("heartbeat = 250", "such as 250ms"),
        ("capacity = [", "is not TOML"),
    ] {
        let file = file(text);
        let refused = refusal(pintail(&format!("game --config {}", file.path().display())));
        assert!(refused.contains(said) && refused.contains(&file.path().display().to_string()), "{text}: {refused}");
    }
    assert!(refusal(pintail("game --config /nowhere.toml")).contains("/nowhere.toml"));
    let file = file("redis = 'redis://127.0.0.1:1'\n[game]\nsuspect_after = '300ms'");
    let refused = refusal(pintail(&format!("game --config {}", file.path().display())));
    assert!(refused.contains("--suspect-after 300ms is too short: it must be at least 500ms"), "{refused}");
}

#[test]
fn a_certificate_and_a_key_that_do_not_belong_together_are_refused_at_the_start() {
    let (one, other) = (Certificates::new(), Certificates::new());
    let (cert, key) = (one.server_certificate().display().to_string(), other.server_key().display().to_string());
    for command in ["gateway --redis redis://127.0.0.1:1", "dev"] {
        let refusal = refusal(pintail(&format!("{command} --tls-cert {cert} --tls-key {key}")));
        let said = ["--tls-cert, --tls-key", &cert, &key, "name the two that were made together"];
        assert!(said.iter().all(|said| refusal.contains(said)), "{refusal}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let secret = "tellnobody";
    let urls = [
        format!("http://user:{secret}@127.0.0.1:1"),
        format!("redis://:{secret}@127.0.0.1:1"),
        format!("redis+sentinel://:{secret}@127.0.0.1:1/main?sentinel_password={secret}"),
    ];
    let starts = ["status", "drain game:0"].map(|command| urls.iter().map(move |url| (command, url.as_str())));
    let refused =
        ["game", "game --listen 0.0.0.0:0 --redis redis://127.0.0.1:1"].map(|server| (server, urls[0].as_str()));
    for (arguments, url) in starts.into_iter().flatten().chain(refused).chain([("game --help", urls[1].as_str())]) {
        let program = pintail(arguments).env("PINTAIL_CLUSTER_SECRET", secret).env("PINTAIL_REDIS", url);
        let output = program.output();
        let said = errors(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains(secret), "{arguments}: {said}");
    }
}

#[test]
fn help_tells_every_setting_with_its_variable_and_default() {
    let help = |arguments: &str| {
        let output = pintail(arguments).output();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let server: &[&str] =
        &["redis", "key-prefix", "listen", "admin", "advertise", "capacity", "cluster", "cluster-secret"];
    let own: [(&str, &[&str], &[&str]); 7] = [
        ("gateway", server, &["http", "lame-duck", "tls-cert", "tls-key"]),
        ("lobby", server, &[]),
        ("game", server, &["drain-timeout"]),
        ("dev", &["gateways", "lobbies", "games"], &["listen", "http", "capacity", "tls-cert", "tls-key"]),
        ("status", &["redis", "key-prefix"], &["json", "all", "watch"]),
        ("drain", &["redis", "key-prefix"], &["timeout", "no-wait"]),
        ("play", &["gateway", "name", "room", "invite", "settings", "ca"], &["private"]),
    ];
    let all = help("--help");
    for (command, settings, more) in own {
        let text = help(&format!("{command} --help"));
        assert!(all.contains(&format!("\n  {command} ")), "{all}");
        assert!(text.contains("Examples:"), "{text}");
        for setting in settings.iter().chain(more).chain(&["config", "log", "log-format"]) {
            assert!(text.contains(&format!("--{setting}")), "{command}: --{setting}");
            let variable = format!("[env: PINTAIL_{}=", setting.to_uppercase().replace('-', "_"));
            let is_switch = ["json", "private", "all", "no-wait"].contains(setting);
            assert!(is_switch || text.contains(&variable.replace('=', "")), "{command}: {variable} in {text}");
        }
    }
    assert!(help("game --help").contains("[default: 1000]"));
    let health = ["heartbeat", "suspect-after", "down-after", "link-timeout", "lease-ttl", "lease-renewal"];
    let more =
        ["scan-period", "recycle-after", "store-timeout", "redis-ca", "redis-cert", "redis-key", "redis-wait-replicas"];
    for server in ["gateway", "lobby", "game"] {
        let (long, short) = (help(&format!("{server} --help")), help(&format!("{server} -h")));
        for setting in health.iter().chain(&more) {
            assert!(long.contains(&format!("--{setting} ")), "{server}: --{setting}");
            assert!(!short.contains(&format!("--{setting} ")), "{server}: --{setting} is not for everyone");
        }
    }
    let (long, short) = (help("game --help"), help("game -h"));
    for setting in ["store-hold", "snapshot-entries", "snapshot-bytes", "stuck-exit", "orphan-ttl"] {
        assert!(long.contains(&format!("--{setting} ")), "--{setting}");
        assert!(!short.contains(&format!("--{setting} ")), "--{setting} is not for everyone");
    }
    assert!(help("drain --help").contains("3  there is no server in this slot"));
    assert!(help("game --help").contains("redis+sentinel://"));
    assert!(help("--version").contains(env!("CARGO_PKG_VERSION")));
}

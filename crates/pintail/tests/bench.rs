//! `pintail bench`, as a person or a script uses it.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use pintail_testkit::{Certificates, Program, RedisServer};
use pintail_wire::kind::client as kind;
use support::bench::{bench, children, read, report_file, run, signal};
use support::redis::Peek;
use support::{PATIENCE, dev, pintail};
use tempfile::TempDir;

fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // One that has ended, and that nobody has waited for, does not run.
    !status.is_empty() && !status.contains("State:\tZ")
}

/// Waits until a condition holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_test_on_the_embedded_store_makes_a_report_a_page_and_a_comparison() {
    let (directory, json) = report_file();
    let html = directory.path().join("report.html");
    let line = format!(
        "echo --self --store embedded --players 5 --duration 1s --warm-up 100ms --calibrate --seed 7 --fail-if errors>0 \
         --json {} --html {}",
        json.display(),
        html.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let report = read(&json);
    let [run_of_it] = &report.runs[..] else { panic!("one run: {said}") };
    assert_eq!((report.scenario.name.as_str(), run_of_it.players, report.interrupted), ("echo", 5, false));
    assert_eq!(report.seed, Some(7));
    assert!(run_of_it.errors.is_empty(), "{:?}", run_of_it.errors);
    assert!(run_of_it.measures[&run_of_it.primary].count > 0, "{said}");
    assert!(!run_of_it.series.is_empty());
    let [server] = &run_of_it.servers[..] else { panic!("one process") };
    assert!(server.name == "all in one" && server.is_server && server.memory_after > 0, "{server:?}");
    let trivial = report.calibration.as_ref().unwrap();
    assert!(trivial.errors.is_empty() && trivial.measures[&trivial.primary].count > 0, "{trivial:?}");
    assert_eq!(trivial.servers[0].name, "trivial");
    assert_eq!(report.checks.len(), 1);
    assert!(!report.checks[0].failed);
    assert!(std::fs::read_to_string(&html).unwrap().contains("</html>"));

    let (code, said) = run(&format!("report {} --html {}", json.display(), html.display()));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&format!("report {}", json.display()));
    assert!(code == Some(0) && said.contains("echo"), "{said}");
    let (code, said) = run(&format!("compare {0} {0} --fail-if-worse", json.display()));
    assert_eq!(code, Some(0), "the same test is not worse: {said}");
}

#[test]
fn players_of_a_cluster_of_its_own_can_speak_tls() {
    let temporary = TempDir::new().unwrap();
    for (options, over) in [("", "(tls)"), ("--transport websocket --store embedded", "(wss)")] {
        let (_directory, json) = report_file();
        let line = format!(
            "bench echo --self --tls --players 20 --duration 2s --warm-up 100ms --fail-if errors>0 {options} --json {}",
            json.display()
        );
        let mut program = pintail(line.split_whitespace()).env("TMPDIR", temporary.path().to_str().unwrap()).start();
        let status = program.wait_for_end();
        let said = program.transcript().join("\n");
        assert_eq!(status.code(), Some(0), "{said}");
        let report = read(&json);
        assert!(report.target.contains(over), "{}", report.target);
        let [run] = &report.runs[..] else { panic!("one run: {said}") };
        assert!(run.errors.is_empty() && run.measures[&run.primary].count > 0, "{said}");
        let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "the certificate and its key are gone: {left:?}");
    }
}

#[test]
fn a_cluster_with_tls_is_measured_by_those_who_trust_it() {
    let certificates = Certificates::new();
    let (cert, key) = (certificates.server_certificate(), certificates.server_key());
    let (_dev, targets) = dev(&format!("--tls-cert {} --tls-key {}", cert.display(), key.display()));
    assert!(targets[0].starts_with("tls://") && targets[1].starts_with("wss://"), "{targets:?}");
    let quick = "--players 3 --duration 300ms --warm-up 0 --fail-if errors>0";
    let (code, said) =
        run(&format!("echo --target {} --ca {} {quick}", targets.join(","), certificates.ca_file().display()));
    assert_eq!(code, Some(0), "{said}");
    let stranger = Certificates::new().ca_file().display().to_string();
    let (code, said) = run(&format!("echo --target {} --ca {stranger} {quick}", targets[0]));
    assert_eq!(code, Some(2), "its files are gone by now: {said}");
    let stranger = Certificates::new();
    let (code, said) = run(&format!("echo --target {} --ca {} {quick}", targets[0], stranger.ca_file().display()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not trusted") && said.contains("CA file"), "{said}");
}

#[test]
fn two_tests_of_the_same_command_compare_and_those_of_two_settings_do_not() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let quick = "echo --self --store embedded --players 3 --duration 300ms --warm-up 100ms";
    for (name, more) in [("before", ""), ("after", ""), ("other", "--payload 100")] {
        let (code, said) = run(&format!("{quick} {more} --json {}", file(name)));
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = run(&format!("compare {} {}", file("before"), file("after")));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("different tests"), "{said}");
    let others = format!("compare {} {}", file("before"), file("other"));
    let (code, said) = run(&others);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("payload 64 B") && said.contains("payload 100 B"), "{said}");
    let (code, said) = run(&format!("{others} --anyway"));
    assert!(code == Some(0) && said.contains("two different tests"), "{said}");
}

#[test]
fn a_threshold_sets_the_exit_code() {
    let quick = "--self --store embedded --players 3 --duration 300ms --warm-up 100ms";
    let (code, said) = run(&format!("echo {quick} --fail-if p99>1min --fail-if throughput>0"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("error: `throughput>0`"), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_started() {
    let (directory, json) = report_file();
    let (folder, json) = (directory.path().display(), json.display());
    let of_own = [
        "--fail-if nonsense>0".to_owned(),
        "--json /nowhere/report.json".to_owned(),
        "--json /proc/report.json".to_owned(),
        format!("--json {folder}"),
        format!("--json {json} --html {json}"),
        "--profile".to_owned(),
        "--ramp 2s".to_owned(),
        "--find-max p99>50ms".to_owned(),
    ];
    let quick = "--self --store embedded --players 3 --duration 300ms --warm-up 100ms";
    let of_running = [
        "--profile --html never.html",
        "--transport websocket",
        "--tls",
        "--gateways 2",
        "--lobby-servers 2",
        "--game-servers 2",
        "--store embedded",
    ];
    let own = of_own.iter().map(|nonsense| format!("echo {quick} {nonsense}"));
    let running = of_running.iter().map(|nonsense| format!("echo --target 127.0.0.1:1 {nonsense}"));
    for line in own.chain(running) {
        let (code, said) = run(&line);
        assert_eq!(code, Some(2), "{line}: {said}");
    }
    let (code, said) = run(&format!("report {json} --html {json}"));
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn ctrl_c_ends_with_a_report_of_what_was_measured() {
    let (_directory, json) = report_file();
    let line = format!("echo --self --store embedded --players 3 --warm-up 0 --duration 1h --json {}", json.display());
    let mut program = bench(&line);
    program.wait_for("measuring");
    program.signal("INT");
    let status = program.wait_for_end();
    assert_eq!(status.code(), Some(130), "{:?}", program.transcript());
    let report = read(&json);
    assert!(report.interrupted && report.runs.len() == 1 && !report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn a_run_that_was_stopped_before_it_measured_is_left_out() {
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --store embedded --players 3 --runs 3 --warm-up 2s --duration 200ms --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("run 2 of 3: warming up");
    program.signal("INT");
    assert_eq!(program.wait_for_end().code(), Some(130), "{:?}", program.transcript());
    let report = read(&json);
    let [run] = &report.runs[..] else { panic!("one run: {:?}", report.notes) };
    assert!(report.interrupted && run.was_measured(), "{run:?}");
    assert!(report.notes.iter().any(|note| note.contains("left out")), "{:?}", report.notes);
}

#[test]
fn a_word_that_is_no_text_ends_no_test() {
    let directory = TempDir::new().unwrap();
    let page = directory.path().join(std::ffi::OsStr::from_bytes(b"page-\xff.html"));
    let line = "bench echo --self --store embedded --players 2 --duration 200ms --warm-up 0 --html";
    let words = line.split(' ').map(std::ffi::OsString::from).chain([page.clone().into_os_string()]);
    let mut program = Program::new(env!("CARGO_BIN_EXE_pintail")).args(words).start();
    assert_eq!(program.wait_for_end().code(), Some(0), "{:?}", program.transcript());
    assert!(std::fs::read_to_string(page).unwrap().contains("</html>"));
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let (_directory, json) = report_file();
    let line = format!("echo --self --players 3 --warm-up 0 --duration 1h --json {}", json.display());
    let mut program = bench(&line);
    program.wait_for("measuring");
    let children = children(program.process_id());
    // A server that does not stop when it is told to keeps the report waiting.
    let (lobby, _) = children.iter().find(|(_, command_line)| command_line.contains(" lobby ")).unwrap();
    signal(*lobby, "STOP");
    program.signal("INT");
    program.wait_for("ending the measurement");
    program.signal("INT");
    let status = program.wait_for_end();
    assert_eq!(status.code(), Some(130), "{:?}", program.transcript());
    assert!(!json.exists());
    until("the servers to end", || children.iter().all(|(pid, _)| !runs(*pid)));
}

#[test]
fn a_cluster_of_its_own_leaves_no_process_behind() {
    let (_directory, json) = report_file();
    let line = format!(
        "broadcast --self --gateways 2 --rooms 1 --room-size 2 --warm-up 0 --duration 1s --fail-if errors>0 --calibrate \
         --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("measuring");
    let children = children(program.process_id());
    assert_eq!(children.len(), 5, "two gateways, a lobby server, a game server and Redis: {children:?}");
    let status = program.wait_for_end();
    assert_eq!(status.code(), Some(0), "{:?}", program.transcript());
    for (pid, command_line) in children {
        assert!(!runs(pid), "{command_line}");
    }
    let report = read(&json);
    let names: Vec<_> = report.runs[0].servers.iter().map(|server| (server.name.as_str(), server.is_server)).collect();
    let expected = [("gateway", true), ("gateway 2", true), ("lobby", true), ("game", true), ("redis", false)];
    assert_eq!(names, expected);
    let trivial = report.calibration.unwrap();
    assert!(trivial.errors.is_empty() && trivial.measures[&trivial.primary].count > 0, "{trivial:?}");
}

#[test]
fn a_test_that_is_killed_takes_its_servers_with_it() {
    let mut program = bench("echo --self --players 2 --warm-up 0 --duration 1h");
    program.wait_for("measuring");
    let children = children(program.process_id());
    assert_eq!(children.len(), 4, "{children:?}");
    program.signal("KILL");
    program.wait_for_end();
    until("the servers to end", || children.iter().all(|(pid, _)| !runs(*pid)));
}

#[test]
fn a_server_that_dies_ends_the_test_and_is_named() {
    let (_directory, json) = report_file();
    let line = format!("echo --self --players 2 --warm-up 0 --duration 1h --json {}", json.display());
    let mut program = bench(&line);
    program.wait_for("measuring");
    let children = children(program.process_id());
    let (lobby, _) = children.iter().find(|(_, command_line)| command_line.contains(" lobby ")).unwrap();
    signal(*lobby, "KILL");
    let status = program.wait_for_end();
    let said = program.transcript().join("\n");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("error: the lobby process has ended (signal: 9"), "{said}");
    assert!(read(&json).interrupted);
}

#[test]
fn a_cluster_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = run(&format!("echo --target {port}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("no gateway answers at tcp://{port}")) && said.contains("--self"), "{said}");
}

#[test]
fn whoever_listens_and_is_no_gateway_is_named_at_once() {
    let someone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = someone.local_addr().unwrap();
    std::thread::spawn(move || {
        // One that speaks HTTP to whoever comes, then one that says nothing at all.
        let (mut first, _) = someone.accept().unwrap();
        first.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _silent = someone.accept().unwrap();
        std::thread::sleep(PATIENCE);
    });
    for why in ["does not speak as a Pintail gateway does", "nothing was heard"] {
        let (code, said) = run(&format!("echo --target {address}"));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_redis_that_others_use_is_shared_with_them_or_named_if_it_is_not_there() {
    let redis = RedisServer::start();
    let mut peek = Peek::at(redis.address());
    peek.ask("SET Server:Gateway:0 theirs");
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --redis {} --players 3 --duration 300ms --warm-up 0 --fail-if errors>0 --json {}",
        redis.url(),
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(peek.one("GET Server:Gateway:0").as_deref(), Some("theirs"));
    assert_eq!(peek.ask("KEYS *"), ["Server:Gateway:0"], "nothing of the test is left");
    let names = read(&json).runs[0].servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>();
    assert_eq!(names, ["gateway", "lobby", "game"], "what Redis takes is shared with others");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = run(&format!("echo --self --redis redis://word@{port}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("can't use the Redis at redis://{port}")) && !said.contains("word"), "{said}");
}

#[test]
fn a_cluster_that_runs_is_measured_without_its_processes() {
    let (_directory, json) = report_file();
    let (_dev, [tcp, http]) = dev("");
    for target in [tcp, format!("{}/ws", http.replace("http://", "ws://"))] {
        let line = format!(
            "echo --target {target} --players 3 --duration 300ms --warm-up 0 --fail-if errors>0 --json {}",
            json.display()
        );
        let (code, said) = run(&line);
        assert_eq!(code, Some(0), "{said}");
        let report = read(&json);
        assert!(report.target.contains(&target) && report.runs[0].servers.is_empty(), "{}", report.target);
    }
}

#[test]
fn each_server_of_a_test_has_a_flame_graph_that_names_what_it_did() {
    let (_directory, json) = report_file();
    // Players who come and go all the time give every server something to do.
    let line =
        format!("churn --self --players 30 --stay 200ms --duration 3s --warm-up 0 --profile --json {}", json.display());
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let profiles = read(&json).profiles;
    let servers: Vec<_> = profiles.iter().map(|profile| profile.server.as_str()).collect();
    assert_eq!(servers, ["gateway", "lobby", "game"], "{said}");
    for profile in profiles {
        let names_functions = profile.svg.contains(&format!("pintail_{}::", profile.server));
        assert!(names_functions, "{}: {}", profile.server, profile.svg);
    }
}

#[test]
fn flame_graphs_that_can_not_be_had_are_a_note() {
    let (_directory, json) = report_file();
    let (_dev, [target, _]) = dev("");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("There is no flame graph of the {closed} server");
    let line = format!(
        "echo --target {target} --players 2 --duration 300ms --warm-up 0 --profile --admin {closed} --json {}",
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let report = read(&json);
    assert!(report.profiles.is_empty());
    assert!(report.notes.iter().any(|note| note.contains(&server)), "{:?}", report.notes);
    let (code, _) = run(&format!("echo --self --profile --admin {closed}"));
    assert_eq!(code, Some(2), "the servers of --self are known");
}

#[test]
fn a_load_over_websockets_is_set_against_the_trivial_server_over_tcp_with_a_word_about_it() {
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --store embedded --transport websocket --players 4 --ramp 500ms --duration 1s --warm-up 0 --calibrate \
         --json {}",
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let report = read(&json);
    assert!(report.notes.iter().any(|note| note.contains("over plain TCP")), "{:?}", report.notes);
    // Both loads grow from one player, so each first second begins with fewer than the last ends with.
    let trivial = report.calibration.unwrap();
    assert_eq!((report.runs[0].players, trivial.players), (4, 4));
    assert_eq!(trivial.counts["logins"], 3, "three came during the window: {:?}", trivial.counts);
}

#[test]
fn the_trivial_server_goes_on_when_it_may_open_no_more_files() {
    let program = env!("CARGO_BIN_EXE_pintail");
    let mut server =
        Program::new("sh").args(["-c", &format!("ulimit -n 40 && exec {program} bench __trivial")]).start();
    let address = server.wait_for("127.0.0.1:");
    let address = address.trim();
    let greet = |stream: &mut TcpStream| {
        // A ping: its length, its kind, nothing else.
        let mut answer = [0; 5];
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[&1_u32.to_be_bytes()[..], &[kind::PING]].concat()).unwrap();
        stream.read_exact(&mut answer)
    };
    // More than it has files for: the kernel takes the others, and they wait.
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    greet(&mut crowd[0]).unwrap();
    crowd.clear();
    greet(&mut TcpStream::connect(address).unwrap()).unwrap();
}

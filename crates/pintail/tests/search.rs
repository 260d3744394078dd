//! `pintail bench --find-max`: the search for the largest load.
#![allow(clippy::unwrap_used)]

mod support;

use support::bench::{bench, children, read, report_file, run, signal};
use support::{dev, pintail};

#[test]
fn a_search_tries_less_until_nothing_is_left_and_says_so() {
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --store embedded --players 4 --duration 200ms --warm-up 0 --find-max throughput<0 --json {}",
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(3), "{said}");
    let search = read(&json).search.unwrap();
    let tried: Vec<_> = search.probes.iter().map(|probe| (probe.load, probe.held)).collect();
    assert_eq!(tried, [4, 4, 2, 2, 1, 1].map(|load| (load, false)));
    assert_eq!((search.largest, search.unit.as_str()), (None, "players"));
}

#[test]
fn a_search_finds_the_largest_load_that_keeps_its_condition() {
    let (_directory, json) = report_file();
    // A room of two delivers 40 messages a second, so the third is too much.
    let line = format!(
        "broadcast --self --store embedded --rooms 1 --room-size 2 --rate 20 --duration 1s --warm-up 100ms \
         --find-max throughput<100 --json {}",
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let report = read(&json);
    let search = report.search.unwrap();
    assert_eq!((search.largest, search.unit.as_str()), (Some(2), "rooms"), "{:?}", search.probes);
    assert!(report.runs.iter().all(|run| run.players == 4), "the report is of the load that was found");
    assert!(report.runs.len() >= 2, "it was tried again before it was believed");
}

#[test]
fn a_load_that_never_came_is_not_kept() {
    let (_directory, json) = report_file();
    // Two game servers of six games each: the condition holds of those twelve, however many more wait.
    let (_dev, [address, _]) = dev("--games 2 --capacity 6");
    let line = format!(
        "echo --target {address} --players 16 --duration 300ms --warm-up 0 --find-max p99<1min --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("16 players: broken (only 12 of 16 came; p99");
    program.signal("INT");
    assert_eq!(program.wait_for_end().code(), Some(130), "{:?}", program.transcript());
    let search = read(&json).search.unwrap();
    let [probe] = &search.probes[..] else { panic!("{search:?}") };
    assert!(!probe.held && search.largest.is_none() && search.interrupted, "{search:?}");
}

#[test]
fn a_search_that_is_interrupted_reports_what_it_found() {
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --store embedded --players 2 --duration 300ms --warm-up 0 --find-max p99<1min --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("2 players: kept");
    program.wait_for("4 players: kept");
    program.signal("INT");
    let status = program.wait_for_end();
    let said = program.transcript().join("\n");
    assert_eq!(status.code(), Some(130), "{said}");
    let report = read(&json);
    let search = report.search.unwrap();
    let largest = search.largest.unwrap();
    assert!(report.interrupted && search.interrupted && search.probes.len() >= 2 && largest >= 4, "{search:?}");
    assert!(said.contains(&format!("at least {largest}")) && said.contains("(interrupted)"), "{said}");
}

#[test]
fn a_search_whose_cluster_is_gone_reports_what_it_found() {
    let (_directory, json) = report_file();
    let (dev, [address, _]) = dev("");
    let line = format!(
        "connect --target {address} --players 1 --duration 200ms --warm-up 0 --find-max throughput<1M --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("4 players: kept");
    // Nobody gets in any more: that is no end of the search, but a load that is too much.
    dev.signal("KILL");
    program.wait_for("broken (only 0 of ");
    program.signal("INT");
    assert_eq!(program.wait_for_end().code(), Some(130), "{:?}", program.transcript());
    let search = read(&json).search.unwrap();
    assert!(search.interrupted && search.largest >= Some(2), "{search:?}");
    let broken = search.probes.iter().rfind(|probe| !probe.held).unwrap();
    assert!(broken.found.contains("no connection") || broken.found.contains("connection lost"), "{broken:?}");
}

#[test]
fn a_search_whose_server_dies_reports_what_it_found() {
    let (_directory, json) = report_file();
    let line = format!(
        "echo --self --store embedded --players 2 --duration 2s --warm-up 0 --find-max p99<1min --json {}",
        json.display()
    );
    let mut program = bench(&line);
    program.wait_for("2 players: kept");
    program.wait_for("4 players: measuring");
    let servers = children(program.process_id());
    let [(server, _)] = &servers[..] else { panic!("one process: {servers:?}") };
    signal(*server, "KILL");
    assert_eq!(program.wait_for_end().code(), Some(1), "{:?}", program.transcript());
    let report = read(&json);
    let search = report.search.unwrap();
    assert_eq!((search.largest, search.interrupted, search.probes.len()), (Some(2), true, 1), "{search:?}");
    assert!(report.runs.iter().all(|run| run.players == 2), "the report is of the load that was kept");
}

#[test]
fn a_condition_on_nothing_that_is_measured_is_refused_at_the_first_load() {
    let quick = "lobby --self --store embedded --workers 2 --whole-games --duration 300ms --warm-up 0";
    let line = format!("{quick} --find-max p99<1min");
    let search = |condition: &str| {
        let words = line.split(' ').map(|word| if word.contains('<') { condition } else { word });
        let mut program = pintail(["bench"].into_iter().chain(words)).start();
        (program.wait_for_end().code(), program.transcript().join("\n"))
    };
    for (condition, there_is) in [("p99 of start<1s", "`start game`"), ("cpu of gatway<90%", "`all in one`")] {
        let (code, said) = search(condition);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(there_is), "{said}");
    }
}

#[test]
fn a_search_that_ends_at_a_limit_of_its_own_says_so() {
    let (_directory, json) = report_file();
    let line = format!(
        "connect --self --store embedded --players 100 --rate 20 --duration 1s --warm-up 0 --find-max p99<1min --json {}",
        json.display()
    );
    let (code, said) = run(&line);
    assert_eq!(code, Some(0), "{said}");
    let report = read(&json);
    let search = report.search.unwrap();
    assert_eq!(search.largest, Some(21), "{:?}", search.probes);
    for note in ["began below what was asked for: 21 players", "ended before the condition broke: 21 players"] {
        assert!(report.notes.iter().any(|line| line.contains(note)), "{note}: {:?}", report.notes);
    }
    let states: Vec<_> = search.probes.iter().map(|probe| probe.generator.as_ref().unwrap()).collect();
    assert!(states.iter().all(|state| state.core >= 0.0 && state.sent_late_p99.is_some()), "{states:?}");
    assert!(said.contains("load "), "{said}");
}

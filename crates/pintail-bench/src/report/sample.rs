//! A report as a real test writes it, for tests of what is made of reports. Everything in it comes from a seed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{
    Check, GeneratorState, Machine, Measure, Probe, ProcessSample, ProcessUse, Profile, REPORT_FORMAT, Report, Run,
    Sample, Scenario, Search,
};

/// How long the sample's windows are.
const SECONDS: u32 = 30;

/// The sample's players.
const PLAYERS: u64 = 1_200;

/// A report of three runs with everything that a report can have.
pub(crate) fn report() -> Report {
    Report {
        format: REPORT_FORMAT,
        pintail: "0.1.0".into(),
        command: ["pintail", "bench", "broadcast", "--self", "--find-max", "p99<50ms", "--runs", "3"]
            .map(String::from)
            .into(),
        started_at: 1_790_000_000,
        machine: Machine {
            processor: "AMD EPYC 7B13".into(),
            cores: 2,
            memory_bytes: 8 << 30,
            system: "Linux 6.18.5".into(),
        },
        target: "a cluster of its own: gateway, lobby and game server as processes, with Redis".into(),
        scenario: Scenario {
            name: "broadcast".into(),
            unit: "players".into(),
            settings: [("message", "32 B"), ("rate", "20 /s"), ("room", "10 players")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        },
        seed: Some(7),
        shape: "constant: 1,200 players".into(),
        runs: (1..=3).map(run).collect(),
        search: Some(search()),
        calibration: Some(calibration()),
        checks: vec![
            Check {
                condition: "p99>50ms".into(),
                failed: false,
                found: "p99 of delivery 31.8 ms (worst of 3 runs)".into(),
            },
            Check { condition: "errors>0".into(), failed: true, found: "errors 14 (worst of 3 runs)".into() },
        ],
        interrupted: false,
        notes: vec![
            "The load and the servers share the cores of one machine: the load generator used up to 71 % of a core, so \
             the times include its own waiting."
                .into(),
        ],
        profiles: vec![Profile { server: "gateway".into(), svg: FLAME_GRAPH.into() }],
    }
}

/// One window of it. Runs of different seeds differ by noise.
pub(crate) fn run(seed: u64) -> Run {
    let mut random = StdRng::seed_from_u64(seed);
    let series: Vec<Sample> = (1..=SECONDS).map(|second| sample(second, &mut random)).collect();
    let deliveries = series.iter().map(|sample| sample.received).sum();
    let seconds = f64::from(SECONDS);
    let jitter = random.random_range(0.98..1.02);
    Run {
        players: PLAYERS,
        seconds,
        primary: "delivery".into(),
        measures: [
            ("delivery".to_owned(), skewed(deliveries / 1_000, 9_000.0 * jitter, 1_000, &mut random)),
            ("login".to_owned(), Measure { lost: 1, ..skewed(PLAYERS, 1_800.0, 1, &mut random) }),
        ]
        .into(),
        counts: [("sent".to_owned(), deliveries / 9), ("received".to_owned(), deliveries)].into(),
        errors: BTreeMap::from([("timed out".to_owned(), 10 + seed), ("login never done".to_owned(), 1)]),
        servers: vec![
            used("gateway", 0.34 * seconds * jitter, (9 << 20, 31 << 20), true),
            used("lobby", 0.01 * seconds, (8 << 20, 9 << 20), true),
            used("game", 0.22 * seconds * jitter, (10 << 20, 26 << 20), true),
            used("redis", 0.03 * seconds, (7 << 20, 7 << 20), false),
        ],
        generator: used("load", 0.68 * seconds, (30 << 20, 44 << 20), false),
        sent_late: Some(skewed(deliveries / 9_000, 180.0 * jitter, 1_000, &mut random)),
        series,
    }
}

/// A measure of these times, in microseconds.
pub(crate) fn measure(values: impl IntoIterator<Item = u64>) -> Measure {
    let mut histogram = Histogram::new(3).expect("three digits are within its bounds");
    for value in values {
        histogram.record(value).expect("it grows by itself");
    }
    Measure::of(&histogram)
}

/// A distribution as servers have it: most near the median, some far above.
fn skewed(count: u64, median: f64, weight: u64, random: &mut StdRng) -> Measure {
    let mut histogram = Histogram::<u64>::new(3).expect("three digits are within its bounds");
    for _ in 0..count {
        let around: f64 = (0..6).map(|_| random.random_range(-0.28..0.28)).sum();
        let tail = if random.random_ratio(1, 60) { random.random_range(1.0..5.0) } else { 1.0 };
        histogram.record_n((median * around.exp() * tail) as u64, weight).expect("it grows by itself");
    }
    Measure::of(&histogram)
}

fn sample(second: u32, random: &mut StdRng) -> Sample {
    let stall: f64 = if second == 17 { 2.4 } else { 1.0 };
    let mut near = |value: f64| value * random.random_range(0.94..1.06);
    let sent = near(24_000.0 / stall.min(1.2)) as u64;
    let grown = u64::from(second) << 18;
    Sample {
        at: f64::from(second),
        players: PLAYERS,
        sent,
        received: sent * 9,
        errors: if stall > 1.0 { 9 } else { 0 },
        p50: Some(near(8_900.0) as u64),
        p99: Some((near(27_000.0) * stall) as u64),
        max: Some((near(44_000.0) * stall) as u64),
        servers: vec![
            ProcessSample { cpu: near(0.34), memory: (23 << 20) + grown },
            ProcessSample { cpu: near(0.01), memory: 9 << 20 },
            ProcessSample { cpu: near(0.22), memory: (18 << 20) + grown },
            ProcessSample { cpu: near(0.03), memory: 7 << 20 },
        ],
        generator: ProcessSample { cpu: near(0.68), memory: 44 << 20 },
    }
}

fn used(name: &str, cpu: f64, (memory_before, memory_after): (u64, u64), is_server: bool) -> ProcessUse {
    let (user_seconds, system_seconds) = (cpu * 0.4, cpu * 0.6);
    ProcessUse { name: name.into(), user_seconds, system_seconds, memory_before, memory_after, is_server }
}

fn calibration() -> Run {
    let mut run = run(9);
    let cpu = run.operations() as f64 * 1.9e-6;
    run.servers = vec![used("trivial", cpu, (2 << 20, 6 << 20), true)];
    for sample in &mut run.series {
        sample.servers.truncate(1);
    }
    run
}

fn search() -> Search {
    let probe = |load, held, found: &str| {
        let core = load as f64 / 1_700.0;
        let trouble = (core > 0.9).then(|| "The load generator was busy all the time".to_owned());
        let generator = Some(GeneratorState { core, sent_late_p99: Some((core * 900.0) as u64), trouble });
        Probe { load, held, found: format!("p99 of delivery {found}"), generator }
    };
    Search {
        condition: "p99<50ms".into(),
        unit: "players".into(),
        probes: vec![
            probe(400, true, "8.4 ms"),
            probe(800, true, "14.9 ms"),
            probe(1_600, false, "412 ms"),
            probe(1_200, true, "31.8 ms"),
            probe(1_400, false, "77.5 ms"),
        ],
        largest: Some(1_200),
        interrupted: false,
    }
}

/// A flame graph as servers send it: with a prologue, and with a script of its own.
const FLAME_GRAPH: &str = r##"<?xml version="1.0" standalone="no"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg version="1.1" width="1200" height="118" viewBox="0 0 1200 118" xmlns="http://www.w3.org/2000/svg" onload="init(evt)"><script type="text/ecmascript"><![CDATA[
function init(evt) { document.getElementById("details").textContent = "Hover a frame: a < b && c > d"; }
]]></script><style>text { font: 12px monospace }</style><text id="details" x="10" y="110"></text><g><title>all (1,200 samples, 100%)</title><rect x="10" y="76" width="1180" height="18" fill="rgb(230,120,60)"/><text x="14" y="89">all</text></g><g><title>poll (900 samples, 75%)</title><rect x="10" y="57" width="885" height="18" fill="rgb(240,150,60)"/><text x="14" y="70">pintail_net::connection::run</text></g><g><title>writev (420 samples, 35%)</title><rect x="10" y="38" width="413" height="18" fill="rgb(210,90,50)"/><text x="14" y="51">writev</text></g><g><title>route (300 samples, 25%)</title><rect x="423" y="38" width="295" height="18" fill="rgb(250,190,80)"/><text x="427" y="51">pintail_gateway::client::route</text></g></svg>"##;

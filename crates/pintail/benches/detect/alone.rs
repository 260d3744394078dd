//! One gateway is cut off from every server, while it still reaches Redis and the other gateway reaches everyone.

use std::time::Duration;

use pintail_testkit::{Host, Namespaces, Program, RedisServer};

use crate::report;

/// How long a wrong verdict has time to come: a lease, the look at it, and a scan, twice over.
const CUT_OFF_FOR: Duration = Duration::from_secs(8);

/// How long the cluster has to find itself, at first and after each time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a host of its own.
struct Node {
    host: Host,
    program: Program,
}

impl Node {
    fn start(network: &Namespaces, kind: &str, redis_url: &str) -> Self {
        let host = network.host();
        let http = if kind == "gateway" { " --http 127.0.0.1:0" } else { "" };
        let line = format!("{kind} --redis {redis_url} --listen {}:7000 --admin off{http}", host.ip());
        let program = std::env::current_exe().expect("this program has a path");
        let program = host.command(program).args(line.split_whitespace());
        let mut program = program.env("PINTAIL_CLUSTER_SECRET", "a secret for hosts of this run").start();
        program.wait_for("ready: Server:");
        Self { host, program }
    }

    fn said(&mut self, text: &str) -> usize {
        self.program.transcript().iter().filter(|line| line.contains(text)).count()
    }

    fn wait_until_said(&mut self, text: &str, times: usize) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.said(text) < times {
            assert!(
                std::time::Instant::now() < deadline,
                "`{text}` should have been said: {:#?}",
                self.program.transcript()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Cuts a gateway off this many times, and counts the servers that anyone called down for it.
pub(crate) fn run(runs: usize) {
    let network = match Namespaces::new() {
        Ok(network) => network,
        Err(reason) => return println!("one gateway cut off: skipped: {reason}"),
    };
    let redis_host = network.host();
    let redis = RedisServer::builder().on(&redis_host).start();
    let mut gateways = ["gateway", "gateway"].map(|kind| Node::start(&network, kind, &redis.url()));
    let others = ["lobby", "game", "game", "game"].map(|kind| Node::start(&network, kind, &redis.url()));
    gateways[0].wait_until_said("link up", others.len());
    let mut runs_with_down = 0;
    for run in 1..=runs {
        let before: usize = gateways.iter_mut().map(|gateway| gateway.said("event=down")).sum();
        others.iter().for_each(|other| gateways[0].host.lose_packets_to(&other.host));
        gateways[0].wait_until_said("event=cut-off", run);
        std::thread::sleep(CUT_OFF_FOR);
        others.iter().for_each(|other| gateways[0].host.reach(&other.host));
        gateways[0].wait_until_said("event=reunited", run);
        let after: usize = gateways.iter_mut().map(|gateway| gateway.said("event=down")).sum();
        runs_with_down += usize::from(after > before);
    }
    report::count("one gateway cut off from every server → down", runs_with_down, runs);
}

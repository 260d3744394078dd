//! A cluster of separate processes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pintail_testkit::RedisServer;

use crate::process::{cpu_time, resident_bytes};

/// One server process.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    child: Child,
}

impl Server {
    pub(crate) fn new(name: &'static str, child: Child) -> Self {
        Self { name, child }
    }

    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(self.child.id())
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gateway, lobby and game server, each a process, and the Redis that they share.
pub(crate) struct Cluster {
    pub(crate) gateway: String,
    pub(crate) servers: Vec<Server>,
    _redis: RedisServer,
}

impl Cluster {
    /// One server of each kind on a fresh Redis, linked and ready.
    pub(crate) fn start() -> Self {
        let redis = RedisServer::start();
        let mut servers = Vec::new();
        for kind in ["lobby", "game"] {
            servers.push(spawn(kind, &redis.url(), &[]).0);
        }
        let (gateway, address) = spawn("gateway", &redis.url(), &["--http", "127.0.0.1:0"]);
        servers.insert(0, gateway);
        Self { gateway: address, servers, _redis: redis }
    }

    /// The embedded store: everything in one process.
    pub(crate) fn start_dev() -> (Server, String) {
        let arguments = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_pintail"));
        command.arg("dev").args(arguments).args(["--log", "error"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("pintail starts");
        let address = wait_for_address(&mut child, "Server:Gateway:0");
        (Server::new("dev", child), address)
    }
}

fn spawn(kind: &'static str, redis: &str, more: &[&str]) -> (Server, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pintail"));
    command.args([kind, "--redis", redis, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--capacity", "100000", "--log", "error"]).args(more);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("pintail starts");
    let slot = match kind {
        "gateway" => "Server:Gateway:0",
        "lobby" => "Server:Lobby:0",
        _ => "Server:Game:0",
    };
    let address = wait_for_address(&mut child, slot);
    (Server::new(kind, child), address)
}

/// Reads a server's output until the line that names its slot, and takes the address from it.
fn wait_for_address(child: &mut Child, slot: &str) -> String {
    let stdout = child.stdout.take().expect("its output");
    let mut lines = BufReader::new(stdout).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .filter(|line| line.contains(slot))
        .find_map(|line| line.split([' ', ',']).find_map(|word| word.parse::<SocketAddr>().ok()))
        .expect("the server says where it listens");
    // Whatever it prints later must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    address.to_string()
}

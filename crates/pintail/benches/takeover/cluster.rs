//! The cluster that is measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pintail_testkit::{Persistence, Program, RedisServer};

use crate::redis::Peek;

/// How long anything may take that should be there soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// One server process.
pub(crate) struct Node {
    pub(crate) program: Program,
    pub(crate) slot: String,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts a server and waits until it is ready.
    fn start(kind: &str, redis: &RedisServer) -> Self {
        let http = if kind == "gateway" { "--http 127.0.0.1:0 --lame-duck 0s" } else { "" };
        let line = format!("{kind} --redis {} --admin 127.0.0.1:0 --listen 127.0.0.1:0 {http}", redis.url());
        let program = std::env::current_exe().expect("this program has a path");
        let mut program = Program::new(program).args(line.split_whitespace()).start();
        let line = program.wait_for("ready: Server:");
        let mut words = line.split([' ', ',']).skip_while(|word| *word != "ready:").skip(1);
        let slot = words.next().expect("its slot").to_owned();
        let address = words.find_map(|word| word.parse().ok()).expect("its address");
        Self { program, slot, address }
    }
}

/// Two gateways, a lobby server, game servers and a Redis that keeps an append-only file.
pub(crate) struct Cluster {
    pub(crate) gateways: Vec<Node>,
    pub(crate) lobby: Node,
    pub(crate) games: Vec<Node>,
    pub(crate) redis: RedisServer,
    peek: Peek,
}

impl Cluster {
    /// A cluster with so many game servers.
    pub(crate) fn start(games: usize) -> Self {
        let redis = RedisServer::builder().persistence(Persistence::EverySecond).start();
        let peek = Peek::at(redis.address());
        let lobby = Node::start("lobby", &redis);
        let gateways = (0..2).map(|_| Node::start("gateway", &redis)).collect();
        let mut cluster = Self { gateways, lobby, games: Vec::new(), redis, peek };
        (0..games).for_each(|_| cluster.add_game_server());
        cluster
    }

    /// Starts a game server and waits until it gets games.
    pub(crate) fn add_game_server(&mut self) {
        let node = Node::start("game", &self.redis);
        let deadline = Instant::now() + PATIENCE;
        while !self.peek.takes_games("arena", &node.slot) {
            assert!(Instant::now() < deadline, "{} should get games", node.slot);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.games.push(node);
    }

    /// Starts a gateway.
    pub(crate) fn add_gateway(&mut self) {
        self.gateways.push(Node::start("gateway", &self.redis));
    }

    /// Takes the game server out that has the most games.
    pub(crate) fn take_busiest(&mut self) -> Node {
        let mut load: HashMap<String, u64> = HashMap::new();
        for node in &self.games {
            let games = self.peek.one(&format!("HGET {} games", node.slot));
            load.insert(node.slot.clone(), games.and_then(|games| games.parse().ok()).unwrap_or(0));
        }
        let busiest = (0..self.games.len()).max_by_key(|&index| load[&self.games[index].slot]);
        self.games.remove(busiest.expect("there are game servers"))
    }

    /// The slot of each of these games' servers.
    pub(crate) fn servers_of(&mut self, games: impl Iterator<Item = String>) -> Vec<String> {
        games.map(|game| self.peek.one(&format!("HGET Game:{game} slot")).unwrap_or_default()).collect()
    }
}

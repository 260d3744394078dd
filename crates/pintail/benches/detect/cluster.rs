//! The cluster that is measured.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use pintail_testkit::{FaultProxy, Program, RedisServer};

use crate::events::{Seen, Watcher};
use crate::redis::Peek;

/// How long anything may take that should be there soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a server may take to get games, its probation after a few deaths included.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// Where the proxies in front of servers listen: another address of the loopback.
const PROXY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The seconds of a day.
const DAY: u64 = 86_400;

/// One server process.
pub(crate) struct Node {
    pub(crate) program: Program,
    pub(crate) slot: String,
    pub(crate) client_address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Node {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(kind: &str, redis_url: &str, more: &str) -> Self {
        Self::ready(Self::spawn(kind, redis_url, more))
    }

    fn spawn(kind: &str, redis_url: &str, more: &str) -> Program {
        let listen = if more.contains("--listen") { "" } else { "--listen 127.0.0.1:0" };
        let http = if kind == "gateway" { "--http 127.0.0.1:0" } else { "" };
        let line = format!("{kind} --redis {redis_url} --admin 127.0.0.1:0 {listen} {http} {more}");
        let program = std::env::current_exe().expect("this program has a path");
        Program::new(program).args(line.split_whitespace()).start()
    }

    fn ready(mut program: Program) -> Self {
        let line = program.wait_for("ready: Server:");
        let mut words = line.split([' ', ',']).skip_while(|word| *word != "ready:").skip(1);
        let slot = words.next().expect("its slot").to_owned();
        let client_address = words.find_map(|word| word.parse().ok()).expect("its address");
        let admin = line.split("metrics http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        Self { program, slot, client_address, admin: admin.expect("its admin port") }
    }
}

/// A gateway and what it says of the others.
pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) watcher: Watcher,
}

/// Two gateways, a lobby server and a Redis. Game servers come and go.
pub(crate) struct Cluster {
    pub(crate) gateways: Vec<Gateway>,
    _lobby: Node,
    pub(crate) peek: Peek,
    pub(crate) redis: RedisServer,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::with(|redis| redis.url())
    }

    /// A cluster whose gateways reach Redis at another URL, such as a proxy's.
    pub(crate) fn with(gateways_redis: impl FnOnce(&RedisServer) -> String) -> Self {
        let redis = RedisServer::start();
        let peek = Peek::at(redis.address());
        let lobby = Node::start("lobby", &redis.url(), "");
        let url = gateways_redis(&redis);
        let gateways = (0..2).map(|_| {
            let node = Node::start("gateway", &url, "");
            let watcher = Watcher::follow(node.admin);
            Gateway { node, watcher }
        });
        Self { gateways: gateways.collect(), _lobby: lobby, peek, redis }
    }

    /// A game server that every gateway is linked to and that gets games.
    pub(crate) fn game_server(&mut self, more: &str) -> Node {
        let url = self.redis.url();
        self.game_server_at(&url, more)
    }

    /// The same, at another URL of the cluster's Redis.
    pub(crate) fn game_server_at(&mut self, redis_url: &str, more: &str) -> Node {
        let since = SystemTime::now();
        let node = Node::start("game", redis_url, more);
        let linked = self.linked(&node.slot, since);
        assert!(linked.is_some(), "every gateway should have linked to {}", node.slot);
        self.settled(&node.slot);
        node
    }

    /// A game server that the gateways reach through a proxy.
    pub(crate) fn game_server_behind_proxy(&mut self, redis_url: &str) -> (Node, FaultProxy) {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = FaultProxy::start_at((PROXY_ADDRESS, port).into(), server).expect("nobody else has the port there");
        let more = format!("--listen {server} --advertise {PROXY_ADDRESS}");
        (self.game_server_at(redis_url, &more), proxy)
    }

    /// Waits until a server gets games, be it again.
    pub(crate) fn settled(&mut self, slot: &str) {
        let deadline = Instant::now() + SETTLED_WITHIN;
        while !self.peek.takes_games("echo", slot) {
            assert!(Instant::now() < deadline, "{slot} should get games");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// When the last gateway had a link to a server, counted from `since`; `None` if one gets none. The gateways' logs
    /// tell, by their own time stamps.
    pub(crate) fn linked(&mut self, slot: &str, since: SystemTime) -> Option<Duration> {
        let deadline = Instant::now() + PATIENCE;
        let said = format!("server={slot} ");
        let mut last = Duration::ZERO;
        for gateway in &mut self.gateways {
            loop {
                let lines = gateway.node.program.transcript().iter().rev();
                let links = lines.filter(|line| line.contains("link up") && format!("{line} ").contains(&said));
                if let Some(after) = links.filter_map(|line| logged_at(line)?.duration_since(since).ok()).next() {
                    last = last.max(after);
                    break;
                }
                if Instant::now() > deadline {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Some(last)
    }

    /// When the last gateway said this of a server, counted from `since`; `None` if one did not.
    pub(crate) fn noticed(&mut self, event: &str, slot: &str, since: Instant, within: Duration) -> Option<Duration> {
        let fits = |seen: &Seen| seen.event == event && seen.server == slot;
        let seen = self.gateways.iter_mut().map(|gateway| {
            let left = within.saturating_sub(since.elapsed());
            gateway.watcher.wait(since, left, fits).map(|seen| seen.at)
        });
        let last = seen.collect::<Option<Vec<Instant>>>()?.into_iter().max()?;
        Some(last.duration_since(since))
    }

    /// How many events of this kind the gateways have seen since then.
    pub(crate) fn count(&mut self, event: &str, since: Instant) -> usize {
        let all = self.gateways.iter_mut().flat_map(|gateway| gateway.watcher.all().to_vec());
        all.filter(|seen| seen.event == event && seen.at >= since).count()
    }

    /// Watches, beside whatever else happens, when a server gets no more games.
    pub(crate) fn leaves_placement(&self, slot: &str, within: Duration) -> JoinHandle<Option<Instant>> {
        let (mut peek, slot) = (Peek::at(self.redis.address()), slot.to_owned());
        std::thread::spawn(move || {
            let deadline = Instant::now() + within;
            while peek.takes_games("echo", &slot) {
                if Instant::now() > deadline {
                    return None;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Some(Instant::now())
        })
    }
}

/// The time stamp of a log line, such as `2026-11-22T17:09:15.123456Z`, on the day of the run.
fn logged_at(line: &str) -> Option<SystemTime> {
    let time = line.split('T').nth(1)?.split('Z').next()?;
    let mut parts = time.split(':').map(str::parse::<f64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let since_midnight = Duration::from_secs_f64(hours * 3600.0 + minutes * 60.0 + seconds);
    let today = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs() / DAY * DAY;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(today) + since_midnight)
}

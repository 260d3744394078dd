//! The cluster that is checked: processes of this program on a real Redis, each connection by way of a proxy.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pintail_core::Kind;
use pintail_testkit::{Fault, FaultProxy, Persistence, Program, RedisServer, free_port};

use crate::plan::Pick;

/// Where the proxies in front of servers listen: another address of the loopback.
const PROXY_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// How long a game server that drains waits for games that nobody takes.
const DRAIN_TIMEOUT: &str = "20s";

/// How long an admin port may take to answer.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How many servers of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say what they are")]
pub struct Sizes {
    pub gateways: usize,
    pub lobbies: usize,
    pub servers: usize,
}

impl Sizes {
    /// How many there are of this kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> usize {
        match kind {
            Kind::Gateway => self.gateways,
            Kind::Lobby => self.lobbies,
            Kind::Game => self.servers,
        }
    }
}

/// An address for a server, with the ways that lead there and from there to Redis. It outlives the processes that serve
/// there.
#[derive(Debug)]
pub struct Place {
    name: String,
    kind: Kind,
    listen: SocketAddr,
    /// Players or gateways come by this way.
    pub way_in: FaultProxy,
    /// The server reaches Redis by this way.
    pub way_to_store: FaultProxy,
    store_url: String,
    lives: u32,
}

/// A server process that is ready.
#[derive(Debug)]
pub struct Node {
    /// Where it serves.
    pub place: Place,
    /// The process.
    pub program: Program,
    admin: SocketAddr,
}

/// All processes.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    logs: PathBuf,
    sizes: Sizes,
    store_hold: Option<Duration>,
    redis: Mutex<RedisServer>,
    /// Servers to which nothing is being done.
    nodes: Mutex<Vec<Node>>,
    /// Places of gateways at which none serves.
    free_gateways: Mutex<Vec<Place>>,
    /// Where players connect: one address more than there are gateways, so that one can be replaced.
    gateway_addresses: Vec<SocketAddr>,
    places: AtomicU32,
}

impl Cluster {
    /// Starts Redis and all servers. `program` is a server binary that hosts the ledgers; logs go to `logs`. `store_hold` is
    /// how long games wait for Redis, if not as long as by default.
    ///
    /// # Panics
    /// If something can't be started.
    #[must_use]
    pub fn start(program: &Path, logs: &Path, sizes: Sizes, store_hold: Option<Duration>) -> Self {
        let redis = RedisServer::start_with(Persistence::AppendOnly);
        let mut cluster = Self {
            program: program.to_owned(),
            logs: logs.to_owned(),
            sizes,
            store_hold,
            redis: Mutex::new(redis),
            nodes: Mutex::default(),
            free_gateways: Mutex::default(),
            gateway_addresses: Vec::new(),
            places: AtomicU32::new(0),
        };
        let gateways: Vec<Place> = (0..=sizes.gateways).map(|_| cluster.new_place(Kind::Gateway)).collect();
        cluster.gateway_addresses = gateways.iter().map(|place| place.way_in.address()).collect();
        *lock(&cluster.free_gateways) = gateways;
        for kind in [Kind::Lobby, Kind::Game, Kind::Gateway] {
            for _ in 0..sizes.of(kind) {
                let place = cluster.place(kind).expect("there is one gateway place more than gateways");
                cluster.put(cluster.launch(place));
            }
        }
        cluster
    }

    /// How many servers there are.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Where players connect, the gateways that are down included.
    #[must_use]
    pub fn gateway_addresses(&self) -> &[SocketAddr] {
        &self.gateway_addresses
    }

    /// Redis itself.
    pub fn redis(&self) -> MutexGuard<'_, RedisServer> {
        lock(&self.redis)
    }

    /// Where all logs are.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Takes a server of this kind for oneself; `None` if others have all of them.
    #[must_use]
    pub fn take(&self, kind: Kind, pick: Pick) -> Option<Node> {
        let mut nodes = self.nodes();
        let of_kind: Vec<usize> = (0..nodes.len()).filter(|index| nodes[*index].place.kind == kind).collect();
        let index = match pick {
            Pick::Number(number) => *of_kind.get(number % of_kind.len().max(1))?,
            Pick::Fullest => of_kind.into_iter().max_by_key(|index| nodes[*index].load())?,
        };
        Some(nodes.remove(index))
    }

    /// Gives a server back.
    pub fn put(&self, node: Node) {
        let mut nodes = self.nodes();
        nodes.push(node);
        nodes.sort_by(|a, b| a.place.name.cmp(&b.place.name));
    }

    /// The servers to which nothing is being done.
    pub fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        lock(&self.nodes)
    }

    /// A place for one more server of this kind; `None` if it is a gateway and all places have one.
    #[must_use]
    pub fn place(&self, kind: Kind) -> Option<Place> {
        match kind {
            Kind::Gateway => lock(&self.free_gateways).pop(),
            Kind::Lobby | Kind::Game => Some(self.new_place(kind)),
        }
    }

    /// Gives a place back whose server has ended.
    pub fn leave(&self, place: Place) {
        if place.kind == Kind::Gateway {
            // The longest unused is the next to be used.
            lock(&self.free_gateways).insert(0, place);
        }
    }

    /// Starts a server at a place and waits until it is ready.
    ///
    /// # Panics
    /// If it does not get ready.
    #[must_use]
    pub fn launch(&self, mut place: Place) -> Node {
        place.lives += 1;
        let kind = place.kind.as_str().to_lowercase();
        let (listen, store) = (place.listen, &place.store_url);
        let more = match place.kind {
            Kind::Gateway => "--http 127.0.0.1:0 --lame-duck 0s".to_owned(),
            Kind::Lobby => format!("--advertise {PROXY_ADDRESS}"),
            Kind::Game => {
                let hold = self.store_hold.map_or(String::new(), |hold| format!("--store-hold {}ms", hold.as_millis()));
                format!("--advertise {PROXY_ADDRESS} --drain-timeout {DRAIN_TIMEOUT} {hold}")
            }
        };
        let line = format!("{kind} --redis {store} --listen {listen} --admin 127.0.0.1:0 {more}");
        let log = self.logs.join(format!("{}.{}.log", place.name, place.lives));
        let mut program = Program::new(&self.program).args(line.split_whitespace()).log_to(log).start();
        let said = program.wait_for("ready: Server:");
        let admin = said.split("metrics http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        let admin = admin.unwrap_or_else(|| panic!("{} has no admin port: {said}", place.name));
        Node { place, program, admin }
    }

    fn new_place(&self, kind: Kind) -> Place {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let port = free_port(PROXY_ADDRESS);
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let way_in = FaultProxy::start_at((PROXY_ADDRESS, port).into(), listen).expect("the port was free just now");
        let redis = self.redis();
        let way_to_store = FaultProxy::start(redis.address());
        let store_url = redis.url_by_way_of(way_to_store.address());
        let name = format!("{}-{number}", kind.as_str().to_lowercase());
        Place { name, kind, listen, way_in, way_to_store, store_url, lives: 0 }
    }
}

impl Place {
    /// What the server there is called in logs.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What serves there.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Makes an end of all that was done to its ways.
    pub fn heal(&self) {
        self.way_in.set(Fault::Pass);
        self.way_to_store.set(Fault::Pass);
    }
}

impl Node {
    /// Ends it at once, if it has not ended yet; its place stays.
    #[must_use]
    pub fn kill(mut self) -> Place {
        if self.program.ended().is_none() {
            self.program.signal("KILL");
            self.program.wait_for_end();
        }
        self.place
    }

    /// How many games or players it has.
    fn load(&self) -> u64 {
        let metric = match self.place.kind {
            Kind::Gateway => "pintail_gateway_sessions",
            Kind::Game => "pintail_game_games",
            Kind::Lobby => return 0,
        };
        self.metric(metric).map_or(0, |load| load as u64)
    }

    /// The sum of a metric over its labels; `None` if the server does not answer.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = get(self.admin, "/metrics").ok()?;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = page.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(values.sum())
    }
}

fn get(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN_TIMEOUT)?;
    stream.set_read_timeout(Some(ADMIN_TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A thread that panicked ends the run anyhow; until then what it held is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

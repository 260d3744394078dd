//! A cluster that is started for a test, each server a process of its own, and ended after it.

mod certificate;
mod child;
mod hold;
mod ready;
mod redis;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use pintail_core::gateway_address::Encryption;
use thiserror::Error;
use tokio::time::{Instant, sleep};

pub use child::Launcher;
pub use hold::{Hold, HoldError};

use crate::gateways::Gateways;
use crate::http::Request;
use crate::pins::{Cores, Pins};
use crate::process::{Counts, Watched};
use crate::profile::AdminPort;
use certificate::Certificate;
use child::{Child, Recipe};
use ready::Ready;
use redis::Redis;

/// How long the servers may take until all are ready and linked: on a machine that is busy, builds without optimisation
/// included.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a gateway is asked whether it has all its links.
const LINKS_POLL: Duration = Duration::from_millis(50);

/// How long a gateway may take to say it, and how long its metrics may be.
const METRICS_PATIENCE: Duration = Duration::from_secs(5);
const METRICS_BYTES_MAX: u64 = 4 << 20;

/// How often the processes are looked at.
const DEATH_POLL: Duration = Duration::from_millis(100);

/// How long processes that were told to stop may take before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many players a gateway, rooms a lobby server and games a game server takes: the test is to find the limit.
const CAPACITY: &str = "100000";

/// What is to be started.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How processes are started.
    pub launcher: Launcher,
    /// What the servers share.
    pub store: StoreChoice,
    /// How many gateways.
    pub gateways: u32,
    /// How many lobby servers.
    pub lobbies: u32,
    /// How many game servers.
    pub games: u32,
    /// Whether players speak TLS with the gateways, by a certificate that is made for the test.
    pub encryption: Encryption,
    /// On which cores.
    pub pins: Pins,
}

/// What the servers of a test share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    /// Nothing outside of their process: it is one.
    Embedded,
    /// A `redis-server` that is started with them.
    OwnRedis,
    /// A Redis that others use too, under keys of their own.
    Redis {
        /// Where it is.
        url: String,
        /// What their keys begin with: in the Redis of others, a test must not find their servers, nor they its.
        key_prefix: String,
    },
}

/// Why a cluster can't be started, or can't go on.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// Redis is missing.
    #[error(
        "there is no redis-server on the PATH: install it (Debian and Ubuntu: apt install redis-server), name one that \
         runs with --redis URL, or do without it: --store embedded"
    )]
    NoRedis,
    /// No port is free.
    #[error("no port of 127.0.0.1 can be had ({0}): check what else uses them")]
    NoPort(std::io::Error),
    /// There is no certificate for the test.
    #[error("no certificate for the test can be made ({0}): check the directory for temporary files (TMPDIR)")]
    NoCertificate(std::io::Error),
    /// A process can't be started.
    #[error("the {name} process can't be started ({error}): check the limits of processes and memory")]
    NotStarted {
        /// Which.
        name: String,
        /// What happened.
        error: std::io::Error,
    },
    /// A process ended by itself.
    #[error("the {name} process has ended ({how}){}", last_words(.last))]
    Ended {
        /// Which.
        name: String,
        /// With which exit status or signal.
        how: String,
        /// What it said last.
        last: Vec<String>,
    },
    /// A process does not get ready.
    #[error("the {name} process was not ready after {} s: the machine may be too busy{}", READY_TIMEOUT.as_secs(), last_words(.last))]
    NotReady {
        /// Which.
        name: String,
        /// What it said last.
        last: Vec<String>,
    },
    /// A gateway does not find the others.
    #[error("the {name} process was not linked to all other servers after {} s: the machine may be too busy", READY_TIMEOUT.as_secs())]
    Unlinked {
        /// Which.
        name: String,
    },
}

impl ClusterError {
    /// The same without what a process said last: for a report, where it would stand among other things.
    #[must_use]
    pub fn in_short(&self) -> String {
        let whole = self.to_string();
        whole.split_once(LAST_WORDS).map_or(whole.as_str(), |(short, _)| short).to_owned()
    }
}

/// What comes before the last words of a process.
const LAST_WORDS: &str = "; it said last:";

/// What a process said last, for the end of a sentence.
fn last_words(lines: &[String]) -> String {
    match lines {
        [] => "; it said nothing".to_owned(),
        lines => format!("{LAST_WORDS}\n  {}", lines.join("\n  ")),
    }
}

/// A cluster of processes. Dropping it kills them; [`Cluster::stop`] ends them in order.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of reports: gateways, lobby servers, game servers.
    servers: Vec<Server>,
    redis: Option<Redis>,
    certificate: Option<Certificate>,
    description: String,
}

#[derive(Debug)]
struct Server {
    child: Child,
    role: Role,
    /// One, and of a process that runs several gateways one for each.
    ready: Vec<Ready>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Gateway,
    Lobby,
    Game,
    AllInOne,
    Trivial,
}

impl Role {
    /// What it is called on the command line, and in reports.
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Lobby => "lobby",
            Self::Game => "game",
            Self::AllInOne => "all in one",
            Self::Trivial => "trivial",
        }
    }
}

impl Cluster {
    /// Starts the servers and waits until all are ready and linked.
    ///
    /// # Errors
    /// See [`ClusterError`]. What was started by then is ended.
    pub async fn start(plan: &Plan) -> Result<Self, ClusterError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let url = match &plan.store {
            StoreChoice::Embedded => return Self::start_all_in_one(plan, deadline).await,
            StoreChoice::Redis { url, .. } => Some(url.clone()),
            StoreChoice::OwnRedis => None,
        };
        let redis = match url {
            Some(_) => None,
            None => Some(Redis::start(&plan.launcher, plan.pins.redis.as_ref(), deadline).await?),
        };
        let store = redis.as_ref().map_or_else(
            || "the Redis of --redis".to_owned(),
            |redis| format!("redis-server {} in memory", redis.version),
        );
        let url = url.or_else(|| redis.as_ref().map(|redis| redis.url.clone())).unwrap_or_default();
        let certificate = certificate(plan)?;
        let mut cluster = Self { servers: Vec::new(), redis, certificate, description: describe(plan, &store) };
        let prefix = match &plan.store {
            StoreChoice::Redis { key_prefix, .. } => key_prefix.clone(),
            StoreChoice::Embedded | StoreChoice::OwnRedis => String::new(),
        };
        // Lobby and game servers first, so that the gateways find them at once.
        for (role, count) in [(Role::Lobby, plan.lobbies), (Role::Game, plan.games), (Role::Gateway, plan.gateways)] {
            for number in 1..=count {
                cluster.add(
                    plan,
                    role,
                    number,
                    cluster.server_arguments(role),
                    server_environment(role, &url, &prefix),
                )?;
            }
        }
        for server in &mut cluster.servers {
            server.ready.push(server.child.wait_for(deadline, ready::of_server).await?);
        }
        cluster.wait_for_links(plan, deadline).await?;
        cluster.servers.sort_by_key(|server| server.role as u8);
        Ok(cluster)
    }

    async fn start_all_in_one(plan: &Plan, deadline: Instant) -> Result<Self, ClusterError> {
        let counts = [("--gateways", plan.gateways), ("--lobbies", plan.lobbies), ("--games", plan.games)];
        let counts = counts.iter().flat_map(|(option, count)| [(*option).to_owned(), count.to_string()]);
        let ports = "dev --listen 127.0.0.1:0 --http 127.0.0.1:0 --self-check off --capacity".split(' ');
        let arguments = ports.chain([CAPACITY]).map(str::to_owned).chain(counts).map(OsString::from);
        let description = describe(plan, "the embedded store, all in one process");
        let mut cluster = Self { servers: Vec::new(), redis: None, certificate: certificate(plan)?, description };
        let arguments = arguments.chain(cluster.tls_arguments()).collect();
        cluster.add(plan, Role::AllInOne, 1, arguments, vec![("PINTAIL_LOG", LOG.to_owned())])?;
        for server in &mut cluster.servers {
            let gateways = &mut server.ready;
            let is_ready = |line: &str| {
                gateways.extend(ready::of_dev(line));
                ready::is_end_of_dev(line).then_some(())
            };
            server.child.wait_for(deadline, is_ready).await?;
        }
        Ok(cluster)
    }

    /// Starts the trivial server: one process that answers as little as there is to answer.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start_trivial(
        launcher: &Launcher,
        words: Vec<OsString>,
        cores: Option<&Cores>,
    ) -> Result<Self, ClusterError> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let pins = Pins { servers: cores.cloned(), ..Pins::default() };
        let plan = Plan {
            launcher: launcher.clone(),
            store: StoreChoice::Embedded,
            gateways: 1,
            lobbies: 0,
            games: 0,
            encryption: Encryption::None,
            pins,
        };
        let description = "the trivial server".to_owned();
        let mut cluster = Self { servers: Vec::new(), redis: None, certificate: None, description };
        cluster.add(&plan, Role::Trivial, 1, words, Vec::new())?;
        for server in &mut cluster.servers {
            let address = |line: &str| line.parse().ok();
            let listen = server.child.wait_for(deadline, address).await?;
            server.ready.push(Ready { listen, http: None, admin: None });
        }
        Ok(cluster)
    }

    fn add(
        &mut self,
        plan: &Plan,
        role: Role,
        number: u32,
        arguments: Vec<OsString>,
        environment: Vec<(&'static str, String)>,
    ) -> Result<(), ClusterError> {
        let name = match number {
            1 => role.name().to_owned(),
            _ => format!("{} {number}", role.name()),
        };
        let program = plan.launcher.program.clone().into_os_string();
        let recipe = Recipe { name, program, arguments, environment, cores: plan.pins.servers.clone() };
        let child = plan.launcher.start(recipe)?;
        self.servers.push(Server { child, role, ready: Vec::new() });
        Ok(())
    }

    fn server_arguments(&self, role: Role) -> Vec<OsString> {
        let ports = match role {
            Role::Gateway => "--listen 127.0.0.1:0 --admin 127.0.0.1:0 --http 127.0.0.1:0",
            _ => "--listen 127.0.0.1:0 --admin 127.0.0.1:0",
        };
        let tls = (role == Role::Gateway).then(|| self.tls_arguments()).into_iter().flatten();
        let arguments = [role.name(), "--capacity", CAPACITY].into_iter().chain(ports.split(' '));
        arguments.map(OsString::from).chain(tls).collect()
    }

    fn tls_arguments(&self) -> Vec<OsString> {
        let arguments = self.certificate.iter().flat_map(Certificate::arguments);
        arguments.flat_map(|(option, file)| [option.into(), file.into()]).collect()
    }

    async fn wait_for_links(&self, plan: &Plan, deadline: Instant) -> Result<(), ClusterError> {
        let wanted = f64::from(plan.lobbies) + f64::from(plan.games);
        for server in self.servers.iter().filter(|server| server.role == Role::Gateway) {
            for admin in server.ready.iter().filter_map(|ready| ready.admin) {
                while links(admin).await.is_none_or(|links| links < wanted) {
                    if Instant::now() > deadline {
                        return Err(ClusterError::Unlinked { name: server.child.name.clone() });
                    }
                    sleep(LINKS_POLL).await;
                }
            }
        }
        Ok(())
    }

    /// What was started, in words.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where players connect, over TCP.
    #[must_use]
    pub fn gateways(&self) -> Gateways {
        let scheme = if self.certificate.is_some() { "tls" } else { "tcp" };
        self.reached(|ready| Some(format!("{scheme}://{}", ready.listen)))
    }

    /// Where players connect, over a WebSocket.
    #[must_use]
    pub fn websocket_gateways(&self) -> Gateways {
        let scheme = if self.certificate.is_some() { "wss" } else { "ws" };
        self.reached(|ready| Some(format!("{scheme}://{}/ws", ready.http?)))
    }

    fn reached(&self, address: impl Fn(&Ready) -> Option<String>) -> Gateways {
        let takes_players = |role| matches!(role, Role::Gateway | Role::AllInOne | Role::Trivial);
        let ready = self.servers.iter().filter(|server| takes_players(server.role)).flat_map(|server| &server.ready);
        let addresses = ready.filter_map(address).filter_map(|address| address.parse().ok()).collect();
        Gateways { addresses, trust: self.certificate.as_ref().map(|certificate| certificate.trust.clone()) }
    }

    /// The processes, for a meter.
    #[must_use]
    pub fn processes(&self) -> Vec<Watched> {
        let watched = |child: &Child, counts| Watched { name: child.name.clone(), pid: child.pid, counts };
        let servers = self.servers.iter().map(|server| watched(&server.child, Counts::AsServer));
        let redis = self.redis.iter().map(|redis| watched(&redis.child, Counts::Apart));
        servers.chain(redis).collect()
    }

    /// The admin ports of the servers, one for each process.
    #[must_use]
    pub fn admin_ports(&self) -> Vec<AdminPort> {
        let port = |server: &Server| {
            let address = server.ready.iter().find_map(|ready| ready.admin)?.to_string();
            Some(AdminPort { server: server.child.name.clone(), address })
        };
        self.servers.iter().filter_map(port).collect()
    }

    /// Waits until a process has ended by itself. Cancel-safe.
    pub async fn death(&mut self) -> ClusterError {
        loop {
            let redis = self.redis.as_mut().map(|redis| &mut redis.child);
            for child in self.servers.iter_mut().map(|server| &mut server.child).chain(redis) {
                if let Some(ended) = child.try_end().await {
                    return ended;
                }
            }
            sleep(DEATH_POLL).await;
        }
    }

    /// Ends the processes: the gateways, then the other servers, then Redis.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + STOP_TIMEOUT;
        let (mut gateways, mut others): (Vec<_>, Vec<_>) =
            self.servers.drain(..).partition(|server| server.role == Role::Gateway);
        for servers in [&mut gateways, &mut others] {
            servers.iter_mut().for_each(|server| server.child.terminate());
            for server in servers {
                server.child.end_by(deadline).await;
            }
        }
        if let Some(redis) = &mut self.redis {
            redis.child.terminate();
            redis.child.end_by(Instant::now() + STOP_TIMEOUT).await;
        }
    }
}

/// What the servers log, for their last words: a cluster under load has better things to do.
const LOG: &str = "warn";

/// The URL may hold a password, which a command line would show to everyone on the machine.
fn server_environment(role: Role, url: &str, prefix: &str) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("PINTAIL_REDIS", url.to_owned()),
        ("PINTAIL_KEY_PREFIX", prefix.to_owned()),
        ("PINTAIL_LOG", LOG.to_owned()),
    ];
    // When the test is over, nobody is left to be waited for.
    match role {
        Role::Gateway => environment.push(("PINTAIL_LAME_DUCK", "0s".to_owned())),
        Role::Game => environment.push(("PINTAIL_DRAIN_TIMEOUT", "0s".to_owned())),
        _ => {}
    }
    environment
}

fn certificate(plan: &Plan) -> Result<Option<Certificate>, ClusterError> {
    (plan.encryption == Encryption::Tls).then(Certificate::make).transpose()
}

fn describe(plan: &Plan, store: &str) -> String {
    let count = |count: u32, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let gateways = count(plan.gateways, "gateway", "gateways");
    let lobbies = count(plan.lobbies, "lobby server", "lobby servers");
    let games = count(plan.games, "game server", "game servers");
    format!("a cluster of its own: {gateways}, {lobbies}, {games}, {store}")
}

/// To how many servers a gateway is linked, if it says so.
async fn links(admin: SocketAddr) -> Option<f64> {
    let request = Request {
        address: &admin.to_string(),
        path: "/metrics",
        token: None,
        bytes_max: METRICS_BYTES_MAX,
        patience: METRICS_PATIENCE,
    };
    let metrics = request.get().await.ok()?;
    gauge(std::str::from_utf8(&metrics.body).ok()?, "pintail_gateway_links")
}

/// The sum of a gauge over all its labels, in Prometheus' text format.
fn gauge(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with([' ', '{']);
        is_it.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    values.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_is_read_with_and_without_labels() {
        let metrics = "# TYPE links gauge\nlinks 3\nlinks_lost_total 9\nlinks2 7\n";
        assert_eq!(gauge(metrics, "links"), Some(3.0));
        assert_eq!(gauge("links{kind=\"lobby\"} 1\nlinks{kind=\"game\"} 2\n", "links"), Some(3.0));
        assert_eq!(gauge(metrics, "link"), None);
    }

    #[test]
    fn last_words_end_a_sentence() {
        let lines = ["one".to_owned(), "two".to_owned()].to_vec();
        let ended = ClusterError::Ended { name: "game".to_owned(), how: "exit status: 1".to_owned(), last: lines };
        assert_eq!(ended.to_string(), "the game process has ended (exit status: 1); it said last:\n  one\n  two");
    }
}

//! What the settings of a server mean, and which can't be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use pintail_core::gateway_address::Encryption;
use pintail_core::{AdminToken, ClusterSecret, Kind};
use pintail_net::ServerConfig;
use pintail_net::address::is_beyond_loopback;
use pintail_net::trace::TraceExport;
use pintail_tls::ServerIdentity;
use thiserror::Error;

use super::args::{DevArgs, GameArgs, GatewayArgs, LobbyArgs, ServerArgs};
use super::games::GameSettings;
use super::health::{Health, TooShort};
use super::values::AdminAddress;

/// Settings that can't be.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum Impossible {
    /// No store is named.
    #[error(
        "which Redis? Say it with --redis URL (or PINTAIL_REDIS, or `redis` in the file), such as --redis \
         redis://127.0.0.1:6379; `pintail dev` needs none"
    )]
    NoRedis,
    /// No store is named, and no file either, for a replay.
    #[error(
        "which Redis has the game? Say it with --redis URL (or PINTAIL_REDIS, or `redis` in the file), or name a file with \
         --file. What `pintail dev` plays can't be replayed, as it keeps everything inside its process: run `pintail \
         gateway`, `lobby` and `game` on a Redis instead"
    )]
    NoRedisToReplay,
    /// The store's URL is none.
    #[error("--redis: {0}")]
    Redis(String),
    /// A certificate or key can't be used.
    #[error("TLS to Redis (--redis-ca, --redis-cert, --redis-key): {0}")]
    RedisTls(String),
    /// The certificate for players can't be used.
    #[error("TLS for players (--tls-cert, --tls-key): {0}")]
    Tls(String),
    /// A certificate without its key, or the other way round.
    #[error("{0} is of no use without {1}: give both or neither")]
    HalfOfAPair(&'static str, &'static str),
    /// The secret is too short.
    #[error(
        "the cluster secret (--cluster-secret, PINTAIL_CLUSTER_SECRET) has fewer than {} characters and could be \
         guessed: make one with `openssl rand -hex 32`",
        ClusterSecret::BYTES_MIN
    )]
    ShortSecret,
    /// The admin token is too short.
    #[error(
        "the admin token (--admin-token, PINTAIL_ADMIN_TOKEN) has fewer than {} characters and could be guessed: make one \
         with `openssl rand -hex 32`",
        AdminToken::CHARACTERS_MIN
    )]
    ShortAdminToken,
    /// Strangers could open links.
    #[error(
        "{0} {1} can be reached from other machines, and a cluster that can be needs a secret, which its servers prove \
         to each other: give every server the same PINTAIL_CLUSTER_SECRET, or listen on 127.0.0.1"
    )]
    OpenWithoutSecret(&'static str, SocketAddr),
    /// Two ports are one.
    #[error("{0} and {1} both say {2}: give each its own port")]
    SamePort(&'static str, &'static str, SocketAddr),
    /// A limit is too short for what it limits.
    #[error(transparent)]
    TooShort(TooShort),
    /// The log filter is none.
    #[error(
        "--log: `{filter}` is no log filter ({problem}): write a level (error, warn, info, debug, trace) or levels by module"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A port to listen on, and whether another will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    /// Where to listen.
    pub(crate) address: SocketAddr,
    /// Who chose it.
    pub(crate) choice: Choice,
}

/// Who chose a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The operator: it must be this one.
    Given,
    /// Nobody: if it is in use, any free one will do.
    Default,
}

impl Port {
    /// The operator's port, or else the default one.
    fn new(given: Option<SocketAddr>, default: SocketAddr) -> Self {
        match given {
            Some(address) => Self { address, choice: Choice::Given },
            None => Self { address: default, choice: Choice::Default },
        }
    }

    /// Any free port of the loopback interface.
    pub(crate) fn any_on_loopback() -> Self {
        Self { address: on_loopback(0), choice: Choice::Given }
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    /// For clients or links.
    pub(crate) listen: Port,
    /// For `/metrics` and the like.
    pub(crate) admin: Option<Port>,
    /// A gateway's WebSockets.
    pub(crate) http: Option<Port>,
}

impl Ports {
    fn check(self) -> Result<Self, Impossible> {
        let ports = [("--listen", Some(self.listen)), ("--admin", self.admin), ("--http", self.http)];
        for (index, (first, port)) in ports.iter().enumerate() {
            for (second, other) in &ports[index + 1..] {
                if let (Some(port), Some(other)) = (port, other)
                    && port.choice == Choice::Given
                    && other.choice == Choice::Given
                    && port.address == other.address
                    && port.address.port() != 0
                {
                    return Err(Impossible::SamePort(first, second, port.address));
                }
            }
        }
        Ok(self)
    }
}

/// A server's settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct ServerSettings {
    /// What it does.
    pub(crate) kind: Kind,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The cluster's secret.
    pub(crate) secret: ClusterSecret,
    /// Where it listens.
    pub(crate) ports: Ports,
    /// What the admin port asks for.
    pub(crate) admin_token: Option<AdminToken>,
    /// Who is told of traces.
    pub(crate) otlp: Option<TraceExport>,
    /// What the registry is told.
    pub(crate) advertise: Option<Ipv4Addr>,
    /// How much it takes.
    pub(crate) capacity: u32,
    /// How quickly it notices what happens to others, and they what happens to it.
    pub(crate) health: Health,
    /// How long it goes on after it was told to stop: a game server for its games, a gateway for load balancers to
    /// notice.
    pub(crate) grace: Duration,
    /// How a game server keeps its games.
    pub(crate) games: GameSettings,
    /// How many threads carry a gateway's connections.
    pub(crate) threads: NonZeroUsize,
    /// What a gateway shows to players; `None` if nothing is encrypted.
    pub(crate) tls: Option<ServerIdentity>,
}

/// The settings that differ by kind.
#[derive(Debug, Clone, Copy)]
struct OfKind {
    kind: Kind,
    capacity: u32,
    grace: Duration,
    http: Option<SocketAddr>,
}

impl ServerSettings {
    /// What the settings of a gateway mean.
    ///
    /// # Errors
    /// If they can't be.
    pub(crate) fn of_gateway(args: &GatewayArgs) -> Result<Self, Impossible> {
        let health = args.health.health(args.store.store_timeout)?;
        let own = OfKind { kind: Kind::Gateway, capacity: args.capacity, grace: args.lame_duck.0, http: args.http };
        let tls = args.tls.identity()?;
        Ok(Self { threads: threads(args.threads), tls, ..Self::new(own, &args.server, health)? })
    }

    /// What the settings of a lobby server mean.
    ///
    /// # Errors
    /// If they can't be.
    pub(crate) fn of_lobby(args: &LobbyArgs) -> Result<Self, Impossible> {
        let health = args.health.health(args.store.store_timeout)?;
        let own = OfKind { kind: Kind::Lobby, capacity: args.capacity, grace: Duration::ZERO, http: None };
        Self::new(own, &args.server, health)
    }

    /// What the settings of a game server mean.
    ///
    /// # Errors
    /// If they can't be.
    pub(crate) fn of_game(args: &GameArgs) -> Result<Self, Impossible> {
        let health = args.health.health(args.store.store_timeout)?;
        let games = args.journal.settings(&health)?;
        let own = OfKind { kind: Kind::Game, capacity: args.capacity, grace: args.drain_timeout.0, http: None };
        Ok(Self { games, ..Self::new(own, &args.server, health)? })
    }

    fn new(own: OfKind, args: &ServerArgs, health: Health) -> Result<Self, Impossible> {
        let OfKind { kind, capacity, grace, http } = own;
        let secret = secret_of(args)?;
        let default_ip = default_ip(secret.as_ref());
        let listen = Port::new(args.listen, SocketAddr::new(default_ip, kind.default_port()));
        let admin = match args.admin {
            Some(AdminAddress::Off) => None,
            Some(AdminAddress::On(address)) => Some(Port::new(Some(address), address)),
            None => Some(Port::new(None, on_loopback(admin_port(kind)))),
        };
        let http = (kind == Kind::Gateway).then(|| Port::new(http, SocketAddr::new(default_ip, HTTP_PORT)));
        for (setting, port) in [("--listen", Some(listen)), ("--http", http)] {
            if let Some(port) = port.filter(|port| secret.is_none() && is_beyond_loopback(port.address)) {
                return Err(Impossible::OpenWithoutSecret(setting, port.address));
            }
        }
        Ok(Self {
            kind,
            cluster: args.cluster.clone(),
            secret: secret.unwrap_or_else(ClusterSecret::loopback),
            ports: Ports { listen, admin, http }.check()?,
            admin_token: admin_token_of(args)?,
            otlp: args.otlp.clone().map(|endpoint| TraceExport { endpoint, share: args.otlp_sample }),
            advertise: args.advertise,
            capacity,
            health,
            grace,
            games: GameSettings::default(),
            threads: NonZeroUsize::MIN,
            tls: None,
        })
    }

    /// Whether players can be listened to on their way.
    pub(crate) const fn encryption(&self) -> Encryption {
        if self.tls.is_some() { Encryption::Tls } else { Encryption::None }
    }

    /// The settings in the form that every kind of server takes.
    pub(crate) fn server_config(&self) -> ServerConfig {
        ServerConfig {
            timing: self.health.timing,
            cluster: self.cluster.clone(),
            secret: self.secret.clone(),
            listen: self.ports.listen.address,
            advertise: self.advertise,
            admin: self.ports.admin.map(|port| port.address),
            admin_token: self.admin_token.clone(),
            otlp: self.otlp.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// As many as were asked for, or as the process may use cores.
fn threads(asked: Option<u16>) -> NonZeroUsize {
    let asked = asked.and_then(|count| NonZeroUsize::new(count.into()));
    asked.unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

impl DevArgs {
    /// Where the first gateway listens.
    ///
    /// # Errors
    /// If two ports are one.
    pub(crate) fn gateway_ports(&self) -> Result<Ports, Impossible> {
        Ports {
            listen: Port::new(self.listen, on_loopback(Kind::Gateway.default_port())),
            admin: Some(Port::any_on_loopback()),
            http: Some(Port::new(self.http, on_loopback(HTTP_PORT))),
        }
        .check()
    }
}

/// Where a gateway serves WebSockets and pages.
const HTTP_PORT: u16 = 8080;

/// The admin port of each kind: one for each, so that a gateway, a lobby and a game server fit on one machine.
const fn admin_port(kind: Kind) -> u16 {
    kind.default_port() + 4000
}

fn secret_of(args: &ServerArgs) -> Result<Option<ClusterSecret>, Impossible> {
    args.cluster_secret.as_ref().map(|text| text.secret().ok_or(Impossible::ShortSecret)).transpose()
}

fn admin_token_of(args: &ServerArgs) -> Result<Option<AdminToken>, Impossible> {
    args.admin_token.as_ref().map(|text| text.admin_token().ok_or(Impossible::ShortAdminToken)).transpose()
}

/// Without a secret, a server is for its own machine only.
fn default_ip(secret: Option<&ClusterSecret>) -> IpAddr {
    if secret.is_some() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv4Addr::LOCALHOST.into() }
}

fn on_loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::args::{Cli, Command};

    fn settings(arguments: &str) -> Result<ServerSettings, Impossible> {
        let arguments = std::iter::once("pintail").chain(arguments.split_whitespace());
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Gateway(args) => ServerSettings::of_gateway(&args),
            Command::Lobby(args) => ServerSettings::of_lobby(&args),
            Command::Game(args) => ServerSettings::of_game(&args),
            other => panic!("no server: {other:?}"),
        }
    }

    fn addresses(arguments: &str) -> [Option<String>; 3] {
        let ports = settings(arguments).unwrap().ports;
        [Some(ports.listen), ports.admin, ports.http].map(|port| port.map(|port| port.address.to_string()))
    }

    const SECRET: &str = "--cluster-secret 0123456789abcdef";

    #[test]
    fn without_a_secret_servers_keep_to_their_machine() {
        let some = |text: &str| Some(text.to_owned());
        let gateway = [some("127.0.0.1:5555"), some("127.0.0.1:9555"), some("127.0.0.1:8080")];
        assert_eq!(addresses("gateway"), gateway);
        assert_eq!(addresses("lobby"), [some("127.0.0.1:5556"), some("127.0.0.1:9556"), None]);
        assert_eq!(addresses("game --admin off"), [some("127.0.0.1:5557"), None, None]);
    }

    #[test]
    fn with_a_secret_they_open_to_others_but_for_the_admin_port() {
        let some = |text: &str| Some(text.to_owned());
        let gateway = [some("0.0.0.0:5555"), some("127.0.0.1:9555"), some("0.0.0.0:8080")];
        assert_eq!(addresses(&format!("gateway {SECRET}")), gateway);
        assert_eq!(addresses(&format!("game {SECRET}")), [some("0.0.0.0:5557"), some("127.0.0.1:9557"), None]);
        let given = format!("game {SECRET} --listen 127.0.0.1:7 --admin 0.0.0.0:8");
        assert_eq!(addresses(&given), [some("127.0.0.1:7"), some("0.0.0.0:8"), None]);
    }

    #[test]
    fn what_can_not_be_is_refused_with_the_setting_to_change() {
        for (arguments, setting) in [
            ("lobby --listen 0.0.0.0:5556", "PINTAIL_CLUSTER_SECRET"),
            ("game --listen [::]:5556", "--listen [::]:5556"),
            ("gateway --listen 0.0.0.0:5555", "PINTAIL_CLUSTER_SECRET"),
            ("gateway --http 0.0.0.0:8080", "--http 0.0.0.0:8080"),
            ("game --cluster-secret short", "--cluster-secret"),
            ("game --admin-token short", "--admin-token"),
            ("game --listen 127.0.0.1:7 --admin 127.0.0.1:7", "--listen and --admin"),
            ("gateway --listen 127.0.0.1:7 --http 127.0.0.1:7", "--listen and --http"),
            ("gateway --admin 127.0.0.1:7 --http 127.0.0.1:7", "--admin and --http"),
        ] {
            let refusal = settings(arguments).unwrap_err().to_string();
            assert!(refusal.contains(setting), "{arguments}: {refusal}");
        }
        assert!(settings(&format!("gateway --listen 0.0.0.0:5555 {SECRET}")).is_ok(), "players may come from anywhere");
        assert!(settings("game --listen 127.0.0.1:0 --admin 127.0.0.1:0").is_ok());
    }
}

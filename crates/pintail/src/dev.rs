//! `pintail dev`: a whole cluster in one process, with real links over loopback and an embedded store.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::gateway_address::Encryption;
use pintail_core::secret::random_bytes;
use pintail_core::{ClusterSecret, GatewayAddress, Kind};
use pintail_game::GameTypes;
use pintail_game::runtime::JournalPolicy;
use pintail_net::RoleError;
use pintail_store::{EmbeddedStore, ServerRecord, SharedStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::args::DevArgs;
use crate::config::games::GameSettings;
use crate::config::health::Health;
use crate::config::server::{Port, Ports, ServerSettings};
use crate::failure::Failure;
use crate::output::{say, table};
use crate::program;
use crate::server::{Displaced, Place, Server};
use crate::signals::stop_on_signal;

/// How long the servers may take to find each other.
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a gateway is asked for its links.
const LINKS_POLL: Duration = Duration::from_millis(50);

/// How long a gateway may take to answer on its admin port.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of a gateway's metrics. They are some kilobytes.
const METRICS_BYTES_MAX: u64 = 1024 * 1024;

/// How long the servers go on after Ctrl-C. Not at all: nobody balances loads here, and once the gateways have stopped,
/// nobody can come back to a game.
const GRACE: Duration = Duration::ZERO;

/// How many players or rooms a server of `dev` takes: as many as anyone wants to try.
const CAPACITY: u32 = 100_000;

/// Runs the cluster until a signal comes or a server ends.
///
/// # Errors
/// If a server can't start, or ends by itself.
pub(crate) async fn run(args: &DevArgs, types: &GameTypes) -> Result<(), Failure> {
    let stop = stop_on_signal(args.common.log_format, "stopping".to_owned())?;
    let mut cluster = Cluster::start(args, types).await?;
    let ready = cluster.ready();
    let announce = async {
        ready.await?.iter().for_each(say);
        std::future::pending::<Result<(), Failure>>().await
    };
    let result = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = cluster.servers.join_next() => outcome(ended),
        failed = announce => failed,
    };
    let stopped = cluster.stop().await;
    result.and(stopped)
}

/// What became of a server's task.
fn outcome(ended: Result<Result<(), RoleError>, JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(ended) => Ok(ended?),
        Err(error) => Err(Failure::new(format!("internal error: a server's task failed ({error})"))),
    }
}

/// The servers of this process.
struct Cluster {
    store: SharedStore,
    members: Vec<Member>,
    servers: JoinSet<Result<(), RoleError>>,
    /// Gateways stop first: they tell the players.
    gateways_stop: CancellationToken,
    others_stop: CancellationToken,
    displaced: Vec<Displaced>,
    types: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    kind: Kind,
    listen: SocketAddr,
    http_ip: Option<IpAddr>,
    encryption: Encryption,
    place: Place,
}

impl Cluster {
    async fn start(args: &DevArgs, types: &GameTypes) -> Result<Self, Failure> {
        let mut cluster = Self {
            store: Arc::new(EmbeddedStore::new()),
            members: Vec::new(),
            servers: JoinSet::new(),
            gateways_stop: CancellationToken::new(),
            others_stop: CancellationToken::new(),
            displaced: Vec::new(),
            types: types.names().map(ToString::to_string).collect(),
        };
        let secret = ClusterSecret::new(&random_bytes::<32>());
        let journal = JournalPolicy { self_check: args.self_check.into(), ..JournalPolicy::default() };
        // A server that hangs must not take the others with it.
        let games = GameSettings { journal, stuck_exit: None };
        let tls = args.tls.identity()?;
        for (kind, index) in kinds(args) {
            let (ports, capacity) = match (kind, index) {
                (Kind::Gateway, 0) => (args.gateway_ports()?, CAPACITY),
                (Kind::Gateway, _) => (any_ports(Some(Port::any_on_loopback())), CAPACITY),
                (Kind::Lobby, _) => (any_ports(None), CAPACITY),
                (Kind::Game, _) => (any_ports(None), args.capacity),
            };
            let settings = ServerSettings {
                kind,
                cluster: "dev".to_owned(),
                secret: secret.clone(),
                ports,
                // Its admin ports are on loopback only.
                admin_token: None,
                otlp: None,
                advertise: Some(Ipv4Addr::LOCALHOST),
                capacity,
                health: Health::default(),
                grace: GRACE,
                games,
                threads: NonZeroUsize::MIN,
                tls: tls.clone().filter(|_| kind == Kind::Gateway),
            };
            cluster.add(settings, types).await?;
        }
        Ok(cluster)
    }

    async fn add(&mut self, settings: ServerSettings, types: &GameTypes) -> Result<(), Failure> {
        let kind = settings.kind;
        let http_ip = settings.ports.http.map(|port| port.address.ip());
        let encryption = settings.encryption();
        let (server, displaced) = Server::bind(settings, types, &self.store).await?;
        self.displaced.extend(displaced);
        let place = Place::of(&server, &self.store).await;
        self.members.push(Member { kind, listen: server.local_addr(), http_ip, encryption, place });
        let stop = if kind == Kind::Gateway { &self.gateways_stop } else { &self.others_stop };
        self.servers.spawn(server.run(stop.clone()));
        Ok(())
    }

    /// Waits until every gateway is linked to every other server, and describes the cluster.
    fn ready(&self) -> impl Future<Output = Result<Vec<String>, Failure>> + use<> {
        let (store, members) = (self.store.clone(), self.members.clone());
        let (displaced, types) = (self.displaced.clone(), self.types.clone());
        async move {
            let all_ready = async {
                let mut records = Vec::new();
                for member in &members {
                    records.push(member.place.registered(&store).await);
                }
                let links = members.iter().filter(|member| member.kind != Kind::Gateway).count();
                for record in records.iter().filter(|record| record.slot.kind == Kind::Gateway) {
                    linked(record, links).await;
                }
                records
            };
            let records = timeout(READY_TIMEOUT, all_ready).await.map_err(|_| {
                let seconds = READY_TIMEOUT.as_secs();
                Failure::new(format!("the servers did not find each other within {seconds} s: `--log info` says why"))
            })?;
            Ok(description(&members, &records, &displaced, &types))
        }
    }

    /// Gateways first, so that they tell the players; then the others. A server that failed is reported at the end.
    async fn stop(mut self) -> Result<(), Failure> {
        let gateways = self.members.iter().filter(|member| member.kind == Kind::Gateway).count();
        let others = self.members.len() - gateways;
        self.gateways_stop.cancel();
        let mut result = Ok(());
        while self.servers.len() > others {
            result = result.and(self.servers.join_next().await.map_or(Ok(()), outcome));
        }
        self.others_stop.cancel();
        while let Some(ended) = self.servers.join_next().await {
            result = result.and(outcome(ended));
        }
        result
    }
}

/// The servers in the order of their start: those that gateways link to first.
fn kinds(args: &DevArgs) -> impl Iterator<Item = (Kind, u32)> + use<> {
    let counts = [(Kind::Game, args.games), (Kind::Lobby, args.lobbies), (Kind::Gateway, args.gateways)];
    counts.into_iter().flat_map(|(kind, count)| (0..count).map(move |index| (kind, index)))
}

fn any_ports(http: Option<Port>) -> Ports {
    Ports { listen: Port::any_on_loopback(), admin: Some(Port::any_on_loopback()), http }
}

/// Waits until a gateway has this many links.
async fn linked(gateway: &ServerRecord, links: usize) {
    let Some(port) = gateway.admin_port else { return };
    let expected = format!("\npintail_gateway_links {links}\n");
    loop {
        if let Ok(Ok(metrics)) = timeout(ADMIN_TIMEOUT, metrics(port)).await
            && metrics.contains(&expected)
        {
            return;
        }
        sleep(LINKS_POLL).await;
    }
}

async fn metrics(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(METRICS_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// What runs where, and what to try.
fn description(members: &[Member], records: &[ServerRecord], displaced: &[Displaced], types: &[String]) -> Vec<String> {
    let mut rows: Vec<_> =
        members.iter().zip(records).map(|(member, record)| (record.slot, row(member, record))).collect();
    rows.sort_by_key(|&(slot, _)| slot);
    let header = ["SERVER", "ADDRESS", "HTTP", "METRICS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(header).chain(rows.into_iter().map(|(_, row)| row)).collect();
    let mut lines = vec![
        format!("Pintail {}: a cluster in one process; it forgets everything when it stops", env!("CARGO_PKG_VERSION")),
        String::new(),
    ];
    lines.extend(table(&rows));
    lines.push(String::new());
    lines.extend(displaced.iter().map(|Displaced { setting, address }| {
        format!("{address} is in use, so another port was taken; {setting} chooses one")
    }));
    lines.push(format!("games: {}", types.join(", ")));
    let gateway = members.iter().find(|member| member.kind == Kind::Gateway);
    lines.extend(gateway.map(|gateway| suggestion(gateway.listen, gateway.encryption, types)).unwrap_or_default());
    lines.push("ready; Ctrl-C stops it".to_owned());
    lines
}

fn row(member: &Member, record: &ServerRecord) -> [String; 4] {
    let http = member.http_ip.zip(record.http_port).map(|(ip, port)| SocketAddr::new(ip, port));
    let (address, http) = match member.encryption {
        Encryption::None => (member.listen.to_string(), http.map(|http| format!("http://{http}"))),
        Encryption::Tls => (format!("tls://{}", member.listen), http.map(|http| format!("wss://{http}/ws"))),
    };
    let metrics = record.admin_port.map(|port| format!("http://127.0.0.1:{port}/metrics"));
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [record.slot.to_string(), address, or_dash(http), or_dash(metrics)]
}

/// Where this machine reaches a server that listens here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), listen.port()),
        _ => listen,
    }
}

fn suggestion(listen: SocketAddr, encryption: Encryption, types: &[String]) -> Vec<String> {
    let game = types.iter().find(|name| *name == "gomoku").or(types.first());
    let (scheme, heading) = match encryption {
        Encryption::None => ("tcp", "to play, type this in two other terminals:"),
        Encryption::Tls => (
            "tls",
            "to play, type this in two other terminals, with a name that the certificate has, and with --ca FILE if its \
             authority is your own:",
        ),
    };
    let gateway: Result<GatewayAddress, _> = format!("{scheme}://{}", reachable(listen)).parse();
    let (Some(game), Ok(gateway)) = (game, gateway) else { return Vec::new() };
    vec![heading.to_owned(), format!("  {}", program::to_play(game, &[gateway]))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suggestion_is_a_game_that_is_there() {
        let types = ["echo".to_owned(), "gomoku".to_owned()];
        let gateway = "127.0.0.1:5555".parse().unwrap();
        let plain = Encryption::None;
        assert!(suggestion(gateway, plain, &types)[1].ends_with(" play gomoku"));
        assert!(suggestion(gateway, plain, &types[..1])[1].ends_with(" play echo"));
        assert!(suggestion(gateway, plain, &[]).is_empty());
        let encrypted = suggestion("0.0.0.0:5555".parse().unwrap(), Encryption::Tls, &types);
        assert!(encrypted[1].ends_with(" play gomoku --gateway tls://127.0.0.1:5555"), "{encrypted:?}");
    }

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_loopback() {
        for (listen, reached) in [("0.0.0.0:7", "127.0.0.1:7"), ("[::]:7", "[::1]:7"), ("10.0.0.1:7", "10.0.0.1:7")] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), reached);
        }
    }
}

//! The cluster that is tested: one that runs, or one of its own.

use std::time::Duration;

use pintail_bench::Gateways;
use pintail_bench::cluster::{Cluster, ClusterError, Launcher, Plan, StoreChoice};
use pintail_bench::pins::{Cores, PinChoice, Pins};
use pintail_bench::process::Watched;
use pintail_bench::profile::AdminPort;
use pintail_bench::reach::OtherEnd;
use pintail_core::GatewayAddress;
use pintail_core::gateway_address::{self, Encryption};
use pintail_tls::{TlsError, Trust};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use crate::config::bench::options::{PlaceArgs, ResultArgs, Store, Transport};
use crate::config::bench::{HOLD, TRIVIAL};
use crate::config::play::DEFAULT_GATEWAY;
use crate::config::secret::RedisUrl;
use crate::failure::Failure;
use crate::output::warn;

/// How long a gateway may take to accept a connection, and to say who it is, before it counts as missing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the load goes.
#[derive(Debug)]
pub(super) enum Place {
    /// A cluster that runs.
    Running {
        /// Its gateways.
        gateways: Gateways,
        /// Its servers' admin ports, as far as they are known.
        admin: Vec<AdminPort>,
    },
    /// A cluster that is started for each measurement.
    Own {
        /// What is started.
        plan: Plan,
        /// How players connect.
        transport: Transport,
        /// The Redis that it shares with others, if it does. The plan names keys there that were never used.
        redis: Option<RedisUrl>,
    },
}

/// A cluster that takes the load.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) gateways: Gateways,
    pub(super) processes: Vec<Watched>,
    pub(super) admin: Vec<AdminPort>,
    /// What it is, in words.
    pub(super) description: String,
    /// The processes, if they are the test's own.
    pub(super) cluster: Option<Cluster>,
    /// What they leave in a Redis that others use.
    pub(super) keys: Option<Keys>,
}

/// Which cores the parts run on; this thread, and what it starts, is on its own from here on.
///
/// # Errors
/// If there are no such cores.
pub(super) fn take_cores(args: &PlaceArgs) -> Result<Pins, Failure> {
    let impossible = |error: pintail_bench::pins::PinError| Failure::new(error.to_string());
    // The servers that run elsewhere are where they are.
    if !args.own && args.pin == PinChoice::Auto {
        return Ok(Pins::default());
    }
    let pins = args.pin.resolve(&Cores::allowed().map_err(impossible)?).map_err(impossible)?;
    if let Some(load) = &pins.load {
        load.take().map_err(impossible)?;
    }
    Ok(pins)
}

impl Place {
    /// Where these settings say, and for a cluster that runs, whether it is there.
    ///
    /// # Errors
    /// If it is not.
    pub(super) async fn find(args: &PlaceArgs, result: &ResultArgs, pins: &Pins) -> Result<Self, Failure> {
        if args.own {
            let plan = plan(args, pins)?;
            if let Some(url) = &args.redis {
                Keys::new(url).ask().await?;
            }
            return Ok(Self::Own { plan, transport: args.transport, redis: args.redis.clone() });
        }
        let addresses = if args.target.is_empty() { vec![default_gateway().await?] } else { args.target.clone() };
        let gateways = Gateways { trust: trust(args)?, addresses };
        for gateway in &gateways.addresses {
            if let Err(why) = reach(&gateways, gateway).await {
                return Err(Failure::new(format!(
                    "no gateway answers at {gateway} ({why}): check the address and that it runs, or use --self for a \
                     cluster that is started for the test"
                )));
            }
        }
        let admin = result.admin.iter().map(|address| AdminPort { server: address.clone(), address: address.clone() });
        Ok(Self::Running { gateways, admin: admin.collect() })
    }

    /// Whether all players come over plain TCP.
    pub(super) fn is_plain_tcp(&self) -> bool {
        match self {
            Self::Own { transport, plan, .. } => *transport == Transport::Tcp && plan.encryption == Encryption::None,
            Self::Running { gateways, .. } => gateways.addresses.iter().all(|gateway| {
                *gateway.transport() == gateway_address::Transport::Tcp && gateway.encryption() == Encryption::None
            }),
        }
    }

    /// Who holds the other end of the players' connections.
    pub(super) fn other_end(&self) -> OtherEnd {
        match self {
            Self::Running { gateways, .. } => OtherEnd::Elsewhere(gateways.addresses.len() as u64),
            Self::Own { plan, .. } if plan.store == StoreChoice::Embedded => OtherEnd::OneProcess(plan.gateways.into()),
            Self::Own { plan, .. } => OtherEnd::Processes(plan.gateways.into()),
        }
    }

    /// A cluster that takes the load: the one that runs, or a new one.
    ///
    /// # Errors
    /// If it can't be started, or is told to stop meanwhile.
    pub(super) async fn open(&self, stop: &CancellationToken) -> Result<Opened, Failure> {
        match self {
            Self::Running { gateways, admin } => Ok(Opened {
                gateways: gateways.clone(),
                processes: Vec::new(),
                admin: admin.clone(),
                description: gateways.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                cluster: None,
                keys: None,
            }),
            Self::Own { plan, transport, redis } => {
                let keys = redis.as_ref().map(Keys::new);
                let mut plan = plan.clone();
                if let (StoreChoice::Redis { key_prefix, .. }, Some(keys)) = (&mut plan.store, &keys) {
                    key_prefix.clone_from(&keys.prefix);
                }
                let started = tokio::select! {
                    started = Cluster::start(&plan) => started.map_err(Failure::from),
                    () = stop.cancelled() => Err(Failure::new("it was ended before anything was measured")),
                };
                match started {
                    Ok(cluster) => Ok(Opened { keys, ..Opened::of(cluster, *transport, &plan.pins) }),
                    Err(error) => {
                        // What was started by then has ended.
                        if let Some(Err(left)) = clear(keys).await {
                            warn(left);
                        }
                        Err(error)
                    }
                }
            }
        }
    }

    /// The trivial server, in place of the cluster.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) async fn open_trivial(pins: &Pins) -> Result<Opened, Failure> {
        let words = vec!["bench".into(), TRIVIAL.into()];
        let cluster = Cluster::start_trivial(&launcher()?, words, pins.servers.as_ref()).await?;
        Ok(Opened::of(cluster, Transport::Tcp, pins))
    }
}

impl Opened {
    fn of(cluster: Cluster, transport: Transport, pins: &Pins) -> Self {
        let gateways = match transport {
            Transport::Tcp => cluster.gateways(),
            Transport::Websocket => cluster.websocket_gateways(),
        };
        let over = match (transport, gateways.trust.is_some()) {
            (Transport::Tcp, false) => "",
            (Transport::Tcp, true) => "; players over TCP with TLS (tls)",
            (Transport::Websocket, false) => "; players over WebSockets",
            (Transport::Websocket, true) => "; players over WebSockets with TLS (wss)",
        };
        let pins = pins.to_string();
        let pinned = if pins.is_empty() { String::new() } else { format!("; pinned to cores {pins}") };
        Self {
            gateways,
            processes: cluster.processes(),
            admin: cluster.admin_ports(),
            description: format!("{}{over}{pinned}", cluster.description()),
            cluster: Some(cluster),
            keys: None,
        }
    }
}

/// Removes keys, if there are any. `None` if there are none.
pub(super) async fn clear(keys: Option<Keys>) -> Option<Result<(), String>> {
    Some(keys?.clear().await)
}

fn plan(args: &PlaceArgs, pins: &Pins) -> Result<Plan, Failure> {
    let store = match (args.store, &args.redis) {
        (Store::Embedded, None) => StoreChoice::Embedded,
        (Store::Embedded, Some(_)) => {
            return Err(Failure::usage("--store embedded keeps nothing in Redis: leave --redis or --store out"));
        }
        (Store::Redis, None) => StoreChoice::OwnRedis,
        (Store::Redis, Some(url)) => {
            StoreChoice::Redis { url: url.expose().to_owned(), key_prefix: Keys::new(url).prefix }
        }
    };
    // Only a Redis that is started with the servers can be put anywhere.
    let redis = pins.redis.clone().filter(|_| store == StoreChoice::OwnRedis);
    Ok(Plan {
        launcher: launcher()?,
        store,
        gateways: args.gateways,
        lobbies: args.lobby_servers,
        games: args.game_servers,
        encryption: if args.tls { Encryption::Tls } else { Encryption::None },
        pins: Pins { redis, ..pins.clone() },
    })
}

fn launcher() -> Result<Launcher, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(format!("this program does not find its own file ({error}), which it starts the servers from"))
    })?;
    Ok(Launcher { program, hold: vec!["bench".into(), HOLD.into()] })
}

/// The gateway that a cluster on this machine has by itself.
async fn default_gateway() -> Result<GatewayAddress, Failure> {
    let gateway: GatewayAddress = DEFAULT_GATEWAY.parse().expect("a constant address");
    match reach(&Gateways::default(), &gateway).await {
        Ok(()) => Ok(gateway),
        Err(_) => Err(Failure::new(format!(
            "no gateway answers at {DEFAULT_GATEWAY}, which is where one is looked for by itself: name those of a cluster \
             that runs with --target ADDR, or have one started for the test with --self"
        ))),
    }
}

/// Whom players trust, if any of the gateways speaks TLS.
fn trust(args: &PlaceArgs) -> Result<Option<Trust>, Failure> {
    let unusable = |error: TlsError| Failure::usage(format!("--ca: {error}"));
    match &args.ca {
        Some(file) => Trust::in_file(file).map(Some).map_err(unusable),
        None if args.target.iter().any(|gateway| gateway.encryption() == Encryption::Tls) => {
            Trust::in_system().map(Some).map_err(unusable)
        }
        None => Ok(None),
    }
}

async fn reach(gateways: &Gateways, gateway: &GatewayAddress) -> Result<(), String> {
    match timeout(CONNECT_TIMEOUT, gateways.greet(gateway)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing was heard for {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::new(error.to_string())
    }
}

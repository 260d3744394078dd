//! `pintail gateway`, `lobby` and `game`: one server in a cluster.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pintail_core::gateway_address::Encryption;
use pintail_core::{Kind, Slot};
use pintail_game::GameTypes;
use pintail_net::descriptors;
use pintail_store::{Periods, RedisStore, ServerRecord, SharedStore};
use serde::Serialize;
use tracing::{info, warn};

use crate::config::args::LogFormat;
use crate::config::period::Period;
use crate::config::server::{Impossible, ServerSettings};
use crate::config::store::StoreArgs;
use crate::failure::Failure;
use crate::hazards;
use crate::output::say;
use crate::server::{Displaced, Place, Server};
use crate::signals::stop_on_signal;

/// The store of these settings.
///
/// # Errors
/// If the settings name none, or one that can't be.
pub(crate) fn redis_store(args: &StoreArgs, periods: Periods) -> Result<RedisStore, Failure> {
    let options = args.options(periods)?;
    Ok(RedisStore::connect(options).map_err(|error| Impossible::Redis(error.to_string()))?)
}

/// The least time that a command that someone waits for gives Redis: enough for the connection to say why there is none.
pub(crate) const COMMAND_PATIENCE: Duration = Duration::from_secs(4);

/// The store for a command that looks once and ends.
///
/// # Errors
/// If the settings name none, or one that can't be.
pub(crate) fn patient_store(args: &StoreArgs) -> Result<RedisStore, Failure> {
    let mut options = args.options(Periods::default())?;
    options.timeout = options.timeout.max(COMMAND_PATIENCE);
    Ok(RedisStore::connect(options).map_err(|error| Impossible::Redis(error.to_string()))?)
}

/// Runs one server until it is told to stop.
///
/// # Errors
/// If it can't start, or can't go on.
pub(crate) async fn serve(
    settings: ServerSettings,
    store_args: &StoreArgs,
    types: &GameTypes,
    log_format: LogFormat,
) -> Result<(), Failure> {
    let stop = stop_on_signal(log_format, farewell(settings.kind, Period(settings.grace)))?;
    let redis = redis_store(store_args, settings.health.periods)?;
    warn_if_unreachable(&settings);
    warn_if_too_few_files(&settings, descriptors::raise_limit());
    if let Err(error) = redis.ping().await {
        let url = store_args.redis()?;
        warn!(%error, "can't reach Redis at {url}: check --redis, and that it runs; trying until it answers");
    }
    let store: SharedStore = Arc::new(redis);
    let admin_ip = settings.ports.admin.map(|port| port.address.ip());
    let http_ip = settings.ports.http.map(|port| port.address.ip());
    let encryption = settings.encryption();
    let (server, displaced) = Server::bind(settings, types, &store).await?;
    let place = Place::of(&server, &store).await;
    let listen = server.local_addr();
    let announce = async {
        let record = place.registered(&store).await;
        let ready = Ready { tls: encryption == Encryption::Tls, ..Ready::new(&record, listen, admin_ip, http_ip) };
        ready.say(&displaced, log_format);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = server.run(stop) => ended?,
        () = announce => {}
        () = hazards::tell(&*store) => {}
    }
    info!("stopped");
    Ok(())
}

/// What a server does when it is told to stop, and for how long.
fn farewell(kind: Kind, grace: Period) -> String {
    let is_waiting = !grace.0.is_zero();
    match kind {
        Kind::Game if is_waiting => {
            format!("draining: journaled games move to other servers, and the others have up to {grace} to end")
        }
        Kind::Gateway if is_waiting => {
            format!("stopping: up to {grace} for load balancers to notice, then the players are told")
        }
        Kind::Gateway => "stopping: the players are told".to_owned(),
        Kind::Game | Kind::Lobby => "stopping: what has begun is finished".to_owned(),
    }
}

/// Warns of an address that others are told and that this server does not listen on. It can be meant: something on this
/// machine may forward it.
fn warn_if_unreachable(settings: &ServerSettings) {
    let listen = settings.ports.listen.address;
    if let Some(advertise) = settings.advertise.filter(|ip| !ip.is_loopback() && listen.ip().is_loopback()) {
        warn!(
            "--advertise tells the others {advertise}, but this server listens on {listen} only: unless something \
             forwards to it, listen there too (--listen 0.0.0.0:{}, with a cluster secret)",
            listen.port()
        );
    }
}

/// Warns of a gateway that is told to hold more players than the operating system lets it. It holds as many as it can.
fn warn_if_too_few_files(settings: &ServerSettings, limit: u64) {
    let clients_max = descriptors::clients_max(limit);
    let capacity = settings.capacity;
    if settings.kind == Kind::Gateway && usize::try_from(capacity).is_ok_and(|capacity| capacity > clients_max) {
        warn!(
            "--capacity says {capacity} players, but this process may have {limit} files open, which is enough for \
             {clients_max}: raise its hard limit (LimitNOFILE of systemd, --ulimit nofile of containers, ulimit -Hn)"
        );
    }
}

/// What is printed when a server is ready.
#[derive(Debug, Serialize)]
struct Ready {
    ready: Slot,
    listen: SocketAddr,
    advertised: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    /// Whether players speak TLS with it. It stands there only if they do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls: bool,
    pid: u32,
}

impl Ready {
    fn new(record: &ServerRecord, listen: SocketAddr, admin: Option<IpAddr>, http: Option<IpAddr>) -> Self {
        let at = |ip: Option<IpAddr>, port: Option<u16>| Some(SocketAddr::new(ip?, port?));
        Self {
            ready: record.slot,
            listen,
            advertised: record.endpoint.to_string(),
            http: at(http, record.http_port),
            admin: at(admin, record.admin_port),
            tls: false,
            pid: std::process::id(),
        }
    }

    fn say(&self, displaced: &[Displaced], format: LogFormat) {
        for Displaced { setting, address } in displaced {
            info!("{address} is in use, so any free port is taken instead; {setting} chooses one");
        }
        match format {
            LogFormat::Text => say(self),
            LogFormat::Json => say(serde_json::to_string(self).expect("its fields have names")),
        }
    }
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, listen, advertised, .. } = self;
        let scheme = if self.tls { "tls://" } else { "" };
        write!(f, "ready: {ready} listens on {scheme}{listen}")?;
        if *advertised != listen.to_string() {
            write!(f, ", reached at {advertised}")?;
        }
        match self.http {
            Some(http) if self.tls => write!(f, ", wss://{http}/ws")?,
            Some(http) => write!(f, ", http://{http}")?,
            None => {}
        }
        if let Some(admin) = self.admin {
            write!(f, ", metrics http://{admin}/metrics")?;
        }
        write!(f, ", pid {}", self.pid)
    }
}

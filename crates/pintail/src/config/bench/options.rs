//! What every scenario has.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum, value_parser};
use pintail_bench::condition::Condition;
use pintail_bench::pins::PinChoice;
use pintail_core::GatewayAddress;

use crate::config::period::{self, Period};
use crate::config::secret::RedisUrl;

/// What every scenario has.
#[derive(Debug, Clone, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    #[command(flatten)]
    pub(crate) result: ResultArgs,
}

/// Where the load goes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct PlaceArgs {
    /// The gateways of a cluster that runs: host:port, tls://host:port, ws://host:port/ws or wss://host:port/ws; several
    /// with commas
    ///
    /// Without it and without --self, the gateway at 127.0.0.1:5555.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', conflicts_with = "own")]
    pub(crate) target: Vec<GatewayAddress>,

    /// Whom players trust at addresses with TLS (tls://, wss://): the certificates of the authorities in this file (PEM)
    /// [default: those that the system trusts]
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "own")]
    pub(crate) ca: Option<PathBuf>,

    /// Start a cluster for the test, each server a process of its own, and end it after
    #[arg(id = "own", long = "self")]
    pub(crate) own: bool,

    /// What the servers of --self share: a redis-server that is started with them, or the embedded store, for which they
    /// are one process
    #[arg(long, value_name = "STORE", default_value = "redis", requires = "own", conflicts_with = "target")]
    pub(crate) store: Store,

    /// A Redis that runs, for the servers of --self; they keep to keys of their own that begin with `bench-`
    ///
    /// The test removes them at its end. What one has left that was killed:
    /// redis-cli --scan --pattern 'bench-*' | xargs redis-cli unlink
    #[arg(long, value_name = "URL", requires = "own", conflicts_with = "target")]
    pub(crate) redis: Option<RedisUrl>,

    /// How many gateways --self starts
    #[arg(long, value_name = "N", default_value = "1", requires = "own", conflicts_with = "target", value_parser = server_count())]
    pub(crate) gateways: u32,

    /// How many lobby servers --self starts
    #[arg(long, value_name = "N", default_value = "1", requires = "own", conflicts_with = "target", value_parser = server_count())]
    pub(crate) lobby_servers: u32,

    /// How many game servers --self starts
    #[arg(long, value_name = "N", default_value = "1", requires = "own", conflicts_with = "target", value_parser = server_count())]
    pub(crate) game_servers: u32,

    /// How the players of --self connect
    #[arg(long, value_name = "TRANSPORT", default_value = "tcp", requires = "own", conflicts_with = "target")]
    pub(crate) transport: Transport,

    /// Have the players of --self connect with TLS, by a certificate that is made for the test
    #[arg(long, requires = "own", conflicts_with = "target")]
    pub(crate) tls: bool,

    /// Which cores the parts run on: `auto`, `off`, or such as `servers=0,load=1,redis=1` (several: `servers=0-2+5`)
    ///
    /// `auto` leaves the last core to the load, and to Redis; the servers have all others.
    #[arg(long, value_name = "CORES", default_value = "auto")]
    pub(crate) pin: PinChoice,
}

/// What is measured, and for how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How long, and how often")]
pub(crate) struct WindowArgs {
    /// How long is measured
    #[arg(long, value_name = "PERIOD", default_value = "30s", value_parser = period::measured)]
    pub(crate) duration: Period,

    /// How long the players play before it is measured
    #[arg(long, value_name = "PERIOD", default_value = "5s", value_parser = period::wait)]
    pub(crate) warm_up: Period,

    /// Let the load grow evenly from one player or room to all of them, for so long from the beginning of what is measured
    #[arg(long, value_name = "PERIOD", value_parser = period::measured, conflicts_with = "find_max")]
    pub(crate) ramp: Option<Period>,

    /// How often it is measured; with --self, each time on a cluster that was started anew
    #[arg(long, value_name = "N", default_value = "1", value_parser = value_parser!(u32).range(1..=100),
          conflicts_with = "find_max")]
    pub(crate) runs: u32,

    /// Find the largest load that keeps a condition, such as 'p99<50ms': twice as much until it breaks, then halves
    ///
    /// It begins with the load of --players or --rooms, and ends when it is known to a twentieth. Two of three measurements
    /// decide about a load. The conditions are those of --fail-if.
    #[arg(long, value_name = "CONDITION")]
    pub(crate) find_max: Option<Condition>,

    /// What the players' random choices follow from: the same number, the same choices
    /// [default: chosen at random, and reported]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// What becomes of the result.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The result")]
pub(crate) struct ResultArgs {
    /// End with exit code 3 if this is true: 'p99>50ms', 'p99 of login>1s', 'errors>0', 'error-rate>0.1%',
    /// 'throughput<1000', 'cpu-per-message>20us', 'memory of gateway>100MiB'; can be given several times
    #[arg(long, value_name = "CONDITION")]
    pub(crate) fail_if: Vec<Condition>,

    /// Write the report to this file, for programs, `pintail bench compare` and `pintail bench report`
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report to this file as one page with charts, which needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Collect a flame graph of each server while it is measured, for the page
    #[arg(long)]
    pub(crate) profile: bool,

    /// The servers' admin ports, for the profiles of a cluster that --self has not started: host:port, with commas
    #[arg(long, value_name = "ADDR", value_delimiter = ',', requires = "profile", conflicts_with = "own")]
    pub(crate) admin: Vec<String>,

    /// What opens the admin ports of other machines: the servers' own --admin-token
    ///
    /// Whoever can list the machine's processes can read it on a command line; `@FILE` reads it from a file.
    #[arg(long, value_name = "TOKEN", requires = "profile")]
    pub(crate) admin_token: Option<AdminToken>,

    /// Put the same load on a trivial server too, and report how many times its CPU time Pintail took
    ///
    /// It is one process and one thread that answers as little as can be: what this machine takes at least. Its players come
    /// over plain TCP, whatever --transport and --tls say. For `echo` and `broadcast`.
    #[arg(long)]
    pub(crate) calibrate: bool,
}

/// What the servers of a test share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// A redis-server
    Redis,
    /// The embedded store: all servers are one process
    Embedded,
}

/// How players connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP
    Tcp,
    /// WebSockets
    Websocket,
}

/// What opens an admin port. It is never shown.
#[derive(Clone)]
pub(crate) struct AdminToken(String);

impl AdminToken {
    /// The token, for the request alone.
    ///
    /// # Errors
    /// If it is in a file that can't be read.
    pub(crate) fn expose(&self) -> std::io::Result<String> {
        match self.0.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).map(|text| text.trim().to_owned()),
            None => Ok(self.0.clone()),
        }
    }
}

impl FromStr for AdminToken {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// More on one machine measure how they share it.
const SERVERS_MAX: i64 = 16;

fn server_count() -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=SERVERS_MAX)
}

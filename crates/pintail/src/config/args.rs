//! The commands and their settings. The definitions here are the only ones: environment, file and `--help` follow.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use pintail_core::{GameId, Slot, Step, limits};
use pintail_net::trace::{OtlpEndpoint, TraceShare};

use super::bench::BenchArgs;
use super::games::JournalArgs;
use super::health::HealthArgs;
use super::period::{self, Period};
use super::play::PlayArgs;
use super::secret::SecretText;
use super::store::StoreArgs;
use super::tls::TlsArgs;
use super::values::{self, AdminAddress, Switch};

/// A distributed game server: sessions and rooms survive any of its processes.
#[derive(Debug, Parser)]
#[command(name = "pintail", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  pintail dev                                     try it: everything in one process
  pintail play gomoku                             a game in the terminal, against whoever comes
  pintail game --redis redis://127.0.0.1:6379     one more game server for a cluster
  pintail status --redis redis://127.0.0.1:6379   which servers there are, and how they are

Settings: a flag beats its environment variable, which beats the file of --config, which beats
the default. The file is TOML. A key is a flag's name with `_` for `-`; at the top it is for every
command that has the setting, in a table such as [game] for that command alone.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole cluster in one process, with an embedded store
    Dev(DevArgs),
    /// Run a gateway: it holds the players' connections
    Gateway(GatewayArgs),
    /// Run a lobby server: it runs the rooms
    Lobby(LobbyArgs),
    /// Run a game server: it runs the games
    Game(GameArgs),
    /// Show the servers of a cluster
    Status(StatusArgs),
    /// Ask a server to finish what it has, take nothing new, and stop
    Drain(DrainArgs),
    /// Play a game in the terminal
    Play(PlayArgs),
    /// Go through a game again, step by step, or list the games that failed
    Replay(ReplayArgs),
    /// Find out how much a cluster carries: bots, load, and a report
    Bench(BenchArgs),
}

impl Command {
    /// The command's settings for configuration and logs.
    pub(crate) fn common(&self) -> &CommonArgs {
        match self {
            Self::Dev(args) => &args.common,
            Self::Gateway(args) => &args.common,
            Self::Lobby(args) => &args.common,
            Self::Game(args) => &args.common,
            Self::Status(args) => &args.common,
            Self::Drain(args) => &args.common,
            Self::Play(args) => &args.common,
            Self::Replay(args) => &args.common,
            Self::Bench(args) => &args.common,
        }
    }
}

/// Settings of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration and logs")]
pub(crate) struct CommonArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "PINTAIL_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// What to log, on the standard error: a level, or levels by module such as `warn,pintail_game=debug`
    ///
    /// [default: `warn,pintail=info` for servers, `warn` for dev, `error` for the other commands]
    #[arg(long, value_name = "FILTER", env = "PINTAIL_LOG", verbatim_doc_comment)]
    pub(crate) log: Option<String>,

    /// How to write the log
    #[arg(long, value_name = "FORMAT", env = "PINTAIL_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line, for programs
    Json,
}

/// Settings of every kind of server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Where the server listens: for players (gateway: 5555) or for gateways (lobby: 5556, game: 5557)
    ///
    /// Port 0 takes any free port, and so does the default port if it is in use. What it got is printed.
    ///
    /// [default: the kind's port on 127.0.0.1; with a cluster secret, on 0.0.0.0]
    #[arg(long, value_name = "ADDR:PORT", env = "PINTAIL_LISTEN", value_parser = values::listen_address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where /healthz, /readyz, /metrics, /events and /debug are served over HTTP, or `off`
    ///
    /// From other machines all but the first two need the admin token: without one, they are for this machine.
    ///
    /// [default: on 127.0.0.1, gateway 9555, lobby 9556, game 9557, or any free port if that is in use]
    #[arg(long, value_name = "ADDR:PORT", env = "PINTAIL_ADMIN")]
    pub(crate) admin: Option<AdminAddress>,

    /// What whoever asks the admin port from another machine has to show (`Authorization: Bearer TOKEN`): at least 16
    /// characters
    ///
    /// Whoever can list the machine's processes can read it on a command line: prefer PINTAIL_ADMIN_TOKEN or the file.
    #[arg(long, value_name = "TOKEN", env = "PINTAIL_ADMIN_TOKEN")]
    pub(crate) admin_token: Option<SecretText>,

    /// Tell this collector of traces, by OpenTelemetry's OTLP over HTTP: http://host[:port][/path]
    ///
    /// A trace shows what each server did for a lobby request, up to the first step of the game that it started. Give every
    /// server the same. Nothing is traced without it.
    #[arg(long, value_name = "URL", env = "PINTAIL_OTLP")]
    pub(crate) otlp: Option<OtlpEndpoint>,

    /// Which share of lobby requests is traced, such as 0.1 for one in ten
    ///
    /// Gateways decide; the other servers trace whatever a gateway does.
    #[arg(long, value_name = "SHARE", env = "PINTAIL_OTLP_SAMPLE", default_value = "1")]
    pub(crate) otlp_sample: TraceShare,

    /// The IPv4 address at which the other servers reach this one
    ///
    /// [default: the address of --listen; if that is 0.0.0.0, the first network interface's]
    #[arg(long, value_name = "IP", env = "PINTAIL_ADVERTISE", value_parser = values::advertised_address)]
    pub(crate) advertise: Option<Ipv4Addr>,

    /// The cluster's name: servers of different names refuse each other
    #[arg(long, value_name = "NAME", env = "PINTAIL_CLUSTER", default_value = "pintail", value_parser = values::cluster_name)]
    pub(crate) cluster: String,

    /// What the servers of the cluster prove to each other: at least 16 characters, the same for all
    ///
    /// Whoever can list the machine's processes can read it on a command line: prefer PINTAIL_CLUSTER_SECRET or the
    /// file. Without it, a server accepts links over loopback only.
    #[arg(long, value_name = "SECRET", env = "PINTAIL_CLUSTER_SECRET")]
    pub(crate) cluster_secret: Option<SecretText>,
}

/// `pintail gateway`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail gateway --redis redis://127.0.0.1:6379
  PINTAIL_CLUSTER_SECRET=… pintail gateway --redis redis://10.0.0.5:6379 --advertise 10.0.0.7
  pintail gateway --redis … --tls-cert /etc/pintail/tls.crt --tls-key /etc/pintail/tls.key     players over TLS")]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,

    /// Where WebSockets and web pages are served over HTTP
    ///
    /// [default: port 8080 on 127.0.0.1; with a cluster secret, on 0.0.0.0; any free port if 8080 is in use]
    #[arg(long, value_name = "ADDR:PORT", env = "PINTAIL_HTTP", help_heading = "Server", value_parser = values::listen_address)]
    pub(crate) http: Option<SocketAddr>,

    /// How many players the gateway holds
    #[arg(long, value_name = "N", env = "PINTAIL_CAPACITY", help_heading = "Server", default_value = "10000",
          value_parser = value_parser!(u32).range(1..))]
    pub(crate) capacity: u32,

    /// How many threads carry the players' connections [default: one for each core]
    #[arg(long, value_name = "N", env = "PINTAIL_THREADS", help_heading = "Server",
          value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,

    /// How long a gateway that was told to stop goes on as before, but for /readyz: a load balancer that asks there
    /// sends it nobody new meanwhile
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_LAME_DUCK", help_heading = "Server",
          default_value_t = Period(limits::LAME_DUCK), value_parser = period::wait)]
    pub(crate) lame_duck: Period,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) health: HealthArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail lobby`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail lobby --redis redis://127.0.0.1:6379
  pintail lobby --redis redis://10.0.0.5:6379 --advertise 10.0.0.8     with PINTAIL_CLUSTER_SECRET set")]
pub(crate) struct LobbyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,

    /// How many rooms count as a full load
    #[arg(long, value_name = "N", env = "PINTAIL_CAPACITY", help_heading = "Server", default_value = "10000",
          value_parser = value_parser!(u32).range(1..))]
    pub(crate) capacity: u32,

    #[command(flatten)]
    pub(crate) health: HealthArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail game`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail game --redis redis://127.0.0.1:6379
  pintail game --redis redis://10.0.0.5:6379 --capacity 200     with PINTAIL_CLUSTER_SECRET set

Any number of game servers fit on one machine: the second takes free ports by itself.")]
pub(crate) struct GameArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) server: ServerArgs,

    /// How many games the server runs at once
    #[arg(long, value_name = "N", env = "PINTAIL_CAPACITY", help_heading = "Server", default_value = "1000",
          value_parser = value_parser!(u32).range(1..))]
    pub(crate) capacity: u32,

    /// How long a server that drains waits for its games to be gone, before it ends the rest
    ///
    /// Journaled games move to other servers meanwhile, which takes moments. Those that no server can take then wait in
    /// Redis; the others are ended.
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_DRAIN_TIMEOUT", help_heading = "Server",
          default_value_t = DRAIN_TIMEOUT, value_parser = period::wait)]
    pub(crate) drain_timeout: Period,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,

    #[command(flatten)]
    pub(crate) health: HealthArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail dev
  pintail dev --gateways 2 --games 4
  pintail dev --listen 0.0.0.0:5555     let players on other machines in")]
pub(crate) struct DevArgs {
    /// How many gateways
    #[arg(long, value_name = "N", env = "PINTAIL_GATEWAYS", default_value = "1", value_parser = server_count())]
    pub(crate) gateways: u32,

    /// How many lobby servers
    #[arg(long, value_name = "N", env = "PINTAIL_LOBBIES", default_value = "1", value_parser = server_count())]
    pub(crate) lobbies: u32,

    /// How many game servers
    #[arg(long, value_name = "N", env = "PINTAIL_GAMES", default_value = "2", value_parser = server_count())]
    pub(crate) games: u32,

    /// Where the first gateway listens for players; port 0 takes any free port
    ///
    /// [default: 127.0.0.1:5555, or any free port if that is in use]
    #[arg(long, value_name = "ADDR:PORT", env = "PINTAIL_LISTEN", value_parser = values::listen_address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where the first gateway serves WebSockets and web pages over HTTP; port 0 takes any free port
    ///
    /// [default: 127.0.0.1:8080, or any free port if that is in use]
    #[arg(long, value_name = "ADDR:PORT", env = "PINTAIL_HTTP", value_parser = values::listen_address)]
    pub(crate) http: Option<SocketAddr>,

    /// How many games each game server runs at once
    #[arg(long, value_name = "N", env = "PINTAIL_CAPACITY", default_value = "1000",
          value_parser = value_parser!(u32).range(1..))]
    pub(crate) capacity: u32,

    /// Play each journaled game twice and compare, to find game code that is not deterministic
    ///
    /// Such a game does not survive its server. What differs is logged as an error, once for each game type. A server of a
    /// cluster does it with `pintail game --self-check on`.
    #[arg(long, value_name = "SWITCH", env = "PINTAIL_SELF_CHECK", default_value = "on")]
    pub(crate) self_check: Switch,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail status --redis redis://127.0.0.1:6379
  pintail status --redis redis://127.0.0.1:6379 --watch
  pintail status --redis redis://127.0.0.1:6379 --json | jq -r '.servers[] | [.slot, .health] | @tsv'")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Show every slot, also those whose server has left, or died more than 10 minutes ago
    #[arg(long)]
    pub(crate) all: bool,

    /// Go on showing them, each second or this often, until Ctrl-C
    ///
    /// On a terminal the table is drawn in place. Otherwise a new one is printed when something has changed. Redis may
    /// be away meanwhile.
    #[arg(long, value_name = "SECONDS", env = "PINTAIL_WATCH", num_args = 0..=1, default_missing_value = "1s",
          value_parser = period::watch)]
    pub(crate) watch: Option<Period>,

    /// Print a JSON object, for programs; with --watch, one a line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail drain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail drain Server:Game:0 --redis redis://127.0.0.1:6379
  pintail drain gateway/1 --redis redis://127.0.0.1:6379 --timeout 5m

Exit codes:
  0  the server has left (with --no-wait: it was asked)
  1  Redis can't be reached, or another failure
  2  the command can't be understood
  3  there is no server in this slot
  4  it is a foreign server, which can't be asked
  5  it was asked, and has not left by --timeout")]
pub(crate) struct DrainArgs {
    /// Which server: its slot as `pintail status` shows it, such as Server:Game:0, or shorter: game:0
    #[arg(value_name = "SLOT", value_parser = values::slot)]
    pub(crate) slot: Slot,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// How long to wait until it has left; after that it goes on draining by itself
    #[arg(long, value_name = "PERIOD", env = "PINTAIL_TIMEOUT", default_value = "60s", value_parser = period::wait)]
    pub(crate) timeout: Period,

    /// Ask it, and don't wait
    #[arg(long)]
    pub(crate) no_wait: bool,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

/// `pintail replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pintail replay --redis redis://127.0.0.1:6379                                the games that failed
  pintail replay 00c0ffee00c0ffee-1 --redis redis://127.0.0.1:6379             what happened in one
  pintail replay 00c0ffee00c0ffee-1 --redis … --export crash.json              keep it: Redis does so for 7 days
  pintail replay --file crash.json --step 812 --values                         one step, and the game after it
  pintail replay --file crash.json --json | jq -c 'select(.events != [])'

A replay runs the game's code that is in this program, from the last snapshot on: use the program
whose servers ran the game, or one in which it is mended, to see whether that helps. Nothing is
sent to anyone, and nothing in Redis changes. In `cargo test`, `pintail::replay` does the same.

Exit codes:
  0  the replay came to the end of the journal or of the game, or to --until
  1  the game panicked again, or can't be had or read, or has no such --step
  2  the command can't be understood")]
pub(crate) struct ReplayArgs {
    /// Which game: its id, as logs have it, or `Game:` and its id, as Redis does. Without one, the games that failed are
    /// listed
    #[arg(value_name = "GAME", conflicts_with = "file", value_parser = values::game_id)]
    pub(crate) game: Option<GameId>,

    /// Read the game from this file, which --export wrote, and not from Redis
    #[arg(long, value_name = "FILE", env = "PINTAIL_FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Write the game to this file instead of playing it: all that a replay needs, the players' names included
    #[arg(long, value_name = "FILE", env = "PINTAIL_EXPORT", requires = "game")]
    pub(crate) export: Option<PathBuf>,

    /// Stop after this step
    #[arg(long, value_name = "STEP", env = "PINTAIL_UNTIL", value_parser = step)]
    pub(crate) until: Option<Step>,

    /// Show this step only
    #[arg(long, value_name = "STEP", env = "PINTAIL_STEP", value_parser = step)]
    pub(crate) step: Option<Step>,

    /// Show steps too that consumed nothing and sent state messages at most
    #[arg(long)]
    pub(crate) quiet_steps: bool,

    /// Show the game's value after each step that is shown, as JSON
    #[arg(long)]
    pub(crate) values: bool,

    /// Print JSON objects for programs, one a line: the game, its steps, a summary
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) common: CommonArgs,
}

fn step(text: &str) -> Result<Step, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.map(Step).ok_or_else(|| "write a step's number, from 1 on".to_owned())
}

/// Most orchestrators give a process 30 seconds to stop.
const DRAIN_TIMEOUT: Period = Period(Duration::from_secs(20));

/// Beyond it, one process is the wrong place.
const DEV_SERVERS_MAX: i64 = 16;

fn server_count() -> clap::builder::RangedI64ValueParser<u32> {
    value_parser!(u32).range(1..=DEV_SERVERS_MAX)
}

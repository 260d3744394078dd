//! What the players do, and how many there are.

use clap::{Args, value_parser};
use pintail_bench::scenario::{
    Arena, Broadcast, Churn, Connect, Cycle, Echo, EchoGame, Lobby, Match, PAYLOAD_BYTES_MIN, RequestLimit, Scenario,
};
use pintail_bench::{BotKind, LoadShape};

use super::options::TestArgs;
use crate::config::period::{self, Period};

/// How large a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    /// What it is counted in.
    pub(crate) unit: Unit,
    /// How many of them.
    pub(crate) count: u64,
    /// How many players each of them is, as a [`LoadShape`] counts.
    pub(crate) players_each: u64,
}

/// What a load is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Players.
    Players,
    /// Rooms.
    Rooms,
    /// Workers, each of which is one or two players.
    Workers,
}

impl Unit {
    /// Its name, in the plural.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Players => "players",
            Self::Rooms => "rooms",
            Self::Workers => "workers",
        }
    }
}

impl Load {
    /// How many connections each player of a [`LoadShape`] has at most: of a worker, those of the two players who work, and
    /// of the two who come to take their places.
    pub(crate) const fn connections_each(self) -> u64 {
        match self.unit {
            Unit::Players | Unit::Rooms => 1,
            Unit::Workers => 4,
        }
    }

    /// The load that is the same all the time.
    pub(crate) fn constant(self) -> LoadShape {
        LoadShape::Constant(self.count.saturating_mul(self.players_each))
    }

    /// The load that grows from one of its units.
    pub(crate) fn ramp(self, over: Period) -> LoadShape {
        LoadShape::Ramp { from: self.players_each, to: self.count.saturating_mul(self.players_each), over: over.0 }
    }
}

/// The most players of a test: what the ports of one machine are enough for.
const PLAYERS_MAX: u64 = 1_000_000;

/// The most messages that one player sends in a second.
const PER_SECOND_MAX: f64 = 1_000.0;

/// How many players or rooms, for scenarios of rooms.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The load")]
pub(crate) struct RoomsArgs {
    /// How many rooms
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u64).range(1..=PLAYERS_MAX))]
    pub(crate) rooms: u64,

    /// How many players, instead of rooms; made up to whole rooms
    #[arg(long, value_name = "N", conflicts_with = "rooms", value_parser = value_parser!(u64).range(1..=PLAYERS_MAX))]
    pub(crate) players: Option<u64>,
}

impl RoomsArgs {
    fn load(&self, room_players: u32) -> Load {
        match self.players {
            Some(count) => Load { unit: Unit::Players, count, players_each: 1 },
            None => Load { unit: Unit::Rooms, count: self.rooms, players_each: room_players.into() },
        }
    }
}

/// `pintail bench echo`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Examples:
  pintail bench echo --self --players 1000 --calibrate
  pintail bench echo --self --journaled --players 100      games that outlive their server
  pintail bench echo --self --transport websocket --find-max 'p99<20ms'"
)]
pub(crate) struct EchoArgs {
    /// How many players
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u64).range(1..=PLAYERS_MAX))]
    pub(crate) players: u64,
    /// How long a message is, in bytes
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = payload_bytes)]
    pub(crate) payload: usize,
    /// Play the game that keeps a journal
    #[arg(long)]
    pub(crate) journaled: bool,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench broadcast`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Examples:
  pintail bench broadcast --self --rooms 100 --calibrate
  pintail bench broadcast --self --room-size 4 --rate 60 --find-max 'p99<50ms'"
)]
pub(crate) struct BroadcastArgs {
    #[command(flatten)]
    pub(crate) rooms: RoomsArgs,
    /// How many players a room has
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u32).range(2..=100))]
    pub(crate) room_size: u32,
    /// How many messages each player sends in a second
    #[arg(long, value_name = "HZ", default_value = "20", value_parser = per_second)]
    pub(crate) rate: f64,
    /// How long a message is, in bytes
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = timed_payload_bytes)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench arena`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Example:
  pintail bench arena --self --game-servers 2 --rooms 100 --html arena.html"
)]
pub(crate) struct ArenaArgs {
    #[command(flatten)]
    pub(crate) rooms: RoomsArgs,
    /// How many players a room has
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(2..=16))]
    pub(crate) room_size: u32,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench lobby`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Examples:
  pintail bench lobby --self --workers 8
  pintail bench lobby --self --whole-games --find-max 'p99 of start game<1s'"
)]
pub(crate) struct LobbyArgs {
    /// How many work side by side
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u64).range(1..=100_000))]
    pub(crate) workers: u64,
    /// Place, start and end a game in each room, instead of having a second player join
    #[arg(long)]
    pub(crate) whole_games: bool,
    /// Take no notice of how many requests a gateway takes of a player: for gateways that have no such limit
    #[arg(long)]
    pub(crate) ignore_limits: bool,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench connect`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Examples:
  pintail bench connect --self --players 10000 --duration 60s      what does an idle player cost?
  pintail bench connect --target 10.0.0.7 --rate 500               500 logins a second"
)]
pub(crate) struct ConnectArgs {
    /// How many players
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value_parser!(u64).range(1..=PLAYERS_MAX))]
    pub(crate) players: u64,
    /// How many log in each second; without it, as many as can
    #[arg(long, value_name = "HZ", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench churn`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Example:
  pintail bench churn --self --players 500 --stay 10s"
)]
pub(crate) struct ChurnArgs {
    /// How many players are there at once
    #[arg(long, value_name = "N", default_value = "100", value_parser = value_parser!(u64).range(1..=PLAYERS_MAX))]
    pub(crate) players: u64,
    /// How long a player stays, on average
    #[arg(long, value_name = "PERIOD", default_value = "2s", value_parser = period::measured)]
    pub(crate) stay: Period,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// `pintail bench match`.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "The load",
    after_help = "\
Example:
  pintail bench match --self --find-max 'p99 of lateness<100ms'

It is the workload whose figures Nakama's makers publish. `lateness` is how much later
the answers of a step come than those of the quickest step that the bot heard: how much
steps vary. A delay that all steps have is not in it; `delivery`, from the sending to the
answer, has everything, also the wait for the next step (up to 100 ms)."
)]
pub(crate) struct MatchArgs {
    #[command(flatten)]
    pub(crate) rooms: RoomsArgs,
    /// How many players a room has
    #[arg(long, value_name = "N", default_value = "10", value_parser = value_parser!(u32).range(1..=100))]
    pub(crate) room_size: u32,
    /// How many messages each player sends in a second
    #[arg(long, value_name = "HZ", default_value = "2", value_parser = per_second)]
    pub(crate) rate: f64,
    /// How long a message is, in bytes
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = timed_payload_bytes)]
    pub(crate) payload: usize,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

/// The bots of a game's author.
#[derive(Debug, Args)]
pub(crate) struct BotsArgs {
    #[command(flatten)]
    pub(crate) rooms: RoomsArgs,
    #[command(flatten)]
    pub(crate) test: TestArgs,
}

impl EchoArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        let game = if self.journaled { EchoGame::Journaled } else { EchoGame::Ephemeral };
        (Scenario::Echo(Echo { payload_bytes: self.payload, game }), players(self.players))
    }
}

impl BroadcastArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        let settings = Broadcast { room_players: self.room_size, per_second: self.rate, payload_bytes: self.payload };
        (Scenario::Broadcast(settings), self.rooms.load(self.room_size))
    }
}

impl ArenaArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        (Scenario::Arena(Arena { room_players: self.room_size }), self.rooms.load(self.room_size))
    }
}

impl LobbyArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        let cycle = if self.whole_games { Cycle::WholeGames } else { Cycle::Rooms };
        let requests = if self.ignore_limits { RequestLimit::Ignored } else { RequestLimit::Respected };
        let load = Load { unit: Unit::Workers, count: self.workers, players_each: 1 };
        (Scenario::Lobby(Lobby { cycle, requests }), load)
    }
}

impl ConnectArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        (Scenario::Connect(Connect { per_second: self.rate }), players(self.players))
    }
}

impl ChurnArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        (Scenario::Churn(Churn { stay: self.stay.0 }), players(self.players))
    }
}

impl MatchArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self) -> (Scenario, Load) {
        let settings = Match { room_players: self.room_size, per_second: self.rate, payload_bytes: self.payload };
        (Scenario::Match(settings), self.rooms.load(self.room_size))
    }
}

impl BotsArgs {
    /// What is done, and by how many.
    pub(crate) fn scenario(&self, kind: &BotKind) -> (Scenario, Load) {
        (Scenario::Bots(kind.clone()), self.rooms.load(kind.room_players))
    }
}

fn players(count: u64) -> Load {
    Load { unit: Unit::Players, count, players_each: 1 }
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    bytes_from(1, text)
}

/// A message of an open loop carries when it should have been sent.
fn timed_payload_bytes(text: &str) -> Result<usize, String> {
    bytes_from(PAYLOAD_BYTES_MIN, text)
}

/// What fits into a frame, with what stands before a payload.
const PAYLOAD_BYTES_MAX: usize = 60_000;

fn bytes_from(least: usize, text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| (least..=PAYLOAD_BYTES_MAX).contains(bytes));
    bytes.ok_or_else(|| format!("write a number of bytes from {least} to {PAYLOAD_BYTES_MAX}"))
}

fn per_second(text: &str) -> Result<f64, String> {
    rate(text)
        .ok()
        .filter(|rate| *rate <= PER_SECOND_MAX)
        .ok_or_else(|| format!("write how many a second, from 0.001 to {PER_SECOND_MAX}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "write how many a second, from 0.001 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use pintail_bench::Bots;

    use super::super::{BenchArgs, BuiltIn, What};
    use super::*;
    use crate::config::args::Command;
    use crate::config::parse;

    fn bench(line: &str) -> Result<BenchArgs, String> {
        let arguments: Vec<OsString> =
            ["pintail", "bench"].into_iter().chain(line.split(' ')).map(Into::into).collect();
        match parse(&arguments, &Bots::new()).map_err(|error| error.to_string())?.command {
            Command::Bench(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    fn rooms(line: &str) -> (Scenario, Load) {
        match bench(line).unwrap().what {
            What::BuiltIn(BuiltIn::Broadcast(args)) => args.scenario(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_load_is_counted_in_rooms_or_in_players() {
        let (scenario, load) = rooms("broadcast --rooms 7 --room-size 4 --rate 60.5 --payload 16");
        let Scenario::Broadcast(settings) = scenario else { panic!("{scenario:?}") };
        assert_eq!(settings, Broadcast { room_players: 4, per_second: 60.5, payload_bytes: 16 });
        assert_eq!(load, Load { unit: Unit::Rooms, count: 7, players_each: 4 });
        assert_eq!(load.constant(), LoadShape::Constant(28));
        let over = Duration::from_secs(3);
        assert_eq!(load.ramp(Period(over)), LoadShape::Ramp { from: 4, to: 28, over });
        let (_, load) = rooms("broadcast --players 95");
        assert_eq!(load, Load { unit: Unit::Players, count: 95, players_each: 1 });
    }

    #[test]
    fn configuration_and_logs_may_stand_behind_the_scenario() {
        for line in ["--log debug echo", "echo --log debug"] {
            assert_eq!(bench(line).unwrap().common.log.as_deref(), Some("debug"), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, said) in [
            ("echo --self --target h:1", "cannot be used with"),
            ("echo --store embedded", "--self"),
            ("echo --gateways 2", "--self"),
            ("echo --runs 2 --find-max p99<1s", "cannot be used with"),
            ("echo --payload 0", "from 1 to"),
            ("broadcast --payload 8", "from 9 to"),
            ("broadcast --rate 0", "from 0.001 to 1000"),
            ("broadcast --rooms 1 --players 1", "cannot be used with"),
            ("broadcast --room-size 1", "2..=100"),
            ("echo --duration 1ms", "100ms to"),
            ("echo --target h:0", "host:port"),
            ("echo --self --pin core=1", "servers=0,load=1,redis=1"),
            ("echo --admin h:1", "--profile"),
            ("ecco", "echo"),
            ("compare a.json", "AFTER"),
        ] {
            let refusal = bench(line).unwrap_err();
            assert!(refusal.contains(said), "{line}: {refusal}");
        }
    }
}

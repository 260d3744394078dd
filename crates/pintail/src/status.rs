//! `pintail status`: the servers of a cluster.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pintail_core::Kind;
use pintail_store::{BrokenEntry, Registry, ServerRecord};
use serde::Serialize;

use crate::config::args::StatusArgs;
use crate::failure::Failure;
use crate::output::{printable, say, table, warn};
use crate::serve::redis_store;

/// How long Redis may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// Prints the servers.
///
/// # Errors
/// If the store can't be read.
pub(crate) async fn run(args: &StatusArgs) -> Result<(), Failure> {
    let store = redis_store(&args.store)?;
    let url = args.store.redis()?;
    let unreachable = |problem: String| {
        Failure::new(format!("can't read the registry in Redis at {url} ({problem}): check --redis, and that it runs"))
    };
    let report = tokio::time::timeout(PATIENCE, Report::read(&store))
        .await
        .map_err(|_| unreachable(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|error| unreachable(error.to_string()))?;
    if args.json {
        say(serde_json::to_string_pretty(&report).expect("a report has string keys"));
    } else {
        report.lines().iter().for_each(say);
        report
            .broken
            .iter()
            .for_each(|entry| warn(format_args!("warning: {}: {}", entry.slot, printable(&entry.problem))));
    }
    Ok(())
}

/// The registry, read once.
#[derive(Debug, Serialize)]
struct Report {
    servers: Vec<ServerLine>,
    broken: Vec<BrokenLine>,
}

#[derive(Debug, Serialize)]
struct ServerLine {
    #[serde(flatten)]
    record: ServerRecord,
    health: Health,
    /// By this machine's clock; `None` for a foreign server.
    uptime_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BrokenLine {
    slot: String,
    problem: String,
}

/// What the lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    /// Its lease is there.
    Alive,
    /// Its lease is gone: it crashed, hangs, or can't reach Redis.
    Lost,
    /// It keeps no lease, so nobody knows but the gateways that are linked to it.
    Foreign,
}

impl Health {
    fn of(record: &ServerRecord) -> Self {
        match (record.is_foreign(), record.lease) {
            (true, _) => Self::Foreign,
            (false, true) => Self::Alive,
            (false, false) => Self::Lost,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Lost => "LOST",
            Self::Foreign => "foreign",
        }
    }
}

impl Report {
    async fn read(store: &impl Registry) -> pintail_store::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut report = Self { servers: Vec::new(), broken: Vec::new() };
        for kind in Kind::ALL {
            for entry in store.scan(kind).await? {
                report.add(entry, now);
            }
        }
        Ok(report)
    }

    fn add(&mut self, entry: pintail_store::ScanEntry, now: Duration) {
        match entry {
            Ok(record) => {
                let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
                let uptime_ms = (record.started_at > 0).then(|| now.saturating_sub(record.started_at));
                self.servers.push(ServerLine { health: Health::of(&record), uptime_ms, record });
            }
            Err(BrokenEntry { slot, problem }) => self.broken.push(BrokenLine { slot: slot.to_string(), problem }),
        }
    }

    fn lines(&self) -> Vec<String> {
        if self.servers.is_empty() {
            let hint = "no servers are registered; start one with `pintail gateway`, `pintail lobby` or `pintail game`";
            return vec![hint.to_owned()];
        }
        let header = ["SLOT", "ADDRESS", "STATUS", "HEALTH", "GAMES", "PLAYERS", "TYPES", "VERSION", "UPTIME"];
        let rows: Vec<_> =
            std::iter::once(header.map(str::to_owned)).chain(self.servers.iter().map(ServerLine::cells)).collect();
        table(&rows)
    }
}

impl ServerLine {
    fn cells(&self) -> [String; 9] {
        let record = &self.record;
        let types: Vec<_> = record.game_types.iter().map(ToString::to_string).collect();
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let (games, players) = match record.slot.kind {
            Kind::Game => (of_capacity(record.games, record.capacity), record.players.to_string()),
            Kind::Gateway => ("-".to_owned(), of_capacity(record.players, record.capacity)),
            Kind::Lobby => ("-".to_owned(), record.players.to_string()),
        };
        [
            record.slot.to_string(),
            record.endpoint.to_string(),
            record.status.to_string(),
            self.health.as_str().to_owned(),
            games,
            players,
            or_dash(types.join(",")),
            or_dash(printable(&record.version)),
            or_dash(self.uptime_ms.map(Duration::from_millis).map(uptime).unwrap_or_default()),
        ]
    }
}

fn of_capacity(count: u32, capacity: u32) -> String {
    if capacity == 0 { count.to_string() } else { format!("{count}/{capacity}") }
}

/// The two largest units.
fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{Endpoint, Incarnation, Slot, Status};

    use super::*;

    fn record(kind: Kind, incarnation: Option<Incarnation>) -> ServerRecord {
        ServerRecord {
            slot: Slot::new(kind, 0),
            endpoint: Endpoint::new([127, 0, 0, 1].into(), 5557),
            status: Status::Smooth,
            games: 3,
            players: 6,
            capacity: 100,
            incarnation,
            lease: incarnation.is_some(),
            game_types: vec!["echo".parse().unwrap(), "gomoku".parse().unwrap()],
            version: "0.1\x1b".to_owned(),
            started_at: incarnation.map_or(0, |_| 1_000),
            admin_port: Some(9557),
            http_port: None,
        }
    }

    fn report(records: impl IntoIterator<Item = ServerRecord>) -> Report {
        let mut report = Report { servers: Vec::new(), broken: Vec::new() };
        records.into_iter().for_each(|record| report.add(Ok(record), Duration::from_secs(62)));
        report
    }

    #[test]
    fn every_server_is_a_line() {
        let mut lost = record(Kind::Game, Some(Incarnation(2)));
        lost.lease = false;
        let lines = report([record(Kind::Game, Some(Incarnation(1))), lost, record(Kind::Lobby, None)]).lines();
        assert_eq!(
            lines,
            [
                "SLOT            ADDRESS         STATUS  HEALTH   GAMES  PLAYERS  TYPES        VERSION  UPTIME",
                "Server:Game:0   127.0.0.1:5557  smooth  alive    3/100  6        echo,gomoku  0.1      1m 1s",
                "Server:Game:0   127.0.0.1:5557  smooth  LOST     3/100  6        echo,gomoku  0.1      1m 1s",
                "Server:Lobby:0  127.0.0.1:5557  smooth  foreign  -      6        echo,gomoku  0.1      -",
            ]
        );
        assert!(report([]).lines()[0].contains("no servers"));
    }

    #[test]
    fn programs_get_the_whole_record() {
        let mut report = report([record(Kind::Game, Some(Incarnation(1)))]);
        report.add(
            Err(BrokenEntry { slot: Slot::new(Kind::Game, 1), problem: "its port is 99999".to_owned() }),
            Duration::ZERO,
        );
        let json = serde_json::json!(report);
        assert_eq!(json["servers"][0]["slot"], "Server:Game:0");
        assert_eq!(json["servers"][0]["endpoint"], "127.0.0.1:5557");
        assert_eq!(json["servers"][0]["health"], "alive");
        assert_eq!(json["servers"][0]["uptime_ms"], 61_000);
        assert_eq!(json["broken"][0]["problem"], "its port is 99999");
    }

    #[test]
    fn uptimes_are_short() {
        for (seconds, text) in [(7, "7s"), (61, "1m 1s"), (3_600, "1h 0m"), (90_000, "1d 1h")] {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }
}

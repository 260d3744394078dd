//! The report: everything that was measured, as it stands in the JSON file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format that is written. A reader refuses a report of another.
pub const REPORT_FORMAT: u32 = 1;

/// One stress test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// The version of Pintail that made the load.
    pub pintail: String,
    /// The command line.
    pub command: Vec<String>,
    /// When it began, in seconds since 1970.
    pub started_at: u64,
    /// Where the load was made, and where the servers ran if they were started for it.
    pub machine: Machine,
    /// What the load was put on: `tcp://…`, `ws://…`, or how the cluster was started.
    pub target: String,
    /// What the players did.
    pub scenario: Scenario,
    /// What the players' random choices followed from. It is no setting: two tests of the same load differ in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How the load went over time, in words.
    pub shape: String,
    /// The measured windows: one, or as many as the test was repeated.
    pub runs: Vec<Run>,
    /// The search for the largest load, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// The same load on the trivial server of one process, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Run>,
    /// The thresholds, and whether they held.
    pub checks: Vec<Check>,
    /// The test was interrupted: it says what was measured until then.
    pub interrupted: bool,
    /// What to know before the figures are believed, in sentences.
    pub notes: Vec<String>,
    /// Flame graphs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
}

/// The machine that the load was made on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processor's name.
    pub processor: String,
    /// How many cores this program may use.
    pub cores: u32,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// Its operating system and that one's version.
    pub system: String,
}

/// What the players did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What [`Run::players`] are: `players`, or `workers`, each of which is one or two players.
    #[serde(default = "players")]
    pub unit: String,
    /// Its settings by name, with their units.
    pub settings: BTreeMap<String, String>,
}

/// What they are in every scenario but one, and in reports that don't say.
fn players() -> String {
    "players".to_owned()
}

/// One measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The most players at once.
    pub players: u64,
    /// How long was measured.
    pub seconds: f64,
    /// What each message, request or cycle is called that the figures are of: a key of `measures`.
    pub primary: String,
    /// How long things took, by what they are (`round trip`, `delivery`, `login`, `create room`, …).
    pub measures: BTreeMap<String, Measure>,
    /// How often things happened, by what they are (`sent`, `received`, `logins`, `games ended`, …).
    pub counts: BTreeMap<String, u64>,
    /// What went wrong, by a short description.
    pub errors: BTreeMap<String, u64>,
    /// How it went, second by second.
    pub series: Vec<Sample>,
    /// What each server process cost. Empty if the servers run elsewhere.
    pub servers: Vec<ProcessUse>,
    /// What the load generator itself cost.
    pub generator: ProcessUse,
    /// How late the load generator was with what was due in the window: each move of a bot, and a beat of its own that not
    /// every scenario needs. Absent if nothing was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_late: Option<Measure>,
}

/// The distribution of how long one kind of thing took, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// How many were begun: those that were done, and those that were lost.
    pub count: u64,
    /// How many of them were never done. They stand in the times with how long they were waited for.
    #[serde(default)]
    pub lost: u64,
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: u64,
    /// Half took at most this long.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest.
    pub max: u64,
    /// The whole histogram: HdrHistogram's V2 format (3 significant digits), in Base64.
    pub histogram: String,
}

/// What was seen in one second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from the window's beginning to this second's end.
    pub at: f64,
    /// Players at its end.
    pub players: u64,
    /// Messages that the players sent (or requests, or cycles: what `primary` says).
    pub sent: u64,
    /// Messages that the players were sent.
    pub received: u64,
    /// What went wrong.
    pub errors: u64,
    /// The median of the primary measure, in microseconds; absent if nothing was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50: Option<u64>,
    /// Its 99th percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<u64>,
    /// Its largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Each server process in this second, in the order of [`Run::servers`].
    pub servers: Vec<ProcessSample>,
    /// The load generator in this second.
    pub generator: ProcessSample,
}

/// A process in one second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProcessSample {
    /// CPU seconds used in this second, user and system: 1 is one whole core.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// What a process cost during a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// What it is: `gateway`, `lobby`, `game`, `game 2`, `redis`, `all in one`, `trivial`, `load`.
    pub name: String,
    /// CPU seconds in user mode.
    pub user_seconds: f64,
    /// CPU seconds in the kernel.
    pub system_seconds: f64,
    /// Resident memory at the window's beginning, in bytes.
    pub memory_before: u64,
    /// Resident memory at the window's end, in bytes.
    pub memory_after: u64,
    /// Whether it is one of Pintail's servers, whose CPU time counts as the cost of a message. Redis and the load are not.
    pub is_server: bool,
}

/// A search for the largest load that keeps a condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The condition: `p99<50ms`.
    pub condition: String,
    /// What the load is counted in: `players`, `rooms`.
    pub unit: String,
    /// The loads that were tried, in order. The report's runs are all windows of the largest one that kept the condition.
    pub probes: Vec<Probe>,
    /// The largest load that kept it, if any did; of a search that ended early, the largest that did until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest: Option<u64>,
    /// It ended early: a larger load may keep it too.
    #[serde(default)]
    pub interrupted: bool,
}

/// One load that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// How large.
    pub load: u64,
    /// Whether the condition held.
    pub held: bool,
    /// What was measured, in words: `p99 41 ms`; and who was missing.
    pub found: String,
    /// How the load generator was; absent if nobody got in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<GeneratorState>,
}

/// How the load generator was during a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorState {
    /// How much of a core it used: 1 is all of it.
    pub core: f64,
    /// The 99th percentile of how late it was with what was due, in microseconds; absent if nothing was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_late_p99: Option<u64>,
    /// Why the window may show its limit and not the servers', as [`Run::generator_trouble`] says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A threshold and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// As it was given: `p99>50ms`.
    pub condition: String,
    /// Whether the test fails by it.
    pub failed: bool,
    /// What was measured, in words.
    pub found: String,
}

/// A server's flame graph over the measured window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The server.
    pub server: String,
    /// The picture.
    pub svg: String,
}

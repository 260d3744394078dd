//! The store in Redis (7.0 or newer): one server, or a master with replicas that sentinels watch.
//!
//! # The way there
//!
//! | module | what it does |
//! | --- | --- |
//! | `url`, `tls`, [`options`](RedisOptions) | what the operator says: where, as whom, whom to trust |
//! | `sentinel` | knows where the master is |
//! | `dial` | opens a link to it, and says in plain words why it can't |
//! | `connection`, `subscription` | keep a link up: that of the calls, and that of each subscription |
//! | `confirm` | calls that wait until replicas have what they changed, on links of their own |
//! | `upkeep` | what is dangerous about this Redis, and whether it still has what it had |
//!
//! # Keys
//!
//! The configured prefix stands before every key and channel. Times are in milliseconds by Redis's own clock unless
//! said otherwise. `Server:Game:0` stands for any slot.
//!
//! | key | type | content | TTL |
//! | --- | --- | --- | --- |
//! | `Server:<Kind>` | list | the address of each slot of that kind | – |
//! | `Server:Game:0` | hash | `address`, `port`, `status` (0 unused, 1 smooth, 2 congested), `games`, `players`, `capacity`, `incarnation` (absent after a stop in good order, and for a foreign server), `types` (comma separated), `version`, `started_at`, `admin` and `http` (ports), `cause` (why the status is what it is), `drain` (1 once it was asked to), `falls` (how often it died lately) with `probation_until` and `forgiven_at` (only since it is back), `unused_since` (only while nobody holds the slot), `format` (the newest format of snapshots that it reads, as it said with its last claim) | – |
//! | `Server:Game:0:lease` | string | the incarnation that holds the slot | lease |
//! | `Server:Game:0:accusers` | sorted set | the slots that accuse it, by the time until which the accusation stands | accusation |
//! | `Servers:pulse` | string | since when heartbeats have come in without a gap | half a lease |
//! | `Servers:reaped` | string | when lost leases were looked for last | reap interval |
//! | `Server:Game:0:games:<incarnation>` | set | the games that it hosts; `games` is the size of this set | – |
//! | `Server:Gateway:0:sessions:<incarnation>` | set | the sessions that are connected there | – |
//! | `Placement:<type>` | sorted set | the slots that can take a game of this type, by games ÷ capacity | – |
//! | `Orphans` | set | `<slot> <incarnation>` of servers that are gone, until what they hosted is dealt with | – |
//! | `Game:<id>` | hash | `order` (JSON), `type`, `durability`, `lobby`, `slot`, `incarnation`, `epoch`, and after the end `outcome` (JSON). If it is journaled: `committed` (the number of its last entry), `snapshot` (the last that its snapshot contains) and `format` (of the snapshot); `orphaned` (since when it waits for an owner, only while it does); `attempts` and `claimed_at` (how often it was claimed and when last, only until an owner has proved that it can be run); `handed_by` (`<incarnation> <epoch>` of the owner who handed it over, until its next claim) | game record, from the end on; failed game if it failed |
//! | `Game:<id>:journal` | list | the entries after its snapshot, up to number `committed`: opaque bytes | until the end; failed game if it failed |
//! | `Game:<id>:snapshot` | string | everything that it is, up to entry `snapshot`: opaque bytes | the same |
//! | `Games:unsettled` | sorted set | games that are over and whose rooms don't know it, by the time of the end | entries: room idle time |
//! | `Games:orphaned` | sorted set | journaled games without an owner, by the time since when | entries: orphan |
//! | `Orphaned:<type>` | set | the lanes in which those of one type wait, `<format>:<attempts>` | with those |
//! | `Orphaned:<type>:<format>:<attempts>` | sorted set | those of one lane, by the time since when: whoever takes games over reads the lanes from which it can be given any, however many wait in others | with those |
//! | `Games:failed` | sorted set | games that failed and are kept, by the time of the end; the newest thousand | entries: failed game |
//! | `Room:<id>` | hash | `version`, `body` (JSON), `invite`, `labels` (one a line), `created` (microseconds) | room idle time |
//! | `Rooms:<label>` | sorted set | `<created>:<room>`, all with score 0, so that their order is that of the text | entries: with their room |
//! | `Invite:<code>` | string | the room with this invite code | room idle time |
//! | `Session:<id>` | hash | `name`, `token` (hash), `gateway` (slot), `incarnation`, `generation`, `away` (0 or 1) | session |
//! | `Session:<id>:room` | string | the room that the session is in; it counts only while that room exists | session |
//! | `Sessions:away` | sorted set | sessions without a connection, by the time when they lost it | entries: session |
//! | `Store:lineage` | string | a random text, for as long as the data is there: who finds another knows that Redis was emptied | – |
//!
//! | channel | message |
//! | --- | --- |
//! | `ServerOn`, `ServerOff` | the slot |
//! | `Server:Game:0:mail` | a [`Letter`](crate::Letter) |
//! | `Store:confirm` | nothing, to nobody: it makes `WAIT` wait for everything that was written before |
//!
//! A session's room has the TTL of the session and not that of the room: a session that is connected is refreshed by
//! its gateway whatever its room does, and a place in a room that has expired leads nowhere.
//!
//! Sorted sets whose entries expire lose them when they are read, and some with each change (see `lib/rooms.lua` and
//! `forget_older` in `lib/base.lua`), so that they stay bounded even if nobody reads them.
//!
//! # Servers that are gone
//!
//! Whoever switches a server off ([`accuse`](crate::Registry::accuse), [`reap`](crate::Registry::reap)) does so in one
//! step: `status` 0, the `cause`, no lease, no place in the rankings, an entry in `Orphans`, one `ServerOff`. A lease
//! that is gone counts only while `Servers:pulse` is at least a lease old: Redis may have been away, held up, or come
//! back from its disk with leases that ended meanwhile, and then each server has a lease's time to be heard again. The
//! scripts by which servers are watched and games end go on working in a Redis that is full.
//!
//! # Journaled games
//!
//! A running game is in the set of the games that its owner hosts, or in `Games:orphaned` and one lane of its type. Whoever
//! adds one to the set of an incarnation that does not hold its slot lists that in `Orphans`, so that the sweep finds it.
//!
//! A write counts only with the record's `epoch` and `incarnation`. An older `epoch` than the writer's means that Redis has
//! lost a claim (a failover, a restart): entries are refused, and a snapshot takes the record back. `committed`,
//! `snapshot` and the length of the list must fit together, and the snapshot be there; if not, Redis has thrown something
//! away. Then the owner is asked for a snapshot, and nobody else can load the game.
//!
//! Entries are refused by a Redis that is full. Snapshots, claims, hand-overs and ends are not: they free memory, or save
//! a game, and how much they can add is bounded by the number of games, of which a full Redis takes no more.
//!
//! # Foreign servers
//!
//! A server that was written straight against the first three fields has no incarnation and no lease. It is found by
//! its hash, is never reaped, never given a game, and its slot is recycled only once it has set itself unused and
//! stayed so for the recycle time, counted from when [`reap`](crate::Registry::reap) first saw it.

mod clear;
mod confirm;
mod connection;
mod dial;
mod games;
mod journal;
mod keys;
mod mail;
mod options;
mod record;
mod registry;
mod rooms;
mod scripts;
mod sentinel;
mod sessions;
mod subscription;
mod tls;
mod upkeep;
mod url;

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use pintail_core::Kind;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation, ServerErrorKind};
use tokio::sync::Semaphore;

use crate::{Periods, Result, StoreError};
use confirm::Lanes;
use connection::{Connection, Line};
use dial::Dialer;
use keys::Keys;
pub use options::{RedisOptions, WaitReplicas};
use scripts::Scripts;
use sentinel::Locator;
pub use tls::BadRedisTls;
use upkeep::Inspector;
pub use url::BadRedisUrl;
use url::Servers;

/// How many calls may be unanswered at once; more fail at once. A Redis that answers in a millisecond has a few dozen
/// even under full load. One that is stuck must not gather every request of its clients in this server's memory.
const CALLS_MAX: usize = 4096;

/// The store in Redis.
///
/// Every call ends within the options' timeout: waiting for a connection counts. Two have several steps, each of which
/// does: [`reap`](crate::Registry::reap), and [`hold_sessions`](crate::Sessions::hold_sessions) of many sessions.
#[derive(Debug)]
pub struct RedisStore {
    dialer: Dialer,
    locator: Locator,
    connection: Connection,
    calls: Semaphore,
    lanes: Lanes,
    wait_replicas: WaitReplicas,
    keys: Keys,
    scripts: Scripts,
    timeout: Duration,
    periods: Periods,
    /// How many slots of each kind were read last.
    slots_read: [AtomicU32; Kind::ALL.len()],
}

impl RedisStore {
    /// A store that connects in the background, and again whenever the connection is lost. A call waits for it while
    /// the outage may be over in a moment, and else fails at once with [`StoreError::Unavailable`]. Must be called in a
    /// tokio runtime.
    ///
    /// # Errors
    /// If the options can't be right whatever Redis does: certificates without TLS, or TLS without anyone to trust.
    pub fn connect(options: RedisOptions) -> std::result::Result<Self, BadRedisTls> {
        let RedisOptions { key_prefix, timeout, periods, wait_replicas, target, tls } = options;
        let tls = tls.connector(target.encryption)?;
        let dialer = Dialer::new(target.login, tls.clone());
        let locator = match target.servers {
            Servers::One(address) => Locator::fixed(address),
            Servers::Sentinels { addresses, master_name, login } => {
                Locator::sentinels(addresses, &master_name, &Dialer::new(login, tls))
            }
        };
        let keys = Keys { prefix: key_prefix };
        let inspector = Inspector::new(keys.shared("Store:lineage"));
        Ok(Self {
            connection: Connection::start(dialer.clone(), locator.clone(), inspector),
            lanes: Lanes::new(dialer.clone()),
            dialer,
            locator,
            calls: Semaphore::new(CALLS_MAX),
            wait_replicas,
            keys,
            scripts: Scripts::new(),
            timeout,
            periods,
            slots_read: Default::default(),
        })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// If it can't be reached or doesn't answer in time.
    pub async fn ping(&self) -> Result<()> {
        self.command("", &redis::cmd("PING")).await
    }

    /// Runs one command. `subject` is the key to name if what is there is not what should be.
    async fn command<T: FromRedisValue>(&self, subject: &str, command: &Cmd) -> Result<T> {
        self.bounded(subject, |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Runs a script, which is loaded first if Redis doesn't know it.
    async fn invoke<T: FromRedisValue>(&self, subject: &str, call: &ScriptInvocation<'_>) -> Result<T> {
        self.bounded(subject, |mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    /// Runs `work` on the connection, within the timeout.
    async fn bounded<T, F>(&self, subject: &str, work: impl FnOnce(MultiplexedConnection) -> F) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.on_line(async |line| work(line.commands.clone()).await.map_err(|error| explain(line, subject, &error)))
            .await
    }

    /// Runs `work` once there is a connection, both within the timeout.
    async fn on_line<T>(&self, work: impl AsyncFnOnce(&Line) -> Result<T>) -> Result<T> {
        let _permit = self.calls.try_acquire().map_err(|_| StoreError::Overloaded(CALLS_MAX))?;
        self.in_time(async {
            let line = self.connection.get().await.map_err(|reason| unavailable(&reason))?;
            work(&line).await
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(answer) => answer,
            Err(_) => Err(match self.connection.why_down() {
                Some(reason) => unavailable(&reason),
                None => StoreError::Timeout(self.timeout),
            }),
        }
    }

    /// A call of a script: its main key, and the prefix that every script starts with.
    fn script<'a>(&self, script: &'a redis::Script, key: &str) -> ScriptInvocation<'a> {
        let mut call = script.key(key);
        call.arg(&self.keys.prefix);
        call
    }
}

/// What Redis refuses for as long as something is so that an operator can change, by the codes of its errors.
const REFUSALS_FOR_NOW: [(&str, &str); 6] = [
    ("OOM", "has no memory left: raise maxmemory, or remove what fills it"),
    ("MISCONF", "can't save to its disk and takes no writes: its log says why"),
    ("NOREPLICAS", "has too few replicas in touch with it (min-replicas-to-write) and takes no writes"),
    ("BUSY", "is kept busy by somebody's script: SCRIPT KILL ends it"),
    ("NOAUTH", "wants a password: write it into the URL"),
    ("UNBLOCKED", "has just become a replica: its master takes over"),
];

/// What an error means for whoever made the call.
fn explain(line: &Line, subject: &str, error: &RedisError) -> StoreError {
    if dial::is_broken(error) {
        line.is_broken();
        return unavailable(error);
    }
    let code = code(error);
    let why = REFUSALS_FOR_NOW.iter().find(|(refusal, _)| code.as_deref() == Some(refusal));
    if let Some((_, sentence)) = why {
        return unavailable(&format!("{} {sentence}", line.address));
    }
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            line.is_read_only();
            unavailable(&dial::Trouble::Replica.at(&line.address))
        }
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => unavailable(error),
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => corrupt(subject, error),
        _ if code.as_deref() == Some("WRONGTYPE") => corrupt(subject, error),
        _ => StoreError::Refused(error.to_string()),
    }
}

/// The code of what Redis refused; of several commands, the first that it refused.
fn code(error: &RedisError) -> Option<String> {
    let refused = error.clone().into_server_errors()?;
    refused.first().map(|(_, refusal)| refusal.code().to_owned())
}

fn unavailable(reason: &(impl std::fmt::Display + ?Sized)) -> StoreError {
    StoreError::Unavailable(format!("Redis: {reason}"))
}

fn corrupt(key: &str, problem: &impl ToString) -> StoreError {
    StoreError::Corrupt { key: key.to_owned(), problem: problem.to_string() }
}

/// Reads text that only Pintail writes.
fn parse<T>(key: &str, what: &str, text: &str) -> Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error| corrupt(key, &format!("its {what}: {error}")))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A script's answer: a list of texts.
type Answer = Vec<String>;

/// The parts of an answer, if it has the form that the script promises.
fn parts(answer: &[String]) -> Vec<&str> {
    answer.iter().map(String::as_str).collect()
}

/// An answer that no script of ours gives.
fn unexpected(key: &str, answer: &[&str]) -> StoreError {
    corrupt(key, &format!("a script answered {answer:?}"))
}

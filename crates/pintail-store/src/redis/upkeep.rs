//! What an operator should know about Redis, and whether it still has what it had.
//!
//! All of it comes from `INFO` and one key. A Redis that does not allow `INFO`, as some hosted ones, is taken for one
//! that is set up well, and only the key tells whether it was emptied.

use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use super::dial::{Trouble, is_broken};
use super::{RedisStore, explain};
use crate::{Hazard, Lineage, Result, Upkeep};

/// Notices when Redis is not the one that it was.
#[derive(Debug)]
pub(super) struct Inspector {
    /// The key with a random value that is there for as long as the data is.
    marker_key: String,
    known: Identity,
    lineage: watch::Sender<Lineage>,
}

/// What tells one history of data from another; `None` for what Redis does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identity {
    /// Of the process (`run_id`): a restart has another, and so has the server that takes its place.
    process: Option<String>,
    /// Of what it took over from its last master (`master_replid2`): one that was a replica meanwhile has another. Its own
    /// (`master_replid`) says less, because it also changes when the first replica comes.
    inherited: Option<String>,
    /// Of the data: whoever empties the server removes it.
    marker: Option<String>,
}

impl Identity {
    /// Takes over what is new, and says whether something is not what it was.
    fn learn(&mut self, seen: Self) -> bool {
        let known = [&mut self.process, &mut self.inherited, &mut self.marker];
        let mut differs = false;
        for (known, seen) in known.into_iter().zip([seen.process, seen.inherited, seen.marker]) {
            differs |= known.is_some() && seen.is_some() && *known != seen;
            *known = seen.or_else(|| known.take());
        }
        differs
    }
}

impl Inspector {
    pub(super) fn new(marker_key: String) -> Self {
        Self { marker_key, known: Identity::default(), lineage: watch::Sender::default() }
    }

    pub(super) fn lineage(&self) -> watch::Receiver<Lineage> {
        self.lineage.subscribe()
    }

    /// Looks at Redis, and returns how many replicas it has.
    pub(super) async fn look(
        &mut self,
        commands: &MultiplexedConnection,
        limit: Duration,
    ) -> std::result::Result<u32, Trouble> {
        let asked = timeout(limit, self.ask(commands.clone())).await;
        let answer = asked.map_err(|_| Trouble::Silent { step: "question for its state", limit })?;
        let (identity, replicas) = answer.map_err(|error| Trouble::Cut(error.to_string()))?;
        if self.known.learn(identity) {
            tracing::warn!("Redis may have lost what was written last: it was restarted, replaced or emptied");
            self.lineage.send_modify(|lineage| lineage.0 += 1);
        }
        Ok(replicas)
    }

    async fn ask(&self, mut commands: MultiplexedConnection) -> RedisResult<(Identity, u32)> {
        let mut questions = Pipeline::with_capacity(3);
        questions.cmd("INFO").arg("server").cmd("INFO").arg("replication").cmd("GET").arg(&self.marker_key);
        let mut answers = commands.send_packed_commands(&questions, 0, 3).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let (server, replication, marker) = (text(next()), text(next()), next());
        let process = server.as_deref().and_then(|info| field(info, "run_id")).map(str::to_owned);
        let inherited = replication.as_deref().and_then(|info| field(info, "master_replid2")).map(str::to_owned);
        let marker = match marker {
            Value::Nil => Some(self.mark(&mut commands).await?),
            marker => text(marker),
        };
        Ok((Identity { process, inherited, marker }, replicas(replication.as_deref().unwrap_or_default())))
    }

    /// Marks data that has no marker. Returns that of whoever was faster; nothing if Redis takes no writes now.
    async fn mark(&self, commands: &mut MultiplexedConnection) -> RedisResult<String> {
        let marker = format!("{:032x}", rand::random::<u128>());
        let mut command = redis::cmd("SET");
        command.arg(&self.marker_key).arg(&marker).arg("NX").arg("GET");
        match command.query_async::<Option<String>>(commands).await {
            Ok(before) => Ok(before.unwrap_or(marker)),
            Err(error) if is_broken(&error) => Err(error),
            Err(_) => Ok(String::new()),
        }
    }
}

/// An answer's text; `None` for a refusal.
fn text(answer: Value) -> Option<String> {
    answer.extract_error().ok().and_then(|value| String::from_redis_value(value).ok())
}

/// A field of `INFO`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// How many replicas are up to date or nearly so. One that is only just copying everything has nothing to lose yet.
fn replicas(info: &str) -> u32 {
    let listed = || info.lines().filter(|line| line.starts_with("slave") && line.contains(":ip="));
    if listed().next().is_none() {
        return field(info, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0);
    }
    u32::try_from(listed().filter(|line| line.contains("state=online")).count()).unwrap_or(u32::MAX)
}

/// What `INFO` says is dangerous, if writes wait for this many replicas.
fn hazards_of(info: &str, waits_for: u32) -> Vec<Hazard> {
    let connected = replicas(info);
    let number = |name| field(info, name).and_then(|text| text.parse::<u64>().ok());
    let limit = number("maxmemory").filter(|limit| *limit > 0);
    let evicts = field(info, "maxmemory_policy").is_some_and(|policy| policy != "noeviction");
    let is_full = !evicts && limit.is_some_and(|limit| number("used_memory").is_some_and(|used| used >= limit));
    let is_told = field(info, "connected_slaves").is_some();
    let found = [
        (field(info, "aof_enabled") == Some("0"), Hazard::NotPersistent),
        (limit.is_some() && evicts, Hazard::Evicts),
        (is_full, Hazard::Full),
        (waits_for == 0 && connected > 0, Hazard::NobodyWaits),
        (is_told && connected < waits_for, Hazard::TooFewReplicas { waits_for, connected }),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, hazard)| hazard).collect()
}

#[async_trait]
impl Upkeep for RedisStore {
    async fn hazards(&self) -> Result<Vec<Hazard>> {
        self.on_line(async |line| {
            let mut questions = Pipeline::with_capacity(3);
            for section in ["persistence", "memory", "replication"] {
                questions.cmd("INFO").arg(section);
            }
            let asked = line.commands.clone().send_packed_commands(&questions, 0, 3).await;
            let answers = asked.map_err(|error| explain(line, "INFO", &error))?;
            let info: String = answers.into_iter().filter_map(text).collect();
            let has_had_replica = line.has_had_replica() || replicas(&info) > 0;
            let waits_for = self.wait_replicas.count(self.locator.may_move(), has_had_replica);
            Ok(hazards_of(&info, waits_for))
        })
        .await
    }

    fn lineage(&self) -> watch::Receiver<Lineage> {
        self.connection.lineage()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(process: &str, inherited: &str, marker: &str) -> Identity {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Identity { process: said(process), inherited: said(inherited), marker: said(marker) }
    }

    #[test]
    fn a_history_ends_when_anything_is_not_what_it_was() {
        let cases = [
            ("the same again", ("p", "s", "m"), false),
            ("restarted or replaced", ("q", "t", "m"), true),
            ("another took its place and gave it back", ("p", "t", "m"), true),
            ("emptied", ("p", "s", "n"), true),
            ("INFO is refused", ("", "", "m"), false),
            ("INFO is refused, and it was emptied", ("", "", "n"), true),
            ("the key is refused", ("p", "s", ""), false),
        ];
        for (case, (process, inherited, marker), changed) in cases {
            let mut known = identity("p", "s", "m");
            assert_eq!(known.learn(identity(process, inherited, marker)), changed, "{case}");
            assert!(!known.learn(identity(process, inherited, marker)), "{case}: told once");
        }
        let mut known = Identity::default();
        assert!(!known.learn(identity("p", "s", "")), "the first look changes nothing");
        assert!(!known.learn(identity("", "", "m")), "nor does what is heard for the first time");
        assert!(known.learn(identity("q", "", "")), "what was heard is not forgotten by silence");
    }

    const SAFE: &str = "aof_enabled:1\r\nused_memory:900\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\nrole:master\r\nconnected_slaves:0\r\n";

    /// The same with one thing changed.
    fn but(field: &str, value: &str) -> String {
        assert!(SAFE.contains(field));
        SAFE.replace(field, value)
    }

    #[test]
    fn what_redis_says_of_itself_shows_what_is_dangerous() {
        let online = "connected_slaves:1\r\nslave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0";
        let copying = "connected_slaves:1\r\nslave0:ip=10.0.0.1,port=6379,state=wait_bgsave,offset=0,lag=0";
        let limited =
            |limit: u32, policy: &str| but("maxmemory:0", &format!("maxmemory:{limit}")).replace("noeviction", policy);
        let too_few = |waits_for, connected| vec![Hazard::TooFewReplicas { waits_for, connected }];
        let cases = [
            (SAFE.to_owned(), 0, vec![]),
            (String::new(), 1, vec![]),
            (but("aof_enabled:1", "aof_enabled:0"), 0, vec![Hazard::NotPersistent]),
            (limited(901, "noeviction"), 0, vec![]),
            (limited(900, "noeviction"), 0, vec![Hazard::Full]),
            (limited(901, "allkeys-lru"), 0, vec![Hazard::Evicts]),
            (limited(900, "volatile-ttl"), 0, vec![Hazard::Evicts]),
            (but("noeviction", "allkeys-lru"), 0, vec![]),
            (but("connected_slaves:0", online), 1, vec![]),
            (but("connected_slaves:0", online), 0, vec![Hazard::NobodyWaits]),
            (but("connected_slaves:0", "connected_slaves:2"), 0, vec![Hazard::NobodyWaits]),
            (but("connected_slaves:0", online), 2, too_few(2, 1)),
            (but("connected_slaves:0", copying), 1, too_few(1, 0)),
            (SAFE.to_owned(), 1, too_few(1, 0)),
        ];
        for (info, waits_for, expected) in cases {
            assert_eq!(hazards_of(&info, waits_for), expected, "{waits_for}: {info}");
        }
    }
}

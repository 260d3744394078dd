//! Calls that a game's safety hangs on: they count as made once replicas have what they changed.
//!
//! `WAIT` holds up whatever comes behind it on its connection. So a confirmed call has a lane to itself while it is under
//! way: a link of its own to the same server, opened when it is needed and kept for the next such call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult, ScriptInvocation};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::connection::Line;
use super::dial::{Dialer, Link};
use super::{RedisStore, WaitReplicas, explain, unavailable};
use crate::{Result, StoreError};

/// How many confirmed calls are under way at once; more wait for their turn. One call commits what many games wrote, so
/// a server has few of them; while replicas hang, this is how many connections hang with them.
const LANES_MAX: usize = 8;

/// Which part of the time that is left the replicas may take: the rest is for their answer's way back, so that the caller
/// hears what is wrong rather than nothing.
const WAIT_SHARE: f64 = 0.75;

/// The links of confirmed calls.
#[derive(Debug)]
pub(super) struct Lanes {
    dialer: Dialer,
    turns: Semaphore,
    /// Links that nobody uses at the moment, with the line beside which they were opened. At most [`LANES_MAX`].
    idle: Mutex<Vec<(Line, Link)>>,
}

/// A link in use. Unless it is left in good order it is closed, with whatever is still to come on it.
struct Lane<'a> {
    lanes: &'a Lanes,
    line: Line,
    link: Link,
    _turn: SemaphorePermit<'a>,
}

impl Lanes {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, turns: Semaphore::new(LANES_MAX), idle: Mutex::default() }
    }

    /// A lane to the server of this line.
    async fn enter(&self, line: &Line) -> Result<Lane<'_>> {
        let turn = self.turns.acquire().await.map_err(|_| StoreError::Overloaded(LANES_MAX))?;
        let link = match self.take(line) {
            Some(link) => link,
            None => self.dialer.master(&line.address, None).await.map_err(|error| unavailable(&error))?,
        };
        Ok(Lane { lanes: self, line: line.clone(), link, _turn: turn })
    }

    /// An idle link of the same age as this line. Those that belong to an earlier one, or were cut, are closed: the server
    /// at their other end may have been replaced.
    fn take(&self, line: &Line) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(beside, link)| beside.is_same(line) && link.is_open());
        idle.pop().map(|(_, link)| link)
    }
}

impl Lane<'_> {
    fn leave(self) {
        self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).push((self.line, self.link));
    }

    /// Waits until this many replicas have everything that was changed so far, and says how many do.
    async fn wait(&self, channel: &str, replicas: u32, limit: Duration) -> RedisResult<u32> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let mut question = Pipeline::with_capacity(2);
        // WAIT goes by the last write of its own connection. The change may have been made by another: this call may
        // repeat one whose outcome was unknown, and find everything there. A message is passed on to the replicas like a
        // write, costs nothing that stays, and works in a Redis that is full. Nobody listens to it.
        question.cmd("PUBLISH").arg(channel).arg("").ignore();
        // To WAIT, 0 means forever.
        question.cmd("WAIT").arg(replicas).arg(limit.max(1));
        let (have,) = question.query_async(&mut self.link.commands.clone()).await?;
        Ok(have)
    }
}

impl WaitReplicas {
    /// How many replicas a change waits for.
    pub(super) fn count(self, has_sentinels: bool, has_had_replica: bool) -> u32 {
        match self {
            Self::Auto => u32::from(has_sentinels || has_had_replica),
            Self::Count(count) => count,
        }
    }
}

impl RedisStore {
    /// How many replicas a change waits for on this line.
    pub(super) fn replicas_to_wait_for(&self, line: &Line) -> u32 {
        self.wait_replicas.count(self.locator.may_move(), line.has_had_replica())
    }

    /// Runs `work` as [`bounded`](Self::bounded) does, and then waits until enough replicas have what it changed. If they
    /// don't in time, the change may be lost in a failover or not: whoever made it makes it again.
    pub(super) async fn confirmed<T, F>(
        &self,
        subject: &str,
        work: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (deadline, channel) = (Instant::now() + self.timeout, self.keys.shared("Store:confirm"));
        self.on_line(async |line| {
            let broken = |error| explain(line, subject, &error);
            let wanted = self.replicas_to_wait_for(line);
            if wanted == 0 {
                return work(line.commands.clone()).await.map_err(broken);
            }
            let lane = self.lanes.enter(line).await?;
            let call = async {
                let done = work(lane.link.commands.clone()).await?;
                let left = deadline.saturating_duration_since(Instant::now());
                Ok((done, lane.wait(&channel, wanted, left.mul_f64(WAIT_SHARE)).await?))
            };
            let (done, have) = tokio::select! {
                outcome = call => outcome.map_err(broken)?,
                () = self.locator.moved_from(&line.address) => {
                    return Err(unavailable(&format!("{} is not the master any more, say the sentinels", line.address)));
                }
            };
            lane.leave();
            if have < wanted { Err(StoreError::NotReplicated { have, wanted }) } else { Ok(done) }
        })
        .await
    }

    /// Runs a script as [`invoke`](Self::invoke) does, [`confirmed`](Self::confirmed).
    pub(super) async fn invoke_confirmed<T: FromRedisValue>(
        &self,
        subject: &str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T> {
        self.confirmed(subject, |mut connection| async move { call.invoke_async(&mut connection).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_itself_a_change_waits_for_a_replica_where_one_can_take_over() {
        for (setting, has_sentinels, has_had_replica, count) in [
            (WaitReplicas::Auto, false, false, 0),
            (WaitReplicas::Auto, false, true, 1),
            (WaitReplicas::Auto, true, false, 1),
            (WaitReplicas::Auto, true, true, 1),
            (WaitReplicas::Count(0), true, true, 0),
            (WaitReplicas::Count(2), false, false, 2),
        ] {
            let counted = setting.count(has_sentinels, has_had_replica);
            assert_eq!(counted, count, "{setting:?}, {has_sentinels}, {has_had_replica}");
        }
    }
}

//! The registry in Redis.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use pintail_core::limits::CAUSE_CHARACTERS_MAX;
use pintail_core::{Incarnation, Kind, Slot};
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, ScriptInvocation, Value};

use super::record::RawServer;
use super::{Answer, RedisStore, milliseconds, parse, parts, unexpected};
use crate::{
    Announcement, BrokenEntry, Charge, DrainRequest, Heartbeat, HeartbeatOutcome, Registration, Registry, Result,
    ScanEntry, SlotOrigin, StoreError, Verdict,
};

/// How many hashes in a row must be missing, from the length of the list on, before the rest counts as not there.
/// Others may have removed entries from the list, so that it is shorter than the row of hashes.
const SEARCH_MARGIN: u32 = 16;

/// The most slots of a kind: bounds a scan if someone fills the list with rubbish.
const SLOTS_MAX: u32 = 10_000;

/// How many accusers of a server are read: those whose accusations stand longest.
const ACCUSERS_SHOWN_MAX: u32 = 64;

/// How many slots are read in one round trip.
const SLOTS_PER_READ: u32 = 1024;

/// How many slots are read before it is known how many there are.
const SLOTS_FIRST_READ: u32 = 2 * SEARCH_MARGIN;

/// How many servers that lost their leases are dealt with at once: a host with a hundred of them may have gone, and a
/// round trip may take half a second.
const REAPED_AT_ONCE: usize = 64;

impl RedisStore {
    /// Every slot of a kind with what is there, and the length of the list.
    async fn read_slots(&self, kind: Kind) -> Result<(u32, Vec<(Slot, RawServer)>)> {
        // As many as there were last time, so that it is one round trip as long as the cluster does not grow.
        let slots_read = &self.slots_read[kind as usize];
        let mut until = slots_read.load(Ordering::Relaxed).clamp(SLOTS_FIRST_READ, SLOTS_PER_READ);
        let mut slots: Vec<(Slot, RawServer)> = Vec::new();
        let mut end = 0;
        loop {
            let next = u32::try_from(slots.len()).unwrap_or(SLOTS_MAX);
            let (length, read) = self.read_range(kind, next, until).await?;
            let used = read.iter().rev().find(|(_, server)| !server.is_missing()).map_or(0, |(last, _)| last.index + 1);
            end = end.max(used.max(length) + SEARCH_MARGIN).min(SLOTS_MAX);
            slots.extend(read);
            if until >= end {
                slots_read.store(end, Ordering::Relaxed);
                return Ok((length, slots));
            }
            until = end.min(until + SLOTS_PER_READ);
        }
    }

    /// Adds the periods that a server's coming back is judged by.
    fn add_readmission(&self, call: &mut ScriptInvocation<'_>) {
        for period in [self.periods.probation_first, self.periods.probation_max, self.periods.falls_forgiven_after] {
            call.arg(milliseconds(period));
        }
    }

    /// Whether nobody has looked for lost leases lately, and the store has been there for long enough to tell.
    async fn may_reap(&self) -> Result<bool> {
        let key = self.keys.shared("Servers:reaped");
        let mut call = self.script(&self.scripts.may_reap, &key);
        call.arg(milliseconds(self.periods.lease_ttl)).arg(milliseconds(self.periods.reap_interval).max(1));
        self.invoke(&key, &call).await
    }

    /// Reaps what is to be reaped of a kind, up to the first failure that is not that of one slot.
    async fn reap_kind(&self, kind: Kind, reaped: &mut Vec<Slot>) -> Result<()> {
        let (_, slots) = self.read_slots(kind).await?;
        let due = slots.into_iter().filter(|(_, server)| !server.is_missing() && server.needs_reaping());
        let mut looks = stream::iter(due).map(|(slot, _)| self.reap_slot(slot)).buffer_unordered(REAPED_AT_ONCE);
        let mut spoiled = None;
        while let Some(look) = looks.next().await {
            match look {
                Ok(dead) => reaped.extend(dead),
                Err(error @ StoreError::Corrupt { .. }) => spoiled = spoiled.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        spoiled.map_or(Ok(()), Err)
    }

    /// Gives the slot if it was switched off by this. What was read of it may be old by now: the script looks again.
    async fn reap_slot(&self, slot: Slot) -> Result<Option<Slot>> {
        let key = self.keys.slot(slot);
        let mut call = self.script(&self.scripts.reap, &key);
        call.arg(slot.to_string()).arg(milliseconds(self.periods.lease_ttl));
        let switched_off: bool = self.invoke(&key, &call).await?;
        Ok(switched_off.then_some(slot))
    }

    /// The length of the list (no more than there can be slots), and some slots with what is there.
    async fn read_range(&self, kind: Kind, from: u32, until: u32) -> Result<(u32, Vec<(Slot, RawServer)>)> {
        let list = self.keys.list(kind);
        let slots: Vec<Slot> = (from..until).map(|index| Slot::new(kind, index)).collect();
        let mut pipeline = Pipeline::with_capacity(2 + slots.len() * 3);
        pipeline.cmd("TIME").cmd("LLEN").arg(&list);
        for &slot in &slots {
            pipeline.cmd("HGETALL").arg(self.keys.slot(slot)).cmd("GET").arg(self.keys.lease(slot));
            pipeline
                .cmd("ZREVRANGE")
                .arg(self.keys.accusers(slot))
                .arg(0)
                .arg(ACCUSERS_SHOWN_MAX - 1)
                .arg("WITHSCORES");
        }
        // Value by value: a key of a wrong type spoils its own slot only, and what keeps Redis from telling the time or
        // the length concerns all.
        let read = self.bounded(&list, |mut connection| async move {
            let mut values = connection.req_packed_commands(&pipeline, 0, pipeline.len()).await?.into_iter();
            let mut head = || values.next().unwrap_or(Value::Nil).extract_error();
            let (time, length) = (head()?, head()?);
            Ok((<(u64, u64)>::from_redis_value(time)?, u64::from_redis_value(length)?, values))
        });
        let ((seconds, microseconds), length, mut values) = read.await?;
        let length = u32::try_from(length).unwrap_or(u32::MAX).min(SLOTS_MAX);
        let now_ms = seconds * 1000 + microseconds / 1000;
        let mut next = || values.next().unwrap_or(Value::Nil);
        let servers = slots.into_iter().map(|slot| (slot, raw_server(now_ms, next(), next(), next())));
        Ok((length, servers.collect()))
    }
}

fn raw_server(now_ms: u64, fields: Value, lease: Value, accusers: Value) -> RawServer {
    let fields = match HashMap::from_redis_value(fields) {
        Ok(fields) => fields,
        // Something is there; without fields it reads as a broken entry.
        Err(_) => HashMap::from([(Vec::new(), Vec::new())]),
    };
    let lease = Option::from_redis_value(lease).unwrap_or_default();
    RawServer { fields, lease, accusers: Vec::from_redis_value(accusers).unwrap_or_default(), now_ms }
}

fn read_entry((slot, server): (Slot, RawServer), list_length: u32) -> Option<ScanEntry> {
    if !server.is_missing() {
        return Some(server.read(slot));
    }
    let missing = BrokenEntry { slot, problem: "its hash is missing".to_owned() };
    (slot.index < list_length).then_some(Err(missing))
}

#[async_trait]
impl Registry for RedisStore {
    async fn register(&self, announcement: &Announcement) -> Result<Registration> {
        let list = self.keys.list(announcement.kind);
        let types: Vec<&str> = announcement.game_types.iter().map(|game_type| game_type.as_str()).collect();
        let mut call = self.script(&self.scripts.register, &list);
        call.arg(announcement.kind.as_str()).arg(announcement.kind.default_port());
        call.arg(SEARCH_MARGIN).arg(SLOTS_MAX);
        call.arg(milliseconds(self.periods.recycle_after)).arg(milliseconds(self.periods.lease_ttl));
        call.arg(announcement.endpoint.address.to_string()).arg(announcement.endpoint.port);
        call.arg(announcement.incarnation.to_string()).arg(types.join(","));
        self.add_readmission(&mut call);
        call.arg("capacity").arg(announcement.capacity).arg("version").arg(&announcement.version);
        for (name, port) in [("admin", announcement.admin_port), ("http", announcement.http_port)] {
            if let Some(port) = port {
                call.arg(name).arg(port);
            }
        }
        let (index, origin): (u32, String) = self.invoke(&list, &call).await?;
        let origin = match origin.as_str() {
            "new" => SlotOrigin::New,
            "restarted" => SlotOrigin::Restarted,
            "recycled" => SlotOrigin::Recycled,
            other => return Err(unexpected(&list, &[other])),
        };
        Ok(Registration { slot: Slot::new(announcement.kind, index), origin })
    }

    async fn heartbeat(&self, slot: Slot, incarnation: Incarnation, heartbeat: &Heartbeat) -> Result<HeartbeatOutcome> {
        let key = self.keys.slot(slot);
        let mut call = self.script(&self.scripts.heartbeat, &key);
        call.arg(slot.to_string()).arg(incarnation.to_string());
        call.arg(heartbeat.endpoint.address.to_string()).arg(heartbeat.endpoint.port).arg(slot.kind.default_port());
        let cause: String = heartbeat.cause.chars().take(CAUSE_CHARACTERS_MAX).collect();
        call.arg(heartbeat.status.number()).arg(cause).arg(heartbeat.players);
        call.arg(milliseconds(self.periods.lease_ttl));
        self.add_readmission(&mut call);
        let answer: Answer = self.invoke(&key, &call).await?;
        match parts(&answer)[..] {
            ["renewed", games, order @ ("serve" | "drain")] => {
                Ok(HeartbeatOutcome::Renewed { games: parse(&key, "games", games)?, drain: order == "drain" })
            }
            ["superseded"] => Ok(HeartbeatOutcome::Superseded),
            ["lost"] => Ok(HeartbeatOutcome::Lost),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn deregister(&self, slot: Slot, incarnation: Incarnation) -> Result<()> {
        let key = self.keys.slot(slot);
        let mut call = self.script(&self.scripts.deregister, &key);
        call.arg(slot.to_string()).arg(incarnation.to_string());
        self.invoke(&key, &call).await
    }

    async fn scan(&self, kind: Kind) -> Result<Vec<ScanEntry>> {
        let (list_length, slots) = self.in_time(self.read_slots(kind)).await?;
        Ok(slots.into_iter().filter_map(|slot| read_entry(slot, list_length)).collect())
    }

    async fn reap(&self) -> Result<Vec<Slot>> {
        if !self.may_reap().await? {
            return Ok(Vec::new());
        }
        let mut reaped = Vec::new();
        let mut failure = None;
        for kind in Kind::ALL {
            match self.reap_kind(kind, &mut reaped).await {
                Ok(()) => {}
                // A list that someone has spoiled must not keep the other kinds' servers in use.
                Err(error @ StoreError::Corrupt { .. }) => failure = failure.or(Some(error)),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        // Nobody else will hear of those who were reaped; of what is wrong, the next look tells again.
        match failure {
            Some(error) if reaped.is_empty() => Err(error),
            _ => Ok(reaped),
        }
    }

    async fn accuse(&self, slot: Slot, incarnation: Incarnation, observer: Slot, charge: Charge) -> Result<Verdict> {
        let key = self.keys.slot(slot);
        let charge = match charge {
            Charge::Silent => "silent",
            Charge::Dead => "dead",
            Charge::Refused => "refused",
        };
        let mut call = self.script(&self.scripts.accuse, &key);
        call.arg(slot.to_string()).arg(incarnation.to_string()).arg(observer.to_string()).arg(charge);
        call.arg(milliseconds(self.periods.accusation_ttl)).arg(milliseconds(self.periods.lease_ttl));
        match self.invoke::<String>(&key, &call).await?.as_str() {
            "suspect" => Ok(Verdict::Suspect),
            "down" => Ok(Verdict::Down),
            "elsewhere" => Ok(Verdict::Elsewhere),
            other => Err(unexpected(&key, &[other])),
        }
    }

    async fn absolve(&self, slot: Slot, incarnation: Incarnation, observer: Slot) -> Result<()> {
        let key = self.keys.slot(slot);
        let mut call = self.script(&self.scripts.absolve, &key);
        call.arg(slot.to_string()).arg(incarnation.to_string()).arg(observer.to_string());
        self.invoke(&key, &call).await
    }

    async fn ask_to_drain(&self, slot: Slot) -> Result<DrainRequest> {
        let key = self.keys.slot(slot);
        let mut call = self.script(&self.scripts.ask_to_drain, &key);
        call.arg(slot.to_string());
        let answer: Answer = self.invoke(&key, &call).await?;
        match parts(&answer)[..] {
            ["asked", incarnation] => Ok(DrainRequest::Asked(parse(&key, "incarnation", incarnation)?)),
            ["unused"] => Ok(DrainRequest::Unused),
            ["foreign"] => Ok(DrainRequest::Foreign),
            ref other => Err(unexpected(&key, other)),
        }
    }
}

//! Games in Redis.

use async_trait::async_trait;
use pintail_core::{Durability, GameId, Incarnation, Slot};
use redis::ScriptInvocation;

use super::{Answer, RedisStore, corrupt, milliseconds, parse, parts, unexpected};
use crate::games::{FAILED_GAMES_MAX, SWEEP_MAX, server_lost, unclaimed};
use crate::{
    EndOutcome, EndReason, GameOrder, GameRecord, Games, Owner, Periods, PlaceOutcome, RestoreOutcome, Result,
    SavedSnapshot, StoreError,
};

impl RedisStore {
    /// What has been in a sorted set by time for at least `min_age_ms`.
    pub(super) async fn older_than<T>(&self, name: &str, min_age_ms: u64, limit: u32) -> Result<Vec<T>>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let key = self.keys.shared(name);
        let mut call = self.script(&self.scripts.older_than, &key);
        call.arg(min_age_ms).arg(limit);
        let answer: Answer = self.invoke(&key, &call).await?;
        answer.iter().map(|member| parse(&key, "member", member)).collect()
    }

    pub(super) async fn remove_from(&self, name: &str, member: String) -> Result<()> {
        let key = self.keys.shared(name);
        self.command(&key, redis::cmd("ZREM").arg(&key).arg(member)).await
    }
}

/// Adds the fields of a record that stay as they are.
fn add_order(call: &mut ScriptInvocation<'_>, key: &str, order: &GameOrder) -> Result<()> {
    let durability = match order.durability {
        Durability::Ephemeral => "ephemeral",
        Durability::Journaled => "journaled",
    };
    call.arg("order").arg(to_json(key, order)?);
    call.arg("type").arg(order.game_type.as_str()).arg("durability").arg(durability);
    call.arg("lobby").arg(order.lobby.to_string());
    Ok(())
}

pub(super) fn to_json(key: &str, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Refused(format!("{key} can't be written: {error}")))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(key: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(key, &error))
}

pub(super) fn owner(key: &str, slot: &str, incarnation: &str, epoch: &str) -> Result<Owner> {
    let epoch = pintail_core::Epoch(parse(key, "epoch", epoch)?);
    Ok(Owner { slot: parse(key, "slot", slot)?, incarnation: parse(key, "incarnation", incarnation)?, epoch })
}

/// The fields of a record, in the order of [`RawRecord`].
pub(super) const RECORD_FIELDS: [&str; 5] = ["order", "slot", "incarnation", "epoch", "outcome"];

/// The fields of a record, as Redis has them.
pub(super) type RawRecord = [Option<String>; RECORD_FIELDS.len()];

/// Reads a record; `None` if there is none.
pub(super) fn read_record(key: &str, fields: &RawRecord) -> Result<Option<GameRecord>> {
    let [Some(order), Some(slot), Some(incarnation), Some(epoch), outcome] = fields else {
        return Ok(None);
    };
    Ok(Some(GameRecord {
        order: from_json(key, order)?,
        owner: owner(key, slot, incarnation, epoch)?,
        outcome: outcome.as_deref().map(|outcome| from_json(key, outcome)).transpose()?,
    }))
}

/// Adds for how long a game that failed is kept, and how many are.
pub(super) fn add_failed(call: &mut ScriptInvocation<'_>, periods: &Periods) {
    call.arg(milliseconds(periods.failed_game_ttl)).arg(FAILED_GAMES_MAX);
}

#[async_trait]
impl Games for RedisStore {
    async fn place(&self, order: &GameOrder) -> Result<PlaceOutcome> {
        let key = self.keys.game(order.id);
        let mut call = self.script(&self.scripts.place, &key);
        call.arg(order.id.to_string()).arg(order.game_type.as_str());
        add_order(&mut call, &key, order)?;
        let answer: Answer = self.invoke(&key, &call).await?;
        match parts(&answer)[..] {
            ["placed", slot, incarnation, epoch] => Ok(PlaceOutcome::Placed(owner(&key, slot, incarnation, epoch)?)),
            ["over", outcome] => Ok(PlaceOutcome::Over(from_json(&key, outcome)?)),
            ["none"] => Ok(PlaceOutcome::NoServer),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn game(&self, id: GameId) -> Result<Option<GameRecord>> {
        let key = self.keys.game(id);
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(&RECORD_FIELDS[..]);
        let mut fields = self.command::<Vec<Option<String>>>(&key, &command).await?.into_iter();
        read_record(&key, &std::array::from_fn(|_| fields.next().flatten()))
    }

    async fn hosted(&self, slot: Slot, incarnation: Incarnation) -> Result<Vec<GameId>> {
        let key = self.keys.hosted_games(slot, incarnation);
        let games: Vec<String> = self.command(&key, redis::cmd("SMEMBERS").arg(&key)).await?;
        games.iter().map(|game| parse(&key, "member", game)).collect()
    }

    async fn restore_game(
        &self,
        order: &GameOrder,
        owner: Owner,
        snapshot: Option<&SavedSnapshot>,
    ) -> Result<RestoreOutcome> {
        let key = self.keys.game(order.id);
        let mut call = self.script(&self.scripts.restore_game, &key);
        call.arg(order.id.to_string()).arg(owner.slot.to_string());
        call.arg(owner.incarnation.to_string()).arg(owner.epoch.0);
        match snapshot {
            Some(snapshot) => call.arg(snapshot.number.0).arg(snapshot.format).arg(&snapshot.bytes[..]),
            None => call.arg("").arg("").arg(""),
        };
        add_order(&mut call, &key, order)?;
        let answer: Answer = self.invoke_confirmed(&key, &call).await?;
        match parts(&answer)[..] {
            ["restored"] => Ok(RestoreOutcome::Restored),
            ["taken"] => Ok(RestoreOutcome::Taken),
            ["unregistered"] => Ok(RestoreOutcome::Unregistered),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn end_game(&self, id: GameId, owner: Owner, outcome: &EndOutcome) -> Result<bool> {
        let key = self.keys.game(id);
        let mut call = self.script(&self.scripts.end_game, &key);
        call.arg(id.to_string()).arg(owner.slot.to_string());
        call.arg(owner.incarnation.to_string()).arg(owner.epoch.0).arg(to_json(&key, outcome)?);
        // An end is worth telling as long as the room can be there.
        call.arg(milliseconds(self.periods.game_record_ttl)).arg(milliseconds(self.periods.room_idle_ttl));
        if outcome.reason == EndReason::Crashed {
            add_failed(&mut call, &self.periods);
        } else {
            call.arg("").arg("");
        }
        self.invoke_confirmed(&key, &call).await
    }

    async fn unsettled_games(&self, min_age_ms: u64, limit: u32) -> Result<Vec<GameId>> {
        self.older_than("Games:unsettled", min_age_ms, limit).await
    }

    async fn settle_game(&self, id: GameId) -> Result<()> {
        self.remove_from("Games:unsettled", id.to_string()).await
    }

    async fn sweep_orphans(&self, limit: u32) -> Result<u32> {
        let key = self.keys.shared("Orphans");
        let mut call = self.script(&self.scripts.sweep_orphans, &key);
        call.arg(limit.min(SWEEP_MAX)).arg(to_json(&key, &server_lost())?);
        call.arg(milliseconds(self.periods.game_record_ttl)).arg(milliseconds(self.periods.room_idle_ttl));
        call.arg(milliseconds(self.periods.session_ttl));
        call.arg(milliseconds(self.periods.orphan_ttl)).arg(to_json(&key, &unclaimed())?);
        self.invoke(&key, &call).await
    }
}

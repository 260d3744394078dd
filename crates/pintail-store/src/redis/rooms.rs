//! Rooms in Redis.

use async_trait::async_trait;
use pintail_core::limits::ROOM_PAGE_MAX;
use pintail_core::{RoomId, SessionId};

use super::{Answer, RedisStore, milliseconds, parse, parts, unexpected};
use crate::rooms::PageMark;
use crate::{CommitOutcome, Result, RoomChange, RoomDocument, RoomPage, Rooms, Version};

impl RedisStore {
    /// The room that a key names.
    async fn linked_room(&self, key: &str) -> Result<Option<RoomDocument>> {
        let call = self.script(&self.scripts.linked_room, key);
        let answer: Answer = self.invoke(key, &call).await?;
        match parts(&answer)[..] {
            [id, version, body] => document(key, id, version, body).map(Some),
            [] => Ok(None),
            ref other => Err(unexpected(key, other)),
        }
    }
}

fn document(key: &str, id: &str, version: &str, body: &str) -> Result<RoomDocument> {
    let version = Version(parse(key, "version", version)?);
    Ok(RoomDocument { id: parse(key, "room", id)?, version, body: body.to_owned() })
}

fn add_sessions(call: &mut redis::ScriptInvocation<'_>, sessions: &[SessionId]) {
    for session in sessions {
        call.arg(session.to_string());
    }
}

#[async_trait]
impl Rooms for RedisStore {
    async fn commit_room(&self, change: &RoomChange) -> Result<CommitOutcome> {
        let key = self.keys.room(change.id);
        let mut call = self.script(&self.scripts.commit_room, &key);
        call.arg(change.id.to_string()).arg(change.from.0);
        call.arg(milliseconds(self.periods.room_idle_ttl)).arg(milliseconds(self.periods.session_ttl));
        match &change.to {
            Some(state) => call.arg("put").arg(&state.body).arg(&state.invite).arg(state.labels.join("\n")),
            None => call.arg("delete").arg("").arg("").arg(""),
        };
        call.arg(change.enter.len());
        add_sessions(&mut call, &change.enter);
        add_sessions(&mut call, &change.leave);
        let answer: Answer = self.invoke(&key, &call).await?;
        match parts(&answer)[..] {
            ["committed", version] => Ok(CommitOutcome::Committed(Version(parse(&key, "version", version)?))),
            ["conflict"] => Ok(CommitOutcome::Conflict),
            ["elsewhere", session, room] => Ok(CommitOutcome::Elsewhere {
                session: parse(&key, "session", session)?,
                room: parse(&key, "room", room)?,
            }),
            ["invite-taken"] => Ok(CommitOutcome::InviteTaken),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn room(&self, id: RoomId) -> Result<Option<RoomDocument>> {
        let key = self.keys.room(id);
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(&["version", "body"]);
        let fields: Vec<Option<String>> = self.command(&key, &command).await?;
        match &fields[..] {
            [Some(version), Some(body)] => {
                let version = Version(parse(&key, "version", version)?);
                Ok(Some(RoomDocument { id, version, body: body.clone() }))
            }
            _ => Ok(None),
        }
    }

    async fn room_of(&self, session: SessionId) -> Result<Option<RoomDocument>> {
        self.linked_room(&self.keys.place(session)).await
    }

    async fn room_by_invite(&self, invite: &str) -> Result<Option<RoomDocument>> {
        self.linked_room(&self.keys.invite(invite)).await
    }

    async fn rooms_labelled(&self, label: &str, page: Option<&str>, limit: u32) -> Result<RoomPage> {
        let key = self.keys.label(label);
        let before = page.and_then(PageMark::parse).map(|mark| mark.to_string()).unwrap_or_default();
        let mut call = self.script(&self.scripts.rooms_labelled, &key);
        call.arg(before).arg(limit.min(ROOM_PAGE_MAX));
        let answer: Answer = self.invoke(&key, &call).await?;
        let Some((next, fields)) = answer.split_first() else {
            return Err(unexpected(&key, &[]));
        };
        let (rooms, rest) = fields.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(unexpected(&key, &parts(rest)));
        }
        Ok(RoomPage {
            rooms: rooms.iter().map(|[id, version, body]| document(&key, id, version, body)).collect::<Result<_>>()?,
            next: (!next.is_empty()).then(|| next.clone()),
        })
    }

    async fn touch_room(&self, id: RoomId) -> Result<()> {
        let key = self.keys.room(id);
        let mut call = self.script(&self.scripts.touch_room, &key);
        call.arg(milliseconds(self.periods.room_idle_ttl));
        self.invoke(&key, &call).await
    }
}

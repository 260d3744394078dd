//! Rooms, their invite codes and labels, and which room a session is in.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use pintail_core::limits::ROOM_PAGE_MAX;
use pintail_core::{RoomId, SessionId};
use tokio::time::Instant;

use super::expiring::Expiring;
use super::{EmbeddedStore, State};
use crate::rooms::PageMark;
use crate::{CommitOutcome, Result, RoomChange, RoomDocument, RoomPage, RoomState, Rooms, Version};

/// Rooms and the ways to find them. A way that leads to no room (it expired) counts as not there.
#[derive(Debug, Default, Clone)]
pub(super) struct RoomsState {
    rooms: Expiring<RoomId, Room>,
    invites: Expiring<String, RoomId>,
    places: Expiring<SessionId, RoomId>,
    labels: BTreeMap<String, BTreeSet<PageMark>>,
    /// How many rooms were ever created: orders them by age.
    created_count: u64,
}

#[derive(Debug, Clone)]
struct Room {
    version: Version,
    created: u64,
    state: RoomState,
}

impl RoomsState {
    pub(super) fn keep_place(&mut self, session: SessionId, now: Instant, expires_at: Instant) {
        self.places.extend(&session, now, expires_at);
    }

    /// Whether the session is in a room that still exists.
    pub(super) fn has_place(&self, session: SessionId, now: Instant) -> bool {
        self.places.get(&session, now).is_some_and(|room| self.rooms.contains(room, now))
    }

    pub(super) fn purge(&mut self, now: Instant) {
        self.rooms.purge(now);
        self.invites.purge(now);
        self.places.purge(now);
        let rooms = &self.rooms;
        self.labels.retain(|_, marks| {
            marks.retain(|mark| rooms.contains(&mark.room, now));
            !marks.is_empty()
        });
    }

    fn document(&self, id: RoomId, now: Instant) -> Option<RoomDocument> {
        let room = self.rooms.get(&id, now)?;
        Some(RoomDocument { id, version: room.version, body: room.state.body.clone() })
    }

    /// What stands against the change, if anything does.
    fn objection(&self, change: &RoomChange, now: Instant) -> Option<CommitOutcome> {
        if self.rooms.get(&change.id, now).map_or(Version(0), |room| room.version) != change.from {
            return Some(CommitOutcome::Conflict);
        }
        for &session in &change.enter {
            let other = self.places.get(&session, now).filter(|&&room| room != change.id);
            if let Some(&room) = other.filter(|room| self.rooms.contains(room, now)) {
                return Some(CommitOutcome::Elsewhere { session, room });
            }
        }
        let created = change.to.as_ref().filter(|_| change.from == Version(0))?;
        let holder = self.invites.get(&created.invite, now)?;
        self.rooms.contains(holder, now).then_some(CommitOutcome::InviteTaken)
    }

    fn put(&mut self, id: RoomId, from: Version, mut state: RoomState, now: Instant, expires_at: Instant) -> Version {
        let before = self.rooms.get(&id, now).map(|room| (room.created, room.state.invite.clone()));
        self.unlist(id);
        let created = match before {
            Some((created, invite)) => {
                state.invite = invite;
                created
            }
            None => {
                self.created_count += 1;
                self.created_count
            }
        };
        for label in &state.labels {
            self.labels.entry(label.clone()).or_default().insert(PageMark { created, room: id });
        }
        let version = Version(from.0 + 1);
        self.invites.insert(state.invite.clone(), id, expires_at);
        self.rooms.insert(id, Room { version, created, state }, expires_at);
        version
    }

    fn unlist(&mut self, id: RoomId) -> Option<Room> {
        let room = self.rooms.remove(&id)?;
        for label in &room.state.labels {
            if let Some(marks) = self.labels.get_mut(label) {
                marks.remove(&PageMark { created: room.created, room: id });
                if marks.is_empty() {
                    self.labels.remove(label);
                }
            }
        }
        Some(room)
    }

    fn page(&self, label: &str, page: Option<&str>, limit: usize, now: Instant) -> RoomPage {
        let Some(marks) = self.labels.get(label) else {
            return RoomPage::default();
        };
        let before = page.and_then(PageMark::parse);
        let older: Box<dyn Iterator<Item = &PageMark>> = match before {
            Some(mark) => Box::new(marks.range(..mark).rev()),
            None => Box::new(marks.iter().rev()),
        };
        let seen: Vec<&PageMark> = older.take(limit).collect();
        let next = if seen.len() == limit { seen.last().map(|mark| mark.to_string()) } else { None };
        RoomPage { rooms: seen.into_iter().filter_map(|mark| self.document(mark.room, now)).collect(), next }
    }

    #[cfg(test)]
    pub(super) fn entry_count(&self) -> usize {
        let labelled: usize = self.labels.values().map(BTreeSet::len).sum();
        self.rooms.len() + self.invites.len() + self.places.len() + labelled
    }
}

impl State {
    fn commit_room(&mut self, change: &RoomChange, now: Instant) -> CommitOutcome {
        if let Some(objection) = self.rooms.objection(change, now) {
            return objection;
        }
        for session in &change.leave {
            if self.rooms.places.get(session, now) == Some(&change.id) {
                self.rooms.places.remove(session);
            }
        }
        let Some(state) = &change.to else {
            if let Some(room) = self.rooms.unlist(change.id) {
                self.rooms.invites.remove(&room.state.invite);
            }
            return CommitOutcome::Committed(Version(0));
        };
        for &session in &change.enter {
            self.rooms.places.insert(session, change.id, now + self.periods.session_ttl);
        }
        let expires_at = now + self.periods.room_idle_ttl;
        CommitOutcome::Committed(self.rooms.put(change.id, change.from, state.clone(), now, expires_at))
    }

    fn touch_room(&mut self, id: RoomId, now: Instant) {
        let expires_at = now + self.periods.room_idle_ttl;
        if let Some(room) = self.rooms.rooms.get(&id, now) {
            self.rooms.invites.extend(&room.state.invite, now, expires_at);
            self.rooms.rooms.extend(&id, now, expires_at);
        }
    }
}

#[async_trait]
impl Rooms for EmbeddedStore {
    async fn commit_room(&self, change: &RoomChange) -> Result<CommitOutcome> {
        Ok(self.run(|state, now| state.commit_room(change, now)))
    }

    async fn room(&self, id: RoomId) -> Result<Option<RoomDocument>> {
        Ok(self.run(|state, now| state.rooms.document(id, now)))
    }

    async fn room_of(&self, session: SessionId) -> Result<Option<RoomDocument>> {
        Ok(self.run(|state, now| {
            let room = *state.rooms.places.get(&session, now)?;
            state.rooms.document(room, now)
        }))
    }

    async fn room_by_invite(&self, invite: &str) -> Result<Option<RoomDocument>> {
        Ok(self.run(|state, now| {
            let room = *state.rooms.invites.get(invite, now)?;
            state.rooms.document(room, now)
        }))
    }

    async fn rooms_labelled(&self, label: &str, page: Option<&str>, limit: u32) -> Result<RoomPage> {
        Ok(self.run(|state, now| state.rooms.page(label, page, limit.min(ROOM_PAGE_MAX) as usize, now)))
    }

    async fn touch_room(&self, id: RoomId) -> Result<()> {
        self.run(|state, now| state.touch_room(id, now));
        Ok(())
    }
}

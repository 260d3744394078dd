//! What the client knows of its room.

use pintail_core::SessionId;
use pintail_wire::client::Room;

/// Where news of a room came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// An answer to this client's own request.
    Reply,
    /// An event, which can be older than what is known.
    Event,
}

/// The newest version of the room that the session is in.
#[derive(Debug, Default)]
pub(super) struct RoomView {
    current: Option<Room>,
    /// The last room that was left: late events don't lead back into it.
    left: Option<u64>,
    /// Counts the changes, so that an answer can be told from an older one.
    changes: u64,
}

impl RoomView {
    pub(super) const fn current(&self) -> Option<&Room> {
        self.current.as_ref()
    }

    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Takes a room in; says whether it is news.
    pub(super) fn see(&mut self, room: &Room, source: Source, me: SessionId) -> bool {
        let is_news = match &self.current {
            Some(current) if current.id == room.id => room.version > current.version,
            _ => match source {
                Source::Reply => true,
                Source::Event => self.left != Some(room.id) && room.members.iter().any(|member| member.session == me.0),
            },
        };
        if is_news {
            self.current = Some(room.clone());
            self.left = None;
            self.changes += 1;
        }
        is_news
    }

    /// The session is not in this room any more; says whether that is news.
    pub(super) fn leave(&mut self, room: u64) -> bool {
        let was_in = self.current.as_ref().is_some_and(|current| current.id == room);
        if was_in {
            self.current = None;
            self.left = Some(room);
            self.changes += 1;
        }
        was_in
    }
}

#[cfg(test)]
mod tests {
    use pintail_wire::client::Member;

    use super::*;

    const ME: SessionId = SessionId(7);

    fn room(id: u64, version: u64) -> Room {
        let me = Member { session: ME.0, ..Member::default() };
        Room { id, version, members: vec![me], ..Room::default() }
    }

    #[test]
    fn only_a_newer_version_is_news() {
        let mut view = RoomView::default();
        assert!(view.see(&room(1, 3), Source::Reply, ME));
        assert!(!view.see(&room(1, 3), Source::Event, ME));
        assert!(!view.see(&room(1, 2), Source::Reply, ME), "the answer to an old request sent again");
        assert!(view.see(&room(1, 4), Source::Event, ME));
    }

    #[test]
    fn a_late_event_does_not_lead_back_into_a_room_that_was_left() {
        let mut view = RoomView::default();
        view.see(&room(1, 3), Source::Reply, ME);
        assert!(view.leave(1));
        assert!(!view.leave(1));
        assert!(!view.see(&room(1, 4), Source::Event, ME));
        assert!(view.see(&room(1, 5), Source::Reply, ME), "joined again");
    }

    #[test]
    fn an_event_leads_into_a_room_only_if_the_session_is_a_member() {
        let mut view = RoomView::default();
        let others = Room { members: Vec::new(), ..room(2, 1) };
        assert!(!view.see(&others, Source::Event, ME));
        assert!(view.see(&room(2, 1), Source::Event, ME), "a join whose answer was lost");
    }
}

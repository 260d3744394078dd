//! Rooms as messages.

use pintail_core::SessionId;
use pintail_engine::room::{LeftReason, Phase, Room, RoundEnd, Visibility};
use pintail_wire::client::{
    ChatMessage, GameEndReason, GameOutcome, LobbyEvent, Member, Room as RoomMessage, RoomLeft, RoomLeftReason,
    RoomState, RoomSummary, lobby_event,
};

use crate::change::Snapshot;

/// The room as its members see it.
pub(crate) fn room(snapshot: &Snapshot) -> RoomMessage {
    let room = &snapshot.room;
    RoomMessage {
        id: room.id().0,
        version: snapshot.version.0,
        name: room.name().to_string(),
        game: room.choice().game.to_string(),
        settings: room.choice().settings.clone(),
        players_max: room.choice().players_max,
        private: room.visibility() == Visibility::Private,
        invite: room.invite().to_string(),
        state: state(room).into(),
        owner: room.owner().0,
        members: members(room),
        round: room.round().0,
        last_outcome: room.last_end().map(outcome),
        players_min: room.choice().players_min,
    }
}

/// The room as a list shows it.
pub(crate) fn summary(room: &Room) -> RoomSummary {
    RoomSummary {
        id: room.id().0,
        name: room.name().to_string(),
        game: room.choice().game.to_string(),
        state: state(room).into(),
        players: u32::try_from(room.members().len()).unwrap_or(u32::MAX),
        players_max: room.choice().players_max,
        owner: room.member(room.owner()).map(|owner| owner.name.to_string()).unwrap_or_default(),
    }
}

pub(crate) fn room_changed(snapshot: &Snapshot) -> LobbyEvent {
    LobbyEvent { event: Some(lobby_event::Event::RoomChanged(room(snapshot))) }
}

pub(crate) fn chat(room: &Room, session: SessionId, name: &str, text: &str) -> LobbyEvent {
    let message = ChatMessage { room: room.id().0, session: session.0, name: name.to_owned(), text: text.to_owned() };
    LobbyEvent { event: Some(lobby_event::Event::Chat(message)) }
}

pub(crate) fn room_left(room: &Room, reason: LeftReason) -> LobbyEvent {
    let reason = match reason {
        LeftReason::Kicked => RoomLeftReason::Kicked,
        LeftReason::AwayTooLong => RoomLeftReason::AwayTooLong,
    };
    LobbyEvent { event: Some(lobby_event::Event::RoomLeft(RoomLeft { room: room.id().0, reason: reason.into() })) }
}

fn members(room: &Room) -> Vec<Member> {
    let member = |member: &pintail_engine::room::Member| Member {
        session: member.session.0,
        name: member.name.to_string(),
        ready: member.ready,
        away: member.away,
    };
    room.members().iter().map(member).collect()
}

fn state(room: &Room) -> RoomState {
    match room.phase() {
        Phase::Wait => RoomState::Wait,
        Phase::Starting(_) => RoomState::Starting,
        Phase::Playing => RoomState::Playing,
    }
}

fn outcome(end: &RoundEnd) -> GameOutcome {
    let reason = GameEndReason::from(end.outcome.reason);
    GameOutcome {
        round: end.round.0,
        reason: reason.into(),
        result: end.outcome.result.clone(),
        message: end.outcome.message.clone(),
    }
}

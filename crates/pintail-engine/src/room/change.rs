//! What each request does to a room.

use std::collections::VecDeque;

use pintail_core::{GameId, RequestId, RoomName, Round, SessionId};

use super::{
    Actor, Applied, ChatText, Effect, Event, JoinBy, LeftReason, Member, NewRoom, Phase, Presence, REMEMBERED_REQUESTS,
    Request, Room, RoomError, Seat, Start, Visibility,
};

impl Room {
    /// A room whose only member is its owner.
    #[must_use]
    pub fn create(actor: &Actor, request_id: RequestId, new: NewRoom) -> Self {
        let mut owner = Member::new(actor);
        owner.remember(request_id);
        Self {
            id: new.id,
            name: new.name.unwrap_or_else(|| named_after(actor)),
            choice: new.choice,
            visibility: new.visibility,
            invite: new.invite,
            owner: actor.session,
            members: vec![owner],
            round: Round(0),
            phase: Phase::Wait,
            last_end: None,
        }
    }

    /// What a request does. One that a member sent before changes nothing and is answered with the room as it is; the
    /// others hear of the room again, because whoever did it may have died before they were told.
    ///
    /// # Errors
    /// If the request is refused. The room stays as it is.
    pub fn apply(&self, actor: &Actor, request_id: RequestId, request: Request) -> Result<Applied, RoomError> {
        let mut draft = Draft::new(self);
        let known = draft.room.member_mut(actor.session).is_some_and(|member| {
            member.heard_of(actor);
            member.requests.contains(&request_id)
        });
        match request {
            Request::Look => self.expect_member(actor.session)?,
            Request::Start { .. } if known => draft.continue_start(),
            _ if known => {}
            Request::Join(by) => draft.join(actor, request_id, by)?,
            other => {
                self.expect_member(actor.session)?;
                draft.act(actor.session, request_id, other)?;
            }
        }
        let mut applied = draft.finish(self, Some(actor.session));
        if known && applied.events.is_empty() {
            applied.events.push(Event::Changed { except: Some(actor.session) });
        }
        Ok(applied)
    }

    /// What the news of a session's connection does. News of a former connection is old.
    #[must_use]
    pub fn presence(&self, actor: &Actor, presence: Presence) -> Applied {
        let mut draft = Draft::new(self);
        if let Some(member) = draft.room.member_mut(actor.session)
            && actor.generation >= member.generation
        {
            member.heard_of(actor);
            match presence {
                Presence::Back => {}
                Presence::Away => member.away = true,
                Presence::Gone => drop(draft.remove(actor.session)),
            }
        }
        draft.finish(self, Some(actor.session))
    }

    /// Removes a member whose connection has been lost for too long. A member who is not known to be away is marked
    /// so and removed only by a second call: in between, a session that just came back says so.
    #[must_use]
    pub fn remove_away(&self, session: SessionId) -> Applied {
        let mut draft = Draft::new(self);
        match draft.room.member_mut(session) {
            Some(member) if member.away => {
                let left = draft.remove(session).map(|member| Event::Left { member, reason: LeftReason::AwayTooLong });
                draft.events.extend(left);
            }
            Some(member) => member.away = true,
            None => {}
        }
        draft.finish(self, Some(session))
    }

    /// A member whose connection turns out not to be lost.
    #[must_use]
    pub fn not_away(&self, session: SessionId) -> Applied {
        let mut draft = Draft::new(self);
        if let Some(member) = draft.room.member_mut(session) {
            member.away = false;
        }
        draft.finish(self, Some(session))
    }

    fn expect_member(&self, session: SessionId) -> Result<(), RoomError> {
        if self.member(session).is_some() { Ok(()) } else { Err(RoomError::NotInRoom) }
    }

    fn expect_owner(&self, session: SessionId) -> Result<(), RoomError> {
        if session == self.owner { Ok(()) } else { Err(RoomError::NotOwner) }
    }

    pub(super) fn member_mut(&mut self, session: SessionId) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.session == session)
    }

    /// Who plays, if the game could start now.
    fn seats(&self) -> Result<Vec<Seat>, RoomError> {
        let present = self.members.len();
        if present < usize::try_from(self.choice.players_min).unwrap_or(usize::MAX) {
            return Err(RoomError::TooFewPlayers { least: self.choice.players_min, present });
        }
        let holds_up = |member: &&Member| member.away || !(member.ready || member.session == self.owner);
        let waited_for: Vec<_> = self.members.iter().filter(holds_up).map(|member| member.name.clone()).collect();
        if !waited_for.is_empty() {
            return Err(RoomError::NotReady(waited_for));
        }
        Ok(self.members.iter().map(|member| Seat { session: member.session, name: member.name.clone() }).collect())
    }

    /// Whether the members of `other` would see a difference.
    fn looks_like(&self, other: &Self) -> bool {
        let looks = |member: &Member| (member.session, member.name.clone(), member.ready, member.away);
        let state = |room: &Self| (room.owner, room.round, std::mem::discriminant(&room.phase));
        state(self) == state(other)
            && self.last_end == other.last_end
            && self.members.iter().map(looks).eq(other.members.iter().map(looks))
    }
}

impl Member {
    fn new(actor: &Actor) -> Self {
        Self {
            session: actor.session,
            name: actor.name.clone(),
            ready: false,
            away: false,
            gateway: actor.gateway,
            generation: actor.generation,
            requests: VecDeque::new(),
        }
    }

    /// Whoever asks for something is there, through that gateway and under that name, unless it asked long ago over a
    /// former connection.
    fn heard_of(&mut self, actor: &Actor) {
        if actor.generation >= self.generation {
            self.name.clone_from(&actor.name);
            self.gateway = actor.gateway;
            self.generation = actor.generation;
            self.away = false;
        }
    }

    fn remember(&mut self, request: RequestId) {
        if self.requests.len() >= REMEMBERED_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    pub(super) fn forget(&mut self, request: RequestId) {
        self.requests.retain(|known| *known != request);
    }
}

fn named_after(actor: &Actor) -> RoomName {
    RoomName::new(&format!("{}'s room", actor.name)).expect("a player's name leaves room for seven more characters")
}

/// A room that is being changed, with what comes of it so far.
pub(super) struct Draft {
    pub(super) room: Room,
    pub(super) events: Vec<Event>,
    pub(super) effects: Vec<Effect>,
}

impl Draft {
    pub(super) fn new(room: &Room) -> Self {
        Self { room: room.clone(), events: Vec::new(), effects: Vec::new() }
    }

    fn act(&mut self, session: SessionId, request_id: RequestId, request: Request) -> Result<(), RoomError> {
        match request {
            Request::Look | Request::Join(_) => {}
            Request::Leave => drop(self.remove(session)),
            Request::SetReady(ready) => self.set_ready(session, ready)?,
            Request::Kick(target) => self.kick(session, target)?,
            Request::Chat(text) => self.chat(session, text),
            Request::Start { seed } => return self.start(session, request_id, seed),
        }
        self.remember(session, request_id);
        Ok(())
    }

    fn join(&mut self, actor: &Actor, request_id: RequestId, by: JoinBy) -> Result<(), RoomError> {
        if self.room.member(actor.session).is_some() {
            return Ok(());
        }
        if self.room.visibility == Visibility::Private && by == JoinBy::Id {
            return Err(RoomError::NotFound);
        }
        if self.room.phase != Phase::Wait {
            return Err(RoomError::GameRunning);
        }
        if !self.room.is_open() {
            return Err(RoomError::Full { places: self.room.choice.players_max });
        }
        self.room.members.push(Member::new(actor));
        self.remember(actor.session, request_id);
        Ok(())
    }

    fn set_ready(&mut self, session: SessionId, ready: bool) -> Result<(), RoomError> {
        if self.room.phase != Phase::Wait {
            return Err(RoomError::GameRunning);
        }
        if let Some(member) = self.room.member_mut(session) {
            member.ready = ready;
        }
        Ok(())
    }

    fn kick(&mut self, session: SessionId, target: SessionId) -> Result<(), RoomError> {
        self.room.expect_owner(session)?;
        if session == target {
            return Err(RoomError::KickedOneself);
        }
        let member = self.remove(target).ok_or(RoomError::UnknownPlayer)?;
        self.events.push(Event::Left { member, reason: LeftReason::Kicked });
        Ok(())
    }

    fn chat(&mut self, session: SessionId, text: ChatText) {
        if let Some(member) = self.room.member(session) {
            self.events.push(Event::Chat { session, name: member.name.clone(), text });
        }
    }

    fn start(&mut self, session: SessionId, request_id: RequestId, seed: u64) -> Result<(), RoomError> {
        self.room.expect_owner(session)?;
        match self.room.phase {
            Phase::Playing => return Err(RoomError::GameRunning),
            Phase::Starting(_) => {}
            Phase::Wait => {
                let seats = self.room.seats()?;
                self.room.round = self.room.round.next();
                self.room.phase = Phase::Starting(Start { seed, seats, starter: session, request: request_id });
                self.remember(session, request_id);
            }
        }
        self.continue_start();
        Ok(())
    }

    fn continue_start(&mut self) {
        if let (Phase::Starting(_), Some(game)) = (&self.room.phase, self.room.game()) {
            self.effects.push(Effect::Start(game));
        }
    }

    /// Takes a member out, passes ownership on, and tells the running game. A game that is still starting is told
    /// when it is placed.
    fn remove(&mut self, session: SessionId) -> Option<Member> {
        let place = self.room.members.iter().position(|member| member.session == session)?;
        let member = self.room.members.remove(place);
        if self.room.owner == session {
            let heir = self.room.members.iter().find(|member| !member.away).or(self.room.members.first());
            self.room.owner = heir.map_or(session, |heir| heir.session);
        }
        if self.room.phase == Phase::Playing {
            let game = GameId { room: self.room.id, round: self.room.round };
            self.effects.push(Effect::PlayerLeft(game, session));
        }
        Some(member)
    }

    fn remember(&mut self, session: SessionId, request_id: RequestId) {
        if let Some(member) = self.room.member_mut(session) {
            member.remember(request_id);
        }
    }

    /// Says what came of it; `answered` is the session that learns of the change by the answer to its request.
    pub(super) fn finish(mut self, before: &Room, answered: Option<SessionId>) -> Applied {
        let changed = self.room != *before;
        if !self.room.looks_like(before) {
            self.events.push(Event::Changed { except: answered });
        }
        let room = (!self.room.members.is_empty()).then_some(self.room);
        Applied { room, changed, events: self.events, effects: self.effects }
    }
}

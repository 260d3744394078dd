//! Creating a room, and quick match.

use std::cmp::Reverse;

use pintail_core::{RoomId, RoomName};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_engine::room::{GameChoice, InviteCode, JoinBy, NewRoom, Request, Room, RoomError, Visibility, label_open};
use pintail_store::{CommitOutcome, RoomChange, Version};
use pintail_wire::client::{CreateRoom, QuickMatch};

use crate::change::{Find, Snapshot, room_state};
use crate::lobby::{Answer, Asker, Lobby};
use crate::refusal::Refusal;

/// How many invite codes are tried for a new room. With a million rooms one code in 700 is taken.
const INVITES_MAX: u32 = 8;

/// How many rooms a quick match looks at, and in how many reads of the store.
const CANDIDATES_PER_READ: u32 = 25;
const CANDIDATE_READS_MAX: u32 = 4;

/// Another code is as likely to be free at once as later.
const NO_WAIT: BackoffPolicy = BackoffPolicy { first: std::time::Duration::ZERO, max: std::time::Duration::ZERO };

impl Lobby {
    /// Creates a room and enters it.
    pub(crate) async fn create(&self, asker: &Asker, create: &CreateRoom) -> Result<Answer, Refusal> {
        let choice = GameChoice::check(&self.catalog, &create.game, &create.settings, create.players_max)?;
        let name = match create.name.trim() {
            "" => None,
            name => Some(RoomName::new(name).map_err(RoomError::from)?),
        };
        let visibility = if create.private { Visibility::Private } else { Visibility::Public };
        if let Some(answer) = self.done_before(asker).await? {
            return Ok(answer);
        }
        match self.found(asker, name, choice, visibility).await {
            Err(Refusal::Room(RoomError::AlreadyInRoom)) => self.done_meanwhile(asker).await,
            other => other,
        }
    }

    /// Enters the fullest public room that plays the same and has a place, or creates one.
    pub(crate) async fn quick_match(&self, asker: &Asker, wish: &QuickMatch) -> Result<Answer, Refusal> {
        let choice = GameChoice::check(&self.catalog, &wish.game, &wish.settings, 0)?;
        if let Some(answer) = self.done_before(asker).await? {
            return Ok(answer);
        }
        let matched = match self.join_candidate(asker, &choice).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => self.found(asker, None, choice, Visibility::Public).await,
            Err(refusal) => Err(refusal),
        };
        match matched {
            Err(Refusal::Room(RoomError::AlreadyInRoom)) => self.done_meanwhile(asker).await,
            other => other,
        }
    }

    /// The answer to a request that was done before. A session that is in a room by another request is refused.
    async fn done_before(&self, asker: &Asker) -> Result<Option<Answer>, Refusal> {
        match self.find(&Find::Of(asker.actor.session)).await? {
            None => Ok(None),
            Some(here) if here.room.remembers(asker.actor.session, asker.request_id) => {
                self.act(asker, Request::Look).await.map(Some)
            }
            // A place in a room whose members do not have it is a trace of something that was lost: no place.
            Some(here) if here.room.member(asker.actor.session).is_none() => Ok(None),
            Some(_) => Err(RoomError::AlreadyInRoom.into()),
        }
    }

    /// The answer when the session turned out to be in a room: perhaps by this very request, through another server.
    async fn done_meanwhile(&self, asker: &Asker) -> Result<Answer, Refusal> {
        self.done_before(asker).await?.ok_or(Refusal::Contention)
    }

    async fn found(
        &self,
        asker: &Asker,
        name: Option<RoomName>,
        choice: GameChoice,
        visibility: Visibility,
    ) -> Result<Answer, Refusal> {
        let id = RoomId::derived(asker.actor.session, asker.request_id);
        let mut backoff = Backoff::new(NO_WAIT);
        while backoff.failures() < INVITES_MAX {
            let invite = InviteCode::random(&mut rand::rng());
            let new = NewRoom { id, name: name.clone(), choice: choice.clone(), visibility, invite };
            let room = Room::create(&asker.actor, asker.request_id, new);
            let enter = vec![asker.actor.session];
            let change = RoomChange { id, from: Version(0), to: Some(room_state(&room)), enter, leave: Vec::new() };
            match self.store.commit_room(&change).await? {
                CommitOutcome::Committed(version) => {
                    self.metrics.rooms_created.inc();
                    return Ok(Answer::Room(Some(Box::new(Snapshot { room, version }))));
                }
                CommitOutcome::Elsewhere { .. } => return Err(RoomError::AlreadyInRoom.into()),
                CommitOutcome::InviteTaken => self.stay_back(&mut backoff).await,
                // This request created the room before, and perhaps the session has left it since.
                CommitOutcome::Conflict => {
                    return Ok(self.done_before(asker).await?.unwrap_or(Answer::Room(None)));
                }
            }
        }
        Err(Refusal::Contention)
    }

    async fn join_candidate(&self, asker: &Asker, choice: &GameChoice) -> Result<Option<Answer>, Refusal> {
        let label = label_open(&choice.game);
        let mut page: Option<String> = None;
        for _ in 0..CANDIDATE_READS_MAX {
            let read = self.store.rooms_labelled(&label, page.as_deref(), CANDIDATES_PER_READ).await?;
            let rooms = read.rooms.iter().filter_map(|document| Snapshot::read(document).ok());
            let mut candidates: Vec<_> =
                rooms.map(|snapshot| snapshot.room).filter(|room| plays(room, choice)).collect();
            candidates.sort_by_key(|room| Reverse(room.members().len()));
            for room in candidates {
                match self.apply(asker, &Find::Id(room.id()), &Request::Join(JoinBy::Id)).await {
                    Ok(Some(answer)) => return Ok(Some(answer)),
                    // Others were faster: the next one.
                    Ok(None) | Err(Refusal::Contention) => {}
                    Err(Refusal::Room(RoomError::Full { .. } | RoomError::GameRunning | RoomError::NotFound)) => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            page = read.next;
            if page.is_none() {
                break;
            }
        }
        Ok(None)
    }
}

fn plays(room: &Room, choice: &GameChoice) -> bool {
    let same = room.choice().game == choice.game && room.choice().settings == choice.settings;
    same && room.visibility() == Visibility::Public && room.is_open()
}

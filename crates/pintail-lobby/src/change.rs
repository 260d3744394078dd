//! Load, decide, commit, tell; again after a conflict.

use std::collections::HashSet;
use std::time::Duration;

use pintail_core::{GameId, RoomId, SessionId};
use pintail_engine::backoff::{Backoff, BackoffPolicy};
use pintail_engine::room::{Applied, Effect, Event, InviteCode, Room, RoomError};
use pintail_store::{CommitOutcome, Letter, RoomChange, RoomDocument, RoomState, StoreError, Version};
use tracing::debug;

use crate::convert;
use crate::lobby::Lobby;
use crate::refusal::Refusal;

/// How often a change is decided again before its player is asked to try later.
const ATTEMPTS_MAX: u32 = 24;

/// How long to stay back after a second conflict. Many who want the same room spread over the longer waits.
const CONFLICT_BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(4), max: Duration::from_millis(200) };

/// A room at a version.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) room: Room,
    pub(crate) version: Version,
}

impl Snapshot {
    /// Reads what the store has.
    pub(crate) fn read(document: &RoomDocument) -> Result<Self, Refusal> {
        Ok(Self { room: Room::from_json(&document.body)?, version: document.version })
    }
}

/// Which room is meant.
#[derive(Debug, Clone)]
pub(crate) enum Find {
    /// The one with this id.
    Id(RoomId),
    /// The one with this invite code.
    Invite(InviteCode),
    /// The one that this session is in.
    Of(SessionId),
}

/// What a change came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// The room as it is now; `None` if it was deleted.
    pub(crate) now: Option<Snapshot>,
    /// Whether this call changed it.
    pub(crate) committed: bool,
    /// What is still to be done.
    pub(crate) effects: Vec<Effect>,
}

impl Lobby {
    pub(crate) async fn find(&self, find: &Find) -> Result<Option<Snapshot>, Refusal> {
        let document = match find {
            Find::Id(id) => self.store.room(*id).await?,
            Find::Invite(code) => self.store.room_by_invite(code.as_str()).await?,
            Find::Of(session) => self.store.room_of(*session).await?,
        };
        document.as_ref().map(Snapshot::read).transpose()
    }

    /// Decides what becomes of a room and commits it, again and again while others are faster; then tells whoever has
    /// to know, also if there was nothing to commit. `None` if there is no such room.
    pub(crate) async fn change(
        &self,
        find: &Find,
        decide: impl Fn(&Room) -> Result<Applied, RoomError>,
    ) -> Result<Option<Done>, Refusal> {
        let mut backoff = Backoff::new(CONFLICT_BACKOFF);
        while backoff.failures() < ATTEMPTS_MAX {
            let Some(before) = self.find(find).await? else { return Ok(None) };
            let applied = decide(&before.room)?;
            if !applied.changed {
                self.publish(&before.room, Some(&before), &applied.events);
                return Ok(Some(Done { now: Some(before), committed: false, effects: applied.effects }));
            }
            if let Some(done) = self.commit(&before, applied).await? {
                return Ok(Some(done));
            }
            // Whoever was faster is done, and most rooms are changed by two at once at most.
            if backoff.failures() == 0 {
                self.metrics.conflicts.inc();
                backoff.count();
            } else {
                self.stay_back(&mut backoff).await;
            }
        }
        Err(Refusal::Contention)
    }

    /// Commits one decision; `None` if the room has changed since it was loaded.
    async fn commit(&self, before: &Snapshot, applied: Applied) -> Result<Option<Done>, Refusal> {
        let change = room_change(before, applied.room.as_ref());
        let version = match self.store.commit_room(&change).await? {
            CommitOutcome::Committed(version) => version,
            CommitOutcome::Elsewhere { .. } => return Err(RoomError::AlreadyInRoom.into()),
            // The second can't be: the room is there already.
            CommitOutcome::Conflict | CommitOutcome::InviteTaken => return Ok(None),
        };
        let now = applied.room.map(|room| Snapshot { room, version });
        self.publish(&before.room, now.as_ref(), &applied.events);
        let (letters, effects): (Vec<_>, _) =
            applied.effects.into_iter().partition(|effect| matches!(effect, Effect::PlayerLeft(..)));
        self.send_letters(&letters).await;
        Ok(Some(Done { now, committed: true, effects }))
    }

    /// Waits after a conflict.
    pub(crate) async fn stay_back(&self, backoff: &mut Backoff) {
        self.metrics.conflicts.inc();
        let wait = backoff.fail(&mut rand::rng());
        tokio::time::sleep(wait).await;
    }

    fn publish(&self, before: &Room, now: Option<&Snapshot>, events: &[Event]) {
        let members = || now.iter().flat_map(|now| now.room.members()).map(|member| (member.session, member.gateway));
        for event in events {
            match (event, now) {
                (Event::Changed { except }, Some(now)) => {
                    let others = members().filter(|(session, _)| Some(*session) != *except);
                    self.router.publish(&convert::room_changed(now), others);
                }
                (Event::Chat { session, name, text }, _) => {
                    let event = convert::chat(before, *session, name.as_str(), text.as_str());
                    self.router.publish(&event, members());
                }
                (Event::Left { member, reason }, _) => {
                    let recipient = std::iter::once((member.session, member.gateway));
                    self.router.publish(&convert::room_left(before, *reason), recipient);
                }
                (Event::Changed { .. }, None) => {}
            }
        }
    }

    /// Tells game servers who left. A letter that is lost costs little: the player's seat stays empty until the game
    /// gives up on its connection.
    async fn send_letters(&self, letters: &[Effect]) {
        for letter in letters {
            if let Effect::PlayerLeft(game, session) = letter {
                self.player_left(*game, *session).await;
            }
        }
    }

    /// Tells a game's server that a player left, if the game still runs.
    pub(crate) async fn player_left(&self, game: GameId, session: SessionId) {
        let told: Result<(), StoreError> = async {
            match self.store.game(game).await? {
                Some(record) if record.outcome.is_none() => {
                    self.store.send(record.owner.slot, Letter::PlayerLeft(game, session)).await
                }
                _ => Ok(()),
            }
        }
        .await;
        if let Err(error) = told {
            debug!(%game, %session, %error, "can't tell a game that a player left");
        }
    }
}

/// The state that the store keeps of a room.
pub(crate) fn room_state(room: &Room) -> RoomState {
    RoomState { body: room.to_json(), invite: room.invite().to_string(), labels: room.labels() }
}

fn room_change(before: &Snapshot, after: Option<&Room>) -> RoomChange {
    let sessions = |room: &Room| room.members().iter().map(|member| member.session).collect::<HashSet<_>>();
    let (was, is) = (sessions(&before.room), after.map(sessions).unwrap_or_default());
    RoomChange {
        id: before.room.id(),
        from: before.version,
        to: after.map(room_state),
        enter: is.difference(&was).copied().collect(),
        leave: was.difference(&is).copied().collect(),
    }
}

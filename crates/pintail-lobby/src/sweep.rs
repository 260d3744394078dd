//! Finds what was left half done, by this lobby server or another.
//!
//! Every lobby server sweeps, and any one is enough: whatever a sweep does is decided again when it is committed.
//!
//! | what | why it is there | what is done |
//! | --- | --- | --- |
//! | games that ended and are not settled | the letter was lost | the room is told |
//! | rooms that have been starting for long | their lobby server died, or the store went away | the start is continued |
//! | sessions away beyond the grace time | the player does not come back | the member is removed |
//! | rooms that play | a long game changes its room rarely | it is kept from expiring |
//! | rooms whose game the store does not know | the store came back without it | the game counts as lost |

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{GameId, Retry, SessionId};
use pintail_engine::room::{LABEL_PLAYING, LABEL_STARTING, Room};
use pintail_store::RoomPage;
use rand::RngExt;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::change::{Find, Snapshot};
use crate::lobby::Lobby;
use crate::refusal::Refusal;

/// How often a sweep begins, on average.
const PERIOD: Duration = Duration::from_secs(1);

/// How long one sweep may take: one that hangs on the store begins anew.
const PASS_DEADLINE: Duration = Duration::from_secs(10);

/// How many games, sessions or starting rooms one pass deals with.
const PER_PASS: u32 = 64;

/// How many playing rooms one pass looks at. Each costs two calls of the store; a lobby server alone gets around
/// 100,000 of them well before a room expires.
const PLAYING_PER_PASS: u32 = 128;

/// How long a game has been over before the sweep settles it: its letter is faster.
const UNSETTLED_MIN_AGE_MS: u64 = 1000;

/// How long a room may be starting before the sweep continues the start: whoever began it is faster.
const STARTING_MAX: Duration = Duration::from_secs(3);

/// How long a game must be unknown to the store before it counts as lost: a server whose game the store lost puts it back
/// within seconds.
const UNKNOWN_GAME_MAX: Duration = Duration::from_secs(10);

/// How many games are remembered to have been seen in an odd state. Past it, others wait until those are dealt with.
const SIGHTINGS_MAX: usize = 4096;

/// How long a sighting is remembered that is not repeated: longer than it takes to get around all playing rooms.
const SIGHTING_TTL: Duration = Duration::from_secs(30 * 60);

/// Since when games have been seen in an odd state, by this server's own clock.
#[derive(Debug, Default)]
struct Sightings(HashMap<GameId, Sighting>);

#[derive(Debug)]
struct Sighting {
    first: Instant,
    last: Instant,
}

impl Sightings {
    /// Notes that the game is still in its odd state, and says for how long it has been.
    fn age(&mut self, game: GameId, now: Instant) -> Duration {
        if self.0.len() >= SIGHTINGS_MAX && !self.0.contains_key(&game) {
            self.0.retain(|_, sighting| now - sighting.last < SIGHTING_TTL);
            if self.0.len() >= SIGHTINGS_MAX {
                return Duration::ZERO;
            }
        }
        let sighting = self.0.entry(game).or_insert(Sighting { first: now, last: now });
        sighting.last = now;
        now - sighting.first
    }

    fn forget(&mut self, game: GameId) {
        self.0.remove(&game);
    }
}

/// A lobby server's sweep.
pub(crate) struct Sweep {
    lobby: Arc<Lobby>,
    starting: Sightings,
    unknown: Sightings,
    /// Where the next pass goes on in the lists.
    starting_page: Option<String>,
    playing_page: Option<String>,
    /// Whether the last pass failed, so that an outage is one line in the log.
    failing: bool,
}

impl Sweep {
    pub(crate) fn new(lobby: Arc<Lobby>) -> Self {
        Self {
            lobby,
            starting: Sightings::default(),
            unknown: Sightings::default(),
            starting_page: None,
            playing_page: None,
            failing: false,
        }
    }

    /// Sweeps for as long as it is polled.
    pub(crate) async fn run(mut self) {
        loop {
            // At random moments: several lobby servers share the work instead of doing it all at once.
            let wait = PERIOD.mul_f64(0.5 + rand::rng().random::<f64>());
            sleep(wait).await;
            let swept = timeout(PASS_DEADLINE, self.pass()).await.unwrap_or(Err(Refusal::TooSlow));
            match (&swept, self.failing) {
                (Err(Refusal::Store(error)), false) => warn!(%error, "can't sweep; trying until it works"),
                (Err(refusal), false) => warn!(error = %refusal, "can't sweep; trying until it works"),
                (Ok(()), true) => info!("sweeping again"),
                _ => {}
            }
            self.failing = swept.is_err();
        }
    }

    async fn pass(&mut self) -> Result<(), Refusal> {
        if self.lobby.identity.borrow().is_none() {
            return Ok(());
        }
        self.settle_games().await?;
        self.continue_starts().await?;
        self.remove_away().await?;
        self.look_at_playing().await
    }

    async fn settle_games(&self) -> Result<(), Refusal> {
        for game in self.lobby.store.unsettled_games(UNSETTLED_MIN_AGE_MS, PER_PASS).await? {
            unless_stuck(game, self.lobby.settle(game).await)?;
        }
        Ok(())
    }

    async fn continue_starts(&mut self) -> Result<(), Refusal> {
        let page = self.lobby.store.rooms_labelled(LABEL_STARTING, self.starting_page.as_deref(), PER_PASS).await?;
        for room in readable(&page) {
            let Some((game, _)) = room.pending_start() else { continue };
            if self.starting.age(game, Instant::now()) < STARTING_MAX {
                continue;
            }
            self.starting.forget(game);
            info!(%game, "a start was left half done: continuing it");
            match self.lobby.start(game, None).await {
                Ok(_) => {}
                Err(refusal) => unless_stuck(game, Err(refusal))?,
            }
        }
        self.starting_page = page.next;
        Ok(())
    }

    async fn remove_away(&self) -> Result<(), Refusal> {
        for session in self.away().await? {
            unless_stuck(session, self.take_out(session).await)?;
        }
        Ok(())
    }

    /// Those who have been away for longest, if for too long.
    async fn away(&self) -> Result<Vec<SessionId>, Refusal> {
        let grace_ms = u64::try_from(self.lobby.away_grace.as_millis()).unwrap_or(u64::MAX);
        Ok(self.lobby.store.sessions_away(grace_ms, PER_PASS).await?)
    }

    /// Removes a session that has been away for too long from its room, and from the list once it is in none.
    async fn take_out(&self, session: SessionId) -> Result<(), Refusal> {
        if self.is_out(session).await? {
            self.lobby.store.settle_away(session).await?;
        }
        Ok(())
    }

    /// Removes a session that has been away for too long from its room; whether it is in none then.
    async fn is_out(&self, session: SessionId) -> Result<bool, Refusal> {
        match self.lobby.change(&Find::Of(session), |room| Ok(room.remove_away(session))).await {
            Ok(done) => {
                let room = done.and_then(|done| done.now);
                let is_out = room.is_none_or(|now| now.room.member(session).is_none());
                // One that came back just before it was marked may have said so already, and would not say so again.
                if !is_out && !self.away().await?.contains(&session) {
                    self.lobby.change(&Find::Of(session), |room| Ok(room.not_away(session))).await?;
                }
                Ok(is_out)
            }
            Err(Refusal::Corrupt(error)) => {
                warn!(%session, %error, "a session that is away is in a damaged room");
                Ok(true)
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn look_at_playing(&mut self) -> Result<(), Refusal> {
        let page =
            self.lobby.store.rooms_labelled(LABEL_PLAYING, self.playing_page.as_deref(), PLAYING_PER_PASS).await?;
        for room in readable(&page) {
            if let Some(game) = room.game() {
                let looked = self.look_at(game).await;
                unless_stuck(game, looked)?;
            }
        }
        self.playing_page = page.next;
        Ok(())
    }

    async fn look_at(&mut self, game: GameId) -> Result<(), Refusal> {
        match self.lobby.store.game(game).await? {
            Some(record) => {
                self.unknown.forget(game);
                if record.outcome.is_some() { self.lobby.settle(game).await } else { self.keep(game).await }
            }
            None if self.unknown.age(game, Instant::now()) >= UNKNOWN_GAME_MAX => {
                self.unknown.forget(game);
                warn!(%game, "the store knows nothing of this game: its room counts it as lost");
                self.lobby.lost(game).await
            }
            None => self.keep(game).await,
        }
    }

    async fn keep(&self, game: GameId) -> Result<(), Refusal> {
        Ok(self.lobby.store.touch_room(game.room).await?)
    }
}

/// One entry that can't be dealt with must not keep the sweep from all the others. Trouble with the store that passes
/// ends the pass: the others would fare no better.
fn unless_stuck(what: impl Display, done: Result<(), Refusal>) -> Result<(), Refusal> {
    match done {
        Err(Refusal::Store(error)) if error.retry() == Retry::Later => Err(error.into()),
        Err(refusal) => {
            debug!(%what, %refusal, "the sweep can't deal with this one");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn readable(page: &RoomPage) -> impl Iterator<Item = Room> {
    page.rooms.iter().filter_map(|document| match Snapshot::read(document) {
        Ok(snapshot) => Some(snapshot.room),
        Err(error) => {
            warn!(room = %document.id, %error, "a damaged room");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};

    use super::*;

    fn game(number: u64) -> GameId {
        GameId { room: RoomId(number), round: Round(1) }
    }

    #[test]
    fn one_entry_that_is_stuck_does_not_end_a_pass_and_an_outage_does() {
        let corrupt = pintail_store::StoreError::Corrupt { key: "Game:1".to_owned(), problem: "rubbish".to_owned() };
        assert!(unless_stuck(1, Err(corrupt.into())).is_ok());
        assert!(unless_stuck(1, Err(Refusal::Contention)).is_ok());
        let away = pintail_store::StoreError::Unavailable("on demand".to_owned());
        assert!(matches!(unless_stuck(1, Err(away.into())), Err(Refusal::Store(_))));
    }

    #[test]
    fn an_odd_state_ages_from_its_first_sighting() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        let later = now + Duration::from_secs(3);
        assert_eq!(sightings.age(game(1), now), Duration::ZERO);
        assert_eq!(sightings.age(game(1), later), Duration::from_secs(3));
        sightings.forget(game(1));
        assert_eq!(sightings.age(game(1), later), Duration::ZERO);
    }

    #[test]
    fn sightings_are_bounded_and_old_ones_make_room() {
        let (mut sightings, now) = (Sightings::default(), Instant::now());
        for number in 0..SIGHTINGS_MAX as u64 + 10 {
            sightings.age(game(number), now);
        }
        assert_eq!(sightings.0.len(), SIGHTINGS_MAX);
        sightings.age(game(u64::MAX), now + SIGHTING_TTL);
        assert_eq!(sightings.0.len(), 1);
    }
}

//! Sessions, and who is away.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use pintail_core::{Generation, Incarnation, PlayerName, SessionId, Slot, TokenHash};
use tokio::time::Instant;

use super::expiring::Expiring;
use super::timeline::Timeline;
use super::{EmbeddedStore, State};
use crate::{HeldSession, Letter, Login, LoginMode, LoginOutcome, Result, Sessions};

/// Sessions and where they are.
#[derive(Debug, Default, Clone)]
pub(super) struct SessionsState {
    sessions: Expiring<SessionId, Session>,
    /// The connected sessions of each gateway.
    connected: HashMap<(Slot, Incarnation), BTreeSet<SessionId>>,
    away: Timeline<SessionId>,
}

#[derive(Debug, Clone)]
struct Session {
    name: PlayerName,
    token: TokenHash,
    gateway: (Slot, Incarnation),
    generation: Generation,
    away: bool,
}

impl SessionsState {
    pub(super) fn purge(&mut self, now: Instant, away_for: Duration) {
        self.sessions.purge(now);
        self.away.forget_older(now, away_for);
    }

    fn disconnect(&mut self, id: SessionId, gateway: (Slot, Incarnation)) {
        if let Some(sessions) = self.connected.get_mut(&gateway) {
            sessions.remove(&id);
            if sessions.is_empty() {
                self.connected.remove(&gateway);
            }
        }
    }

    /// The session, if this is its current generation.
    fn current(&mut self, id: SessionId, generation: Generation, now: Instant) -> Option<&mut Session> {
        self.sessions.get_mut(&id, now).filter(|session| session.generation == generation)
    }

    fn leave(&mut self, id: SessionId, gateway: (Slot, Incarnation), now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id, now).filter(|session| session.gateway == gateway) {
            session.away = true;
            self.away.insert(id, now);
        }
        self.disconnect(id, gateway);
    }
}

impl State {
    fn login(&mut self, login: &Login, now: Instant) -> LoginOutcome {
        let gateway = (login.gateway, login.incarnation);
        let before = self.sessions.sessions.get(&login.session, now);
        let (name, generation) = match (before, &login.mode) {
            (Some(session), _) if session.token != login.token => return LoginOutcome::WrongToken,
            (None, LoginMode::Resume(_)) => return LoginOutcome::Unknown,
            (None, LoginMode::New(name)) => (name.clone(), Generation(1)),
            (Some(session), LoginMode::New(name) | LoginMode::Resume(Some(name))) => {
                (name.clone(), session.generation.next())
            }
            (Some(session), LoginMode::Resume(None)) => (session.name.clone(), session.generation.next()),
        };
        if let Some((older, away)) = before.map(|session| (session.gateway, session.away)) {
            self.sessions.disconnect(login.session, older);
            if !away && older.1 != login.incarnation {
                self.mail.send(older.0, Letter::SessionMoved(login.session, generation));
            }
        }
        let session = Session { name: name.clone(), token: login.token.clone(), gateway, generation, away: false };
        self.seat(login.session, session, now);
        LoginOutcome::Accepted { generation, name }
    }

    /// Starts the time of a session and of its place in a room anew.
    fn keep_session(&mut self, id: SessionId, now: Instant) {
        let expires_at = now + self.periods.session_ttl;
        self.sessions.sessions.extend(&id, now, expires_at);
        self.rooms.keep_place(id, now, expires_at);
    }

    fn session_away(&mut self, id: SessionId, generation: Generation, now: Instant) {
        let Some(session) = self.sessions.current(id, generation, now) else { return };
        if session.away {
            return;
        }
        let gateway = session.gateway;
        self.sessions.leave(id, gateway, now);
        self.keep_session(id, now);
    }

    fn logout(&mut self, id: SessionId, generation: Generation, now: Instant) -> bool {
        let Some(session) = self.sessions.current(id, generation, now) else { return false };
        let gateway = session.gateway;
        self.sessions.sessions.remove(&id);
        self.sessions.disconnect(id, gateway);
        if self.rooms.has_place(id, now) {
            self.sessions.away.insert(id, now);
        } else {
            self.sessions.away.remove(id);
        }
        true
    }

    fn hold_sessions(&mut self, gateway: (Slot, Incarnation), held: &[HeldSession], now: Instant) -> Vec<SessionId> {
        let mut stale = Vec::new();
        for one in held {
            let known = self.sessions.sessions.get(&one.session, now).map(|known| (known.generation, known.gateway));
            if known.is_some_and(|(generation, _)| generation > one.generation) {
                stale.push(one.session);
                continue;
            }
            if let Some((_, older)) = known {
                self.sessions.disconnect(one.session, older);
            }
            let session = Session {
                name: one.name.clone(),
                token: one.token.clone(),
                gateway,
                generation: one.generation,
                away: false,
            };
            self.seat(one.session, session, now);
        }
        stale
    }

    /// Puts a connected session where it belongs.
    fn seat(&mut self, id: SessionId, session: Session, now: Instant) {
        self.sessions.connected.entry(session.gateway).or_default().insert(id);
        self.sessions.sessions.insert(id, session, now + self.periods.session_ttl);
        self.sessions.away.remove(id);
        self.keep_session(id, now);
    }

    /// Marks up to `limit` sessions of a gateway that is gone away.
    pub(super) fn sweep_sessions(&mut self, orphan: (Slot, Incarnation), limit: usize, now: Instant) -> usize {
        let connected = self.sessions.connected.get(&orphan).into_iter().flatten();
        let sessions: Vec<SessionId> = connected.copied().take(limit).collect();
        for &id in &sessions {
            self.sessions.leave(id, orphan, now);
        }
        sessions.len()
    }
}

#[async_trait]
impl Sessions for EmbeddedStore {
    async fn login(&self, login: &Login) -> Result<LoginOutcome> {
        Ok(self.run(|state, now| state.login(login, now)))
    }

    async fn session_away(&self, session: SessionId, generation: Generation) -> Result<()> {
        self.run(|state, now| state.session_away(session, generation, now));
        Ok(())
    }

    async fn logout(&self, session: SessionId, generation: Generation) -> Result<bool> {
        Ok(self.run(|state, now| state.logout(session, generation, now)))
    }

    async fn hold_sessions(
        &self,
        gateway: Slot,
        incarnation: Incarnation,
        sessions: &[HeldSession],
    ) -> Result<Vec<SessionId>> {
        Ok(self.run(|state, now| state.hold_sessions((gateway, incarnation), sessions, now)))
    }

    async fn sessions_away(&self, min_age_ms: u64, limit: u32) -> Result<Vec<SessionId>> {
        let age = Duration::from_millis(min_age_ms);
        Ok(self.run(|state, now| state.sessions.away.older_than(now, age, limit as usize)))
    }

    async fn settle_away(&self, session: SessionId) -> Result<()> {
        self.run(|state, _| state.sessions.away.remove(session));
        Ok(())
    }
}

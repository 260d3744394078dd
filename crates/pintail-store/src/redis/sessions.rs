//! Sessions in Redis.

use async_trait::async_trait;
use pintail_core::{Generation, Incarnation, SessionId, Slot};

use super::{Answer, RedisStore, milliseconds, parse, parts, unexpected};
use crate::{HeldSession, Login, LoginMode, LoginOutcome, Result, Sessions};

/// How many sessions one call of a script deals with: it is one atomic step, and everyone else waits for its end.
const HOLD_MAX: usize = 256;

#[async_trait]
impl Sessions for RedisStore {
    async fn login(&self, login: &Login) -> Result<LoginOutcome> {
        let key = self.keys.session(login.session);
        let (mode, name) = match &login.mode {
            LoginMode::New(name) => ("new", name.as_str()),
            LoginMode::Resume(name) => ("resume", name.as_ref().map_or("", |name| name.as_str())),
        };
        let mut call = self.script(&self.scripts.login, &key);
        call.arg(login.session.to_string()).arg(login.token.as_str()).arg(mode).arg(name);
        call.arg(login.gateway.to_string()).arg(login.incarnation.to_string());
        call.arg(milliseconds(self.periods.session_ttl));
        let answer: Answer = self.invoke(&key, &call).await?;
        match parts(&answer)[..] {
            ["accepted", generation, name] => Ok(LoginOutcome::Accepted {
                generation: Generation(parse(&key, "generation", generation)?),
                name: parse(&key, "name", name)?,
            }),
            ["unknown"] => Ok(LoginOutcome::Unknown),
            ["wrong-token"] => Ok(LoginOutcome::WrongToken),
            ref other => Err(unexpected(&key, other)),
        }
    }

    async fn session_away(&self, session: SessionId, generation: Generation) -> Result<()> {
        let key = self.keys.session(session);
        let mut call = self.script(&self.scripts.session_away, &key);
        call.arg(session.to_string()).arg(generation.0).arg(milliseconds(self.periods.session_ttl));
        self.invoke(&key, &call).await
    }

    async fn logout(&self, session: SessionId, generation: Generation) -> Result<bool> {
        let key = self.keys.session(session);
        let mut call = self.script(&self.scripts.logout, &key);
        call.arg(session.to_string()).arg(generation.0);
        self.invoke(&key, &call).await
    }

    async fn hold_sessions(
        &self,
        gateway: Slot,
        incarnation: Incarnation,
        sessions: &[HeldSession],
    ) -> Result<Vec<SessionId>> {
        let mut stale = Vec::new();
        for chunk in sessions.chunks(HOLD_MAX) {
            let key = self.keys.session(chunk[0].session);
            let mut call = self.script(&self.scripts.hold_sessions, &key);
            call.arg(gateway.to_string()).arg(incarnation.to_string()).arg(milliseconds(self.periods.session_ttl));
            for held in chunk {
                call.arg(held.session.to_string()).arg(held.generation.0);
                call.arg(held.token.as_str()).arg(held.name.as_str());
            }
            let answer: Answer = self.invoke(&key, &call).await?;
            for session in &answer {
                stale.push(parse(&key, "session", session)?);
            }
        }
        Ok(stale)
    }

    async fn sessions_away(&self, min_age_ms: u64, limit: u32) -> Result<Vec<SessionId>> {
        self.older_than("Sessions:away", min_age_ms, limit).await
    }

    async fn settle_away(&self, session: SessionId) -> Result<()> {
        self.remove_from("Sessions:away", session.to_string()).await
    }
}

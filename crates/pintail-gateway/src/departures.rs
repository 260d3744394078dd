//! The sessions that are gone and of which the store does not know that yet.
//!
//! A player whose connection ends while the store is away would keep the place in the room for ever: the room's sweep
//! looks at the sessions that the store has for away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pintail_core::{Generation, SessionId};
use pintail_store::StoreError;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::server::Gateway;

/// How many departures are kept for a store that is away: more than a gateway has players. Those beyond are left to their
/// sessions' expiry.
const DEPARTURES_MAX: usize = 64 * 1024;

/// How many are told at once: a store that is back has much to do.
const TOLD_AT_ONCE: usize = 32;

/// How often they are told again.
const TELL_PERIOD: Duration = Duration::from_millis(500);

/// How a connection of a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It may come back.
    Away,
    /// The client ended the session.
    LoggedOut,
}

/// The end of a session's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) session: SessionId,
    pub(crate) generation: Generation,
    pub(crate) leave: Leave,
}

/// What the store is still to be told: the newest departure of each session, at most [`DEPARTURES_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Departures(BTreeMap<SessionId, Departure>);

impl Departures {
    /// Keeps a departure, unless there are as many as may be, or a newer one of the session.
    pub(crate) fn keep(&mut self, departure: Departure) {
        let before = self.0.get(&departure.session);
        let is_old = before.is_some_and(|before| before.generation > departure.generation);
        if !is_old && (before.is_some() || self.0.len() < DEPARTURES_MAX) {
            self.0.insert(departure.session, departure);
        }
    }

    /// Takes some of them.
    fn take(&mut self, count: usize) -> Vec<Departure> {
        std::iter::from_fn(|| self.0.pop_first()).take(count).map(|(_, departure)| departure).collect()
    }
}

impl Gateway {
    /// Tells the store that a session's connection is over: now, or else as soon as it can be told.
    pub(crate) async fn tell_departure(&self, departure: Departure) -> Result<(), StoreError> {
        let Departure { session, generation, leave } = departure;
        let told = match leave {
            Leave::Away => self.store.session_away(session, generation).await,
            Leave::LoggedOut => self.store.logout(session, generation).await.map(drop),
        };
        if told.is_err() {
            self.departures().keep(departure);
        }
        told
    }

    /// Tells the store what it could not be told, until there is no more or it is still away.
    async fn tell_departures(self: &Arc<Self>) {
        loop {
            let departures = self.departures().take(TOLD_AT_ONCE);
            if departures.is_empty() {
                return;
            }
            let mut telling = JoinSet::new();
            for departure in departures {
                let gateway = self.clone();
                telling.spawn(async move { gateway.tell_departure(departure).await });
            }
            if let Some(error) = telling.join_all().await.into_iter().find_map(Result::err) {
                return debug!(%error, "the store does not know yet that sessions are away; it is told again");
            }
        }
    }
}

/// Tells the store of departures that it could not be told of, until the gateway stops: then it notes for all sessions
/// at once that they are away.
pub(crate) async fn tell_departures(gateway: Arc<Gateway>) {
    let mut ticks = interval(TELL_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            _ = ticks.tick() => gateway.tell_departures().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn departure(session: u64, generation: u64, leave: Leave) -> Departure {
        Departure { session: SessionId(session), generation: Generation(generation), leave }
    }

    #[test]
    fn the_newest_departure_of_each_session_is_kept_until_it_is_taken() {
        let mut departures = Departures::default();
        for (session, generation, leave) in
            [(1, 2, Leave::Away), (2, 1, Leave::Away), (1, 3, Leave::LoggedOut), (1, 2, Leave::Away)]
        {
            departures.keep(departure(session, generation, leave));
        }
        assert_eq!(departures.take(1), [departure(1, 3, Leave::LoggedOut)]);
        assert_eq!(departures.take(7), [departure(2, 1, Leave::Away)]);
        assert_eq!(departures.take(7), []);
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let mut departures = Departures::default();
        (0..=DEPARTURES_MAX as u64).for_each(|session| departures.keep(departure(session, 1, Leave::Away)));
        assert_eq!(departures.0.len(), DEPARTURES_MAX);
        departures.keep(departure(0, 2, Leave::Away));
        assert_eq!(departures.take(1), [departure(0, 2, Leave::Away)], "one that is there may be renewed");
    }
}

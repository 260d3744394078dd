//! Which link leads to which gateway.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pintail_core::limits::DELIVER_SESSIONS_MAX;
use pintail_core::{SessionId, Slot};
use pintail_net::{LinkId, Outbox, PushError};
use pintail_wire::Message;
use pintail_wire::client::LobbyEvent;
use pintail_wire::deliver::encode_deliver;
use pintail_wire::kind::client as kind;
use tracing::{debug, warn};

/// The way back to where a request came from.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The gateway.
    pub(crate) gateway: Slot,
    /// Its link's outbox.
    pub(crate) outbox: Arc<Outbox>,
}

impl Route {
    /// Sends one client frame to these sessions. A gateway that reads too slowly loses its link, and with it nothing
    /// that its clients would not ask for again.
    pub(crate) fn deliver(&self, client_kind: u8, sessions: &[SessionId], shared: &[&[u8]]) {
        for chunk in sessions.chunks(DELIVER_SESSIONS_MAX) {
            let recipients = chunk.iter().map(|&session| (session, &[][..]));
            match self.outbox.push_with(|frames| encode_deliver(frames, client_kind, recipients, shared)) {
                Ok(()) => {}
                Err(PushError::Closed) => debug!(gateway = %self.gateway, "its link is closing: not delivered"),
                Err(PushError::Full) => {
                    warn!(gateway = %self.gateway, "it reads too slowly: closing its link");
                    self.outbox.close();
                }
            }
        }
    }
}

/// The open links, by gateway. A gateway's newest link is the one that is used.
#[derive(Debug, Default)]
pub(crate) struct Router {
    routes: RwLock<HashMap<Slot, (LinkId, Arc<Outbox>)>>,
}

impl Router {
    pub(crate) fn opened(&self, link: LinkId, gateway: Slot, outbox: Arc<Outbox>) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).insert(gateway, (link, outbox));
    }

    pub(crate) fn closed(&self, link: LinkId) {
        self.routes.write().unwrap_or_else(PoisonError::into_inner).retain(|_, (open, _)| *open != link);
    }

    /// Sends an event to sessions at their gateways. Without a link there the event is dropped: a client asks for its
    /// room whenever it connects.
    pub(crate) fn publish(&self, event: &LobbyEvent, recipients: impl Iterator<Item = (SessionId, Slot)>) {
        let mut by_gateway: BTreeMap<Slot, Vec<SessionId>> = BTreeMap::new();
        for (session, gateway) in recipients {
            by_gateway.entry(gateway).or_default().push(session);
        }
        let body = event.encode_to_vec();
        for (gateway, sessions) in by_gateway {
            let outbox = self.read().get(&gateway).map(|(_, outbox)| outbox.clone());
            match outbox {
                Some(outbox) => Route { gateway, outbox }.deliver(kind::LOBBY_EVENT, &sessions, &[&body]),
                None => debug!(%gateway, "no link: an event is dropped"),
            }
        }
    }

    /// The way to each gateway. Whoever looks into an outbox does so after this: every answer needs what is locked here.
    pub(crate) fn all(&self) -> Vec<Route> {
        let routes = self.read();
        routes.iter().map(|(&gateway, (_, outbox))| Route { gateway, outbox: outbox.clone() }).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Slot, (LinkId, Arc<Outbox>)>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;
    use pintail_wire::Decoder;
    use pintail_wire::deliver::Deliver;

    use super::*;

    const GATEWAY: Slot = Slot::new(Kind::Gateway, 0);

    fn counts(outbox: &Outbox) -> Vec<usize> {
        let mut wire = outbox.take();
        let decoder = Decoder::new(1 << 20);
        std::iter::from_fn(|| decoder.decode(&mut wire).unwrap())
            .map(|frame| Deliver::decode(frame.body).unwrap().recipients().count())
            .collect()
    }

    #[test]
    fn many_recipients_are_sent_in_several_frames() {
        let (router, outbox) = (Router::default(), Outbox::new(1 << 20));
        router.opened(LinkId(1), GATEWAY, outbox.clone());
        let sessions = (0..DELIVER_SESSIONS_MAX as u64 + 1).map(|session| (SessionId(session), GATEWAY));
        router.publish(&LobbyEvent::default(), sessions);
        assert_eq!(counts(&outbox), [DELIVER_SESSIONS_MAX, 1]);
    }

    #[test]
    fn the_newest_link_of_a_gateway_is_used_and_the_end_of_an_older_one_changes_nothing() {
        let (router, old, new) = (Router::default(), Outbox::new(1024), Outbox::new(1024));
        router.opened(LinkId(1), GATEWAY, old.clone());
        router.opened(LinkId(2), GATEWAY, new.clone());
        router.closed(LinkId(1));
        router.publish(&LobbyEvent::default(), [(SessionId(1), GATEWAY)].into_iter());
        assert_eq!((counts(&old), counts(&new)), (vec![], vec![1]));
        router.closed(LinkId(2));
        router.publish(&LobbyEvent::default(), [(SessionId(1), GATEWAY)].into_iter());
        assert_eq!(counts(&new), [] as [usize; 0]);
    }

    #[test]
    fn a_gateway_that_does_not_read_loses_its_link() {
        let route = Route { gateway: GATEWAY, outbox: Outbox::new(10) };
        for _ in 0..2 {
            route.deliver(kind::LOBBY_EVENT, &[SessionId(1)], &[b"hello"]);
        }
        assert!(route.outbox.is_closed());
    }
}

//! The links that are open, and what is queued on each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pintail_core::{GameId, Slot};
use pintail_net::{LinkId, Outbox, PushError};
use pintail_wire::games_here::{self, GAMES_HERE_MAX};
use pintail_wire::kind;
use rustc_hash::FxHashMap;

use crate::runtime::Delivery;

/// The links that are open, and what is queued on each.
#[derive(Debug, Default)]
pub(super) struct OpenLinks {
    outboxes: FxHashMap<LinkId, Arc<Outbox>>,
    /// Whose links they are.
    gateways: FxHashMap<LinkId, Slot>,
    /// The same outboxes, for whoever looks from other threads. Changed when a link opens or ends, and only then locked.
    shown: OpenOutboxes,
}

/// The outboxes of the open links, as other threads than the loop's see them.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenOutboxes(Arc<Mutex<BTreeMap<LinkId, Arc<Outbox>>>>);

impl OpenOutboxes {
    /// All of them. Whoever looks into one does so after this.
    pub(super) fn all(&self) -> Vec<Arc<Outbox>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkId, Arc<Outbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link takes no more: its gateway reads too slowly, or it is closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow(pub(super) LinkId);

impl OpenLinks {
    /// No links yet; those that open are shown there.
    pub(super) fn new(shown: OpenOutboxes) -> Self {
        Self { shown, ..Self::default() }
    }

    pub(super) fn open(&mut self, link: LinkId, gateway: Slot, outbox: Arc<Outbox>) {
        self.shown.lock().insert(link, outbox.clone());
        self.outboxes.insert(link, outbox);
        self.gateways.insert(link, gateway);
    }

    /// What arrives on a link that was closed from here is too late.
    pub(super) fn contains(&self, link: LinkId) -> bool {
        self.outboxes.contains_key(&link)
    }

    /// How many bytes wait on each link.
    pub(super) fn queues(&self) -> impl Iterator<Item = (Slot, usize)> {
        self.gateways
            .iter()
            .map(|(link, gateway)| (*gateway, self.outboxes.get(link).map_or(0, |outbox| outbox.queued_bytes())))
    }

    pub(super) fn len(&self) -> usize {
        self.outboxes.len()
    }

    /// Forgets a link that is gone; whether it was open until then.
    pub(super) fn forget(&mut self, link: LinkId) -> bool {
        self.remove(link).is_some()
    }

    /// Sends what is queued on a link, and closes it; whether it was open until then.
    pub(super) fn close(&mut self, link: LinkId) -> bool {
        self.remove(link).inspect(|outbox| outbox.close()).is_some()
    }

    /// Closes every link without a further word, not even what is queued. Returns which.
    pub(super) fn cut_all(&mut self) -> Vec<LinkId> {
        let mut links: Vec<_> = self.outboxes.keys().copied().collect();
        links.sort_unstable();
        self.gateways.clear();
        self.shown.lock().clear();
        for outbox in std::mem::take(&mut self.outboxes).into_values() {
            outbox.close();
            drop(outbox.take());
        }
        links
    }

    pub(super) fn deliver(&self, link: LinkId, delivery: &Delivery) -> Result<(), TooSlow> {
        self.push(link, |outbox| outbox.push_with(|frames| delivery.encode(frames)))
    }

    pub(super) fn answer_heartbeat(&self, link: LinkId, body: &[u8]) -> Result<(), TooSlow> {
        self.push(link, |outbox| outbox.push(kind::link::HEARTBEAT_ANSWER, &[body]))
    }

    /// Tells every gateway that these games are here. One that links later asks the store.
    pub(super) fn tell_games_here(&self, games: &[GameId]) -> Vec<TooSlow> {
        let bodies: Vec<_> = games.chunks(GAMES_HERE_MAX).map(games_here::encode).collect();
        let tell = |link| {
            let mut bodies = bodies.iter();
            bodies.try_for_each(|body| self.push(link, |outbox| outbox.push(kind::link::GAMES_HERE, &[body])))
        };
        self.outboxes.keys().filter_map(|link| tell(*link).err()).collect()
    }

    fn remove(&mut self, link: LinkId) -> Option<Arc<Outbox>> {
        self.gateways.remove(&link);
        self.shown.lock().remove(&link);
        self.outboxes.remove(&link)
    }

    /// A link that is gone needs no telling.
    fn push(&self, link: LinkId, push: impl FnOnce(&Outbox) -> Result<(), PushError>) -> Result<(), TooSlow> {
        let Some(outbox) = self.outboxes.get(&link) else { return Ok(()) };
        push(outbox).map_err(|_| TooSlow(link))
    }
}

#[cfg(test)]
mod tests {
    use pintail_core::{Kind, RoomId, Round};
    use pintail_wire::Decoder;

    use super::*;

    const GATEWAY: Slot = Slot::new(Kind::Gateway, 0);

    fn game(room: u64) -> GameId {
        GameId { room: RoomId(room), round: Round(1) }
    }

    #[test]
    fn every_gateway_is_told_all_the_games_in_frames_that_it_takes() {
        let mut links = OpenLinks::default();
        let outboxes = [1, 2].map(|link| (LinkId(link), Outbox::new(1 << 20)));
        outboxes.iter().for_each(|(link, outbox)| links.open(*link, GATEWAY, outbox.clone()));
        let games: Vec<_> = (0..GAMES_HERE_MAX as u64 + 5).map(game).collect();
        assert_eq!(links.tell_games_here(&games), []);
        for (_, outbox) in outboxes {
            let (frames, decoder, mut told) = (&mut outbox.take(), Decoder::new(1 << 20), Vec::new());
            while let Some(frame) = decoder.decode(frames).unwrap() {
                assert_eq!(frame.kind, kind::link::GAMES_HERE);
                told.extend(games_here::decode(frame.body).unwrap());
            }
            assert_eq!(told, games);
        }
    }

    #[test]
    fn a_link_that_is_cut_says_nothing_more_and_one_that_is_closed_says_what_was_queued() {
        let mut links = OpenLinks::default();
        let [cut, closed] = [1, 2].map(|link| {
            let outbox = Outbox::new(1 << 20);
            links.open(LinkId(link), GATEWAY, outbox.clone());
            outbox
        });
        for link in [1, 2] {
            links.answer_heartbeat(LinkId(link), b"12345678").unwrap();
        }
        assert!(links.close(LinkId(2)) && !links.close(LinkId(2)));
        assert_eq!(links.cut_all(), [LinkId(1)]);
        assert_eq!(links.queues().count(), 0);
        assert!(cut.is_closed() && closed.is_closed());
        assert_eq!((cut.queued_bytes() > 0, closed.queued_bytes() > 0), (false, true));
        assert_eq!(links.answer_heartbeat(LinkId(1), b"12345678"), Ok(()), "nobody is there to be told");
    }

    #[test]
    fn others_see_each_open_link_once_whosever_it_is_and_no_other() {
        let shown = OpenOutboxes::default();
        let mut links = OpenLinks::new(shown.clone());
        // A gateway that was cut off dials anew before its old link is found dead.
        for link in 1..=4 {
            links.open(LinkId(link), GATEWAY, Outbox::new(1 << 20));
            links.answer_heartbeat(LinkId(link), b"12345678").unwrap();
        }
        let waiting = || shown.all().iter().filter(|outbox| outbox.queued_bytes() > 0).count();
        assert_eq!(waiting(), 4);
        links.forget(LinkId(1));
        links.close(LinkId(2));
        assert_eq!((waiting(), shown.all().len()), (2, 2));
        links.cut_all();
        assert_eq!(shown.all().len(), 0);
    }

    #[test]
    fn a_gateway_that_reads_too_slowly_is_named() {
        let mut links = OpenLinks::default();
        links.open(LinkId(1), GATEWAY, Outbox::new(8));
        links.open(LinkId(2), GATEWAY, Outbox::new(1 << 20));
        assert_eq!(links.tell_games_here(&[game(1)]), [], "the frame that reaches the limit is still taken");
        assert_eq!(links.tell_games_here(&[game(2)]), [TooSlow(LinkId(1))]);
        assert_eq!(links.answer_heartbeat(LinkId(1), b"12345678"), Err(TooSlow(LinkId(1))));
    }
}

//! Reads a game back from what the store keeps of it, with a host that has nothing else.

use std::sync::Arc;

use pintail_core::{Incarnation, Kind, Slot};
use pintail_game::GameTypes;
use pintail_game::runtime::{Budget, Effects, GameHost, HostEvent, JournalPolicy, Now};
use pintail_store::Result;

use crate::env::ms;
use crate::ledger::{self, Entry};
use crate::store::Reply;

const READER: Incarnation = Incarnation(1);

/// How often the reader's clock moves on, and how far: past the grace of players who don't come, so that even a game that
/// nothing happens to says what it has.
const TURNS: u64 = 60;

/// What a ledger has that is restored from its snapshot and journal; None if it can't be.
#[must_use]
pub fn read(types: &Arc<GameTypes>, policy: JournalPolicy, saved: Result<Reply>, number: u64) -> Option<Vec<Entry>> {
    let Ok(Reply::Saved(Some(mut saved))) = saved else { return None };
    saved.record.owner.incarnation = READER;
    saved.record.outcome = None;
    let (id, slot) = (saved.record.order.id, Slot::new(Kind::Game, 0));
    let mut host = GameHost::new(types.clone(), READER, policy, 1);
    let mut fx = Effects::default();
    ledger::at_host(READER.0);
    for event in [HostEvent::Joined(slot), HostEvent::Placed(id), HostEvent::Loaded(id, Ok(Some(saved)))] {
        host.handle(Now::default(), event, &mut fx);
    }
    for turn in 0..TURNS {
        let now = Now(ms(turn * 500));
        let clock = move || now;
        host.advance(now, &Budget::new(&clock, now + ms(100)), &mut fx);
    }
    ledger::witnessed(READER.0, number)
}

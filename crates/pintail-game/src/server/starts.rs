//! The last part of a start that is traced: from the news that a game is placed here to its first step.

use std::collections::HashMap;
use std::time::SystemTime;

use pintail_core::{Epoch, GameId};
use pintail_net::trace::{Span, Tracer};
use pintail_store::SavedGame;

use crate::limits::LOADS_MAX;
use crate::runtime::HostEvent;

/// The games that are about to start, while traces are wanted.
pub(super) struct Starts {
    tracer: Tracer,
    /// When this server heard of each.
    placed: HashMap<GameId, SystemTime>,
}

impl Starts {
    pub(super) fn new(tracer: Tracer) -> Self {
        Self { tracer, placed: HashMap::new() }
    }

    /// A game is placed here.
    pub(super) fn placed(&mut self, id: GameId) {
        if !self.tracer.is_on() {
            return;
        }
        if self.placed.len() >= LOADS_MAX {
            // Those that never came. What still comes is traced from when it does.
            self.placed.clear();
        }
        self.placed.entry(id).or_insert_with(SystemTime::now);
    }

    /// The span of a start, if this event is one and it is traced. It ends when it is dropped: when the host has taken the
    /// event, the game has taken its first step.
    pub(super) fn begin(&mut self, event: &HostEvent) -> Option<Span> {
        let HostEvent::Loaded(id, answer) = event else { return None };
        let placed = self.placed.remove(id);
        let Ok(Some(SavedGame { record, journal, .. })) = answer else { return None };
        // A game that was begun elsewhere was traced there.
        let is_first = record.owner.epoch == Epoch(1) && journal.snapshot.is_none() && journal.entries.is_empty();
        let trace = record.order.trace.filter(|_| is_first && record.outcome.is_none());
        let mut span = self.tracer.child("start game", trace)?;
        span.set("pintail.game", id);
        span.set("pintail.game_type", &record.order.game_type);
        Some(match placed {
            Some(placed) => span.since(placed),
            None => span,
        })
    }
}

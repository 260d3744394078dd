//! Tells the store what this gateway holds against servers: one call at a time for each, and none waits for another
//! server's.

use std::collections::BTreeMap;

use pintail_core::{Charge, Incarnation, Slot, Verdict};
use pintail_store::SharedStore;
use tokio::task::JoinSet;
use tracing::debug;

use crate::metrics::{Metrics, Why};

/// What is to be said of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// It is accused.
    Accuse(Incarnation, Charge),
    /// The accusation is taken back.
    Absolve(Incarnation),
}

/// What was to be said of a server, by this observer, and what the store says to it.
type Said = (Slot, Option<(Incarnation, Verdict)>);

/// The calls to the store that are under way: at most one for each server, which ends with the store's own deadline.
#[derive(Debug)]
pub(crate) struct Accuser {
    store: SharedStore,
    calls: JoinSet<Said>,
    /// The servers that a call is under way for, with what is to be said next. Only the last word counts.
    next: BTreeMap<Slot, Option<(Slot, Word)>>,
}

impl Accuser {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store, calls: JoinSet::new(), next: BTreeMap::new() }
    }

    /// Says this of a server, at once or after the call that is under way for it.
    pub(crate) fn say(&mut self, observer: Slot, slot: Slot, word: Word, metrics: &Metrics) {
        if let Word::Accuse(_, charge) = word {
            metrics.accusations.get_or_create(&Why { why: name_of(charge) }).inc();
        }
        match self.next.get_mut(&slot) {
            Some(next) => *next = Some((observer, word)),
            None => self.call(observer, slot, word),
        }
    }

    fn call(&mut self, observer: Slot, slot: Slot, word: Word) {
        self.next.insert(slot, None);
        let store = self.store.clone();
        self.calls.spawn(async move {
            let said = match word {
                Word::Accuse(incarnation, charge) => {
                    store.accuse(slot, incarnation, observer, charge).await.map(|verdict| Some((incarnation, verdict)))
                }
                Word::Absolve(incarnation) => store.absolve(slot, incarnation, observer).await.map(|()| None),
            };
            let verdict = said.unwrap_or_else(|error| {
                debug!(%slot, ?word, %error, "the store does not hear what this gateway has to say");
                None
            });
            (slot, verdict)
        });
    }

    /// The next verdict of the store; never resolves while nothing is under way. Cancel-safe.
    pub(crate) async fn verdict(&mut self) -> (Slot, Incarnation, Verdict) {
        loop {
            let (slot, verdict) = match self.calls.join_next().await {
                Some(said) => said.expect("a call to the store does not panic, and nobody aborts it"),
                None => std::future::pending().await,
            };
            if let Some((observer, word)) = self.next.remove(&slot).flatten() {
                self.call(observer, slot, word);
            }
            if let Some((incarnation, verdict)) = verdict {
                return (slot, incarnation, verdict);
            }
        }
    }
}

const fn name_of(charge: Charge) -> &'static str {
    match charge {
        Charge::Silent => "silent",
        Charge::Dead => "dead",
        Charge::Refused => "refused",
    }
}

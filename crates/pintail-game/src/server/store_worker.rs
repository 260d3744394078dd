//! Makes the calls to the store, so that the loop never waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pintail_core::{GameId, Incarnation, Slot};
use pintail_store::games::SWEEP_MAX;
use pintail_store::{
    Claim, Claimed, EndOutcome, GameOrder, Owner, SavedSnapshot, SharedStore, StoreError, WithoutServer,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::runtime::host::{Answer, StoreFailed};
use crate::runtime::{HostEvent, Now};

/// How many calls may wait. The loop counts a call beyond as failed and tries again later.
pub(super) const CALLS_MAX: usize = 4096;

/// How many calls are made at once: enough to keep a pipelined connection busy.
const CALLS_AT_ONCE: usize = 32;

/// A call to the store.
#[derive(Debug)]
pub(super) enum StoreCall {
    Load(GameId),
    End { id: GameId, owner: Owner, outcome: EndOutcome },
    Restore { order: GameOrder, owner: Owner, snapshot: Option<SavedSnapshot> },
    Scan { slot: Slot, incarnation: Incarnation, asked: Now },
    Claim(Claim),
    HandOver { id: GameId, owner: Owner, snapshot: SavedSnapshot, without_server: WithoutServer },
}

/// What a call came to; `None` for a scan that failed, which the next one makes up for.
pub(super) type StoreAnswer = Option<HostEvent>;

impl StoreCall {
    /// The answer if the call could not even be made.
    pub(super) fn failed(self) -> StoreAnswer {
        Some(match self {
            Self::Load(id) => HostEvent::Loaded(id, Err(StoreFailed::Away)),
            Self::End { id, owner, .. } => HostEvent::EndAnswered(id, owner.epoch, Err(StoreFailed::Away)),
            Self::Restore { order, owner, .. } => HostEvent::Restored(order.id, owner, Err(StoreFailed::Away)),
            Self::Scan { .. } => return None,
            Self::Claim(_) => HostEvent::Claimed(Err(StoreFailed::Away)),
            Self::HandOver { id, owner, .. } => HostEvent::HandedOver(id, owner.epoch, Err(StoreFailed::Away)),
        })
    }
}

/// Makes calls until there is nobody left to make them for.
pub(super) async fn run(store: SharedStore, mut calls: mpsc::Receiver<StoreCall>, answers: mpsc::Sender<StoreAnswer>) {
    let worker = Arc::new(Worker { store, in_trouble: AtomicBool::new(false) });
    let permits = Arc::new(Semaphore::new(CALLS_AT_ONCE));
    let tasks = TaskTracker::new();
    while let Some(call) = calls.recv().await {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (worker, answers) = (worker.clone(), answers.clone());
        tasks.spawn(async move {
            let answer = worker.make(call).await;
            // A loop that has ended needs no answer.
            let _ = answers.send(answer).await;
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}

struct Worker {
    store: SharedStore,
    /// The last call failed: the next failure is no news.
    in_trouble: AtomicBool,
}

impl Worker {
    /// Makes the call. The store bounds how long it takes.
    async fn make(&self, call: StoreCall) -> StoreAnswer {
        let store = &self.store;
        Some(match call {
            StoreCall::Load(id) => self.load(id).await,
            StoreCall::End { id, owner, outcome } => {
                let answer = store.end_game(id, owner, &outcome).await;
                HostEvent::EndAnswered(id, owner.epoch, self.answer("end a game", answer))
            }
            StoreCall::Restore { order, owner, snapshot } => {
                let answer = store.restore_game(&order, owner, snapshot.as_ref()).await;
                HostEvent::Restored(order.id, owner, self.answer("restore a game", answer))
            }
            StoreCall::Scan { slot, incarnation, asked } => {
                let answer = store.hosted(slot, incarnation).await;
                HostEvent::Hosted { games: self.answer("ask for this server's games", answer).ok()?, asked }
            }
            StoreCall::Claim(claim) => {
                let answer = self::claim(store, &claim).await;
                HostEvent::Claimed(self.answer("claim games", answer))
            }
            StoreCall::HandOver { id, owner, snapshot, without_server } => {
                let answer = store.hand_over(id, owner, &snapshot, without_server).await;
                HostEvent::HandedOver(id, owner.epoch, self.answer("hand a game over", answer))
            }
        })
    }

    /// Loads a game. If the whole of it can't be used, its record says whose it is.
    async fn load(&self, id: GameId) -> HostEvent {
        match self.store.saved_game(id).await {
            Err(error @ StoreError::Corrupt { .. }) => match self.store.game(id).await {
                Ok(record) => HostEvent::Damaged(id, record, error.to_string()),
                Err(StoreError::Corrupt { .. }) => HostEvent::Damaged(id, None, error.to_string()),
                Err(error) => HostEvent::Loaded(id, self.answer("load a game", Err(error))),
            },
            answer => HostEvent::Loaded(id, self.answer("load a game", answer)),
        }
    }

    /// What a call came to. That the store is away is said once, however many calls find it so.
    fn answer<T>(&self, what: &str, outcome: Result<T, StoreError>) -> Answer<T> {
        match outcome {
            Ok(answer) => {
                if self.in_trouble.swap(false, Ordering::Relaxed) {
                    info!("the store answers calls again");
                }
                Ok(answer)
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                error!(%error, "could not {what} in the store");
                Err(StoreFailed::Damaged(error.to_string()))
            }
            Err(error) => {
                if self.in_trouble.swap(true, Ordering::Relaxed) {
                    debug!(%error, "could not {what} in the store");
                } else {
                    warn!(%error, "could not {what} in the store; calls are repeated until it works");
                }
                Err(StoreFailed::Away)
            }
        }
    }
}

/// Whoever claims first sets aside what servers that are gone have left. Several servers may do it at once.
async fn claim(store: &SharedStore, claim: &Claim) -> Result<Claimed, StoreError> {
    store.sweep_orphans(SWEEP_MAX).await?;
    store.claim_games(claim).await
}

#[cfg(test)]
mod tests;

//! Makes the calls to the store, so that the loop never waits for one.

use std::sync::Arc;

use pintail_core::{GameId, Incarnation, Slot};
use pintail_store::games::SWEEP_MAX;
use pintail_store::{
    Claim, Claimed, EndOutcome, GameOrder, Owner, SavedSnapshot, SharedStore, StoreError, WithoutServer,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::runtime::host::StoreFailed;
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
            Self::End { id, .. } => HostEvent::EndAnswered(id, Err(StoreFailed::Away)),
            Self::Restore { order, owner, .. } => HostEvent::Restored(order.id, owner, Err(StoreFailed::Away)),
            Self::Scan { .. } => return None,
            Self::Claim(_) => HostEvent::Claimed(Err(StoreFailed::Away)),
            Self::HandOver { id, owner, .. } => HostEvent::HandedOver(id, owner.epoch, Err(StoreFailed::Away)),
        })
    }

    /// Makes the call. The store bounds how long it takes.
    async fn make(self, store: &SharedStore) -> StoreAnswer {
        Some(match self {
            Self::Load(id) => HostEvent::Loaded(id, store.saved_game(id).await.map_err(|error| failed("load", &error))),
            Self::End { id, owner, outcome } => {
                let answer = store.end_game(id, owner, &outcome).await;
                HostEvent::EndAnswered(id, answer.map_err(|error| failed("end", &error)))
            }
            Self::Restore { order, owner, snapshot } => {
                let answer = store.restore_game(&order, owner, snapshot.as_ref()).await;
                HostEvent::Restored(order.id, owner, answer.map_err(|error| failed("restore", &error)))
            }
            Self::Scan { slot, incarnation, asked } => match store.hosted(slot, incarnation).await {
                Ok(games) => HostEvent::Hosted { games, asked },
                Err(error) => {
                    debug!(%error, "could not ask the store for this server's games");
                    return None;
                }
            },
            Self::Claim(claim) => {
                HostEvent::Claimed(self::claim(store, &claim).await.map_err(|error| failed("claim", &error)))
            }
            Self::HandOver { id, owner, snapshot, without_server } => {
                let answer = store.hand_over(id, owner, &snapshot, without_server).await;
                HostEvent::HandedOver(id, owner.epoch, answer.map_err(|error| failed("hand over", &error)))
            }
        })
    }
}

/// Whoever claims first sets aside what servers that are gone have left. Several servers may do it at once.
async fn claim(store: &SharedStore, claim: &Claim) -> Result<Claimed, StoreError> {
    store.sweep_orphans(SWEEP_MAX).await?;
    store.claim_games(claim).await
}

fn failed(what: &str, error: &StoreError) -> StoreFailed {
    if let StoreError::Corrupt { .. } = error {
        error!(%error, "could not {what} a game in the store");
        StoreFailed::Damaged(error.to_string())
    } else {
        warn!(%error, "could not {what} a game in the store; trying again");
        StoreFailed::Away
    }
}

/// Makes calls until there is nobody left to make them for.
pub(super) async fn run(store: SharedStore, mut calls: mpsc::Receiver<StoreCall>, answers: mpsc::Sender<StoreAnswer>) {
    let permits = Arc::new(Semaphore::new(CALLS_AT_ONCE));
    let tasks = TaskTracker::new();
    while let Some(call) = calls.recv().await {
        let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (store, answers) = (store.clone(), answers.clone());
        tasks.spawn(async move {
            let answer = call.make(&store).await;
            // A loop that has ended needs no answer.
            let _ = answers.send(answer).await;
            drop(permit);
        });
    }
    tasks.close();
    tasks.wait().await;
}

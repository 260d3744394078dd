//! Writes the journals of all games to the store: whatever is ready goes in one call.
//!
//! ```text
//!  loop ──write, write, …──▶ queue ──▶ batch ──write_journals──▶ store
//!    ▲                                                             │
//!    └──────────────── the answers of a batch, at once ◀───────────┘
//! ```
//!
//! Nothing waits for a batch to fill: while batches are under way the next one gathers, so batches grow with the load and
//! a lone write leaves at once. A heavy write is a batch of its own, beside the others: one that takes so long that it
//! fails must not fail them too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pintail_store::{JournalWrite, SharedStore, StoreError, WriteContent, WriteOutcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::journal_metrics::JournalMetrics;
use crate::runtime::HostEvent;
use crate::runtime::host::{Answer, StoreFailed};

/// How many writes may wait: one of each game, of more games than a server takes. The loop counts a write beyond as
/// failed, and its game tries again later.
pub(super) const WRITES_MAX: usize = 16_384;

/// How many games one batch writes for. It is one call, and the answers of the first wait for the last.
const BATCH_WRITES_MAX: usize = 512;

/// How many bytes a batch has before it takes no further write: some milliseconds of a slow network. A write that has more
/// alone is heavy.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How many batches are under way at once. A game has one write under way at most, so it is never in two. With the second,
/// a write waits for half a round trip to the store on average before it leaves, and not for a whole one.
const BATCHES_UNDER_WAY_MAX: usize = 2;

/// How many heavy writes are under way at once, beside the batches.
const HEAVY_UNDER_WAY_MAX: usize = 1;

/// How many batches' answers may wait for the loop; the worker waits with the next.
pub(super) const COMMITS_MAX: usize = 16;

/// The answers to a batch: [`HostEvent::Written`] for each of its writes.
pub(super) type Commits = Vec<HostEvent>;

/// A write on its way, and since when.
#[derive(Debug)]
pub(super) struct Handed {
    write: JournalWrite,
    at: Instant,
}

impl Handed {
    pub(super) fn new(write: JournalWrite) -> Self {
        Self { write, at: Instant::now() }
    }

    fn is_heavy(&self) -> bool {
        bytes_of(&self.write) > BATCH_BYTES_MAX
    }

    /// The answer if the write could not even be queued.
    pub(super) fn refused(self) -> HostEvent {
        written(&self.write, Err(StoreFailed::Away))
    }
}

fn written(write: &JournalWrite, answer: Answer<WriteOutcome>) -> HostEvent {
    HostEvent::Written(write.game, write.owner.epoch, write.last(), answer)
}

/// How many bytes a write brings to the store.
fn bytes_of(write: &JournalWrite) -> usize {
    match &write.content {
        WriteContent::Entries { entries, .. } => entries.iter().map(bytes::Bytes::len).sum(),
        WriteContent::Snapshot(snapshot) => snapshot.bytes.len(),
    }
}

/// Writes until there is nobody left to write for.
pub(super) async fn run(
    store: SharedStore,
    mut writes: mpsc::Receiver<Handed>,
    commits: mpsc::Sender<Commits>,
    metrics: JournalMetrics,
) {
    let worker = Arc::new(Worker { store, commits, metrics, in_trouble: AtomicBool::new(false) });
    let permits = Arc::new(Semaphore::new(BATCHES_UNDER_WAY_MAX));
    let heavy_permits = Arc::new(Semaphore::new(HEAVY_UNDER_WAY_MAX));
    let tasks = TaskTracker::new();
    loop {
        // First the permit, so that everything that arrives meanwhile is in the batch.
        let permit = permit_of(&permits).await;
        let Some(first) = writes.recv().await else { break };
        let Gathered { batch, heavy } = Gathered::from(first, &mut writes);
        // Those that wait are one of each game at most, as those in the queue are.
        for write in heavy {
            let (worker, permits) = (worker.clone(), heavy_permits.clone());
            tasks.spawn(async move {
                let _permit = permit_of(&permits).await;
                worker.commit(Batch::of(write)).await;
            });
        }
        if !batch.writes.is_empty() {
            let worker = worker.clone();
            tasks.spawn(async move {
                worker.commit(batch).await;
                drop(permit);
            });
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn permit_of(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    permits.clone().acquire_owned().await.expect("the semaphore is never closed")
}

/// Writes of different games that go to the store in one call.
#[derive(Debug, Default)]
struct Batch {
    writes: Vec<JournalWrite>,
    handed: Vec<Instant>,
    bytes: usize,
}

/// What was taken off the queue at once.
#[derive(Debug, Default)]
struct Gathered {
    batch: Batch,
    /// Those that are too heavy for it.
    heavy: Vec<Handed>,
}

impl Gathered {
    /// This write and all that wait behind it, up to what a batch takes.
    fn from(first: Handed, writes: &mut mpsc::Receiver<Handed>) -> Self {
        let mut gathered = Self::default();
        gathered.add(first);
        while gathered.batch.has_room()
            && let Ok(next) = writes.try_recv()
        {
            gathered.add(next);
        }
        gathered
    }

    fn add(&mut self, handed: Handed) {
        if handed.is_heavy() {
            self.heavy.push(handed);
        } else {
            self.batch.add(handed);
        }
    }
}

impl Batch {
    fn of(handed: Handed) -> Self {
        let mut batch = Self::default();
        batch.add(handed);
        batch
    }

    fn has_room(&self) -> bool {
        self.writes.len() < BATCH_WRITES_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn add(&mut self, Handed { write, at }: Handed) {
        self.bytes += bytes_of(&write);
        self.writes.push(write);
        self.handed.push(at);
    }
}

struct Worker {
    store: SharedStore,
    commits: mpsc::Sender<Commits>,
    metrics: JournalMetrics,
    /// The last batch failed: the next failure is no news.
    in_trouble: AtomicBool,
}

impl Worker {
    async fn commit(&self, batch: Batch) {
        self.metrics.count_batch(batch.writes.len());
        let answers = self.write(&batch.writes).await;
        for (answer, handed) in answers.iter().zip(batch.handed) {
            self.metrics.count(answer, handed.elapsed());
        }
        let commits = batch.writes.iter().zip(answers).map(|(write, answer)| written(write, answer)).collect();
        // A loop that has ended needs no answer.
        let _ = self.commits.send(commits).await;
    }

    /// Makes the writes; what became of each. A store that does not take the batch as it is may take most of its writes.
    async fn write(&self, writes: &[JournalWrite]) -> Vec<Answer<WriteOutcome>> {
        match self.write_together(writes).await {
            Err(error) if error.retry() == pintail_core::Retry::Never && writes.len() > 1 => {
                warn!(%error, writes = writes.len(), "the store takes no such batch of journal writes; making each alone");
                let mut answers = Vec::with_capacity(writes.len());
                for write in writes.chunks(1) {
                    answers.extend(self.answers(write, self.write_together(write).await));
                }
                answers
            }
            outcome => self.answers(writes, outcome),
        }
    }

    /// Makes the writes in one call. The store bounds how long it takes.
    async fn write_together(&self, writes: &[JournalWrite]) -> Result<Vec<WriteOutcome>, StoreError> {
        let outcomes = self.store.write_journals(writes).await?;
        if outcomes.len() == writes.len() {
            Ok(outcomes)
        } else {
            let problem = format!("{} answers to {} writes", outcomes.len(), writes.len());
            Err(StoreError::Corrupt { key: "journals".to_owned(), problem })
        }
    }

    fn answers(
        &self,
        writes: &[JournalWrite],
        outcome: Result<Vec<WriteOutcome>, StoreError>,
    ) -> Vec<Answer<WriteOutcome>> {
        match outcome {
            Ok(outcomes) => {
                if self.in_trouble.swap(false, Ordering::Relaxed) {
                    info!("journals are written again");
                }
                outcomes.into_iter().map(Ok).collect()
            }
            Err(error) => {
                if self.in_trouble.swap(true, Ordering::Relaxed) {
                    debug!(%error, writes = writes.len(), "could not write journals");
                } else {
                    warn!(%error, writes = writes.len(), "could not write journals; trying until it works");
                }
                // Whatever the reason: the write may have been made or not, and only the same again can tell.
                writes.iter().map(|_| Err(StoreFailed::Away)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;

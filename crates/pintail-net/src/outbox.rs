//! The bounded queue of frames in front of a connection.
//!
//! Whoever has something to say encodes it straight into the queue; the connection's task takes everything that is
//! queued and writes it with one call. A queue that is empty holds no memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use pintail_wire::encode_frame_parts;
use thiserror::Error;
use tokio::sync::Notify;

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// The other side reads too slowly: the queue has as many bytes as it may have.
    #[error("too much is waiting to be sent")]
    Full,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closed,
}

/// A connection's queue. Pushing never waits.
#[derive(Debug)]
pub struct Outbox {
    bytes_max: usize,
    queue: Mutex<Queue>,
    /// Wakes those who wait for room.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole frames, one after the other.
    frames: BytesMut,
    /// At most one frame of each kind of which only the latest counts.
    latest: Vec<(u8, BytesMut)>,
    closed: bool,
    /// The connection's task, while it waits for something to send. It stands in here because whoever fills the queue has
    /// the lock already.
    waiting: Option<Waker>,
}

impl Queue {
    fn len(&self) -> usize {
        self.frames.len() + self.latest.iter().map(|(_, frame)| frame.len()).sum::<usize>()
    }

    fn take(&mut self) -> BytesMut {
        let mut frames = std::mem::take(&mut self.frames);
        for (_, frame) in std::mem::take(&mut self.latest) {
            frames.unsplit(frame);
        }
        frames
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker())) {
            self.waiting = Some(cx.waker().clone());
        }
    }
}

impl Outbox {
    /// An empty queue that holds up to `bytes_max` bytes; the frame that reaches the limit is still taken.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, queue: Mutex::default(), emptied: Notify::new() })
    }

    /// Queues a frame whose body is these parts in order.
    ///
    /// # Errors
    /// If the queue is full or closed.
    pub fn push(&self, kind: u8, parts: &[&[u8]]) -> Result<(), PushError> {
        self.push_with(|frames| encode_frame_parts(frames, kind, parts))
    }

    /// Queues whole frames that `encode` appends.
    ///
    /// # Errors
    /// If the queue is full or closed; `encode` was not called.
    pub fn push_with(&self, encode: impl FnOnce(&mut BytesMut)) -> Result<(), PushError> {
        self.change(|queue| encode(&mut queue.frames))
    }

    /// Queues a frame in place of an unsent one of the same kind: only the latest counts.
    ///
    /// # Errors
    /// If the queue is full or closed.
    pub fn push_latest(&self, kind: u8, parts: &[&[u8]]) -> Result<(), PushError> {
        self.change(|queue| {
            let frame = match queue.latest.iter().position(|&(latest, _)| latest == kind) {
                Some(index) => &mut queue.latest[index].1,
                None => {
                    queue.latest.push((kind, BytesMut::new()));
                    let last = queue.latest.len() - 1;
                    &mut queue.latest[last].1
                }
            };
            frame.clear();
            encode_frame_parts(frame, kind, parts);
        })
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) -> Result<(), PushError> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(PushError::Closed);
        }
        if queue.len() >= self.bytes_max {
            return Err(PushError::Full);
        }
        change(&mut queue);
        // Whoever has been told is not told again: it takes all that is queued at once.
        let waiting = queue.waiting.take();
        drop(queue);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        Ok(())
    }

    /// Takes nothing more. The connection sends what is queued, then closes.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        self.tell_closed(queue);
    }

    /// Queues a last frame, over the limit if need be, and takes nothing more after it.
    pub fn close_with(&self, kind: u8, parts: &[&[u8]]) {
        let mut queue = self.lock();
        if queue.closed {
            return;
        }
        encode_frame_parts(&mut queue.frames, kind, parts);
        queue.closed = true;
        self.tell_closed(queue);
    }

    fn tell_closed(&self, mut queue: MutexGuard<'_, Queue>) {
        let waiting = queue.waiting.take();
        drop(queue);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        self.emptied.notify_waiters();
    }

    /// Whether the queue takes nothing more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// How many bytes wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.lock().len()
    }

    /// Resolves when a push can succeed, or never will (the queue is closed). Cancel-safe.
    pub async fn has_room(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let queue = self.lock();
                if queue.closed || queue.len() < self.bytes_max {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Everything that is queued, for the connection's task: frames in order, then the latest of each kind.
    #[must_use]
    pub fn take(&self) -> BytesMut {
        let mut queue = self.lock();
        let frames = queue.take();
        drop(queue);
        self.tell_emptied(&frames);
        frames
    }

    /// The same, for a task that waits until there is something: `None` when the queue is closed and everything was taken.
    /// For the connection's task alone, since only the last one that waits is woken.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<BytesMut>> {
        let mut queue = self.lock();
        let frames = queue.take();
        if frames.is_empty() {
            return if queue.closed {
                Poll::Ready(None)
            } else {
                queue.wait(cx);
                Poll::Pending
            };
        }
        drop(queue);
        self.tell_emptied(&frames);
        Poll::Ready(Some(frames))
    }

    /// Resolves when the queue is closed, whatever it still holds. For the connection's task alone.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.lock();
        if queue.closed {
            return Poll::Ready(());
        }
        queue.wait(cx);
        Poll::Pending
    }

    fn tell_emptied(&self, taken: &BytesMut) {
        if !taken.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while encoding leaves at worst a frame cut short; the peer closes the connection for it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_of_a_kind_is_sent_and_after_the_frames() {
        let outbox = Outbox::new(1024);
        outbox.push_latest(9, &[b"old"]).unwrap();
        outbox.push(1, &[b"a", b"b"]).unwrap();
        outbox.push_latest(9, &[b"new"]).unwrap();
        assert_eq!(&outbox.take()[..], b"\0\0\0\x03\x01ab\0\0\0\x04\x09new");
        assert!(outbox.take().is_empty());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_until_it_was_taken() {
        let outbox = Outbox::new(8);
        outbox.push(1, &[b"12345678"]).unwrap();
        assert_eq!(outbox.push(1, &[]), Err(PushError::Full));
        let (waiter, ()) =
            tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(5), outbox.has_room()), async {
                assert!(!outbox.take().is_empty());
            });
        waiter.unwrap();
        outbox.push(1, &[]).unwrap();
        outbox.close();
        assert_eq!(outbox.push(1, &[]), Err(PushError::Closed));
        outbox.has_room().await;
    }
}

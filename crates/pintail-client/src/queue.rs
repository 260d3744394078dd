//! The bounded queue between a client's task and its application.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::Event;
use crate::config::EVENTS_MAX;

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    /// Nothing more will come.
    finished: bool,
    /// Nobody takes events any more: they are dropped.
    unread: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Notify,
    taken: Notify,
}

impl Shared {
    /// A panic while the lock was held can't leave the queue half changed: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of a client, to be taken by its application.
///
/// An application that does not take them stops the client from reading its connection once 256 wait, and a gateway
/// closes connections that stay unread; the client then comes back where it was. Dropping it discards all events.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

impl Events {
    /// The next event, or `None` after [`Event::Ended`] was taken or the client was dropped.
    ///
    /// Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(event) = queue.events.pop_front() {
                    self.0.taken.notify_one();
                    return Some(event);
                }
                if queue.finished {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.0.lock().events.pop_front();
        if event.is_some() {
            self.0.taken.notify_one();
        }
        event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.unread = true;
        queue.events.clear();
        self.0.taken.notify_one();
    }
}

/// The end of the queue at which events come in. Dropping it finishes the queue.
#[derive(Debug)]
pub(crate) struct EventSink(Arc<Shared>);

/// A new queue.
pub(crate) fn queue() -> (EventSink, Events) {
    let shared = Arc::new(Shared::default());
    (EventSink(Arc::clone(&shared)), Events(shared))
}

impl EventSink {
    /// Adds an event. A state message takes the place of the one that still waits.
    ///
    /// It takes more than [`EVENTS_MAX`], so that what happened is never lost; its caller stops producing when
    /// [`has_room`](Self::has_room) says so.
    pub(crate) fn push(&self, event: Event) {
        let mut queue = self.0.lock();
        if queue.unread {
            return;
        }
        if matches!(event, Event::GameState { .. })
            && let Some(old) = queue.events.iter().rposition(|event| matches!(event, Event::GameState { .. }))
        {
            queue.events.remove(old);
        }
        queue.events.push_back(event);
        self.0.arrived.notify_one();
    }

    /// Whether the application keeps up.
    pub(crate) fn has_room(&self) -> bool {
        self.0.lock().events.len() < EVENTS_MAX
    }

    /// Waits until the application has taken some.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            self.0.taken.notified().await;
        }
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        self.0.lock().finished = true;
        self.0.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pintail_core::{GameId, RoomId, Round, Step};
    use pintail_wire::client::ChatMessage;

    use super::*;

    fn state(step: u64) -> Event {
        let game = GameId { room: RoomId(1), round: Round(1) };
        Event::GameState { game, step: Step(step), payload: Bytes::new() }
    }

    fn chat(text: &str) -> Event {
        Event::Chat(ChatMessage { text: text.to_owned(), ..ChatMessage::default() })
    }

    #[tokio::test]
    async fn only_the_newest_state_waits_and_nothing_else_is_lost() {
        let (sink, mut events) = queue();
        for event in [state(1), chat("a"), state(2), chat("b"), state(3)] {
            sink.push(event);
        }
        drop(sink);
        for expected in [chat("a"), chat("b"), state(3)] {
            assert_eq!(events.next().await, Some(expected));
        }
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_makes_its_producer_wait_until_one_is_taken() {
        let (sink, mut events) = queue();
        for _ in 0..EVENTS_MAX {
            assert!(sink.has_room());
            sink.push(chat("x"));
        }
        assert!(!sink.has_room());
        let (_, taken) = tokio::join!(sink.room(), events.next());
        assert!(taken.is_some());
        assert!(sink.has_room());
    }

    #[tokio::test]
    async fn an_application_that_dropped_its_events_holds_nothing_up() {
        let (sink, events) = queue();
        for _ in 0..EVENTS_MAX {
            sink.push(chat("x"));
        }
        drop(events);
        sink.room().await;
        sink.push(chat("y"));
        assert!(sink.has_room());
    }
}

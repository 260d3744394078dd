//! What happens to the servers of the cluster, as one server sees it: a log, and a stream on the admin port.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use pintail_core::Slot;
use serde::Serialize;
use tokio::sync::broadcast;
use tracing::{info, warn};

/// How many past events a new reader is told.
pub const EVENTS_KEPT: usize = 256;

/// How many events a slow reader may fall behind; past it, it is told how many it missed.
const EVENTS_WAITING_MAX: usize = 1024;

/// What can happen to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It is registered, in a new slot or again in its own.
    On,
    /// It is registered in the slot of a server that is gone.
    Recycled,
    /// It has left in good order.
    Off,
    /// It answers again.
    Up,
    /// It has been silent for too long.
    Suspect,
    /// It is gone.
    Down,
    /// It takes new work.
    Smooth,
    /// It takes no new work for now.
    Congested,
    /// It takes no new work because it is about to stop.
    Draining,
    /// This observer can't see most of the others, and so accuses nobody.
    CutOff,
    /// This observer sees most of the others again.
    Reunited,
}

impl EventKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Recycled => "recycled",
            Self::Off => "off",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Smooth => "smooth",
            Self::Congested => "congested",
            Self::Draining => "draining",
            Self::CutOff => "cut-off",
            Self::Reunited => "reunited",
        }
    }

    /// Whether an operator may have to do something.
    const fn is_trouble(self) -> bool {
        matches!(self, Self::Suspect | Self::Down | Self::CutOff)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerEvent {
    /// When, in milliseconds since 1970 by the observer's clock.
    pub at_ms: u64,
    /// What.
    pub event: EventKind,
    /// To whom.
    #[serde(serialize_with = "as_text")]
    pub server: Slot,
    /// Why, in words; may be empty.
    pub cause: String,
}

fn as_text<S: serde::Serializer>(slot: &Slot, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(slot)
}

/// The events that a server has seen. Clones share them.
#[derive(Debug, Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<VecDeque<Arc<ServerEvent>>>,
    live: broadcast::Sender<Arc<ServerEvent>>,
}

impl Default for Events {
    fn default() -> Self {
        let (live, _) = broadcast::channel(EVENTS_WAITING_MAX);
        Self { shared: Arc::new(Shared { kept: Mutex::default(), live }) }
    }
}

impl Events {
    /// Logs an event, keeps it, and passes it on to whoever reads.
    pub fn publish(&self, event: EventKind, server: Slot, cause: impl Into<String>) {
        let cause = cause.into();
        if event.is_trouble() {
            warn!(%server, %event, cause, "server event");
        } else {
            info!(%server, %event, cause, "server event");
        }
        let event = Arc::new(ServerEvent { at_ms: milliseconds_since_1970(), event, server, cause });
        let mut kept = self.kept();
        if kept.len() == EVENTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // Nobody reads, most of the time.
        let _ = self.shared.live.send(event);
    }

    /// The last events, oldest first, and those to come.
    #[must_use]
    pub fn follow(&self) -> (Vec<Arc<ServerEvent>>, broadcast::Receiver<Arc<ServerEvent>>) {
        // Under the lock, so that nothing is told twice or not at all.
        let kept = self.kept();
        (kept.iter().cloned().collect(), self.shared.live.subscribe())
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<ServerEvent>>> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;

    use super::*;

    #[tokio::test]
    async fn a_reader_gets_the_last_events_and_then_each_new_one_once() {
        let events = Events::default();
        let slot = |index| Slot::new(Kind::Game, index);
        for index in 0..u32::try_from(EVENTS_KEPT).unwrap() + 2 {
            events.publish(EventKind::On, slot(index), "");
        }
        let (kept, mut live) = events.follow();
        assert_eq!((kept.len(), kept[0].server), (EVENTS_KEPT, slot(2)));
        events.publish(EventKind::Down, slot(3), "it refuses connections");
        let event = live.recv().await.unwrap();
        assert_eq!((event.event, event.server), (EventKind::Down, slot(3)));
        let json = serde_json::to_value(&*event).unwrap();
        assert_eq!((&json["event"], &json["server"]), (&"down".into(), &"Server:Game:3".into()));
    }
}

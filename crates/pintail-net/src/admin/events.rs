//! `/events`: what happens to the servers, as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::events::ServerEvent;

/// How many read events at once; the other connections are for who asks once.
pub(super) const READERS_MAX: usize = 16;

/// How often a reader is sent an empty line when nothing happens, so that one that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The kept events, then each new one, as lines of JSON, until the server stops.
pub(super) async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(place) = shared.readers.clone().try_acquire_owned() else {
        // A connection that is kept open would take the place of someone who asks for something else.
        let text = "too many read the events already: try again later\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::CONNECTION, "close")], text).into_response();
    };
    let (kept, live) = shared.state.events.follow();
    let reader = Reader { kept: kept.into(), live, stop: shared.stop.clone(), _place: place };
    let lines = stream::unfold(reader, async |mut reader| {
        let line = reader.next_line().await?;
        Some((Ok::<_, Infallible>(line), reader))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// One who reads the events.
struct Reader {
    kept: VecDeque<Arc<ServerEvent>>,
    live: Receiver<Arc<ServerEvent>>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// What a reader is told that was too slow.
#[derive(Serialize)]
struct Missed {
    event: &'static str,
    count: u64,
}

impl Reader {
    /// The next line; `None` when the server stops.
    async fn next_line(&mut self) -> Option<Bytes> {
        if let Some(event) = self.kept.pop_front() {
            return Some(line(&*event));
        }
        tokio::select! {
            biased;
            event = self.live.recv() => match event {
                Ok(event) => Some(line(&*event)),
                Err(RecvError::Lagged(count)) => Some(line(&Missed { event: "missed", count })),
                Err(RecvError::Closed) => None,
            },
            () = self.stop.cancelled() => None,
            () = sleep(KEEP_ALIVE) => Some(Bytes::from_static(b"\n")),
        }
    }
}

fn line(event: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(event).expect("events are plain structs with text and numbers");
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use pintail_core::{Kind, Slot};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::events::{EventKind, Events};

    const SLOT: Slot = Slot::new(Kind::Game, 3);

    async fn reader(events: &Events, stop: &CancellationToken) -> Reader {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (kept, live) = events.follow();
        Reader { kept: kept.into(), live, stop: stop.clone(), _place: place }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_hears_what_was_what_is_and_that_nothing_happens() {
        let (events, stop) = (Events::default(), CancellationToken::new());
        events.publish(EventKind::On, SLOT, "");
        let mut reader = reader(&events, &stop).await;
        events.publish(EventKind::Down, SLOT, "its lease ran out");
        for (event, cause) in [("on", ""), ("down", "its lease ran out")] {
            let line: serde_json::Value = serde_json::from_slice(&reader.next_line().await.unwrap()).unwrap();
            assert_eq!((&line["event"], &line["cause"]), (&event.into(), &cause.into()));
            assert_eq!(line["server"], "Server:Game:3");
        }
        let before = tokio::time::Instant::now();
        assert_eq!(reader.next_line().await.unwrap(), "\n");
        assert_eq!(before.elapsed(), KEEP_ALIVE);
        stop.cancel();
        assert_eq!(reader.next_line().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_it_missed_and_hears_the_last() {
        let (events, stop) = (Events::default(), CancellationToken::new());
        let mut reader = reader(&events, &stop).await;
        let count = 5000;
        for _ in 0..count {
            events.publish(EventKind::Up, SLOT, "");
        }
        stop.cancel();
        let missed: serde_json::Value = serde_json::from_slice(&reader.next_line().await.unwrap()).unwrap();
        assert_eq!(missed["event"], "missed");
        let mut heard = 0;
        while reader.next_line().await.is_some() {
            heard += 1;
        }
        assert_eq!(missed["count"].as_u64().unwrap() + heard, count, "none is unaccounted for");
    }
}

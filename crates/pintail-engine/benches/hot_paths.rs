//! Session streams, and an observer of the other servers.
//!
//! ```text
//! cargo bench -p pintail-engine --bench hot_paths                    time
//! cargo bench -p pintail-engine --bench hot_paths -- instructions    instructions
//! ```

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use pintail_core::{Endpoint, Incarnation, Kind, Slot, Status};
use pintail_engine::directory::Peer;
use pintail_engine::health::{Event, HealthPolicy, LinkChange, Listing, Observer, Standing};
use pintail_engine::load::{Load, LoadMonitor};
use pintail_engine::stream::{Incoming, Outgoing};
use pintail_measure::{Path, Run};

/// What is sent: as large as an input or a small answer.
const PAYLOAD: [u8; 64] = [42; 64];

fn main() -> ExitCode {
    pintail_measure::main(PATHS)
}

const PATHS: &[Path] = &[
    Path::new("engine/stream-send-receive-acknowledge", stream),
    Path::new("engine/stream-unacked-100", unacked),
    Path::new("engine/observer-tick-100-servers", observer_tick),
    Path::new("engine/observer-scan-100-servers", observer_scan),
    Path::new("engine/load-observe", load),
];

const SERVERS: u32 = 100;

fn stream() -> Run {
    let (mut outgoing, mut incoming) = (Outgoing::new(), Incoming::new());
    let payload = Bytes::from_static(&PAYLOAD);
    Box::new(move || {
        let seq = outgoing.push((), black_box(payload.clone())).expect("everything was acknowledged");
        black_box(incoming.accept(seq).expect("nothing is missing"));
        outgoing.acknowledge(incoming.tell()).expect("it was sent");
    })
}

/// What is sent again after a connection was lost.
fn unacked() -> Run {
    let mut outgoing = Outgoing::new();
    for _ in 0..100 {
        outgoing.push((), Bytes::from_static(&PAYLOAD)).expect("there is room for a hundred");
    }
    Box::new(move || {
        for message in outgoing.unacked() {
            black_box(message);
        }
    })
}

fn peer(index: u32) -> Peer {
    let port = 5557 + u16::try_from(index).unwrap_or(0);
    Peer {
        slot: Slot::new(Kind::Game, index),
        endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, port),
        incarnation: Some(Incarnation(u128::from(index) + 1)),
    }
}

fn listings() -> Vec<Listing> {
    let listing = |Peer { slot, endpoint, incarnation }| Listing {
        slot,
        endpoint,
        incarnation,
        standing: Standing::Live { status: Status::Smooth, cause: String::new() },
    };
    (0..SERVERS).map(peer).map(listing).collect()
}

/// An observer of servers that are linked and well.
fn observer() -> Observer {
    let mut observer = Observer::new(HealthPolicy::default());
    observer.handle(Duration::ZERO, Event::Scanned(Kind::Game, listings()));
    for index in 0..SERVERS {
        observer.handle(Duration::ZERO, Event::Link(peer(index), LinkChange::Opened));
    }
    observer
}

fn observer_tick() -> Run {
    let (mut observer, mut now) = (observer(), Duration::ZERO);
    Box::new(move || {
        now += HealthPolicy::default().tick;
        for index in 0..SERVERS {
            black_box(observer.handle(now, Event::Link(peer(index), LinkChange::Heard { at: now })));
        }
        black_box(observer.handle(now, Event::Tick));
    })
}

fn observer_scan() -> Run {
    let (mut observer, listings) = (observer(), listings());
    Box::new(move || {
        black_box(observer.handle(Duration::ZERO, Event::Scanned(Kind::Game, listings.clone())));
    })
}

fn load() -> Run {
    let (mut monitor, mut now) = (LoadMonitor::new("games"), Duration::ZERO);
    let load = Load { used: 10, capacity: 100, steps_due: 50, cpu: Some(0.3), ..Load::default() };
    Box::new(move || {
        now += Duration::from_millis(500);
        black_box(monitor.observe(now, black_box(&load)));
    })
}

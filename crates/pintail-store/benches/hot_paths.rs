//! Placement and renewals in the embedded store.
//!
//! ```text
//! cargo bench -p pintail-store --bench hot_paths                    time
//! cargo bench -p pintail-store --bench hot_paths -- instructions    instructions
//! ```

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt as _;
use pintail_core::{Durability, Endpoint, GameId, GameType, Incarnation, Kind, RoomId, Round, Slot, Status};
use pintail_measure::{Path, Run};
use pintail_store::{
    Announcement, EmbeddedStore, EndOutcome, EndReason, GameOrder, Games as _, Heartbeat, Periods, PlaceOutcome,
    Registry as _,
};

fn main() -> ExitCode {
    pintail_measure::main(PATHS)
}

const PATHS: &[Path] = &[
    Path::new("store/place-and-end-100-servers", || place(100)),
    Path::new("store/place-and-end-2-servers", || place(2)),
    Path::new("store/renew-100-servers", renew),
];

fn game_type() -> GameType {
    "echo".parse().expect("it is the name of a game")
}

fn announcement(number: u16) -> Announcement {
    let [high, low] = number.to_be_bytes();
    Announcement {
        kind: Kind::Game,
        endpoint: Endpoint::new(Ipv4Addr::new(10, 1, high, low), Kind::Game.default_port()),
        incarnation: Incarnation(u128::from(number) + 1),
        capacity: 1000,
        game_types: vec![game_type()],
        version: "1.2.3".to_owned(),
        admin_port: None,
        http_port: None,
    }
}

fn order(number: u64) -> GameOrder {
    GameOrder {
        id: GameId { room: RoomId(number), round: Round(1) },
        game_type: game_type(),
        durability: Durability::Ephemeral,
        settings: String::new(),
        players: Vec::new(),
        seed: number,
        lobby: Slot::new(Kind::Lobby, 0),
        trace: None,
    }
}

/// What the store in memory answers without waiting.
fn now<T>(answer: impl Future<Output = pintail_store::Result<T>>) -> T {
    answer.now_or_never().expect("it waits for nothing").expect("it is never away")
}

fn store(servers: u16) -> (EmbeddedStore, Vec<Slot>) {
    // Nobody renews a lease while placement is measured, and a game that is over is forgotten, so that its id can be used
    // again: else the store would grow with each.
    let periods =
        Periods { lease_ttl: Duration::from_secs(3600), game_record_ttl: Duration::ZERO, ..Periods::default() };
    let store = EmbeddedStore::with_periods(periods);
    let slots = (0..servers).map(|number| now(store.register(&announcement(number))).slot).collect();
    (store, slots)
}

fn place(servers: u16) -> Run {
    let (store, _) = store(servers);
    let outcome = EndOutcome { reason: EndReason::Finished, result: "{}".to_owned(), message: String::new() };
    let mut number = 0;
    Box::new(move || {
        number = (number + 1) % 256;
        let order = order(number);
        match now(store.place(&order)) {
            PlaceOutcome::Placed(owner) => {
                assert!(now(store.end_game(order.id, owner, &outcome)));
                now(store.settle_game(order.id));
            }
            other => panic!("{other:?}: there is room on every server"),
        }
    })
}

fn renew() -> Run {
    let (store, slots) = store(100);
    let mut servers = (0_u16..).zip(slots).cycle();
    Box::new(move || {
        let Some((number, slot)) = servers.next() else { return };
        let Announcement { endpoint, incarnation, .. } = announcement(number);
        let beat = Heartbeat { endpoint, status: Status::Smooth, cause: String::new(), players: 7 };
        black_box(now(store.heartbeat(slot, incarnation, &beat)));
    })
}

//! Frames and deliveries: what the gateway does with each message, and the game server with each broadcast.
//!
//! ```text
//! cargo bench -p pintail-wire --bench hot_paths                    time
//! cargo bench -p pintail-wire --bench hot_paths -- instructions    instructions
//! ```

use std::hint::black_box;
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use pintail_core::limits::LINK_FRAME_BYTES_MAX;
use pintail_core::{GameId, RoomId, Round, Seq, SessionId, Step};
use pintail_measure::{Path, Run};
use pintail_wire::deliver::{Deliver, encode_deliver};
use pintail_wire::{Decoder, encode_frame, game, kind};

fn main() -> ExitCode {
    pintail_measure::main(PATHS)
}

const PATHS: &[Path] = &[
    Path::new("wire/frame-encode-64-bytes", frame_encode),
    Path::new("wire/frame-decode-64-bytes", frame_decode),
    Path::new("wire/deliver-encode-1", || deliver_encode(1)),
    Path::new("wire/deliver-encode-10", || deliver_encode(10)),
    Path::new("wire/deliver-encode-100", || deliver_encode(100)),
    Path::new("wire/deliver-decode-1", || deliver_decode(1)),
    Path::new("wire/deliver-decode-10", || deliver_decode(10)),
    Path::new("wire/deliver-decode-100", || deliver_decode(100)),
    Path::new("wire/input-decode", input_decode),
];

/// The game that all messages are of.
const GAME: GameId = GameId { room: RoomId(7), round: Round(1) };

/// What is sent in every workload: as large as an input or a small answer.
const PAYLOAD: [u8; 64] = [42; 64];

fn frame_encode() -> Run {
    let mut buffer = BytesMut::with_capacity(4096);
    Box::new(move || {
        buffer.clear();
        encode_frame(&mut buffer, kind::client::GAME_INPUT, black_box(&PAYLOAD));
        black_box(&buffer);
    })
}

fn frame_decode() -> Run {
    let mut wire = BytesMut::new();
    encode_frame(&mut wire, kind::client::GAME_INPUT, &PAYLOAD);
    let (decoder, mut buffer) = (Decoder::new(LINK_FRAME_BYTES_MAX), BytesMut::new());
    Box::new(move || {
        buffer.extend_from_slice(black_box(&wire));
        black_box(decoder.decode(&mut buffer).expect("the frame is whole"));
    })
}

fn deliver_to(buffer: &mut BytesMut, heads: &[(SessionId, [u8; 16])]) {
    let recipients = heads.iter().map(|(session, head)| (*session, head.as_slice()));
    let header = game::shared_header(GAME, Step(9));
    encode_deliver(buffer, kind::client::GAME_MESSAGE, recipients, &[&header, black_box(&PAYLOAD)]);
}

fn heads(recipients: u64) -> Vec<(SessionId, [u8; 16])> {
    (1..=recipients).map(|number| (SessionId(number), game::Reliable::head(Seq(number), Seq(1)))).collect()
}

fn deliver_encode(recipients: u64) -> Run {
    let (heads, mut buffer) = (heads(recipients), BytesMut::with_capacity(8192));
    Box::new(move || {
        buffer.clear();
        deliver_to(&mut buffer, &heads);
        black_box(&buffer);
    })
}

/// As the gateway does it: each session's own bytes and the shared ones go into its queue.
fn deliver_decode(recipients: u64) -> Run {
    let mut wire = BytesMut::new();
    deliver_to(&mut wire, &heads(recipients));
    let frame = Decoder::new(LINK_FRAME_BYTES_MAX).decode(&mut wire).expect("it was encoded just now");
    let body = frame.expect("it is whole").body;
    let mut queue = BytesMut::with_capacity(512);
    Box::new(move || {
        let deliver = Deliver::decode(body.clone()).expect("it was encoded as it must be");
        for (session, head) in deliver.recipients() {
            queue.clear();
            pintail_wire::encode_frame_parts(&mut queue, deliver.client_kind, &[head, &deliver.shared]);
            black_box((session, &queue));
        }
    })
}

fn input_decode() -> Run {
    let header = game::Input::header(GAME, Seq(1), Seq(1));
    let body = Bytes::from([&header[..], &PAYLOAD].concat());
    Box::new(move || {
        black_box(game::Input::decode(black_box(body.clone())).expect("it was encoded as it must be"));
    })
}

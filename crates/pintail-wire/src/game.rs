//! The binary headers of the session stream: what stands before a game's opaque payload.
//!
//! ```text
//! GAME_INPUT    game (12)  seq (8)  ack (8)  payload      client → game
//! GAME_ACK      game (12)  ack (8)                        client → game
//! GAME_MESSAGE  seq (8)  ack (8)  game (12)  step (8)  payload      game → client, reliable; GAME_ENDED alike
//! GAME_STATE             ack (8)  game (12)  step (8)  payload      game → client, latest wins
//! GAME_ACKED             ack (8)  game (12)                         game → client
//! ```
//!
//! All numbers are big-endian. `seq` numbers the sender's reliable messages from 1; `ack` is the last one that the
//! sender has got from the other side. Toward clients, what differs between the players of a broadcast comes first, so
//! that a link carries the rest once (see [`deliver`](crate::deliver)).

use bytes::{Buf, Bytes};
use pintail_core::limits::CLIENT_FRAME_BYTES_MAX;
use pintail_core::{GameId, Seq, Step};

use crate::Malformed;

/// A client's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The game it is for.
    pub game: GameId,
    /// Its number.
    pub seq: Seq,
    /// The last reliable message that the client has.
    pub ack: Seq,
    /// What the game makes of it is the game's affair.
    pub payload: Bytes,
}

/// A client's acknowledgement without an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The game it is for.
    pub game: GameId,
    /// The last reliable message that the client has.
    pub ack: Seq,
}

/// A reliable message of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reliable {
    /// Its number.
    pub seq: Seq,
    /// The last input that the game has.
    pub ack: Seq,
    /// The game it comes from.
    pub game: GameId,
    /// The step that sent it.
    pub step: Step,
    /// The game's own bytes.
    pub payload: Bytes,
}

/// A state message of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The last input that the game has.
    pub ack: Seq,
    /// The game it comes from.
    pub game: GameId,
    /// The step that sent it.
    pub step: Step,
    /// The game's own bytes.
    pub payload: Bytes,
}

/// A game's acknowledgement without a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// The last input that the game has.
    pub ack: Seq,
    /// The game it comes from.
    pub game: GameId,
}

/// The bytes of an input's header.
pub const INPUT_HEADER_BYTES: usize = GameId::WIRE_LEN + 16;

/// The bytes of a reliable message's header, the longest there is.
pub const MESSAGE_HEADER_BYTES: usize = GameId::WIRE_LEN + 24;

/// The most bytes of a payload, in both directions: whatever a player sends, a game can send on as it is.
pub const PAYLOAD_BYTES_MAX: usize = CLIENT_FRAME_BYTES_MAX - MESSAGE_HEADER_BYTES;

fn take<const N: usize>(body: &mut Bytes) -> Result<[u8; N], Malformed> {
    let chunk =
        body.first_chunk::<N>().copied().ok_or_else(|| Malformed("it ends inside the game header".to_owned()))?;
    body.advance(N);
    Ok(chunk)
}

fn take_seq(body: &mut Bytes) -> Result<Seq, Malformed> {
    take(body).map(|bytes| Seq(u64::from_be_bytes(bytes)))
}

fn take_step(body: &mut Bytes) -> Result<Step, Malformed> {
    take(body).map(|bytes| Step(u64::from_be_bytes(bytes)))
}

fn take_game(body: &mut Bytes) -> Result<GameId, Malformed> {
    take(body).map(GameId::from_bytes)
}

fn at_end(body: &Bytes) -> Result<(), Malformed> {
    if body.is_empty() { Ok(()) } else { Err(Malformed("bytes follow where it should end".to_owned())) }
}

impl Input {
    /// Reads the body of a `GAME_INPUT`.
    ///
    /// # Errors
    /// If it ends inside the header.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        Ok(Self { game: take_game(&mut body)?, seq: take_seq(&mut body)?, ack: take_seq(&mut body)?, payload: body })
    }

    /// The header that stands before the payload.
    #[must_use]
    pub fn header(game: GameId, seq: Seq, ack: Seq) -> [u8; INPUT_HEADER_BYTES] {
        let mut header = [0; INPUT_HEADER_BYTES];
        header[..12].copy_from_slice(&game.to_bytes());
        header[12..20].copy_from_slice(&seq.0.to_be_bytes());
        header[20..].copy_from_slice(&ack.0.to_be_bytes());
        header
    }
}

impl Ack {
    /// Reads the body of a `GAME_ACK`.
    ///
    /// # Errors
    /// If it is longer or shorter than it should be.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        let ack = Self { game: take_game(&mut body)?, ack: take_seq(&mut body)? };
        at_end(&body).map(|()| ack)
    }

    /// The body of a `GAME_ACK`.
    #[must_use]
    pub fn encode(self) -> [u8; GameId::WIRE_LEN + 8] {
        let mut body = [0; GameId::WIRE_LEN + 8];
        body[..12].copy_from_slice(&self.game.to_bytes());
        body[12..].copy_from_slice(&self.ack.0.to_be_bytes());
        body
    }
}

impl Reliable {
    /// Reads the body of a `GAME_MESSAGE` or `GAME_ENDED`.
    ///
    /// # Errors
    /// If it ends inside the header.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        Ok(Self {
            seq: take_seq(&mut body)?,
            ack: take_seq(&mut body)?,
            game: take_game(&mut body)?,
            step: take_step(&mut body)?,
            payload: body,
        })
    }

    /// The part of the header that differs between players.
    #[must_use]
    pub fn head(seq: Seq, ack: Seq) -> [u8; 16] {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&seq.0.to_be_bytes());
        head[8..].copy_from_slice(&ack.0.to_be_bytes());
        head
    }
}

impl State {
    /// Reads the body of a `GAME_STATE`.
    ///
    /// # Errors
    /// If it ends inside the header.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        Ok(Self { ack: take_seq(&mut body)?, game: take_game(&mut body)?, step: take_step(&mut body)?, payload: body })
    }

    /// The part of the header that differs between players.
    #[must_use]
    pub fn head(ack: Seq) -> [u8; 8] {
        ack.0.to_be_bytes()
    }
}

impl Acked {
    /// Reads the body of a `GAME_ACKED`.
    ///
    /// # Errors
    /// If it is longer or shorter than it should be.
    pub fn decode(mut body: Bytes) -> Result<Self, Malformed> {
        let acked = Self { ack: take_seq(&mut body)?, game: take_game(&mut body)? };
        at_end(&body).map(|()| acked)
    }
}

/// The part of a message's header that all players of a broadcast share.
#[must_use]
pub fn shared_header(game: GameId, step: Step) -> [u8; GameId::WIRE_LEN + 8] {
    let mut header = [0; GameId::WIRE_LEN + 8];
    header[..12].copy_from_slice(&game.to_bytes());
    header[12..].copy_from_slice(&step.0.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use pintail_core::{RoomId, Round};

    use super::*;

    const GAME: GameId = GameId { room: RoomId(1), round: Round(2) };

    fn joined(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    #[test]
    fn headers_come_out_as_they_went_in() {
        let body = joined(&[&Input::header(GAME, Seq(3), Seq(4)), b"x"]);
        assert_eq!(Input::decode(body), Ok(Input { game: GAME, seq: Seq(3), ack: Seq(4), payload: "x".into() }));

        let ack = Ack { game: GAME, ack: Seq(9) };
        assert_eq!(Ack::decode(Bytes::copy_from_slice(&ack.encode())), Ok(ack));

        let shared = shared_header(GAME, Step(5));
        let body = joined(&[&Reliable::head(Seq(6), Seq(7)), &shared, b"y"]);
        let reliable = Reliable { seq: Seq(6), ack: Seq(7), game: GAME, step: Step(5), payload: "y".into() };
        assert_eq!(Reliable::decode(body), Ok(reliable));

        let body = joined(&[&State::head(Seq(7)), &shared, b"z"]);
        assert_eq!(State::decode(body), Ok(State { ack: Seq(7), game: GAME, step: Step(5), payload: "z".into() }));

        let body = joined(&[&Seq(8).0.to_be_bytes(), &GAME.to_bytes()]);
        assert_eq!(Acked::decode(body), Ok(Acked { ack: Seq(8), game: GAME }));
    }

    #[test]
    fn short_and_long_bodies_are_refused() {
        let whole = joined(&[&Input::header(GAME, Seq(3), Seq(4))]);
        for length in 0..whole.len() {
            assert!(Input::decode(whole.slice(..length)).is_err(), "{length}");
        }
        assert!(Ack::decode(whole.slice(..19)).is_err());
        assert!(Ack::decode(whole.slice(..20)).is_ok());
        assert!(Ack::decode(whole.slice(..21)).is_err());
    }
}

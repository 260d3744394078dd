//! A player's end of a session stream, without IO: what `docs/protocol.md` asks of a client that plays, and no more.

use bytes::BytesMut;
use pintail_core::limits::{ACK_AFTER_BYTES, ACK_AFTER_MESSAGES};
use pintail_core::{GameId, Seq};
use pintail_wire::client::{GameAttach, GameAttached};
use pintail_wire::game::{Ack, Input};
use pintail_wire::kind::client as kind;
use pintail_wire::{Message, encode_frame_parts};

use super::unacked::{Full, Unacked};

/// Bytes before the payload of a reliable message: number, acknowledgement, game, step.
const MESSAGE_HEADER_BYTES: usize = 16 + GameId::WIRE_LEN + 8;

/// Bytes before the payload of a state message: acknowledgement, game, step.
const STATE_HEADER_BYTES: usize = 8 + GameId::WIRE_LEN + 8;

/// A player's end of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    game: GameId,
    phase: Phase,
    /// The last input.
    sent: Seq,
    /// The last input that the game has.
    acknowledged: Seq,
    /// The last reliable message that arrived.
    received: Seq,
    /// The last one that the game was told of.
    told: Seq,
    /// The bytes of the messages after that.
    untold_bytes: usize,
    /// The step of what arrived last.
    step: u64,
    /// The highest step that a message showed.
    step_seen: u64,
    /// The step of the newest state.
    state_seen: u64,
    /// The inputs after `acknowledged`, up to `sent`.
    unacked: Unacked,
}

/// Whether frames pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Inputs are kept for later, and frames of the game are dropped: they come again.
    Closed,
    Open,
}

/// A frame that its kind forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Stream {
    /// A stream to this game that was never open.
    pub(crate) fn new(game: GameId) -> Self {
        Self {
            game,
            phase: Phase::Closed,
            sent: Seq(0),
            acknowledged: Seq(0),
            received: Seq(0),
            told: Seq(0),
            untold_bytes: 0,
            step: 0,
            step_seen: 0,
            state_seen: 0,
            unacked: Unacked::default(),
        }
    }

    pub(crate) fn game(&self) -> GameId {
        self.game
    }

    /// Asks for the stream to be opened, for the first time or after any change.
    pub(crate) fn attach(&mut self, out: &mut BytesMut) {
        self.phase = Phase::Closed;
        let attach = GameAttach {
            room: self.game.room.0,
            round: self.game.round.0,
            received: self.received.0,
            step_seen: self.step_seen,
            acknowledged: self.acknowledged.0,
        };
        encode_frame_parts(out, kind::GAME_ATTACH, &[&attach.encode_to_vec()]);
    }

    /// The stream is open: sends what the game does not have.
    pub(crate) fn attached(&mut self, attached: &GameAttached, out: &mut BytesMut) {
        if (attached.room, attached.round) != (self.game.room.0, self.game.round.0) {
            return;
        }
        self.phase = Phase::Open;
        if attached.next > self.received.0 + 1 {
            // Messages were lost for good, and steps may be lower than before.
            self.received = Seq(attached.next - 1);
            (self.step_seen, self.state_seen) = (0, 0);
        }
        self.acknowledge_up_to(attached.received);
        let (game, received) = (self.game, self.received);
        let mut seq = self.acknowledged;
        for payload in self.unacked.each() {
            seq = seq.next();
            encode_frame_parts(out, kind::GAME_INPUT, &[&Input::header(game, seq, received), payload]);
        }
        self.tell();
    }

    /// The stream is no longer open.
    pub(crate) fn detached(&mut self) {
        self.phase = Phase::Closed;
    }

    /// Sends an input; while the stream is closed it is kept for when it opens.
    pub(crate) fn input(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), Full> {
        self.unacked.push(payload)?;
        self.sent = self.sent.next();
        if self.phase == Phase::Open {
            encode_frame_parts(out, kind::GAME_INPUT, &[&Input::header(self.game, self.sent, self.received), payload]);
            self.tell();
        }
        Ok(())
    }

    /// The payload of a `GAME_MESSAGE` or `GAME_ENDED`, if it is the next one.
    pub(crate) fn message<'a>(&mut self, body: &'a [u8]) -> Result<Option<&'a [u8]>, Broken> {
        let (header, payload) = body.split_first_chunk::<MESSAGE_HEADER_BYTES>().ok_or(Broken)?;
        if !self.is_mine(&header[16..]) {
            return Ok(None);
        }
        let seq = u64_at(header, 0);
        if seq <= self.received.0 {
            return Ok(None);
        }
        if seq != self.received.0 + 1 {
            return Err(Broken);
        }
        self.received = Seq(seq);
        self.untold_bytes += payload.len();
        self.step = u64_at(header, MESSAGE_HEADER_BYTES - 8);
        self.step_seen = self.step_seen.max(self.step);
        self.acknowledge_up_to(u64_at(header, 8));
        Ok(Some(payload))
    }

    /// The payload of a `GAME_STATE`, unless a newer one was there before.
    pub(crate) fn state<'a>(&mut self, body: &'a [u8]) -> Result<Option<&'a [u8]>, Broken> {
        let (header, payload) = body.split_first_chunk::<STATE_HEADER_BYTES>().ok_or(Broken)?;
        let step = u64_at(header, STATE_HEADER_BYTES - 8);
        if !self.is_mine(&header[8..]) || step < self.state_seen {
            return Ok(None);
        }
        (self.step, self.state_seen) = (step, step);
        self.step_seen = self.step_seen.max(step);
        self.acknowledge_up_to(u64_at(header, 0));
        Ok(Some(payload))
    }

    /// A `GAME_ACKED`.
    pub(crate) fn acked(&mut self, body: &[u8]) -> Result<(), Broken> {
        let header = body.first_chunk::<{ 8 + GameId::WIRE_LEN }>().ok_or(Broken)?;
        if self.is_mine(&header[8..]) {
            self.acknowledge_up_to(u64_at(header, 0));
        }
        Ok(())
    }

    /// The step of the message or state that arrived last.
    pub(crate) fn step(&self) -> u64 {
        self.step
    }

    /// Acknowledges what has arrived, if so much has that it should not wait for an input to go along with.
    pub(crate) fn acknowledge_many(&mut self, out: &mut BytesMut) {
        if self.received.0 - self.told.0 >= ACK_AFTER_MESSAGES || self.untold_bytes >= ACK_AFTER_BYTES {
            self.acknowledge(out);
        }
    }

    /// Acknowledges what has arrived.
    pub(crate) fn acknowledge(&mut self, out: &mut BytesMut) {
        if self.owes_acknowledgement() {
            let ack = Ack { game: self.game, ack: self.received };
            encode_frame_parts(out, kind::GAME_ACK, &[&ack.encode()]);
            self.tell();
        }
    }

    /// The game is told of everything that has arrived.
    fn tell(&mut self) {
        self.told = self.received;
        self.untold_bytes = 0;
    }

    /// Whether something has arrived that the game was not told of.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.phase == Phase::Open && self.told < self.received
    }

    /// How many inputs the game has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.unacked.len()
    }

    /// Whether a frame with these bytes in its header comes from the stream's game, and the stream is open.
    fn is_mine(&self, rest_of_header: &[u8]) -> bool {
        self.phase == Phase::Open && rest_of_header.starts_with(&self.game.to_bytes())
    }

    fn acknowledge_up_to(&mut self, seq: u64) {
        let seq = seq.min(self.sent.0);
        if seq > self.acknowledged.0 {
            self.unacked.forget(usize::try_from(seq - self.acknowledged.0).unwrap_or(usize::MAX));
            self.acknowledged = Seq(seq);
        }
    }
}

/// The big-endian number at this place of a header.
fn u64_at(header: &[u8], at: usize) -> u64 {
    header[at..at + 8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pintail_core::{RoomId, Round};
    use pintail_wire::game::{Reliable, State};
    use pintail_wire::{Decoder, Frame};

    use super::*;

    const GAME: GameId = GameId { room: RoomId(7), round: Round(2) };
    const OTHER: GameId = GameId { room: RoomId(7), round: Round(1) };

    fn attached(received: u64, next: u64) -> GameAttached {
        GameAttached { room: 7, round: 2, received, next, game: "echo".to_owned() }
    }

    fn open() -> Stream {
        let mut stream = Stream::new(GAME);
        stream.attached(&attached(0, 1), &mut BytesMut::new());
        stream
    }

    /// A reliable message of ten bytes, laid out as servers do it.
    fn message(game: GameId, seq: u64, ack: u64, step: u64) -> Vec<u8> {
        [&Reliable::head(Seq(seq), Seq(ack))[..], &game.to_bytes(), &step.to_be_bytes(), b"0123456789"].concat()
    }

    fn state(game: GameId, ack: u64, step: u64) -> Vec<u8> {
        [&State::head(Seq(ack))[..], &game.to_bytes(), &step.to_be_bytes(), b"state"].concat()
    }

    fn frames(mut out: BytesMut) -> Vec<Frame> {
        let decoder = Decoder::new(1 << 16);
        std::iter::from_fn(|| decoder.decode(&mut out).unwrap()).collect()
    }

    fn inputs(out: BytesMut) -> Vec<(u64, u64, Bytes)> {
        let inputs = frames(out).into_iter().filter(|frame| frame.kind == kind::GAME_INPUT);
        inputs.map(|frame| Input::decode(frame.body).unwrap()).map(|i| (i.seq.0, i.ack.0, i.payload)).collect()
    }

    #[test]
    fn inputs_are_numbered_and_carry_what_was_received() {
        let (mut stream, mut out) = (open(), BytesMut::new());
        stream.input(b"one", &mut out).unwrap();
        assert_eq!(stream.message(&message(GAME, 1, 1, 5)), Ok(Some(&b"0123456789"[..])));
        assert!(stream.owes_acknowledgement());
        stream.input(b"two", &mut out).unwrap();
        assert!(!stream.owes_acknowledgement(), "the input said it");
        assert_eq!(inputs(out), [(1, 0, "one".into()), (2, 1, "two".into())]);
        assert_eq!(stream.unacked.len(), 1);
    }

    #[test]
    fn each_message_is_taken_once_and_a_gap_breaks_the_stream() {
        let mut stream = open();
        for (body, expected) in [
            (message(GAME, 1, 0, 1), Ok(true)),
            (message(GAME, 1, 0, 1), Ok(false)),
            (message(OTHER, 2, 0, 1), Ok(false)),
            (message(GAME, 3, 0, 1), Err(Broken)),
            (message(GAME, 2, 0, 1), Ok(true)),
            (vec![0; 35], Err(Broken)),
        ] {
            assert_eq!(stream.message(&body).map(|payload| payload.is_some()), expected);
        }
    }

    #[test]
    fn of_states_only_newer_ones_count() {
        let mut stream = open();
        for (body, expected) in [
            (state(GAME, 0, 5), Ok(Some(&b"state"[..]))),
            (state(GAME, 0, 4), Ok(None)),
            (state(OTHER, 0, 9), Ok(None)),
            (state(GAME, 0, 5), Ok(Some(&b"state"[..]))),
            (vec![1; 27], Err(Broken)),
        ] {
            assert_eq!(stream.state(&body), expected);
        }
    }

    #[test]
    fn what_the_game_does_not_have_is_sent_again_when_it_is_back() {
        let mut stream = open();
        let mut out = BytesMut::new();
        for payload in [b"a", b"b", b"c"] {
            stream.input(payload, &mut out).unwrap();
        }
        stream.message(&message(GAME, 1, 1, 8)).unwrap();
        stream.detached();
        assert_eq!(stream.message(&message(GAME, 2, 1, 8)), Ok(None), "it comes again");
        let mut out = BytesMut::new();
        stream.input(b"d", &mut out).unwrap();
        assert!(out.is_empty());
        stream.attach(&mut out);
        let asked = GameAttach::decode(frames(out.split()).remove(0).body).unwrap();
        assert_eq!((asked.received, asked.acknowledged, asked.step_seen), (1, 1, 8));
        stream.attached(&attached(2, 2), &mut out);
        assert_eq!(inputs(out), [(3, 1, "c".into()), (4, 1, "d".into())]);
    }

    #[test]
    fn a_player_who_was_too_far_behind_goes_on_after_what_is_lost() {
        let mut stream = open();
        stream.message(&message(GAME, 1, 0, 9)).unwrap();
        stream.attached(&attached(0, 40), &mut BytesMut::new());
        assert_eq!(stream.state(&state(GAME, 0, 3)).unwrap(), Some(&b"state"[..]), "steps begin anew");
        assert!(stream.message(&message(GAME, 40, 0, 4)).unwrap().is_some());
        let other = GameAttached { round: 1, next: 99, ..attached(0, 0) };
        stream.attached(&other, &mut BytesMut::new());
        assert!(
            stream.message(&message(GAME, 41, 0, 4)).unwrap().is_some(),
            "another game's stream is no affair of it"
        );
    }

    #[test]
    fn many_messages_are_acknowledged_without_an_input() {
        let (mut stream, mut out) = (open(), BytesMut::new());
        for seq in 1..=40 {
            stream.message(&message(GAME, seq, 0, 1)).unwrap();
            stream.acknowledge_many(&mut out);
        }
        let acks: Vec<_> =
            frames(out.split()).into_iter().map(|frame| Ack::decode(frame.body).unwrap().ack.0).collect();
        assert_eq!(acks, [32]);
        stream.acknowledge(&mut out);
        stream.acknowledge(&mut out);
        let acks: Vec<_> = frames(out).into_iter().map(|frame| Ack::decode(frame.body).unwrap().ack.0).collect();
        assert_eq!(acks, [40]);
    }

    #[test]
    fn a_game_can_not_acknowledge_what_was_never_sent() {
        let mut stream = open();
        stream.input(b"one", &mut BytesMut::new()).unwrap();
        let mut acked = 999_u64.to_be_bytes().to_vec();
        acked.extend(GAME.to_bytes());
        stream.acked(&acked).unwrap();
        assert_eq!((stream.unacked.len(), stream.acknowledged), (0, Seq(1)));
        assert_eq!(stream.acked(&acked[..19]), Err(Broken));
    }
}

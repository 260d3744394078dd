//! One direction of a session stream: what is new, what is to be sent again.
//!
//! Client and game number what they send each other from 1, and each keeps what the other has not acknowledged. After
//! any change between them they exchange what they have and resend the rest. That makes every message arrive exactly
//! once and in order, with no memory anywhere between the two ends.

use std::collections::VecDeque;

use bytes::Bytes;
use pintail_core::Seq;
use pintail_core::limits::{STREAM_UNACKED_BYTES_MAX, STREAM_UNACKED_MESSAGES_MAX};
use thiserror::Error;

/// What the other side did that no correct peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamError {
    /// It acknowledges what was never sent.
    #[error("message {ack} is acknowledged, but {sent} is the last one sent")]
    AckBeyondSent {
        /// What it acknowledges.
        ack: Seq,
        /// The last message sent.
        sent: Seq,
    },
    /// A message is missing before this one.
    #[error("message {seq} arrived, but {expected} should come next")]
    Gap {
        /// The message's number.
        seq: Seq,
        /// The number that comes next.
        expected: Seq,
    },
}

/// The other side is too far behind: too much is unacknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many messages are not acknowledged")]
pub struct Full;

/// The sending end of one direction.
#[derive(Debug, Clone, Default)]
pub struct Outgoing<T> {
    /// The last number given out.
    sent: Seq,
    /// What is not acknowledged, with consecutive numbers ending in `sent`.
    unacked: VecDeque<(T, Bytes)>,
    unacked_bytes: usize,
}

impl<T: Copy> Outgoing<T> {
    /// A stream on which nothing was sent.
    #[must_use]
    pub const fn new() -> Self {
        Self { sent: Seq(0), unacked: VecDeque::new(), unacked_bytes: 0 }
    }

    /// Numbers a message and keeps it until it is acknowledged. `tag` is kept with it (a game keeps the step).
    ///
    /// # Errors
    /// If the other side is too far behind. Nothing was changed.
    pub fn push(&mut self, tag: T, payload: Bytes) -> Result<Seq, Full> {
        if self.unacked.len() >= STREAM_UNACKED_MESSAGES_MAX
            || self.unacked_bytes + payload.len() > STREAM_UNACKED_BYTES_MAX
        {
            return Err(Full);
        }
        Ok(self.push_unbounded(tag, payload))
    }

    /// As [`push`](Self::push), however far behind the other side is: for what is brought back after its sender was lost, and
    /// with it what was acknowledged meanwhile. Whoever brings it back bounds it.
    pub fn push_unbounded(&mut self, tag: T, payload: Bytes) -> Seq {
        self.unacked_bytes += payload.len();
        self.unacked.push_back((tag, payload));
        self.sent = self.sent.next();
        self.sent
    }

    /// Forgets what the other side has.
    ///
    /// # Errors
    /// If it acknowledges what was never sent. Nothing was changed.
    pub fn acknowledge(&mut self, ack: Seq) -> Result<(), StreamError> {
        if ack > self.sent {
            return Err(StreamError::AckBeyondSent { ack, sent: self.sent });
        }
        while self.first_unacked() <= ack {
            let Some((_, payload)) = self.unacked.pop_front() else { break };
            self.unacked_bytes -= payload.len();
        }
        Ok(())
    }

    /// Everything that is not acknowledged, oldest first: what to send again.
    pub fn unacked(&self) -> impl Iterator<Item = (Seq, T, &Bytes)> {
        let first = self.first_unacked().0;
        (first..).zip(&self.unacked).map(|(seq, (tag, payload))| (Seq(seq), *tag, payload))
    }

    /// Gives up what is not acknowledged: the other side is brought up to date in another way. The numbers go on.
    pub fn abandon(&mut self) {
        self.unacked.clear();
        self.unacked_bytes = 0;
    }

    /// Goes on after a number that the other side has, though this sender has lost what it sent. What is kept is given up,
    /// and a number is passed over, so that the other side sees that it misses something.
    pub fn leap(&mut self, after: Seq) {
        self.abandon();
        self.sent = self.sent.max(after).next();
    }

    /// Goes on after a number that an earlier life of this sender gave out, as a restarted client must. Only a stream on
    /// which nothing was sent can; on any other it changes nothing.
    pub fn resume_after(&mut self, sent: Seq) {
        if self.sent == Seq(0) {
            self.sent = sent;
        }
    }

    /// How many bytes are kept.
    #[must_use]
    pub const fn unacked_bytes(&self) -> usize {
        self.unacked_bytes
    }

    /// The last number given out.
    #[must_use]
    pub const fn sent(&self) -> Seq {
        self.sent
    }

    /// The number of the oldest message that is kept, or of the next one if none is.
    #[must_use]
    pub fn first_unacked(&self) -> Seq {
        Seq((self.sent.0 - self.unacked.len() as u64).saturating_add(1))
    }

    /// Whether everything sent is acknowledged.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.unacked.is_empty()
    }
}

/// What an arriving message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: use it.
    New,
    /// One that was there before: forget it.
    Duplicate,
}

/// The receiving end of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incoming {
    received: Seq,
    told: Seq,
}

impl Incoming {
    /// A stream on which nothing has arrived.
    #[must_use]
    pub const fn new() -> Self {
        Self { received: Seq(0), told: Seq(0) }
    }

    /// Takes a message's number.
    ///
    /// # Errors
    /// If a message is missing before it. Nothing was changed.
    pub fn accept(&mut self, seq: Seq) -> Result<Arrival, StreamError> {
        let expected = self.received.next();
        if seq > expected {
            return Err(StreamError::Gap { seq, expected });
        }
        if seq < expected {
            return Ok(Arrival::Duplicate);
        }
        self.received = seq;
        Ok(Arrival::New)
    }

    /// Leaps over messages that the other side gave up, so that `next` comes next. Never leaps back.
    pub fn leap(&mut self, next: Seq) {
        self.received = self.received.max(Seq(next.0.saturating_sub(1)));
    }

    /// The last message that arrived: what to acknowledge. Remembers that the other side is told.
    pub fn tell(&mut self) -> Seq {
        self.told = self.received;
        self.received
    }

    /// The last message that arrived.
    #[must_use]
    pub const fn received(&self) -> Seq {
        self.received
    }

    /// How many messages the other side does not know to have arrived.
    #[must_use]
    pub const fn untold(&self) -> u64 {
        self.received.0 - self.told.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(number: u64) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[test]
    fn acknowledged_messages_are_forgotten_and_the_rest_is_sent_again() {
        let mut outgoing = Outgoing::new();
        for number in 1..=3 {
            assert_eq!(outgoing.push((), payload(number)), Ok(Seq(number)));
        }
        outgoing.acknowledge(Seq(2)).unwrap();
        assert!(outgoing.unacked().eq([(Seq(3), (), &payload(3))]));
        outgoing.acknowledge(Seq(1)).unwrap();
        assert_eq!(outgoing.first_unacked(), Seq(3), "an old acknowledgement changes nothing");
        assert_eq!(outgoing.acknowledge(Seq(4)), Err(StreamError::AckBeyondSent { ack: Seq(4), sent: Seq(3) }));
    }

    #[test]
    fn a_peer_that_never_acknowledges_costs_a_bounded_amount() {
        let mut outgoing = Outgoing::new();
        let count = (0..).find(|_| outgoing.push((), payload(0)).is_err()).unwrap();
        assert_eq!(count, STREAM_UNACKED_MESSAGES_MAX);
        let mut outgoing = Outgoing::new();
        let large = Bytes::from(vec![0; STREAM_UNACKED_BYTES_MAX / 2]);
        assert!(outgoing.push((), large.clone()).is_ok());
        assert!(outgoing.push((), large.clone()).is_ok());
        assert_eq!(outgoing.push((), large), Err(Full));
        outgoing.abandon();
        assert_eq!(outgoing.first_unacked(), Seq(3));
    }

    #[test]
    fn a_restarted_sender_goes_on_where_it_was() {
        let mut outgoing = Outgoing::new();
        outgoing.resume_after(Seq(57));
        assert!(outgoing.is_settled());
        assert_eq!(outgoing.push((), payload(1)), Ok(Seq(58)));
        outgoing.resume_after(Seq(90));
        assert_eq!(outgoing.sent(), Seq(58));
        assert_eq!(outgoing.acknowledge(Seq(58)), Ok(()));
    }

    #[test]
    fn a_sender_that_lost_what_it_sent_leaps_over_what_the_other_side_has() {
        for (has, first) in [(57, 59), (1, 5), (0, 5)] {
            let mut outgoing = Outgoing::new();
            for number in 1..=3 {
                outgoing.push((), payload(number)).unwrap();
            }
            outgoing.leap(Seq(has));
            assert_eq!((outgoing.first_unacked(), outgoing.unacked_bytes()), (Seq(first), 0));
            assert!(outgoing.first_unacked() > Seq(has).next(), "the other side has to see a gap");
        }
    }

    #[test]
    fn what_is_brought_back_has_no_bound_and_what_comes_after_it_has() {
        let mut outgoing = Outgoing::new();
        outgoing.resume_after(Seq(10));
        for number in 0..=STREAM_UNACKED_MESSAGES_MAX as u64 {
            assert_eq!(outgoing.push_unbounded((), payload(number)), Seq(11 + number));
        }
        assert_eq!(outgoing.push((), payload(0)), Err(Full));
        outgoing.acknowledge(Seq(20)).unwrap();
        assert!(outgoing.push((), payload(0)).is_ok());
    }

    #[test]
    fn a_gap_is_refused_and_a_leap_is_not() {
        let mut incoming = Incoming::new();
        assert_eq!(incoming.accept(Seq(1)), Ok(Arrival::New));
        assert_eq!(incoming.accept(Seq(1)), Ok(Arrival::Duplicate));
        assert_eq!(incoming.accept(Seq(3)), Err(StreamError::Gap { seq: Seq(3), expected: Seq(2) }));
        incoming.leap(Seq(9));
        assert_eq!(incoming.accept(Seq(9)), Ok(Arrival::New));
        incoming.leap(Seq(2));
        assert_eq!(incoming.received(), Seq(9), "a leap back would apply messages twice");
        assert_eq!(incoming.untold(), 9);
        assert_eq!(incoming.tell(), Seq(9));
        assert_eq!(incoming.untold(), 0);
    }

    proptest! {
        /// Over a connection that is cut at random moments, every message arrives exactly once and in order.
        #[test]
        fn exactly_once_in_order(cuts in prop::collection::vec((1_usize..20, 0_usize..20, any::<bool>()), 1..50)) {
            let (mut outgoing, mut incoming) = (Outgoing::new(), Incoming::new());
            let mut arrived = Vec::new();
            let mut count = 0;
            for (pushes, delivered, ack_arrives) in cuts {
                for _ in 0..pushes {
                    count += 1;
                    outgoing.push((), payload(count)).unwrap();
                }
                // The connection delivers some of what is resent, then is cut; the acknowledgement may be lost with it.
                for (seq, (), payload) in outgoing.unacked().take(delivered) {
                    if incoming.accept(seq).unwrap() == Arrival::New {
                        arrived.push(payload.clone());
                    }
                }
                if ack_arrives {
                    outgoing.acknowledge(incoming.tell()).unwrap();
                }
            }
            let rest: Vec<_> = outgoing.unacked().map(|(seq, (), payload)| (seq, payload.clone())).collect();
            for (seq, payload) in rest {
                if incoming.accept(seq).unwrap() == Arrival::New {
                    arrived.push(payload);
                }
            }
            prop_assert_eq!(arrived, (1..=count).map(payload).collect::<Vec<_>>());
        }
    }
}

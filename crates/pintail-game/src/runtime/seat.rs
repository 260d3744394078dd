//! One player's end of the session stream, and what happens when the connection is lost.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::limits::{SEQ_MAX, STREAM_UNACKED_BYTES_MAX, STREAM_UNACKED_MESSAGES_MAX};
use pintail_core::{Generation, Seq, SessionId, Step};
use pintail_engine::stream::{Arrival, Full, Incoming, Outgoing, StreamError};
use pintail_net::LinkId;

use super::Now;
use crate::journal::{SavedMessage, SavedSeat, SavedState};
use crate::limits::{ACK_DELAY, ACK_INPUTS_MAX};

/// What is kept with a message until it is acknowledged, to send it again as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) step: Step,
    /// `GAME_MESSAGE` or `GAME_ENDED`.
    pub(crate) client_kind: u8,
}

/// Whether a stream had room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Kept,
    /// It had not: what the player had not acknowledged was given up for it.
    Overflowed,
}

/// How much of what was sent is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As much as a stream keeps.
    Stream,
    /// All of it: acknowledgements are not in the journal, so a replay can't know what was acknowledged.
    Replay,
}

/// An attach that waits until it may be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parked {
    pub(crate) link: LinkId,
    /// The last reliable message that the client has.
    pub(crate) received: Seq,
    /// The last input that the client knows to be acknowledged.
    pub(crate) acknowledged: Seq,
    /// The last step that a message showed it.
    pub(crate) step_seen: Step,
    pub(crate) since: Now,
    /// Whether the game brings the player up to date, so that what was given up is not missed.
    pub(crate) is_resynced: bool,
}

/// A player's place in a running game.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) session: SessionId,
    /// Where the player is attached.
    pub(crate) link: Option<LinkId>,
    /// Where the player wants to attach, while that has to wait. Then there is no `link`.
    pub(crate) parked: Option<Parked>,
    /// Whether the game is told that the player is connected.
    pub(crate) is_present: bool,
    /// The step that consumes, or consumed, the last event of the player.
    pub(crate) last_event: Step,
    /// The newest connection that attached; older ones are too late.
    pub(crate) generation: Generation,
    pub(crate) outgoing: Outgoing<Tag>,
    /// The last state message that was let out, and the step that sent it. Journaled games keep it for who comes back.
    pub(crate) latest_state: Option<(Step, Bytes)>,
    /// What was sent since the last snapshot: messages, and their bytes.
    replayable: (usize, usize),
    incoming: Incoming,
    /// The last input of a committed step: what the client may forget.
    acknowledged: Seq,
    /// What the client knows to be acknowledged.
    told: Seq,
    /// When the client is told without a message to go along with. None while there is nothing to tell.
    ack_due: Option<Now>,
    /// When the seat is given up. None while attached or gone.
    pub(crate) away_until: Option<Now>,
    /// How many inputs wait for the next step.
    pub(crate) pending_inputs: usize,
    /// How many attaches happened since the last step.
    pub(crate) pending_attaches: usize,
    /// Whether the stream has leapt to where its client is: once is enough for an honest one.
    has_leapt: bool,
    /// Whether the player is gone for good.
    pub(crate) gone: bool,
}

impl Seat {
    pub(crate) fn new(session: SessionId, attach_until: Now) -> Self {
        Self {
            session,
            link: None,
            parked: None,
            is_present: false,
            last_event: Step(0),
            generation: Generation(0),
            outgoing: Outgoing::new(),
            latest_state: None,
            replayable: (0, 0),
            incoming: Incoming::new(),
            acknowledged: Seq(0),
            told: Seq(0),
            ack_due: None,
            away_until: Some(attach_until),
            pending_inputs: 0,
            pending_attaches: 0,
            has_leapt: false,
            gone: false,
        }
    }

    /// The seat as it was kept. Whoever was in it has so long to come back.
    pub(crate) fn restore(session: SessionId, attach_until: Now, saved: SavedSeat) -> Self {
        let mut seat = Self::new(session, attach_until);
        seat.outgoing.resume_after(Seq(saved.sent.0.saturating_sub(saved.unacked.len() as u64)));
        for SavedMessage { step, client_kind, payload } in saved.unacked {
            seat.outgoing.push_unbounded(Tag { step, client_kind }, payload);
        }
        seat.incoming.leap(saved.received.next());
        seat.acknowledged = saved.received;
        seat.latest_state = saved.latest_state.map(|state| (state.step, state.payload));
        seat
    }

    /// The seat as it is kept. Inputs that no step has consumed are not in it: their client sends them again.
    pub(crate) fn save(&self) -> SavedSeat {
        let saved = |(_, Tag { step, client_kind }, payload): (_, _, &Bytes)| SavedMessage {
            step,
            client_kind,
            payload: payload.clone(),
        };
        SavedSeat {
            received: Seq(self.received().0 - self.pending_inputs as u64),
            sent: self.outgoing.sent(),
            unacked: self.outgoing.unacked().map(saved).collect(),
            latest_state: self.latest_state.clone().map(|(step, payload)| SavedState { step, payload }),
        }
    }

    /// The player waits to be attached, and is told nothing until then. Whether the player waited already.
    pub(crate) fn park(&mut self, parked: Parked, generation: Generation) -> bool {
        (self.link, self.generation) = (None, generation);
        (self.away_until, self.ack_due) = (None, None);
        self.parked.replace(parked).is_some()
    }

    pub(crate) fn attach(&mut self, link: LinkId, generation: Generation) {
        self.link = Some(link);
        self.generation = generation;
        self.away_until = None;
    }

    /// Where the player is attached, or waits to be.
    pub(crate) fn place(&self) -> Option<LinkId> {
        self.link.or(self.parked.map(|parked| parked.link))
    }

    pub(crate) fn lose(&mut self, now: Now, grace: Duration) {
        self.link = None;
        self.parked = None;
        self.away_until = Some(now + grace);
        self.ack_due = None;
    }

    pub(crate) fn leave(&mut self) {
        self.link = None;
        self.parked = None;
        self.latest_state = None;
        self.away_until = None;
        self.ack_due = None;
        self.gone = true;
        self.outgoing.abandon();
    }

    /// Numbers a message and keeps it until it is acknowledged. Never fails: a stream without room gives up what it has.
    pub(crate) fn send(&mut self, tag: Tag, payload: Bytes, bound: Bound) -> (Seq, Sent) {
        self.replayable = (self.replayable.0 + 1, self.replayable.1 + payload.len());
        if bound == Bound::Replay {
            return (self.outgoing.push_unbounded(tag, payload), Sent::Kept);
        }
        match self.outgoing.push(tag, payload.clone()) {
            Ok(seq) => (seq, Sent::Kept),
            Err(Full) => {
                self.outgoing.abandon();
                if let Some(parked) = &mut self.parked {
                    parked.is_resynced = false;
                }
                let seq = self.outgoing.push(tag, payload).expect("an empty stream has room for any message");
                (seq, Sent::Overflowed)
            }
        }
    }

    /// Whether a replay since the last snapshot would fill half of the stream.
    pub(crate) const fn is_long_to_replay(&self) -> bool {
        let (messages, bytes) = self.replayable;
        messages >= STREAM_UNACKED_MESSAGES_MAX / 2 || bytes >= STREAM_UNACKED_BYTES_MAX / 2
    }

    /// A snapshot was taken.
    pub(crate) const fn snapshot_taken(&mut self) {
        self.replayable = (0, 0);
    }

    /// Takes an input that is in the journal.
    pub(crate) fn accept_again(&mut self) {
        self.incoming.leap(self.received().next().next());
        self.pending_inputs += 1;
    }

    /// Takes an input's number.
    pub(crate) fn accept(&mut self, seq: Seq) -> Result<Arrival, StreamError> {
        let arrival = self.incoming.accept(seq)?;
        #[cfg(feature = "sabotage")]
        if pintail_core::sabotage::is_on(pintail_core::sabotage::Sabotage::Duplicates) {
            return Ok(Arrival::New);
        }
        if arrival == Arrival::New {
            self.pending_inputs += 1;
        }
        Ok(arrival)
    }

    /// Whether messages that the client does not have, and won't get, stand between `received` and what is kept.
    pub(crate) fn is_behind(&self, received: Seq) -> bool {
        self.outgoing.first_unacked() > received.next()
    }

    /// Whether the client has what was never sent, or knows inputs to be acknowledged that never arrived.
    pub(crate) fn is_overtaken(&self, received: Seq, acknowledged: Seq) -> bool {
        received > self.outgoing.sent() || acknowledged > self.received()
    }

    /// Begins where a client is, in a game that knows nothing any more.
    pub(crate) fn begin_after(&mut self, received: Seq, acknowledged: Seq) {
        self.outgoing.resume_after(received.min(SEQ_MAX));
        self.incoming.leap(acknowledged.min(SEQ_MAX).next());
        self.acknowledged = self.received();
    }

    /// Goes on where a client is that has overtaken its game. Whether that can be.
    pub(crate) fn leap(&mut self, received: Seq, acknowledged: Seq) -> bool {
        if self.has_leapt || received.max(acknowledged) > SEQ_MAX {
            return false;
        }
        self.has_leapt = true;
        self.outgoing.leap(received);
        self.incoming.leap(acknowledged.next());
        self.acknowledged = self.acknowledged.max(acknowledged);
        true
    }

    /// The last input that arrived.
    pub(crate) fn received(&self) -> Seq {
        self.incoming.received()
    }

    /// Inputs up to this one are in a committed step.
    pub(crate) fn acknowledge(&mut self, seq: Seq, now: Now) {
        self.acknowledged = self.acknowledged.max(seq);
        if self.link.is_some() && self.told < self.acknowledged {
            let overdue = self.acknowledged.0 - self.told.0 >= ACK_INPUTS_MAX;
            let due = if overdue { now } else { now + ACK_DELAY };
            self.ack_due = Some(self.ack_due.map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// Inputs that wait for their step are as safe as the game itself is.
    pub(crate) fn acknowledge_pending(&mut self) {
        self.acknowledged = self.incoming.received();
    }

    /// What to acknowledge to the client with whatever is sent to it now.
    pub(crate) fn tell(&mut self) -> Seq {
        self.told = self.acknowledged;
        self.ack_due = None;
        self.acknowledged
    }

    /// When an acknowledgement must go out by itself.
    pub(crate) fn ack_due(&self) -> Option<Now> {
        self.ack_due
    }

    /// When something happens to the seat by itself.
    pub(crate) fn due(&self) -> Option<Now> {
        [self.ack_due, self.away_until].into_iter().flatten().min()
    }

    /// Whether nothing more has to reach the player.
    pub(crate) fn is_settled(&self) -> bool {
        self.gone || self.outgoing.is_settled()
    }
}

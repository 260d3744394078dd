//! One player's end of the session stream, and what happens when the connection is lost.

use std::time::Duration;

use bytes::Bytes;
use pintail_core::{Generation, Seq, SessionId, Step};
use pintail_engine::stream::{Arrival, Full, Incoming, Outgoing, StreamError};
use pintail_net::LinkId;

use super::Now;
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

/// A player's place in a running game.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) session: SessionId,
    /// Where the player is attached.
    pub(crate) link: Option<LinkId>,
    /// The newest connection that attached; older ones are too late.
    pub(crate) generation: Generation,
    pub(crate) outgoing: Outgoing<Tag>,
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
    /// Whether the player is gone for good.
    pub(crate) gone: bool,
}

impl Seat {
    pub(crate) fn new(session: SessionId, attach_until: Now) -> Self {
        Self {
            session,
            link: None,
            generation: Generation(0),
            outgoing: Outgoing::new(),
            incoming: Incoming::new(),
            acknowledged: Seq(0),
            told: Seq(0),
            ack_due: None,
            away_until: Some(attach_until),
            pending_inputs: 0,
            pending_attaches: 0,
            gone: false,
        }
    }

    pub(crate) fn attach(&mut self, link: LinkId, generation: Generation) {
        self.link = Some(link);
        self.generation = generation;
        self.away_until = None;
    }

    pub(crate) fn lose(&mut self, now: Now, grace: Duration) {
        self.link = None;
        self.away_until = Some(now + grace);
        self.ack_due = None;
    }

    pub(crate) fn leave(&mut self) {
        self.link = None;
        self.away_until = None;
        self.ack_due = None;
        self.gone = true;
        self.outgoing.abandon();
    }

    /// Numbers a message and keeps it until it is acknowledged. Never fails: a stream without room gives up what it has.
    pub(crate) fn send(&mut self, tag: Tag, payload: Bytes) -> (Seq, Sent) {
        match self.outgoing.push(tag, payload.clone()) {
            Ok(seq) => (seq, Sent::Kept),
            Err(Full) => {
                self.outgoing.abandon();
                let seq = self.outgoing.push(tag, payload).expect("an empty stream has room for any message");
                (seq, Sent::Overflowed)
            }
        }
    }

    /// Takes an input's number.
    pub(crate) fn accept(&mut self, seq: Seq) -> Result<Arrival, StreamError> {
        let arrival = self.incoming.accept(seq)?;
        if arrival == Arrival::New {
            self.pending_inputs += 1;
        }
        Ok(arrival)
    }

    /// Whether messages that the client does not have, and won't get, stand between `received` and what is kept.
    pub(crate) fn is_behind(&self, received: Seq) -> bool {
        self.outgoing.first_unacked() > received.next()
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

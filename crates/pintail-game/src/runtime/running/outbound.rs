//! What a step produced, on its way through the gate to the players.

use bytes::Bytes;
use pintail_core::{Seq, Step};
use pintail_net::LinkId;
use pintail_wire::{game, kind};

use super::RunningGame;
use crate::api::Player;
use crate::limits::HELD_STATES_MAX;
use crate::runtime::gate::{Taken, Weight};
use crate::runtime::seat::{Bound, Seat, Sent, Tag};
use crate::runtime::{Command, Delivery, Effects, Emission, Now, Recipients, Urgency};

/// What a step produced, as it waits at the gate.
#[derive(Debug)]
pub(super) struct Produced {
    /// The last input of each player that the step, or one before, consumed.
    pub(super) consumed: Vec<(Player, Seq)>,
    pub(super) messages: Vec<Message>,
    /// Whether the step was the last.
    pub(super) ends: bool,
}

#[derive(Debug)]
pub(super) enum Message {
    Reliable { client_kind: u8, to: Vec<(Player, Seq)>, payload: Bytes },
    State { to: Recipients, payload: Bytes },
}

impl Produced {
    pub(super) fn is_nothing(&self) -> bool {
        self.consumed.is_empty() && self.messages.is_empty() && !self.ends
    }

    fn weight(&self) -> Weight {
        let mut weight = Weight::default();
        self.messages.iter().for_each(|message| weight += message.weight());
        weight
    }

    fn count_states(&self, to: Recipients) -> usize {
        self.messages.iter().filter(|message| message.is_state_for(to)).count()
    }

    /// Takes the last state for these players away.
    fn take_state(&mut self, to: Recipients) -> Taken {
        let Some(place) = self.messages.iter().rposition(|message| message.is_state_for(to)) else {
            return Taken::Nothing;
        };
        let weight = self.messages.remove(place).weight();
        if self.is_nothing() { Taken::Whole } else { Taken::Part(weight) }
    }
}

impl Message {
    fn weight(&self) -> Weight {
        /// What a message takes beside its payload.
        const MESSAGE_BYTES: usize = 64;
        match self {
            Self::State { payload, .. } => Weight { bytes: payload.len() + MESSAGE_BYTES, ..Weight::default() },
            Self::Reliable { payload, .. } => {
                let bytes = payload.len();
                Weight { bytes: bytes + MESSAGE_BYTES, reliable: 1, reliable_bytes: bytes }
            }
        }
    }

    fn is_state_for(&self, players: Recipients) -> bool {
        matches!(self, Self::State { to, .. } if *to == players)
    }
}

impl RunningGame {
    /// Brings what a step produced to the gate.
    pub(super) fn hold(&mut self, now: Now, step: Step, produced: Produced) {
        for message in &produced.messages {
            if let Message::State { to, .. } = message {
                self.make_way(*to);
            }
        }
        self.gate.hold(now, step, produced.weight(), produced);
    }

    /// Of the states for the same players the oldest wait, which can be shown first, and the newest: the one before it
    /// gives way. So a long wait ends with few states to send; a short one, with all of them.
    fn make_way(&mut self, to: Recipients) {
        let held = self.gate.held();
        if held.map(|(_, produced)| produced.count_states(to)).sum::<usize>() >= HELD_STATES_MAX {
            self.gate.take_from_last(|produced| produced.take_state(to));
        }
    }

    pub(super) fn number(
        &mut self,
        emission: Emission,
        step: Step,
        bound: Bound,
        overflowed: &mut Vec<Player>,
    ) -> Message {
        let Emission { urgency, to, payload } = emission;
        match urgency {
            Urgency::State => Message::State { to, payload },
            Urgency::Reliable => {
                let tag = Tag { step, client_kind: kind::client::GAME_MESSAGE };
                self.number_for(to, tag, &payload, bound, overflowed)
            }
        }
    }

    pub(super) fn number_for(
        &mut self,
        to: Recipients,
        tag: Tag,
        payload: &Bytes,
        bound: Bound,
        overflowed: &mut Vec<Player>,
    ) -> Message {
        let mut numbered = Vec::new();
        for (player, seat) in Player::seats(self.seats.len()).zip(&mut self.seats) {
            if seat.gone || !to.include(player) {
                continue;
            }
            let (seq, sent) = seat.send(tag, payload.clone(), bound);
            numbered.push((player, seq));
            if sent == Sent::Overflowed {
                overflowed.push(player);
            }
            if seat.is_long_to_replay()
                && let Some(journal) = &mut self.journal
            {
                journal.writer.tidy();
            }
        }
        Message::Reliable { client_kind: tag.client_kind, to: numbered, payload: payload.clone() }
    }

    /// Lets out what may be shown.
    pub(super) fn release(&mut self, now: Now, fx: &mut Effects) {
        while let Some((step, produced)) = self.gate.release() {
            for (player, seq) in produced.consumed {
                let seat = &mut self.seats[player.index()];
                seat.acknowledge(seq, now);
                if let Some(due) = seat.ack_due() {
                    self.note_due(due);
                }
            }
            for message in produced.messages {
                self.deliver(step, message, fx);
            }
            if produced.ends
                && let Some(ending) = &self.ending
            {
                fx.push(Command::End { id: self.order.id, owner: self.owner, outcome: ending.outcome.clone() });
            }
        }
    }

    /// Sends a message to those who are attached: one frame for all players of a gateway.
    fn deliver(&mut self, step: Step, message: Message, fx: &mut Effects) {
        let header = game::shared_header(self.order.id, step);
        let mut by_link: Vec<(LinkId, Delivery)> = Vec::new();
        let mut add = |seat: &mut Seat, client_kind, seq: Option<Seq>, payload: &Bytes| {
            let Some(link) = seat.link else { return };
            let ack = seat.tell();
            let index = by_link.iter().position(|(other, _)| *other == link).unwrap_or_else(|| {
                by_link.push((link, Delivery::new(client_kind, &header, payload.clone())));
                by_link.len() - 1
            });
            let delivery = &mut by_link[index].1;
            match seq {
                Some(seq) => delivery.add(seat.session, &game::Reliable::head(seq, ack)),
                None => delivery.add(seat.session, &game::State::head(ack)),
            }
        };
        match message {
            Message::Reliable { client_kind, to, payload } => {
                for (player, seq) in to {
                    let seat = &mut self.seats[player.index()];
                    // What was given up or acknowledged while it waited at the gate is of no more use.
                    if seat.outgoing.first_unacked() <= seq {
                        add(seat, client_kind, Some(seq), &payload);
                    }
                }
            }
            Message::State { to, payload } => {
                for (player, seat) in Player::seats(self.seats.len()).zip(&mut self.seats) {
                    if to.include(player) && !seat.gone {
                        if self.journal.is_some() {
                            seat.latest_state = Some((step, payload.clone()));
                        }
                        add(seat, kind::client::GAME_STATE, None, &payload);
                    }
                }
            }
        }
        for (link, delivery) in by_link {
            fx.deliver(link, delivery);
        }
    }

    /// Sends a player who has just attached what the player does not have and may be shown.
    pub(super) fn resend(&mut self, player: Player, link: LinkId, fx: &mut Effects) {
        let (game, shown) = (self.order.id, self.gate.shown());
        let seat = &mut self.seats[player.index()];
        let ack = seat.tell();
        for (seq, tag, payload) in seat.outgoing.unacked().take_while(|(_, tag, _)| tag.step <= shown) {
            let delivery = Delivery::new(tag.client_kind, &game::shared_header(game, tag.step), payload.clone());
            fx.deliver(link, delivery.to(seat.session, &game::Reliable::head(seq, ack)));
        }
    }

    /// Sends a player who has just attached the latest state, if it is news.
    pub(super) fn resend_state(&mut self, player: Player, link: LinkId, step_seen: Step, fx: &mut Effects) {
        let seat = &mut self.seats[player.index()];
        let ack = seat.tell();
        if let Some((step, payload)) = seat.latest_state.as_ref().filter(|(step, _)| *step > step_seen) {
            let header = game::shared_header(self.order.id, *step);
            let delivery = Delivery::new(kind::client::GAME_STATE, &header, payload.clone());
            fx.deliver(link, delivery.to(seat.session, &game::State::head(ack)));
        }
    }
}

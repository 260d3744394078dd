//! Players come, go, and send: what that does to their seats.

use pintail_core::limits::PENDING_INPUTS_MAX;
use pintail_core::{Durability, Generation, Seq, SessionId};
use pintail_engine::stream::{Arrival, StreamError};
use pintail_net::LinkId;
use pintail_wire::client::{GameAttached, GameDetachReason, GameDetached};
use pintail_wire::link::Attach;
use pintail_wire::{game, kind};

use super::{ATTACHED_ELSEWHERE, RunningGame};
use crate::api::{LeaveReason, Pace, Player};
use crate::limits::PENDING_ATTACHES_MAX;
use crate::runtime::ending::last_words;
use crate::runtime::seat::Tag;
use crate::runtime::{Delivery, Effects, Event, Now};

impl RunningGame {
    /// Opens a player's stream, or opens it again. Whether it did; if not, the client hears why.
    pub(crate) fn attach(&mut self, link: LinkId, attach: &Attach, fx: &mut Effects) -> bool {
        let session = SessionId(attach.session);
        let Some(player) = self.player(session) else {
            let notice = self.detached(GameDetachReason::NotAPlayer, "you have no seat in this game", false);
            fx.deliver(link, Delivery::detached(session, &notice));
            return false;
        };
        let (generation, received) = (Generation(attach.generation), Seq(attach.received));
        let seat = &mut self.seats[player.index()];
        let refused = if generation < seat.generation {
            Some((GameDetachReason::AttachedElsewhere, ATTACHED_ELSEWHERE.to_owned(), true))
        } else if seat.pending_inputs >= PENDING_INPUTS_MAX || seat.pending_attaches >= PENDING_ATTACHES_MAX {
            Some((GameDetachReason::Flood, "too much of yours waits for the game's next step".to_owned(), true))
        } else {
            let acknowledged = seat.outgoing.acknowledge(received);
            acknowledged.err().map(|error| (GameDetachReason::StreamBroken, error.to_string(), false))
        };
        if let Some((reason, message, retry)) = refused {
            let notice = self.detached(reason, &message, retry);
            fx.deliver(link, Delivery::detached(session, &notice));
            return false;
        }
        self.admit(player, link, generation, received, fx);
        true
    }

    /// Whether a newer connection of the session than this one is attached.
    pub(crate) fn has_newer(&self, session: SessionId, generation: Generation) -> bool {
        let seat = self.player(session).map(|player| &self.seats[player.index()]);
        seat.is_some_and(|seat| seat.link.is_some() && seat.generation > generation)
    }

    fn admit(&mut self, player: Player, link: LinkId, generation: Generation, received: Seq, fx: &mut Effects) {
        let elsewhere = self.detached(GameDetachReason::AttachedElsewhere, ATTACHED_ELSEWHERE, true);
        let step = self.turn.progress.step;
        let seat = &mut self.seats[player.index()];
        let behind = seat.is_behind(received);
        if behind {
            // The game tells the player everything anew, so the rest of what was missed is of no more use.
            seat.outgoing.abandon();
        }
        if behind && let Some(ending) = &self.ending {
            let tag = Tag { step, client_kind: kind::client::GAME_ENDED };
            seat.send(tag, last_words(&ending.outcome).into());
        }
        if self.rules.durability == Durability::Ephemeral {
            // A client that was restarted numbers its inputs from here on: none may be numbered twice.
            seat.acknowledge_pending();
        }
        let former = seat.link;
        seat.attach(link, generation);
        if let Some(former) = former.filter(|former| *former != link) {
            fx.deliver(former, Delivery::detached(seat.session, &elsewhere));
        }
        let attached = GameAttached {
            room: self.order.id.room.0,
            round: self.order.id.round.0,
            received: seat.tell().0,
            next: seat.outgoing.first_unacked().0,
            game: self.order.game_type.to_string(),
        };
        fx.deliver(link, Delivery::attached(seat.session, &attached));
        self.resend(player, link, fx);
        if self.ending.is_some() {
            return;
        }
        self.seats[player.index()].pending_attaches += 1;
        if former.is_none() {
            self.pending.push(Event::Attached(player));
        }
        if behind {
            self.pending.push(Event::Behind(player));
        }
    }

    fn resend(&mut self, player: Player, link: LinkId, fx: &mut Effects) {
        let (game, committed) = (self.order.id, self.gate.committed());
        let seat = &mut self.seats[player.index()];
        let ack = seat.tell();
        for (seq, tag, payload) in seat.outgoing.unacked().take_while(|(_, tag, _)| tag.step <= committed) {
            let delivery = Delivery::new(tag.client_kind, &game::shared_header(game, tag.step), payload.clone());
            fx.deliver(link, delivery.to(seat.session, &game::Reliable::head(seq, ack)));
        }
    }

    /// Takes an input. One from a connection that is not the current one is forgotten: the client sends it again.
    pub(crate) fn input(&mut self, now: Now, link: LinkId, session: SessionId, input: game::Input, fx: &mut Effects) {
        let Some(player) = self.acknowledge(now, link, session, input.ack, fx) else { return };
        if self.ending.is_some() {
            return;
        }
        if self.seats[player.index()].pending_inputs >= PENDING_INPUTS_MAX {
            if self.rules.pace != Pace::EventDriven {
                let message = "too many inputs before the game's next step";
                return self.expel(now, player, GameDetachReason::Flood, message, true, fx);
            }
            self.step(now, fx);
        }
        match self.seats[player.index()].accept(input.seq) {
            Ok(Arrival::New) => {
                fx.stats.inputs += 1;
                self.pending.push(Event::Input(player, input.payload));
            }
            Ok(Arrival::Duplicate) => {}
            Err(error) => self.break_stream(now, player, error, fx),
        }
    }

    /// Takes an acknowledgement. Returns the player if it was a good one.
    pub(crate) fn acknowledge(
        &mut self,
        now: Now,
        link: LinkId,
        session: SessionId,
        ack: Seq,
        fx: &mut Effects,
    ) -> Option<Player> {
        let player = self.player_at(session, link)?;
        if let Err(error) = self.seats[player.index()].outgoing.acknowledge(ack) {
            self.break_stream(now, player, error, fx);
            return None;
        }
        Some(player)
    }

    fn break_stream(&mut self, now: Now, player: Player, error: StreamError, fx: &mut Effects) {
        // Attaching again tells both sides what the other has, which heals a gap. What was never sent was made up.
        let retry = matches!(error, StreamError::Gap { .. });
        self.expel(now, player, GameDetachReason::StreamBroken, &error.to_string(), retry, fx);
    }

    /// The client at this link sent a frame that can't be read.
    pub(crate) fn unreadable(&mut self, now: Now, link: LinkId, session: SessionId, message: &str, fx: &mut Effects) {
        if let Some(player) = self.player_at(session, link) {
            self.expel(now, player, GameDetachReason::StreamBroken, message, false, fx);
        }
    }

    /// The player's connection of this generation is lost.
    pub(crate) fn detach(&mut self, now: Now, link: LinkId, session: SessionId, generation: Generation) {
        if let Some(player) = self.player_at(session, link)
            && self.seats[player.index()].generation <= generation
        {
            self.lose(now, player);
        }
    }

    /// The player turned to another game.
    pub(crate) fn turn_away(&mut self, now: Now, session: SessionId) {
        if let Some(player) = self.player(session)
            && self.seats[player.index()].link.is_some()
        {
            self.lose(now, player);
        }
    }

    /// A link is gone, and with it the connections of its players.
    /// Returns whether that concerns anyone.
    pub(crate) fn close_link(&mut self, now: Now, link: LinkId) -> bool {
        let mut concerned = false;
        for player in Player::seats(self.seats.len()) {
            if self.seats[player.index()].link == Some(link) {
                self.lose(now, player);
                concerned = true;
            }
        }
        concerned
    }

    fn lose(&mut self, now: Now, player: Player) {
        self.seats[player.index()].lose(now, self.rules.grace);
        if self.ending.is_none() {
            self.pending.push(Event::Detached(player));
            self.note_due(now + self.rules.grace);
        }
    }

    /// The player left the room.
    pub(crate) fn leave(&mut self, session: SessionId, fx: &mut Effects) {
        let Some(player) = self.player(session) else { return };
        if let Some(link) = self.seats[player.index()].link {
            let notice = self.detached(GameDetachReason::NotAPlayer, "you left this game's room", false);
            fx.deliver(link, Delivery::detached(session, &notice));
        }
        self.give_up(player, LeaveReason::LeftRoom);
    }

    pub(super) fn give_up(&mut self, player: Player, reason: LeaveReason) {
        self.seats[player.index()].leave();
        if self.ending.is_none() {
            self.pending.push(Event::Left(player, reason));
        }
    }

    pub(super) fn expel(
        &mut self,
        now: Now,
        player: Player,
        reason: GameDetachReason,
        message: &str,
        retry: bool,
        fx: &mut Effects,
    ) {
        let notice = self.detached(reason, message, retry);
        let seat = &self.seats[player.index()];
        if let Some(link) = seat.link {
            fx.stats.detached += 1;
            fx.deliver(link, Delivery::detached(seat.session, &notice));
            self.lose(now, player);
        }
    }

    fn player(&self, session: SessionId) -> Option<Player> {
        self.players.get(&session).copied().filter(|player| !self.seats[player.index()].gone)
    }

    fn player_at(&self, session: SessionId, link: LinkId) -> Option<Player> {
        self.player(session).filter(|player| self.seats[player.index()].link == Some(link))
    }

    pub(super) fn detached(&self, reason: GameDetachReason, message: &str, retry: bool) -> GameDetached {
        let id = self.order.id;
        GameDetached { room: id.room.0, round: id.round.0, reason: reason.into(), message: message.to_owned(), retry }
    }
}

//! Players send, and go: what that does to their seats.

use pintail_core::limits::PENDING_INPUTS_MAX;
use pintail_core::{Generation, Seq, SessionId};
use pintail_engine::stream::{Arrival, StreamError};
use pintail_net::LinkId;
use pintail_wire::client::{GameDetachReason, GameDetached};
use pintail_wire::game;

use super::RunningGame;
use crate::api::{LeaveReason, Pace, Player};
use crate::limits::{EVENT_BYTES, PENDING_BYTES_MAX};
use crate::runtime::current::CurrentGame;
use crate::runtime::{Delivery, Effects, Event, Now};

impl RunningGame {
    /// Whether a newer connection of the session than this one is attached.
    pub(crate) fn has_newer(&self, session: SessionId, generation: Generation) -> bool {
        let seat = self.player(session).map(|player| &self.seats[player.index()]);
        seat.is_some_and(|seat| seat.place().is_some() && seat.generation > generation)
    }

    /// Takes an input. One from a connection that is not the current one is forgotten: the client sends it again.
    pub(crate) fn input(
        &mut self,
        now: Now,
        link: LinkId,
        session: SessionId,
        input: game::Input,
        current: &CurrentGame,
        fx: &mut Effects,
    ) {
        let Some(player) = self.acknowledge(now, link, session, input.ack, fx) else { return };
        if self.ending.is_some() {
            return;
        }
        if self.is_full(player, input.payload.len()) {
            if self.rules.pace != Pace::EventDriven || !self.may_step() {
                let message = "too many inputs before the game's next step";
                return self.expel(now, player, GameDetachReason::Flood, message, true, fx);
            }
            current.enter(&self.order);
            self.step(now, fx);
            current.leave();
        }
        match self.seats[player.index()].accept(input.seq) {
            Ok(Arrival::New) => {
                fx.stats.inputs += 1;
                self.happen(Event::Input(player, input.payload));
            }
            Ok(Arrival::Duplicate) => {}
            Err(error) => self.break_stream(now, player, error, fx),
        }
    }

    /// Whether what waits for the next step leaves no room for an input of this size.
    fn is_full(&self, player: Player, bytes: usize) -> bool {
        let inputs = self.seats[player.index()].pending_inputs;
        inputs >= PENDING_INPUTS_MAX || self.pending_bytes + EVENT_BYTES + bytes > PENDING_BYTES_MAX
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
        if let Some(player) = self.player(session)
            && self.seats[player.index()].place() == Some(link)
            && self.seats[player.index()].generation <= generation
        {
            self.lose(now, player);
        }
    }

    /// The player turned to another game.
    pub(crate) fn turn_away(&mut self, now: Now, session: SessionId) {
        if let Some(player) = self.player(session)
            && self.seats[player.index()].place().is_some()
        {
            self.lose(now, player);
        }
    }

    /// A link is gone, and with it the connections of its players.
    /// Returns whether that concerns anyone.
    pub(crate) fn close_link(&mut self, now: Now, link: LinkId) -> bool {
        let mut concerned = false;
        for player in Player::seats(self.seats.len()) {
            if self.seats[player.index()].place() == Some(link) {
                self.lose(now, player);
                concerned = true;
            }
        }
        concerned
    }

    fn lose(&mut self, now: Now, player: Player) {
        self.unpark(player);
        self.seats[player.index()].lose(now, self.rules.grace);
        if self.ending.is_none() {
            self.miss(player);
            self.note_due(now + self.rules.grace);
        }
    }

    /// Tells the game that a player is not connected, if it believes so.
    fn miss(&mut self, player: Player) {
        if std::mem::take(&mut self.seats[player.index()].is_present) {
            self.happen(Event::Detached(player));
        }
    }

    fn unpark(&mut self, player: Player) {
        if self.seats[player.index()].parked.take().is_some()
            && let Some(journal) = &mut self.journal
        {
            journal.parked -= 1;
        }
    }

    /// The player left the room.
    pub(crate) fn leave(&mut self, session: SessionId, fx: &mut Effects) {
        let Some(player) = self.player(session) else { return };
        if let Some(link) = self.seats[player.index()].place() {
            let notice = self.detached(GameDetachReason::NotAPlayer, "you left this game's room", false);
            fx.deliver(link, Delivery::detached(session, &notice));
        }
        self.give_up(player, LeaveReason::LeftRoom);
    }

    /// The player was away for too long, or never came.
    pub(super) fn time_out(&mut self, player: Player) {
        if self.ending.is_none() {
            // After a takeover the game still takes those for connected who have not come back.
            self.miss(player);
        }
        self.give_up(player, LeaveReason::TimedOut);
    }

    fn give_up(&mut self, player: Player, reason: LeaveReason) {
        self.unpark(player);
        let seat = &mut self.seats[player.index()];
        seat.leave();
        seat.is_present = false;
        if let Some(settling) = self.journal.as_mut().and_then(|journal| journal.settling.as_mut()) {
            settling.give_up(player);
        }
        if self.ending.is_none() {
            self.happen(Event::Left(player, reason));
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
        if let Some(link) = seat.place() {
            fx.stats.detached += 1;
            fx.deliver(link, Delivery::detached(seat.session, &notice));
            self.lose(now, player);
        }
    }

    /// The game is another server's now: the players are told to ask where.
    pub(crate) fn disown(&mut self, message: &str, fx: &mut Effects) {
        let notice = self.detached(GameDetachReason::ServerUnreachable, message, true);
        for seat in &self.seats {
            if let Some(link) = seat.place() {
                fx.deliver(link, Delivery::detached(seat.session, &notice));
            }
        }
    }

    pub(super) fn player(&self, session: SessionId) -> Option<Player> {
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

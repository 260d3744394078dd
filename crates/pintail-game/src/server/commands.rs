//! Does what the host has decided.

use pintail_net::LinkId;
use pintail_store::journal::CLAIM_MAX;
use pintail_store::{Claim, JournalWrite};
use tracing::warn;

use super::game_loop::GameLoop;
use super::journal_worker::Handed;
use super::open_links::TooSlow;
use super::store_worker::StoreCall;
use crate::journal::FORMAT;
use crate::runtime::host::StoreFailed;
use crate::runtime::{Command, HostEvent, Now};

impl GameLoop {
    /// Does what the host has decided in this turn, in order.
    pub(super) fn carry_out(&mut self, now: Now) {
        let mut commands = std::mem::take(&mut self.fx.commands);
        if commands.iter().any(|command| matches!(command, Command::Deliver(..))) {
            self.check_lease_again(now);
        }
        for command in commands.drain(..) {
            self.carry_out_one(now, command);
        }
        // Closing a link may have led to more commands; they are for the next turn, which comes at once.
        commands.append(&mut self.fx.commands);
        self.fx.commands = commands;
    }

    fn carry_out_one(&mut self, now: Now, command: Command) {
        match command {
            Command::Deliver(link, delivery) => {
                let sent = self.links.deliver(link, &delivery);
                self.close_if_slow(now, sent.err());
            }
            Command::AnswerHeartbeat(link, body) => {
                let sent = self.links.answer_heartbeat(link, &body);
                self.close_if_slow(now, sent.err());
            }
            Command::GamesHere(games) => {
                let slow = self.links.tell_games_here(&games);
                self.close_if_slow(now, slow);
            }
            Command::CloseLink(link) => self.close_link(now, link),
            Command::Write(write) => self.write(write),
            Command::Load(id) => self.call(StoreCall::Load(id)),
            Command::End { id, owner, outcome } => self.call(StoreCall::End { id, owner, outcome }),
            Command::Restore { order, owner, snapshot } => self.call(StoreCall::Restore { order, owner, snapshot }),
            Command::HandOver { id, owner, snapshot, without_server } => {
                self.call(StoreCall::HandOver { id, owner, snapshot, without_server });
            }
            Command::Claim { limit, suspects } => self.claim(limit, suspects),
        }
    }

    /// Whoever was held up in the middle of a turn may have been taken for gone, and what the turn has to say may no
    /// longer be true. Nobody hears it: gateways link anew, their clients attach again, and the streams go on where they
    /// were.
    fn check_lease_again(&mut self, now: Now) {
        if self.store.ran_out(now, self.now()) && self.host.has_journaled_games() {
            warn!("this server was held up until its lease ran out; its links are closed");
            for link in self.links.cut_all() {
                self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
            }
        }
    }

    fn close_if_slow(&mut self, now: Now, slow: impl IntoIterator<Item = TooSlow>) {
        for TooSlow(link) in slow {
            // The gateway dials again, its clients attach again, and the streams go on where they were.
            warn!("a gateway reads too slowly; its link is closed");
            self.neighbours.metrics.slow_links.inc();
            self.close_link(now, link);
        }
    }

    fn close_link(&mut self, now: Now, link: LinkId) {
        if self.links.close(link) {
            self.host.handle(now, HostEvent::LinkClosed(link), &mut self.fx);
        }
    }

    fn claim(&mut self, limit: u32, suspects: u32) {
        match self.slot {
            Some(slot) => {
                let (incarnation, limit) = (self.incarnation, limit.min(CLAIM_MAX));
                self.call(StoreCall::Claim(Claim { slot, incarnation, limit, suspects, format: FORMAT }));
            }
            // Who is not registered can own nothing.
            None => self.inbox.answers.push_back(Some(HostEvent::Claimed(Err(StoreFailed::Away)))),
        }
    }

    fn write(&mut self, write: JournalWrite) {
        if let Err(error) = self.neighbours.writes.try_send(Handed::new(write)) {
            self.neighbours.metrics.refused_store_calls.inc();
            self.inbox.commits.push_back(error.into_inner().refused());
        }
    }

    pub(super) fn call(&mut self, call: StoreCall) {
        if let Err(error) = self.neighbours.calls.try_send(call) {
            self.neighbours.metrics.refused_store_calls.inc();
            self.inbox.answers.push_back(error.into_inner().failed());
        }
    }
}

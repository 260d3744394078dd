//! Players attach: at once, or when what their attach depends on is committed.
//!
//! What a journaled game answers to an attach must hold whatever happens next. That the player is there, which inputs the
//! game has, and that it brings a player up to date who missed messages for good: each is an event of some step. So the
//! answer waits until that step may be shown, and the next owner of the game knows of everyone who was shown anything.

use pintail_core::{Generation, Seq, SessionId, Step};
use pintail_net::LinkId;
use pintail_wire::client::{GameAttached, GameDetachReason};
use pintail_wire::kind;
use pintail_wire::link::Attach;
use tracing::warn;

use super::{ATTACHED_ELSEWHERE, RunningGame};
use crate::api::Player;
use crate::limits::{FOLLOW_AFTER, PENDING_ATTACHES_MAX};
use crate::runtime::ending::last_words;
use crate::runtime::seat::{Bound, Parked, Tag};
use crate::runtime::{Delivery, Effects, Event, Now};
use pintail_core::limits::PENDING_INPUTS_MAX;

/// What a client is told that knows more of its game than the game itself.
const OVERTAKEN: &str = "the game has lost what this client knows of it";

/// Why an attach is refused: what the client is told.
type Refused = (GameDetachReason, String, bool);

impl RunningGame {
    /// Opens a player's stream, or opens it again, at once or as soon as that may be shown. Whether the player has a seat
    /// and may attach; if not, the client hears why.
    pub(crate) fn attach(&mut self, now: Now, link: LinkId, attach: &Attach, fx: &mut Effects) -> bool {
        let session = SessionId(attach.session);
        let Some(player) = self.player(session) else {
            let notice = self.detached(GameDetachReason::NotAPlayer, "you have no seat in this game", false);
            fx.deliver(link, Delivery::detached(session, &notice));
            return false;
        };
        let mut parked = Parked {
            link,
            received: Seq(attach.received),
            acknowledged: Seq(attach.acknowledged),
            step_seen: Step(attach.step_seen),
            since: now,
            is_resynced: false,
        };
        if let Err((reason, message, retry)) = self.check(player, Generation(attach.generation), &mut parked) {
            let notice = self.detached(reason, &message, retry);
            fx.deliver(link, Delivery::detached(session, &notice));
            return false;
        }
        self.take_seat(player, Generation(attach.generation), parked, fx);
        if !self.is_settling() {
            self.arrive(player);
        }
        if self.journal.is_none() {
            // Inputs that wait for their step are as safe as the game itself is. A client that was restarted numbers its
            // inputs from here on: none may be numbered twice.
            self.seats[player.index()].acknowledge_pending();
            self.admit(player, fx);
        }
        true
    }

    fn check(&mut self, player: Player, generation: Generation, parked: &mut Parked) -> Result<(), Refused> {
        let is_settling = self.is_settling();
        let is_unreadable = self.is_unreadable;
        let seat = &mut self.seats[player.index()];
        if generation < seat.generation {
            return Err((GameDetachReason::AttachedElsewhere, ATTACHED_ELSEWHERE.to_owned(), true));
        }
        if seat.pending_inputs >= PENDING_INPUTS_MAX || seat.pending_attaches >= PENDING_ATTACHES_MAX {
            return Err((GameDetachReason::Flood, "too much of yours waits for the game's next step".to_owned(), true));
        }
        if is_settling {
            // The steps that the player has been shown may still have to be run.
            return Ok(());
        }
        if is_unreadable {
            // Nobody knows any more what was sent. The last words come after whatever arrived.
            seat.begin_after(parked.received, parked.acknowledged);
        } else if seat.is_overtaken(parked.received, parked.acknowledged) {
            self.follow(player, parked)?;
        }
        let acknowledged = self.seats[player.index()].outgoing.acknowledge(parked.received);
        acknowledged.map_err(|error| (GameDetachReason::StreamBroken, error.to_string(), false))
    }

    /// The client knows more of the game than the game itself: more was lost than was kept (no single fault does that). If
    /// nobody turns up who knows better, the game goes on from what it has, and the player with it.
    fn follow(&mut self, player: Player, parked: &mut Parked) -> Result<(), Refused> {
        let refused = |retry| (GameDetachReason::StreamBroken, OVERTAKEN.to_owned(), retry);
        let Some(journal) = &mut self.journal else { return Err(refused(false)) };
        if parked.since < self.created + FOLLOW_AFTER {
            return Err(refused(true));
        }
        if !self.seats[player.index()].leap(parked.received, parked.acknowledged) {
            return Err(refused(false));
        }
        parked.step_seen = Step(0);
        if self.ending.is_none() {
            // The leap is in no entry.
            journal.writer.mend();
        }
        warn!(game = %self.order.id, seat = player.index(), "the game lost more than was kept; it goes on from an earlier state");
        Ok(())
    }

    /// The player's newest connection takes the seat; an older one is told so.
    fn take_seat(&mut self, player: Player, generation: Generation, parked: Parked, fx: &mut Effects) {
        let elsewhere = self.detached(GameDetachReason::AttachedElsewhere, ATTACHED_ELSEWHERE, true);
        let seat = &mut self.seats[player.index()];
        let former = seat.place();
        let was_parked = seat.park(parked, generation);
        if let Some(former) = former.filter(|former| *former != parked.link) {
            fx.deliver(former, Delivery::detached(seat.session, &elsewhere));
        }
        if let Some(journal) = &mut self.journal {
            journal.parked += usize::from(!was_parked);
            if let Some(settling) = &mut journal.settling {
                settling.heard(player, parked.step_seen);
            }
        }
    }

    /// Tells the game of a player who wants to attach, and of what the player has missed for good.
    fn arrive(&mut self, player: Player) {
        let step = self.turn.progress.step;
        let seat = &mut self.seats[player.index()];
        let Some(parked) = &mut seat.parked else { return };
        let is_behind = seat.outgoing.first_unacked() > parked.received.next();
        parked.is_resynced = is_behind;
        if is_behind {
            // The game tells the player everything anew, so the rest of what was missed is of no more use.
            seat.outgoing.abandon();
        }
        if let Some(ending) = &self.ending {
            if is_behind || (self.is_unreadable && seat.outgoing.is_settled()) {
                let tag = Tag { step, client_kind: kind::client::GAME_ENDED };
                seat.send(tag, last_words(&ending.outcome).into(), Bound::Stream);
            }
            return;
        }
        seat.pending_attaches += 1;
        if !std::mem::replace(&mut seat.is_present, true) {
            self.happen(Event::Attached(player));
        }
        if is_behind {
            self.happen(Event::Behind(player));
        }
    }

    /// Opens the stream of a player who waits for that.
    fn admit(&mut self, player: Player, fx: &mut Effects) {
        let seat = &mut self.seats[player.index()];
        let Some(Parked { link, step_seen, .. }) = seat.parked.take() else { return };
        let generation = seat.generation;
        seat.attach(link, generation);
        let attached = GameAttached {
            room: self.order.id.room.0,
            round: self.order.id.round.0,
            received: seat.tell().0,
            next: seat.outgoing.first_unacked().0,
            game: self.order.game_type.to_string(),
        };
        fx.deliver(link, Delivery::attached(seat.session, &attached));
        self.resend(player, link, fx);
        if let Some(journal) = &mut self.journal {
            journal.parked -= 1;
            self.resend_state(player, link, step_seen, fx);
        }
    }

    /// Admits everyone whose attach may be shown.
    pub(super) fn admit_parked(&mut self, fx: &mut Effects) {
        if self.journal.as_ref().is_none_or(|journal| journal.parked == 0 || journal.settling.is_some()) {
            return;
        }
        let shown = self.gate.shown();
        for player in Player::seats(self.seats.len()) {
            let seat = &self.seats[player.index()];
            let Some(parked) = seat.parked.filter(|_| seat.last_event <= shown) else { continue };
            if seat.is_behind(parked.received) && !parked.is_resynced {
                // More was given up while the player waited.
                self.arrive(player);
            } else {
                self.admit(player, fx);
            }
        }
    }

    /// The game goes on after a takeover: those who came meanwhile arrive, in the order of their seats.
    pub(super) fn arrive_all(&mut self, now: Now, fx: &mut Effects) {
        for player in Player::seats(self.seats.len()) {
            let seat = &mut self.seats[player.index()];
            let Some(parked) = seat.parked else { continue };
            if seat.is_overtaken(parked.received, parked.acknowledged) {
                self.expel(now, player, GameDetachReason::StreamBroken, OVERTAKEN, true, fx);
            } else if seat.outgoing.acknowledge(parked.received).is_ok() {
                self.arrive(player);
            }
        }
    }

    fn is_settling(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.settling.is_some())
    }

    /// Something happens to a player that waits for the next step.
    pub(super) fn happen(&mut self, event: Event) {
        let next = self.turn.progress.step.next();
        self.seats[event.player().index()].last_event = next;
        self.pending_bytes += event.weight();
        self.pending.push(event);
    }
}

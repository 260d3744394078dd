//! A player's seat in a game: the session stream, the bot that plays, and when each has something to do. Without IO.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pintail_core::GameId;
use pintail_core::limits::ACK_DELAY;
use pintail_wire::Message;
use pintail_wire::client::lobby_event::Event;
use pintail_wire::client::{GameAttached, GameDetached, GameEndReason, GameEnded, LobbyEvent};
use pintail_wire::kind::client as kind;
use rand::{RngExt, SeedableRng};

use super::stream::{Broken, Stream};
use super::trouble::Trouble;
use super::unacked::Full;
use crate::bot::{Bot, BotContext, BotKind, BotRng, Inputs, Sent};
use crate::drive::pacing::Pacing;
use crate::drive::stage::{Present, Ticket};

/// How long an attach may be unanswered before it is sent again.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(7);

/// The longest pause before the first of several attaches that follow a pause of the game; it doubles.
const ATTACH_PAUSE: Duration = Duration::from_millis(100);

/// How often it doubles.
const ATTACH_PAUSE_DOUBLINGS_MAX: u32 = 5;

/// What a measured input is called in a report.
pub(crate) const INPUT: &str = "input";

/// Why a player plays no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// The game came to its end.
    Ended,
    /// The bot wants to leave.
    Left,
    /// The player's ticket is over.
    Dismissed,
}

/// A player's seat in a game.
pub(crate) struct Seat {
    ticket: Ticket,
    bot: Box<dyn Bot>,
    hand: Hand,
    /// How much time is between two moves.
    every: Option<Duration>,
    /// The bot's moves, once it plays.
    pacing: Option<Pacing>,
    presence: Presence,
    /// Whether the player was ever in the game.
    was_attached: bool,
    /// Counts the player as present, from the first attach on.
    present: Option<Present>,
    /// Whoever sat here in a game that fell apart, and whose moves are due until this one's are.
    predecessor: Option<Box<Self>>,
    play: Play,
    attaching: Attaching,
    /// Since when the player is connected: what was due before could not be done then.
    connected: Instant,
    /// When an acknowledgement goes out alone.
    ack_due: Option<Instant>,
    over: Option<Result<Over, Trouble>>,
}

/// Who sits in a seat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chair {
    /// The player's number in the load.
    pub(crate) number: u32,
    /// The player's number in the room, from 0.
    pub(crate) place: u32,
    pub(crate) presence: Presence,
}

/// Whether a player who is attached counts as present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Counted,
    /// Whoever made the seat counts the player, attached or not.
    CountedElsewhere,
}

/// Whether the bot plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Play {
    Awaited,
    Begun,
}

/// What a bot acts with.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) stream: Stream,
    pub(crate) rng: BotRng,
    pub(crate) number: u32,
    pub(crate) place: u32,
    pub(crate) room_players: u32,
    pub(crate) wants_to_leave: Wish,
    voice: Voice,
    /// When each unacknowledged input should have been sent, if inputs are measured.
    unconfirmed: Option<VecDeque<Instant>>,
}

/// What a bot wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Stay,
    Leave,
}

/// Whether what a bot sends will ever reach its game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Heard,
    /// The player is out of the game: what should have been sent is counted, and nothing is.
    Unheard,
}

/// How the stream is being opened.
#[derive(Debug, Clone, Copy)]
struct Attaching {
    /// How many detaches there were in a row.
    pauses: u32,
    /// When to attach again.
    due: Option<Instant>,
}

impl Seat {
    /// The seat of a player in a game.
    pub(crate) fn new(ticket: &Ticket, kind: &BotKind, game: GameId, Chair { number, place, presence }: Chair) -> Self {
        let mut rng = BotRng::seed_from_u64(ticket.stage().seed ^ (u64::from(number) << 32));
        Self {
            ticket: ticket.clone(),
            bot: (kind.make)(rng.random()),
            every: kind.every,
            pacing: None,
            presence,
            was_attached: false,
            present: None,
            predecessor: None,
            play: Play::Awaited,
            attaching: Attaching { pauses: 0, due: None },
            connected: Instant::now(),
            ack_due: None,
            over: None,
            hand: Hand {
                stream: Stream::new(game),
                rng,
                number,
                place,
                room_players: kind.room_players,
                wants_to_leave: Wish::Stay,
                voice: Voice::Heard,
                unconfirmed: (kind.inputs == Inputs::Measured).then(VecDeque::new),
            },
        }
    }

    /// The player is connected: asks for the stream.
    pub(crate) fn connected(&mut self, now: Instant, out: &mut BytesMut) {
        self.connected = now;
        self.attach(now, out);
    }

    /// Asks for the stream.
    fn attach(&mut self, now: Instant, out: &mut BytesMut) {
        self.hand.stream.attach(out);
        self.attaching.due = Some(now + ATTACH_TIMEOUT);
    }

    /// The connection is lost.
    pub(crate) fn disconnected(&mut self) {
        self.hand.stream.detached();
        self.attaching.due = None;
    }

    /// The player is out of the game, and will not come back to it. The moves are due all the same: those of the answer, which
    /// is this seat, or the one before it if this one's never began.
    pub(crate) fn lost(mut self) -> Self {
        if let (Play::Awaited, Some(before)) = (self.play, self.predecessor.take()) {
            return *before;
        }
        self.disconnected();
        self.hand.voice = Voice::Unheard;
        self.present = None;
        self
    }

    /// The same seat, in the place of one that was lost.
    pub(crate) fn after(mut self, lost: Option<Self>) -> Self {
        self.predecessor = lost.map(Box::new);
        self
    }

    /// The player's number in the room, from 0.
    pub(crate) fn place(&self) -> u32 {
        self.hand.place
    }

    /// Whether the player was ever in the game.
    pub(crate) fn was_attached(&self) -> bool {
        self.was_attached
    }

    /// Why the player plays no more, if so.
    pub(crate) fn over(&self) -> Option<Result<Over, Trouble>> {
        self.over
    }

    /// Does what is due, and says when to come again.
    pub(crate) fn on_time(&mut self, now: Instant, out: &mut BytesMut) -> Option<Instant> {
        if self.attaching.due.is_some_and(|due| due <= now) {
            self.attach(now, out);
        }
        if self.play == Play::Awaited && self.was_attached && self.ticket.stage().is_playing() {
            self.play = Play::Begun;
            self.predecessor = None;
            self.act(now, now, out, |bot, ctx| bot.begin(ctx));
            let (number, epoch) = (self.hand.number, self.ticket.stage().epoch);
            self.pacing = self.every.map(|every| Pacing::new(every, number, epoch, now));
        }
        while let Some(due) = self.due_move(now) {
            self.ticket.stage().recorder.borrow_mut().acts(due.max(self.connected), now);
            self.act(now, due, out, |bot, ctx| bot.tick(ctx));
        }
        if self.ack_due.is_some_and(|due| due <= now) {
            self.hand.stream.acknowledge(out);
        }
        self.ack_due = self.hand.stream.owes_acknowledgement().then(|| self.ack_due.unwrap_or(now + ACK_DELAY));
        let next_move = self.pacing.map(|pacing| pacing.next()).filter(|&next| self.ticket.stage().is_in_time(next));
        let before = self.predecessor.as_mut().and_then(|before| before.on_time(now, &mut BytesMut::new()));
        [self.attaching.due, next_move, self.ack_due, before].into_iter().flatten().min()
    }

    /// The next move that is due. After the window's end those of before are still made up.
    fn due_move(&mut self, now: Instant) -> Option<Instant> {
        let pacing = self.pacing.as_mut()?;
        if !self.ticket.stage().is_in_time(pacing.next()) {
            return None;
        }
        pacing.due(now)
    }

    /// A frame has arrived.
    pub(crate) fn take(&mut self, kind: u8, body: &[u8], now: Instant, out: &mut BytesMut) -> Result<(), Trouble> {
        match kind {
            kind::GAME_MESSAGE => {
                if let Some(payload) = self.hand.stream.message(body)? {
                    self.ticket.stage().recorder.borrow_mut().received(1);
                    self.act(now, now, out, |bot, ctx| bot.message(ctx, payload));
                    self.hand.stream.acknowledge_many(out);
                }
            }
            kind::GAME_STATE => {
                if let Some(payload) = self.hand.stream.state(body)? {
                    self.ticket.stage().recorder.borrow_mut().received(1);
                    self.act(now, now, out, |bot, ctx| bot.state(ctx, payload));
                }
            }
            kind::GAME_ACKED => self.hand.stream.acked(body)?,
            kind::GAME_ATTACHED => self.attached(&decode(body)?, now, out),
            kind::GAME_DETACHED => self.detached(&decode(body)?, now),
            kind::GAME_ENDED => self.ended(body, out)?,
            kind::LOBBY_EVENT => self.heard(&decode(body)?),
            _ => {}
        }
        self.confirm(now);
        if let Some(Ok(Over::Ended)) = self.over {
            self.hand.forget_unconfirmed(&self.ticket);
        }
        Ok(())
    }

    fn attached(&mut self, attached: &GameAttached, now: Instant, out: &mut BytesMut) {
        self.hand.stream.attached(attached, out);
        self.attaching = Attaching { pauses: 0, due: None };
        if !std::mem::replace(&mut self.was_attached, true) && self.presence == Presence::Counted {
            self.present = Some(self.ticket.present(self.hand.place));
        }
        self.act(now, now, out, |bot, ctx| bot.attached(ctx));
    }

    fn detached(&mut self, detached: &GameDetached, now: Instant) {
        let game = self.hand.stream.game();
        if (detached.room, detached.round) != (game.room.0, game.round.0) {
            return;
        }
        self.hand.stream.detached();
        if !detached.retry {
            self.over = Some(Err(Trouble::Detached(detached.reason())));
            return;
        }
        self.ticket.stage().recorder.borrow_mut().error(&Trouble::Paused(detached.reason()));
        self.attaching.due = Some(now + self.attaching.pause(self.hand.rng.random()));
        self.attaching.pauses += 1;
    }

    fn ended(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), Trouble> {
        let Some(payload) = self.hand.stream.message(body)? else { return Ok(()) };
        self.hand.stream.acknowledge(out);
        let reason = decode::<GameEnded>(payload)?.reason();
        let is_good = reason == GameEndReason::Finished;
        self.over = Some(if is_good { Ok(Over::Ended) } else { Err(Trouble::GameEnded(reason)) });
        Ok(())
    }

    fn heard(&mut self, event: &LobbyEvent) {
        match &event.event {
            Some(Event::RoomLeft(left)) if left.room == self.hand.stream.game().room.0 => {
                self.over = Some(Err(Trouble::RoomLost));
            }
            Some(Event::Chat(_)) => self.ticket.stage().recorder.borrow_mut().count("chat heard", 1),
            _ => {}
        }
    }

    /// Lets the bot do something.
    fn act(
        &mut self,
        now: Instant,
        due: Instant,
        out: &mut BytesMut,
        what: impl FnOnce(&mut dyn Bot, &mut BotContext<'_>),
    ) {
        let mut ctx = BotContext::new(&self.ticket, &mut self.hand, out, now, due);
        what(&mut *self.bot, &mut ctx);
        if self.hand.wants_to_leave == Wish::Leave && self.over.is_none() {
            self.over = Some(Ok(Over::Left));
        }
    }

    /// Measures the inputs that the game has acknowledged.
    fn confirm(&mut self, now: Instant) {
        let unacknowledged = self.hand.stream.unacknowledged();
        let Some(unconfirmed) = &mut self.hand.unconfirmed else { return };
        while unconfirmed.len() > unacknowledged
            && let Some(since) = unconfirmed.pop_front()
        {
            self.ticket.took(INPUT, since, now);
        }
    }
}

impl Hand {
    /// Sends an input that should have been sent at `due`.
    pub(crate) fn send(&mut self, ticket: &Ticket, payload: &[u8], due: Instant, out: &mut BytesMut) -> Sent {
        let mut recorder = ticket.stage().recorder.borrow_mut();
        let sent = match self.voice {
            Voice::Unheard => Sent::HeldBack,
            Voice::Heard => match self.stream.input(payload, out) {
                Ok(()) => {
                    recorder.sent(1);
                    Sent::Sent
                }
                Err(Full) => {
                    recorder.error(&Trouble::HeldBack);
                    Sent::HeldBack
                }
            },
        };
        drop(recorder);
        if let Some(unconfirmed) = &mut self.unconfirmed {
            ticket.expect(INPUT, due, 1);
            // What is held back is never confirmed, and so lost.
            if sent == Sent::Sent {
                unconfirmed.push_back(due);
            }
        }
        sent
    }

    /// What was under way when the game ended comes to nothing: by its rules, and not by a fault.
    fn forget_unconfirmed(&mut self, ticket: &Ticket) {
        for since in self.unconfirmed.iter_mut().flat_map(|unconfirmed| unconfirmed.drain(..)) {
            ticket.forget(INPUT, since);
        }
    }
}

impl Attaching {
    /// How long to wait after a detach: not at all after the first. `chance` is from 0 to 1.
    fn pause(self, chance: f64) -> Duration {
        match self.pauses {
            0 => Duration::ZERO,
            pauses => ATTACH_PAUSE.mul_f64(chance) * (1 << (pauses - 1).min(ATTACH_PAUSE_DOUBLINGS_MAX)),
        }
    }
}

/// Has players without a connection make their moves when they are due, while something else goes on. What comes of them is
/// late at least, and lost if nobody comes back: a load does not get smaller because the servers can't take it.
pub(crate) async fn meanwhile<T>(ticket: &Ticket, seats: &mut [Seat], work: impl Future<Output = T>) -> T {
    let alarm = ticket.alarm();
    let mut unsent = BytesMut::new();
    let moves = async {
        loop {
            let now = Instant::now();
            let next = seats.iter_mut().filter_map(|seat| seat.on_time(now, &mut unsent)).min();
            unsent.clear();
            if let Some(next) = next {
                alarm.set(next);
            }
            alarm.rung().await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = moves => unreachable!("moves are due for ever"),
    }
}

fn decode<M: Message + Default>(body: &[u8]) -> Result<M, Trouble> {
    M::decode(body).map_err(|_| Trouble::Malformed)
}

impl From<Broken> for Trouble {
    fn from(Broken: Broken) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
mod tests;

//! How the author of a game makes bots for it.
//!
//! A bot is a value with handlers, like the game that it plays: it is called when something arrives or is due, and acts
//! through its [`BotContext`]. It never waits, so one core runs thousands of them.
//!
//! ```
//! use std::time::Duration;
//!
//! use pintail_bench::bot::{Bot, BotContext, BotKind, Bots};
//! use rand::RngExt;
//!
//! /// Guesses a number from 1 to 100 twice a second, until the game says that it was right.
//! struct Guesser;
//!
//! impl Bot for Guesser {
//!     fn tick(&mut self, ctx: &mut BotContext<'_>) {
//!         let guess: u8 = ctx.rng().random_range(1..=100);
//!         ctx.send(&[guess]);
//!     }
//!
//!     fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
//!         if payload == b"right" {
//!             ctx.count("guessed", 1);
//!         }
//!     }
//! }
//!
//! let kind = BotKind {
//!     room_players: 2,
//!     every: Some(Duration::from_millis(500)),
//!     ..BotKind::new("guess", "guess-a-number", |_seed| Guesser)
//! };
//! let bots = Bots::new().with(kind);
//! assert!(bots.get("guess").is_some());
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::drive::stage::{Stage, Ticket};
use crate::player::seat::{Hand, Wish};

/// The random numbers of a bot: the same in each test with the same seed and the same course of events.
pub type BotRng = rand::rngs::StdRng;

/// A player of a game. Each handler does nothing unless it is implemented.
pub trait Bot {
    /// The stream to the game is open: for the first time, or again after a pause. What was sent meanwhile is kept and sent
    /// now, and nothing that the game sent is missed.
    fn attached(&mut self, ctx: &mut BotContext<'_>) {
        let _ = ctx;
    }

    /// Everybody is there: play. [`tick`](Self::tick) follows from here on.
    fn begin(&mut self, ctx: &mut BotContext<'_>) {
        let _ = ctx;
    }

    /// It is time for the next move, see [`BotKind::every`]. A late one is made up: [`BotContext::due`] says when it should
    /// have been made.
    fn tick(&mut self, ctx: &mut BotContext<'_>) {
        let _ = ctx;
    }

    /// A reliable message of the game.
    fn message(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        let _ = (ctx, payload);
    }

    /// A state message of the game.
    fn state(&mut self, ctx: &mut BotContext<'_>, payload: &[u8]) {
        let _ = (ctx, payload);
    }
}

/// What a bot can see and do. Times count from the load's beginning.
pub struct BotContext<'a> {
    ticket: &'a Ticket,
    hand: &'a mut Hand,
    out: &'a mut BytesMut,
    now: Instant,
    due: Instant,
}

impl<'a> BotContext<'a> {
    pub(crate) fn new(
        ticket: &'a Ticket,
        hand: &'a mut Hand,
        out: &'a mut BytesMut,
        now: Instant,
        due: Instant,
    ) -> Self {
        Self { ticket, hand, out, now, due }
    }

    fn stage(&self) -> &'a Stage {
        self.ticket.stage()
    }

    /// Sends an input to the game. When too many are unacknowledged it is held back, which counts as an error; after the measured
    /// window nothing is sent. Whether it was. What [should have been sent](Sent::is_due) is worth an
    /// [`expect`](Self::expect), or a load would look the better the less of it gets through.
    pub fn send(&mut self, payload: &[u8]) -> Sent {
        if !self.stage().is_in_time(self.due) {
            return Sent::Not;
        }
        self.hand.send(self.ticket, payload, self.due, self.out)
    }

    /// Sends an input also after the measured window: to finish what was begun in it.
    pub(crate) fn send_late(&mut self, payload: &[u8]) -> Sent {
        self.hand.send(self.ticket, payload, self.due, self.out)
    }

    /// When what arrived did so, or, in a [`tick`](Bot::tick), when it is made.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.stage().since_epoch(self.now)
    }

    /// When the move should have been made. Count from it, not from [`now`](Self::now): a player does not wait for a server
    /// that is slow. Outside of a [`tick`](Bot::tick) it is the same as now.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.stage().since_epoch(self.due)
    }

    /// The step of the game that sent the message or state which arrived last.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.hand.stream.step()
    }

    /// This bot's random numbers.
    pub fn rng(&mut self) -> &mut BotRng {
        &mut self.hand.rng
    }

    /// The player's number in the load, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.hand.number
    }

    /// The player's place in the room, from 0, in the order in which they joined it. The first is the room's owner.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.hand.place
    }

    /// How many players the room has.
    #[must_use]
    pub fn room_players(&self) -> u32 {
        self.hand.room_players
    }

    /// Something will come of the move that is due, this many times; [`took`](Self::took) tells of each. What never comes
    /// of it counts as an error, and as long as it was waited for.
    pub fn expect(&mut self, what: &'static str, times: u64) {
        self.ticket.expect(what, self.due, times);
    }

    /// Something is done now that should have begun at `since`, a time of [`due`](Self::due) or [`now`](Self::now). It counts
    /// if it began in the measured window. Of names there can be 32.
    pub fn took(&mut self, what: &'static str, since: Duration) {
        self.ticket.took(what, self.stage().epoch + since, self.now);
    }

    /// Something took this long that ended now.
    pub fn record(&mut self, what: &'static str, time: Duration) {
        let since = self.now.checked_sub(time).unwrap_or(self.stage().epoch);
        self.ticket.took(what, since, self.now);
    }

    /// Something happened. Of names there can be 64.
    pub fn count(&mut self, what: &'static str, times: u64) {
        self.stage().recorder.borrow_mut().count(what, times);
    }

    /// Something is wrong. Reports count by the text, so it should name no numbers.
    pub fn error(&mut self, what: &str) {
        self.stage().recorder.borrow_mut().error(what);
    }

    /// Leaves the game after this handler. All players of the room leave then, and others take their places. What they have
    /// under way is expected no longer.
    pub fn leave(&mut self) {
        self.hand.wants_to_leave = Wish::Leave;
    }
}

/// Whether an input was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It was, or will be when the game's pause is over.
    Sent,
    /// It should have been, and never will be: too many were unacknowledged, or the player is out of the game.
    HeldBack,
    /// It was not to be: the measured window is over.
    Not,
}

impl Sent {
    /// Whether it was due in the measured window, sent or not.
    #[must_use]
    pub fn is_due(self) -> bool {
        self != Self::Not
    }
}

/// Whether inputs are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// From the moment at which each should have been sent until a message shows that the game has it: the measure `input`.
    Measured,
    /// The bot measures by itself.
    Unmeasured,
}

/// Bots of one kind, for one game.
#[derive(Clone)]
pub struct BotKind {
    /// What the scenario is called on the command line.
    pub name: String,
    /// The type of game that they play.
    pub game: String,
    /// The game's settings as JSON; empty for its defaults.
    pub settings: String,
    /// How many of them play in a room.
    pub room_players: u32,
    /// How much time is between two moves of a bot; `None` if it only ever answers. The moves of all bots are spread evenly.
    pub every: Option<Duration>,
    /// Whether inputs are measured.
    pub inputs: Inputs,
    /// The measure that the report's figures are of: `input`, or a name that the bots give to [`BotContext::took`].
    pub primary: &'static str,
    /// Makes a bot, from a seed of its own.
    pub make: MakeBot,
}

impl BotKind {
    /// Bots that play this game alone, without moves of their own, and whose inputs are measured. What differs is said by
    /// `BotKind { room_players: 2, ..BotKind::new(…) }`.
    #[must_use]
    pub fn new<B: Bot + 'static>(name: &str, game: &str, make: impl Fn(u64) -> B + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            game: game.to_owned(),
            settings: String::new(),
            room_players: 1,
            every: None,
            inputs: Inputs::Measured,
            primary: "input",
            make: Arc::new(move |seed| Box::new(make(seed))),
        }
    }
}

/// Makes a bot from a seed.
pub type MakeBot = Arc<dyn Fn(u64) -> Box<dyn Bot> + Send + Sync>;

impl fmt::Debug for BotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BotKind").field("name", &self.name).field("game", &self.game).finish_non_exhaustive()
    }
}

/// Bots by the name of their scenario.
#[derive(Debug, Clone, Default)]
pub struct Bots(BTreeMap<String, BotKind>);

impl Bots {
    /// No bots but those of the scenarios that come with Pintail.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more; it takes the place of one of the same name.
    #[must_use]
    pub fn with(mut self, kind: BotKind) -> Self {
        self.0.insert(kind.name.clone(), kind);
        self
    }

    /// The bots of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&BotKind> {
        self.0.get(name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

//! The game under test: it writes down everything that happens to it, in order, and tells everyone.
//!
//! Each event gets the next *position*. It is broadcast as a reliable message; some are answered with a reliable message
//! of the player's own, which is numbered too. Each step broadcasts a state message: how many positions there are, a
//! digest of them, and a chain of the game's random numbers.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pintail_game::{Context, Game, LeaveReason, Player, Refusal, Rules};
use serde::{Deserialize, Serialize};

use crate::trace::mixed;

/// A position of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The player's seat.
    pub seat: u16,
    /// What happened: the content of an input, or one of the codes below.
    pub what: u64,
    /// The step at which it happened.
    pub step: u64,
}

/// What is no input: the player came for the first time, came back, went, left, or was resynchronised.
pub const JOINED: u64 = 1;
const BACK: u64 = 2;
const AWAY: u64 = 3;
/// The player is gone for good.
pub const LEFT: u64 = 4;
const RESYNCHRONISED: u64 = 5;

/// The least content of an input.
pub const CONTENT_MIN: u64 = 1 << 16;

/// What an input asks for besides being written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// An answer for the player alone.
    Answer,
    /// The end of the game.
    End,
    /// A bug in the game.
    Panic,
}

/// An input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Unlike any other input's of the run.
    pub content: u64,
    /// What it asks for.
    pub wish: Wish,
}

impl Input {
    /// The bytes of an input.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(9);
        bytes.put_u64(self.content);
        bytes.put_u8(self.wish as u8);
        bytes.freeze()
    }

    /// Reads an input.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let content = bytes.try_get_u64().ok()?;
        let wish = match bytes.try_get_u8().ok()? {
            0 => Wish::Nothing,
            1 => Wish::Answer,
            2 => Wish::End,
            _ => Wish::Panic,
        };
        Some(Self { content, wish })
    }
}

/// What the game says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// To everyone: this stands at this position.
    Position(u64, Entry),
    /// To one player: the number of the answer, and the position that it is about.
    Answer(u64, u64),
    /// To everyone who listens: how many positions there are, their digest, and the chain of random numbers.
    State {
        /// How many positions there are.
        count: u64,
        /// A digest of them.
        digest: u64,
        /// A chain of one random number for each time that the game's step handler ran; 0 outside of it.
        luck: u64,
    },
}

impl Said {
    fn encode(self) -> Bytes {
        let (kind, numbers) = match self {
            Self::Position(position, entry) => (0, [position, u64::from(entry.seat), entry.what, entry.step]),
            Self::Answer(number, position) => (1, [number, position, 0, 0]),
            Self::State { count, digest, luck } => (2, [count, digest, luck, 0]),
        };
        let mut bytes = BytesMut::with_capacity(33);
        bytes.put_u8(kind);
        numbers.into_iter().for_each(|number| bytes.put_u64(number));
        bytes.freeze()
    }

    /// Reads what the game said.
    #[must_use]
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let kind = bytes.try_get_u8().ok()?;
        let mut number = || bytes.try_get_u64().ok();
        let [a, b, c, d] = [number()?, number()?, number()?, number()?];
        Some(match kind {
            0 => Self::Position(a, Entry { seat: u16::try_from(b).ok()?, what: c, step: d }),
            1 => Self::Answer(a, b),
            _ => Self::State { count: a, digest: b, luck: c },
        })
    }
}

/// The digest of a list of entries.
#[must_use]
pub fn digest<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> u64 {
    entries.into_iter().fold(0, digest_with)
}

/// The digest with one more entry.
#[must_use]
pub const fn digest_with(digest: u64, entry: &Entry) -> u64 {
    mixed(mixed(mixed(digest, entry.seat as u64), entry.what), entry.step)
}

/// Which of the game types a ledger is.
pub mod variant {
    /// Fixed steps, journaled.
    pub const STEPS: u8 = 0;
    /// Event-driven, journaled.
    pub const EVENTS: u8 = 1;
    /// Fixed steps, ephemeral.
    pub const STEPS_EPHEMERAL: u8 = 2;
    /// Event-driven, ephemeral.
    pub const EVENTS_EPHEMERAL: u8 = 3;
    /// Their names.
    pub const NAMES: [&str; 4] = ["ledger-steps", "ledger-events", "ledger-steps-brief", "ledger-events-brief"];
}

/// How often a ledger of fixed steps steps.
const STEPS_PER_SECOND: u16 = 8;

/// A game of one of the four types.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ledger<const VARIANT: u8> {
    number: u64,
    entries: Vec<(u16, u64, u64)>,
    digest: u64,
    luck: u64,
    answers: Vec<u64>,
}

/// Which game of the run it is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// Its number.
    pub number: u64,
}

impl<const VARIANT: u8> Ledger<VARIANT> {
    fn write(&mut self, ctx: &mut Context<'_, Self>, player: Player, what: u64) -> u64 {
        let entry = Entry { seat: player.index() as u16, what, step: ctx.step().0 };
        let position = self.entries.len() as u64;
        self.entries.push((entry.seat, entry.what, entry.step));
        self.digest = digest_with(self.digest, &entry);
        ctx.broadcast(Said::Position(position, entry).encode());
        if VARIANT % 2 == variant::EVENTS {
            self.show(ctx, 0);
            ctx.wake_in(Duration::from_millis(250));
        }
        self.bear_witness();
        position
    }

    fn show(&mut self, ctx: &mut Context<'_, Self>, luck: u64) {
        let state = Said::State { count: self.entries.len() as u64, digest: self.digest, luck };
        ctx.broadcast_state(state.encode());
    }

    fn bear_witness(&self) {
        WITNESSES.with_borrow_mut(|witnesses| {
            let host = witnesses.host;
            let witness = witnesses.ledgers.entry((host, self.number)).or_default();
            if witness.digest == self.digest {
                return;
            }
            let entry = |&(seat, what, step): &(u16, u64, u64)| Entry { seat, what, step };
            match self.entries.last().map(entry) {
                Some(last) if digest_with(witness.digest, &last) == self.digest => witness.entries.push(last),
                _ => witness.entries = self.entries.iter().map(entry).collect(),
            }
            witness.digest = self.digest;
        });
    }
}

impl<const VARIANT: u8> Game for Ledger<VARIANT> {
    const NAME: &'static str = variant::NAMES[VARIANT as usize];
    const RULES: Rules = {
        let rules = if VARIANT < variant::STEPS_EPHEMERAL { Rules::journaled() } else { Rules::ephemeral() };
        let rules = rules.players(1, 4).grace(Duration::from_secs(25));
        if VARIANT % 2 == variant::STEPS { rules.fixed_steps(STEPS_PER_SECOND) } else { rules }
    };
    type Settings = Settings;
    type Input = Bytes;
    type Output = Bytes;

    fn new(settings: Settings, ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        let answers = vec![0; ctx.seat_count()];
        Ok(Self { number: settings.number, entries: Vec::new(), digest: 0, luck: 0, answers })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.write(ctx, player, JOINED);
    }

    fn back(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.write(ctx, player, BACK);
    }

    fn away(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.write(ctx, player, AWAY);
    }

    fn leave(&mut self, ctx: &mut Context<'_, Self>, player: Player, _: LeaveReason) {
        self.write(ctx, player, LEFT);
    }

    fn resync(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        self.write(ctx, player, RESYNCHRONISED);
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Bytes) {
        let Some(input) = Input::decode(input) else { return };
        let position = self.write(ctx, player, input.content);
        match input.wish {
            Wish::Nothing => {}
            Wish::Answer => {
                self.answers[player.index()] += 1;
                ctx.send(player, Said::Answer(self.answers[player.index()], position).encode());
            }
            Wish::End => ctx.end(self.entries.len()),
            Wish::Panic => panic!("a bug that was asked for"),
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        self.luck = mixed(self.luck, u64::from(ctx.rng().below(1 << 16)));
        self.show(ctx, self.luck);
        self.bear_witness();
    }
}

/// What the ledgers of this thread said of themselves, past all protocols: for the comparison at the end of a run.
#[derive(Debug, Default)]
struct Witnesses {
    host: u128,
    ledgers: BTreeMap<(u128, u64), Witness>,
}

#[derive(Debug, Default)]
struct Witness {
    entries: Vec<Entry>,
    digest: u64,
}

thread_local! {
    static WITNESSES: RefCell<Witnesses> = RefCell::default();
}

/// From now on, what runs on this thread runs at this host.
pub fn at_host(host: u128) {
    WITNESSES.with_borrow_mut(|witnesses| witnesses.host = host);
}

/// The entries of a ledger as it was last at a host.
#[must_use]
pub fn witnessed(host: u128, number: u64) -> Option<Vec<Entry>> {
    WITNESSES.with_borrow(|witnesses| witnesses.ledgers.get(&(host, number)).map(|witness| witness.entries.clone()))
}

/// Forgets everything: another run begins.
pub fn forget_witnesses() {
    WITNESSES.with_borrow_mut(|witnesses| *witnesses = Witnesses::default());
}

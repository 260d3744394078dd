//! The game that is checked: it writes down who sent which input in which order, and tells everyone.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use pintail::{Context, Game, LeaveReason, Pace, Player, Postcard, Refusal, Rules};
use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// How many of the last inputs the game's state holds one by one.
const RECENT_MAX: usize = 256;

/// How many faults the game's state holds as sentences; the rest are counted.
const FAULT_SENTENCES_MAX: usize = 8;

/// How long players keep their seats without a connection: no failure of a run takes as long.
const GRACE: Duration = Duration::from_secs(90);

/// How long after an input an event-driven ledger tells where it is.
const TELL_AFTER: Duration = Duration::from_millis(50);

/// How often a ledger of fixed steps takes one.
const STEPS_PER_SECOND: u16 = 20;

/// The most players of a ledger.
pub const PLAYERS_MAX: u32 = 16;

/// What a player sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entered {
    /// The player's next number, counted from 1, with bytes that [`padding`] gives.
    Number {
        /// The number.
        number: u64,
        /// What makes inputs differ in length and content.
        padding: Vec<u8>,
    },
    /// The ledger is to be closed.
    End,
}

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// Reliable, once to each: this is your seat.
    Welcome {
        /// The seat.
        you: Player,
    },
    /// Reliable, to all: an input was applied.
    Applied(Applied),
    /// A state message: so many inputs were applied when the step was over.
    Position(u64),
}

/// An input that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Who sent it.
    pub player: Player,
    /// The player's own number.
    pub number: u64,
    /// Its place among all inputs of the game, counted from 1.
    pub position: u64,
}

/// What a ledger holds, and what it says at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// How many inputs were applied.
    pub position: u64,
    /// Of all players and numbers, in their order.
    pub order: Hash,
    /// Each seat.
    pub seats: Vec<SeatBook>,
    /// How many things happened that must not.
    pub faults: u64,
    /// The first of them.
    pub first_faults: Vec<String>,
}

/// What a ledger holds of a player.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatBook {
    /// The player's last number.
    pub last: u64,
    /// Of the player's inputs, numbers and padding, in their order.
    pub hash: Hash,
}

impl Book {
    /// A book in which nothing is written.
    #[must_use]
    pub fn empty(seats: usize) -> Self {
        let seats = vec![SeatBook::default(); seats];
        Self { position: 0, order: Hash::default(), seats, faults: 0, first_faults: Vec::new() }
    }

    /// Writes an input down. A number that does not follow the player's last one is a fault.
    pub fn enter(&mut self, player: Player, number: u64, padding: &[u8]) {
        let Some(seat) = self.seats.get_mut(player.index()) else { return };
        let expected = seat.last + 1;
        seat.last = number;
        seat.hash.add_input(number, padding);
        self.position += 1;
        self.order.add_applied(player, number);
        if number != expected {
            self.fault(format!("player {player} sent {number}, but {expected} comes next"));
        }
    }

    fn fault(&mut self, sentence: String) {
        self.faults += 1;
        if self.first_faults.len() < FAULT_SENTENCES_MAX {
            self.first_faults.push(sentence);
        }
    }
}

/// What makes one kind of ledger differ from another.
pub trait Variant: Send + Sync + 'static {
    /// The name of the game type.
    const NAME: &'static str;
    /// When it steps.
    const PACE: Pace;
    /// What it asks of its server.
    const RULES: Rules;
}

/// A ledger that steps when something happens.
#[derive(Debug)]
pub struct WhenAsked;

impl Variant for WhenAsked {
    const NAME: &'static str = "ledger";
    const PACE: Pace = Pace::EventDriven;
    const RULES: Rules = Rules::journaled().players(1, PLAYERS_MAX).grace(GRACE);
}

/// A ledger that steps 20 times a second.
#[derive(Debug)]
pub struct InSteps;

impl Variant for InSteps {
    const NAME: &'static str = "ledger-steps";
    const PACE: Pace = Pace::FixedSteps(STEPS_PER_SECOND);
    const RULES: Rules = WhenAsked::RULES.fixed_steps(STEPS_PER_SECOND);
}

/// One ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Ledger<V> {
    /// What it holds.
    pub book: Book,
    /// The last inputs, one by one: for who wonders about a fault.
    recent: VecDeque<(Player, u64)>,
    /// Whether an event-driven ledger will tell soon where it is.
    is_to_tell: bool,
    #[serde(skip)]
    variant: PhantomData<V>,
}

impl<V: Variant> Game for Ledger<V> {
    const NAME: &'static str = V::NAME;
    const RULES: Rules = V::RULES;
    type Settings = ();
    type Input = Postcard<Entered>;
    type Output = Postcard<Said>;

    fn new((): (), ctx: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        let book = Book::empty(ctx.seat_count());
        Ok(Self { book, recent: VecDeque::new(), is_to_tell: false, variant: PhantomData })
    }

    fn join(&mut self, ctx: &mut Context<'_, Self>, player: Player) {
        ctx.send(player, Said::Welcome { you: player });
    }

    fn leave(&mut self, _: &mut Context<'_, Self>, player: Player, reason: LeaveReason) {
        self.book.fault(format!("player {player} is gone: {reason:?}"));
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, Postcard(entered): Postcard<Entered>) {
        let Entered::Number { number, padding } = entered else { return ctx.end(&self.book) };
        self.book.enter(player, number, &padding);
        self.recent.push_back((player, number));
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        ctx.broadcast(Said::Applied(Applied { player, number, position: self.book.position }));
        if V::PACE == Pace::EventDriven && !std::mem::replace(&mut self.is_to_tell, true) {
            ctx.wake_in(TELL_AFTER);
        }
    }

    fn step(&mut self, ctx: &mut Context<'_, Self>) {
        self.is_to_tell = false;
        ctx.broadcast_state(Said::Position(self.book.position));
    }

    fn resync(&mut self, _: &mut Context<'_, Self>, player: Player) {
        self.book.fault(format!("player {player} was too far behind"));
    }
}

/// The bytes that come with this number of this player: 0 to 63, the same for whoever asks.
#[must_use]
pub fn padding(player: Player, number: u64) -> Vec<u8> {
    let mut hash = Hash::default();
    hash.add_applied(player, number);
    let Hash(bits) = hash;
    let length = usize::try_from(bits % 64).unwrap_or(0);
    bits.to_le_bytes().into_iter().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use pintail::testing::{TestGame, assert_deterministic};

    use super::*;

    fn number(player: u16, number: u64) -> Postcard<Entered> {
        Postcard(Entered::Number { number, padding: padding(Player::new(player), number) })
    }

    #[test]
    fn it_tells_everyone_what_it_applied_and_in_which_order() {
        let mut game = TestGame::<Ledger<WhenAsked>>::new("", &["a", "b"]).unwrap();
        let (a, b) = (Player::new(0), Player::new(1));
        game.input(a, number(0, 1));
        game.input(b, number(1, 1));
        game.input(a, number(0, 2));
        let applied = |player, number, position| Postcard(Said::Applied(Applied { player, number, position }));
        assert_eq!(game.take(b), [applied(a, 1, 1), applied(b, 1, 2), applied(a, 2, 3)]);
        game.input(a, Postcard(Entered::End));
        let closed: Book = serde_json::from_value(game.result().unwrap()).unwrap();
        assert_eq!(closed, game.game().book);
        assert_eq!((closed.position, closed.faults), (3, 0));
    }

    #[test]
    fn a_number_that_is_repeated_or_left_out_is_a_fault_that_stays() {
        for numbers in [vec![1, 1], vec![1, 3], vec![2]] {
            let mut game = TestGame::<Ledger<InSteps>>::new("", &["a"]).unwrap();
            for sent in &numbers {
                game.input(Player::new(0), number(0, *sent));
            }
            game.step();
            assert_eq!(game.game().book.faults, 1, "{numbers:?}");
        }
    }

    #[test]
    fn both_kinds_can_be_moved_and_replayed() {
        fn script<V: Variant>(game: &mut TestGame<Ledger<V>>) {
            game.attach_all();
            for sent in 1..=20 {
                game.input(Player::new(0), number(0, sent));
                game.input(Player::new(1), number(1, sent));
                game.advance(Duration::from_millis(30));
            }
        }
        assert_deterministic::<Ledger<WhenAsked>>("", &["a", "b"], script);
        assert_deterministic::<Ledger<InSteps>>("", &["a", "b"], script);
    }
}

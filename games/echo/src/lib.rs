//! Echo: sends back what it is sent, for measuring. Inputs and outputs are bytes of any kind.
//!
//! There are two types of it, alike but for what becomes of a game whose server dies: [`Echo`] ends with it,
//! [`JournaledEcho`] goes on elsewhere. [`Match`] answers at a steady pace instead of at once.

mod paced;

use bytes::Bytes;
use pintail_game::{Context, Game, Player, Refusal, Rules};
use serde::{Deserialize, Serialize};

pub use paced::{MATCH_PERIOD, Match, TO_ALL};

/// The input that ends the game for everyone.
pub const END: &[u8] = b"end";

/// A game of echo that ends with its server.
pub type Echo = EchoGame<false>;

/// A game of echo that outlives its server.
pub type JournaledEcho = EchoGame<true>;

/// A game of echo, journaled or not.
#[derive(Debug, Serialize, Deserialize)]
pub struct EchoGame<const JOURNALED: bool> {
    mode: Mode,
    inputs: u64,
}

/// What a room can choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// To whom an input goes.
    pub mode: Mode,
}

/// To whom an input goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Back to its sender.
    #[default]
    Echo,
    /// To everyone else.
    Relay,
}

/// How the game ended, as its room is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many inputs there were, the one that ended the game included.
    pub inputs: u64,
}

impl<const JOURNALED: bool> Game for EchoGame<JOURNALED> {
    const NAME: &'static str = if JOURNALED { "echo-journaled" } else { "echo" };
    const RULES: Rules = if JOURNALED { Rules::journaled() } else { Rules::ephemeral() }.players(1, 100);
    type Settings = Settings;
    type Input = Bytes;
    type Output = Bytes;

    fn new(settings: Settings, _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self { mode: settings.mode, inputs: 0 })
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Bytes) {
        self.inputs += 1;
        if input == END {
            return ctx.end(Outcome { inputs: self.inputs });
        }
        match self.mode {
            Mode::Echo => ctx.send(player, input),
            Mode::Relay => ctx.broadcast_except(player, input),
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_game::limits::PAYLOAD_BYTES_MAX;
    use pintail_game::testing::{TestGame, assert_deterministic};

    use super::*;

    const ANN: Player = Player::new(0);
    const BOB: Player = Player::new(1);
    const EVE: Player = Player::new(2);
    const NAMES: [&str; 3] = ["Ann", "Bob", "Eve"];

    #[test]
    fn an_echo_goes_to_its_sender_alone() {
        let mut game = TestGame::<Echo>::new("", &NAMES).unwrap();
        game.input(ANN, "one");
        game.input(ANN, "");
        game.input(BOB, "two");
        assert_eq!(game.take(ANN), ["one", ""]);
        assert_eq!(game.take(BOB), ["two"]);
        assert!(game.take(EVE).is_empty());
    }

    #[test]
    fn the_longest_input_comes_back_and_a_longer_one_ends_nothing() {
        let mut game = TestGame::<Echo>::new("", &NAMES).unwrap();
        game.input(ANN, vec![7; PAYLOAD_BYTES_MAX]);
        game.input(BOB, vec![7; PAYLOAD_BYTES_MAX + 1]);
        assert_eq!(game.take(ANN), [vec![7; PAYLOAD_BYTES_MAX]]);
        assert_eq!(game.unreadable(), [BOB]);
    }

    #[test]
    fn a_relay_goes_to_everyone_else() {
        let mut game = TestGame::<Echo>::new(r#"{"mode": "relay"}"#, &NAMES).unwrap();
        game.input(ANN, "one");
        game.input(BOB, "two");
        assert_eq!(game.take(ANN), ["two"]);
        assert_eq!(game.take(BOB), ["one"]);
        assert_eq!(game.take(EVE), ["one", "two"]);
    }

    #[test]
    fn the_end_is_an_input_too() {
        let mut game = TestGame::<Echo>::new("", &NAMES).unwrap();
        game.input(ANN, "ending");
        assert_eq!(game.result(), None);
        game.input(EVE, END);
        assert_eq!(game.result().unwrap()["inputs"], 2);
        game.input(ANN, "more");
        assert_eq!(game.take(ANN), ["ending"]);
    }

    #[test]
    fn unknown_settings_are_refused() {
        for settings in [r#"{"mode": "loud"}"#, r#"{"mood": "echo"}"#, "7", "{"] {
            assert!(TestGame::<Echo>::new(settings, &NAMES).is_err(), "{settings}");
        }
        assert!(TestGame::<Echo>::new("", &["x"; 101]).is_err());
    }

    #[test]
    fn both_types_are_deterministic_and_alike() {
        fn play<const JOURNALED: bool>(game: &mut TestGame<EchoGame<JOURNALED>>) {
            game.attach_all();
            for number in 0..20_u8 {
                game.input(Player::new(u16::from(number % 3)), vec![number; usize::from(number)]);
            }
            game.input(ANN, END);
        }
        let settings = r#"{"mode": "relay"}"#;
        assert_deterministic::<Echo>(settings, &NAMES, play);
        assert_deterministic::<JournaledEcho>(settings, &NAMES, play);
        let mut one = TestGame::<Echo>::new(settings, &NAMES).unwrap();
        let mut other = TestGame::<JournaledEcho>::new(settings, &NAMES).unwrap();
        play(&mut one);
        play(&mut other);
        assert_eq!(one.take(BOB), other.take(BOB));
        assert_eq!(one.result(), other.result());
    }
}

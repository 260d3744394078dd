use std::time::Duration;

use bytes::Bytes;
use pintail_game::{Context, Game, Player, Refusal, Rules};
use serde::{Deserialize, Serialize};

/// The first byte of an input that is answered to everyone. Any other is answered to its sender alone.
pub const TO_ALL: u8 = 1;

/// How many steps a second has.
const STEPS_PER_SECOND: u16 = 10;

/// The time from one step to the next.
pub const MATCH_PERIOD: Duration = Duration::from_millis(1000 / STEPS_PER_SECOND as u64);

/// Echo at ten steps a second: what arrived since the last step is answered in the next, to everyone or to its sender, as
/// the input says.
///
/// It is the workload that other game servers publish figures of: Nakama's benchmark has matches of 10 players at 10 steps
/// a second, in which half of the answers are broadcast.
#[derive(Debug, Serialize, Deserialize)]
pub struct Match {
    inputs: u64,
}

impl Game for Match {
    const NAME: &'static str = "match";
    const RULES: Rules = Rules::ephemeral().players(1, 100).fixed_steps(STEPS_PER_SECOND);
    type Settings = ();
    type Input = Bytes;
    type Output = Bytes;

    fn new((): (), _: &mut Context<'_, Self>) -> Result<Self, Refusal> {
        Ok(Self { inputs: 0 })
    }

    fn input(&mut self, ctx: &mut Context<'_, Self>, player: Player, input: Bytes) {
        self.inputs += 1;
        if input == crate::END {
            return ctx.end(crate::Outcome { inputs: self.inputs });
        }
        if input.first() == Some(&TO_ALL) {
            ctx.broadcast(input);
        } else {
            ctx.send(player, input);
        }
    }
}

#[cfg(test)]
mod tests {
    use pintail_game::testing::{TestGame, assert_deterministic};

    use super::*;

    const ANN: Player = Player::new(0);
    const BOB: Player = Player::new(1);
    const NAMES: [&str; 2] = ["Ann", "Bob"];

    #[test]
    fn an_input_says_whom_it_is_answered_to() {
        let mut game = TestGame::<Match>::new("", &NAMES).unwrap();
        game.input(ANN, [TO_ALL, 7].to_vec());
        game.input(ANN, [0, 8].to_vec());
        game.input(BOB, Vec::new());
        game.step();
        assert_eq!(game.take(ANN), [&[TO_ALL, 7][..], &[0, 8]]);
        assert_eq!(game.take(BOB), [&[TO_ALL, 7][..], &[]]);
    }

    #[test]
    fn it_ends_when_it_is_told_to_and_is_deterministic() {
        assert_deterministic::<Match>("", &NAMES, |game| {
            game.attach_all();
            game.input(BOB, [TO_ALL, 7].to_vec());
            game.step();
            game.input(ANN, crate::END);
            game.step();
            assert_eq!(game.result().unwrap()["inputs"], 2);
        });
    }
}
